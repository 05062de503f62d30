"""What a fuzzed reader is, and random changes to valid inputs: bytes, JSON, zip, gzip, safetensors."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Target:
    """A reader: valid inputs, how they are changed, and what reads them."""

    name: str
    seeds: list[bytes]
    read: Callable[[bytes, Path], object]
    change: Callable[[bytes, random.Random, Target], bytes]
    #: What the reader may answer an input with.
    refuses: tuple[type[BaseException], ...]
    words: tuple[bytes, ...] = ()


_BYTES = [b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80",
          b"\xff" * 8, b"\x00" * 8, b"\x7f" + b"\xff" * 7]  # fmt: skip
_NUMBERS = [b"0", b"-1", b"1e309", b"1e-400", b"NaN", b"Infinity", b"2147483648", b"-9" * 9,
            b"18446744073709551616", b"9" * 40, b"1" * 5000, b"0.5", b"null", b"true", b'""',
            b"[]", b"{}", b"[[]]", b'{"a": []}']  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(\.\d+)?")


def change(data: bytes, draw: random.Random, target: Target) -> bytes:
    """Some edits of bytes: flipped, cut, doubled, moved, joined with another valid file."""
    made = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        size = len(made)
        i = draw.randrange(size + 1)
        j = min(size, i + draw.choice((1, 1, 2, 4, 8, 64, 1024)))
        match draw.randrange(11):
            case 0 if i < size:
                made[i] ^= 1 << draw.randrange(8)
            case 1 if i < size:
                made[i] = draw.randrange(256)
            case 2:
                del made[i:j]
            case 3:
                made[i:i] = made[i:j] * draw.choice((1, 1, 2, 50))
            case 4:
                made[i:j] = draw.choice(_BYTES)
            case 5 if draw.random() < 0.3:
                del made[i:]
            case 6 if target.words:
                made[i:i] = draw.choice(target.words)
            case 7:
                found = list(_NUMBER.finditer(bytes(made[:20_000])))
                if found:
                    at = draw.choice(found)
                    made[at.start() : at.end()] = draw.choice(_NUMBERS)
            case 8:
                other = draw.choice(target.seeds)
                k = draw.randrange(len(other) + 1)
                made[i:j] = other[k : k + draw.choice((4, 16, 256))]
            case 9:
                made[i:i] = bytes(draw.randrange(256) for _ in range(draw.randrange(1, 9)))
            case _:
                made[i:i] = draw.choice((b"[", b"{", b"(", b'"', b"-")) * draw.choice((1, 9, 3000))
        if len(made) > 400_000:
            del made[400_000:]
    return bytes(made)


def nested(data: bytes, draw: random.Random, target: Target) -> bytes:
    """A JSON text with a value replaced by another kind of value, so that it stays JSON."""
    if draw.random() < 0.3:
        return change(data, draw, target)
    value = json.loads(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        places: list[tuple[object, object]] = []
        _places(value, places)
        if places:
            holder, key = draw.choice(places)
            if draw.random() < 0.2:
                del holder[key]  # type: ignore[attr-defined]
            else:
                holder[key] = json.loads(  # type: ignore[index]
                    draw.choice([n for n in _NUMBERS if len(n) < 4000 and b"-9" not in n])
                )
    return json.dumps(value).encode()


def _places(value: object, found: list[tuple[object, object]]) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
    for key, each in list(items):
        found.append((value, key))
        if isinstance(each, dict | list):
            _places(each, found)


def zipped(data: bytes, draw: random.Random, target: Target) -> bytes:
    """A change inside of a member of a zip archive, which stays a sound archive."""
    if draw.random() < 0.3:
        return change(data, draw, target)
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(made, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as new,
    ):
        names = old.namelist()
        chosen = draw.choice(names)
        for name in names:
            member = old.read(name)
            if name == chosen:
                # What is interesting is at the front.
                cut = draw.choice((20, 128, len(member)))
                member = change(member[:cut], draw, target) + member[cut:]
            new.writestr(name if draw.random() < 0.98 else "x", member)
    return made.getvalue()


def headed(data: bytes, draw: random.Random, target: Target) -> bytes:
    """A change in the header of a safetensors file, whose length stays right."""
    if draw.random() < 0.3:
        return change(data, draw, target)
    (length,) = struct.unpack("<Q", data[:8])
    header = nested(data[8 : 8 + length], draw, target)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def packed(data: bytes, draw: random.Random, target: Target) -> bytes:
    """A change of what a gzip file holds."""
    if draw.random() < 0.3:
        return change(data, draw, target)
    inside = gzip.decompress(data)
    cut = draw.choice((4, 16, len(inside)))
    return gzip.compress(change(inside[:cut], draw, target) + inside[cut:], 1)
