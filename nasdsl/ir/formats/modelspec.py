"""A cell as NAS-Bench-101 writes it: a matrix and operations on its vertices, from text.

`{"matrix": [[0, 1], [0, 0]], "ops": ["input", "output"]}`, also as Python literals and as
`ModelSpec(matrix=[…], ops=[INPUT, …])`. The matrix is upper triangular; vertex 0 is the cell's
input, the last one its output.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from nasdsl.ir.formats.literal import Call, Name, read
from nasdsl.ir.genotype import GenotypeError
from nasdsl.ir.member import advice

INPUT, OUTPUT = "input", "output"
CONV3, CONV1, POOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"

#: In the order in which the benchmark numbers them for its hash.
OPERATIONS = (CONV3, CONV1, POOL)

#: The constants of the benchmark's own examples.
_CONSTANTS = {"INPUT": INPUT, "OUTPUT": OUTPUT, "CONV3X3": CONV3, "CONV1X1": CONV1, "MAXPOOL3X3": POOL}  # fmt: skip

_MOST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A cell: `matrix[i][j]` is 1 where an edge leads from vertex i to vertex j > i."""

    matrix: tuple[tuple[int, ...], ...]
    ops: tuple[str, ...]

    def text(self) -> str:
        return json.dumps({"matrix": [list(r) for r in self.matrix], "ops": list(self.ops)})


def number(op: str) -> int:
    """The benchmark's number of an operation. Raises GenotypeError."""
    if op not in OPERATIONS:
        raise GenotypeError(f"`{op}` is no operation of NAS-Bench-101{advice(op, OPERATIONS)}")
    return OPERATIONS.index(op)


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
        number(label)
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
