"""Canonical text of a syntax tree: one style, so a one-word change is a one-line diff.

What fits a line and was not broken by its author stays on it. Line breaks that the author
chose are kept where the style has a place for them (`breaks`), and neighbours align (`rows`).
Comments stay in order, each at the end of a line or on its own (`page`).

Everything that decides where lines break looks only at flat text and at the author's breaks,
and whatever was broken for its length counts as broken by the author next time. That is why
formatting twice changes nothing.
"""

from __future__ import annotations

from nasdsl.syntax import ast
from nasdsl.syntax.formatting.flat import Flat

#: Longest line.
LIMIT = 110


def format_module(module: ast.Module) -> str:
    """The whole file in the canonical style; ends with a newline."""
    # Whoever only spells values, as every compilation does, need not load what writes files.
    from nasdsl.syntax.formatting.printer import Printer

    return Printer(module, LIMIT).module()


def format_value(value: ast.Value) -> str:
    """A value on one line, with no more parentheses than its meaning needs."""
    return Flat().flat(value)
