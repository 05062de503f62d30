"""Check a text as `nasdsl check` does, and require that what comes back is sound."""

from pathlib import Path

from nasdsl.diagnostics import render
from nasdsl.diagnostics.model import Diagnostics
from nasdsl.lowering.program import check, load
from nasdsl.source import Source


def checked(text, name="f.nas", *, key=None, paths=()):
    """All diagnostics of a text; every span lies in its source and can be shown."""
    diags = Diagnostics()
    source = Source.of(name, text)
    program = load(source, key or str(Path(name).resolve()), paths=list(paths), diags=diags)
    if program is not None:
        check(program)
    for found in diags:
        for span in (found.span, *(label.span for label in found.labels)):
            assert 0 <= span.start <= span.end <= len(span.source.text), found
        assert render.full(found)
        assert found.as_json()
        assert found.message and "\n" not in found.message
    return list(diags)


def codes(text, **options):
    return [found.code for found in checked(text, **options)]
