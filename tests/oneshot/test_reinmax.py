"""ReinMax against Algorithm 2 of its paper by hand, and against true gradients."""

import numpy as np
import pytest
import torch

from nasdsl.oneshot.samplers.gumbel import gumbel_noise
from nasdsl.oneshot.samplers.reinmax import reinmax

THETA = (0.3, -1.1, 0.7, 0.2)


def jacobian(p):
    """Of a softmax with value p."""
    return np.diag(p) - np.outer(p, p)


def soft(theta, tau=1.0):
    e = np.exp((theta - theta.max()) / tau)
    return e / e.sum()


def forced(pick, width=4):
    """Gumbel noise under which `pick` is drawn."""
    noise = torch.zeros(1, width, dtype=torch.float64)
    noise[0, pick] = 100.0
    return noise


@pytest.mark.parametrize("tau", [1.0, 1.5, 4.0])
@pytest.mark.parametrize("pick", range(4))
def test_value_and_jacobian_are_those_of_the_algorithm(pick, tau):
    theta = torch.tensor([THETA], dtype=torch.float64, requires_grad=True)
    made = reinmax(theta, forced(pick), tau)
    one_hot = np.eye(4)[pick]
    assert np.array_equal(made.detach().numpy()[0], one_hot)
    plain = np.array(THETA)
    half = (one_hot + soft(plain, tau)) / 2
    # pi2 = 2 softmax(log half - theta + theta) - softmax(theta) / 2; half sums to one already.
    wanted = 2 * jacobian(half) - jacobian(soft(plain)) / 2
    for i in range(4):
        (row,) = torch.autograd.grad(made[0, i], theta, retain_graph=True)
        np.testing.assert_allclose(row.numpy()[0], wanted[i], atol=1e-12)


def expectations(f, slope):
    """True gradient, that of ReinMax and of straight-through, by enumeration of the draws."""
    theta = np.array(THETA)
    p = soft(theta)
    corners = np.eye(4)
    true = sum(p[i] * f(corners[i]) * (corners[i] - p) for i in range(4))
    through = sum(p[i] * jacobian(p) @ slope(corners[i]) for i in range(4))
    mine = np.zeros(4)
    for i in range(4):
        leaf = torch.tensor([THETA], dtype=torch.float64, requires_grad=True)
        made = reinmax(leaf, forced(i), 1.0)
        upstream = torch.tensor(slope(corners[i]))[None]
        mine += p[i] * torch.autograd.grad(made, leaf, grad_outputs=upstream)[0].numpy()[0]
    return true, mine, through


def test_for_a_quadratic_the_mean_gradient_is_the_true_one():
    """Heun's method is exact for polynomials of degree two (section 4 of arXiv 2304.08612)."""
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(4, 4)), draw.normal(size=4)
    a = a + a.T
    true, mine, through = expectations(lambda x: x @ a @ x / 2 + b @ x, lambda x: a @ x + b)
    np.testing.assert_allclose(mine, true, atol=1e-12)
    assert np.abs(through - true).max() > 1e-2


@pytest.mark.parametrize("seed", range(5))
def test_its_bias_is_of_third_order_that_of_straight_through_of_second(seed):
    """For f(x) = exp(s c x) the bias shrinks with s^3 and s^2; far from quadratic neither is small."""
    c = np.random.default_rng(seed).normal(size=4)
    bias = {}
    for s in (0.02, 0.01):
        true, mine, through = expectations(
            lambda x, s=s: np.exp(s * c @ x), lambda x, s=s: s * np.exp(s * c @ x) * c
        )
        bias[s] = np.linalg.norm(mine - true), np.linalg.norm(through - true)
        assert bias[s][0] < bias[s][1] / 10
    assert bias[0.02][0] / bias[0.01][0] == pytest.approx(8, rel=0.1)
    assert bias[0.02][1] / bias[0.01][1] == pytest.approx(4, rel=0.1)


def test_a_large_sample_has_the_true_gradient():
    """Draws by Gumbel noise, of f(x) = (c x)^2: the mean lies within five standard errors."""
    count, c = 40_000, torch.tensor([0.5, -1.0, 2.0, 0.1], dtype=torch.float64)
    theta = torch.tensor([THETA], dtype=torch.float64).repeat(count, 1).requires_grad_()
    noise = gumbel_noise(theta.detach(), torch.Generator().manual_seed(0))
    made = reinmax(theta, noise, 1.0)
    (found,) = torch.autograd.grad(((made @ c) ** 2).sum(), theta)
    p, values = soft(np.array(THETA)), (c**2).numpy()
    true = p * (values - p @ values)
    error = found.std(dim=0).numpy() / np.sqrt(count)
    assert (np.abs(found.mean(dim=0).numpy() - true) < 5 * error + 1e-12).all()


def test_ragged_tables_and_temperatures():
    with pytest.raises(ValueError, match="positive"):
        reinmax(torch.zeros(1, 2), torch.zeros(1, 2), 0.0)
