"""How tightly values bind (rule 4.1), and with it where parentheses are needed."""

from __future__ import annotations

from fractions import Fraction
from typing import TypeGuard

from nasdsl.syntax import ast

#: Strengths, loosest first.
IF, OR, AND, NOT, COMPARE, SUM, PRODUCT, CHAIN, UNARY, POSTFIX, ATOM = range(11)
#: The strengths of the operators between two operands.
BINARY = {
    "or": OR,
    "and": AND,
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), COMPARE),
    **dict.fromkeys("+-", SUM),
    **dict.fromkeys(("*", "/", "//"), PRODUCT),
    ">>": CHAIN,
}

#: A value, or what else may stand between square brackets.
Indexed = ast.Value | ast.Range | ast.Earlier


def level(value: Indexed) -> int:
    """How tightly the outermost operator of a value binds."""
    match value:
        case ast.Binary(op=op):
            return BINARY[op]
        case ast.If():
            return IF
        case ast.Unary(op="not"):
            return NOT
        # A domain may stand before `(` unwrapped, but `(int 1..n)(2)` is easier to read.
        case ast.Unary() | ast.IntDomain() | ast.FloatDomain():
            return UNARY
        case ast.Call() | ast.Subscript():
            return POSTFIX
        case ast.Number(text=""):
            text = number_text(value)
            return PRODUCT if "/" in text else UNARY if text.startswith("-") else ATOM
    return ATOM


def number_text(number: ast.Number) -> str:
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


def is_fraction(value: Indexed) -> TypeGuard[ast.Binary]:
    """`1/3`: numbers on both sides read as one number, so nothing stands around the slash."""
    if not isinstance(value, ast.Binary) or value.op != "/":
        return False
    return all(
        isinstance(side, ast.Number) and level(side) == ATOM for side in (value.left, value.right)
    )
