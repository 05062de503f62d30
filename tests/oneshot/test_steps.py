"""Step rules against plain loops of the same seed, and second derivatives against autograd."""

import math

import pytest
import torch
from small_search import Plain, farthest, small, steps

from nasdsl.oneshot.steps.curvature import Curvature
from nasdsl.oneshot.steps.second_order import finite_difference

COUNT = 4


def rate(step, per_epoch=2, epochs=2):
    """cosine(0.025 -> 0.001, per = epoch)."""
    t = (step // per_epoch) / epochs
    return 0.001 + (0.025 - 0.001) * (1 + math.cos(math.pi * t)) / 2


def ahead(plain, batch, mix, step, *, graph):
    """Weights one SGD step further, as a function of the mix."""
    names = list(plain.weights)
    grads = torch.autograd.grad(
        plain.loss(batch, mix),
        list(plain.weights.values()),
        create_graph=graph,
        allow_unused=True,
    )
    found = {}
    for name, grad in zip(names, grads, strict=True):
        w = plain.weights[name]
        move = (torch.zeros_like(w) if grad is None else grad) + plain.decay * w.detach()
        buffer = plain.sgd.state.get(w, {}).get("momentum_buffer")
        if buffer is not None:
            move = move + plain.momentum * buffer
        found[name] = w.detach() - rate(step) * move
    return found


def test_first_order_is_the_plain_loop():
    task, other = small("step = alternating(order = first)"), small()
    steps(task, COUNT)
    plain = Plain(other, lr=rate)
    for step in range(COUNT):
        loss = plain.loss(plain.valid(), plain.mix())
        plain.move_arch(torch.autograd.grad(loss, list(plain.alphas.values())))
        plain.move_weights(step, plain.train())
    assert farthest(task, other) < 1e-12


@pytest.mark.parametrize("order", ["second", "unrolled"])
def test_second_order_is_autograd_through_the_weight_step(order):
    """The plain loop differentiates through the look-ahead itself."""
    task, other = small(f"step = alternating(order = {order})"), small()
    steps(task, COUNT)
    plain = Plain(other, lr=rate)
    for step in range(COUNT):
        batch, held = plain.train(), plain.valid()
        mix = plain.mix()
        weights = ahead(plain, batch, mix, step, graph=True)
        loss = plain.loss(held, mix, weights)
        plain.move_arch(torch.autograd.grad(loss, list(plain.alphas.values())))
        plain.move_weights(step, batch)
    assert farthest(task, other) < 1e-10


def test_the_finite_difference_approaches_the_exact_product():
    """Equation 8 of DARTS, with a step so small that no kink lies in between."""
    task = small()
    task.begin(0)
    session = task.session
    session.supernet.train()
    batch, sample = session.next_train(), session.sample("arch")
    loss = session.loss(session.forward(batch[0], sample), batch[1])
    curvature = Curvature.of(loss, session.weights, session.alphas)
    generator = torch.Generator().manual_seed(0)
    vector = {
        n: torch.randn(w.shape, generator=generator, dtype=w.dtype)
        for n, w in session.weights.items()
    }
    exact = curvature.mixed(vector)
    finite = finite_difference(session, batch, sample, vector, 1e-5)
    for name, wanted in exact.items():
        assert wanted.norm() > 0
        assert (finite[name] - wanted).norm() < 1e-7 * wanted.norm()


def test_the_implicit_gradient_is_its_series_with_a_dense_hessian():
    """Every product of the plain loop is a row of a matrix that autograd builds in full."""
    task, other = small("step = implicit(terms = 2, scale = 0.05)"), small()
    steps(task, 1)
    plain = Plain(other, lr=rate)
    batch, held = plain.train(), plain.valid()
    names, values = list(plain.weights), list(plain.weights.values())
    alphas = list(plain.alphas.values())
    mix = plain.mix()
    slopes = torch.autograd.grad(
        plain.loss(batch, mix), values, create_graph=True, allow_unused=True
    )
    used = [i for i, g in enumerate(slopes) if g is not None and g.requires_grad]
    flat = torch.cat([slopes[i].reshape(-1) for i in used])

    def product(vector, by):
        found = torch.autograd.grad(
            flat, by, grad_outputs=vector, retain_graph=True, allow_unused=True
        )
        return [torch.zeros_like(b) if f is None else f for f, b in zip(found, by, strict=True)]

    whole = torch.autograd.grad(
        plain.loss(held, mix), [*alphas, *values], allow_unused=True, retain_graph=True
    )
    v = torch.cat([whole[len(alphas) + i].reshape(-1) for i in used])
    total, term = v.clone(), v
    for _ in range(2):
        bent = torch.cat([h.reshape(-1) for h in product(term, [values[i] for i in used])])
        term = term - 0.05 * bent
        total = total + term
    mixed = product(total, alphas)
    plain.move_arch([whole[i] - 0.05 * mixed[i] for i in range(len(alphas))])
    plain.move_weights(0, batch)
    assert names
    assert farthest(task, other) < 1e-10


def test_joint_moves_both_along_one_loss():
    task, other = small("step = joint"), small()
    steps(task, COUNT)
    plain = Plain(other, lr=rate)
    for step in range(COUNT):
        batch, mix = plain.train(), plain.mix()
        grads = torch.autograd.grad(plain.loss(batch, mix), list(plain.alphas.values()))
        held = {n: m.detach().clone() for n, m in mix.items()}
        buffers = {n: b.clone() for n, b in plain.net.named_buffers()}
        plain.move_weights(step, batch, held)
        # The plain loop looked twice at the batch: the second look is the one that counts.
        assert buffers
        plain.move_arch(grads)
    assert farthest(task, other) < 1e-12


def test_weights_only_leaves_the_alphas_alone():
    task = small("step = weights_only\n  arch = none\n  sampler = gumbel(tau = 1, hard = true)")
    before = {n: a.detach().clone() for n, a in task.session.alphas.items()}
    weights = {n: w.detach().clone() for n, w in task.session.weights.items()}
    steps(task, 2)
    assert all(torch.equal(before[n], a) for n, a in task.session.alphas.items())
    assert any(not torch.equal(weights[n], w) for n, w in task.session.weights.items())
    assert task.session.arch_optimizer is None
