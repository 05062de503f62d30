"""Which gradients a backward pass has to work out for what it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nasdsl.fusion.generated.region import Gather, Head, Region, Stage, Sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The parameters asked for, and the maps whose gradients reach something that is."""

    parameters: frozenset[tuple[str, str]]
    maps: frozenset[int]

    def head(self, region: Region, head: Head) -> bool:
        """Whether anything asks for the gradient of what a head yields."""
        if head.map in self.maps:
            return True
        if head.norm is None:
            return False
        path = region.norms[head.norm].path
        return not self.parameters.isdisjoint({(path, "weight"), (path, "bias")})


def wanted(region: Region, asked: Sequence[bool]) -> Wanted:
    """`asked`: by input, scalar, parameter."""
    arrive = len(region.inputs)
    first = arrive + len(region.scalars)
    scalars = {k for k, yes in enumerate(asked[arrive:first]) if yes}
    parameters = frozenset(
        p for p, yes in zip(region.parameters, asked[first:], strict=True) if yes
    )
    inputs = [k for k, one in enumerate(region.maps) if one.place == "input"]
    maps = {k for k, yes in zip(inputs, asked[:arrive], strict=True) if yes}

    def head(index: int) -> bool:
        one = region.heads[index]
        found = Wanted(parameters=parameters, maps=frozenset(maps))
        if found.head(region, one):
            return True
        if one.coef is None:
            return False
        return any(f.scalar in scalars for f in region.coefs[one.coef].factors)

    for step in region.code:
        if isinstance(step, Stage):
            own = {(p.path, name) for p in step.parts for name in ("weight", "bias")}
            yes = head(step.source) or not own.isdisjoint(parameters)
        elif isinstance(step, Sum):
            yes = any(head(t) for t in step.terms)
        elif isinstance(step, Gather):
            yes = any(run.map in maps for run in step.runs)
        else:
            yes = head(step.source)
        if yes:
            maps.add(step.out)
    return Wanted(parameters=parameters, maps=frozenset(maps))
