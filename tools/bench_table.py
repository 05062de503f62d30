"""The table of measurements in README.md, between two marks; nothing in it is typed by hand.

What was measured lies in `tools/bench_table.json`; the block in README.md is `block()` of it.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
FOUND = HERE / "bench_table.json"
BEGIN = "<!-- made by tools/bench_step.py: begin -->"
END = "<!-- made by tools/bench_step.py: end -->"

#: Label, space, parameters, batch, recipe, whole step.
ROWS: tuple[tuple[str, str, dict[str, str], int, str | None, bool], ...] = (
    ("DARTS", "darts", {}, 16, None, False),
    ("DARTS, batch 64", "darts", {}, 64, None, False),
    ("DARTS, a step of the search", "darts", {}, 16, "darts", True),
    ("DARTS, GDAS", "darts", {}, 16, "gdas", False),
    ("wide", "wide", {}, 16, None, False),
    ("deep", "deep", {}, 16, None, False),
    ("single cell", "single_cell", {}, 16, None, False),
    ("NAS-Bench-201", "nasbench201", {}, 16, None, False),
    ("NAS-Bench-1Shot1", "nb1shot1_s1", {}, 16, None, False),
    ("RobustDARTS S1", "robust_s1", {}, 16, None, False),
    ("RobustDARTS S2", "robust_s2", {}, 16, None, False),
    ("RobustDARTS S3", "robust_s3", {}, 16, None, False),
    ("RobustDARTS S4", "robust_s4", {}, 16, None, False),
    ("mobile", "mobile_small", {}, 16, None, False),
)


def write(order: Any) -> None:
    """Measure every row, keep what was found, and write the block into README.md."""
    import sys

    from bench_step import lines, machine_text, measure, measured

    machine = measured(torch.device(order.device))
    found: dict[str, Any] = {
        "schema": 1,
        "machine": machine_text(order, machine),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "repeats": order.repeats,
        "rows": [],
    }
    for label, space, parameters, batch, recipe, bilevel in ROWS:
        one = replace(
            order, space=space, parameters=parameters, batch=batch, recipe=recipe, bilevel=bilevel
        )
        made = measure(one)
        print("\n".join(lines(made)), file=sys.stderr, flush=True)
        found["rows"].append({"label": label, **made})
    FOUND.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    README.write_text(placed(README.read_text(encoding="utf-8"), found), encoding="utf-8")


def placed(text: str, found: dict[str, Any]) -> str:
    """A text with the block between the marks; where it has none, under `## Speed`."""
    if BEGIN not in text:
        head, speed, rest = text.partition("## Speed\n")
        return f"{head}{speed}\n{block(found)}\n{rest}"
    before, rest = text.split(BEGIN)
    return before + block(found) + rest.split(END)[1]


def block(found: dict[str, Any]) -> str:
    """The block of README.md, marks included."""
    made = [
        BEGIN,
        f"Measured on {found['date']} on {found['machine']}; minimum of {found['repeats']} "
        "interleaved repeats, process time. Time is that of `reference` in the plain layout "
        "divided by that of the profile; in brackets against `reference` with channels last, "
        "where layout is no gain. Memory is what is kept for the backward pass, of `reference` "
        "divided by that of the profile. `python tools/bench_step.py --write-readme` makes this "
        "table.",
        "",
        "| step | profile | time | memory | operators | predicted / measured |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for each in found["rows"]:
        rows = each["rows"]
        plain, last = rows[0], rows[1]
        saved = plain["saved_MB"]
        kept = "" if saved is None else f", {saved:,.0f} MB"
        made.append(
            f"| {each['label']}, batch {each['batch']} | `reference` | "
            f"{plain['time_min_s']:.2f} s{kept} | 1 | {plain['kernels']:,} | "
            f"{plain['predicted_s'] / plain['time_min_s']:.2f} |"
        )
        made.append(
            f"| | channels last | {last['faster_than_plain']:.2f} | 1 | {last['kernels']:,} | "
            f"{last['predicted_s'] / last['time_min_s']:.2f} |"
        )
        for row in rows[2:]:
            memory = "" if saved is None else f"{saved / max(row['saved_MB'], 1e-9):.2f}"
            made.append(
                f"| | `{row['profile']}` | {row['faster_than_plain']:.2f} "
                f"({row['faster_than_channels_last']:.2f}) | {memory} | {row['kernels']:,} | "
                f"{row['predicted_s'] / row['time_min_s']:.2f} |"
            )
    made.append(END)
    return "\n".join(made)
