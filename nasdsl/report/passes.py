"""`compile --explain`: the passes of a profile, what each gained, what it refused and why."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nasdsl.report.columns import number, table

if TYPE_CHECKING:
    from nasdsl.codegen.explain import Explained, Rounding

#: Places of one reason that are named.
PLACES = 2


def passes_report(
    profile: str, found: Sequence[Explained], rounded: Rounding | None = None
) -> dict[str, Any]:
    """The same as data."""
    error = {
        "weight_gradients_off": rounded.weights,
        "mix_gradients_off": rounded.mix,
        "kept_bytes_per_image_exact": rounded.before,
        "kept_bytes_per_image": rounded.after,
    } if rounded is not None else None  # fmt: skip
    return {
        "schema": 1,
        "profile": profile,
        "rounding": error,
        "passes": [
            {
                "name": each.step.name if each.step is not None else "reference",
                "gain": each.step.gain if each.step is not None else "",
                "changes": each.step.changes if each.step is not None else 0,
                "operators": each.kernels,
                "kept_bytes_per_image": each.kept,
                "traffic_bytes_per_image": each.traffic,
                "predicted_seconds": each.predicted,
                "seconds": each.step.seconds if each.step is not None else 0.0,
                "refused": [
                    {"place": r.place, "reason": r.reason}
                    for r in (each.step.refusals if each.step is not None else ())
                ],
            }
            for each in found
        ],
    }


def passes_text(
    profile: str, found: Sequence[Explained], rounded: Rounding | None = None, width: int = 80
) -> str:
    """A table of the passes, then what they are for and what was refused."""
    rows = []
    before = found[0]
    for each in found:
        step = each.step
        rows.append(
            [
                step.name if step is not None else "reference",
                number(step.changes) if step is not None else "",
                number(each.kernels),
                f"{each.kept / 1e6:.2f}",
                f"{each.traffic / 1e6:.1f}",
                f"{each.predicted * 1e3:.1f}",
                f"{step.seconds * 1e3:.0f}" if step is not None else "",
            ]
        )
    first, last = before, found[-1]
    lines = [f"profile {profile}, for an image of a batch of 2", ""]
    lines += table(
        rows,
        header=["pass", "changes", "operators", "kept MB", "moved MB", "model ms", "ms"],
        right=range(1, 7),
    )
    lines += [
        "",
        f"{_times(first.kernels, last.kernels)} operators, {_times(first.kept, last.kept)} memory, "
        f"{_times(first.traffic, last.traffic)} traffic of the reference",
        "",
    ]
    if rounded is not None:
        said = (
            f"bf16: gradients are off by {rounded.weights:.1%} of the weights and {rounded.mix:.1%} "
            f"of the mix, measured on random images; kept is {rounded.after / 1e6:.2f} MB instead "
            f"of {rounded.before / 1e6:.2f} MB an image, {(rounded.before - rounded.after) / 1e6:.2f} MB less"
        )
        lines += [*textwrap.wrap(said, width, subsequent_indent="  "), ""]
    for each in found:
        if each.step is not None and each.step.changes:
            lines += textwrap.wrap(
                f"{each.step.name}: {each.step.gain}", width, subsequent_indent="  "
            )
    lines += ["", *_refused(found, width)]
    return "\n".join(lines).rstrip() + "\n"


def _times(before: float, after: float) -> str:
    return f"{after / before:.2f} x the" if before else "no"


def _refused(found: Sequence[Explained], width: int) -> list[str]:
    lines: list[str] = []
    for each in found:
        if each.step is None:
            continue
        reasons: dict[str, list[str]] = {}
        for refusal in each.step.refusals:
            reasons.setdefault(refusal.reason, []).append(refusal.place)
        for reason, places in reasons.items():
            some = ", ".join(places[:PLACES])
            more = f" and {len(places) - PLACES} more" if len(places) > PLACES else ""
            lines += textwrap.wrap(
                f"refused by {each.step.name}: {reason} ({some}{more})",
                width,
                subsequent_indent="  ",
                break_on_hyphens=False,
            )
    return lines or ["nothing was refused"]
