"""A text as read once, and places in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

#: A `.nas` text that is longer is none.
LARGEST = 4 * 2**20


def bytes_of(path: Path) -> bytes:
    """The bytes of a `.nas` file. Raises OSError, also where it is larger than any such file."""
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise OSError(f"{path} is larger than {LARGEST // 2**20} MiB; that is no .nas file")
    return data


@dataclass(frozen=True, kw_only=True)
class Source:
    """A `.nas` text and the name under which messages speak of it.

    Line ends are normalised to `\\n` and a leading byte-order mark is dropped, so offsets,
    lines and columns mean the same on every platform.
    """

    name: str
    text: str

    @staticmethod
    def of(name: str, text: str) -> Source:
        """The source with normalised line ends and without a byte-order mark."""
        text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        return Source(name=name, text=text)

    @cached_property
    def line_starts(self) -> tuple[int, ...]:
        """Offset of the first character of every line."""
        starts = [0]
        starts.extend(i + 1 for i, c in enumerate(self.text) if c == "\n")
        return tuple(starts)

    def location(self, offset: int) -> tuple[int, int]:
        """1-based line and column of an offset."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a 1-based line, without its line end."""
        start = self.line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of offsets in a source; line and column are computed when shown."""

    source: Source = field(repr=False)
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.location(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.location(self.start)[1]

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def __str__(self) -> str:
        line, column = self.source.location(self.start)
        return f"{self.source.name}:{line}:{column}"

    def to(self, other: Span) -> Span:
        """The range from the start of this one to the end of the other."""
        return Span(self.source, self.start, max(self.end, other.end))

    def point(self) -> Span:
        """The empty range just behind this one."""
        return Span(self.source, self.end, self.end)
