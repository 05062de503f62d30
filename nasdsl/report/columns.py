"""Plain text for a terminal: aligned columns, wrapped lines, numbers that can be read."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence


def number(value: int) -> str:
    """`1 930 618`: thousands apart, as the diagnostics print them."""
    return f"{value:,}".replace(",", " ")


def short(value: int) -> str:
    """`1.93 M`: three digits."""
    size = float(value)
    for unit in ("", " k", " M", " G", " T", " P"):
        if abs(size) < 999.5 or unit == " P":
            return f"{value}" if not unit else f"{size:.3g}{unit}"
        size /= 1000
    return str(value)


def power(value: int) -> str:
    """`1.08e18`, for numbers too long to read."""
    text = str(value)
    if len(text) <= 6:
        return text
    # From the digits, as numbers of architectures can exceed every float.
    head = f"{int(text[:4]) / 1000:.2f}"
    exponent = len(text) - 1
    return f"{head}e{exponent}" if not head.startswith("10") else f"1.00e{exponent + 1}"


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} %"


def table(
    rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), right: Iterable[int] = ()
) -> list[str]:
    """Lines with aligned columns, two spaces apart; columns of `right` end flush."""
    lines = [*([list(header)] if header else []), *(list(r) for r in rows)]
    if not lines:
        return []
    count = max(len(line) for line in lines)
    lines = [line + [""] * (count - len(line)) for line in lines]
    flush = {i % count for i in right}
    widths = [max(len(line[i]) for line in lines) for i in range(count)]
    return [
        "  ".join(
            cell.rjust(w) if i in flush else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def pairs(items: Iterable[tuple[str, str]], *, width: int, indent: int = 2) -> list[str]:
    """`name  value` lines; long values go on under their beginning."""
    listed = [(k, v) for k, v in items if v]
    left = max((len(k) for k, _ in listed), default=0) + 2
    lines = []
    for key, value in listed:
        lines.extend(wrap(value, width=width, first=f"{' ' * indent}{key:<{left}}"))
    return lines


def wrap(text: str, *, width: int, first: str = "") -> list[str]:
    """A text over lines of `width`, continued under its beginning behind `first`."""
    pad = " " * len(first)
    lines = []
    for i, part in enumerate(text.splitlines() or [""]):
        lines += textwrap.wrap(
            part,
            max(width, len(first) + 20),
            initial_indent=first if i == 0 else pad,
            subsequent_indent=pad,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [first.rstrip()]
    return lines


def indent(lines: Iterable[str], by: int = 2) -> list[str]:
    return [" " * by + line if line else line for line in lines]
