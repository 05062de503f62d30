"""The DARTS tuple: `Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=[2, 3, 4, 5], …)`.

States are numbered from the cell's inputs on. Two dialects are read: flat (two pairs per node,
DARTS and most methods) and a list of pairs per node (Katib, pt.darts, GDAS); also `range(2, 6)`,
the long operation names of Katib, and fields that are None. Written flat where every node has two edges, else nested. A cell
that the space has not (`normal` with one layer) is read over and written empty.
"""

from __future__ import annotations

import re
from typing import Any

from nasdsl.ir.cell import arrivals
from nasdsl.ir.formats.form import Form, states
from nasdsl.ir.formats.literal import Call, Name, read
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.member import cells
from nasdsl.ir.space import Space

CELLS = ("normal", "reduce")

ALIASES = {
    "max_pooling_3x3": "max_pool_3x3",
    "avg_pooling_3x3": "avg_pool_3x3",
    "average_pooling_3x3": "avg_pool_3x3",
    "skip_connection": "skip_connect",
    "separable_convolution_3x3": "sep_conv_3x3",
    "separable_convolution_5x5": "sep_conv_5x5",
    "dilated_convolution_3x3": "dil_conv_3x3",
    "dilated_convolution_5x5": "dil_conv_5x5",
}

#: A genotype as it stands in a file of genotypes: `DARTS_V2 = Genotype(…)`.
_ASSIGNED = re.compile(r"[A-Za-z_]\w*\s*=\s*(?=Genotype\s*\()", re.ASCII)

Pairs = list[tuple[str, int]]


def fits(space: Space) -> bool:
    """Whether a space has the cells `normal` and `reduce` (or one of them) and says so."""
    return space.format == "darts" and 0 < len(cells(space)) == len(
        [t for t in cells(space) if t in CELLS]
    )


def recognises(text: str) -> bool:
    return text.startswith("Genotype") or _ASSIGNED.match(text) is not None


def parse(text: str, space: Space) -> Genotype:
    """Raises GenotypeError."""
    fields = {k: v for k, v in _fields(text).items() if v is not None}
    unknown = sorted(set(fields) - {*CELLS, *(f"{c}_concat" for c in CELLS)})
    if unknown:
        raise GenotypeError(f"unknown field `{unknown[0]}`")
    if not all(c in fields for c in CELLS):
        raise GenotypeError("a genotype has the fields `normal` and `reduce`")
    known = cells(space)
    if not any(c in known for c in CELLS):
        raise GenotypeError(f"space `{space.name}` has no cell `normal` or `reduce`")
    found: dict[str, list[Pairs]] = {}
    joined: dict[str, list[int]] = {}
    for name in CELLS:
        if name not in known:
            continue
        found[name] = groups(fields[name], len(known[name].nodes), name)
        concat = _concat(fields.get(f"{name}_concat"), name)
        if concat is not None:
            joined[name] = concat
    return assemble(found, space, joined)


def assemble(
    found: dict[str, list[Pairs]], space: Space, joined: dict[str, list[int]] | None = None
) -> Genotype:
    """A genotype of (operation, state) pairs by cell and node. Raises GenotypeError."""
    known = cells(space)
    picks: list[tuple[str, str]] = []
    outputs: list[tuple[str, tuple[str, ...]]] = []
    for name, nodes in found.items():
        names = states(known[name])
        first = len(known[name].inputs)
        for number, pairs in enumerate(nodes, first):
            for label, state in pairs:
                if not 0 <= state < number:
                    raise GenotypeError(
                        f"`{name}`: state {state} of ('{label[:60]}', {state}) does not come "
                        f"before node {number}"
                    )
                label = ALIASES.get(label, label)
                picks.append((f"{name}/{names[number]}<-{names[state]}", label))
        concat = (joined or {}).get(name)
        if concat is not None:
            wrong = [i for i in concat if not 0 <= i < len(names)]
            if wrong:
                raise GenotypeError(
                    f"`{name}_concat` lists states 0 to {len(names) - 1}, not {wrong[0]}"
                )
            outputs.append((name, tuple(names[i] for i in concat)))
    return Genotype(space=space.name, picks=tuple(picks), outputs=tuple(outputs))


def edges(genotype: Genotype, space: Space, name: str) -> list[Pairs]:
    """(operation, state) pairs of a cell by node, in the genotype's order."""
    cell = cells(space)[name]
    numbers = {state: i for i, state in enumerate(states(cell))}
    found: dict[str, Pairs] = {node.name: [] for node in cell.nodes}
    for identity, label in genotype.picks:
        if identity.startswith(f"{name}/"):
            node, _, source = identity.removeprefix(f"{name}/").partition("<-")
            found[node].append((label, numbers[source]))
    return list(found.values())


def concat(genotype: Genotype, space: Space, name: str) -> list[int]:
    """The states a cell's output joins."""
    cell = cells(space)[name]
    names = states(cell)
    nodes = dict(genotype.outputs).get(name) or tuple(arrivals(cell.output))
    return [names.index(n) for n in nodes]


def dumps(genotype: Genotype, space: Space) -> str:
    """Raises GenotypeError."""
    known = cells(space)
    if not any(c in known for c in CELLS):
        raise GenotypeError(f"space `{space.name}` has no cell `normal` or `reduce`")
    parts = []
    for name in CELLS:
        if name not in known:
            other = concat(genotype, space, next(c for c in CELLS if c in known))
            parts.append(f"{name}=[], {name}_concat={other!r}")
            continue
        nodes = edges(genotype, space, name)
        flat = all(len(pairs) == 2 for pairs in nodes)
        value: Any = [pair for pairs in nodes for pair in pairs] if flat else nodes
        parts.append(f"{name}={value!r}, {name}_concat={concat(genotype, space, name)!r}")
    return f"Genotype({', '.join(parts)})"


def groups(value: Any, nodes: int, name: str) -> list[Pairs]:
    """(operation, state) pairs by node, of a flat or a nested list. Raises GenotypeError."""
    if not isinstance(value, list) or not value:
        raise GenotypeError(f"`{name}` is a list of (operation, state) pairs, and not empty")
    nested = all(isinstance(v, list) and all(isinstance(p, list) for p in v) for v in value)
    if nested:
        if len(value) != nodes:
            raise GenotypeError(f"`{name}` has {len(value)} nodes; the space has {nodes}")
        return [[_pair(p, name) for p in group] for group in value]
    pairs = [_pair(p, name) for p in value]
    if len(pairs) != 2 * nodes:
        raise GenotypeError(
            f"`{name}` has {len(pairs)} pairs; {nodes} nodes with two edges each have {2 * nodes}"
        )
    return [pairs[i : i + 2] for i in range(0, len(pairs), 2)]


def _pair(value: Any, name: str) -> tuple[str, int]:
    match value:
        case [str() as label, int() as state] if not isinstance(state, bool):
            return label, state
        case [str() as label, int() as state, float()] if not isinstance(state, bool):
            return label, state  # with the weight it was chosen by, as GDAS writes them
    raise GenotypeError(f"`{name}`: {str(value)[:80]} is no (operation, state) pair")


def _concat(value: Any, name: str) -> list[int] | None:
    match value:
        case None:
            return None
        case Call(name="range", args=[*bounds], named={}) if 1 <= len(bounds) <= 2:
            if all(type(b) is int and 0 <= b < 1000 for b in bounds):
                return list(range(*bounds))
        case list() if all(type(i) is int for i in value):
            return list(value)
    raise GenotypeError(f"`{name}_concat` is a list of states or `range(…)`")


def _fields(text: str) -> dict[str, Any]:
    """The arguments of `Genotype(…)`."""
    assigned = _ASSIGNED.match(text)
    found = read(text[assigned.end() :] if assigned else text)
    if not isinstance(found, Call) or found.name.rpartition(".")[2] != "Genotype" or found.args:
        raise GenotypeError("a DARTS genotype is `Genotype(normal=[…], …)`")
    for value in found.named.values():
        if isinstance(value, Name):
            raise GenotypeError(f"`{value.text}` does not belong in a genotype")
    return found.named


FORM = Form(
    name="darts",
    example="Genotype(normal=[('skip_connect', 0), …], normal_concat=[2, …], reduce=…)",
    fits=fits,
    recognises=recognises,
    parse=parse,
    dumps=dumps,
)
