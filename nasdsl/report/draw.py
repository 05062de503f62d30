"""A cell or the stages of a space as SVG, Graphviz DOT or Mermaid; the same text every time."""

from __future__ import annotations

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.cell import Cell
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Space
from nasdsl.report import graphs, svg
from nasdsl.report.picture import Picture, cells_of, of_cell, of_network

FORMS = ("dot", "mermaid", "svg")

#: Instead of a cell's name: the stages of the whole network.
STAGES = "stages"


class DrawError(ValueError):
    """There is no such cell, or no such form."""


def drawing(
    space: Space,
    form: str,
    cell: str | None = None,
    *,
    resolved: bool = False,
    genotype: Genotype | None = None,
) -> str:
    """A cell (default: the first; `stages`: the whole network) in a form of `FORMS`.

    `resolved` draws the target, in which a genotype has decided; the genotype itself, where it is
    given, says what the chosen operations are called. Raises DrawError.
    """
    network = space.target if resolved else space.supernet
    cells = cells_of(network)
    if cell is None:
        cell = next(iter(cells), STAGES)
    if cell == STAGES:
        what = "target" if resolved else "supernet"
        return render(of_network(network, f"{space.name}, {what}"), form, down=True)
    if cell not in cells:
        advice = did_you_mean(cell, [*cells, STAGES], limit=0)
        raise DrawError(
            f"space `{space.name}` has no cell `{cell}`" + (f"; {advice}" if advice else "")
        )
    return cell_drawing(cells[cell], space, form, genotype=genotype)


def cell_drawing(cell: Cell, space: Space, form: str, *, genotype: Genotype | None = None) -> str:
    """One cell of a space, of its supernet or its target."""
    return render(of_cell(cell, space, genotype=genotype), form)


def render(picture: Picture, form: str, *, down: bool = False) -> str:
    """A picture as text. Raises DrawError."""
    match form:
        case "svg":
            return svg.network_svg(picture) if down else svg.cell_svg(picture)
        case "dot":
            return graphs.dot(picture, down=down)
        case "mermaid":
            return graphs.mermaid(picture, down=down)
        case _:
            raise DrawError(f"unknown form `{form}`: {', '.join(FORMS)}")
