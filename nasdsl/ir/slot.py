"""One operation of a cell as far as decisions settle it: what a genotype puts there, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nasdsl.ir.op import (
    Choice,
    Forms,
    Nested,
    Op,
    Par,
    Prim,
    Seq,
    Varied,
    is_identity,
    is_none,
    parts,
)

#: Operations that are known for what they do; no operation has such a name.
IDENTITY, ZERO = "=", "0"

#: Labels by decision.
Picks = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Slot:
    """An operation of a cell: the decision that settles it, or how it is described.

    `means` says for each label whether it is the identity, zero or itself; `inner` are decisions
    that stand inside; `cells` are tables of the cells that a label brings, `bare` the labels that
    are nothing but a cell.
    """

    identity: str
    op: Op
    means: dict[str, str]
    inner: tuple[str, ...]
    cells: dict[str, tuple[str, ...]]
    bare: frozenset[str]
    #: The description, where nothing in the operation is decided.
    fixed: str | None


def slot_of(identity: str, ops: list[Op], inner: tuple[str, ...]) -> Slot:
    """What the instances of an operation have in common."""
    op = ops[0]
    means: dict[str, str] = {}
    cells: dict[str, tuple[str, ...]] = {}
    bare: set[str] = set()
    if isinstance(op, Choice) and op.decision == identity:
        for i, label in enumerate(op.labels):
            options = [o.options[i] for o in ops if isinstance(o, Choice)]
            # With a stride a skip is a convolution: it must be the identity at every place.
            if all(is_identity(o) for o in options):
                means[label] = IDENTITY
            elif all(is_none(o) for o in options):
                means[label] = ZERO
            tables = tuple(tables_in(options[0]))
            if tables:
                cells[label] = tables
            if isinstance(options[0], Nested):
                bare.add(label)
    else:
        cells[""] = tuple(tables_in(op))
    fixed = None if _open(op) else described(op, {})
    return Slot(identity, op, means, inner, cells, frozenset(bare), fixed)


def _open(op: Op) -> bool:
    return isinstance(op, Choice | Varied | Forms | Nested) or any(_open(p) for p in parts(op))


def operations(
    slot: Slot, picks: Picks, cells: Mapping[str, str] = MappingProxyType({})
) -> list[tuple[str, str]]:
    """Label and operation at a slot: several where a genotype puts operations side by side.

    `cells` names the cells that operations bring; without it they go by their tables.
    """
    within = inside(slot, picks)
    if not isinstance(slot.op, Choice) or slot.op.decision != slot.identity:
        text = slot.fixed if slot.fixed is not None else described(slot.op, picks, cells)
        return [] if text == ZERO else [(text, text + within)]
    found = []
    for label in picks.get(slot.identity, ()):
        tables = [cells.get(table, table) for table in slot.cells.get(label, ())]
        name = "" if label in slot.bare else label
        brought = f"cell({' '.join(tables)})" if tables else ""
        found.append((label, slot.means.get(label, name + brought + within)))
    return found


def inside(slot: Slot, picks: Picks) -> str:
    """The decisions inside an operation, relative to it."""
    if not slot.inner:
        return ""
    cut = len(slot.identity)
    found = [f"{i[cut:]}={','.join(picks[i])}" for i in slot.inner if i in picks]
    return "{" + " ".join(found) + "}" if found else ""


def described(op: Op, picks: Picks, cells: Mapping[str, str] = MappingProxyType({})) -> str:
    """A fixed operation in a line, choices inside it by what was picked."""
    if is_identity(op):
        return IDENTITY
    if is_none(op):
        return ZERO
    match op:
        case Prim():
            return f"{op.kind}({','.join(f'{k}={v}' for k, v in op.attrs)})"
        case Seq():
            return ">>".join(described(p, picks, cells) for p in op.parts if not is_identity(p))
        case Par():
            inner = [described(p, picks, cells) for p in op.parts]
            return f"{op.how}({','.join(sorted(inner) if op.how == 'sum' else inner)})"
        case Choice():
            return "+".join(sorted(picks.get(op.decision, ())))
        case Varied():
            return op.options[-1].kind
        case Forms():
            return described(_standing(op, picks), picks, cells)
        case Nested():
            return f"cell({cells.get(op.cell.table, op.cell.table)})"


def _standing(op: Forms, picks: Picks) -> Op:
    """The form that stands under what was picked, the largest where nothing was."""
    index = 0
    for decision, labels in zip(op.decisions, op.labels, strict=True):
        label = next(iter(picks.get(decision, ())), labels[-1])
        index = index * len(labels) + labels.index(label)
    return op.options[op.form[index]]


def tables_in(op: Op) -> Iterator[str]:
    """Tables of the cells inside an operation, those behind further choices left out."""
    if isinstance(op, Nested):
        yield op.cell.table
    elif not isinstance(op, Choice):
        for part in parts(op):
            yield from tables_in(part)
