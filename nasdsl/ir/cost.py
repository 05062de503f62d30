"""Parameters and multiply-adds of networks, from shapes alone."""

from __future__ import annotations

from collections.abc import Iterator

from nasdsl.ir.cell import Cell, operations
from nasdsl.ir.op import Choice, Nested, Op, Prim, Varied, parts
from nasdsl.ir.optable import Cost, cost
from nasdsl.ir.space import Network, Space, Stage


def of_op(op: Op) -> Cost:
    """Everything inside an operation; of a choice all options, as a supernet holds them."""
    match op:
        case Prim():
            return cost(op)
        case Varied():
            return largest(op)
        case Nested():
            return of_cell(op.cell)
        case _:
            total = Cost()
            for part in parts(op):
                total = total + of_op(part)
            return total


def largest(op: Varied) -> Cost:
    """What a primitive costs in its largest setting, as a supernet holds it."""
    costs = [cost(o) for o in op.options]
    return Cost(
        max(c.params for c in costs), max(c.macs for c in costs), max(c.bias for c in costs)
    )


def of_cell(cell: Cell) -> Cost:
    total = Cost()
    for _, op in operations(cell):
        total = total + of_op(op)
    return total


def of_stage(stage: Stage) -> Cost:
    return of_cell(stage.body) if isinstance(stage.body, Cell) else of_op(stage.body)


def of_network(network: Network, *, aux: bool = False) -> Cost:
    """All stages; the auxiliary head only when asked for, as the papers count."""
    total = Cost()
    for stage in network.stages:
        total = total + of_stage(stage)
    if aux and network.aux is not None:
        total = total + of_stage(network.aux)
    return total


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
                return largest(op)
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
    """Smallest or largest `params` or `macs` over all architectures, and the labels that give it.

    Exact where decisions are independent, as they are in cells: costs add up over instances.
    """
    sign = -1 if largest else 1
    per_option: dict[str, dict[str, int]] = {}
    for _, choice in choices(space.target):
        options = per_option.setdefault(choice.decision, {})
        for label, option in zip(choice.labels, choice.options, strict=True):
            amount = getattr(of_op(option), measure)
            options[label] = options.get(label, 0) + amount
    total = getattr(fixed(space.target), measure)
    labels: set[str] = set()
    done: set[str] = set()
    for rules in space.rules:
        for node, identities in rules.rows:
            keep = next((k for k in rules.keeps if node in k.targets), None)
            exclude = keep.exclude if keep else ()
            ranked = []
            for identity in identities:
                if identity not in per_option:
                    continue
                done.add(identity)
                allowed = {k: v for k, v in per_option[identity].items() if k not in exclude}
                label = min(allowed, key=lambda k: sign * allowed[k])
                ranked.append((sign * allowed[label], label))
            ranked.sort()
            if keep is not None and keep.count is not None:
                ranked = ranked[: keep.count]
            total += sign * sum(amount for amount, _ in ranked)
            labels.update(label for _, label in ranked)
    for identity, options in per_option.items():
        if identity not in done:
            label = min(options, key=lambda k: sign * options[k])
            total += options[label]
            labels.add(label)
    return total, frozenset(labels)
