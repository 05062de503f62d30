"""What every pass of a profile gains on a supernet, measured pass by pass on a small batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.counting import count, kept
from nasdsl.fusion.plan import Step, plan
from nasdsl.fusion.profile import exact
from nasdsl.fusion.roofline import measured

#: Images that are sent through.
BATCH = 2
#: Images of which gradients are compared.
ROUNDING_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The state after a pass; the first has no pass and is the reference.

    Of a forward and backward pass of `BATCH` images: operators, bytes kept for the backward pass
    and bytes of operands an image, and seconds as the roofline of this machine predicts.
    """

    step: Step | None
    kernels: int
    kept: float
    traffic: float
    predicted: float


def explain(supernet: Supernet) -> tuple[Explained, ...]:
    """Every pass of a supernet's profile in order, with what stands after it.

    Weights and statistics of the supernet are as before.
    """
    state = {k: v.clone() for k, v in supernet.state_dict().items()}
    mode, machine = supernet.training, measured(torch.device("cpu"))
    supernet.train()
    try:
        found: list[Explained] = []
        for n in range(len(supernet.profile.passes) + 1):
            profile = replace(supernet.profile, passes=supernet.profile.passes[:n])
            made = plan(supernet.graph, profile)
            step = made.steps[-1] if made.steps else None
            if step is not None and not step.changes:
                # Nothing to measure that the last pass did not leave.
                found.append(replace(found[-1], step=step))
                continue
            net = supernet.under(profile)
            forward = _forward(net)
            counts = count(lambda f=forward: f().backward())  # type: ignore[misc]
            found.append(
                Explained(
                    step=step,
                    kernels=counts.total,
                    kept=kept(forward, net.parameters()) / BATCH,
                    traffic=counts.traffic / BATCH,
                    predicted=machine.predict(counts.each),
                )
            )
        return tuple(found)
    finally:
        supernet.load_state_dict(state)
        supernet.train(mode)
        supernet.zero_grad(set_to_none=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """What storing kept values as bfloat16 costs and saves, measured on random images.

    Errors are norms of differences over norms of the exact gradients: of all weights together, and
    of the mix. Bytes are those kept for the backward pass, of an image.
    """

    weights: float
    mix: float
    before: float
    after: float


def rounding(supernet: Supernet) -> Rounding | None:
    """The gradients of a profile that rounds beside those of the one that does not; else None.

    Weights and statistics of the supernet are as before.
    """
    plain = exact(supernet.profile)
    if plain is None:
        return None
    state = {k: v.clone() for k, v in supernet.state_dict().items()}
    mode = supernet.training
    try:
        found = []
        for net in (supernet.under(plain), supernet):
            supernet.load_state_dict(state)
            net.train()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # operations that draw draw the same
                bytes_ = kept(_forward(net, ROUNDING_BATCH), net.parameters()) / ROUNDING_BATCH
                found.append((bytes_, *_gradients(net)))
        (before, weights, mix), (after, weights_, mix_) = found
        return Rounding(
            weights=_apart(weights_, weights),
            mix=_apart(mix_, mix),
            before=before,
            after=after,
        )
    finally:
        supernet.load_state_dict(state)
        supernet.train(mode)
        supernet.zero_grad(set_to_none=True)


def _gradients(net: Supernet) -> tuple[Tensor, Tensor]:
    """Gradients of a random batch: of the weights and of the mix, each as one vector."""
    net.zero_grad(set_to_none=True)
    mix = {name: m.requires_grad_() for name, m in net.uniform().items()}
    _forward(net, ROUNDING_BATCH, mix)().backward()

    def flat(tensors: Any) -> Tensor:
        return torch.cat(
            [torch.zeros(1), *(t.grad.flatten() for t in tensors if t.grad is not None)]
        )

    return flat(net.parameters()), flat(mix.values())


def _apart(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm().clamp_min(1e-30))


def _forward(net: Supernet, batch: int = BATCH, given: Any = None) -> Any:
    inp = net.space.supernet.inp
    if inp.kind == "tokens":
        x = torch.zeros(batch, *inp.dims, dtype=torch.int64)
    else:
        x = torch.randn(batch, *inp.dims, generator=torch.Generator().manual_seed(0))
    pick = {name: [0] * len(t.decisions) for name, t in net.tables.items()}

    def forward() -> Tensor:
        mix = given or {name: m.requires_grad_() for name, m in net.uniform().items()}
        out = net(x, mix, pick if net.mode == "one_path" else None)
        return out.square().mean()

    return forward
