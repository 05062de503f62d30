"""How many channels an operation yields under each setting of the decisions among values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from nasdsl.ir.cell import After, Arrival, Cell, Join, Output
from nasdsl.ir.op import Choice, Forms, Nested, Op, Par, Prim, Seq, Varied


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """Channels under every joint setting, the last decision fastest; without decisions one."""

    decisions: tuple[str, ...] = ()
    labels: tuple[tuple[str, ...], ...] = ()
    counts: tuple[int, ...]

    def under(self, setting: dict[str, str]) -> int:
        """The channels under a setting of at least these decisions."""
        at = 0
        for decision, labels in zip(self.decisions, self.labels, strict=True):
            at = at * len(labels) + labels.index(setting[decision])
        return self.counts[at]


@dataclass(frozen=True, slots=True, kw_only=True)
class JointWidths:
    """Channels of several parts under every joint setting of all their decisions."""

    decisions: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    counts: tuple[tuple[int, ...], ...]


def joint(parts: Sequence[Widths]) -> JointWidths:
    """The widths of several parts together."""
    labels: dict[str, tuple[str, ...]] = {}
    for part in parts:
        labels.update(zip(part.decisions, part.labels, strict=True))
    counts = []
    for setting in product(*labels.values()):
        here = dict(zip(labels, setting, strict=True))
        counts.append(tuple(part.under(here) for part in parts))
    return JointWidths(decisions=tuple(labels), labels=tuple(labels.values()), counts=tuple(counts))


def joined(parts: Sequence[Widths]) -> Widths:
    """The widths of parts that are joined by their channels."""
    found = joint(parts)
    counts = tuple(sum(c) for c in found.counts)
    return Widths(decisions=found.decisions, labels=found.labels, counts=counts)


def of_op(op: Op) -> Widths:
    """The widths of what an operation yields."""
    match op:
        case Varied():
            if len({o.out.channels for o in op.options}) == 1:
                return Widths(counts=(op.out.channels,))
            counts = tuple(o.out.channels for o in op.options)
            return Widths(decisions=op.decisions, labels=op.labels, counts=counts)
        case Forms():
            made = [of_op(o) for o in op.options]
            settings = (dict(zip(op.decisions, s, strict=True)) for s in product(*op.labels))
            found = tuple(
                made[f].under(setting) for f, setting in zip(op.form, settings, strict=True)
            )
            return Widths(decisions=op.decisions, labels=op.labels, counts=found)
        case Seq() if op.parts:
            return of_op(op.parts[-1])
        case Par() if op.how == "concat":
            return joined([of_op(p) for p in op.parts])
        case Par():
            return of_op(op.parts[0])
        case Choice():
            return of_op(op.options[0])
        case Nested():
            return of_output(op.cell, op.cell.output)
        case Prim() | Seq():
            return Widths(counts=(op.out.channels,))


def of_node(cell: Cell, name: str) -> Widths:
    """The widths of an input or a node of a cell."""
    for entry in cell.inputs:
        if entry.name == name:
            return of_op(entry.prepare)
    return next(of_op(n.after) for n in cell.nodes if n.name == name)


def of_output(cell: Cell, output: Output) -> Widths:
    """The widths of a part of a cell's output."""
    match output:
        case Arrival():
            through = next((e for e in cell.into("out") if e.source == output.node), None)
            return of_op(through.op) if through is not None else of_node(cell, output.node)
        case After():
            return of_op(output.op)
        case Join():
            parts = [of_output(cell, p) for p in output.parts]
            return joined(parts) if output.how == "concat" else parts[0]
