"""NAS-Bench-1Shot1's configurations: an operation and parents per choice block (arXiv 2001.10422).

`{"choice_block_1_op": "conv3x3-bn-relu", …, "choice_block_1_parents": [0], …}`; blocks are
vertices from 1, the last one is the output. Blocks whose parents are fixed list them, too. The
same cell as a matrix is NAS-Bench-101's form.
"""

from __future__ import annotations

import json
import re
from typing import Any

from nasdsl.ir.formats import nasbench101
from nasdsl.ir.formats.form import Form, only_cell
from nasdsl.ir.formats.literal import read
from nasdsl.ir.formats.modelspec import INPUT, OUTPUT, Spec, spec_of
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.space import Space

_KEY = re.compile(r"choice_block_([0-9]{1,2})_(op|parents)", re.ASCII)


def fits(space: Space) -> bool:
    """Whether every vertex has a fixed number of parents."""
    return nasbench101.fits(space) and all(
        pick.count is not None for rules in space.rules for pick in rules.picks
    )


def recognises(text: str) -> bool:
    return text.startswith("{") and "choice_block_" in text[:200]


def parse(text: str, space: Space) -> Genotype:
    """Raises GenotypeError naming the key that is wrong."""
    found = read(text)
    if not isinstance(found, dict):
        raise GenotypeError("a configuration is an object of choice blocks")
    _, cell = only_cell(space)
    last = len(cell.nodes) + 1
    wanted = [f"choice_block_{v}_op" for v in range(1, last)]
    wanted += [f"choice_block_{v}_parents" for v in range(1, last + 1)]
    for key in found:
        if not _KEY.fullmatch(key) or key not in wanted:
            raise GenotypeError(f"`{key[:60]}` is no choice block of space `{space.name}`")
    for key in wanted:
        if key not in found:
            raise GenotypeError(f"`{key}` is missing")
    matrix = [[0] * (last + 1) for _ in range(last + 1)]
    for v in range(1, last + 1):
        for parent in _parents(found[f"choice_block_{v}_parents"], v):
            matrix[parent][v] = 1
    ops = [found[f"choice_block_{v}_op"] for v in range(1, last)]
    return nasbench101.genotype_of(spec_of(matrix, [INPUT, *ops, OUTPUT]), space)


def _parents(value: Any, vertex: int) -> list[int]:
    """The parents of a block: a list, or one in quotes."""
    if isinstance(value, str):
        value = read(value)
    if isinstance(value, list) and all(type(p) is int and 0 <= p < vertex for p in value):
        if len(set(value)) != len(value):
            raise GenotypeError(f"`choice_block_{vertex}_parents` names a parent twice")
        return value
    raise GenotypeError(
        f"`choice_block_{vertex}_parents` is a list of vertices before {vertex}, "
        f"not `{str(value)[:60]}`"
    )


def dumps(genotype: Genotype, space: Space) -> str:
    """Raises GenotypeError."""
    found: Spec = nasbench101.spec(genotype, space)
    if nasbench101.prune(found) is None:
        raise GenotypeError("no path leads from input to output; NAS-Bench-101 has no such cell")
    last = len(found.ops) - 1
    blocks: dict[str, Any] = {f"choice_block_{v}_op": found.ops[v] for v in range(1, last)}
    for v in range(1, last + 1):
        blocks[f"choice_block_{v}_parents"] = [p for p in range(v) if found.matrix[p][v]]
    return json.dumps(blocks)


FORM = Form(
    name="nasbench1shot1",
    example='{"choice_block_1_op": "maxpool3x3", …, "choice_block_1_parents": [0], …}',
    fits=fits,
    recognises=recognises,
    parse=parse,
    dumps=dumps,
)
