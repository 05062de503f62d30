"""Public bug reports about the two optimizers of a search and their schedules."""

from fractions import Fraction

import pytest
import torch
from small_runs import TEXT, copies, equal, inputs, plan, run, search
from torch import nn

from nasdsl import driver
from nasdsl.ir.config import Component, Schedule, Time, value_at
from nasdsl.oneshot import optimizers
from nasdsl.oneshot.arch import ArchParameters
from nasdsl.oneshot.session import Clock
from nasdsl.oneshot.steps.first_order import arch_step, weight_step
from nasdsl.source import Source
from nasdsl.training.data.batches import Stream


@pytest.mark.parametrize("recipe", ["soft", "hard", "drawn"])
def test_each_step_moves_its_own_parameters_and_no_other(recipe):
    """C31: alphas are not among the weights; no weight is among the alphas."""
    task = search(plan(recipe))
    task.session.supernet.train()
    inner = {id(p) for p in task.session.supernet.parameters()}
    outer = {id(p) for p in task.session.arch.parameters()}
    assert not inner & outer
    grouped = [
        {id(p) for group in o.param_groups for p in group["params"]}
        for o in (task.session.weight_optimizer, task.session.arch_optimizer)
    ]
    assert grouped == [inner, outer]

    task.begin(0)
    task.session.clock = task.session.whole = Clock(0, 4, 2)
    alphas, weights = copies(task.session.alphas), copies(task.session.weights)
    weight_step(task.session)
    assert equal(alphas, copies(task.session.alphas))
    assert not equal(weights, copies(task.session.weights))
    alphas, weights = copies(task.session.alphas), copies(task.session.weights)
    arch_step(task.session)
    assert equal(weights, copies(task.session.weights))
    assert not equal(alphas, copies(task.session.alphas))


def test_alphas_are_in_the_state_dict_and_follow_the_module():
    """C32: saved, loaded, and moved to another type with the rest."""
    task = search(plan())
    state = copies(task.session.arch.state_dict())
    other = ArchParameters(
        task.session.supernet.tables,
        Component("normal", (("std", 1.0),)),
        torch.Generator().manual_seed(9),
    )
    assert not equal(state, copies(other.state_dict()))
    other.load_state_dict(state)
    assert equal(copies(task.session.arch.alphas()), copies(other.alphas()))
    other.double()
    assert {a.dtype for a in other.alphas().values()} == {torch.float64}
    assert other.alphas().keys() == task.session.supernet.tables.keys()


def adam(lr, decay, start):
    parameter = nn.Parameter(torch.tensor(start))
    component = Component("adam", (("betas", [Fraction(1, 2), Fraction("0.999")]), ("eps", 1e-8)))
    optimizer = optimizers.build(component, {"alpha": parameter})
    optimizers.set_rates(optimizer, lr, decay)
    return parameter, optimizer


def test_a_zero_gradient_still_decays_and_keeps_its_momentum():
    """C35: the reference behaviour of Adam, as the paper's optimizer has it."""
    alpha, optimizer = adam(3e-4, 1e-3, [1.0, 1.0])
    alpha.grad = torch.zeros(2)
    optimizer.step()
    assert (alpha - 1).tolist() == pytest.approx([-0.00029999] * 2, abs=1e-8)
    alpha, optimizer = adam(0.1, 0.0, [0.0, 0.0])
    alpha.grad = torch.tensor([1.0, 1.0])
    optimizer.step()
    before = alpha.detach().clone()
    alpha.grad = torch.tensor([0.0, 1.0])
    optimizer.step()
    assert (alpha - before)[0].item() == pytest.approx(-0.04715, abs=1e-5)


def test_no_gradient_is_not_a_zero_gradient():
    """C35: what has no gradient does not move at all."""
    alpha, optimizer = adam(0.1, 1e-3, [1.0, 1.0])
    optimizer.step()
    assert alpha.tolist() == [1.0, 1.0]


def test_a_cosine_has_the_published_learning_rates():
    """C36: 0.025 to 0.001 over 50 epochs, held during an epoch."""
    lr = Schedule("cosine", Fraction("0.025"), Fraction("0.001"), per_epoch=True)
    for epoch, wanted in {0: 0.025, 1: 0.0249763, 25: 0.013, 49: 0.00102368}.items():
        for step in (7 * epoch, 7 * epoch + 6):
            found = value_at(lr, step=step, steps=350, steps_per_epoch=7)
            assert found == pytest.approx(wanted, rel=1e-5)
    steps = Schedule("cosine", Fraction("0.1"), Fraction(0))
    assert value_at(steps, step=0, steps=10, steps_per_epoch=5) == 0.1
    assert value_at(steps, step=9, steps=10, steps_per_epoch=5) == 0


def test_the_learning_rate_of_the_log_is_the_one_that_was_used():
    """C36: the first step has the first rate, and a record names its own epoch's."""
    task = search(plan(epochs=4))
    used = []
    step = task.session.weight_optimizer.step
    task.session.weight_optimizer.step = lambda: (
        used.append(task.session.weight_optimizer.param_groups[0]["lr"]),
        step(),
    )
    records = run(task)
    lr = Schedule("cosine", Fraction("0.025"), Fraction("0.001"), per_epoch=True)
    wanted = [
        value_at(lr, step=n, steps=len(used), steps_per_epoch=task.begin(0))
        for n in range(len(used))
    ]
    assert used == wanted
    assert used[0] == 0.025
    assert [r["lr"] for r in records] == used[task.begin(0) - 1 :: task.begin(0)]


WARM = TEXT + "recipe warm extends base.darts {\n  epochs = %d\n  batch = 8\n  arch.start = %d\n}\n"


@pytest.mark.parametrize(("epochs", "start", "warned"), [(10, 15, 1), (15, 15, 1), (16, 15, 0)])
def test_a_warm_up_as_long_as_the_run_is_warned_of(epochs, start, warned):
    """C37: the cell of the random initialisation would be exported."""
    loaded = driver.load(Source.of("warm.nas", WARM % (epochs, start)))
    assert [w.code for w in loaded.warnings] == ["W501"] * warned


def test_no_validation_batch_is_drawn_during_the_warm_up():
    """C37: with three epochs and a start of two, only the last one moves alphas."""
    task = search(plan("warm", text=WARM % (3, 2)))
    alphas = copies(task.session.alphas)
    run(task, 2 * task.begin(0))
    assert equal(alphas, copies(task.session.alphas))
    assert task.valid.state() == (0, 0)
    assert not task.session.arch_optimizer.state
    run(task, 2 * task.begin(0) + 1, first=2 * task.begin(0))
    assert not equal(alphas, copies(task.session.alphas))
    assert task.valid.state() == (0, 1)


def test_validation_goes_on_where_it_was():
    """C38: five batches of two cover ten images once; the sixth begins a new pass."""
    given = inputs(10, classes=10)
    stream = Stream(given.train, range(10), batch_size=2, seed=0, name="search.valid")
    passes = [[stream.next_batch()[1].tolist() for _ in range(5)] for _ in range(2)]
    for batches in passes:
        assert sorted(i for batch in batches for i in batch) == list(range(10))
    assert passes[0] != passes[1]


@pytest.mark.parametrize("recipe", ["soft", "hard", "drawn"])
def test_a_search_sees_every_validation_image_once_a_pass(recipe, monkeypatch):
    """C38: whatever the sampler; 16 images, batch 8, two epochs of two steps."""
    task = search(plan(recipe))
    taken = []
    draw = task.session.next_valid
    monkeypatch.setattr(task.session, "next_valid", lambda: taken.append(draw()) or taken[-1])
    run(task)
    assert len(taken) == 4
    pixels = task.inputs.train.take(torch.from_numpy(task.inputs.parts.search_valid.copy()))[0]
    for half in (taken[:2], taken[2:]):
        seen = torch.cat([x for x, _ in half])
        matches = (seen[:, None] == pixels[None]).flatten(2).all(2)
        assert matches.sum(0).tolist() == [1] * 16


def test_relative_times_count_from_the_run_they_stand_in():
    """C37: `start = 25%` of eight epochs is epoch two."""
    assert Time(Fraction(1, 4), True).epochs(8) == 2
    assert Time(Fraction(15), False).epochs(8) == 15
