"""Take options out of a space: what is pruned is not built and costs nothing.

`keep` names the labels that stay of decisions between operations. Choices of supernet and target
and the decisions themselves lose the others, and whatever was decided inside them; the order of
what stays does not change. DrNAS (arXiv 2006.10355, section 3.2) and P-DARTS (arXiv 1904.12760,
section 3.2) shrink their spaces so between phases, SGAS and DARTS-PT one edge at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nasdsl.ir.op import Choice, Op
from nasdsl.ir.rewrite import Plain, op, rebuild
from nasdsl.ir.space import Decision, Space


class PruneError(ValueError):
    """What is to stay is not there, or nothing would."""


def prune(space: Space, keep: Mapping[str, Sequence[str]]) -> Space:
    """The space without the labels that `keep` leaves out; decisions it does not name stay whole.

    Raises PruneError for an unknown decision or label, and where nothing stays.
    """
    if not keep:
        return space
    known = {d.id: d for d in every(space.decisions)}
    for identity, labels in keep.items():
        decision = known.get(identity)
        if decision is None or decision.kind != "op" or decision.count is not None:
            raise PruneError(f"`{identity}` is no decision between operations of `{space.name}`")
        unknown = [label for label in labels if label not in decision.labels]
        if unknown:
            raise PruneError(f"`{identity}` has no option `{unknown[0]}`")
        if not labels:
            raise PruneError(f"`{identity}` would have no option left")
    visitor = _Pruned(keep)
    return replace(
        space,
        supernet=rebuild(space.supernet, visitor),
        target=rebuild(space.target, visitor),
        decisions=tuple(_decision(d, keep) for d in space.decisions),
    )


def every(decisions: Sequence[Decision]) -> list[Decision]:
    """Decisions with those below their options, outside first."""
    found = []
    for decision in decisions:
        found.append(decision)
        for below in decision.nested:
            found.extend(every(below))
    return found


class _Pruned(Plain):
    def __init__(self, keep: Mapping[str, Sequence[str]]) -> None:
        self.keep = keep

    def whole(self, of: Op) -> Op | None:
        if not isinstance(of, Choice) or of.decision not in self.keep:
            return None
        stay = [i for i, label in enumerate(of.labels) if label in self.keep[of.decision]]
        if len(stay) == len(of.labels):
            return None
        if not stay:
            raise PruneError(f"`{of.decision}` has a place where none of what is kept stands")
        shrunk = replace(
            of,
            labels=tuple(of.labels[i] for i in stay),
            options=tuple(of.options[i] for i in stay),
        )
        # Options hold decisions of their own.
        return op(shrunk, self)


def _decision(of: Decision, keep: Mapping[str, Sequence[str]]) -> Decision:
    stay = [i for i, label in enumerate(of.labels) if label in keep.get(of.id, of.labels)]
    nested = tuple(
        tuple(_decision(d, keep) for d in of.nested[i]) for i in stay if i < len(of.nested)
    )
    return replace(of, labels=tuple(of.labels[i] for i in stay), nested=nested)
