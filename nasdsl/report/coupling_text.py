"""Step rules beside their monolithic loops, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nasdsl.report.columns import indent, table, wrap
from nasdsl.training.coupling.rules import TOLERANCE, Trajectories


def coupling_report(found: Sequence[Trajectories]) -> dict[str, Any]:
    """Differences as plain data."""
    return {
        "schema": 1,
        "tolerance": TOLERANCE,
        "agree": all(t.agree for t in found),
        "rules": [
            {
                "rule": t.rule.name,
                "what": t.rule.what,
                "recipe": t.rule.body,
                "seed": t.seed,
                "steps": t.steps,
                "weights": t.weights,
                "alphas": t.alphas,
                "moved": t.moved,
                "agree": t.agree,
            }
            for t in found
        ],
    }


def coupling_text(found: Sequence[Trajectories], width: int = 80) -> str:
    """Differences as text."""
    rows = [
        [
            t.rule.name,
            str(t.steps),
            f"{t.weights:.1e}",
            f"{t.alphas:.1e}",
            f"{t.moved:.1e}",
            "same" if t.agree else "DIFFERENT",
        ]
        for t in found
    ]
    head = ["", "steps", "weights", "alphas", "moved by", ""]
    lines = ["recipes against monolithic loops of the same seed, float64"]
    lines += indent(table(rows, header=head, right=range(1, 5)))
    for t in found:
        lines += wrap(t.rule.what, width=width, first=f"  {t.rule.name:<16}")
    lines += wrap(
        "weights, alphas: the largest difference between parameters after all steps; moved by: the "
        f"farthest a weight of the loop went. The same is {TOLERANCE:g} or less.",
        width=width,
    )
    return "\n".join(lines) + "\n"
