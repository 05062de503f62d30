"""Dropout and attention of the mix, and drop-path of the supernet: in training steps alone."""

import math

import pytest
import torch
from small_runs import copies, equal, equal_states, plan, run, search
from small_search import recipe, small, steps
from spaces_for_tests import bundled_space

from nasdsl.codegen.emit import NotExecutable, _kept
from nasdsl.codegen.supernet import Supernet, Table
from nasdsl.ir.printer import print_space
from nasdsl.ir.reader import read_space
from nasdsl.oneshot.transforms.attention import Attention
from nasdsl.oneshot.transforms.dropout import dropped
from nasdsl.ops.edits import Explorer
from nasdsl.passes.explore import explore

RAGGED = Table("t.a", ("d", "e", "f"), (("a", "b"), ("a", "b", "c"), ("a", "b")))


def test_dropout_keeps_the_mean_and_is_zero_or_rescaled():
    mix = torch.tensor([[0.2, 0.8], [0.5, 0.5]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([dropped(mix, 0.25, generator) for _ in range(20_000)])
    share = draws / mix
    assert set(share.flatten().round(decimals=9).tolist()) == {0.0, round(4 / 3, 9)}
    error = mix * math.sqrt(0.25 / 0.75 / len(draws))
    assert ((draws.mean(dim=0) - mix).abs() < 5 * error).all()
    assert torch.equal(dropped(mix, 0.0, generator), mix)
    assert torch.equal(dropped(mix, 1.0, generator), torch.zeros_like(mix))


def test_evaluation_and_selection_see_the_whole_mix():
    task, plain = small("mix = dropout(1)"), small()
    for made in (task, plain):
        made.begin(0)
    session = task.session
    assert all((m == 0).all() for m in session.sample("arch").mix.values())
    assert all((m == 0).all() for m in session.sample("weights").mix.values())
    measured = session.sample("arch", training=False).mix
    assert equal(copies(measured), copies(plain.session.sample("arch").mix))
    assert equal(session.expected(), plain.session.expected())


def attended(alpha, query, key, value, out):
    """The formula row by row."""
    rows = []
    for i in range(len(alpha)):
        scores = [
            float((alpha[i] @ query) @ (alpha[j] @ key)) / math.sqrt(alpha.shape[1])
            for j in range(len(alpha))
        ]
        weights = [math.exp(s) for s in scores]
        total = sum(weights)
        rows.append(sum(w / total * alpha[j] for j, w in enumerate(weights)) @ value @ out)
    return torch.stack(rows)


def test_attention_is_its_formula_and_padding_counts_as_zero():
    generator = torch.Generator().manual_seed(0)
    layer = Attention({"t.a": RAGGED}, generator).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    alpha = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    alpha[0, 2] = alpha[2, 2] = 99.0
    clean = alpha.clone()
    clean[0, 2] = clean[2, 2] = 0.0
    parts = [layer.heads[f"t/a:{p}"].detach() for p in ("query", "key", "value", "out")]
    torch.testing.assert_close(layer({"t.a": alpha})["t.a"], attended(clean, *parts))


def test_attention_is_learned_with_the_architecture_and_resumes():
    made = plan("mine", text=recipe("mix = attention"))
    task = search(made)
    before = copies(task.session.alphas)
    assert sum(":" in name for name in before) == 8  # four matrices for each of two tables
    run(task)
    after = copies(task.session.alphas)
    assert all(not torch.equal(before[n], after[n]) for n in before)
    first = search(made)
    run(first, 2)
    rest = search(made)
    rest.restore(*first.state())
    run(rest, first=2)
    assert equal_states(task, rest)
    # Selection reads what the sampler reads.
    seen = task.session.arch.seen(task.session.arch.alphas())
    for name, mix in task.session.expected().items():
        torch.testing.assert_close(mix, seen[name].softmax(-1))
        assert not torch.equal(mix, task.session.arch.alphas()[name].softmax(-1))


def test_the_order_in_the_file_does_not_matter():
    made = [
        plan("mine", text=recipe(f"mix = {mix}"))
        for mix in ("attention + dropout(0.3)", "dropout(0.3) + attention")
    ]
    one, two = (search(m) for m in made)
    run(one)
    run(two)
    assert equal_states(one, two)


# ---- exploration


def test_an_edge_adds_what_its_input_asks_for():
    """One edge by hand: mix, network of the input's means, sum over options."""
    space = bundled_space("small.nas", "one_edge")
    with_it = explore(space)
    net = Supernet(with_it, seed=3).double()
    (explorer,) = [m for m in net.modules() if isinstance(m, Explorer)]
    seen = {}
    explorer.register_forward_hook(lambda m, given, out: seen.update(x=given[0], out=out))
    x = torch.randn(5, *space.supernet.inp.dims, dtype=torch.float64)
    mix = net.uniform()
    explorer.by = 0.0
    plain = net(x, mix)
    explorer.by = 0.3
    explored = net(x, mix)
    arrived = seen["x"].flatten(2).mean(2)
    hidden = (arrived @ explorer.squeeze.weight.t() + explorer.squeeze.bias).clamp(min=0)
    asked = (hidden @ explorer.expand.weight.t() + explorer.expand.bias).clamp(min=0)
    weights = 0.3 * asked.mean(0).softmax(0)
    torch.testing.assert_close(seen["out"], weights)
    # The same network without exploration, by a mix that has those weights already.
    (name,) = net.tables
    explorer.by = 0.0
    torch.testing.assert_close(net(x, {name: mix[name] + weights}), explored)
    assert not torch.allclose(plain, explored)
    weights.sum().backward()
    assert explorer.squeeze.weight.grad is not None
    # The edited space is text like any other.
    assert read_space(print_space(with_it)) == with_it


def test_exploration_runs_by_its_schedule_learns_with_the_weights_and_resumes():
    made = plan("mine", text=recipe("mix = explore(weight = linear(1 -> 0)) + dropout(0.1)"))
    task = search(made)
    found = {n: m for n, m in task.session.supernet.named_modules() if isinstance(m, Explorer)}
    assert found
    before = {n: m.expand.bias.detach().clone() for n, m in found.items()}
    names = {f"{n}.expand.bias" for n in found}
    assert names <= set(task.session.weights) and not names & set(task.session.alphas)
    run(task)
    assert {m.by for m in found.values()} == {0.0}
    assert any(not torch.equal(before[n], m.expand.bias) for n, m in found.items())
    first = search(made)
    run(first, 1)
    rest = search(made)
    rest.restore(*first.state())
    run(rest, first=1)
    assert equal_states(task, rest)
    assert task.result()["genotype"]


def test_exploration_where_decisions_have_different_options():
    """Rows are padded to the longest; those of NAS-Bench-1Shot1 hold edges and operations."""
    space = explore(bundled_space("nasbench101.nas", "nb1shot1_s1", C=4, n=1))
    net = Supernet(space)
    assert any(len(set(t.widths)) > 1 for t in net.tables.values())
    assert any(isinstance(m, Explorer) for m in net.modules())
    assert torch.isfinite(net(torch.randn(2, *space.supernet.inp.dims), net.uniform())).all()


def test_exploration_goes_with_partial_channels_and_pruning():
    text = "phase a { epochs = 1 }\n  phase b {\n    epochs = 1\n    prune = top(2)\n  }"
    task = small(f"partial = channels(1/2)\n  mix = explore(weight = 0.5)\n  {text}")
    steps(task, 4)
    found = [m for m in task.session.supernet.modules() if isinstance(m, Explorer)]
    assert found and {m.expand.out_features for m in found} == {2}
    assert task.result()["genotype"]


# ---- drop-path


def test_masks_of_ones_change_nothing_and_of_zeros_everything():
    task = small("drop_path = 0.5")
    task.begin(0)
    session = task.session
    net = session.supernet
    x, _ = session.next_train()
    mix = session.expected()
    assert len(net.droppable) == len(set(net.droppable)) > 0
    plain = net(x, mix)
    ones = torch.ones(len(net.droppable), len(x), dtype=x.dtype)
    assert torch.equal(net(x, mix, None, ones), plain)
    zeros = net(x, mix, None, 0 * ones)
    assert not torch.allclose(zeros, plain)
    # Everything is dropped: the features are zero, so every image has the same logits.
    torch.testing.assert_close(zeros, zeros[:1].expand_as(zeros))
    with pytest.raises(ValueError, match="without drop-path"):
        small().session.supernet(x, mix, None, ones)


def test_a_mask_drops_one_image_of_one_operation():
    """Batch statistics couple images, so the network is looked at in evaluation mode."""
    task = small("drop_path = 0.5")
    session = task.session
    net = session.supernet.eval()
    x, _ = session.next_train()
    mix = session.expected()
    ones = torch.ones(len(net.droppable), len(x), dtype=x.dtype)
    plain = net(x, mix, None, ones)
    for i in range(len(net.droppable)):
        keep = ones.clone()
        keep[i, 3] = 0
        differs = (net(x, mix, None, keep) != plain).any(dim=1)
        assert not differs[[k for k in range(len(x)) if k != 3]].any()
    keep = ones.clone()
    keep[:, 3] = 0
    assert (net(x, mix, None, keep) != plain).any(dim=1)[3]


def test_masks_have_the_rate_and_scale_of_the_schedule():
    task = small("epochs = 4\n  drop_path = linear(0 -> 0.4)")
    seen = []
    session = task.session
    for step in range(8):
        task.begin(step // 2)
        task.step(step // 2, step % 2)
        masks = [session.sample("weights").keep for _ in range(200)]
        p = 0.4 * step / 7
        if step == 0:
            assert masks[0] is None
            continue
        values = torch.stack(masks)
        assert values.unique().tolist() == [0.0, pytest.approx(1 / (1 - p))]
        error = math.sqrt(p * (1 - p) / values.numel())
        assert abs((values == 0).double().mean().item() - p) < 5 * error
        seen.append(p)
    assert seen[-1] == pytest.approx(0.4)
    assert session.sample("arch", training=False).keep is None


def test_weights_moved_by_an_optimizer_are_those_of_both_graphs():
    task = small("drop_path = 0.3\n  sampler = gumbel(tau = 1, hard = true)")
    steps(task, 2)
    session = task.session
    x, _ = session.next_train()
    sample = session.sample("arch", training=False)
    ones = torch.ones(len(session.supernet.droppable), len(x), dtype=x.dtype)
    plain = session.supernet(x, sample.mix, sample.pick)
    assert torch.equal(session.supernet(x, sample.mix, sample.pick, ones), plain)
    bare = small("sampler = gumbel(tau = 1, hard = true)")
    assert session.supernet.state_dict().keys() == bare.session.supernet.state_dict().keys()


def test_drop_path_needs_edges_and_something_to_drop():
    space = bundled_space("small.nas", "conv1d")
    with pytest.raises(NotExecutable, match="edges of cells"):
        Supernet(space, drop_path=True)
    assert small("drop_path = linear(0 -> 0)").session.supernet.masked is None


def test_a_mask_serves_values_of_fewer_dimensions_and_pieces():
    mask = torch.tensor([0.0, 2.0])
    for shape in ((2, 3), (2, 3, 4), (2, 3, 4, 5)):
        value = torch.ones(shape)
        kept = _kept(value, mask)
        assert (kept[0] == 0).all() and (kept[1] == 2).all()
    pieces = _kept(torch.ones(6, 3, 2, 2), mask)
    assert pieces[:, 0, 0, 0].tolist() == [0, 0, 0, 2, 2, 2]


@pytest.mark.parametrize("body", ["drop_path = 0.3", "mix = dropout(0.3)"])
def test_masks_resume(body):
    made = plan("mine", text=recipe(body))
    whole, first = search(made), search(made)
    run(whole)
    run(first, 1)
    rest = search(made)
    rest.restore(*first.state())
    run(rest, first=1)
    assert equal_states(whole, rest)
