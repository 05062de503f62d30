"""What a drawing shows, apart from how: boxes, links with labels, a legend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nasdsl.ir import cost
from nasdsl.ir.cell import Cell, CellNode, arrivals, operations
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.op import Choice, Forms, Nested, Op, Par, Prim, Seq, Varied, is_identity, parts
from nasdsl.ir.space import Network, Space


@dataclass(frozen=True, slots=True)
class Box:
    """A node: its name, a second line, and a role that decides how it looks."""

    id: str
    text: str
    role: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """An arrow; `label` is the operation on it, empty for a plain connection."""

    source: str
    target: str
    label: str = ""
    family: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    title: str
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    legend: tuple[str, ...] = ()


#: Words in a label, in this order, and the family that decides its colour.
FAMILIES = (
    ("none", "none"),
    ("noise", "none"),
    ("zero", "none"),
    ("skip", "skip"),
    ("identity", "skip"),
    ("reduce", "skip"),
    ("pool", "pool"),
    ("dil", "dilated"),
    ("sep", "separable"),
    ("dwconv", "separable"),
    ("conv", "conv"),
    ("linear", "conv"),
)


def family(label: str) -> str:
    """The family of an operation, from its name."""
    return next((name for part, name in FAMILIES if part in label.lower()), "other")


def of_cell(
    cell: Cell, space: Space, *, genotype: Genotype | None = None, title: str | None = None
) -> Picture:
    """A cell; edges with choices say how many options they have, chosen ones what was chosen."""
    known = _Labels(space, genotype)
    boxes = [Box(e.name, e.name, "input") for e in cell.inputs]
    boxes += [Box(n.name, n.name, "node", known.of_node(cell, n)) for n in cell.nodes]
    how = getattr(cell.output, "how", "")
    boxes.append(Box("out", "out", "output", how))
    links = []
    for edge in cell.edges:
        label = known.of(cell, edge.key, edge.op)
        kind = "choice" if isinstance(edge.op, Choice) else family(label)
        links.append(Link(edge.source, edge.target, label, kind if label else ""))
    explicit = {e.source for e in cell.edges if e.target == "out"}
    links += [
        Link(name, "out") for name in dict.fromkeys(arrivals(cell.output)) if name not in explicit
    ]
    shape = f"{cell.inputs[-1].inp} to {cell.out}" if cell.inputs else str(cell.out)
    return Picture(
        title or f"{cell.name} cell of {space.name}, {shape}",
        tuple(boxes),
        tuple(links),
        tuple(known.legend),
    )


class _Labels:
    """What is written on an edge."""

    def __init__(self, space: Space, genotype: Genotype | None) -> None:
        self.genotype = genotype
        self.legend: list[str] = []
        self.sets: dict[tuple[str, ...], str] = {}
        self.by_signature: dict[str, dict[object, str]] = {}
        for _, choice in cost.choices(space.supernet):
            known = self.by_signature.setdefault(choice.decision, {})
            for label, option in zip(choice.labels, choice.options, strict=True):
                known.setdefault(_signature(option), label)

    def of(self, cell: Cell, key: str, op: Op) -> str:
        if isinstance(op, Choice):
            return self._options(op.labels)
        if is_identity(op) and f"{cell.table}/{key}" not in self.by_signature:
            return ""
        picked = self.genotype.of(f"{cell.table}/{key}") if self.genotype else ()
        if picked:
            return " + ".join(picked)
        found = self._known(f"{cell.table}/{key}", op)
        if found is None and isinstance(op, Par) and op.how == "sum":
            each = [self._known(f"{cell.table}/{key}", p) or describe(p) for p in op.parts]
            return " + ".join(each)
        return found or describe(op)

    def of_node(self, cell: Cell, node: CellNode) -> str:
        """What a node does with its arrivals, where it is more than their sum."""
        said = [] if node.how == "sum" else [node.how]
        identity = f"{cell.table}/{node.name}"
        if isinstance(node.after, Choice):
            said.append(self._options(node.after.labels))
        elif not is_identity(node.after) or identity in self.by_signature:
            picked = self.genotype.of(identity) if self.genotype else ()
            said += picked or [self._known(identity, node.after) or describe(node.after)]
        return ", ".join(said)

    def _known(self, identity: str, op: Op) -> str | None:
        return self.by_signature.get(identity, {}).get(_signature(op))

    def _options(self, labels: tuple[str, ...]) -> str:
        if labels in self.sets:
            return self.sets[labels]
        joined = " | ".join(labels)
        if len(labels) <= 2 and len(joined) <= 28:
            self.sets[labels] = joined
            return joined
        text = f"{len(labels)} ops"
        alike = sum(t.split(" ")[0] == str(len(labels)) for t in self.sets.values())
        if alike:
            text += f" {chr(ord('a') + alike)}"
        self.sets[labels] = text
        self.legend.append(f"{text}: {', '.join(labels)}")
        return text


def _signature(op: Op) -> object:
    """What tells an operation from others of its edge, in supernet and target alike.

    Normalisation and biases may differ between the two; identities say nothing.
    """
    match op:
        case Prim():
            if op.kind in ("bn", "identity"):
                return ()
            keep = ("kernel", "stride", "dilation", "groups", "p", "heads", "ratio")
            return ((op.kind, *((k, v) for k, v in op.attrs if k in keep)),)
        case Seq():
            found: tuple[object, ...] = ()
            for part in op.parts:
                inner = _signature(part)
                found += inner if isinstance(inner, tuple) else (inner,)
            return found
        case Varied():
            return (("varied", *dict.fromkeys(_signature(o) for o in op.options)),)
        case Nested():
            return (("cell", op.cell.name),)
        case _:
            return ((type(op).__name__, *(_signature(p) for p in parts(op))),)


def describe(op: Op) -> str:
    """An operation in a few words: `conv 3x3`, `relu, dwconv 3x3, …`."""
    words = list(_words(op))
    plain = [w for w in words if w not in ("bn", "relu", "identity")] or words or ["identity"]
    return ", ".join(plain[:2]) + (", …" if len(plain) > 2 else "")


def _words(op: Op) -> Iterator[str]:
    match op:
        case Prim():
            kernel = dict(op.attrs).get("kernel")
            size = "x".join(map(str, kernel)) if isinstance(kernel, tuple) else ""
            yield f"{op.kind} {size}".strip()
        case Varied():
            yield " | ".join(dict.fromkeys(w for o in op.options for w in _words(o)))
        case Forms():
            yield " | ".join(describe(o) for o in op.options)
        case Nested():
            yield op.cell.name
        case Choice():
            yield f"{len(op.labels)} ops"
        case Par() if op.how == "sum":
            yield " + ".join(describe(p) for p in op.parts)
        case _:
            for part in parts(op):
                yield from _words(part)


# ---- networks


def of_network(network: Network, title: str) -> Picture:
    """The stages of a network; three and more alike in a row are one box."""
    boxes = [Box("input", "input", "input", str(network.inp))]
    where = {-1: "input"}
    stages = network.stages
    at = 0
    while at < len(stages):
        end = at + 1
        while end < len(stages) and _alike(network, end - 1, end):
            end += 1
        end = end if end - at >= 3 and not _read_inside(network, at, end) else at + 1
        first, last = stages[at], stages[end - 1]
        name = first.name if end - at == 1 else f"{first.name} … {last.name}"
        role = first.body.name if isinstance(first.body, Cell) else first.role
        kind = "head" if first.role == "head" else "stem" if first.role == "stem" else role
        boxes.append(Box(f"s{at}", name, kind, str(last.out)))
        where.update(dict.fromkeys(range(at, end), f"s{at}"))
        at = end
    links: dict[tuple[str, str], Link] = {}
    for i, stage in enumerate(stages):
        for j in stage.inputs:
            pair = (where[j], where[i])
            if pair[0] != pair[1]:
                links.setdefault(pair, Link(*pair))
    if network.aux is not None:
        aux = network.aux
        boxes.append(Box("aux", "auxiliary head", "aux", str(aux.out)))
        links[where[aux.inputs[-1]], "aux"] = Link(where[aux.inputs[-1]], "aux", "", "aux")
    return Picture(title, tuple(boxes), tuple(links.values()))


def _alike(network: Network, a: int, b: int) -> bool:
    """Whether stage b does to a's output what a did: same body, same shape."""
    first, second = network.stages[a], network.stages[b]
    base = first.name.rstrip("0123456789")
    return (
        second.inputs == (a,)
        and base == second.name.rstrip("0123456789")
        and first.role == second.role
        and first.out == second.out
        and len(first.inputs) == 1
        and cost.of_stage(first) == cost.of_stage(second)
    )


def _read_inside(network: Network, at: int, end: int) -> bool:
    """Whether a stage inside a run, not its last, is read from outside."""
    inner = set(range(at, end - 1))
    read = {j for i, s in enumerate(network.stages) if not at < i < end for j in s.inputs}
    if network.aux is not None:
        read.update(network.aux.inputs)
    return bool(inner & read)


def cells_of(network: Network) -> Mapping[str, Cell]:
    """The first cell of every name in a network, those used as operations too."""
    found: dict[str, Cell] = {}
    stack = [s.body for s in reversed(network.stages)]
    while stack:
        item = stack.pop()
        if isinstance(item, Cell):
            found.setdefault(item.name, item)
            stack.extend(op for _, op in reversed(list(operations(item))))
        elif isinstance(item, Nested):
            stack.append(item.cell)
        else:
            stack.extend(reversed(parts(item)))
    return found
