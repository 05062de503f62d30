"""Writes values: on one line where they fit, over several where they do not."""

from __future__ import annotations

from collections.abc import Sequence

from nasdsl.syntax import ast
from nasdsl.syntax.formatting.binding import POSTFIX, is_fraction, level
from nasdsl.syntax.formatting.breaks import Breaks
from nasdsl.syntax.formatting.flat import Link, prefix
from nasdsl.syntax.formatting.page import STEP, Page
from nasdsl.syntax.formatting.rows import Row, align


class Spread:
    """Puts values and the rows that hold them on a page."""

    def __init__(self, page: Page, breaks: Breaks) -> None:
        self.page = page
        self.breaks = breaks
        self.written = breaks.written

    def value(self, value: ast.Value, reserve: int = 0, minimum: int = 0) -> None:
        """Write a value; `reserve` columns must stay free behind it."""
        text = self.breaks.flat(value, minimum)
        if not self.breaks.broken(value) and self.page.fits(len(text) + reserve):
            self.page.put(text)
        elif level(value) < minimum:
            self.page.put("(")
            self._over_lines(value, reserve + 1)
            self.page.put(")")
        else:
            self._over_lines(value, reserve)

    def row(self, row: Row, widths: Sequence[int], reserve: int = 0) -> None:
        """Write a row with its columns padded to `widths`."""
        self.page.put(row.lead(widths))
        if not row.values:
            self.page.put(row.rest)
            return
        self.page.put(row.mark)
        for i, value in enumerate(row.values):
            last = i == len(row.values) - 1
            if i:
                self.page.put(" -> ")
            self.value(value, reserve if last else len(" ->"))

    def stack(self, items: Sequence[Row], close: int) -> None:
        """One item per line, each with a comma."""
        page = self.page
        base, floor = page.indent, page.floor
        page.floor = base + STEP
        rows = align(items, page.limit - page.floor - 1, self.written.apart)
        for i, (item, widths) in enumerate(rows):
            page.line(item.start, base + STEP, first=i == 0)
            self.row(item, widths, 1)
            page.put(",")
            page.seen(item.end)
        page.line(close, base, lead=base + STEP, first=not items, closing=True)
        page.floor = floor

    def _over_lines(self, value: ast.Value, reserve: int) -> None:
        """Write a value over several lines, if it has a place to break."""
        match value:
            case ast.Binary() | ast.If() if not is_fraction(value):
                self._chain(self.breaks.links(value), reserve)
            case ast.Unary():
                self.page.put(prefix(value))
                self.value(value.operand, reserve, level(value))
            case ast.Subscript(base=base, index=index):
                text = f"[{self.breaks.flat(index)}]"
                self.value(base, reserve + len(text), POSTFIX)
                self.page.put(text)
            case ast.Call(func=func):
                self.value(func, 1, POSTFIX)
                self._bracket("()", *self.breaks.inside(value), self.breaks.items(value), reserve)
            case ast.ListOf():
                self._bracket("[]", *self.breaks.inside(value), self.breaks.items(value), reserve)
            case ast.SetOf() | ast.MapOf():
                self._bracket("{}", *self.breaks.inside(value), self.breaks.items(value), reserve)
            case _:
                self.page.put(self.breaks.flat(value))

    # -- chains

    def _chain(self, links: Sequence[Link], reserve: int) -> None:
        """Operands align below the first; a line takes as many of them as fit."""
        start, floor = self.page.col, self.page.floor + STEP
        for i, link in enumerate(links):
            after = reserve if i == len(links) - 1 else 0
            if i:
                at = max(start - len(link.op) - 1, floor)
                before = links[i - 1].value.span.end
                split = self.written.newline(before, link.value.span.start)
                if split or self._overflows(link, at, after):
                    self.page.line(link.value.span.start, at, tight=True)
                    self.page.put(link.op + " ")
                else:
                    self.page.put(f" {link.op} ")
            self.value(link.value, after, link.minimum)

    def _overflows(self, link: Link, at: int, after: int) -> bool:
        """Whether an operand is better off on a new line that begins at a column."""
        width = len(self.breaks.flat(link.value, link.minimum)) + after
        if not self.breaks.broken(link.value):
            if self.page.fits(len(link.op) + 2 + width):
                return False
            if at + len(link.op) + 1 + width <= self.page.limit:
                return True
        head = self.breaks.head(link.value, link.minimum)
        return not self.page.fits(len(link.op) + 2 + head)

    # -- brackets

    def _bracket(self, pair: str, start: int, end: int, items: Sequence[Row], reserve: int) -> None:
        """Items between brackets: in line, hugged if there is only one, or one per line."""
        self.page.put(pair[0])
        flat = ", ".join(item.flat for item in items)
        if self.breaks.opened(start, end, items) or self.page.waiting(start):
            self.stack(items, end - 1)
        elif not any(i.broken for i in items) and self.page.fits(len(flat) + 1 + reserve):
            self.page.put(flat)
        elif len(items) == 1 and self._huggable(items[0]):
            self.row(items[0], items[0].widths, reserve + 1)
        else:
            self.stack(items, end - 1)
        self.page.put(pair[1])

    def _huggable(self, item: Row) -> bool:
        """`f({` … `})`: a lone bracketed item needs no lines of its own."""
        if len(item.values) != 1 or not self.breaks.breakable(item.values[0]):
            return False
        if isinstance(item.values[0], ast.Subscript):
            return False
        lead = len(item.lead(item.widths)) + len(item.mark)
        return self.page.fits(lead + self.breaks.head(item.values[0]))
