"""Whether a network is trained through the compiler, and under which profile."""

from __future__ import annotations

import torch

from nasdsl.fusion.profile import COMPILED, Profile, exact
from nasdsl.fusion.profile import profile as profile_of
from nasdsl.ir import cost
from nasdsl.ir.space import Network
from nasdsl.oneshot.precision import Numerics
from nasdsl.oneshot.ranks.world import World

#: Multiply-adds of a training (three passes an image) from which planning the network, a second
#: or two, is less than what its kernels save.
WORTH = 10**10


def trains_under(
    asked: str | Profile,
    network: Network,
    images: int,
    *,
    device: torch.device,
    numerics: Numerics,
    world: World,
) -> Profile:
    """The profile a network trains under that shall see so many images.

    That of the searches, where it is exact and the training is long enough to pay for the plan.
    The reference where it is not; under autocast, which acts on operators; on several ranks,
    which speak to each other between operators; and on CUDA, where what kernels gain in a network
    without choices has not been measured. A function of the run alone, so that equal runs stay
    equal.
    """
    wanted = profile_of(asked)
    wanted = exact(wanted) or wanted
    plain = profile_of("reference")
    if wanted.name == COMPILED.name or numerics.casts or world.several or device.type != "cpu":
        return plain
    return wanted if 3 * cost.of_network(network).macs * images >= WORTH else plain
