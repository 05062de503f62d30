"""What a text form of genotypes is, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nasdsl.ir.cell import Cell
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.member import cells
from nasdsl.ir.space import Space


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One way to write architectures.

    `fits` says whether a space can be written in it, `recognises` whether a text (stripped) looks
    like it. `parse` gives picks that are not yet checked against the space; `dumps` text without
    a newline at its end. Both raise GenotypeError.
    """

    name: str
    example: str
    fits: Callable[[Space], bool]
    recognises: Callable[[str], bool]
    parse: Callable[[str, Space], Genotype]
    dumps: Callable[[Genotype, Space], str]


def only_cell(space: Space) -> tuple[str, Cell]:
    """The one cell of a space and its table. Raises GenotypeError where there is not one."""
    found = cells(space)
    if len(found) != 1:
        raise GenotypeError(f"space `{space.name}` has {len(found)} kinds of cells, not one")
    return next(iter(found.items()))


def states(cell: Cell) -> list[str]:
    """The states of a cell by number: inputs first, then nodes in order."""
    return [i.name for i in cell.inputs] + [n.name for n in cell.nodes]


def pick(genotype: Genotype, identity: str) -> str:
    """The one label of a decision. Raises GenotypeError where there is not one."""
    labels = genotype.of(identity)
    if len(labels) != 1:
        raise GenotypeError(f"`{identity}` has {len(labels)} picks; this form holds one")
    return labels[0]
