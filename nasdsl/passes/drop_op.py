"""Dropout behind an operation of every choice of the supernet.

P-DARTS (arXiv 1904.12760, section 3.3): the output of `skip_connect` is dropped with a probability
that falls during a stage and rises from stage to stage, so that skips do not win early. The
probability is set at every step; in evaluation and in the final network there is no such dropout.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from nasdsl.ir import rewrite
from nasdsl.ir.cost import choices
from nasdsl.ir.op import Choice, Op, Prim, Seq
from nasdsl.ir.space import Space
from nasdsl.passes.edges import PassError


def drop_op(space: Space, labels: Collection[str]) -> Space:
    """The space with a `dropped` behind every option of these labels.

    Raises PassError for a label that no choice of the supernet has.
    """
    known = {label for _, choice in choices(space.supernet) for label in choice.labels}
    unknown = sorted(set(labels) - known)
    if unknown:
        raise PassError(f"`drop_op`: no choice of `{space.name}` has an option `{unknown[0]}`")
    return replace(space, supernet=rewrite.rebuild(space.supernet, _Dropped(labels)))


class _Dropped(rewrite.Plain):
    def __init__(self, labels: Collection[str]) -> None:
        self.labels = labels

    def whole(self, of: Op) -> Op | None:
        if not isinstance(of, Choice):
            return None
        options = []
        for label, option in zip(of.labels, of.options, strict=True):
            inner = rewrite.op(option, self)
            options.append(_behind(inner) if label in self.labels else inner)
        return replace(of, options=tuple(options))


def _behind(op: Op) -> Op:
    last = Prim(kind="dropped", attrs=(("p", 0.0),), inp=op.out, out=op.out, span=op.span)
    # Names of modules stay what they are without it.
    before = op.parts if isinstance(op, Seq) else (op,)
    return Seq(parts=(*before, last), inp=op.inp, out=op.out, span=op.span)
