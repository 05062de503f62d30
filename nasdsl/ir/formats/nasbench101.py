"""NAS-Bench-101: a matrix and operations on its vertices (arXiv 1902.09635), pruning and hash.

`{"matrix": [[0, 1], [0, 0]], "ops": ["input", "output"]}`, also as Python literals and as
`ModelSpec(matrix=[…], ops=[INPUT, …])`. The matrix is upper triangular; vertex 0 is the cell's
input, the last one its output.

The matrix with as many vertices as the space has is one to one with the genotype, as long as a
path leads from input to output. Smaller matrices (pruned ones) get vertices without edges, with the
space's first operation, before the output; larger ones lose vertices without edges. Both change
neither the pruned matrix nor the hash. What pruning removes cannot be read from a pruned matrix.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from nasdsl.ir.formats.form import Form, only_cell, pick, states
from nasdsl.ir.formats.literal import Call, Name, read
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.member import advice, cells
from nasdsl.ir.space import Space

INPUT, OUTPUT = "input", "output"
CONV3, CONV1, POOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"

#: In the order in which the benchmark numbers them for its hash.
OPERATIONS = (CONV3, CONV1, POOL)

#: The constants of the benchmark's own examples.
_CONSTANTS = {"INPUT": INPUT, "OUTPUT": OUTPUT, "CONV3X3": CONV3, "CONV1X1": CONV1, "MAXPOOL3X3": POOL}  # fmt: skip

#: Vertices of the benchmark, input and output included; its tables hold no larger cells.
VERTICES = 7

_MOST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A cell: `matrix[i][j]` is 1 where an edge leads from vertex i to vertex j > i."""

    matrix: tuple[tuple[int, ...], ...]
    ops: tuple[str, ...]

    def text(self) -> str:
        return json.dumps({"matrix": [list(r) for r in self.matrix], "ops": list(self.ops)})


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
    labels = [-1, *(_number(op) for op in pruned.ops[1:-1]), -2]
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


def _number(op: str) -> int:
    if op not in OPERATIONS:
        raise GenotypeError(f"`{op}` is no operation of NAS-Bench-101{advice(op, OPERATIONS)}")
    return OPERATIONS.index(op)


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


# ---- texts


def spec_of_text(text: str) -> Spec:
    """The cell of a text. Raises GenotypeError naming what is wrong with it."""
    found = read(text)
    if isinstance(found, Call) and found.name.rpartition(".")[2] == "ModelSpec":
        found = {**dict(zip(("matrix", "ops"), found.args, strict=False)), **found.named}
    if not isinstance(found, dict):
        raise GenotypeError('a cell of NAS-Bench-101 is `{"matrix": [[…]], "ops": […]}`')
    for key in ("matrix", "ops"):
        if key not in found:
            raise GenotypeError(f"`{key}` is missing")
    return spec_of(found["matrix"], found["ops"])


def spec_of(matrix: Any, ops: Any) -> Spec:
    """A checked cell: square, upper triangular, zeros and ones, known operations.

    Raises GenotypeError.
    """
    if isinstance(matrix, Call) and matrix.name.rpartition(".")[2] == "array" and matrix.args:
        matrix = matrix.args[0]
    if not isinstance(ops, list) or not 2 <= len(ops) <= _MOST:
        raise GenotypeError("`ops` is a list of operations, from `input` to `output`")
    labels = [_label(op) for op in ops]
    if labels[0] != INPUT or labels[-1] != OUTPUT:
        raise GenotypeError("`ops` begins with `input` and ends with `output`")
    for label in labels[1:-1]:
        if label == "none":
            raise GenotypeError("`none` is no operation here: leave its edges out")
        _number(label)
    if not isinstance(matrix, list) or len(matrix) != len(labels):
        rows = len(matrix) if isinstance(matrix, list) else "no"
        raise GenotypeError(f"`matrix` has {rows} rows; `ops` lists {len(labels)} vertices")
    for i, row in enumerate(matrix):
        if not isinstance(row, list) or len(row) != len(labels):
            raise GenotypeError(f"row {i} of `matrix` is no list of {len(labels)} numbers")
        for j, cell in enumerate(row):
            if type(cell) is not int or cell not in (0, 1):
                raise GenotypeError(f"`matrix[{i}][{j}]` is `{str(cell)[:40]}`, not 0 or 1")
            if cell and j <= i:
                raise GenotypeError(
                    f"`matrix[{i}][{j}]` is 1, but edges lead to later vertices only"
                )
    return Spec(matrix=tuple(tuple(row) for row in matrix), ops=tuple(labels))


def _label(op: Any) -> str:
    if isinstance(op, Name):
        op = _CONSTANTS.get(op.text.rpartition(".")[2], op.text)
    if not isinstance(op, str):
        raise GenotypeError(f"`{str(op)[:60]}` is no operation")
    return op


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


def dumps(genotype: Genotype, space: Space) -> str:
    """The matrix, filled to the benchmark's seven vertices with ones that pruning removes.

    NAS-Bench-1Shot1's spaces 1 and 2 have four vertices and a fifth, `conv1x1-bn-relu`, without
    edges. Raises GenotypeError where no path leads from input to output.
    """
    found = spec(genotype, space)
    if prune(found) is None:
        raise GenotypeError("no path leads from input to output; NAS-Bench-101 has no such cell")
    return padded(found, VERTICES, CONV1).text()


FORM = Form(
    name="nasbench101",
    example='{"matrix": [[0, 1], [0, 0]], "ops": ["input", "output"]}',
    fits=fits,
    recognises=recognises,
    parse=parse,
    dumps=dumps,
)
