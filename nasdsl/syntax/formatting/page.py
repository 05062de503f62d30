"""The page: lines as they are written.

Comments are a queue that every line end drains as far as the position it stands at, so none is
lost, wherever it was written.
"""

from __future__ import annotations

from nasdsl.syntax.formatting.written import Written

#: Indentation of one level.
STEP = 2


class Page:
    """Takes text; `col` is where the next character goes.

    `indent` is the indentation of the current line, `floor` that of the statement or item being
    written, which continued lines of a chain must stay right of.
    """

    def __init__(self, written: Written, limit: int) -> None:
        self.written = written
        #: The longest line.
        self.limit = limit
        self.col = self.indent = self.floor = 0
        self._lines: list[str] = []
        self._parts: list[str] = []
        #: The next comment in the queue.
        self._next = 0
        #: Whether the current line ends in a comment.
        self._commented = False
        #: The end of what has been written, in the author's text.
        self._seen = 0

    def put(self, text: str) -> None:
        self._parts.append(text)
        self.col += len(text)

    def fits(self, width: int) -> bool:
        return self.col + width <= self.limit

    def line(
        self,
        pos: int,
        indent: int,
        *,
        lead: int | None = None,
        first: bool = False,
        closing: bool = False,
        tight: bool = False,
    ) -> None:
        """End the line before what stands at a position of the source, comments first.

        Comments on lines of their own are indented by `lead`. No blank line comes `first` in a
        block or before what is `closing` one, and none at all in a `tight` place.
        """
        while self.waiting(pos):
            comment = self.written.comments[self._next]
            self._next += 1
            if comment.own_line or self._commented or not self._parts:
                blank = comment.own_line and not (first or tight) and self._gap(comment.span.start)
                self._end(blank, indent if lead is None else lead)
                self.put(comment.text)
                first = False
            else:
                self.put("  " + comment.text)
            self._commented = True
            self.seen(comment.span.end)
        self._end(not (first or closing or tight) and self._gap(pos), indent)

    def waiting(self, pos: int) -> bool:
        """Whether a comment from before a position is still to be written."""
        return self._next < len(self.written.starts) and self.written.starts[self._next] < pos

    def seen(self, end: int) -> None:
        """The author's text is written up to a position."""
        self._seen = max(self._seen, end)

    def finished(self) -> str:
        """The whole text, with all comments that are still waiting."""
        self.line(len(self.written.text) + 1, 0, closing=True)
        return "\n".join(self._lines) + "\n"

    def _gap(self, pos: int) -> bool:
        """Whether the author left a blank line before this position."""
        return self.written.blank_line(self._seen, pos)

    def _end(self, blank: bool, indent: int) -> None:
        if self._parts or self._lines:
            self._lines.append("".join(self._parts).rstrip())
            if blank:
                self._lines.append("")
        self._parts = [" " * indent] if indent else []
        self.col = self.indent = indent
        self._commented = False
