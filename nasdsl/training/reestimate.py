"""Batch-norm statistics measured anew, for a network whose weights were trained inside a mixture.

The running statistics of a supernet are those of mixtures; a part of it sees other activations.
Measured with its weights fixed they are its own (universally slimmable networks, arXiv 1903.05134).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def reestimate(net: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace running statistics by the plain average over `batches` `(n, …)`; their number.

    Everything but the batch-norms is in evaluation mode meanwhile: no dropout. Weights, momenta
    and modes are afterwards what they were; where a batch fails, the statistics too. Raises
    ValueError without a batch.
    """
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    modes = {m: m.training for m in net.modules()}
    momenta = [m.momentum for m in norms]
    kept = [{k: v.clone() for k, v in m.state_dict().items()} for m in norms]
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    count = 0
    try:
        for x in batches:
            # The plain average of so many, as a momentum of None has it, which is known to modules
            # alone: passes and kernels read a number.
            for norm in norms:
                norm.momentum = 1 / (count + 1)
            net(x)
            count += 1
    except BaseException:
        count = 0
        raise
    finally:
        if count == 0:
            for norm, state in zip(norms, kept, strict=True):
                norm.load_state_dict(state)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
    if count == 0:
        raise ValueError("statistics are measured on batches, and there is none")
    return count
