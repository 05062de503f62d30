"""Optimizers from recipe components, and their state as named tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nasdsl.ir.config import Component
from nasdsl.oneshot.narrow import careful


def build(
    component: Component, parameters: Mapping[str, nn.Parameter], *, skips: bool = False
) -> torch.optim.Optimizer:
    """The optimizer of a component over named parameters; schedules are set step by step.

    Over lists of tensors (`foreach`): operator for operator what a loop over them computes, with
    one call for all. One that `skips` moves can leave one out as a number on the device says; its
    kernels agree with the others to rounding.
    """
    values = list(parameters.values())
    kernels = {"fused": True} if skips else {"foreach": True}
    match component.name:
        case "sgd":
            return torch.optim.SGD(
                values,
                lr=0.0,
                momentum=float(component.get("momentum")),
                nesterov=bool(component.get("nesterov")),
                **kernels,
            )
        case "adam" | "adamw":
            kind = torch.optim.Adam if component.name == "adam" else torch.optim.AdamW
            betas = tuple(float(b) for b in component.get("betas"))
            eps = float(component.get("eps"))
            return kind(values, lr=0.0, betas=(betas[0], betas[1]), eps=eps, **kernels)
        case other:
            raise ValueError(f"unknown optimizer {other}")


#: In a group of parameters: its rates are set from elsewhere, where a step is recorded.
HELD = "held"


def set_rates(optimizer: torch.optim.Optimizer, lr: float, decay: float) -> None:
    """The learning rate and weight decay of the next step."""
    for group in optimizer.param_groups:
        if HELD in group:
            continue
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
        group["weight_decay"] = decay


def move(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    gradients: Mapping[str, Tensor | None],
    *,
    lr: float,
    decay: float,
    clip: float | None = None,
    bad: Tensor | None = None,
) -> None:
    """One step along gradients by name; `clip` bounds their common norm.

    Where `bad` is 1 nothing moves and nothing is remembered; the optimizer is one that skips.
    """
    for name, parameter in parameters.items():
        parameter.grad = gradients.get(name)
    if clip is not None:
        nn.utils.clip_grad_norm_(parameters.values(), clip)
    set_rates(optimizer, lr, decay)
    if bad is None:
        optimizer.step()
        return
    _begin(optimizer)
    # As `torch.amp.GradScaler` tells it.
    optimizer.grad_scale, optimizer.found_inf = None, bad  # type: ignore[attr-defined]
    try:
        optimizer.step()
    finally:
        del optimizer.grad_scale, optimizer.found_inf  # type: ignore[attr-defined]


def _begin(optimizer: torch.optim.Optimizer) -> None:
    """Momentum of zeros: a first move that is skipped would leave it not initialised."""
    for group in optimizer.param_groups:
        for parameter in group["params"] if group.get("momentum") else ():
            if parameter.grad is not None:
                optimizer.state[parameter].setdefault(
                    "momentum_buffer", torch.zeros_like(parameter)
                )


def gradients(
    loss: Tensor, parameters: Mapping[str, Tensor], *, keep: bool = False
) -> dict[str, Tensor | None]:
    """Gradients of the named tensors and of nothing else; None where the loss ignores one.

    So it does those that are frozen (`requires_grad_(False)`). `keep` keeps the graph for further
    gradients of the same loss.
    """
    free = {name: p for name, p in parameters.items() if p.requires_grad}
    with careful(loss, free):
        found = torch.autograd.grad(
            loss, list(free.values()), allow_unused=True, retain_graph=keep or None
        )
    return {**dict.fromkeys(parameters), **dict(zip(free, found, strict=True))}


def state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """Everything the optimizer remembers, as `<parameter>:<field>`."""
    found = {}
    for name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if value is not None:
                found[f"{name}:{key}"] = torch.as_tensor(value)
    return found


def restore(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    tensors: Mapping[str, Tensor],
) -> None:
    """Put back what `state` gave."""
    optimizer.state.clear()
    groups = [g for g in optimizer.param_groups if g.get("fused") or g.get("capturable")]
    for key, tensor in tensors.items():
        name, _, field = key.rpartition(":")
        parameter = parameters[name]
        # `step` counts on the CPU, as torch keeps it for most kernels; all else is the parameter's.
        if field != "step":
            value = tensor.to(parameter).clone()
        else:
            value = tensor.clone().to(parameter.device if groups else tensor.device)
        optimizer.state[parameter][field] = value
