"""The generator of operations that draw by themselves: dropout, noise, dropped outputs.

They draw for the images in front of them, so with such operations a run depends on the number of
ranks. Every rank has draws of its own; the state of rank 0 is the one that is kept.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from nasdsl.oneshot.ranks.world import World
from nasdsl.training.data.batches import derived_seed


def seed_operations(seed: int, world: World) -> None:
    """Seed torch's global generator for a rank."""
    torch.manual_seed(seed if world.writes else derived_seed(seed, "rank", world.rank))


def reseed(state: Tensor, world: World) -> None:
    """Put the generator where a checkpoint has it; other ranks take what follows from that."""
    if world.writes:
        torch.set_rng_state(state)
        return
    digest = hashlib.sha256(state.numpy().tobytes()).hexdigest()
    torch.manual_seed(derived_seed(digest, "rank", world.rank))
