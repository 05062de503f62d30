"""Brackets that are not closed, close nothing, or hold nothing."""

from __future__ import annotations

from nasdsl.diagnostics.model import Label
from nasdsl.source import Span
from nasdsl.syntax.mistakes.failure import Failure
from nasdsl.syntax.scan import Bracket

_PAIR = {")": "(", "]": "[", "}": "{"}


def end(failure: Failure) -> str | None:
    """E020, E003, E008: the file ends in the middle of something."""
    if failure.token is not None:
        return None
    behind = failure.prev.span.point() if failure.prev else failure.place
    if failure.inner is None:
        return failure.add(
            "E020",
            behind,
            "the file ends in the middle of a statement",
            f"expected {failure.expected}" if failure.expected else None,
        )
    line, column = failure.source.location(failure.inner.span.start)
    if failure.inner.block is None:
        return _not_closed(failure, failure.inner, behind)
    return failure.add(
        "E003",
        behind,
        f"the file ends inside `{failure.inner.title}`",
        f"opened at {line}:{column}; add `}}`",
        Label(failure.inner.span, "opened here"),
    )


def _not_closed(failure: Failure, bracket: Bracket, behind: Span) -> str:
    line, column = failure.source.location(bracket.span.start)
    closer = {"(": ")", "[": "]", "{": "}"}[bracket.char]
    return failure.add(
        "E008",
        behind,
        f"`{bracket.char}` is not closed",
        f"opened at {line}:{column}; add `{closer}` or `,`",
        Label(bracket.span, "opened here"),
    )


def stray_close(failure: Failure) -> str | None:
    """E026: a closer without an opener."""
    if failure.place.text in (")", "]", "}") and failure.token in failure.scan.stray:
        return failure.add(
            "E026", failure.place, f"`{failure.place.text}` closes nothing", "remove it"
        )
    return None


def unclosed(failure: Failure) -> str | None:
    """E008: a statement or another closer before the bracket is closed."""
    inner, prev, token = failure.inner, failure.prev, failure.token
    if inner is None or inner.block is not None or prev is None or token is None:
        return None
    mismatch = token.text in (")", "]", "}") and _PAIR[token.text] != inner.char
    if mismatch or (token.first and token.text not in (")", "]", "}") and token.text != ","):
        if not prev.is_value and prev.text not in (")", "]", "}"):
            return None
        return _not_closed(failure, inner, prev.span.point())
    return None


def empty_braces(failure: Failure) -> str | None:
    """E016: `{}` is neither set nor map."""
    if failure.place.text == "}" and failure.prev is not None and failure.prev.text == "{":
        return failure.add(
            "E016", failure.place, "`{}` is empty: set or map?", "leave it out, or `none`"
        )
    return None
