"""Signs, strings, keywords and neighbours inside a value."""

from __future__ import annotations

from lark.exceptions import UnexpectedCharacters

from nasdsl.source import Span
from nasdsl.syntax.mistakes.failure import Failure
from nasdsl.syntax.reserved import KEYWORDS

_SIGNS = {
    "&": "write `and`",
    "&&": "write `and`",
    "|": "write `or`",
    "||": "write `or`",
    ";": "statements need no separator; remove `;`",
    "!": "write `not`",
    "?": "write `a if condition else b`",
    "^": None,
    "~": None,
    "@": None,
}
_COMPARE = ("==", "!=", "<", "<=", ">", ">=")


def strings(failure: Failure) -> str | None:
    """E012: a string in other quotes, or over several lines."""
    if failure.place.text in ("'", '"'):
        return failure.add("E012", failure.place, 'strings are written `"…"` on one line')
    return None


def comment_sign(failure: Failure) -> str | None:
    """E013: a comment of another language."""
    if failure.place.text.startswith("//") and failure.token and failure.token.first:
        return failure.add("E013", failure.place, "`//` divides; comments begin with `#`")
    if failure.place.text == "/" and failure.token and failure.token.first:
        return failure.add("E013", failure.place, "`/` divides; comments begin with `#`")
    return None


def sign(failure: Failure) -> str | None:
    """E013: a sign of another language."""
    text = failure.token.text if failure.token else ""
    if text in _SIGNS:
        span = Span(failure.source, failure.place.start, failure.place.start + len(text))
        return failure.add("E013", span, f"`{text}` is not a sign of the language", _SIGNS[text])
    if isinstance(failure.error, UnexpectedCharacters):
        return failure.add(
            "E013", failure.place, f"`{failure.place.text}` is not a sign of the language"
        )
    return None


def keyword_value(failure: Failure) -> str | None:
    """E017, E021: a keyword where a value is wanted."""
    for word in (failure.prev, failure.token):
        if word is None or word.text not in KEYWORDS or word.first:
            continue
        at = failure.scan.index(word.span.start)
        before = failure.scan.words[at - 1].text if at else ""
        if before not in (
            "=",
            "(",
            ",",
            ":",
            "+",
            "-",
            "*",
            "/",
            ">>",
            "one_of",
            "fresh",
            "[",
            "{",
        ):
            continue
        if word.text in ("pick", "keep"):
            return failure.add(
                "E017",
                word.span,
                f"`{word.text}` is a statement of cells",
                f"`{word.text} 2 per x[3]`; for values `one_of`",
            )
        if word.text in ("if", "else", "and", "or", "not", "int", "float", "one_of", "fresh"):
            continue
        return failure.add(
            "E021", word.span, f"`{word.text}` is a keyword, not a value", "choose another name"
        )
    return None


def chained_comparison(failure: Failure) -> str | None:
    """E015: `a < b < c`."""
    if failure.place.text in _COMPARE and any(w.text in _COMPARE for w in failure.statement):
        return failure.add("E015", failure.place, "comparisons do not chain", "`a == b and b == c`")
    return None


def side_by_side(failure: Failure) -> str | None:
    """E014: no operator between two values."""
    token, prev = failure.token, failure.prev
    if token is None or prev is None or not token.is_value:
        return None
    if prev.is_value and prev.text not in KEYWORDS or prev.text in (")", "]"):
        return failure.add(
            "E014",
            token.span,
            f"two values side by side: `{prev.text}` and `{token.text}`",
            "an operator or a new line's name is missing",
        )
    return None
