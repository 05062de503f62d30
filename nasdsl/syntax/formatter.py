"""Canonical text of a syntax tree: one style, so a one-word change is a one-line diff.

What fits a line and was not broken by its author stays on it. Line breaks that the author
chose are kept where the style has a place for them: behind the opening bracket of a call, list,
set or map (one item per line), and around an operator. Comments are a queue that every line end
drains as far as the position it stands at, so none is lost, wherever it was written.

Everything that decides where lines break looks only at flat text and at the author's breaks,
and whatever was broken for its length counts as broken by the author next time. That is why
formatting twice changes nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeGuard

from nasdsl.source import Span
from nasdsl.syntax import ast

#: Longest line.
LIMIT = 110
#: Indentation of one level.
STEP = 2
#: What the left side of an edge or an operation leaves for its value.
VALUE = 30

_COMMENT = re.compile(r"#[^\n]*")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")

# Binding strength, loosest first (rule 4.1).
_IF, _OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _CHAIN, _UNARY, _POSTFIX, _ATOM = range(11)
_BINARY = {
    "or": _OR,
    "and": _AND,
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), _COMPARE),
    **dict.fromkeys("+-", _SUM),
    **dict.fromkeys(("*", "/", "//"), _PRODUCT),
    ">>": _CHAIN,
}
#: Attributes and `let` share a run of aligned `=`.
_SETTING = "setting"

_Indexed = ast.Value | ast.Range | ast.Earlier
_Block = ast.Space | ast.Cell | ast.Config | ast.Phase | ast.Ops
_Statement = ast.Item | ast.SpaceStmt | ast.CellStmt | ast.Phase | ast.Candidate


def format_module(module: ast.Module) -> str:
    """The whole file in the canonical style; ends with a newline."""
    return _Printer(module).module()


def format_value(value: ast.Value) -> str:
    """A value on one line, with no more parentheses than its meaning needs."""
    return _Inline().flat(value)


# ---- flat text


def _level(value: _Indexed) -> int:
    """How tightly the outermost operator of a value binds."""
    match value:
        case ast.Binary(op=op):
            return _BINARY[op]
        case ast.If():
            return _IF
        case ast.Unary(op="not"):
            return _NOT
        # A domain may stand before `(` unwrapped, but `(int 1..n)(2)` is easier to read.
        case ast.Unary() | ast.IntDomain() | ast.FloatDomain():
            return _UNARY
        case ast.Call() | ast.Subscript():
            return _POSTFIX
        case ast.Number(text=""):
            text = _number(value)
            return _PRODUCT if "/" in text else _UNARY if text.startswith("-") else _ATOM
    return _ATOM


def _number(number: ast.Number) -> str:
    """The spelling, or for a computed number the shortest exact one."""
    if number.text:
        return number.text
    value = number.value
    twos, rest = 0, value.denominator
    while rest % 2 == 0:
        twos, rest = twos + 1, rest // 2
    fives = 0
    while rest % 5 == 0:
        fives, rest = fives + 1, rest // 5
    if rest != 1:
        return str(value)
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    whole, decimals = digits[: len(digits) - places], digits[len(digits) - places :]
    return ("-" if value < Fraction(0) else "") + whole + ("." + decimals if places else "")


def _prefix(value: ast.Unary) -> str:
    return value.op if value.op == "-" else value.op + " "


@dataclass(frozen=True, slots=True)
class _Link:
    """An operand of a flattened chain, and the operator before it."""

    op: str
    value: ast.Value
    minimum: int


def _link(op: str, value: ast.Value, minimum: int, wrapped: bool) -> _Link:
    """Parentheses that an author put around an operation are kept, though not needed."""
    if wrapped and isinstance(value, ast.Binary | ast.If):
        minimum = _ATOM
    return _Link(op, value, minimum)


def _is_fraction(value: _Indexed) -> TypeGuard[ast.Binary]:
    """`1/3`: numbers on both sides read as one number, so nothing stands around the slash."""
    if not isinstance(value, ast.Binary) or value.op != "/":
        return False
    return all(
        isinstance(side, ast.Number) and _level(side) == _ATOM for side in (value.left, value.right)
    )


class _Inline:
    """Text on one line."""

    def __init__(self) -> None:
        self._bare: dict[int, str] = {}

    def between(self, left: ast.Value, right: ast.Value) -> str:
        """What stands between two operands, where the author's parentheses are to be kept."""
        return ""

    def flat(self, value: _Indexed, minimum: int = 0) -> str:
        """A value on one line, in parentheses where it binds looser than its place demands."""
        text = self._bare.get(id(value))
        if text is None:
            text = self._bare[id(value)] = self.bare(value)
        return f"({text})" if _level(value) < minimum else text

    def bare(self, value: _Indexed) -> str:
        match value:
            case ast.Name(text=text):
                return text
            case ast.Number():
                return _number(value)
            case ast.String(value=text):
                return f'"{text}"'
            case ast.Boolean(value=flag):
                return "true" if flag else "false"
            case ast.Binary() | ast.If():
                return self.linked(value)
            case ast.Unary(operand=operand):
                return _prefix(value) + self.flat(operand, _level(value))
            case ast.Call(func=func, args=args):
                return f"{self.flat(func, _POSTFIX)}({', '.join(map(self.flat_arg, args or ()))})"
            case ast.Subscript(base=base, index=index):
                return f"{self.flat(base, _POSTFIX)}[{self.flat(index)}]"
            case ast.ListOf(items=items):
                return f"[{', '.join(map(self.flat, items or ()))}]"
            case ast.SetOf(items=items):
                return "{" + ", ".join(map(self.flat, items)) + "}"
            case ast.MapOf(items=pairs):
                return "{" + ", ".join(f"{self.flat(k)}: {self.flat(v)}" for k, v in pairs) + "}"
        return self.domain(value)

    def domain(self, value: _Indexed) -> str:
        match value:
            case ast.Range(low=low, high=high):
                return f"{self.flat(low)}..{self.flat(high)}"
            case ast.IntDomain(low=low, high=high, step=step):
                by = f" by {self.flat(step)}" if step else ""
                return f"int {self.flat(low)}..{self.flat(high)}{by}"
            case ast.FloatDomain(low=low, high=high, log=log):
                return f"float {self.flat(low)}..{self.flat(high)}{' log' if log else ''}"
        return "<"

    def linked(self, value: ast.Binary | ast.If) -> str:
        if _is_fraction(value):
            return f"{self.flat(value.left)}/{self.flat(value.right)}"
        first, *rest = self.links(value)
        text = [self.flat(first.value, first.minimum)]
        text.extend(f" {link.op} {self.flat(link.value, link.minimum)}" for link in rest)
        return "".join(text)

    def flat_arg(self, arg: ast.Arg) -> str:
        name = f"{arg.name} = " if arg.name is not None else ""
        to = f" -> {self.flat(arg.to)}" if arg.to else ""
        return name + self.flat(arg.value) + to

    def flat_end(self, end: ast.End) -> str:
        return f"{end.name.text}[{self.flat(end.index)}]" if end.index else end.name.text

    def flat_ends(self, ends: Sequence[ast.End] | None) -> str:
        if ends is None:
            return "node"
        if len(ends) == 1:
            return self.flat_end(ends[0])
        return "{" + ", ".join(map(self.flat_end, ends)) + "}"

    def flat_param(self, param: ast.Param) -> str:
        default = f" = {self.flat(param.default)}" if param.default else ""
        return param.name.text + default

    def flat_params(self, params: Sequence[ast.Param]) -> str:
        return f"({', '.join(map(self.flat_param, params))})" if params else ""

    def links(self, value: ast.Binary | ast.If) -> list[_Link]:
        """The operands of one strength in writing order: lines break between these first."""
        if isinstance(value, ast.If):
            return self.if_links(value)
        level = _BINARY[value.op]
        found: list[_Link] = []
        left: ast.Value = value
        last = ""
        while isinstance(left, ast.Binary) and _BINARY[left.op] == level and not _is_fraction(left):
            last = self.between(left.left, left.right)
            found.append(_link(left.op, left.right, level + 1, "(" in last))
            left = left.left
            if level == _COMPARE:  # does not associate
                break
        minimum = level + 1 if level == _COMPARE else level
        found.append(_link("", left, minimum, ")" in last))
        return found[::-1]

    def if_links(self, value: ast.If) -> list[_Link]:
        found: list[_Link] = []
        op, rest = "", value
        while True:
            between = self.between(rest.then, rest.condition)
            found.append(_link(op, rest.then, _OR, ")" in between))
            found.append(_link("if", rest.condition, _OR, "(" in between))
            if not isinstance(rest.otherwise, ast.If):
                between = self.between(rest.condition, rest.otherwise)
                return [*found, _link("else", rest.otherwise, _IF, "(" in between)]
            op, rest = "else", rest.otherwise

    def head_of(self, block: _Block | ast.Op) -> str:
        params = "" if isinstance(block, ast.Phase | ast.Ops) else self.flat_params(block.params)
        keyword = "op" if isinstance(block, ast.Op) else _keyword(block)
        return f"{keyword} {block.name.text}{params}"

    def stage_tail(self, stage: ast.Stage) -> str:
        attrs = "  ".join(f"{a.target.text} = {self.flat(a.value)}" for a in stage.attrs)
        parts = [f"{{ {attrs} }}"] if attrs else []
        return " ".join(parts + ([f"at {self.flat(stage.at)}"] if stage.at else []))


# ---- rows: lines that align with their neighbours


@dataclass(frozen=True, slots=True)
class _Row:
    """A line in columns, then perhaps a mark (`=`, `:`) and values (two around `->`).

    Rows of one kind on adjacent lines form a run, whose columns align. A row of no kind stands
    alone. `tail` is the flat text behind the columns; `broken` rows cover several lines.
    """

    start: int
    end: int
    kind: str = ""
    columns: tuple[str, ...] = ("",)
    mark: str = ""
    values: tuple[ast.Value, ...] = ()
    tail: str = ""
    broken: bool = False

    def aligned(self) -> int:
        """How many columns have something behind them to align."""
        return len(self.columns) if self.tail else len(self.columns) - 1

    def rest(self) -> str:
        return self.tail if self.tail else self.columns[-1]

    def lead(self, widths: Sequence[int]) -> str:
        """The columns, padded."""
        count = self.aligned()
        padded = [c.ljust(w) + " " for c, w in zip(self.columns[:count], widths, strict=False)]
        return "".join(padded) if self.tail else "".join(padded) + self.columns[-1]

    def width(self) -> int:
        if self.columns == ("",):
            return len(self.tail)
        return sum(len(c) + 1 for c in self.columns[: self.aligned()]) + len(self.rest())


class _Run:
    """Rows being aligned. A row joins only if no line grows beyond the room by it."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.widths: list[int] = []
        self.rests: dict[int, int] = {}
        self.kind = ""
        self.closed = True

    def joins(self, row: _Row) -> bool:
        """Take the row in, or say that it must begin another run."""
        if self.closed or not row.kind or row.kind != self.kind:
            return False
        widths = self._widened(row)
        rests = self._measured(row)
        if any(sum(widths[:n]) + n + rest > self.room for n, rest in rests.items()):
            return False
        self.widths[:], self.rests, self.closed = widths, rests, row.broken
        return True

    def begin(self, row: _Row) -> None:
        self.widths, self.rests = [], {}
        self.kind, self.closed = row.kind, row.broken
        self.widths, self.rests = self._widened(row), self._measured(row)

    def _widened(self, row: _Row) -> list[int]:
        mine = [len(c) for c in row.columns[: row.aligned()]]
        both = self.widths + [0] * (len(mine) - len(self.widths))
        return [max(w, m) for w, m in zip(both, mine + [0] * len(both), strict=False)]

    def _measured(self, row: _Row) -> dict[int, int]:
        if row.broken:
            return self.rests
        count = row.aligned()
        return {**self.rests, count: max(self.rests.get(count, 0), len(row.rest()))}


class _Printer(_Inline):
    """Writes lines; `col` is where the next character goes.

    `indent` is the indentation of the current line, `floor` that of the statement or item being
    written, which continued lines of a chain must stay right of.
    """

    def __init__(self, module: ast.Module) -> None:
        super().__init__()
        self.tree = module
        self.text = module.span.source.text
        self.comments = module.comments
        self.starts = [comment.span.start for comment in module.comments]
        self.next = 0
        self.lines: list[str] = []
        self.parts: list[str] = []
        self.commented = False
        self.col = self.indent = self.floor = 0
        self.last = 0
        self._broken: dict[int, bool] = {}

    # -- lines and comments

    def put(self, text: str) -> None:
        self.parts.append(text)
        self.col += len(text)

    def fits(self, width: int) -> bool:
        return self.col + width <= LIMIT

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
        while self.next < len(self.comments) and self.starts[self.next] < pos:
            comment = self.comments[self.next]
            self.next += 1
            if comment.own_line or self.commented or not self.parts:
                blank = comment.own_line and not (first or tight) and self.gap(comment.span.start)
                self._end(blank, indent if lead is None else lead)
                self.put(comment.text)
                first = False
            else:
                self.put("  " + comment.text)
            self.commented = True
            self.seen(comment.span)
        self._end(not (first or closing or tight) and self.gap(pos), indent)

    def _end(self, blank: bool, indent: int) -> None:
        if self.parts or self.lines:
            self.lines.append("".join(self.parts).rstrip())
            if blank:
                self.lines.append("")
        self.parts = [" " * indent] if indent else []
        self.col = self.indent = indent
        self.commented = False

    def seen(self, span: Span) -> None:
        self.last = max(self.last, span.end)

    def gap(self, pos: int) -> bool:
        """Whether the author left a blank line before this position."""
        return bool(_BLANK_LINE.search(self.text, self.last, pos)) and self.last < pos

    def apart(self, start: int, end: int) -> bool:
        """Whether `line` leaves a blank line anywhere between two things."""
        for at in range(bisect_left(self.starts, start), bisect_left(self.starts, end)):
            comment = self.comments[at]
            if comment.own_line and _BLANK_LINE.search(self.text, start, comment.span.start):
                return True
            start = comment.span.end
        return bool(_BLANK_LINE.search(self.text, start, end))

    def has_comment(self, start: int, end: int) -> bool:
        at = bisect_left(self.starts, start)
        return at < len(self.starts) and self.starts[at] < end

    def waiting(self, pos: int) -> bool:
        """Whether a comment from before a position is still to be written."""
        return self.next < len(self.starts) and self.starts[self.next] < pos

    def find(self, char: str, start: int) -> int:
        """The next place of a character outside comments."""
        while True:
            at = self.text.find(char, start)
            before = bisect_left(self.starts, at) - 1
            if at < 0 or before < 0 or self.comments[before].span.end <= at:
                return at
            start = self.comments[before].span.end

    def newline(self, start: int, end: int) -> bool:
        """Whether the author broke the line between two positions."""
        return start < end and "\n" in self.text[start:end]

    # -- what the author wrote

    def between(self, left: ast.Value, right: ast.Value) -> str:
        return _COMMENT.sub("", self.text[left.span.end : right.span.start])

    def broken(self, value: _Indexed) -> bool:
        """Whether a value must cover several lines; then `value` always breaks it."""
        known = self._broken.get(id(value))
        if known is None:
            known = self._broken[id(value)] = self._is_broken(value)
        return known

    def _is_broken(self, value: _Indexed) -> bool:
        match value:
            case ast.Call(func=func) if self.broken(func):
                return True
            case ast.Call() | ast.ListOf() | ast.SetOf() | ast.MapOf():
                start, end = self.inside(value)
                return self.vertical(start, end, self.items(value))
            case ast.Subscript(base=base):
                return self.broken(base)
            case ast.Unary(operand=operand):
                return self.broken(operand)
            case ast.Binary() | ast.If() if not _is_fraction(value):
                links = self.links(value)
                return any(self.broken(link.value) for link in links) or any(
                    self.newline(a.value.span.end, b.value.span.start)
                    for a, b in zip(links, links[1:], strict=False)
                )
        return False

    def inside(self, value: ast.Call | ast.ListOf | ast.SetOf | ast.MapOf) -> tuple[int, int]:
        """The text between the brackets of a value."""
        if isinstance(value, ast.Call):
            return value.func.span.end, value.span.end
        return value.span.start + 1, value.span.end

    def opened(self, start: int, end: int, items: Sequence[_Row]) -> bool:
        """Whether a bracket itself asks for one item per line."""
        return self.has_comment(start, end) or (bool(items) and self.newline(start, items[0].start))

    def vertical(self, start: int, end: int, items: Sequence[_Row]) -> bool:
        return self.opened(start, end, items) or any(item.broken for item in items)

    def items(self, value: ast.Call | ast.ListOf | ast.SetOf | ast.MapOf) -> list[_Row]:
        """The items of a bracket as rows: named arguments and pairs of a map align."""
        if isinstance(value, ast.Call):
            return [self.argument(arg) for arg in value.args or ()]
        if isinstance(value, ast.MapOf):
            return [self.pair(key, val) for key, val in value.items]
        return [self.item(item) for item in value.items or ()]

    def item(self, item: ast.Value | ast.Range) -> _Row:
        span = item.span
        if isinstance(item, ast.Range):
            return _Row(span.start, span.end, tail=self.flat(item))
        return self.row(span, "", (), "", item)

    def pair(self, key: ast.Value, value: ast.Value) -> _Row:
        return self.row(key.span.to(value.span), "pair", (self.flat(key) + ":",), "", value)

    def argument(self, arg: ast.Arg) -> _Row:
        if arg.name is None:
            return self.row(arg.span, "", (), "", arg.value, arg.to)
        return self.row(arg.span, "named", (arg.name,), "= ", arg.value, arg.to)

    def param(self, param: ast.Param) -> _Row:
        if param.default is None:
            return _Row(param.span.start, param.span.end, tail=param.name.text)
        return self.row(param.span, "named", (param.name.text,), "= ", param.default)

    def row(
        self,
        span: Span,
        kind: str,
        columns: tuple[str, ...],
        mark: str,
        *values: ast.Value | None,
    ) -> _Row:
        given = tuple(v for v in values if v is not None)
        return _Row(
            span.start,
            span.end,
            kind,
            columns or ("",),
            mark,
            given,
            mark + " -> ".join(map(self.flat, given)) if given else "",
            any(map(self.broken, given)),
        )

    # -- values

    def value(self, value: ast.Value, reserve: int = 0, minimum: int = 0) -> None:
        """Write a value; `reserve` columns must stay free behind it."""
        text = self.flat(value, minimum)
        if not self.broken(value) and self.fits(len(text) + reserve):
            self.put(text)
        elif _level(value) < minimum:
            self.put("(")
            self.spread(value, reserve + 1)
            self.put(")")
        else:
            self.spread(value, reserve)

    def spread(self, value: ast.Value, reserve: int) -> None:
        """Write a value over several lines, if it has a place to break."""
        match value:
            case ast.Binary() | ast.If() if not _is_fraction(value):
                self.chain(self.links(value), reserve)
            case ast.Unary():
                self.put(_prefix(value))
                self.value(value.operand, reserve, _level(value))
            case ast.Subscript(base=base, index=index):
                text = f"[{self.flat(index)}]"
                self.value(base, reserve + len(text), _POSTFIX)
                self.put(text)
            case ast.Call(func=func):
                self.value(func, 1, _POSTFIX)
                self.bracket("()", *self.inside(value), self.items(value), reserve)
            case ast.ListOf():
                self.bracket("[]", *self.inside(value), self.items(value), reserve)
            case ast.SetOf() | ast.MapOf():
                self.bracket("{}", *self.inside(value), self.items(value), reserve)
            case _:
                self.put(self.flat(value))

    def chain(self, links: Sequence[_Link], reserve: int) -> None:
        """Operands align below the first; a line takes as many of them as fit."""
        start, floor = self.col, self.floor + STEP
        for i, link in enumerate(links):
            after = reserve if i == len(links) - 1 else 0
            if i:
                at = max(start - len(link.op) - 1, floor)
                before = links[i - 1].value.span.end
                split = self.newline(before, link.value.span.start)
                if split or self.overflows(link, at, after):
                    self.line(link.value.span.start, at, tight=True)
                    self.put(link.op + " ")
                else:
                    self.put(f" {link.op} ")
            self.value(link.value, after, link.minimum)

    def overflows(self, link: _Link, at: int, after: int) -> bool:
        """Whether an operand is better off on a new line that begins at a column."""
        width = len(self.flat(link.value, link.minimum)) + after
        if not self.broken(link.value):
            if self.fits(len(link.op) + 2 + width):
                return False
            if at + len(link.op) + 1 + width <= LIMIT:
                return True
        return not self.fits(len(link.op) + 2 + self.head(link.value, link.minimum))

    def head(self, value: ast.Value, minimum: int = 0) -> int:
        """How much of a value stands before the first place where it can break."""
        paren = 1 if _level(value) < minimum else 0
        match value:
            case ast.Binary() | ast.If() if not _is_fraction(value):
                first = self.links(value)[0]
                return paren + self.head(first.value, first.minimum)
            case ast.Unary(operand=operand):
                return paren + len(_prefix(value)) + self.head(operand, _level(value))
            case ast.Subscript(base=base) if self.breakable(base):
                return self.head(base, _POSTFIX)
            case ast.Call(func=func) if self.breakable(func):
                return self.head(func, _POSTFIX)
            case ast.Call(func=func, args=args) if args:
                return len(self.flat(func, _POSTFIX)) + 1
            case ast.ListOf() | ast.SetOf() | ast.MapOf() if value.items:
                return 1
        return len(self.flat(value, minimum))

    def breakable(self, value: _Indexed) -> bool:
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

    # -- brackets

    def bracket(self, pair: str, start: int, end: int, items: Sequence[_Row], reserve: int) -> None:
        """Items between brackets: in line, hugged if there is only one, or one per line."""
        self.put(pair[0])
        flat = ", ".join(_flat_row(item) for item in items)
        if self.opened(start, end, items) or self.waiting(start):
            self.stack(items, end - 1)
        elif not any(item.broken for item in items) and self.fits(len(flat) + 1 + reserve):
            self.put(flat)
        elif len(items) == 1 and self.huggable(items[0]):
            self.put_row(items[0], (len(items[0].columns[0]),), reserve + 1)
        else:
            self.stack(items, end - 1)
        self.put(pair[1])

    def huggable(self, item: _Row) -> bool:
        """`f({` … `})`: a lone bracketed item needs no lines of its own."""
        if len(item.values) != 1 or not self.breakable(item.values[0]):
            return False
        if isinstance(item.values[0], ast.Subscript):
            return False
        lead = item.lead((len(item.columns[0]),)) if item.columns != ("",) else ""
        return self.fits(len(lead) + len(item.mark) + self.head(item.values[0]))

    def stack(self, items: Sequence[_Row], close: int) -> None:
        """One item per line, each with a comma."""
        base, floor = self.indent, self.floor
        self.floor = base + STEP
        for i, (item, widths) in enumerate(self.align(items, self.floor, 1)):
            self.line(item.start, base + STEP, first=i == 0)
            self.put_row(item, widths, 1)
            self.put(",")
            self.last = max(self.last, item.end)
        self.line(close, base, lead=base + STEP, first=not items, closing=True)
        self.floor = floor

    def put_row(self, row: _Row, widths: Sequence[int], reserve: int = 0) -> None:
        if row.columns != ("",):
            self.put(row.lead(widths))
        if not row.values:
            self.put(row.tail)
            return
        self.put(row.mark)
        for i, value in enumerate(row.values):
            last = i == len(row.values) - 1
            if i:
                self.put(" -> ")
            self.value(value, reserve if last else len(" ->"))

    def align(
        self, rows: Sequence[_Row], indent: int, reserve: int = 0
    ) -> list[tuple[_Row, Sequence[int]]]:
        """Rows with the widths of their columns; a run ends behind a broken row."""
        found: list[tuple[_Row, Sequence[int]]] = []
        run = _Run(LIMIT - indent - reserve)
        end = 0
        for row in rows:
            if not row.broken and row.width() > run.room:
                row = _as_broken(row)
            if self.apart(end, row.start) or not run.joins(row):
                run = _Run(run.room)
                run.begin(row)
            found.append((row, run.widths))
            end = row.end
        return found

    # -- statements

    def module(self) -> str:
        self.line(self.tree.version.span.start, 0, first=True)
        self.put(f"nas {_number(self.tree.version)}")
        self.seen(self.tree.version.span)
        self.statements(self.tree.items, 0, first=False)
        self.line(len(self.text) + 1, 0, closing=True)
        return "\n".join(self.lines) + "\n"

    def statements(self, body: Sequence[_Statement], indent: int, *, first: bool) -> None:
        """Statements one below the other."""
        pad = max(map(_keyword_width, body), default=0)
        rows = self.align([self.statement_row(s, pad, indent) for s in body], indent)
        floor = self.floor
        for statement, (row, widths) in zip(body, rows, strict=True):
            self.line(row.start, indent, first=first)
            self.floor, first = indent, False
            self.statement(statement, row, widths, pad)
            self.last = max(self.last, row.end)
        self.floor = floor

    def body(self, body: Sequence[_Statement], close: int) -> None:
        """Statements in braces, over several lines even if they are none but a comment."""
        indent = self.floor
        self.put("{")
        self.statements(body, indent + STEP, first=True)
        self.line(close, indent, lead=indent + STEP, first=not body, closing=True)
        self.put("}")

    def statement_row(self, statement: _Statement, pad: int, indent: int) -> _Row:
        """The statement as a row, to align it; of no kind if nothing is to align."""
        span = statement.span
        match statement:
            case ast.Attr(target=name, value=value):
                return self.row(span, _SETTING, (name.text,), "= ", value)
            case ast.Let(name=ident, value=value):
                return self.row(span, _SETTING, ("let " + ident.text,), "= ", value)
            case ast.Candidate(name=ident, value=maybe):
                return self.row(span, "candidate", (ident.text,), "= ", maybe)
            case ast.NodeDef(name=ident, count=count, value=maybe):
                nodes = f"[{self.flat(count)}]" if count else ""
                return self.row(
                    span, "node", ("node".ljust(pad) + " " + ident.text + nodes,), ": ", maybe
                )
            case ast.Op(value=value) if not self.tall_head(statement, indent):
                return self.row(span, "op", (self.head_of(statement),), "= ", value)
            case ast.Edge():
                return self.edge_row(statement, pad, indent)
            case ast.Space() | ast.Cell() | ast.Config() | ast.Phase() | ast.Ops():
                return self.block_row(statement, indent)
        return _Row(span.start, span.end)

    def edge_row(self, edge: ast.Edge, pad: int, indent: int) -> _Row:
        sources, targets = self.flat_ends(edge.sources), "-> " + self.flat_ends(edge.targets)
        if len(sources) + len(targets) + pad + indent > LIMIT - VALUE:
            return _Row(edge.span.start, edge.span.end)
        return self.row(
            edge.span, "edge", ("edge".ljust(pad) + " " + sources, targets), ": ", edge.op
        )

    def block_row(self, block: _Block, indent: int) -> _Row:
        span = block.span
        if not block.parents or self.tall_head(block, indent):
            return _Row(span.start, span.end)
        empty = self.is_empty(block)
        return _Row(
            span.start,
            span.end,
            _keyword(block),
            (self.head_of(block),),
            tail=f"extends {_names(block.parents)} {'{}' if empty else '{'}",
            broken=not empty,
        )

    def is_empty(self, block: _Block) -> bool:
        if _children(block):
            return False
        return not self.has_comment(self.find("{", _head_end(block)), block.span.end)

    def tall_head(self, block: _Block | ast.Op, indent: int) -> bool:
        """Whether the parameters of a definition stand one per line."""
        if isinstance(block, ast.Phase | ast.Ops) or not block.params:
            return False
        width = indent + len(self.head_of(block)) + (VALUE if isinstance(block, ast.Op) else 2)
        params = [self.param(param) for param in block.params]
        start, end = block.name.span.end, block.params[-1].span.end
        return self.vertical(start, end, params) or width > LIMIT

    def statement(self, statement: _Statement, row: _Row, widths: Sequence[int], pad: int) -> None:
        match statement:
            case ast.Space() | ast.Cell() | ast.Config() | ast.Phase() | ast.Ops():
                self.block(statement, row, widths)
            case ast.Op() if not row.kind:
                self.tall_op(statement)
            case ast.Edge() if not row.kind:
                self.tall_edge(statement, pad)
            case ast.Input() | ast.Stem() | ast.Stage() | ast.Head() | ast.Repeat():
                self.network(statement, pad)
            case ast.Target(attrs=attrs):
                self.target(statement, attrs)
            case ast.ImportFile(path=path, alias=alias):
                self.put(f"import {self.flat(path)} as {alias.text}")
            case ast.ImportNames(path=path, names=names):
                self.put(f"from {self.flat(path)} import ")
                self.fill([(name.text, name.span.start) for name in names], self.col)
            case _ if row.kind:
                self.put_row(row, widths)
            case _:
                self.wiring(statement, pad)

    def wiring(self, statement: _Statement, pad: int) -> None:
        """The statements of a cell that no columns align."""
        match statement:
            case ast.In(inputs=inputs):
                self.put("in".ljust(pad) + " ")
                self.inputs(inputs)
            case ast.Out(value=value):
                self.put("out".ljust(pad) + " ")
                self.value(value)
            case ast.Require(value=value):
                self.put("require ")
                self.value(value)
            case ast.Pick(count=count, per=per):
                self.put("pick".ljust(pad) + " ")
                self.value(count, len(" per"))
                self.per(per, 0)
            case ast.Keep(count=count, per=per, exclude=exclude):
                self.put("keep".ljust(pad) + " ")
                self.value(count, len(" per"))
                self.per(per, len(" except {") if exclude else 0)
                if exclude:
                    self.put(" except ")
                    self.value(exclude)

    def per(self, ends: Sequence[ast.End] | None, reserve: int) -> None:
        self.put(" per ")
        self.ends(ends, reserve)

    def ends(self, ends: Sequence[ast.End] | None, reserve: int) -> None:
        text = self.flat_ends(ends)
        if ends is None or len(ends) == 1 or self.fits(len(text) + reserve):
            self.put(text)
            return
        rows = [_Row(e.span.start, e.span.end, tail=self.flat_end(e)) for e in ends]
        self.put("{")
        self.stack(rows, rows[-1].end)
        self.put("}")

    def tall_edge(self, edge: ast.Edge, pad: int) -> None:
        """An edge whose ends take most of a line aligns with nothing."""
        self.put("edge".ljust(pad) + " ")
        self.ends(edge.sources, len(" ->"))
        self.put(" -> ")
        self.ends(edge.targets, len(" :") if edge.op else 0)
        if edge.op:
            self.put(" : ")
            self.value(edge.op)

    def inputs(self, inputs: Sequence[ast.CellInput]) -> None:
        """On one line, or one below the other if the author did so or they do not fit."""
        texts = [i.name.text + (f" : {self.flat(i.prepare)}" if i.prepare else "") for i in inputs]
        split = any(i.prepare is not None and self.broken(i.prepare) for i in inputs)
        for one, two in zip(inputs, inputs[1:], strict=False):
            split = split or self.newline(one.span.end, two.span.start)
        if not split and self.fits(len(", ".join(texts))):
            self.put(", ".join(texts))
            return
        indent = self.col
        for i, one in enumerate(inputs):
            if i:
                self.put(",")
                self.line(one.span.start, indent, tight=True)
            self.put(one.name.text)
            if one.prepare:
                self.put(" : ")
                self.value(one.prepare, 0 if one is inputs[-1] else 1)

    def fill(self, names: Sequence[tuple[str, int]], indent: int, reserve: int = 0) -> None:
        """Names after commas, as many on a line as fit."""
        for i, (name, start) in enumerate(names):
            if i:
                self.put(",")
                if self.fits(1 + len(name) + (reserve if i == len(names) - 1 else 1)):
                    self.put(" ")
                else:
                    self.line(start, indent, tight=True)
            self.put(name)

    def params(self, params: Sequence[ast.Param], start: int) -> None:
        rows = [self.param(param) for param in params]
        close = self.find(")", rows[-1].end)
        self.put("(")
        self.stack(rows, close)
        self.put(")")

    def tall_op(self, op: ast.Op) -> None:
        self.put("op " + op.name.text)
        self.params(op.params, op.name.span.end)
        self.put(" = ")
        self.value(op.value)

    # -- blocks

    def block(self, block: _Block, row: _Row, widths: Sequence[int]) -> None:
        reserve = 3 if self.is_empty(block) else 2
        if row.kind:
            self.put(self.head_of(block).ljust(widths[0]))
        elif not isinstance(block, ast.Phase | ast.Ops) and self.tall_head(block, self.floor):
            self.put(f"{_keyword(block)} {block.name.text}")
            self.params(block.params, block.name.span.end)
        else:
            self.put(self.head_of(block))
        if block.parents:
            self.put(" extends ")
            names = [(p.text, p.span.start) for p in block.parents]
            self.fill(names, self.floor + 2 * STEP, reserve)
        self.put(" ")
        if reserve == 3:
            self.put("{}")
        else:
            self.body(_children(block), block.span.end - 1)

    def target(self, target: ast.Target, attrs: Sequence[ast.Attr]) -> None:
        self.put("target ")
        if attrs or self.has_comment(self.find("{", target.span.start), target.span.end):
            self.body(attrs, target.span.end - 1)
        else:
            self.put("{}")

    # -- the network

    def network(self, statement: ast.NetStmt, pad: int) -> None:
        match statement:
            case ast.Repeat():
                self.repeat(statement)
            case ast.Stage(attrs=attrs) if attrs:
                self.put("stage".ljust(pad) + " ")
                self.stage(statement)
            case ast.Stage(at=at) | ast.Head(at=at):
                self.put(_network_keyword(statement).ljust(pad) + " ")
                self.value(statement.value, len(f" at {self.flat(at)}") if at else 0)
                self.place(at)
            case _:
                self.put(_network_keyword(statement).ljust(pad) + " ")
                self.value(statement.value)

    def place(self, at: ast.Value | None) -> None:
        if at:
            self.put(" at ")
            self.value(at)

    def stage(self, stage: ast.Stage) -> None:
        """The block of a stage stays on its line if it can."""
        text = self.stage_tail(stage)
        close = self.find("}", stage.attrs[-1].span.end)
        stacked = self.has_comment(stage.value.span.end, close) or any(
            self.broken(attr.value) for attr in stage.attrs
        )
        self.value(stage.value, len(" {"))
        self.put(" ")
        if not stacked and self.fits(len(text)) and not (stage.at and self.broken(stage.at)):
            self.put(text)
            return
        self.body(stage.attrs, close)
        self.place(stage.at)

    def repeat(self, repeat: ast.Repeat) -> None:
        """`repeat n { stage c }` stays on one line if the author had it there."""
        text = self.one_line(repeat)
        if text is not None and self.fits(len(text)):
            self.put(text)
            return
        self.put("repeat ")
        self.value(repeat.count, len(" {"))
        self.put(" ")
        self.body(repeat.body, repeat.span.end - 1)

    def one_line(self, statement: _Statement) -> str | None:
        """A statement of a `repeat` in one line, or None if it may not be."""
        match statement:
            case ast.Repeat(count=count, body=body):
                return self.one_line_repeat(statement, count, body)
            case ast.Let(name=name, value=value) if not self.broken(value):
                return f"let {name.text} = {self.flat(value)}"
            case ast.Stage(value=value, attrs=attrs, at=at):
                parts = [value, *(a.value for a in attrs), *([at] if at else [])]
                if any(map(self.broken, parts)):
                    return None
                tail = self.stage_tail(statement)
                return f"stage {self.flat(value)}" + (f" {tail}" if tail else "")
            case ast.Head(value=value, at=at):
                if self.broken(value) or (at and self.broken(at)):
                    return None
                return f"head {self.flat(value)}" + (f" at {self.flat(at)}" if at else "")
            case ast.Input(value=value) | ast.Stem(value=value) if not self.broken(value):
                return f"{_network_keyword(statement)} {self.flat(value)}"
        return None

    def one_line_repeat(
        self, repeat: ast.Repeat, count: ast.Value, body: Sequence[_Statement]
    ) -> str | None:
        if self.broken(count) or self.has_comment(count.span.end, repeat.span.end):
            return None
        if not body:
            return f"repeat {self.flat(count)} {{}}"
        if len(body) > 1 or self.newline(count.span.end, body[0].span.start):
            return None
        inner = self.one_line(body[0])
        return None if inner is None else f"repeat {self.flat(count)} {{ {inner} }}"


def _as_broken(row: _Row) -> _Row:
    return _Row(
        row.start, row.end, row.kind, row.columns, row.mark, row.values, row.tail, broken=True
    )


def _flat_row(row: _Row) -> str:
    return row.tail if row.columns == ("",) else f"{row.columns[0]} {row.tail}"


def _keyword_width(statement: _Statement) -> int:
    """The keywords of a cell and those of a network are as wide as the widest in the block."""
    match statement:
        case ast.NodeDef() | ast.Edge() | ast.Pick() | ast.Keep():
            return 4
        case ast.In():
            return 2
        case ast.Out():
            return 3
        case ast.Repeat():
            return 5
        case ast.Input() | ast.Stem() | ast.Stage() | ast.Head():
            return len(_network_keyword(statement))
    return 0


def _network_keyword(statement: ast.Input | ast.Stem | ast.Stage | ast.Head) -> str:
    return type(statement).__name__.lower()


def _keyword(block: _Block) -> str:
    return block.kind if isinstance(block, ast.Config) else type(block).__name__.lower()


def _head_end(block: _Block) -> int:
    """Where the header of a block ends: no brace behind it belongs to a default value."""
    params = () if isinstance(block, ast.Phase | ast.Ops) else block.params
    last: ast.Node = block.name
    for node in (*params[-1:], *block.parents[-1:]):
        last = node
    return last.span.end


def _children(block: _Block) -> Sequence[_Statement]:
    return block.candidates if isinstance(block, ast.Ops) else block.body


def _names(names: Iterable[ast.Name]) -> str:
    return ", ".join(name.text for name in names)
