"""What is seen of a text before it is parsed: no text at all, too deep, without a version."""

from __future__ import annotations

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.source import Source, Span
from nasdsl.syntax.builder import MAX_DEPTH
from nasdsl.syntax.scan import Scan


def readable(source: Source, diags: Diagnostics) -> bool:
    """Whether the text is text: E024 for control characters, as binary files have them."""
    for i, char in enumerate(source.text):
        if ord(char) < 32 and char not in "\n\t" or char in "\x7f\ufffd":
            diags.add(
                "E024",
                Span(source, i, i + 1),
                f"this is not a text file (character U+{ord(char):04X})",
                help="a .nas file is UTF-8 text",
            )
            return False
    return True


def nesting(source: Source) -> Span | None:
    """Where brackets nest deeper than MAX_DEPTH, found before anything recursive sees them."""
    depth = 0
    quoted = comment = False
    for i, char in enumerate(source.text):
        if char == "\n":
            quoted = comment = False
        elif comment:
            continue
        elif char == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif char == "#":
            comment = True
        elif char in "([{":
            depth += 1
            if depth > MAX_DEPTH:
                return Span(source, i, i + 1)
        elif char in ")]}":
            depth -= 1
    return None


def report_depth(span: Span, diags: Diagnostics) -> None:
    diags.add(
        "E023",
        span,
        f"values nest deeper than {MAX_DEPTH} levels",
        help="name a part with `let` or `op`",
    )


def begins_with_version(source: Source, diags: Diagnostics) -> bool:
    """E001 unless the first word is `nas`."""
    scan = Scan(Source(name=source.name, text=source.text[:2000]))
    if scan.words and scan.words[0].text == "nas":
        return True
    diags.add(
        "E001",
        Span(source, 0, 0),
        "the file must begin with `nas 1`",
        help="insert `nas 1` as the first line",
    )
    return False


def give_up(offset: int, source: Source, diags: Diagnostics) -> None:
    diags.add(
        "E025",
        Span(source, offset, offset + 1),
        "too many syntax errors; the rest of the file was not read",
        help="mend the first ones and check again",
    )
