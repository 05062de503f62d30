"""Pruned spaces are sound, and a search goes on exactly where options are taken out of it."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "oneshot"))

from small_runs import equal_states, plan, search  # noqa: E402
from small_search import recipe, small, steps  # noqa: E402

from nasdsl.ir import cost  # noqa: E402
from nasdsl.ir.verify import verify  # noqa: E402
from nasdsl.oneshot.parts import Verdict  # noqa: E402
from nasdsl.passes.prune import PruneError, prune  # noqa: E402


def identities(space):
    return [d.id for d in space.decisions]


def keep_of(space):
    """Two decisions, by what the space calls them."""
    first, last = space.decisions[1].id, space.decisions[-1].id
    return {first: ("none", "sep_conv_3x3"), last: ("skip_connect",)}


@pytest.mark.parametrize("name", ["tiny", "bench"])
def test_a_pruned_space_is_sound_and_costs_less(name):
    space = plan(space=name).space()
    first = space.decisions[0]
    keep = {first.id: first.labels[:2]}
    pruned = prune(space, keep)
    assert verify(space) == [] and verify(pruned) == []
    assert pruned.decision(first.id).labels == first.labels[:2]
    assert cost.of_network(pruned.supernet).params < cost.of_network(space.supernet).params
    assert pruned.size() < space.size()
    assert verify(prune(space, {first.id: first.labels[-1:]})) == []


def test_what_cannot_stay_is_refused():
    space = plan().space()
    first = space.decisions[0].id
    for keep in ({first: ()}, {first: ("nothing",)}, {"nowhere": ("none",)}):
        with pytest.raises(PruneError):
            prune(space, keep)


def test_the_pruned_supernet_computes_what_the_whole_one_does_with_zeros():
    task = small()
    steps(task, 1)
    session = task.session
    keep = keep_of(session.space)
    whole, mix = session.supernet, session.supernet.uniform()
    tables = whole.tables
    for name, table in tables.items():
        for row, (decision, labels) in enumerate(zip(table.decisions, table.labels, strict=True)):
            for k, label in enumerate(labels):
                if label not in keep.get(decision, labels):
                    mix[name][row, k] = 0
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    wanted = whole(x, mix)
    task.rebuild(keep)
    small_net = session.supernet
    cut = {}
    for name, table in small_net.tables.items():
        cut[name] = torch.zeros(table.shape, dtype=torch.float64)
        for row, labels in enumerate(table.labels):
            for k, label in enumerate(labels):
                was = tables[name].labels[row].index(label)
                cut[name][row, k] = mix[name][row, was]
    torch.testing.assert_close(small_net(x, cut), wanted, rtol=1e-12, atol=1e-12)
    assert sum(p.numel() for p in small_net.parameters()) < sum(
        p.numel() for p in whole.parameters()
    )


def test_alphas_and_optimizer_state_keep_their_columns():
    task = small()
    steps(task, 2)
    session = task.session
    before = {n: a.clone() for n, a in session.arch.detached().items()}
    tables = dict(session.supernet.tables)
    moments = {
        n: session.arch_optimizer.state[a]["exp_avg"] for n, a in session.arch.alphas().items()
    }
    momentum = {
        n: session.weight_optimizer.state[p]["momentum_buffer"].clone()
        for n, p in session.weights.items()
        if session.weight_optimizer.state.get(p, {}).get("momentum_buffer") is not None
    }
    task.rebuild(keep_of(session.space))
    for name, table in session.supernet.tables.items():
        alpha = session.arch.alphas()[name]
        held = session.arch_optimizer.state[alpha]
        for row, labels in enumerate(table.labels):
            for k, label in enumerate(labels):
                was = tables[name].labels[row].index(label)
                assert alpha[row, k] == before[name][row, was]
                assert held["exp_avg"][row, k] == moments[name][row, was]
    stayed = [n for n in session.weights if n in momentum]
    assert stayed
    for name in stayed:
        held = session.weight_optimizer.state[session.weights[name]]["momentum_buffer"]
        assert torch.equal(held, momentum[name])


class Once:
    """A rule that takes options out after the first epoch."""

    def after_epoch(self, session, epoch):
        if epoch == 0:
            return Verdict("pruned", keep=tuple(keep_of(session.space).items()))
        return None


def with_rule(task):
    task.session.parts = replace(task.session.parts, stop=Once())
    return task


def test_a_search_goes_on_and_resumes_bit_for_bit():
    made = plan("mine", text=recipe(""))
    task, length = with_rule(search(made)), 2
    for epoch in range(2):
        length = task.begin(epoch)
        for k in range(length):
            task.step(epoch, k)
            if epoch == 1 and k == 0:
                tensors, values = task.state()
                tensors = {a: {n: t.clone() for n, t in b.items()} for a, b in tensors.items()}
        task.epoch_record(epoch)
    other = search(made)
    other.restore(tensors, values)
    for k in range(1, other.begin(1)):
        other.step(1, k)
    other.epoch_record(1)
    assert equal_states(task, other)
    keep = keep_of(made.space())
    assert all(task.session.space.decision(d).labels == tuple(v) for d, v in keep.items())
    assert task.result()["genotype"]
