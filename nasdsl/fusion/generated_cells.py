"""Whole cells as calls of generated kernels, where a compiler is at hand."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from nasdsl.fusion.generated.generate import Options, generate
from nasdsl.fusion.rewriting import Ran, Refusal, Work
from nasdsl.kernels.toolchain import Missing, toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedCells:
    """Regions that the templates cover become one call forward and one backward.

    Before: the lines of a cell. After::

        normal_0 = generated((self.normal_0,), (stem_bn,), (getitem,))

    See `nasdsl.fusion.generated.generate`. The kernels are C++ for the CPU: without a compiler, or
    with weights on another device, nothing is taken and the passes behind this one have the
    whole graph. With `recompute` a region keeps its inputs alone for the backward pass.
    """

    recompute: bool = False
    name: str = "generated_cells"
    gain: str = "a cell is one kernel call each way"

    def run(self, work: Work) -> Ran:
        compiler = toolchain()
        if isinstance(compiler, Missing):
            return Ran(changes=0, refusals=(Refusal(place="cells", reason=compiler.reason),))
        devices = {p.device.type for p in work.root.parameters()}
        if devices != {"cpu"}:
            named = " and ".join(sorted(devices)) or "no device"
            reason = f"the kernels run on the CPU, the weights are on {named}"
            return Ran(changes=0, refusals=(Refusal(place="cells", reason=reason),))
        if any(n.op == "placeholder" and n.target == "pick" for n in work.graph.nodes):
            # A weight that no picked path uses has no gradient, and an optimizer leaves it alone;
            # a region would give it one of zeros, by which decay and momentum move it.
            refusal = Refusal(
                place="cells", reason="one path runs, of which `pick_together` takes each branch"
            )
            return Ran(changes=0, refusals=(refusal,))
        found = generate(
            fx.GraphModule(work.root, work.graph), options=Options(recompute=self.recompute)
        )
        refusals = tuple(Refusal(place=r.place, reason=r.reason) for r in found.refused)
        if found.regions:
            for node in reversed(list(work.graph.nodes)):
                work.graph.erase_node(node)
            work.graph.output(work.graph.graph_copy(found.graph.graph, {}))
        return Ran(changes=len(found.regions), refusals=refusals)
