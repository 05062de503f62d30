"""Whether architectures meet what their space requires.

Measures of a cell come from its graph alone; those of the whole network (`params`, `flops`,
`memory`, `depth`) from the discrete network, which whoever asks must be able to build.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from nasdsl.ir import cost, measures
from nasdsl.ir.canonical import reduced
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.requirement import (
    OF_NETWORK,
    Measure,
    RequireError,
    Requirement,
    evaluate,
    measures_in,
)
from nasdsl.ir.slot import Picks
from nasdsl.ir.space import Network, Space
from nasdsl.ir.wiring import Wiring, picks_of


class Limits:
    """The requirements of a space, and others beside them, for its genotypes.

    `network` builds the discrete network of a genotype; without it, requirements that need one
    raise RequireError.
    """

    def __init__(
        self,
        space: Space,
        network: Callable[[Genotype], Network] | None = None,
        further: tuple[Requirement, ...] = (),
    ) -> None:
        self.space = space
        self.wiring = Wiring(space)
        self.network = network
        # Those that need no network come first: they are cheap, and may save the others.
        self.requirements = tuple(sorted((*space.requires, *further), key=_expensive))

    def holds(self, genotype: Genotype) -> bool:
        """Whether an architecture meets everything that is required."""
        return self.first_violation(genotype) is None

    def first_violation(self, genotype: Genotype) -> Requirement | None:
        """A requirement that is not met, the cheapest to find out; None where all are."""
        view = _View(self, genotype)
        return next((r for r in self.requirements if not view.met(r)), None)

    def violations(self, genotype: Genotype) -> list[tuple[Requirement, str]]:
        """Every requirement that is not met, with what was measured: `flops = 712,000,000`."""
        view = _View(self, genotype)
        return [(r, view.shown(r)) for r in self.requirements if not view.met(r)]


def _expensive(requirement: Requirement) -> bool:
    needs = [m for m in measures_in(requirement.test) if m.name in (*OF_NETWORK, "depth")]
    return requirement.table is None and bool(needs)


class _View:
    """One genotype while it is measured: what is expensive is made once."""

    def __init__(self, limits: Limits, genotype: Genotype) -> None:
        self.limits = limits
        self.genotype = genotype
        self.picks: Picks = picks_of(genotype)
        self.built: Network | None = None

    def met(self, requirement: Requirement) -> bool:
        return bool(evaluate(requirement.test, lambda m: self.measured(m, requirement.table)))

    def shown(self, requirement: Requirement) -> str:
        found = []
        for measure in measures_in(requirement.test):
            value = self.measured(measure, requirement.table)
            name = measure.name if measure.label is None else f"count({measure.label})"
            text = f"{value}".lower() if isinstance(value, bool) else f"{float(value):,.10g}"
            found.append(f"{name} = {text}")
        return ", ".join(dict.fromkeys(found))

    def measured(self, measure: Measure, table: str | None) -> Fraction | bool:
        wiring = self.limits.wiring
        tables = [table] if table is not None else list(wiring.tables)
        if table is None and measure.name in ("params", "flops", "memory", "depth"):
            return Fraction(self._of_network(measure.name))
        if table is None and measure.name == "count":
            return Fraction(sum(label == measure.label for _, label in self.genotype.picks))
        tables = [t for t in tables if wiring.decided(t, self.picks)]
        if measure.name == "connected":
            return all(self._connected(t) for t in tables)
        cells = [wiring.edges(t, self.picks, self.genotype) for t in tables]
        match measure.name:
            case "edges":
                return Fraction(sum(measures.edges(c) for c in cells))
            case "depth":
                return Fraction(max((measures.depth(c) for c in cells), default=0))
            case "count":
                return Fraction(sum(measures.count(c, measure.label or "") for c in cells))
            case name:
                raise RequireError(f"`{name}` is a measure of networks, not of a cell")

    def _connected(self, table: str) -> bool:
        """Whether anything but zeros reaches the output of a cell."""
        vertices = self.limits.wiring.cell(table, self.picks, self.genotype)
        return reduced(vertices, shared=False)[2] is not None

    def _of_network(self, name: str) -> int:
        if self.built is None:
            if self.limits.network is None:
                raise RequireError(f"`{name}` needs the network of an architecture")
            self.built = self.limits.network(self.genotype)
        match name:
            case "params":
                return cost.of_network(self.built).params
            case "flops":
                return cost.of_network(self.built).macs
            case "memory":
                return measures.memory(self.built)
            case _:
                return measures.layers(self.built)
