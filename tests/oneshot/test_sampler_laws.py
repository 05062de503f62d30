"""Samplers against closed forms and large samples."""

import math

import pytest
import torch
from torch.distributions import Dirichlet as Reference
from torch.nn import functional as F

from nasdsl.codegen.supernet import Table
from nasdsl.ir.config import Component
from nasdsl.oneshot.arch import ArchParameters
from nasdsl.oneshot.samplers.dirichlet import Dirichlet, concentration
from nasdsl.oneshot.samplers.gumbel import Gumbel, gumbel_noise, gumbel_softmax
from nasdsl.oneshot.samplers.sample import picks
from nasdsl.oneshot.samplers.sigmoid import Sigmoid
from nasdsl.oneshot.samplers.softmax import Softmax
from nasdsl.oneshot.samplers.table import SAMPLERS

RAGGED = Table("t", ("d", "e", "f", "g"), (("a", "b"), ("a", "b", "c", "d"), ("a",), ("a", "b")))
SQUARE = Table("t", ("d", "e"), (("a", "b", "c"), ("a", "b", "c")))
EVERY = {
    "softmax": Softmax(),
    "sigmoid": Sigmoid(),
    "gumbel": Gumbel(0.7),
    "hard": Gumbel(0.7, hard=True),
    "dirichlet": Dirichlet(),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def alphas_for(table, seed=0, dtype=torch.float64):
    return torch.randn(table.shape, generator=generator(seed), dtype=dtype)


def sample(sampler, alpha, table, draws=None):
    made = sampler.sample({"t": alpha}, {"t": table}, draws or generator(), float)
    return made.mix["t"]


def test_softmax_and_sigmoid_are_exact():
    alpha = torch.tensor([[0.0, math.log(2), math.log(5)], [3.0, 3.0, 3.0]], dtype=torch.float64)
    mix = sample(Softmax(), alpha, SQUARE)
    torch.testing.assert_close(mix[0], torch.tensor([1, 2, 5], dtype=torch.float64) / 8)
    torch.testing.assert_close(mix[1], torch.full((3,), 1 / 3, dtype=torch.float64))
    mix = sample(Sigmoid(), alpha, SQUARE)
    wanted = torch.tensor([1 / 2, 2 / 3, 5 / 6], dtype=torch.float64)
    torch.testing.assert_close(mix[0], wanted)


@pytest.mark.parametrize("name", EVERY)
def test_padding_weighs_nothing_and_gets_no_gradient(name):
    """Rows of 2, 4, 1 and 2 options in a table of four columns."""
    alpha = alphas_for(RAGGED)
    for i, width in enumerate(RAGGED.widths):
        alpha[i, width:] = 1e6  # nothing may read it
    alpha.requires_grad_(True)
    mask = RAGGED.mask()
    for mix in (
        sample(EVERY[name], alpha, RAGGED),
        EVERY[name].expected({"t": alpha}, {"t": RAGGED})["t"],
    ):
        assert mix.shape == RAGGED.shape
        assert not mix[~mask].any()
        if name != "sigmoid":
            torch.testing.assert_close(mix.sum(1), torch.ones(4, dtype=torch.float64))
        factors = torch.randn(mix.shape, generator=generator(3), dtype=torch.float64)
        (grad,) = torch.autograd.grad((mix * factors).sum(), alpha)
        assert grad.isfinite().all()
        assert not grad[~mask].any()
        assert (grad[mask] != 0).sum() >= (4 if name != "sigmoid" else 9)


@pytest.mark.parametrize("name", ["softmax", "sigmoid"])
def test_a_ragged_table_is_its_rows_one_by_one(name):
    alpha = alphas_for(RAGGED)
    mix = sample(EVERY[name], alpha, RAGGED)
    f = torch.sigmoid if name == "sigmoid" else lambda a: F.softmax(a, dim=-1)
    for i, width in enumerate(RAGGED.widths):
        torch.testing.assert_close(mix[i, :width], f(alpha[i, :width]))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("table", [SQUARE, RAGGED], ids=["square", "ragged"])
def test_sampling_changes_no_alpha_and_repeats_with_its_generator(name, table):
    alpha = alphas_for(table, dtype=torch.float32).requires_grad_(True)
    before = alpha.detach().clone()
    draws = generator(7)
    state = draws.get_state()
    torch.manual_seed(1)
    first = sample(EVERY[name], alpha, table, draws)
    later = sample(EVERY[name], alpha, table, draws)
    draws.set_state(state)
    torch.manual_seed(2)
    again = sample(EVERY[name], alpha, table, draws)
    assert torch.equal(first, again)
    assert torch.equal(alpha.detach(), before)
    if name in ("gumbel", "dirichlet"):
        assert not torch.equal(first, later)


@pytest.mark.parametrize("name", EVERY)
def test_sampling_leaves_the_global_generator_alone(name):
    alpha = alphas_for(SQUARE)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    sample(EVERY[name], alpha, SQUARE)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("name", ["gumbel", "hard", "dirichlet"])
def test_the_expected_mix_uses_no_noise(name):
    alpha = alphas_for(RAGGED)
    found = [EVERY[name].expected({"t": alpha}, {"t": RAGGED})["t"] for _ in range(2)]
    assert torch.equal(*found)
    if name != "dirichlet":
        torch.testing.assert_close(found[0], sample(Softmax(), alpha, RAGGED))


# ---- Gumbel


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tau", [0.01, 0.5, 1.0, 10.0])
def test_a_hard_sample_is_one_hot_to_the_last_bit(dtype, tau):
    alpha = torch.randn(500, 6, generator=generator(), dtype=dtype) * 5
    noise = gumbel_noise(alpha, generator(1))
    h = gumbel_softmax(alpha.requires_grad_(True), noise, tau, True)
    assert set(h.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(h.sum(1), torch.ones(500, dtype=dtype))
    # The picked one is that of the noisy logits: sampling from softmax(alpha) exactly.
    assert torch.equal(h.argmax(1), (alpha + noise).argmax(1))


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("tau", [0.5, 1.0, 4.0])
def test_the_gradient_of_a_sample_is_the_closed_form(hard, tau):
    """d p_i / d alpha_j = p_i (delta_ij - p_j) / tau, with and without the one-hot value."""
    alpha = alphas_for(SQUARE).requires_grad_(True)
    noise = gumbel_noise(alpha, generator(1))
    factors = torch.randn(SQUARE.shape, generator=generator(2), dtype=torch.float64)
    h = gumbel_softmax(alpha, noise, tau, hard)
    (grad,) = torch.autograd.grad((h * factors).sum(), alpha)
    p = F.softmax((alpha.detach() + noise) / tau, dim=-1)
    wanted = p * (factors - (p * factors).sum(1, keepdim=True)) / tau
    torch.testing.assert_close(grad, wanted, rtol=1e-10, atol=1e-12)


N = 20_000


def many(alpha_K, count=N):
    """The row many times over: as many independent draws."""
    alpha = alpha_K.expand(count, -1).clone()
    return alpha, Table("t", ("d",) * count, (("a",) * len(alpha_K),) * count)


def test_gumbel_noise_has_the_mean_and_variance_of_its_law():
    noise = gumbel_noise(torch.zeros(200_000, dtype=torch.float64), generator())
    assert noise.isfinite().all()
    assert noise.mean().item() == pytest.approx(0.5772156649, abs=5 * 1.2825 / math.sqrt(200_000))
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, rel=0.03)


@pytest.mark.parametrize("tau", [0.1, 1.0, 5.0])
def test_the_largest_weight_falls_as_often_as_softmax_says(tau):
    row = torch.tensor([0.3, -1.0, 1.2, 0.0], dtype=torch.float64)
    alpha, table = many(row)
    p = F.softmax(row, dim=0)
    for sampler in (Gumbel(tau), Gumbel(tau, hard=True)):
        mix = sample(sampler, alpha, table, generator(11))
        share = F.one_hot(mix.argmax(1), 4).double().mean(0)
        assert ((share - p).abs() < 4.5 * (p * (1 - p) / N).sqrt()).all()


def test_the_mean_of_soft_samples_is_softmax_when_cold_and_uniform_when_hot():
    row = torch.tensor([0.3, -1.0, 1.2, 0.0], dtype=torch.float64)
    alpha, table = many(row)
    cold = sample(Gumbel(0.02), alpha, table, generator(4))
    error = cold.std(0) / math.sqrt(N)
    # At 0.02 a sample is nearly one-hot; what remains is a bias of the order of tau.
    assert ((cold.mean(0) - F.softmax(row, dim=0)).abs() < 4.5 * error + 0.005).all()
    hot = sample(Gumbel(500.0), alpha, table, generator(4))
    assert (hot - 0.25).abs().max() < 0.02


def test_two_options_at_temperature_one_are_uniform_on_average():
    """With equal logits the relaxed weight is uniform on (0, 1): a logistic variable squashed."""
    alpha, table = many(torch.zeros(2, dtype=torch.float64))
    mix = sample(Gumbel(1.0), alpha, table, generator(2))[:, 0].sort().values
    grid = (torch.arange(N, dtype=torch.float64) + 0.5) / N
    assert (mix - grid).abs().max() < 1.95 / math.sqrt(N)  # Kolmogorov, 0.1 %


def test_rows_are_drawn_independently():
    alpha, table = many(torch.zeros(2, dtype=torch.float64))
    mix = sample(Gumbel(1.0), alpha, table, generator(2))[:, 0]
    pairs = torch.corrcoef(torch.stack([mix[:-1], mix[1:]]))[0, 1]
    assert abs(pairs.item()) < 4.5 / math.sqrt(N)


def test_a_temperature_comes_from_the_schedule():
    alpha = alphas_for(SQUARE)
    tables = {"t": SQUARE}
    sampler = SAMPLERS["gumbel"](Component("gumbel", (("tau", "later"), ("hard", False))))
    made = sampler.sample({"t": alpha}, tables, generator(), lambda v: {"later": 2.5}[v])
    wanted = gumbel_softmax(alpha, gumbel_noise(alpha, generator()), 2.5, False)
    torch.testing.assert_close(made.mix["t"], wanted)


def test_only_hard_samplers_pick():
    alpha = alphas_for(RAGGED)
    for name, sampler in EVERY.items():
        made = sampler.sample({"t": alpha}, {"t": RAGGED}, generator(), float)
        assert (made.pick is not None) == (name == "hard") == sampler.one_hot
    assert made.mix.keys() == {"t"}
    made = EVERY["hard"].sample({"t": alpha}, {"t": RAGGED}, generator(), float)
    assert made.pick["t"] == made.mix["t"].argmax(1).tolist()
    assert all(p < w for p, w in zip(made.pick["t"], RAGGED.widths, strict=True))


def test_picks_of_several_tables_stay_apart_and_nan_is_an_error():
    mix = {"a": torch.eye(3)[[2, 0]], "b": torch.eye(4)[[3, 1, 1]]}
    assert picks(mix) == {"a": [2, 0], "b": [3, 1, 1]}
    for name in mix:
        broken = {k: v.clone() for k, v in mix.items()}
        broken[name][1, 0] = float("nan")
        with pytest.raises(ValueError, match="NaN"):
            picks(broken)


# ---- Dirichlet


def test_mean_and_variance_of_dirichlet_weights_are_those_of_the_closed_form():
    row = torch.tensor([0.5, -0.7, 0.0, 1.5], dtype=torch.float64)
    c = torch.where(row > 0, row + 1, row.exp())
    torch.testing.assert_close(concentration(row), c)
    total = c.sum()
    mean = c / total
    variance = mean * (1 - mean) / (total + 1)
    alpha, table = many(row)
    mix = sample(Dirichlet(), alpha, table, generator(1))
    assert (mix >= 0).all()
    torch.testing.assert_close(mix.sum(1), torch.ones(N, dtype=torch.float64))
    assert ((mix.mean(0) - mean).abs() < 4.5 * (variance / N).sqrt()).all()
    torch.testing.assert_close(mix.var(0), variance, rtol=0.06, atol=0)
    covariance = torch.cov(mix.T)
    wanted = -mean[0] * mean[3] / (total + 1)
    assert covariance[0, 3].item() == pytest.approx(wanted.item(), rel=0.15)
    expected = Dirichlet().expected({"t": alpha[:2]}, {"t": many(row, 2)[1]})["t"]
    torch.testing.assert_close(expected, mean.expand(2, -1))


def test_the_gradient_of_dirichlet_weights_is_that_of_torch_distributions():
    """One draw under one seed: the sampler borrows the global generator for it."""
    alpha = alphas_for(SQUARE).requires_grad_(True)
    factors = torch.randn(SQUARE.shape, generator=generator(2), dtype=torch.float64)
    mix = sample(Dirichlet(), alpha, SQUARE, generator(9))
    (grad,) = torch.autograd.grad((mix * factors).sum(), alpha)
    seed = int(torch.randint(2**31, (), generator=generator(9)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        other = Reference(F.elu(alpha) + 1).rsample()
    (wanted,) = torch.autograd.grad((other * factors).sum(), alpha)
    assert torch.equal(mix, other)
    torch.testing.assert_close(grad, wanted)


def test_the_mean_gradient_is_the_gradient_of_the_mean():
    """Reparameterised: averaged over draws it is the derivative of c / sum(c), and of squares."""
    row = torch.tensor([0.5, -0.7, 1.5], dtype=torch.float64)
    alpha, table = many(row)
    alpha.requires_grad_(True)
    factors = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    mix = sample(Dirichlet(), alpha, table, generator(3))
    for power in (1, 2):
        (grads,) = torch.autograd.grad((mix**power * factors).sum(), alpha, retain_graph=True)
        exact = row.clone().requires_grad_(True)
        c = F.elu(exact) + 1
        total = c.sum()
        moment = c / total if power == 1 else c * (c + 1) / (total * (total + 1))
        (wanted,) = torch.autograd.grad((moment * factors).sum(), exact)
        error = grads.std(0) / math.sqrt(N)
        assert ((grads.mean(0) - wanted).abs() < 4.5 * error).all()


# ---- the parameters themselves


def test_alphas_start_where_the_recipe_says():
    tables = {"a": RAGGED, "b": many(torch.zeros(50), 400)[1]}
    zero = ArchParameters(tables, None, generator())
    assert all(not a.any() for a in zero.alphas().values())
    normal = Component("normal", (("std", 1e-3),))
    one, two = (ArchParameters(tables, normal, generator(4)) for _ in range(2))
    for name in tables:
        assert torch.equal(one.alphas()[name], two.alphas()[name])
    values = one.alphas()["b"].detach()
    assert values.std().item() == pytest.approx(1e-3, rel=0.02)
    assert abs(values.mean().item()) < 4.5e-3 / math.sqrt(values.numel())
    assert not any(a.requires_grad for a in one.detached().values())


def test_tables_with_dots_in_their_names_are_parameters_too():
    name = "normal@body[1].round[2]"
    made = ArchParameters({name: SQUARE}, None, generator())
    assert list(made.alphas()) == [name]
    assert len(list(made.parameters())) == 1
    made.load_state_dict(made.state_dict())


def test_compose_is_one_sampler_behind_the_other():
    """The mix of the first is the logits of the next; the last says whether a path is picked."""
    made = SAMPLERS["compose"](
        Component("compose", (("0", Component("dirichlet")), ("1", Component("softmax"))))
    )
    alpha = alphas_for(RAGGED).requires_grad_()
    drawn = sample(Dirichlet(), alpha, RAGGED, generator(3))
    wanted = torch.zeros_like(drawn)
    for i, width in enumerate(RAGGED.widths):
        wanted[i, :width] = drawn[i, :width].softmax(0)
    found = sample(made, alpha, RAGGED, generator(3))
    assert torch.equal(found, wanted)
    weights = alphas_for(RAGGED, seed=9)
    (own,) = torch.autograd.grad((found * weights).sum(), alpha, retain_graph=True)
    (theirs,) = torch.autograd.grad((wanted * weights).sum(), alpha)
    torch.testing.assert_close(own, theirs)
    c = concentration(alpha.detach()[:1, :2])
    mean = made.expected({"t": alpha.detach()}, {"t": RAGGED})["t"][:1, :2]
    torch.testing.assert_close(mean, (c / c.sum()).softmax(-1))
    assert not made.one_hot
    hard = Component("gumbel", (("tau", 1), ("hard", True)))
    last = SAMPLERS["compose"](Component("compose", (("0", Component("softmax")), ("1", hard))))
    assert last.one_hot
    mix = last.sample({"t": alpha}, {"t": RAGGED}, generator(), float)
    assert mix.pick["t"] == mix.mix["t"].argmax(dim=1).tolist()
