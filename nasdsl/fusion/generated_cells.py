"""Whole cells as calls of generated kernels, where a compiler for the device is at hand."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from nasdsl.fusion.device.job import TritonKernels
from nasdsl.fusion.generated.cells import Cells
from nasdsl.fusion.generated.emitter import Emitter
from nasdsl.fusion.generated.generate import Options, rewritten
from nasdsl.fusion.rewriting import Ran, Refusal, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedCells:
    """Regions that the templates cover become one call forward and one backward.

    Before: the lines of a cell. After::

        normal_0 = generated((self.normal_0,), (stem_bn,), (getitem,))

    See `nasdsl.fusion.generated.generate`. The kernels are C++ for the CPU, Triton for CUDA:
    without a compiler for the device that the weights are on nothing is taken, and the passes
    behind this one have the whole graph. With `recompute` a region keeps its inputs alone for the
    backward pass; with `rounded` all else it keeps of float32 is stored as bfloat16, and gradients
    are not exact; with `apart` every operation is a call of its own: the control that says what is
    fusion and what not.
    """

    recompute: bool = False
    rounded: bool = False
    apart: bool = False
    emitters: tuple[Emitter, ...] = (Cells(), TritonKernels())
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
        how = Options(
            recompute=self.recompute,
            rounded=self.rounded,
            apart=self.apart,
            emitters=self.emitters,
        )
        made, regions, refused = rewritten(work.graph, options=how, known=work.known)
        refusals = tuple(Refusal(place=r.place, reason=r.reason) for r in refused)
        return Ran(changes=len(regions), refusals=refusals), made

    def _unfit(self, work: Work) -> str | None:
        """Why no region is taken at all."""
        reason = self.lacking({p.device.type for p in work.root.parameters()})
        if reason is not None:
            return reason
        if any(n.op == "placeholder" and n.target == "pick" for n in work.graph.nodes):
            # A weight that no picked path uses has no gradient, and an optimizer leaves it alone;
            # a region would give it one of zeros, by which decay and momentum move it.
            return "one path runs, of which `pick_together` takes each branch"
        return None

    def lacking(self, devices: set[str]) -> str | None:
        """Why there are no kernels for weights on these devices; None where there are."""
        emitters = {e.device: e for e in self.emitters}
        if len(devices) != 1 or not devices <= emitters.keys():
            named = " and ".join(sorted(devices)) or "no device"
            return f"the kernels run on {' and '.join(emitters)}, the weights are on {named}"
        (device,) = devices
        missing = emitters[device].missing()
        return None if missing is None else missing.reason
