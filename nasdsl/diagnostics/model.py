"""What a diagnostic is, how they are collected, and the error that carries them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from nasdsl.source import Source, Span

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that matters, with a few words on why."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One mistake: a stable code, a place, one line on what is wrong, and what to do next.

    Codes that begin with `W` are warnings; all others are errors.
    """

    code: str
    message: str
    span: Span
    help: str | None = None
    labels: tuple[Label, ...] = ()

    @property
    def severity(self) -> Severity:
        return "warning" if self.code.startswith("W") else "error"

    def as_json(self) -> dict[str, Any]:
        """A JSON-ready mapping; lines and columns are 1-based, ends exclusive."""

        def place(span: Span) -> dict[str, Any]:
            line, column = span.source.location(span.start)
            end_line, end_column = span.source.location(span.end)
            return {
                "file": span.source.name,
                "line": line,
                "column": column,
                "end_line": end_line,
                "end_column": end_column,
            }

        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            **place(self.span),
            "help": self.help,
            "labels": [{**place(label.span), "text": label.text} for label in self.labels],
        }


@dataclass(slots=True)
class Diagnostics:
    """A growing list of diagnostics; the same one is kept once."""

    items: list[Diagnostic] = field(default_factory=list)
    _seen: set[tuple[str, str, int, int]] = field(default_factory=set)
    _muted: dict[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def mute(self, source: Source, ranges: tuple[tuple[int, int], ...]) -> None:
        """Text that was given up after a syntax error is not judged any further."""
        if ranges:
            self._muted[id(source)] = ranges

    def add(
        self,
        code: str,
        span: Span,
        message: str,
        *,
        help: str | None = None,
        labels: tuple[Label, ...] = (),
    ) -> None:
        """Record one diagnostic, unless the same code stands at the same place already."""
        muted = self._muted.get(id(span.source), ()) if self._muted else ()
        if any(a <= span.start < b for a, b in muted):
            return
        key = (code, span.source.name, span.start, span.end)
        if key not in self._seen:
            self._seen.add(key)
            self.items.append(
                Diagnostic(code=code, message=message, span=span, help=help, labels=labels)
            )

    def sort(self, first: Source) -> None:
        """By file, `first` before the others, then by place."""
        files = list(dict.fromkeys([first.name, *(d.span.source.name for d in self.items)]))
        rank = {name: i for i, name in enumerate(files)}
        self.items.sort(key=lambda d: (rank[d.span.source.name], d.span.start))

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.items if d.severity == "error")

    def check(self) -> None:
        """The barrier between stages: raise CompileError with everything, if anything is an error."""
        if self.errors:
            raise CompileError(tuple(self.items))


class CompileError(Exception):
    """A user's program is wrong; carries every diagnostic found so far."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = diagnostics
        first = next((d for d in diagnostics if d.severity == "error"), None)
        count = sum(d.severity == "error" for d in diagnostics)
        more = f" (and {count - 1} more)" if count > 1 else ""
        super().__init__(
            f"{first.span}: error[{first.code}]: {first.message}{more}" if first else "no error"
        )
