"""`check`, `fmt`, `explain`: commands on texts; none of them loads torch."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nasdsl.cli import plugged
from nasdsl.cli.boundary import OK, WRONG, Failure, guarded, say, show


def _sources(files: tuple[str, ...], name: str) -> list[tuple[str, str, bytes]]:
    """Key, name and bytes of every file; folders are searched, `-` is stdin, names are bundled."""
    from nasdsl import driver
    from nasdsl.source import bytes_of

    found: list[tuple[str, str, bytes]] = []
    for file in files or ("-",):
        path = Path(file)
        if file == "-":
            found.append((name, name, sys.stdin.buffer.read()))
        elif path.is_dir():
            inside = sorted(path.rglob("*.nas"))
            if not inside:
                raise Failure(f"{file} holds no .nas file", 2)
            found.extend((str(p.resolve()), str(p), bytes_of(p)) for p in inside)
        elif path.is_file():
            found.append((str(path.resolve()), file, bytes_of(path)))
        else:
            key, source = driver.read(file)
            found.append((key, source.name, source.text.encode()))
    return found


@click.command()
@click.argument("files", nargs=-1)
@click.option("--format", "form", type=click.Choice(["text", "concise", "json", "github"]),
              default="text", show_default=True, help="How diagnostics are shown.")  # fmt: skip
@click.option("--path", "paths", multiple=True, type=click.Path(path_type=Path, file_okay=False),
              help="Folder to look imports up in, before the bundled ones.")  # fmt: skip
@plugged.option
@click.option("--stdin-filename", default="<stdin>", help="Name for text from stdin.")
@guarded
def check(files: tuple[str, ...], form: str, paths: tuple[Path, ...], stdin_filename: str) -> None:
    """Check .nas FILES (or folders, bundled names, `-`): every mistake at once."""
    from nasdsl.diagnostics.model import Diagnostics
    from nasdsl.lowering import program as programs
    from nasdsl.source import Source

    diags = Diagnostics()
    plugins = plugged.plugins()
    names = []
    for key, name, data in _sources(files, stdin_filename):
        names.append(name)
        source = Source.of(name, data.decode("utf-8", "replace"))
        loaded = programs.load(source, key, paths=paths, diags=diags, plugins=plugins)
        if loaded is not None:
            programs.check(loaded)
    wrong = bool(diags.errors)
    if form == "json":
        show(diags, form=form, err=False)
    elif len(diags):
        # Diagnostics are the result of this command, so they go to stdout.
        show(diags, form=form, err=False)
    if not len(diags) and form != "json":
        say(f"{', '.join(names) if len(names) < 4 else f'{len(names)} files'}: no mistakes")
    raise SystemExit(WRONG if wrong else OK)


@click.command()
@click.argument("files", nargs=-1)
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; exit 1 if anything would change."
)
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@guarded
def fmt(files: tuple[str, ...], only_check: bool, diff: bool) -> None:
    """Format .nas FILES in place; `-` formats stdin to stdout."""
    import difflib

    from nasdsl import disk
    from nasdsl.diagnostics.model import Diagnostics
    from nasdsl.source import Source
    from nasdsl.syntax.formatting.formatter import format_module
    from nasdsl.syntax.parser import parse

    changed = failed = 0
    for key, name, data in _sources(files, "<stdin>"):
        source = Source.of(name, data.decode("utf-8", "replace"))
        diags = Diagnostics()
        parsed = parse(source, diags)
        if parsed is None or diags.errors:
            # A text with syntax errors is never rewritten: nothing of it may be lost.
            show(diags)
            failed += 1
            continue
        text = format_module(parsed.module)
        if name == "<stdin>" and not (only_check or diff):
            click.echo(text, nl=False)
            continue
        if text.encode() == data:
            continue
        changed += 1
        if diff:
            before = source.text.splitlines(keepends=True)
            after = text.splitlines(keepends=True)
            click.echo("".join(difflib.unified_diff(before, after, name, name)), nl=False)
        elif only_check:
            click.echo(name)
        elif Path(key).is_file():
            disk.write_text(Path(key), text)
            say(f"formatted {name}")
        else:
            raise Failure(f"{name} is part of the package and is not rewritten", 2)
    if failed or (changed and (only_check or diff)):
        raise SystemExit(WRONG)


@click.command()
@click.argument("code", required=False)
@guarded
def explain(code: str | None) -> None:
    """Explain a diagnostic CODE, such as E207; without one, list them all."""
    from nasdsl.diagnostics import codes

    if code is None:
        for entry in codes.CODES.values():
            click.echo(f"{entry.number}  {entry.title}")
        return
    wanted = code.upper().strip("[]")
    if wanted not in codes.CODES:
        from nasdsl.diagnostics.suggest import did_you_mean

        advice = did_you_mean(wanted, codes.CODES, limit=0)
        raise Failure(f"there is no code {wanted}" + (f"; {advice}" if advice else ""), 2)
    click.echo(codes.explain(wanted))
