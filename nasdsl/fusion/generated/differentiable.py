"""A backward pass through the reference graph of a region, such that it can be differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nasdsl.fusion.generated.emitter import Job

if TYPE_CHECKING:
    from nasdsl.fusion.generated.generated import Generated


class _Whole(nn.Module):
    """The modules of a region under one root, so that their tensors can be replaced by name."""

    def __init__(self, generated: Generated, job: Job) -> None:
        super().__init__()
        self.call = [(generated, job)]
        for name, module in zip(generated.region.owners, job.bound.owners, strict=True):
            self.add_module(name, module)

    def forward(self, inputs: Sequence[Tensor], scalars: Sequence[Tensor]) -> tuple[Tensor, ...]:
        generated, job = self.call[0]
        return generated.reference(job.bound.owners, inputs, scalars)


def differentiable(
    generated: Generated,
    job: Job,
    training: Sequence[bool],
    given: Sequence[Tensor],
    asked: Sequence[bool],
    grads: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """Gradients through the reference, with a graph of their own where one is asked for.

    Statistics stay as they are.
    """
    region = generated.region
    arrive = len(region.inputs)
    first = arrive + len(region.scalars)
    # Aliases: one input may be computed from another, and only what reaches this region by each
    # of them is wanted, not what it owes to the others.
    with torch.enable_grad():
        given = [t.view_as(t) for t in given]
    replaced = {
        f"{path}.{name}": tensor
        for (path, name), tensor in zip(region.parameters, given[first:], strict=True)
    }
    for (path, name), buffer in zip(region.buffers, job.bound.buffers, strict=True):
        replaced[f"{path}.{name}"] = buffer.clone()
    # The normalisations as they were when the call was made.
    now = job.bound.training
    for norm, mode in zip(job.bound.norms, training, strict=True):
        norm.training = mode
    try:
        with torch.enable_grad():
            outputs = torch.func.functional_call(
                _Whole(generated, job), replaced, (given[:arrive], given[arrive:first])
            )
    finally:
        for norm, mode in zip(job.bound.norms, now, strict=True):
            norm.training = mode
    wanted = [t for t, yes in zip(given, asked, strict=True) if yes]
    again = torch.is_grad_enabled()
    found = iter(torch.autograd.grad(outputs, wanted, grads, create_graph=again, allow_unused=True))
    return tuple([next(found) if yes else None for yes in asked])
