"""The frame of a report, one HTML file with everything in it, and its smallest pieces."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from nasdsl.report.html.style import style
from nasdsl.version import VERSION


def document(title: str, parts: Iterable[str]) -> str:
    """A page. Nothing in it is fetched from anywhere, and nothing runs."""
    body = "\n".join(p for p in parts if p)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style()}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n{body}\n<p class="soft">Made by nasdsl {VERSION}.</p>\n'
        "</body>\n</html>\n"
    )


def paragraph(text: str, *, soft: bool = False) -> str:
    return f"<p{' class=' + chr(34) + 'soft' + chr(34) if soft else ''}>{escape(text)}</p>"


def note(text: str) -> str:
    return f'<div class="note">{escape(text)}</div>'


def facts(items: Iterable[tuple[str, str]]) -> str:
    """Names and values; what has no value is left out."""
    inner = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in items if v)
    return f"<dl>{inner}</dl>" if inner else ""


def code(text: str) -> str:
    return f"<pre><code>{escape(text)}</code></pre>"
