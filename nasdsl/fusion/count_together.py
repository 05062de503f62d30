"""Batches are counted in all batch-norms at once."""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn.modules.batchnorm import _BatchNorm

from nasdsl.fusion.norms import counted, moved
from nasdsl.fusion.rewriting import Ran, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class CountTogether:
    """One operator adds one to `num_batches_tracked` of every batch-norm that was opened.

    Before, in each of them: `num_batches_tracked.add_(1)`; after, at the head of the graph::

        counted(self_x1_bn, self_x2_bn, ...)

    Exact: every opened batch-norm runs once in every pass.
    """

    name: str = "count_together"
    gain: str = "one counter for all batch-norms"

    def run(self, work: Work) -> Ran:
        names = opened(work)
        if not names:
            return Ran(changes=0)
        first = next(n for n in work.graph.nodes if n.op != "placeholder")
        work.call(first, counted, *[work.named(path, first) for path in names])
        return Ran(changes=len(names))


def opened(work: Work) -> list[str]:
    """Paths of the batch-norms that run as functions, in order."""
    found: list[str] = []
    for node in work.graph.nodes:
        if node.op == "call_function" and node.target not in (counted, moved):
            for arg in node.all_input_nodes:
                if arg.op == "get_attr" and isinstance(work.module(arg), _BatchNorm):
                    found.append(str(arg.target))
    return found
