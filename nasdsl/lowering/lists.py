"""Lists of indices in files beside a `.nas` file: read once, bounded, never believed.

A list is whole numbers from 0, none of them twice: a text (`#` begins a comment), a JSON list, or a
flat `.npy` array of integers. Nothing in a file is run.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from nasdsl.source import Source, Span

#: Bytes of the largest list: some eight million indices as text.
LARGEST = 64 * 2**20
_TYPES = {"u1": "B", "i1": "b", "u2": "H", "i2": "h", "u4": "I", "i4": "i", "u8": "Q", "i8": "q"}
_TOKEN = re.compile(r"#[^\n]*|[^\s,#]+")
_HEADER = re.compile(
    r"\{'descr': '([<>|])([ui][1248])', 'fortran_order': (?:True|False), 'shape': \((\d{1,15}),\), \}"
)


class Unusable(ValueError):
    """What is wrong with a list; `where` is the place in its text, if it has one."""

    def __init__(self, message: str, where: Span | None = None) -> None:
        super().__init__(message)
        self.where = where


@dataclass(slots=True)
class Lists:
    """The lists of a program, by the key of the module that names them and the path it writes.

    `stored` are those of a run folder, which then are the only ones there are.
    """

    stored: Mapping[tuple[str, str], bytes] | None = None
    used: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _parsed: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)

    def read(self, module: str, path: str) -> tuple[int, ...]:
        """The indices of a list. Raises Unusable."""
        key = module, path
        if key not in self._parsed:
            data = self._bytes(module, path)
            self._parsed[key] = parse(path, data)
            self.used[key] = data
        return self._parsed[key]

    def _bytes(self, module: str, path: str) -> bytes:
        if self.stored is not None:
            if (module, path) not in self.stored:
                raise Unusable(f"the run folder holds no list `{path}`")
            return self.stored[module, path]
        return _read(module, path)


def _read(module: str, path: str) -> bytes:
    written = PurePosixPath(path)
    odd = any(c in path for c in "\\:\0") or written.is_absolute() or ".." in written.parts
    if odd or not written.parts:
        raise Unusable("a list lies beside its `.nas` file or below: no `..`, no absolute path")
    if module.startswith("bundled:"):
        raise Unusable("the bundled library has no lists; name it in a file of your own")
    try:
        folder = Path(module).parent.resolve()
        place = (folder / path).resolve()
        if not place.is_relative_to(folder):
            raise Unusable(f"`{path}` is a link that leaves the folder of its `.nas` file")
        if not place.is_file():
            raise Unusable(f'there is no file "{path}" beside `{Path(module).name}`')
        with place.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise Unusable(f"`{path}` cannot be read: {error.strerror or error}") from None
    if len(data) > LARGEST:
        raise Unusable(f"`{path}` is larger than {LARGEST // 2**20} MiB")
    return data


def parse(path: str, data: bytes) -> tuple[int, ...]:
    """The indices in a file's bytes; its ending says the form. Raises Unusable."""
    kind = PurePosixPath(path).suffix.lower()
    if kind == ".npy":
        return _checked(path, _npy(path, data), None)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unusable(f"`{path}` is no text: byte {error.start} is not UTF-8") from None
    source = Source.of(path, text)
    if kind == ".json":
        return _checked(path, _json(source), None)
    spans = [m.span() for m in _TOKEN.finditer(source.text) if source.text[m.start()] != "#"]
    return _checked(path, _numbers(source, spans), (source, spans))


def _numbers(source: Source, spans: list[tuple[int, int]]) -> list[int]:
    found = []
    for start, end in spans:
        token = source.text[start:end]
        if not (token.isascii() and token.isdigit() and len(token) <= 18):
            shown = token if len(token) <= 20 else token[:20] + "…"
            raise Unusable(
                f"`{shown}` is no index: a whole number from 0", Span(source, start, end)
            )
        found.append(int(token))
    return found


def _json(source: Source) -> list[int]:
    try:
        value = json.loads(source.text)
    except json.JSONDecodeError as error:
        raise Unusable(
            f"`{source.name}` is no JSON: {error.msg}", Span(source, error.pos, error.pos)
        ) from None
    except (ValueError, RecursionError) as error:
        raise Unusable(f"`{source.name}` is no list of indices: {error}") from None
    if not isinstance(value, list):
        raise Unusable(f"`{source.name}` is no list: `[0, 4, 7]` is wanted")
    for place, entry in enumerate(value):
        if type(entry) is not int or not 0 <= entry < 10**18:
            raise Unusable(f"entry {place + 1} of `{source.name}` is no whole number from 0")
    return value


def _npy(path: str, data: bytes) -> list[int]:
    """A flat array of integers, format versions 1 to 3; an object array is refused unread."""
    wrong = Unusable(f"`{path}` is no flat `.npy` array of integers")
    if data[:6] != b"\x93NUMPY" or len(data) < 12 or data[6] not in (1, 2, 3):
        raise wrong
    start = 10 if data[6] == 1 else 12
    (length,) = struct.unpack_from("<H" if data[6] == 1 else "<I", data, 8)
    header = data[start : start + min(length, 4096)].decode("latin-1").strip()
    match = _HEADER.fullmatch(header)
    if match is None:
        raise wrong
    order, kind, count = match[1], match[2], int(match[3])
    found = array(_TYPES[kind])
    body = data[start + length :]
    if len(body) != count * found.itemsize:
        raise Unusable(f"`{path}` promises {count} indices and holds {len(body)} bytes of them")
    found.frombytes(body)
    if order != "|" and (order == ">") != (sys.byteorder == "big"):
        found.byteswap()
    return found.tolist()


def _checked(
    path: str, found: list[int], text: tuple[Source, list[tuple[int, int]]] | None
) -> tuple[int, ...]:
    """The list, without a number below 0 or a repeat; an empty one is refused."""
    if not found:
        raise Unusable(f"`{path}` holds no index")
    seen: set[int] = set()
    for place, index in enumerate(found):
        if 0 <= index < 10**18 and index not in seen:
            seen.add(index)
            continue
        where = Span(text[0], *text[1][place]) if text is not None else None
        wrong = f"{index} once more" if index in seen else f"{index}: indices run from 0"
        raise Unusable(f"entry {place + 1} of `{path}` is {wrong}", where)
    return tuple(found)
