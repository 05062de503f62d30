"""NASLib's compact tuples, three of them by space.

DARTS (NAS-Bench-301): two cells of eight (state, operation) pairs with the seven operations of
NAS-Bench-301, `(((0, 3), (1, 4), …), (…))`. NAS-Bench-201: six numbers of its own operations on
edges by source, `(4, 0, 3, 1, 4, 3)`; the same numbers mean something else as columns of an alpha
table, so that they are read only where `naslib: ` stands before them. NAS-Bench-101: the matrix row
by row and then the operations, `(0, 1, …, 0, 2, …, 1)`.
"""

from __future__ import annotations

import math
import re
from typing import Any

from nasdsl.ir.formats import darts, nasbench101, nasbench201, nasbench301
from nasdsl.ir.formats.form import Form, only_cell, pick, states
from nasdsl.ir.formats.literal import read
from nasdsl.ir.formats.modelspec import CONV1, CONV3, INPUT, OUTPUT, POOL, spec_of
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.space import Space

#: Identity, Zero, ReLUConvBN3x3, ReLUConvBN1x1, AvgPool1x1.
CELL_201 = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")

VERTEX_101 = (INPUT, OUTPUT, POOL, CONV1, CONV3)

_NESTED = re.compile(r"[\[(]\s*[\[(]\s*[\[(]\s*[0-9]", re.ASCII)
_FLAT = re.compile(r"[\[(]\s*[01](\s*,\s*[0-9]){19,}\s*,?\s*[\])]", re.ASCII)


def fits(space: Space) -> bool:
    """Whether NASLib has a tuple for the space."""
    return (
        (nasbench201.fits(space) and len(space.decisions) == 6)
        or nasbench101.fits(space)
        or nasbench301.fits(space)
    )


def recognises(text: str) -> bool:
    """Six numbers alone are not recognised: they might be another form's."""
    return _NESTED.match(text) is not None or _FLAT.fullmatch(text) is not None


def parse(text: str, space: Space) -> Genotype:
    """Raises GenotypeError naming the number that is wrong."""
    found = read(text)
    if not isinstance(found, list):
        raise GenotypeError("a compact form of NASLib is a tuple of numbers")
    match space.format:
        case "nasbench201":
            return _parse_201(_numbers(found, 6), space)
        case "nasbench101":
            return _parse_101(_numbers(found, None), space)
        case _:
            return _parse_301(found, space)


def _numbers(found: list[Any], wanted: int | None) -> list[int]:
    for item in found:
        if type(item) is not int or item < 0:
            raise GenotypeError(f"`{str(item)[:60]}` is no number of an operation")
    if wanted is not None and len(found) != wanted:
        raise GenotypeError(f"{len(found)} numbers; {wanted} are wanted")
    return found


def _of(table: tuple[str, ...], number: int) -> str:
    if not 0 <= number < len(table):
        raise GenotypeError(f"{number} is no operation: 0 to {len(table) - 1}")
    return table[number]


def _edges_201(space: Space) -> list[str]:
    """Edges by source, then by node."""
    table, cell = only_cell(space)
    names = states(cell)
    return [
        f"{table}/{names[n]}<-{names[s]}"
        for s in range(len(names))
        for n in range(s + 1, len(names))
    ]


def _parse_201(numbers: list[int], space: Space) -> Genotype:
    picks = [(edge, _of(CELL_201, n)) for edge, n in zip(_edges_201(space), numbers, strict=True)]
    return Genotype(space=space.name, picks=tuple(picks))


def _parse_101(numbers: list[int], space: Space) -> Genotype:
    count = (math.isqrt(1 + 4 * len(numbers)) - 1) // 2
    if count * (count + 1) != len(numbers) or count < 2:
        raise GenotypeError(f"{len(numbers)} numbers are no matrix with its operations")
    matrix = [numbers[i * count : (i + 1) * count] for i in range(count)]
    ops = [_of(VERTEX_101, n) for n in numbers[count * count :]]
    return nasbench101.genotype_of(spec_of(matrix, ops), space)


def _parse_301(found: list[Any], space: Space) -> Genotype:
    if len(found) != len(darts.CELLS):
        raise GenotypeError(f"{len(found)} cells; `normal` and `reduce` are wanted")
    cells: dict[str, list[darts.Pairs]] = {}
    for name, pairs in zip(darts.CELLS, found, strict=True):
        if not isinstance(pairs, list):
            raise GenotypeError(f"`{name}` is no tuple of (state, operation) pairs")
        read_pairs: list[list[Any]] = []
        for pair in pairs:
            if not isinstance(pair, list) or len(pair) != 2:
                raise GenotypeError(
                    f"`{name}`: {str(pair)[:60]} is no (state, operation) pair of numbers"
                )
            state, number = _numbers(pair, 2)
            read_pairs.append([_of(nasbench301.OPERATIONS, number), state])
        cells[name] = darts.groups(read_pairs, nasbench301.NODES, name)
    return darts.assemble(cells, space)


def dumps(genotype: Genotype, space: Space) -> str:
    """Raises GenotypeError."""
    match space.format:
        case "nasbench201":
            labels = [pick(genotype, edge) for edge in _edges_201(space)]
            return str(tuple(CELL_201.index(label) for label in labels))
        case "nasbench101":
            found = nasbench101.filled(genotype, space)
            numbers = [n for row in found.matrix for n in row]
            return str((*numbers, *(VERTEX_101.index(op) for op in found.ops)))
        case _:
            return str(
                tuple(
                    tuple(
                        (state, nasbench301.OPERATIONS.index(label))
                        for pairs in nasbench301.pairs_of(genotype, space, cell)
                        for label, state in pairs
                    )
                    for cell in darts.CELLS
                )
            )


FORM = Form(
    name="naslib",
    example="(((0, 3), (1, 4), …), (…)); naslib: (4, 0, 3, 1, 4, 3)",
    fits=fits,
    recognises=recognises,
    parse=parse,
    dumps=dumps,
)
