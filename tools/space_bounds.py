"""The smallest and the largest network of a space: parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nasdsl.ir import cost
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Decision, Space
from nasdsl.lowering.program import Program

MEASURES = ("params", "macs")
#: Low and high of every measure; None where it is not known.
Bounds = dict[str, tuple[int, int] | None]


def bounds(program: Program, space: Space) -> Bounds:
    """Bounds of the target network over all architectures, `require` left out.

    Exact where only operations are decided (costs of cells add up) and where numbers and depths
    are: costs rise with widths, kernels and depths, and options of operations are tried one by
    one. Where edges are decided the bounds are not known.
    """
    decisions = list(every(space.decisions))
    if any(d.kind == "subset" for d in decisions):
        return dict.fromkeys(MEASURES)
    if all(d.kind == "op" for d in decisions):
        return {
            m: (cost.extreme(space, m, largest=False)[0], cost.extreme(space, m, largest=True)[0])
            for m in MEASURES
        }
    return {m: (_extreme(program, space, m, -1), _extreme(program, space, m, 1)) for m in MEASURES}


def every(decisions: Iterable[Decision]) -> Iterable[Decision]:
    """Decisions and those below their options."""
    for decision in decisions:
        yield decision
        for below in decision.nested:
            yield from every(below)


def _extreme(program: Program, space: Space, measure: str, sign: int) -> int:
    """The largest (sign 1) or smallest (-1) cost; options of operations by trying them."""
    taken: dict[str, str] = {}

    def price() -> int:
        return sign * _price(program, space, measure, _picks(space.decisions, taken, sign))

    best = price()
    for decision in every(space.decisions):
        if decision.kind != "op":
            continue
        for label in decision.labels:
            before = taken.get(decision.id, decision.labels[0])
            taken[decision.id] = label
            found = price()
            if found > best:
                best = found
            else:
                taken[decision.id] = before
    return sign * best


def _picks(
    decisions: Iterable[Decision], taken: Mapping[str, str], sign: int
) -> Iterable[tuple[str, str]]:
    """Numbers and depths at their largest (sign 1) or smallest, operations as `taken`."""
    for decision in decisions:
        if decision.low is not None:
            yield decision.id, str(float(decision.low))
            continue
        label = taken.get(decision.id, decision.labels[0])
        if decision.kind != "op":
            label = max(decision.labels, key=lambda text: sign * float(text))
        yield decision.id, label
        if decision.nested:
            yield from _picks(decision.nested[decision.labels.index(label)], taken, sign)


def _price(program: Program, space: Space, measure: str, picks: Iterable[tuple[str, str]]) -> int:
    genotype = Genotype(space=space.name, picks=tuple(picks))
    resolved = program.space(space.name, genotype=genotype)
    program.diags.check()
    if resolved is None:
        raise SystemExit(f"space `{space.name}` cannot be resolved")
    return int(getattr(cost.of_network(resolved.target), measure))
