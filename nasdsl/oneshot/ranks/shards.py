"""Parameters, gradients and optimizer state shared out over the ranks, cell by cell (FSDP2).

`torch.distributed.fsdp.fully_shard` keeps of every parameter the rows of a rank (ZeRO stage 3,
arXiv 1910.02054). A cell is gathered where it runs, forward and backward, and its gradients are
summed into the rows of each rank. Outside, all is whole: state that is written, and what a
measurement sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nasdsl.oneshot.ranks.world import World, reaching


def shard(
    module: nn.Module,
    cells: Iterable[nn.Module],
    world: World,
    device: torch.device,
    method: str | None = None,
) -> None:
    """Shard a network in place: every cell by itself, the rest as a whole.

    Parameters lie on `device` and are contiguous. `method` is a second way to run the network.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    with reaching():
        mesh = init_device_mesh(device.type, (world.size,))
        for part in (*cells, module):
            if not any(True for _ in part.parameters()):
                continue
            made: Any = fully_shard(part, mesh=mesh, reshard_after_forward=True)
            # A loss is that of the whole batch: gradients add up. gloo takes no means.
            made.set_gradient_divide_factor(1.0)
            made.set_force_sum_reduction_for_comms(True)
    if method is not None:
        register_fsdp_forward_method(module, method)


def gradients(
    loss: Tensor, parameters: Mapping[str, Tensor], *, keep: bool = False
) -> dict[str, Tensor | None]:
    """Gradients of the named tensors, sharded ones as this rank's rows of the sum over ranks.

    FSDP takes what `backward` leaves in the fields of parameters, which are empty afterwards.
    """
    for tensor in parameters.values():
        tensor.grad = None
    loss.backward(retain_graph=keep)
    found = {name: tensor.grad for name, tensor in parameters.items()}
    for tensor in parameters.values():
        tensor.grad = None
    return found


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """Inside, every rank has the whole parameters, to read; every rank has to ask.

    Nothing is sent inside, so that ranks may run the network differently often.
    """
    parts: list[Any] = [m for m in module.modules() if hasattr(m, "set_reshard_after_forward")]
    with reaching():
        for part in parts:
            part.unshard()
            part.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(True, recurse=False)
            part.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A tensor of all ranks as it is without sharding; every rank has to ask."""
    # Asked for by what it can do: its class costs half a second to import.
    full = getattr(tensor, "full_tensor", None)
    if full is None:
        return tensor
    with reaching():
        found: Tensor = full()
    return found


def wholes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors by name; every rank has to ask."""
    return {name: whole(tensor) for name, tensor in tensors.items()}


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, the same on all ranks, shared out as another one is; nothing is sent."""
    mesh = getattr(like, "device_mesh", None)
    if mesh is None:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    given = tensor.detach().to(device=like.device)
    placements: Any = like.placements  # type: ignore[attr-defined]
    return distribute_tensor(given, mesh, placements, src_data_rank=None)
