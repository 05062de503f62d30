"""A parser failure as a diagnostic that names the mistake, not the automaton's surprise."""

from __future__ import annotations

from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.syntax.mistakes import brackets, statements, values
from nasdsl.syntax.mistakes.failure import Failure
from nasdsl.syntax.scan import Scan

#: What is asked of a failure, in order: the first that knows the mistake reports it.
_KNOWN = (
    values.strings,
    brackets.end,
    statements.version,
    statements.comma_after_in,
    statements.wrong_statement,
    values.comment_sign,
    values.sign,
    statements.keep_by,
    brackets.stray_close,
    brackets.unclosed,
    brackets.empty_braces,
    values.keyword_value,
    statements.colon,
    statements.comma,
    statements.arrow,
    statements.block_after_at,
    values.chained_comparison,
    values.side_by_side,
)


def diagnose(
    error: UnexpectedToken | UnexpectedCharacters,
    scan: Scan,
    diags: Diagnostics,
) -> tuple[str, int]:
    """Add the diagnostic of a failure; its code and where the bad statement begins."""
    failure = Failure(error, scan, diags)
    start = failure.statement[0].span.start if failure.statement else failure.place.start
    for knows in _KNOWN:
        code = knows(failure)
        if code is not None:
            return code, start
    found = f"`{failure.place.text}`" if failure.place.text.strip() else "the end of the line"
    wanted = f"; expected {failure.expected}" if failure.expected else ""
    failure.add("E022", failure.place, f"unexpected {found}{wanted}")
    return "E022", start
