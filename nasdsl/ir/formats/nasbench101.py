"""NAS-Bench-101 (arXiv 1902.09635): pruning, hash and channels of its cells, and its form.

The form is `{"matrix": [[0, 1], [0, 0]], "ops": ["input", "output"]}`, read by `modelspec.py`.
The matrix with as many vertices as the space has is one to one with the genotype, as long as a
path leads from input to output. Smaller matrices (pruned ones) get vertices without edges, with the
space's first operation, before the output; larger ones lose vertices without edges. Both change
neither the pruned matrix nor the hash. What pruning removes cannot be read from a pruned matrix.
"""

from __future__ import annotations

import hashlib
from typing import Any

from nasdsl.ir.formats.form import Form, only_cell, pick, states
from nasdsl.ir.formats.modelspec import (
    CONV1,
    INPUT,
    OPERATIONS,
    OUTPUT,
    Spec,
    number,
    spec_of_text,
)
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.member import cells
from nasdsl.ir.space import Space

#: Vertices of the benchmark, input and output included; its tables hold no larger cells.
VERTICES = 7


# ---- what the benchmark says of a cell


def prune(spec: Spec) -> Spec | None:
    """The cell without vertices that are on no path from input to output; None without a path."""
    count = len(spec.ops)
    ahead, back = {0}, {count - 1}
    for i in range(count):
        if i in ahead:
            ahead.update(j for j in range(i + 1, count) if spec.matrix[i][j])
    for j in range(count - 1, -1, -1):
        if j in back:
            back.update(i for i in range(j) if spec.matrix[i][j])
    if count - 1 not in ahead:
        return None
    return _only(spec, sorted(ahead & back))


def fingerprint(spec: Spec) -> str:
    """The benchmark's hash of a cell, equal for isomorphic cells; the cell is pruned first.

    Rounds of MD5 over (out-degree, in-degree, operation), then over the sorted hashes of the
    neighbours before and behind and the vertex's own, as many as there are vertices; last over
    the sorted hashes of all (arXiv 1902.09635, appendix; operations numbered -1 for the input,
    -2 for the output). Raises GenotypeError for a cell without a path and for other operations.
    """
    pruned = prune(spec)
    if pruned is None:
        raise GenotypeError("no path leads from input to output")
    count = len(pruned.ops)
    before = [[i for i in range(count) if pruned.matrix[i][j]] for j in range(count)]
    behind = [[j for j in range(count) if pruned.matrix[i][j]] for i in range(count)]
    labels = [-1, *(number(op) for op in pruned.ops[1:-1]), -2]
    hashes = [_md5(str((len(behind[v]), len(before[v]), labels[v]))) for v in range(count)]
    for _ in range(count):
        hashes = [
            _md5(
                "|".join(
                    (
                        "".join(sorted(hashes[w] for w in before[v])),
                        "".join(sorted(hashes[w] for w in behind[v])),
                        hashes[v],
                    )
                )
            )
            for v in range(count)
        ]
    return _md5(str(sorted(hashes)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def vertex_channels(inp: int, out: int, matrix: tuple[tuple[int, ...], ...]) -> list[int]:
    """Channels of each vertex of a pruned cell, as the benchmark's model builder gives them.

    What reaches the output is concatenated: its vertices share `out`, the first get one more where
    it does not divide, and an edge from the input is added and not counted. Any other vertex has
    as many channels as the widest it feeds.
    """
    count = len(matrix)
    found = [0] * count
    found[0], found[-1] = inp, out
    if count == 2:
        return found
    last = [v for v in range(1, count - 1) if matrix[v][-1]]
    share, more = divmod(out, len(last))
    for i, v in enumerate(last):
        found[v] = share + (i < more)
    for v in range(count - 3, 0, -1):
        if not matrix[v][-1]:
            found[v] = max(found[w] for w in range(v + 1, count - 1) if matrix[v][w])
    return found


def without_none(spec: Spec) -> Spec:
    """The cell without vertices of operation `none`, which the benchmark writes as missing edges."""
    return _only(spec, [v for v, op in enumerate(spec.ops) if op != "none"])


def _only(spec: Spec, kept: list[int]) -> Spec:
    return Spec(
        matrix=tuple(tuple(spec.matrix[i][j] for j in kept) for i in kept),
        ops=tuple(spec.ops[i] for i in kept),
    )


# ---- genotypes


def fits(space: Space) -> bool:
    """Whether a space has one cell with operations of the benchmark on its vertices."""
    found = list(cells(space).items())
    if space.format != "nasbench101" or len(found) != 1 or len(found[0][1].inputs) != 1:
        return False
    table, cell = found[0]
    vertices = {f"{table}/{n.name}" for n in cell.nodes}
    return vertices == {d.id for d in space.decisions if d.kind == "op"} and all(
        label.replace("_", "-") in OPERATIONS
        for d in space.decisions
        if d.kind == "op"
        for label in d.labels
    )


def recognises(text: str) -> bool:
    head = text[:200].replace("'", '"')
    return text.startswith(("ModelSpec", "api.ModelSpec")) or (
        text.startswith("{") and ('"matrix"' in head or '"ops"' in head)
    )


def spec(genotype: Genotype, space: Space) -> Spec:
    """The cell of a genotype, with every vertex of the space. Raises GenotypeError."""
    table, cell = only_cell(space)
    names = [*states(cell), "out"]
    matrix = [[0] * len(names) for _ in names]
    decided = {d.id for d in space.decisions if d.kind == "subset"}
    for j, name in enumerate(names):
        identity = f"{table}/{name}<-*"
        sources = (
            genotype.of(identity) if identity in decided else [e.source for e in cell.into(name)]
        )
        for source in sources:
            matrix[names.index(source)][j] = 1
    ops = [pick(genotype, f"{table}/{n.name}").replace("_", "-") for n in cell.nodes]
    return Spec(matrix=tuple(map(tuple, matrix)), ops=(INPUT, *ops, OUTPUT))


def genotype_of(found: Spec, space: Space) -> Genotype:
    """The genotype of a cell. Raises GenotypeError where the space does not hold it."""
    table, cell = only_cell(space)
    names = [*states(cell), "out"]
    if prune(found) is None:
        raise GenotypeError("no path leads from input to output")
    found = _resized(found, len(names), space)
    decided = {d.id: d for d in space.decisions}
    picks: list[tuple[str, str]] = []
    for name, op in zip(names[1:-1], found.ops[1:-1], strict=True):
        labels = decided[f"{table}/{name}"].labels
        label = next((o for o in labels if o.replace("_", "-") == op), op)
        picks.append((f"{table}/{name}", label))
    for j, name in enumerate(names[1:], 1):
        sources = [names[i] for i in range(j) if found.matrix[i][j]]
        identity = f"{table}/{name}<-*"
        if identity in decided:
            legal = decided[identity].labels
            wrong = [s for s in sources if s not in legal]
            picks.extend((identity, source) for source in sources)
        else:
            legal = tuple(e.source for e in cell.into(name))
            wrong = sorted(set(sources) ^ set(legal))
        if wrong:
            raise GenotypeError(
                f"vertex {j} reads {_listed(sources, names)}; in space `{space.name}` it reads "
                + ("some of " if identity in decided else "")
                + _listed(legal, names)
            )
    return Genotype(space=space.name, picks=tuple(picks))


def _listed(sources: Any, names: list[str]) -> str:
    return ", ".join(str(names.index(s)) for s in sources) or "nothing"


def _resized(found: Spec, wanted: int, space: Space) -> Spec:
    """The cell with as many vertices as the space has, by vertices without edges."""
    count = len(found.ops)
    if count > wanted:
        loose = [
            v
            for v in range(1, count - 1)
            if not any(found.matrix[v]) and not any(row[v] for row in found.matrix)
        ]
        if count - len(loose) > wanted:
            raise GenotypeError(
                f"{count} vertices; space `{space.name}` has {wanted} with input and output"
            )
        gone = set(loose[-(count - wanted) :])
        return _only(found, [v for v in range(count) if v not in gone])
    op = next(d for d in space.decisions if d.kind == "op").labels[0].replace("_", "-")
    return padded(found, wanted, op)


def padded(found: Spec, wanted: int, op: str) -> Spec:
    """The cell with vertices without edges, of one operation, before its output."""
    more = max(0, wanted - len(found.ops))
    rows = [(*row[:-1], *[0] * more, row[-1]) for row in found.matrix]
    return Spec(
        matrix=(*rows[:-1], *[(0,) * (len(found.ops) + more)] * more, rows[-1]),
        ops=(*found.ops[:-1], *[op] * more, OUTPUT),
    )


def parse(text: str, space: Space) -> Genotype:
    """Raises GenotypeError."""
    return genotype_of(spec_of_text(text), space)


def filled(genotype: Genotype, space: Space) -> Spec:
    """The cell with the benchmark's seven vertices; those the space has not are without edges.

    NAS-Bench-1Shot1's spaces 1 and 2 have four vertices and get a fifth, `conv1x1-bn-relu`. Raises
    GenotypeError where no path leads from input to output.
    """
    found = spec(genotype, space)
    if prune(found) is None:
        raise GenotypeError("no path leads from input to output; NAS-Bench-101 has no such cell")
    return padded(found, VERTICES, CONV1)


def dumps(genotype: Genotype, space: Space) -> str:
    """Raises GenotypeError."""
    return filled(genotype, space).text()


FORM = Form(
    name="nasbench101",
    example='{"matrix": [[0, 1], [0, 0]], "ops": ["input", "output"]}',
    fits=fits,
    recognises=recognises,
    parse=parse,
    dumps=dumps,
)
