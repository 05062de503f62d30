"""Parameters and multiply-adds of networks, from shapes alone, as numbers and as expressions.

What is counted: trainable parameters; multiply-adds of convolutions, linear maps and attention
products for one sample; bias additions apart. Normalisation, pooling, activations and sums are not
counted, as in the tables of the field; `torch.utils.flop_counter` counts the same, two for each
multiply-add. An architecture counts as it is written: also operations from which no path leads to
the output, which the benchmarks count and the built network leaves out (`of_built`).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from nasdsl.ir import extremes, memory
from nasdsl.ir.cell import After, Cell, Join, Output, arrivals, operations
from nasdsl.ir.expression import CostError, Expression, Term, Wiring, total
from nasdsl.ir.op import Choice, Nested, Op, Prim, Seq, Varied, parts
from nasdsl.ir.optable import Cost, cost
from nasdsl.ir.space import Network, Space, Stage
from nasdsl.ir.steps import Step, decided, every, settings, steps, steps_of

#: What is added up over primitives.
MEASURES = ("params", "macs", "bias")


def of_op(op: Op, copies: int = 1) -> Cost:
    """Everything inside an operation; of a choice all options, as a supernet holds them.

    Of a primitive under several settings the largest, of which the others are slices. `copies`
    is how often the operation runs for one sample, see `fold`.
    """
    match op:
        case Prim():
            return _run(cost(op), copies)
        case Varied():
            found = [cost(option) for option in op.options]
            largest = (max(getattr(c, measure) for c in found) for measure in MEASURES)
            return _run(Cost(*largest), copies)
        case Nested():
            return of_cell(op.cell, copies)
        case _:
            total = Cost()
            for part in parts(op):
                total = total + of_op(part, copies)
                if isinstance(op, Seq):
                    copies = _behind(part, copies)
            return total


def _run(found: Cost, copies: int) -> Cost:
    return found if copies == 1 else Cost(found.params, found.macs * copies, found.bias * copies)


def _behind(op: Op, copies: int) -> int:
    """How many pieces of a sample there are behind an operation."""
    match op:
        case Prim(kind="fold"):
            return copies * op.inp.dims[0]
        case Prim(kind="unfold"):
            return max(1, copies // op.integer("n"))
        case Seq():
            for part in op.parts:
                copies = _behind(part, copies)
    return copies


def of_cell(cell: Cell, copies: int = 1) -> Cost:
    total = Cost()
    for _, op in operations(cell):
        total = total + of_op(op, copies)
    return total


def of_stage(stage: Stage, copies: int = 1) -> Cost:
    if isinstance(stage.body, Cell):
        return of_cell(stage.body, copies)
    return of_op(stage.body, copies)


def copies_of(network: Network) -> tuple[int, ...]:
    """How many pieces of a sample arrive at each stage."""
    arriving: list[int] = []
    behind: list[int] = []
    for stage in network.stages:
        copies = behind[stage.inputs[-1]] if stage.inputs[-1] >= 0 else 1
        arriving.append(copies)
        body = stage.body
        behind.append(copies if isinstance(body, Cell) else _behind(body, copies))
    return tuple(arriving)


def of_stages(network: Network) -> tuple[Cost, ...]:
    """The cost of each stage."""
    copies = copies_of(network)
    return tuple(of_stage(s, n) for s, n in zip(network.stages, copies, strict=True))


def of_network(network: Network, *, aux: bool = False) -> Cost:
    """All stages; the auxiliary head only when asked for, as the papers count."""
    total = Cost()
    for found in of_stages(network):
        total = total + found
    if aux and network.aux is not None:
        total = total + of_stage(network.aux)
    return total


def of_built(network: Network, *, dense: bool = False, aux: bool = False) -> Cost:
    """What is built and runs: operations from which no path leads to the output left out.

    For a network without decisions, or `dense` for a supernet.
    """
    made = steps(network, dense=dense, aux=aux)
    total = Cost()
    for i in sorted(made.live()):
        step = made.steps[i]
        if step.op is not None:
            total = total + of_op(step.op, step.copies)
    return total


# ---- expressions over the choices


def expression(space: Space, measure: str, *, supernet: bool = False) -> Expression:
    """A measure of the target network over the choices of its space, or of the supernet.

    `params`, `macs`, `bias`: with the indicators of a genotype, exactly the cost of the network
    lowered with that genotype. `saved`: bytes of activations per sample that a training step of
    that network keeps, an upper estimate (see `memory.terms`). The auxiliary head is not counted.

    Raises CostError for a network with a cell that splits its output among as many nodes as are
    picked (NAS-Bench-101): its widths are no products of choices.
    """
    network = space.supernet if supernet else space.target
    for cell in cells(network):
        if cell.picks and splits(cell.output):
            raise CostError(
                f"the widths of cell `{cell.name}` follow from which edges are picked; "
                "lower the network with an architecture instead"
            )
    found: Iterator[Term]
    if measure == "saved":
        found = memory.terms(space, network)
    elif measure in MEASURES:
        found = _terms_of(space, network, measure)
    else:
        raise CostError(f"unknown measure `{measure}`: {', '.join((*MEASURES, 'saved'))}")
    return Expression(
        measure=measure,
        terms=total(found),
        labels=labels(space),
        stay=stay(network),
        wirings=wirings(network),
    )


def _terms_of(space: Space, network: Network, measure: str) -> Iterator[Term]:
    # Instances of a cell at equal places are one value: its terms are made once.
    same: dict[tuple[int, object, int], list[Stage]] = {}
    for stage, copies in zip(network.stages, copies_of(network), strict=True):
        same.setdefault((id(stage.body), stage.rounds, copies), []).append(stage)
    for (_, _, copies), stages in same.items():
        for step in steps_of(stages[0], space, copies):
            for term in _terms(step, measure):
                yield Term(term.amount * len(stages), term.factors)


def _terms(step: Step, measure: str) -> Iterator[Term]:
    if step.op is None:
        return
    for factors, prim in settings(step):
        amount = getattr(_run(cost(prim), step.copies), measure)
        if amount:
            yield Term(amount, factors)


def labels(space: Space) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The options of every decision of a space; none of a domain of numbers."""
    found = every(space.decisions).values()
    return tuple((d.id, d.labels if d.low is None else ()) for d in found)


def wirings(network: Network) -> tuple[Wiring, ...]:
    """The cells whose edges are picked, one for each table."""
    found: dict[str, Wiring] = {}
    for cell in cells(network):
        if cell.picks:
            found[cell.table] = Wiring(
                table=cell.table,
                inputs=tuple(entry.name for entry in cell.inputs),
                nodes=tuple(node.name for node in cell.nodes),
                edges=tuple((edge.source, edge.target) for edge in cell.edges),
                picked=tuple(t for pick in cell.picks for t in pick.targets),
                read=tuple(arrivals(cell.output)),
            )
    return tuple(found.values())


def stay(network: Network) -> tuple[tuple[str, Fraction], ...]:
    """The share of its node's edges that stay, for each decision under a `keep N` rule."""
    found: dict[str, Fraction] = {}
    for cell in cells(network):
        for keep in cell.keeps:
            for target in keep.targets:
                rows = decided(cell, target)
                if keep.count is not None and keep.count < len(rows):
                    found.update((row, Fraction(keep.count, len(rows))) for row in rows)
    return tuple(found.items())


def cells(network: Network) -> Iterator[Cell]:
    """Every cell, those that stand as operations too, each value once."""
    seen: set[int] = set()

    def inside(op: Op) -> Iterator[Cell]:
        if isinstance(op, Nested):
            yield from whole(op.cell)
        for part in parts(op):
            yield from inside(part)

    def whole(cell: Cell) -> Iterator[Cell]:
        if id(cell) in seen:
            return
        seen.add(id(cell))
        yield cell
        for _, op in operations(cell):
            yield from inside(op)

    for stage in network.stages:
        yield from whole(stage.body) if isinstance(stage.body, Cell) else inside(stage.body)


def splits(output: Output) -> bool:
    """Whether an output shares the width of its cell among the nodes it joins."""
    match output:
        case Join():
            return output.how == "split" or any(splits(part) for part in output.parts)
        case After():
            return splits(output.inner)
        case _:
            return False


def choices(network: Network) -> Iterator[tuple[str, Choice]]:
    """Every choice with the stage it stands in, nested ones behind their parents."""

    def inside(op: Op) -> Iterator[Choice]:
        if isinstance(op, Choice):
            yield op
        if isinstance(op, Nested):
            for _, inner in operations(op.cell):
                yield from inside(inner)
        for part in parts(op):
            yield from inside(part)

    for stage in network.stages:
        if isinstance(stage.body, Cell):
            for _, op in operations(stage.body):
                for choice in inside(op):
                    yield stage.name, choice
        else:
            for choice in inside(stage.body):
                yield stage.name, choice


def fixed(network: Network) -> Cost:
    """What every architecture of the network has: everything outside choices."""

    def outside(op: Op) -> Cost:
        match op:
            case Choice():
                return Cost()
            case Prim():
                return cost(op)
            case Varied():
                return of_op(op)
            case Nested():
                total = Cost()
                for _, inner in operations(op.cell):
                    total = total + outside(inner)
                return total
            case _:
                total = Cost()
                for part in parts(op):
                    total = total + outside(part)
                return total

    total = Cost()
    for stage in network.stages:
        if isinstance(stage.body, Cell):
            for _, op in operations(stage.body):
                total = total + outside(op)
        else:
            total = total + outside(stage.body)
    return total


# ---- bounds over a space


def extreme(space: Space, measure: str, *, largest: bool) -> tuple[int, frozenset[str]]:
    """Smallest or largest `params`, `macs`, … over all architectures, and the labels that give it.

    See `nasdsl.ir.extremes`, which also says whether it is exact or a bound.
    """
    found = extremes.extreme(expression(space, measure), space, largest=largest)
    return found.amount, found.labels
