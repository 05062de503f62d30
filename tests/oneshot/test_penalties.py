"""Penalties on alphas and mixes against closed forms and samples, with their gradients."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import Dirichlet, kl_divergence

from nasdsl.codegen.supernet import Table
from nasdsl.ir.config import Component, Word
from nasdsl.oneshot.penalties.table import PENALTIES

RAGGED = Table("t", ("d", "e", "f"), (("a", "b"), ("a", "b", "c"), ("a", "b")))


def at(name, *, alphas=None, mix=None, weight=1.0, **args):
    """A penalty's value on one ragged table."""
    session = SimpleNamespace(
        supernet=SimpleNamespace(tables={"t": RAGGED}), now=lambda value, slot: float(value)
    )
    component = Component(name, (("weight", weight), *args.items()))
    one = {"t": alphas if alphas is not None else torch.zeros(RAGGED.shape)}
    two = {"t": mix if mix is not None else torch.zeros(RAGGED.shape)}
    return PENALTIES[name](component).value(session, one, two)


def rows(values):
    return [values[i, :w] for i, w in enumerate(RAGGED.widths)]


def drawn(seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(RAGGED.shape, generator=generator, dtype=torch.float64)
    values[0, 2] = values[2, 2] = 50.0  # padding that nothing may read
    return values.requires_grad_()


def mixed(seed=0):
    logits = drawn(seed).detach()
    mix = torch.zeros(RAGGED.shape, dtype=torch.float64)
    for i, row in enumerate(rows(logits)):
        mix[i, : len(row)] = row.softmax(0)
    return mix.requires_grad_()


def slope(value, leaf):
    return torch.autograd.grad(value, leaf)[0]


def test_beta_is_the_mean_logsumexp_and_its_gradient_a_softmax():
    alphas = drawn()
    found = at("beta", alphas=alphas, weight=3.0)
    wanted = 3 * sum(math.log(sum(math.exp(a) for a in row.tolist())) for row in rows(alphas)) / 3
    assert found.item() == pytest.approx(wanted, abs=1e-12)
    grad = slope(found, alphas)
    for i, row in enumerate(rows(alphas)):
        torch.testing.assert_close(grad[i, : len(row)], 3 * row.detach().softmax(0) / 3)
    assert grad[0, 2] == grad[2, 2] == 0


def test_the_divergence_of_dirichlets_is_the_closed_form():
    """KL(Dir(c) || Dir(1)) = lgamma(sum c) - sum lgamma(c) - lgamma(K) + sum (c - 1)(psi(c) - psi(sum c))."""
    alphas = drawn(1)
    total = 0
    for row in rows(alphas):
        c = torch.where(row > 0, row, row.exp() - 1) + 1
        s = c.sum()
        total = total + (
            s.lgamma()
            - c.lgamma().sum()
            - math.lgamma(len(c))
            + ((c - 1) * (torch.digamma(c) - torch.digamma(s))).sum()
        )
    found = at("drnas_kl", alphas=alphas)
    torch.testing.assert_close(found, total, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(slope(found, alphas), slope(total, alphas), rtol=1e-9, atol=1e-10)


def test_the_divergence_is_that_of_torch_and_of_a_sample():
    alphas = drawn(2).detach()
    whole, sampled, variance = 0.0, 0.0, 0.0
    torch.manual_seed(0)
    for row in rows(alphas):
        own = Dirichlet(torch.nn.functional.elu(row) + 1)
        flat = Dirichlet(torch.ones_like(row))
        whole += kl_divergence(own, flat).item()
        x = own.sample((200_000,))
        ratio = own.log_prob(x) - flat.log_prob(x)
        sampled += ratio.mean().item()
        variance += ratio.var().item() / len(x)
    found = at("drnas_kl", alphas=alphas).item()
    assert found == pytest.approx(whole, abs=1e-12)
    assert abs(found - sampled) < 5 * math.sqrt(variance)
    assert at("drnas_kl", alphas=torch.zeros(RAGGED.shape)).item() == pytest.approx(0, abs=1e-6)


def test_the_anchor_of_the_divergence_is_the_flat_distribution():
    """C68: two options of concentration 2: ln 6 - 5/3; any number of concentration 1: zero."""
    two = kl_divergence(Dirichlet(torch.tensor([2.0, 2.0])), Dirichlet(torch.ones(2))).item()
    assert two == pytest.approx(math.log(6) - 5 / 3, abs=1e-6)
    ones = torch.ones(RAGGED.shape, dtype=torch.float64)  # elu(1) + 1 = 2
    flat = torch.zeros(RAGGED.shape, dtype=torch.float64)
    # Rows of two, three and two options: only those of two have this value.
    three = kl_divergence(Dirichlet(torch.full((3,), 2.0)), Dirichlet(torch.ones(3))).item()
    found = at("drnas_kl", alphas=ones).item()
    assert found == pytest.approx(2 * (math.log(6) - 5 / 3) + three, abs=1e-6)
    assert at("drnas_kl", alphas=flat).item() == pytest.approx(0, abs=1e-12)


def test_the_norm_has_alpha_as_its_gradient():
    alphas = drawn(3)
    found = at("drnas_l2", alphas=alphas)
    assert found.item() == pytest.approx(
        sum(a * a for row in rows(alphas) for a in row.tolist()) / 2
    )
    grad = slope(found, alphas)
    for i, row in enumerate(rows(alphas)):
        torch.testing.assert_close(grad[i, : len(row)], row.detach())
    assert grad[0, 2] == 0


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_zero_one_pushes_away_from_a_half(norm):
    mix = torch.tensor(
        [[0.2, 0.9, 7.0], [0.5, 0.4, 1.0], [0.0, 0.6, 7.0]], dtype=torch.float64, requires_grad=True
    )
    away = [w - 0.5 for row in rows(mix) for w in row.tolist()]
    far = [a * a if norm == "l2" else abs(a) for a in away]
    found = at("zero_one", mix=mix, weight=10, norm=Word(norm))
    assert found.item() == pytest.approx(-10 * sum(far) / 7, abs=1e-12)
    grad = slope(found, mix)
    # The loss falls as a weight moves away from a half, and padding does not matter.
    assert grad[0, 0] > 0 > grad[0, 1]
    assert grad[1, 0] == 0
    assert grad[0, 2] == 0
    if norm == "l2":
        assert grad[0, 1].item() == pytest.approx(-10 * 2 * 0.4 / 7)


def test_entropy_and_its_gradient():
    mix = mixed()
    found = at("entropy", mix=mix, weight=2)
    each = [-sum(p * math.log(p) for p in row.tolist()) for row in rows(mix)]
    assert found.item() == pytest.approx(2 * sum(each) / 3, abs=1e-12)
    grad = slope(found, mix)
    for i, row in enumerate(rows(mix)):
        # The row is divided by its sum: d/dp_i = -(log p_i + H) at a sum of one.
        wanted = -2 / 3 * (row.detach().log() + each[i])
        torch.testing.assert_close(grad[i, : len(row)], wanted, rtol=1e-10, atol=1e-12)
    corner = torch.zeros(RAGGED.shape, dtype=torch.float64)
    corner[:, 0] = 1
    assert at("entropy", mix=corner).item() == 0
