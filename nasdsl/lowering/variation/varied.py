"""Decisions among values and depths: one network that holds every setting of them.

A network is lowered under several settings and the results are laid over each other: where they
differ a primitive becomes `Varied`. So each setting is by construction what lowering makes of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.ir.space import Decision, Network
from nasdsl.lowering.scope import Context
from nasdsl.lowering.variation.covering import Again, Covering, Meeting
from nasdsl.lowering.variation.depth import check_depths
from nasdsl.lowering.variation.settings import Lower


def varied(
    diags: Diagnostics,
    base: Network,
    context: Context,
    lower: Lower,
    meeting: Meeting | None = None,
) -> tuple[Network, Meeting | None]:
    """A network that holds every setting of its decisions among values; without any, itself.

    `base` is the network without settings and `context` that of its elaboration. `meeting`, if
    known from a network of the same structure, saves the first step. Raises Broken.
    """
    decisions = {d.id: d for d in _every(context.decisions.values()) if d.count is None}
    depths = [d for d in decisions.values() if d.kind == "depth"]
    values = [d for d in decisions.values() if d.kind == "value" and len(d.labels) > 1]
    if depths:
        check_depths(diags, base, depths, lower)
    if not values:
        return base, None
    work = Covering(diags, lower, {d.id: d for d in values}, dict(context.chosen))
    if meeting is not None:
        work.whole_at = meeting.whole_at
    work.keep({}, base)
    while True:
        try:
            return work.merge(base, meeting)
        except Again:
            meeting = None


def _every(decisions: Iterable[Decision]) -> Iterable[Decision]:
    for decision in decisions:
        yield decision
        for below in decision.nested:
            yield from _every(below)
