"""Second derivatives against autograd, and steps that move only one side."""

import torch
from small_search import small, steps

from nasdsl.oneshot.steps.curvature import Curvature
from nasdsl.oneshot.steps.second_order import finite_difference


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


def test_weights_only_leaves_the_alphas_alone():
    task = small("step = weights_only\n  arch = none\n  sampler = gumbel(tau = 1, hard = true)")
    before = {n: a.detach().clone() for n, a in task.session.alphas.items()}
    weights = {n: w.detach().clone() for n, w in task.session.weights.items()}
    steps(task, 2)
    assert all(torch.equal(before[n], a) for n, a in task.session.alphas.items())
    assert any(not torch.equal(weights[n], w) for n, w in task.session.weights.items())
    assert task.session.arch_optimizer is None
