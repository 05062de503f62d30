"""Public bug reports about samplers and what they do to a search."""

import math
from dataclasses import replace

import pytest
import torch
from small_runs import copies, equal, plan, run, search
from spaces_for_tests import bundled_space, images, space_of
from torch import nn
from torch.nn import functional as F

from nasdsl.codegen.supernet import Supernet, Table, tables_of
from nasdsl.diagnostics.model import CompileError
from nasdsl.oneshot.samplers.dirichlet import Dirichlet, concentration
from nasdsl.oneshot.samplers.gumbel import Gumbel, gumbel_softmax
from nasdsl.oneshot.samplers.softmax import Softmax

TABLE = {"t": Table("t", ("d",), (("a", "b"),))}


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("hard", [False, True])
def test_a_temperature_that_is_not_positive_is_an_error(tau, hard):
    """C61: never NaN weights."""
    with pytest.raises(ValueError, match="temperature"):
        gumbel_softmax(torch.zeros(1, 3), torch.zeros(1, 3), tau, hard)


def test_the_temperature_reaches_the_softmax():
    """C61: 10 flattens, 0.1 sharpens."""
    alpha = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64)
    flat = gumbel_softmax(alpha, torch.zeros(1, 3), 10.0, False)
    sharp = gumbel_softmax(alpha, torch.zeros(1, 3), 0.1, False)
    assert flat[0].tolist() == pytest.approx([0.3006, 0.3322, 0.3672], abs=1e-4)
    assert sharp[0].tolist() == pytest.approx([0.0, 0.0000454, 0.99995], abs=1e-5)


def test_the_temperature_of_a_search_falls_from_step_to_step():
    """C61: a scheduled temperature is read at every step."""
    task = search(plan("hard"))
    seen = []

    class Spy(Gumbel):
        def sample(self, alphas, tables, generator, schedule):
            seen.append(schedule(self.tau))
            return super().sample(alphas, tables, generator, schedule)

    used = task.session.parts.sampler
    task.session.parts = replace(task.session.parts, sampler=Spy(used.tau, used.hard))
    run(task)
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == 10
    assert seen[-1] == pytest.approx(0.1)
    assert len(set(seen)) == len(seen) / 2  # one for the alphas, one for the weights


def test_nan_alphas_stop_a_hard_sampler_at_once():
    """C62: no loop that waits for a better draw."""
    task = search(plan("hard"))
    with torch.no_grad():
        for alpha in task.session.alphas.values():
            alpha.fill_(math.nan)
    with pytest.raises(ValueError, match="NaN"):
        run(task, 1)


def test_a_list_of_none_alone_is_refused():
    """C62: there is nothing to draw."""
    with pytest.raises(CompileError):
        space_of(
            "nas 1\nspace s {\n  cell c {\n    in a\n    node x\n"
            "    edge a -> x : one_of {none}\n    out x\n  }\n  width = 3\n"
            "  input image(3, 8, 8)\n  stage c\n  head global_avg_pool >> linear(2)\n}\n",
            "s",
        )


def test_straight_through_has_a_one_hot_value_and_the_soft_gradient():
    """C63: logits [0, ln 3]; loss 2 h0 + 5 h1; gradient -0.5625, +0.5625."""
    alpha = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64, requires_grad=True)
    h = gumbel_softmax(alpha, torch.zeros(1, 2), 1.0, True)
    assert h[0].tolist() == [0.0, 1.0]
    (2 * h[0, 0] + 5 * h[0, 1]).backward()
    assert alpha.grad[0].tolist() == pytest.approx([-0.5625, 0.5625], abs=1e-12)


def test_only_the_sampled_operation_runs_and_every_alpha_gets_a_gradient():
    """C63: one path forward, all options backward."""
    task = search(plan("hard"))
    ran = []
    for name, module in task.session.supernet.graph.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, i, o, n=name: ran.append(n))
    alphas = task.session.arch.alphas()
    sample = task.session.parts.sampler.sample(
        alphas, task.session.supernet.tables, task.noise, lambda v: 1.0
    )
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    logits = task.session.supernet(x, sample.mix, sample.pick)
    for slot in task.session.supernet.slots:
        table = task.session.supernet.tables[slot.table]
        for row, decision in enumerate(table.decisions):
            edge = decision.split("/")[1].replace("x[1]<-", "x1_")
            label = table.labels[row][sample.pick[slot.table][row]]
            here = {n.split(".")[2] for n in ran if n.startswith(f"{slot.instance}.{edge}.")}
            assert here <= {label}
    F.cross_entropy(logits, torch.arange(4)).backward()
    assert all(a.grad is not None and (a.grad != 0).any() for a in task.session.arch.parameters())


def test_cells_of_one_kind_share_their_alphas():
    """C64: eight cells, two tables of 14 x 8; one value changes all six normal cells."""
    space = bundled_space("darts.nas", "darts", C=4)
    with torch.device("meta"):
        net = Supernet(space)
    assert {n: t.shape for n, t in net.tables.items()} == {"normal": (14, 8), "reduce": (14, 8)}
    mix = {n: torch.rand(t.shape) for n, t in net.tables.items()}
    spread = net.spread(mix)
    assert len(spread) == 8
    assert sum(v is mix["normal"] for v in spread.values()) == 6
    assert sum(v is mix["reduce"] for v in spread.values()) == 2


def test_cells_have_alphas_of_their_own_only_where_the_text_says_so():
    """C64: `fresh` gives eight tables, 896 numbers."""
    text = """nas 1
from "darts.nas" import darts
space own extends darts {
  repeat layers {
    stage fresh normal
    stage fresh reduce at [1/3, 2/3]
  }
}
"""
    tables = tables_of(space_of(text, "own", C=4))
    assert [t.shape for t in tables.values()] == [(14, 8)] * 8


def test_equal_alphas_mix_to_the_mean():
    """C65: eight operations that give 1 to 8 mix to 4.5, not to 0."""
    ops = "\n".join(f"  k{i} = conv(1, bias = true)" for i in range(1, 9))
    text = (
        f"nas 1\nops eight {{\n{ops}\n}}\nspace s {{\n  cell c {{\n    in a\n    node x\n"
        "    edge a -> x : one_of eight\n    out x\n  }\n  width = 3\n  input image(3, 4, 4)\n"
        "  stage c\n  head global_avg_pool >> linear(2)\n}\n"
    )
    net = Supernet(space_of(text, "s"))
    for name, module in net.graph.named_modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            nn.init.constant_(module.bias, float(name.split(".k")[1][0]))
    seen = []
    last = next(m for m in net.modules() if isinstance(m, nn.Linear))
    last.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    alphas = {n: torch.zeros(t.shape) for n, t in net.tables.items()}
    sample = Softmax().sample(alphas, net.tables, torch.Generator(), float)
    net(torch.randn(2, 3, 4, 4), sample.mix)
    torch.testing.assert_close(seen[0], torch.full((2, 3), 4.5))


@pytest.mark.parametrize("recipe", ["drawn", "hard", "relaxed"])
def test_sampling_leaves_the_learned_alphas_alone(recipe):
    """C66: three samples differ, the parameters do not move by a bit."""
    task = search(plan(recipe))
    before = copies(task.session.alphas)
    samples = [
        task.session.parts.sampler.sample(
            task.session.arch.alphas(), task.session.supernet.tables, task.noise, lambda v: 1.0
        )
        for _ in range(8)
    ]
    assert equal(before, copies(task.session.alphas))
    assert len({tuple(s.mix["normal"].flatten().tolist()) for s in samples}) > 1
    if recipe != "hard":
        assert len({tuple(s.mix["normal"].flatten().tolist()) for s in samples}) == 8


def test_a_search_draws_anew_at_every_step():
    """C66: for the alphas and for the weights, at each step."""
    task = search(plan("drawn"))
    mixes = []

    class Spy(Dirichlet):
        def sample(self, *args):
            sample = super().sample(*args)
            mixes.append(sample.mix["normal"].detach().clone())
            return sample

    task.session.parts = replace(task.session.parts, sampler=Spy())
    run(task, 3)
    assert len({tuple(m.flatten().tolist()) for m in mixes}) == 6


@pytest.mark.parametrize("alpha", [[-20.0, -20.0], [-100.0, 0.0], [-1e6, -1e6], [50.0, -50.0]])
def test_a_vanishing_concentration_still_gives_a_sample(alpha):
    """C67: elu(x) + 1 is exactly 0 in float32 below about -17."""
    values = torch.tensor([alpha], requires_grad=True)
    assert (concentration(values) > 0).all()
    mix = Dirichlet().sample({"t": values}, TABLE, torch.Generator().manual_seed(0), float).mix["t"]
    assert mix.isfinite().all()
    assert mix.sum().item() == pytest.approx(1, abs=1e-5)
    mix[0, 0].backward()
    assert values.grad.isfinite().all()
    expected = Dirichlet().expected({"t": values}, TABLE)["t"]
    assert expected.sum().item() == pytest.approx(1, abs=1e-6)


def test_concentrations_have_the_published_values():
    """C67: 1, 0.367879 and 3 at 0, -1 and 2."""
    found = concentration(torch.tensor([0.0, -1.0, 2.0]))
    assert found.tolist() == pytest.approx([1.0, 0.367879, 3.0], abs=1e-6)


def test_nasbench201_shares_one_table():
    """C64: one cell, one table of 6 x 5, read by every instance."""
    space = bundled_space("nasbench201.nas", "nasbench201", C=4, n=2, data=images(3, 8, 10))
    with torch.device("meta"):
        net = Supernet(space)
    assert {n: t.shape for n, t in net.tables.items()} == {"c": (6, 5)}
    assert len(net.slots) == 6
