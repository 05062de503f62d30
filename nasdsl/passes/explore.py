"""Exploration by what arrives: every mixed operation adds weights that its input asks for.

The "dynamic exploration" of confopt (arXiv 2507.16533): with mix m and options o_k an edge computes
sum_k (m_k + a s_k(x)) o_k(x), where s = softmax of the batch's mean of a small network of the means
of x over its extents. a runs by a schedule, towards 0, so that nothing of it is left in the end.
One-path and discrete networks take the mix alone.
"""

from __future__ import annotations

from dataclasses import replace

from nasdsl.ir import rewrite
from nasdsl.ir.op import Choice, Op
from nasdsl.ir.space import Space
from nasdsl.passes.edges import PassError


def explore(space: Space) -> Space:
    """The space with exploration at every outermost choice. Raises PassError without one."""
    visitor = _Explored()
    supernet = rewrite.rebuild(space.supernet, visitor)
    if not visitor.found:
        raise PassError(f"`explore`: `{space.name}` has no choice between operations")
    return replace(space, supernet=supernet)


class _Explored(rewrite.Plain):
    def __init__(self) -> None:
        self.found = False

    def whole(self, of: Op) -> Op | None:
        if not isinstance(of, Choice):
            return None
        self.found = True
        return replace(of, explored=True)
