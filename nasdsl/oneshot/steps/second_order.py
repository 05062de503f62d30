"""Alternating steps whose architecture gradient looks one weight step ahead (DARTS, 1806.09055).

With w' = w - xi (m + dL_train/dw), m momentum and weight decay as the weight optimizer has them,
the gradient is dL_val(w', alpha)/d alpha - xi d2L_train/(d alpha d w) dL_val/dw' (equation 7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nasdsl.oneshot.accumulate import passed
from nasdsl.oneshot.parts import ARCH, WEIGHTS
from nasdsl.oneshot.samplers.sample import Sample
from nasdsl.oneshot.session import Batch, Session
from nasdsl.oneshot.steps.curvature_in_parts import curvature
from nasdsl.oneshot.steps.first_order import weight_step


@dataclass(frozen=True, slots=True)
class SecondOrder:
    """`alternating(order = second | unrolled)`.

    `exact`: the second term by one Hessian-vector product; `finite`: by the central difference of
    the paper's equation 8; `unrolled`: by differentiating through the weight step itself. Exact
    and unrolled agree to rounding. The training batch of the look-ahead is the one the weights
    move on next.
    """

    form: str = "exact"

    def run(self, session: Session) -> None:
        batch: Batch | None = None
        if session.due(ARCH):
            batch = session.next_train()
            _arch_step(session, batch, self.form)
        if session.due(WEIGHTS):
            weight_step(session, batch)


def _arch_step(session: Session, batch: Batch, form: str) -> None:
    held = session.next_valid()
    sample = session.sample(ARCH)
    xi = session.now(session.recipe.get(WEIGHTS).get("lr"), WEIGHTS)
    bends = curvature(session, batch, sample)
    ahead = look_ahead(session, bends.gradient, xi)
    if form != "unrolled":
        ahead = {n: w.detach().requires_grad_() for n, w in ahead.items()}
    wanted = dict(session.alphas) if form == "unrolled" else {**session.alphas, **_renamed(ahead)}
    made = passed(
        session, held, sample, wanted, weights=ahead, penalized=True, keep=form != "unrolled"
    )
    found = made.gradients
    if form == "unrolled":
        session.move_arch(found)
    else:
        vector = {
            n: v if (v := found[f"ahead:{n}"]) is not None else torch.zeros_like(w)
            for n, w in ahead.items()
        }
        if form == "finite":
            mixed = finite_difference(session, batch, sample, vector)
        else:
            mixed = bends.mixed(vector)
        session.move_arch(
            {n: (g if (g := found[n]) is not None else 0) - xi * mixed[n] for n in session.alphas}
        )
    session.valid_meter.add(made.loss, made.logits, held[1])


def _renamed(ahead: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"ahead:{name}": w for name, w in ahead.items()}


def look_ahead(session: Session, gradient: Mapping[str, Tensor], xi: float) -> dict[str, Tensor]:
    """The weights after one step of SGD with the momentum and decay of the weight optimizer."""
    component = session.recipe.get(WEIGHTS)
    decay = session.now(component.get("decay"), WEIGHTS)
    momentum = float(component.get("momentum"))
    found = {}
    for name, w in session.weights.items():
        if not w.requires_grad:
            found[name] = w.detach()  # frozen: where it is
            continue
        move = gradient[name] + decay * w.detach()
        buffer = session.weight_optimizer.state.get(w, {}).get("momentum_buffer")
        if buffer is not None:
            move = move + momentum * buffer
        found[name] = w.detach() - xi * move
    return found


def finite_difference(
    session: Session,
    batch: Batch,
    sample: Sample,
    vector: dict[str, Tensor],
    size: float = 0.01,
) -> dict[str, Tensor]:
    """The mixed product as (dL(w + e v) - dL(w - e v)) / 2e in alpha, e = size / |v| (equation 8).

    The paper's size is 0.01. Where the two sides lie across a kink of a ReLU or a max-pooling the
    difference is far from the derivative, however exact the arithmetic.
    """
    norm = torch.stack([v.square().sum() for v in vector.values()]).sum().sqrt()
    e = size / norm.clamp(min=1e-12)
    sides = []
    for sign in (1, -1):
        moved = {n: w.detach() + sign * e * vector[n] for n, w in session.weights.items()}
        made = passed(session, batch, sample, session.alphas, weights=moved, keep=True)
        sides.append(made.gradients)
    return {n: _difference(sides[0][n], sides[1][n]) / (2 * e) for n in session.alphas}


def _difference(a: Tensor | None, b: Tensor | None) -> Tensor:
    if a is None or b is None:
        return torch.zeros(())
    return a - b
