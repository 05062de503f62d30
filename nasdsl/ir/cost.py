"""Parameters and multiply-adds of networks, from shapes alone."""

from __future__ import annotations

from collections.abc import Iterator

from nasdsl.ir.cell import Cell, operations
from nasdsl.ir.op import Choice, Nested, Op, Prim, parts
from nasdsl.ir.optable import Cost, cost
from nasdsl.ir.space import Network, Stage


def of_op(op: Op) -> Cost:
    """Everything inside an operation; of a choice all options, as a supernet holds them."""
    match op:
        case Prim():
            return cost(op)
        case Nested():
            return of_cell(op.cell)
        case _:
            total = Cost()
            for part in parts(op):
                total = total + of_op(part)
            return total


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
