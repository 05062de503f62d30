"""Where values break.

Line breaks that the author chose are kept where the style has a place for them: behind the
opening bracket of a call, list, set or map (one item per line), and around an operator.
"""

from __future__ import annotations

from collections.abc import Sequence

from nasdsl.source import Span
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.binding import POSTFIX, Indexed, is_fraction, level
from nasdsl.syntax.formatting.flat import Flat, prefix
from nasdsl.syntax.formatting.rows import Row
from nasdsl.syntax.formatting.written import Written

Bracketed = ast.Call | ast.ListOf | ast.SetOf | ast.MapOf


class Breaks(Flat):
    """What of a file's values stays on its line, and what must or may not."""

    def __init__(self, written: Written) -> None:
        super().__init__()
        self.written = written
        self._broken: dict[int, bool] = {}

    def between(self, left: ast.Value, right: ast.Value) -> str:
        return self.written.between(left.span.end, right.span.start)

    # -- what must break

    def broken(self, value: Indexed) -> bool:
        """Whether a value must cover several lines; then whoever writes it always breaks it."""
        known = self._broken.get(id(value))
        if known is None:
            known = self._broken[id(value)] = self._is_broken(value)
        return known

    def _is_broken(self, value: Indexed) -> bool:
        match value:
            case ast.Call(func=func) if self.broken(func):
                return True
            case ast.Call() | ast.ListOf() | ast.SetOf() | ast.MapOf():
                return self.vertical(*self.inside(value), self.items(value))
            case ast.Subscript(base=base):
                return self.broken(base)
            case ast.Unary(operand=operand):
                return self.broken(operand)
            case ast.Binary() | ast.If() if not is_fraction(value):
                links = self.links(value)
                return any(self.broken(link.value) for link in links) or any(
                    self.written.newline(a.value.span.end, b.value.span.start)
                    for a, b in zip(links, links[1:], strict=False)
                )
        return False

    def inside(self, value: Bracketed) -> tuple[int, int]:
        """The text between the brackets of a value."""
        if isinstance(value, ast.Call):
            return value.func.span.end, value.span.end
        return value.span.start + 1, value.span.end

    def opened(self, start: int, end: int, items: Sequence[Row]) -> bool:
        """Whether a bracket itself asks for one item per line."""
        if self.written.has_comment(start, end):
            return True
        return bool(items) and self.written.newline(start, items[0].start)

    def vertical(self, start: int, end: int, items: Sequence[Row]) -> bool:
        """Whether a bracket has to be broken."""
        return self.opened(start, end, items) or any(item.broken for item in items)

    # -- where it can break

    def head(self, value: ast.Value, minimum: int = 0) -> int:
        """How much of a value stands before the first place where it can break."""
        paren = 1 if level(value) < minimum else 0
        match value:
            case ast.Binary() | ast.If() if not is_fraction(value):
                first = self.links(value)[0]
                return paren + self.head(first.value, first.minimum)
            case ast.Unary(operand=operand):
                return paren + len(prefix(value)) + self.head(operand, level(value))
            case ast.Subscript(base=base) if self.breakable(base):
                return self.head(base, POSTFIX)
            case ast.Call(func=func) if self.breakable(func):
                return self.head(func, POSTFIX)
            case ast.Call(func=func, args=args) if args:
                return len(self.flat(func, POSTFIX)) + 1
            case ast.ListOf() | ast.SetOf() | ast.MapOf() if value.items:
                return 1
        return len(self.flat(value, minimum))

    def breakable(self, value: Indexed) -> bool:
        """Whether a value ends in a bracket with something in it, so it may stay in line."""
        match value:
            case ast.Call(args=args):
                return bool(args)
            case ast.ListOf(items=items) | ast.SetOf(items=items) | ast.MapOf(items=items):
                return bool(items)
            case ast.Unary(operand=operand):
                return self.breakable(operand)
            case ast.Subscript(base=base):
                return self.breakable(base)
        return False

    # -- values as rows

    def items(self, value: Bracketed) -> list[Row]:
        """The items of a bracket as rows: named arguments and pairs of a map align."""
        if isinstance(value, ast.Call):
            return [self._argument(arg) for arg in value.args or ()]
        if isinstance(value, ast.MapOf):
            return [self._pair(key, val) for key, val in value.items]
        return [self._item(item) for item in value.items or ()]

    def row(
        self,
        span: Span,
        kind: str,
        columns: tuple[str, ...],
        mark: str,
        *values: ast.Value | None,
    ) -> Row:
        """Columns, and what values there are behind the mark."""
        given = tuple(v for v in values if v is not None)
        return Row(
            span.start,
            span.end,
            kind,
            columns,
            mark,
            given,
            mark + " -> ".join(map(self.flat, given)) if given else "",
            any(map(self.broken, given)),
        )

    def _item(self, item: ast.Value | ast.Range) -> Row:
        if isinstance(item, ast.Range):
            return Row(item.span.start, item.span.end, tail=self.flat(item))
        return self.row(item.span, "", (), "", item)

    def _pair(self, key: ast.Value, value: ast.Value) -> Row:
        return self.row(key.span.to(value.span), "pair", (self.flat(key) + ":",), "", value)

    def _argument(self, arg: ast.Arg) -> Row:
        if arg.name is None:
            return self.row(arg.span, "", (), "", arg.value, arg.to)
        return self.row(arg.span, "named", (arg.name,), "= ", arg.value, arg.to)
