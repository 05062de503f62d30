"""The charts and tables of a page as files: SVG, CSV, and PNG where that can be made."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from nasdsl import disk
from nasdsl.report.charts.chart import csv_text
from nasdsl.report.charts.heat import heat
from nasdsl.report.html.parts import Drawing, Figure, Page, Picture


def write_plots(page: Page, folder: Path, png: Callable[[str], bytes] | None) -> list[str]:
    """A file or more for every picture of a page, named for what it shows; the names.

    Raises DiskError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    used: set[str] = set()
    written = []
    for picture in page.pictures:
        name = _unused(slug(picture.name), used)
        drawn, numbers = _texts(picture)
        for suffix, text in (("svg", drawn), ("csv", numbers)):
            if text:
                disk.write(folder / f"{name}.{suffix}", text.encode())
                written.append(f"{name}.{suffix}")
        if drawn and png is not None:
            disk.write(folder / f"{name}.png", png(drawn))
            written.append(f"{name}.png")
    return written


def slug(name: str) -> str:
    """A name of a file on any system: `weights-normal-x1-prev`."""
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", name.replace("[", "").replace("]", ""))
    return plain.strip("-.")[:100] or "plot"


def _unused(name: str, used: set[str]) -> str:
    found, number = name, 1
    # Some systems do not tell capitals from small letters.
    while found.lower() in used:
        number += 1
        found = f"{name}-{number}"
    used.add(found.lower())
    return found


def _texts(picture: Picture) -> tuple[str, str]:
    """SVG and CSV of a picture; a table is drawn where its cells are shaded."""
    match picture:
        case Figure():
            return picture.chart.standalone, picture.chart.csv
        case Drawing():
            return picture.svg, ""
        case _:
            rows = [[v.replace("\n", "; ") for v in row] for row in picture.rows]
            drawn = (
                heat(picture.rows, picture.head, picture.shades, title=picture.name).standalone
                if picture.shades and picture.rows
                else ""
            )
            return drawn, csv_text(picture.head, rows)
