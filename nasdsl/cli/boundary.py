"""The one place where errors become messages and exit codes.

0 fine · 1 what was checked is wrong, or the run failed · 2 usage · 3 something is not installed or
there is no such device · 130 stopped by Ctrl-C or SIGTERM, a checkpoint is written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from nasdsl.diagnostics.model import CompileError, Diagnostic
from nasdsl.diagnostics.render import as_json, concise, full, summary

OK, WRONG, USAGE, MISSING, STOPPED = 0, 1, 2, 3, 130


class Failure(click.ClickException):
    """A user's mistake or a limit of this version, said in a line; `code` is the exit code."""

    def __init__(self, message: str, code: int = WRONG) -> None:
        super().__init__(message)
        self.code = code

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return self.code

    def show(self, file: Any = None) -> None:
        click.echo(f"{click.style('error', fg='red', bold=True)}: {self.message}", err=True)


def is_file(path: Path) -> bool:
    """Whether there is such a file; what is too long for a name is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def say(message: str) -> None:
    """Talk: on stderr, unless quiet."""
    if not (click.get_current_context().find_root().params.get("quiet") or False):
        click.echo(message, err=True)


def warn(message: str) -> None:
    """Say what a person should know even where talk is not wanted."""
    click.echo(f"warning: {message}", err=True)


def width() -> int:
    """Columns of the terminal; 80 where output is not one."""
    try:
        return max(40, min(120, os.get_terminal_size(sys.stderr.fileno()).columns))
    except (OSError, ValueError):
        return 80


def show(diagnostics: Iterable[Diagnostic], *, form: str = "text", err: bool = True) -> None:
    """Diagnostics in a format: `text`, `concise`, `json`, `github`."""
    found = list(diagnostics)
    match form:
        case "json":
            click.echo(as_json(found), err=err)
        case "concise":
            for d in found:
                click.echo(concise(d), err=err)
        case "github":
            for d in found:
                click.echo(
                    f"::{d.severity} file={d.span.source.name},line={d.span.line},"
                    f"col={d.span.column},title={d.code}::{d.message}",
                    err=err,
                )
        case _:
            for d in found:
                click.echo(_coloured(full(d, width=width()), d), err=err)
                click.echo("", err=err)
            if found:
                click.echo(summary(found), err=err)


def _coloured(text: str, diagnostic: Diagnostic) -> str:
    head, _, rest = text.partition(": ")
    colour = "red" if diagnostic.severity == "error" else "yellow"
    return f"{click.style(head, fg=colour, bold=True)}: {rest}"


def guarded(f: Callable[..., Any]) -> Callable[..., Any]:
    """Turn errors that a user can meet into messages; `--debug` shows where they came from."""
    from functools import wraps

    @wraps(f)
    def inner(*args: Any, **kwargs: Any) -> Any:
        debug = click.get_current_context().find_root().params.get("debug") or False
        try:
            return f(*args, **kwargs)
        except CompileError as error:
            if debug:
                raise
            show(error.diagnostics)
            raise SystemExit(WRONG) from None
        except click.ClickException:
            raise
        except (ValueError, OSError, RuntimeError) as error:
            if debug:
                raise
            raise _failure(error) from None
        except ModuleNotFoundError as error:
            if debug:
                raise
            raise Failure(f"{error.name} is not installed", MISSING) from None

    return inner


def _failure(error: BaseException) -> click.ClickException:
    """The message of an expected error; anything unexpected says so and how to see more."""
    if isinstance(error, BrokenPipeError):
        raise error
    names = {c.__name__ for c in type(error).__mro__}
    text = str(error) or type(error).__name__
    if "UnknownName" in names:
        return Failure(text, USAGE)
    if (
        "BenchmarkMissing" in names
        or ({"TrackError", "SuiteError", "StatisticsError"} & names and "not installed" in text)
        or ("PlanError" in names and "CUDA" in text)
    ):
        return Failure(text, MISSING)
    expected = {
        "PlanError", "RunError", "DataError", "CheckpointError", "GenotypeError", "OSError",
        "DiscretizeError", "NotExecutable", "ReadError", "Disagreement", "NothingFound",
        "RequireError", "BenchmarkError", "CostError", "PluginError", "Busy", "Diverged", "TooLarge",
        "TrackError", "StatisticsError", "SuiteError", "WorldError",
    }  # fmt: skip
    if names & expected:
        return Failure(text)
    return Failure(f"internal error: {type(error).__name__}: {text} (--debug shows where)")
