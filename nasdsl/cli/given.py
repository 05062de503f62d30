"""Architectures as a user names them: text, a file, `-` for stdin, or a published name."""

from __future__ import annotations

import sys
from pathlib import Path

from nasdsl.cli.boundary import is_file
from nasdsl.source import bytes_of


def text_of(given: str) -> str:
    """What a user gave: stdin for `-`, the content of a file, else the text itself."""
    if given == "-":
        return sys.stdin.read()
    place = _file(given)
    return bytes_of(place).decode("utf-8", "replace") if place is not None else given


def _file(given: str) -> Path | None:
    """The file of a name, if there is one; a long text is no name."""
    place = Path(given)
    return place if is_file(place) else None


def space_of(given: str) -> str | None:
    """The bundled space of a published name; None where it is no such name."""
    from nasdsl.ir import published

    if _file(given) is not None:
        return None
    found = published.known(given)
    return found.space if found is not None else None


def is_architecture(given: str, *, with_space: bool) -> bool:
    """Whether a user means an architecture and not a file of definitions or a bundled name.

    Where a space is named as well, everything that is none of these is taken for one, but for
    single words, which are names.
    """
    from nasdsl.ir.formats import forms

    if given == "-":
        return True
    if _file(given) is not None:
        return with_space and not given.endswith(".nas")
    text = given.strip()
    if any(form.recognises(text) for form in forms.FORMS):
        return True
    return with_space and not forms.is_name(text) and not text.endswith(".nas")
