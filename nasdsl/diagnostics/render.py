"""Diagnostics as text with a caret, as one line each, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from nasdsl.diagnostics.model import Diagnostic
from nasdsl.source import Span


def full(diagnostic: Diagnostic, *, width: int = 80) -> str:
    """The message, the source line with a caret, further places, the help line."""
    gutter = len(
        str(max([diagnostic.span.line, *(label.span.line for label in diagnostic.labels)]))
    )
    lines = [
        f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}",
        f"{' ' * gutter}--> {diagnostic.span}",
        *_excerpt(diagnostic.span, gutter, "", width),
    ]
    for label in diagnostic.labels:
        lines.append(f"{' ' * gutter}::: {label.span}")
        lines.extend(_excerpt(label.span, gutter, label.text, width))
    if diagnostic.help:
        lines.append(f"{' ' * gutter} = help: {diagnostic.help}")
    return "\n".join(lines)


def _excerpt(span: Span, gutter: int, text: str, width: int) -> list[str]:
    number, column = span.source.location(span.start)
    # A tab counts as one column everywhere, so it is shown as one blank.
    line = "".join(c if c.isprintable() else " " for c in span.source.line(number))
    length = max(1, min(span.end - span.start, len(line) - column + 1))
    room = max(20, width - gutter - 3)
    first = 0
    if column + length > room:
        first = max(0, column - room // 2)
    shown = line[first : first + room]
    carets = "^" * max(1, min(length, room - (column - 1 - first)))
    tail = f" {text}" if text else ""
    blank = f"{' ' * gutter} |"
    return [
        blank,
        f"{number:>{gutter}} | {shown}".rstrip(),
        f"{blank} {' ' * (column - 1 - first)}{carets}{tail}",
    ]


def concise(diagnostic: Diagnostic) -> str:
    """`file:line:column: error[E101]: message`."""
    return f"{diagnostic.span}: {diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"


def as_json(diagnostics: Iterable[Diagnostic]) -> str:
    """One JSON document with all diagnostics."""
    return json.dumps({"schema": 1, "diagnostics": [d.as_json() for d in diagnostics]}, indent=2)


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """`2 errors, 1 warning`."""
    errors = sum(d.severity == "error" for d in diagnostics)
    warnings = len(diagnostics) - errors

    def count(n: int, word: str) -> str:
        return f"{n} {word}{'' if n == 1 else 's'}"

    parts = [count(errors, "error")] if errors or not warnings else []
    if warnings:
        parts.append(count(warnings, "warning"))
    return ", ".join(parts)
