"""Which architectures are the same: identities that do not depend on how an architecture is written.

`nasdsl.ir.printer.digest` names exactly what is written; an identity here is equal for
architectures that differ only in the order of nodes, in detours over skips, or in parts that do
nothing. What counts as the same is the *notion*:

`network`
    Isomorphic networks with weights of their own. A skip is the identity and sums are flat; `none`
    and operations on nothing but zeros yield zeros, which vanish from sums; what does not lead to
    the output is left out. Two operations stay two, also where they are alike and read the same.
    The parts of a concat have no order: whatever reads it has weights for each of its channels.
    On NAS-Bench-101 this is isomorphism after pruning (arXiv 1902.09635, section 2.3).
`function`
    As `network`, but operations that are alike and read the same are one: equal expressions.
`zero`
    The rule behind the 6 466 unique cells of NAS-Bench-201 (arXiv 2001.00326, section 2;
    `to_unique_str(consider_zero=True)` in NATS-Bench). An expression is a text: a skip copies the
    text of its source, `none` and operations on `#` are `#`, other operations are `(source)@op`,
    a node is its terms sorted and joined by `+`. Sums are not flattened before they are sorted,
    and `#+#` is not `#`, so it tells some cells apart that compute the same.
`skip`
    The same with `none` as an operation like others: 12 751 in NAS-Bench-201.

Whether a skip is the identity is read off the space: with a stride, or between different widths,
it is a convolution and stays. An operation with biases or affine normalisation does not map zeros
to zeros; as the published notions do, all notions but `skip` take it that it does. Decisions
outside cells (a stage, a depth, a width) count as they are picked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from nasdsl.ir.genotype import Genotype
from nasdsl.ir.isomorphism import certificate
from nasdsl.ir.slot import IDENTITY, ZERO, Picks
from nasdsl.ir.space import Space
from nasdsl.ir.wiring import Vertex, Wiring, picks_of

NOTIONS = ("network", "function", "zero", "skip")

#: Texts of the published notions grow with every path through a cell; longer ones are abbreviated.
MAX_TEXT = 2_000


class Canonical:
    """The identity of architectures of one space under one notion."""

    def __init__(self, space: Space, notion: str = "network") -> None:
        if notion not in NOTIONS:
            raise ValueError(f"unknown notion `{notion}`: one of {', '.join(NOTIONS)}")
        self.notion = notion
        self.wiring = Wiring(space)

    def __call__(self, genotype: Genotype) -> str:
        """16 hex digits: equal for architectures that are the same under the notion."""
        return _hash(self.form(genotype))

    def form(self, genotype: Genotype) -> str:
        """The identity as a text: every cell that is in use, and the decisions outside cells."""
        picks = picks_of(genotype)
        made: dict[str, str] = {}
        wiring = self.wiring
        rest = []
        for identity in wiring.rest:
            for label in picks.get(identity, ()):
                tables = wiring.brings.get((identity, label), ())
                inside = [self._cell(t, genotype, picks, made) for t in tables]
                rest.append(f"{identity}={label}{_listed(inside)}")
        cells = [
            f"{table}:{self._cell(table, genotype, picks, made)}"
            for table in wiring.top
            if wiring.decided(table, picks)
        ]
        return "\n".join([self.notion, *cells, *rest])

    def cell(self, table: str, genotype: Genotype) -> str:
        """The identity of one cell as a text."""
        return self._cell(table, genotype, picks_of(genotype), {})

    def _cell(self, table: str, genotype: Genotype, picks: Picks, made: dict[str, str]) -> str:
        if table not in made:
            # Cells inside stand as their own identities, not as the names they have.
            names = {
                inner: _hash(self._cell(inner, genotype, picks, made))
                for inner in self.wiring.brought(table, picks)
            }
            vertices = self.wiring.cell(table, picks, genotype, names)
            rest = [
                f"{i.removeprefix(table)}={','.join(picks[i])}"
                for i in self.wiring.tables[table].rest
                if i in picks
            ]
            made[table] = _written(vertices, self.notion) + _listed(rest)
        return made[table]


def unique(
    genotypes: Iterable[Genotype], space: Space, notion: str = "network"
) -> Iterator[Genotype]:
    """The first of every group of architectures that are the same under a notion."""
    identity = Canonical(space, notion)
    seen: set[str] = set()
    for genotype in genotypes:
        found = identity(genotype)
        if found not in seen:
            seen.add(found)
            yield genotype


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _listed(parts: list[str]) -> str:
    return f"[{' '.join(parts)}]" if parts else ""


def _written(vertices: tuple[Vertex, ...], notion: str) -> str:
    match notion:
        case "network" | "function":
            return certificate(*reduced(vertices, shared=notion == "function"))
        case _:
            return published(vertices, zero=notion == "zero")


# ---- the published rules


def published(vertices: tuple[Vertex, ...], *, zero: bool) -> str:
    """The expression of a cell by the rule of NAS-Bench-201, for cells of any form."""
    texts: list[str] = []

    def applied(op: str, text: str) -> str:
        if zero and (op == ZERO or text == "#"):
            return "#"
        if op == IDENTITY:
            return text
        return f"({text})@{'none' if op == ZERO else op}"

    for i, vertex in enumerate(vertices):
        if vertex.how == "input":
            text = f"{i}" if vertex.after == IDENTITY else f"{i}{vertex.after}"
        else:
            # A vertex at which nothing arrives is zero.
            terms = sorted(applied(op, texts[source]) for op, source in vertex.terms) or ["#"]
            text = "+".join(terms)
            if vertex.how != "sum" and len(terms) > 1:
                text = f"{vertex.how}({text})"
            text = applied(vertex.after, text)
        texts.append(text if len(text) <= MAX_TEXT else f"<{_hash(text)}>")
    return texts[-1]


# ---- networks


def reduced(
    vertices: tuple[Vertex, ...], *, shared: bool
) -> tuple[list[str], list[tuple[int, ...]], int | None]:
    """A cell without skips, zeros and dead parts: labels, sources of each, and the output.

    Nodes are inputs, operations, and joins; sources are sorted and may repeat. Joins are shared,
    having no weights; operations only with `shared`. The output is None where it is zero.
    """
    labels: list[str] = []
    sources: list[tuple[int, ...]] = []
    known: dict[tuple[str, tuple[int, ...]], int] = {}

    def add(label: str, reads: tuple[int, ...], once: bool) -> int:
        key = (label, reads)
        if once and key in known:
            return known[key]
        labels.append(label)
        sources.append(reads)
        known.setdefault(key, len(labels) - 1)
        return len(labels) - 1

    def joined(how: str, reads: list[int | None]) -> int | None:
        alive = sorted(r for r in reads if r is not None)
        if not alive or (how == "mul" and len(alive) < len(reads)):
            return None
        if how == "sum" or len(reads) == 1:
            flat: list[int] = []
            for r in alive:
                flat.extend(sources[r] if how == "sum" and labels[r] == "sum" else (r,))
            if len(flat) == 1:
                return flat[0]
            return add("sum", tuple(sorted(flat)), True)
        # Zeros among what is joined are there, in a concat as channels, in a mean as a term.
        missing = len(reads) - len(alive)
        return add(f"{how}-{missing}" if missing else how, tuple(alive), True)

    def applied(op: str, value: int | None) -> int | None:
        if op == ZERO or value is None:
            return None
        return value if op == IDENTITY else add(f"@{op}", (value,), shared)

    values: list[int | None] = []
    for i, vertex in enumerate(vertices):
        if vertex.how == "input":
            values.append(add(f"{i}{vertex.after}", (), True))
            continue
        reads = [applied(op, values[source]) for op, source in vertex.terms]
        values.append(applied(vertex.after, joined(vertex.how, reads)))
    return (labels, sources, values[-1])


__all__ = ["NOTIONS", "Canonical", "published", "reduced", "unique"]
