"""What the author wrote: the comments, line breaks and blank lines of the text."""

from __future__ import annotations

import re
from bisect import bisect_left

from nasdsl.syntax import ast

_COMMENT = re.compile(r"#[^\n]*")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


class Written:
    """A module's text, asked about by position."""

    def __init__(self, module: ast.Module) -> None:
        self.text = module.span.source.text
        self.comments = module.comments
        #: Where each comment starts.
        self.starts = [comment.span.start for comment in module.comments]

    def between(self, start: int, end: int) -> str:
        """The text between two positions without comments."""
        return _COMMENT.sub("", self.text[start:end])

    def newline(self, start: int, end: int) -> bool:
        """Whether the author broke the line between two positions."""
        return start < end and "\n" in self.text[start:end]

    def blank_line(self, start: int, end: int) -> bool:
        """Whether the author left a blank line between two positions."""
        return bool(_BLANK_LINE.search(self.text, start, end))

    def apart(self, start: int, end: int) -> bool:
        """Whether a blank line stays anywhere between two things."""
        for at in range(bisect_left(self.starts, start), bisect_left(self.starts, end)):
            comment = self.comments[at]
            if comment.own_line and self.blank_line(start, comment.span.start):
                return True
            start = comment.span.end
        return self.blank_line(start, end)

    def has_comment(self, start: int, end: int) -> bool:
        """Whether a comment starts between two positions."""
        at = bisect_left(self.starts, start)
        return at < len(self.starts) and self.starts[at] < end

    def find(self, char: str, start: int) -> int:
        """The next place of a character outside comments."""
        while True:
            at = self.text.find(char, start)
            before = bisect_left(self.starts, at) - 1
            if at < 0 or before < 0 or self.comments[before].span.end <= at:
                return at
            start = self.comments[before].span.end
