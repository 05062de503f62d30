"""A batch in parts: gradients add up to those of the whole batch, in the memory of a part.

The mean loss of a batch is the mean of the losses of its parts, weighed by their sizes. What sees a
batch as a whole sees a part: batch normalisation takes its statistics, and moves its running ones,
part by part, and dropout draws anew. All else is the same to rounding; drop-path masks belong to
their images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nasdsl.oneshot.samplers.sample import Sample

if TYPE_CHECKING:
    from nasdsl.oneshot.session import Batch, Session

Gradients = dict[str, Tensor | None]


@dataclass(frozen=True, slots=True)
class Passed:
    """What a forward and backward pass gave: the mean loss, logits `(n, classes)`, gradients."""

    loss: Tensor
    logits: Tensor
    gradients: Gradients


def parts_of(size: int, count: int) -> list[slice]:
    """At most `count` parts of a batch, whose sizes differ by one image at most."""
    count = max(1, min(count, size))
    ends = [size * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]


def in_parts(
    size: int,
    count: int,
    forward: Callable[[slice], tuple[Tensor, Tensor]],
    backward: Callable[[Tensor, bool], Gradients],
    *,
    keep: bool = False,
    extra: Callable[[Tensor], Tensor] | None = None,
) -> Passed:
    """Forward and backward passes over the parts of a batch.

    `forward(part)` gives loss and logits, `backward(total, keep)` gradients of what is minimised,
    which is the mean loss and what `extra` adds to it, once. `keep` keeps the graphs that parts
    share, and that of a batch in one part.
    """
    parts = parts_of(size, count)
    if len(parts) == 1:
        loss, logits = forward(parts[0])
        return Passed(loss, logits, backward(loss if extra is None else extra(loss), keep))
    found: Gradients = {}
    losses, outputs = [], []
    for i, part in enumerate(parts):
        loss, logits = forward(part)
        share = loss * ((part.stop - part.start) / size)
        losses.append(share.detach())
        outputs.append(logits.detach())
        if i == 0 and extra is not None:
            share = extra(share)
        # What parts share (the sampler's graph) is needed by the next one; what is a part's own
        # goes with its loss.
        found = added(found, backward(share, keep or i + 1 < len(parts)))
        del loss, logits, share
    return Passed(torch.stack(losses).sum(), torch.cat(outputs), found)


def added(a: Mapping[str, Tensor | None], b: Mapping[str, Tensor | None]) -> Gradients:
    """The sum of gradients by name; None where neither has one."""
    total = dict(a)
    for name, slope in b.items():
        before = total.get(name)
        total[name] = slope if before is None else before if slope is None else before + slope
    return total


def part_of(batch: Batch, sample: Sample, part: slice) -> tuple[Batch, Sample]:
    """A part of a batch and the sample with the drop-path masks of its images."""
    x, y = batch
    if part.start == 0 and part.stop == len(y):
        return batch, sample
    if sample.keep is not None:
        sample = replace(sample, keep=sample.keep[:, part])
    return (x[part], y[part]), sample


def passed(
    session: Session,
    batch: Batch,
    sample: Sample,
    wanted: Mapping[str, Tensor],
    *,
    weights: Mapping[str, Tensor] | None = None,
    penalized: bool = False,
    keep: bool = False,
) -> Passed:
    """A forward and backward pass of a session over a batch, in the parts it is accumulated from.

    Gradients are those of the mean loss (with `penalized` also of the penalties) by the names in
    `wanted`; the loss that is given has no penalties. `weights` stand in for the supernet's.
    """

    def forward(part: slice) -> tuple[Tensor, Tensor]:
        (x, y), own = part_of(batch, sample, part)
        logits = session.forward(x, own, weights)
        return session.loss(logits, y), logits

    return in_parts(
        len(batch[1]),
        session.numerics.accumulate,
        forward,
        lambda total, keeping: session.gradients(total, wanted, keep=keeping),
        keep=keep,
        extra=(lambda loss: session.penalized(loss, sample)) if penalized else None,
    )
