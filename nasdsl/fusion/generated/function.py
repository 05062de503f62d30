"""Calls of a region: an autograd function over a forward and a backward of some emitter.

Everything a call works with belongs to it, so that calls may nest and overlap, a graph may be kept
and gone through twice. A backward pass that is to be differentiated itself goes through the
reference graph, and so does a call with weights or a mix that are no finite numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nasdsl.fusion.generated.differentiable import differentiable
from nasdsl.fusion.generated.emitter import Forwarded, Given, Job

if TYPE_CHECKING:
    from nasdsl.fusion.generated.generated import Generated


class Call(torch.autograd.Function):
    """`(generated, job, *inputs, *scalars, *parameters) -> outputs`."""

    @staticmethod
    def forward(ctx: Any, generated: Generated, job: Job, *given: Tensor) -> tuple[Tensor, ...]:
        ctx.generated, ctx.job, ctx.training = generated, job, job.bound.training
        call = Given.of(generated.region, given)
        made = job.forward(call, ctx.training)
        ctx.finite = made is not None
        if made is None:
            values = generated.reference(job.bound.owners, call.inputs, call.scalars)
            outputs = tuple(value.clone() for value in values)  # an input may leave as it came
        else:
            outputs = made.outputs
        # Running statistics that were normalised with may not change until then.
        read = () if all(ctx.training) else tuple(job.bound.buffers)
        last: tuple[Tensor, ...] = ()
        if made is not None and not generated.recompute:
            last = (made.statistics, *[generated.stored(kept) for kept in made.kept])
        ctx.parts = (len(given), len(outputs), len(read))
        # As they were given: a copy in another layout would end the graph of second derivatives.
        ctx.save_for_backward(*given, *outputs, *read, *last)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        generated, job, training = ctx.generated, ctx.job, ctx.training
        saved = list(ctx.saved_tensors)
        given, outputs, read = ([saved.pop(0) for _ in range(n)] for n in ctx.parts)
        asked = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled() or not ctx.finite:
            return (None, None, *differentiable(generated, job, training, given, asked, grads))
        call = Given.of(generated.region, given)
        if generated.recompute:
            made = job.again(call, tuple(outputs), training)
        else:
            kept = tuple(generated.restored(each, given[0].dtype) for each in saved[1:])
            made = Forwarded(outputs=tuple(outputs), statistics=saved[0], kept=kept)
        return (None, None, *job.backward(call, tuple(read), made, grads, asked, training))
