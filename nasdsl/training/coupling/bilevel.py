"""Steps of alphas and weights in turn, each as one loop."""

from __future__ import annotations

import torch
from torch import Tensor

from nasdsl.training.coupling.plain import Batch, Plain
from nasdsl.training.search import Search

#: Of the loop and of the recipe that it is held against.
TERMS, SCALE = 2, 0.05


def first_order(task: Search) -> None:
    """DARTS, first order: alphas on validation images, then weights on training images."""
    plain = Plain(task)
    for step in range(plain.steps):
        loss = plain.loss(plain.valid(), plain.mix())
        plain.move_arch(torch.autograd.grad(loss, list(plain.alphas.values())))
        plain.move_weights(step, plain.train())


def second_order(task: Search) -> None:
    """DARTS, second order: autograd differentiates through the weight step itself."""
    plain = Plain(task)
    for step in range(plain.steps):
        batch, held, mix = plain.train(), plain.valid(), plain.mix()
        loss = plain.loss(held, mix, ahead(plain, batch, mix, step))
        plain.move_arch(torch.autograd.grad(loss, list(plain.alphas.values())))
        plain.move_weights(step, batch)


def ahead(plain: Plain, batch: Batch, mix: dict[str, Tensor], step: int) -> dict[str, Tensor]:
    """Weights one SGD step further, as a function of the mix."""
    grads = torch.autograd.grad(
        plain.loss(batch, mix),
        list(plain.weights.values()),
        create_graph=True,
        allow_unused=True,
    )
    found = {}
    for (name, w), grad in zip(plain.weights.items(), grads, strict=True):
        move = (torch.zeros_like(w) if grad is None else grad) + plain.decay * w.detach()
        buffer = plain.sgd.state.get(w, {}).get("momentum_buffer")
        if buffer is not None:
            move = move + plain.momentum * buffer
        found[name] = w.detach() - plain.rate(step) * move
    return found


def implicit(task: Search) -> None:
    """iDARTS: every product with the Hessian is one of autograd with a flat gradient.

    At w(alpha), d/d alpha = dLv/d alpha - s sum_{j <= K} d2Lt/(d alpha d w) (I - s H)^j dLv/dw
    (arXiv 2106.10784, equation 9); K = TERMS, s = SCALE.
    """
    plain = Plain(task)
    values, alphas = list(plain.weights.values()), list(plain.alphas.values())
    for step in range(plain.steps):
        batch, held, mix = plain.train(), plain.valid(), plain.mix()
        slopes = torch.autograd.grad(
            plain.loss(batch, mix), values, create_graph=True, allow_unused=True
        )
        used = [i for i, g in enumerate(slopes) if g is not None and g.requires_grad]
        flat = torch.cat([g.reshape(-1) for i in used if (g := slopes[i]) is not None])
        whole = torch.autograd.grad(
            plain.loss(held, mix), [*alphas, *values], allow_unused=True, retain_graph=True
        )
        v = torch.cat([_known(whole[len(alphas) + i], values[i]).reshape(-1) for i in used])
        total, term = v.clone(), v
        for _ in range(TERMS):
            bent = _product(flat, term, [values[i] for i in used])
            term = term - SCALE * torch.cat([b.reshape(-1) for b in bent])
            total = total + term
        mixed = _product(flat, total, alphas)
        plain.move_arch([_known(whole[i], a) - SCALE * mixed[i] for i, a in enumerate(alphas)])
        plain.move_weights(step, batch)


def _product(flat: Tensor, vector: Tensor, by: list[Tensor]) -> list[Tensor]:
    """The derivative of a flat gradient along a vector."""
    found = torch.autograd.grad(flat, by, grad_outputs=vector, retain_graph=True, allow_unused=True)
    return [_known(f, b) for f, b in zip(found, by, strict=True)]


def _known(grad: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if grad is None else grad


def joint(task: Search) -> None:
    """One level: alphas and weights along the same training loss, both from the same place."""
    plain = Plain(task)
    for step in range(plain.steps):
        batch, mix = plain.train(), plain.mix()
        grads = torch.autograd.grad(plain.loss(batch, mix), list(plain.alphas.values()))
        plain.move_weights(step, batch, {n: m.detach().clone() for n, m in mix.items()})
        plain.move_arch(grads)
