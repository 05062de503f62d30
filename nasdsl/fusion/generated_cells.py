"""Whole cells as calls of generated kernels, where a compiler is at hand."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from nasdsl.fusion.generated.generate import Options, rewritten
from nasdsl.fusion.rewriting import Ran, Refusal, Work
from nasdsl.kernels.toolchain import Missing, toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedCells:
    """Regions that the templates cover become one call forward and one backward.

    Before: the lines of a cell. After::

        normal_0 = generated((self.normal_0,), (stem_bn,), (getitem,))

    See `nasdsl.fusion.generated.generate`. The kernels are C++ for the CPU: without a compiler, or
    with weights on another device, nothing is taken and the passes behind this one have the
    whole graph. With `recompute` a region keeps its inputs alone for the backward pass; with
    `rounded` all else it keeps of float32 is stored as bfloat16, and gradients are not exact; with
    `apart` every operation is a call of its own: the control that says what is fusion and what not.
    """

    recompute: bool = False
    rounded: bool = False
    apart: bool = False
    name: str = "generated_cells"
    gain: str = "a cell is one kernel call each way"

    def run(self, work: Work) -> Ran:
        ran, made = self.rebuild(work)
        if made is not work.graph:
            for node in reversed(list(work.graph.nodes)):
                work.graph.erase_node(node)
            work.graph.output(work.graph.graph_copy(made, {}))
        return ran

    def rebuild(self, work: Work) -> tuple[Ran, fx.Graph]:
        """What it did, and the graph with calls: another one, or the one given, which stays."""
        reason = self._unfit(work)
        if reason is not None:
            return Ran(changes=0, refusals=(Refusal(place="cells", reason=reason),)), work.graph
        made, regions, refused = rewritten(
            work.graph,
            options=Options(recompute=self.recompute, rounded=self.rounded, apart=self.apart),
            known=work.known,
        )
        refusals = tuple(Refusal(place=r.place, reason=r.reason) for r in refused)
        return Ran(changes=len(regions), refusals=refusals), made

    def _unfit(self, work: Work) -> str | None:
        """Why no region is taken at all."""
        compiler = toolchain()
        if isinstance(compiler, Missing):
            return compiler.reason
        devices = {p.device.type for p in work.root.parameters()}
        if devices != {"cpu"}:
            named = " and ".join(sorted(devices)) or "no device"
            return f"the kernels run on the CPU, the weights are on {named}"
        if any(n.op == "placeholder" and n.target == "pick" for n in work.graph.nodes):
            # A weight that no picked path uses has no gradient, and an optimizer leaves it alone;
            # a region would give it one of zeros, by which decay and momentum move it.
            return "one path runs; the others have no gradient"
        return None
