"""The smallest and the largest network of a space: parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from nasdsl.ir import cost
from nasdsl.ir.expression import evaluate
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Decision, Space
from nasdsl.lowering.program import Program

MEASURES = ("params", "macs")
#: Low and high of every measure; None where it is not known.
Bounds = dict[str, tuple[int, int] | None]
Price = Callable[[Genotype], int]


def bounds(program: Program, space: Space) -> Bounds:
    """Bounds of the target network over all architectures, `require` left out.

    Exact where operations are decided, as their costs add up, and where numbers and depths are, as
    costs rise with them. With cells in cells they are the best that changing one decision at a time
    finds. Where edges are decided they are not known.
    """
    decisions = list(every(space.decisions))
    if any(d.kind == "subset" for d in decisions):
        return dict.fromkeys(MEASURES)
    if any(keep.count is not None for rules in space.rules for keep in rules.keeps):
        # `keep N` keeps the cheapest or dearest edges; such cells hold nothing but operations.
        return {
            m: (cost.extreme(space, m, largest=False)[0], cost.extreme(space, m, largest=True)[0])
            for m in MEASURES
        }
    found: Bounds = {}
    for measure in MEASURES:
        price = _price(program, space, measure)
        found[measure] = (_extreme(space, price, -1), _extreme(space, price, 1))
    return found


def every(decisions: Iterable[Decision]) -> Iterable[Decision]:
    """Decisions and those below their options."""
    for decision in decisions:
        yield decision
        for below in decision.nested:
            yield from every(below)


def _price(program: Program, space: Space, measure: str) -> Price:
    """The cost of an architecture: by the cost expression, or by lowering the space with it."""
    if all(d.kind == "op" for d in every(space.decisions)):
        expression = cost.expression(space, measure)
        return lambda genotype: evaluate(expression, genotype)

    def lowered(genotype: Genotype) -> int:
        resolved = program.space(space.name, genotype=genotype)
        program.diags.check()
        if resolved is None:
            raise SystemExit(f"space `{space.name}` cannot be resolved")
        return int(getattr(cost.of_network(resolved.target), measure))

    return lowered


def _extreme(space: Space, price: Price, sign: int) -> int:
    """The largest (sign 1) or smallest (-1) cost; options of operations by trying them.

    From the first and from the last options, until no change of one decision helps.
    """
    free = [d for d in every(space.decisions) if d.kind == "op"]
    found = []
    for start in (0, -1):
        taken = {d.id: d.labels[start] for d in free}
        best = sign * price(_genotype(space, taken, sign))
        better = True
        while better:
            better = False
            for decision in free:
                for label in decision.labels:
                    before, taken[decision.id] = taken[decision.id], label
                    now = sign * price(_genotype(space, taken, sign))
                    if now > best:
                        best, better = now, True
                    else:
                        taken[decision.id] = before
        found.append(best)
    return sign * max(found)


def _genotype(space: Space, taken: Mapping[str, str], sign: int) -> Genotype:
    return Genotype(space=space.name, picks=tuple(_picks(space.decisions, taken, sign)))


def _picks(
    decisions: Iterable[Decision], taken: Mapping[str, str], sign: int
) -> Iterable[tuple[str, str]]:
    """Numbers and depths at their largest (sign 1) or smallest, operations as `taken`."""
    for decision in decisions:
        if decision.low is not None:
            yield decision.id, str(float(decision.low))
            continue
        if decision.kind == "op":
            label = taken[decision.id]
        else:
            label = max(decision.labels, key=lambda text: sign * float(text))
        yield decision.id, label
        if decision.nested:
            yield from _picks(decision.nested[decision.labels.index(label)], taken, sign)
