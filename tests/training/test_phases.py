"""Searches whose supernet is edited: phases, carried weights, resumption."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "regressions"))

from small_runs import TEXT, copies, equal_states, inputs, plan  # noqa: E402

from nasdsl.ir import cost  # noqa: E402
from nasdsl.oneshot import carry  # noqa: E402
from nasdsl.ops.edits import Dropped, Scaled  # noqa: E402
from nasdsl.training.run import check_fit  # noqa: E402
from nasdsl.training.search import Search  # noqa: E402

RECIPES = """
import "recipes/supernet_edits.nas" as edits
import "recipes/progressive.nas" as progressive

recipe pc extends edits.pc_darts {
  epochs = 2
  batch  = 8
  arch.start = 0
}
recipe minus extends edits.darts_minus {
  epochs = 2
  batch  = 8
}
recipe deeper extends progressive.p_darts {
  batch  = 8
  select = argmax(limit = {skip_connect: 0}, cells = {normal})
  phase shallow {
    epochs         = 1
    network.layers = 3
    arch.start     = 0
  }
  phase middle extends shallow {
    network.layers = 4
    prune          = top(3)
  }
  phase deep extends shallow {
    network.layers = 5
    prune          = top(2)
  }
}
recipe wider extends progressive.drnas_progressive {
  batch          = 8
  network.C      = 12
  network.layers = 3
  phase narrow {
    epochs     = 1
    arch.start = 0
  }
  phase wide extends narrow {
    partial = channels(1/3)
    prune   = top(2)
  }
}
recipe shrinking extends base.darts {
  epochs = 2
  batch  = 8
  prune  = steps({1: drop(50%)})
}
recipe drops extends base.darts {
  epochs  = 2
  batch   = 8
  drop_op = {skip_connect: linear(0.8 -> 0.2)}
}
recipe shared extends edits.entangled {
  epochs = 2
  batch  = 8
  prune  = steps({1: top(3)})
}
recipe low_rank extends edits.lora {
  batch = 8
  phase warm {
    epochs = 1
    arch   = none
  }
  phase adapt {
    epochs = 1
    lora   = adapters(rank = 2)
  }
}
recipe toggled extends base.darts {
  epochs = 3
  batch  = 8
  lora   = adapters(rank = 2, on = steps({0: false, 1: true, 2: false}))
  prune  = steps({1: top(3)})
}
recipe alphas_alone extends base.darts {
  batch = 8
  phase one {
    epochs = 1
  }
  phase two {
    epochs = 1
    carry  = {arch}
  }
}
recipe everything extends alphas_alone {
  phase two {
    epochs = 1
    carry  = {weights, arch}
  }
}
recipe nothing extends alphas_alone {
  phase two {
    epochs = 1
    carry  = none
  }
}
"""
#: `bench` has no depth and no width that a recipe sets.
EVERYWHERE = ("pc", "minus", "shrinking", "drops", "everything", "low_rank", "toggled")
CASES = [
    *(("tiny", r) for r in (*EVERYWHERE, "deeper", "wider", "alphas_alone", "nothing")),
    *(("bench", r) for r in (*EVERYWHERE, "shared")),
]


def made(recipe, space="tiny"):
    return plan(recipe, text=TEXT + RECIPES, space=space)


def task_of(found):
    return Search(
        found.space(),
        found.recipe,
        inputs(),
        seed=0,
        device="cpu",
        space_of=lambda network: found.space(network=network),
    )


def go(task, first=(0, 0), stop=None):
    """Run a search from an epoch and step on; the state before step `stop`."""
    kept = None
    for epoch in range(first[0], task.epochs):
        for k in range(task.begin(epoch)):
            if (epoch, k) < first:
                continue
            if (epoch, k) == stop:
                tensors, values = task.state()
                kept = {a: copies(b) for a, b in tensors.items()}, values
            task.step(epoch, k)
        task.epoch_record(epoch)
    return kept


@pytest.mark.parametrize(("space", "recipe"), CASES)
def test_a_search_ends_and_resumes_bit_for_bit(space, recipe):
    found = made(recipe, space)
    check_fit(found, inputs())
    whole = task_of(found)
    stop = (whole.epochs - 1, 1)
    kept = go(whole, stop=stop)
    other = task_of(found)
    other.restore(*kept)
    go(other, first=stop)
    assert equal_states(whole, other)
    assert whole.result() == other.result()
    # The result is an architecture of the space that is retrained.
    found.space(whole.genotype())


def test_each_phase_has_its_own_space():
    task = task_of(made("deeper"))
    layers, options = [], []
    for epoch in range(3):
        task.begin(epoch)
        layers.append(sum(1 for _ in task.session.space.supernet.cells()))
        options.append({len(d.labels) for d in task.session.space.decisions})
        task.step(epoch, 0)
    assert layers == [3, 4, 5]
    assert options == [{4}, {3}, {2}]


@pytest.mark.parametrize(
    ("recipe", "weights", "arch"),
    [("everything", True, True), ("alphas_alone", False, True), ("nothing", False, False)],
)
def test_what_a_phase_carries(recipe, weights, arch):
    task = task_of(made(recipe))
    for k in range(task.begin(0)):
        task.step(0, k)
    before = copies(task.session.supernet.state_dict())
    alphas = copies(task.session.arch.alphas())
    momentum = task.session.weight_optimizer
    task.begin(1)
    after = task.session.supernet.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before) is weights
    now = task.session.arch.alphas()
    assert all(torch.equal(alphas[n], now[n]) for n in alphas) is arch
    assert task.session.weight_optimizer is not momentum
    assert bool(task.session.weight_optimizer.state) is weights
    assert bool(task.session.arch_optimizer.state) is arch


def test_pruned_options_cost_nothing():
    task = task_of(made("shrinking"))
    before = cost.of_network(task.session.space.supernet).params
    go(task)
    assert {len(d.labels) for d in task.session.space.decisions} == {2}
    after = sum(p.numel() for p in task.session.weights.values())
    assert cost.of_network(task.session.space.supernet).params < before
    assert after == cost.of_network(task.session.space.supernet).params


def test_a_wider_operation_keeps_what_it_did_on_its_first_channels():
    task = task_of(made("wider"))
    for k in range(task.begin(0)):
        task.step(0, k)
    old = task.session.supernet
    task.begin(1)
    new = task.session.supernet
    label = next(n for n, m in new.named_modules() if n.endswith("sep_conv_3x3.dwconv"))
    place = label.rpartition(".")[0]
    names = ("relu", "dwconv", "conv", "bn", "relu_2", "dwconv_2", "conv_2", "bn_2")
    few = old.get_submodule(f"{place}.dwconv").weight.shape[0]
    many = new.get_submodule(f"{place}.dwconv").weight.shape[0]
    assert few < many
    x = torch.randn(4, many, 8, 8)

    def run(net, x):
        for name in names:
            x = net.get_submodule(f"{place}.{name}")(x)
        return x

    torch.testing.assert_close(run(new, x)[:, :few], run(old, x[:, :few]))
    assert "fresh" not in task.fresh or task.fresh["fresh"] == len(
        [n for n in new.state_dict() if n not in old.state_dict()]
    )


def test_schedules_of_edits_run_over_their_block():
    task, values = task_of(made("minus")), []
    for epoch in range(2):
        for k in range(task.begin(epoch)):
            task.step(epoch, k)
            values.append({m.by for m in task.session.supernet.modules() if isinstance(m, Scaled)})
    total = len(values)
    assert values == [{1 - i / (total - 1)} for i in range(total)]
    task, values = task_of(made("drops")), []
    for epoch in range(2):
        for k in range(task.begin(epoch)):
            task.step(epoch, k)
            (p,) = {m.p for m in task.session.supernet.modules() if isinstance(m, Dropped)}
            values.append(p)
    assert values[0] == pytest.approx(0.8) and values[-1] == pytest.approx(0.2)
    task.result()
    # Dropout rests while the result is measured, and only then.
    assert {m.p for m in task.session.supernet.modules() if isinstance(m, Dropped)} == {values[-1]}


def test_carried_columns_follow_their_labels():
    task = task_of(made("pc"))
    go(task)
    tables = task.session.supernet.tables
    alphas = task.session.arch.detached()
    for name, table in tables.items():
        empty = torch.full(table.shape, -7.0)
        back = carry.columns(empty, table, alphas, tables)
        for row, width in enumerate(table.widths):
            assert torch.equal(back[row, :width], alphas[name][row, :width])
            assert (back[row, width:] == -7).all()
