"""One failure of the parser, and what stands around it."""

from __future__ import annotations

from typing import Any

from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from nasdsl.diagnostics.model import Diagnostics, Label
from nasdsl.source import Source, Span
from nasdsl.syntax.scan import Bracket, Scan, Word

_NAMES = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a string",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "EQUAL": "`=`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "DOT": "`.`",
    "SEQ": "`>>`",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "STAR": "`*`",
    "SLASH": "`/`",
    "DSLASH": "`//`",
    "CMP": "a comparison",
    "$END": "the end",
}


class Failure:
    """Where the parser failed: the words there and before, the brackets around, what it expected."""

    def __init__(self, error: Any, scan: Scan, diags: Diagnostics) -> None:
        self.source = scan.source
        self.scan = scan
        self.diags = diags
        self.place = place_of(error, self.source)
        self.index = scan.index(self.place.start)
        at_end = self.index >= len(scan.words)
        self.token: Word | None = None if at_end else scan.words[self.index]
        self.prev: Word | None = scan.words[self.index - 1] if self.index else None
        self.open = scan.enclosing(self.place.start)
        blocks = [b for b in self.open if b.block is not None]
        self.block = blocks[-1] if blocks else None
        self.kind = str(self.block.block) if self.block else "file"
        self.inner: Bracket | None = self.open[-1] if self.open else None
        self.statement = scan.statement(self.index)
        self.expected = expected(error)
        self.error = error

    def add(
        self, code: str, span: Span, message: str, help: str | None = None, *labels: Label
    ) -> str:
        """Report the mistake; its code."""
        self.diags.add(code, span, message, help=help, labels=labels)
        return code


def place_of(error: UnexpectedToken | UnexpectedCharacters, source: Source) -> Span:
    """The text on which the parser failed."""
    if isinstance(error, UnexpectedToken):
        token = error.token
        if token.type == "$END":
            return Span(source, len(source.text), len(source.text))
        return Span(source, token.start_pos or 0, token.end_pos or 0)
    start = error.pos_in_stream or 0
    return Span(source, start, start + 1)


def terminals(error: Any) -> set[str]:
    """Kinds of tokens that could stand at the place."""
    return set(getattr(error, "accepts", None) or getattr(error, "expected", None) or ())


def expected(error: Any) -> str:
    """What could stand at the place, in words, where that is short enough to help."""
    types = terminals(error) | set(getattr(error, "allowed", None) or ())
    if {"NUMBER", "STRING", "NAME"} <= types:
        return "a value"
    names = sorted(
        _NAMES.get(t, f"`{'->' if t.startswith('__ANON') else t.lower()}`") for t in types
    )
    return " or ".join(names) if 0 < len(names) <= 4 else ""
