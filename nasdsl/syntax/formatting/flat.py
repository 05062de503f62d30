"""Values on one line."""

from __future__ import annotations

from dataclasses import dataclass

from nasdsl.syntax import ast
from nasdsl.syntax.formatting.binding import (
    ATOM,
    BINARY,
    COMPARE,
    IF,
    OR,
    POSTFIX,
    Indexed,
    is_fraction,
    level,
    number_text,
)


@dataclass(frozen=True, slots=True)
class Link:
    """An operand of a flattened chain, and the operator before it."""

    op: str
    value: ast.Value
    minimum: int


def _link(op: str, value: ast.Value, minimum: int, wrapped: bool) -> Link:
    """Parentheses that an author put around an operation are kept, though not needed."""
    if wrapped and isinstance(value, ast.Binary | ast.If):
        minimum = ATOM
    return Link(op, value, minimum)


def prefix(value: ast.Unary) -> str:
    """What stands before the operand."""
    return value.op if value.op == "-" else value.op + " "


class Flat:
    """Text on one line, with no more parentheses than its meaning needs."""

    def __init__(self) -> None:
        self._bare: dict[int, str] = {}

    def between(self, left: ast.Value, right: ast.Value) -> str:
        """What stands between two operands, where the author's parentheses are to be kept."""
        return ""

    def flat(self, value: Indexed, minimum: int = 0) -> str:
        """A value on one line, in parentheses where it binds looser than its place demands."""
        text = self._bare.get(id(value))
        if text is None:
            text = self._bare[id(value)] = self._text(value)
        return f"({text})" if level(value) < minimum else text

    def links(self, value: ast.Binary | ast.If) -> list[Link]:
        """The operands of one strength in writing order: lines break between these first."""
        if isinstance(value, ast.If):
            return self._if_links(value)
        strength = BINARY[value.op]
        found: list[Link] = []
        left: ast.Value = value
        last = ""
        while (
            isinstance(left, ast.Binary) and BINARY[left.op] == strength and not is_fraction(left)
        ):
            last = self.between(left.left, left.right)
            found.append(_link(left.op, left.right, strength + 1, "(" in last))
            left = left.left
            if strength == COMPARE:  # does not associate
                break
        minimum = strength + 1 if strength == COMPARE else strength
        found.append(_link("", left, minimum, ")" in last))
        return found[::-1]

    def _if_links(self, value: ast.If) -> list[Link]:
        found: list[Link] = []
        op, rest = "", value
        while True:
            between = self.between(rest.then, rest.condition)
            found.append(_link(op, rest.then, OR, ")" in between))
            found.append(_link("if", rest.condition, OR, "(" in between))
            if not isinstance(rest.otherwise, ast.If):
                between = self.between(rest.condition, rest.otherwise)
                return [*found, _link("else", rest.otherwise, IF, "(" in between)]
            op, rest = "else", rest.otherwise

    def _text(self, value: Indexed) -> str:
        match value:
            case ast.Name(text=text):
                return text
            case ast.Number():
                return number_text(value)
            case ast.String(value=text):
                return f'"{text}"'
            case ast.Boolean(value=flag):
                return "true" if flag else "false"
            case ast.Binary() | ast.If():
                return self._linked(value)
            case ast.Unary(operand=operand):
                return prefix(value) + self.flat(operand, level(value))
            case ast.Call(func=func, args=args):
                return f"{self.flat(func, POSTFIX)}({', '.join(map(self._arg, args or ()))})"
            case ast.Subscript(base=base, index=index):
                return f"{self.flat(base, POSTFIX)}[{self.flat(index)}]"
            case ast.ListOf(items=items):
                return f"[{', '.join(map(self.flat, items or ()))}]"
            case ast.SetOf(items=items):
                return "{" + ", ".join(map(self.flat, items)) + "}"
            case ast.MapOf(items=pairs):
                return "{" + ", ".join(f"{self.flat(k)}: {self.flat(v)}" for k, v in pairs) + "}"
        return self._domain(value)

    def _domain(self, value: Indexed) -> str:
        match value:
            case ast.Range(low=low, high=high):
                return f"{self.flat(low)}..{self.flat(high)}"
            case ast.IntDomain(low=low, high=high, step=step):
                by = f" by {self.flat(step)}" if step else ""
                return f"int {self.flat(low)}..{self.flat(high)}{by}"
            case ast.FloatDomain(low=low, high=high, log=log):
                return f"float {self.flat(low)}..{self.flat(high)}{' log' if log else ''}"
        return "<"

    def _linked(self, value: ast.Binary | ast.If) -> str:
        if is_fraction(value):
            return f"{self.flat(value.left)}/{self.flat(value.right)}"
        first, *rest = self.links(value)
        text = [self.flat(first.value, first.minimum)]
        text.extend(f" {link.op} {self.flat(link.value, link.minimum)}" for link in rest)
        return "".join(text)

    def _arg(self, arg: ast.Arg) -> str:
        name = f"{arg.name} = " if arg.name is not None else ""
        to = f" -> {self.flat(arg.to)}" if arg.to else ""
        return name + self.flat(arg.value) + to
