"""How much of an architecture is skip connections: the sign of a collapsed search.

DARTS drifts to skip connections, which help the supernet and not the network that is found
(RobustDARTS, arXiv 1909.09656; DARTS+, 1909.06035).
"""

from __future__ import annotations

from collections.abc import Mapping

from nasdsl.ir import cost
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.op import Op, Prim, Seq
from nasdsl.ir.space import Space

#: A search whose architecture has more than this share of skips among its picks is warned about,
#: if it picks at least so many operations.
COLLAPSED, LEAST = 0.5, 4


def _is_skip(op: Op) -> bool:
    if isinstance(op, Seq):
        return all(_is_skip(part) for part in op.parts)
    return isinstance(op, Prim) and op.kind in ("identity", "factorized_reduce")


def skips(space: Space) -> dict[str, frozenset[str]]:
    """Decision -> labels that are skips: the identity, or what reduces in its place.

    Only decisions that offer one.
    """
    found: dict[str, set[str]] = {}
    for _, choice in cost.choices(space.supernet):
        labels = {
            label
            for label, op in zip(choice.labels, choice.options, strict=True)
            if _is_skip(op) and len(choice.options) > 1
        }
        if labels:
            found.setdefault(choice.decision, set()).update(labels)
    return {decision: frozenset(labels) for decision, labels in found.items()}


def picked(genotype: Genotype, space: Space) -> tuple[int, int]:
    """Skips among the picks of decisions that offer one, and how many such picks there are."""
    offered = skips(space)
    picks = [(d, label) for d, label in genotype.picks if d in offered]
    return sum(label in offered[d] for d, label in picks), len(picks)


def warning(genotype: Genotype, space: Space) -> str | None:
    """What to say of an architecture that is mostly skips; None where it is not."""
    found, of = picked(genotype, space)
    if of < LEAST or found <= COLLAPSED * of:
        return None
    return (
        f"{found} of {of} operations are skip connections: the search has likely collapsed "
        "(recipes against it: skip_stop, darts_minus, beta_darts, sdarts_rs)"
    )


def weighed(
    rows: Mapping[str, Mapping[str, list[float]]],
    labels: Mapping[str, tuple[str, ...]],
    offered: Mapping[str, frozenset[str]],
) -> float:
    """The mean share of skips in the mix of decisions that offer one, 0 where none does."""
    shares = []
    for table in rows.values():
        for decision, row in table.items():
            if decision in offered:
                total = sum(row) or 1.0
                named = zip(labels[decision], row, strict=True)
                shares.append(sum(w for n, w in named if n in offered[decision]) / total)
    return sum(shares) / len(shares) if shares else 0.0
