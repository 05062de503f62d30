"""Compiled supernets against a second implementation, and their modes against each other."""

import pytest
import torch
from interpreter import Interpreter
from random_spaces import random_text
from spaces_for_tests import bundled_space, images, space_of
from torch import nn
from torch.nn import functional as F

from nasdsl import resources
from nasdsl.codegen.emit import OnePath
from nasdsl.codegen.supernet import Supernet

SEEDS = range(12)


def supernet_of(seed, mode="dense"):
    return Supernet(space_of(random_text(seed), "s"), mode=mode, seed=seed).double()


def batch(net, seed=0, n=4):
    dims = net.space.supernet.inp.dims
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, *dims, generator=draw, dtype=torch.float64)


def random_mix(net, seed=0):
    """A normalised mix, padding zero, with gradient."""
    draw = torch.Generator().manual_seed(seed)
    mix = {}
    for name, table in net.tables.items():
        values = torch.rand(table.shape, generator=draw, dtype=torch.float64) + 0.1
        for i, width in enumerate(table.widths):
            values[i, width:] = 0
        mix[name] = (values / values.sum(1, keepdim=True)).requires_grad_(True)
    return mix


def one_hot(net, seed=0):
    """A one-hot mix with gradient, and its picks."""
    draw = torch.Generator().manual_seed(seed)
    mix, pick = {}, {}
    for name, table in net.tables.items():
        pick[name] = [int(torch.randint(w, (), generator=draw)) for w in table.widths]
        values = torch.zeros(table.shape, dtype=torch.float64)
        values[range(len(pick[name])), pick[name]] = 1
        mix[name] = values.requires_grad_(True)
    return mix, pick


def nudge(net, seed=1):
    """Affine parameters that start at 1 and 0 get other values."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=draw, dtype=p.dtype) * 0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_compiled_supernet_equals_an_interpreter_of_its_ir(seed):
    """Forward, all gradients and running statistics of two steps, in float64."""
    net = supernet_of(seed).train()
    nudge(net)
    mix = random_mix(net, seed)
    rows = {d: i for t in net.tables.values() for i, d in enumerate(t.decisions)}
    state = {k: v.detach().clone() for k, v in net.graph.state_dict().items()}
    weights = dict(net.graph.named_parameters())
    for name in weights:
        state[name].requires_grad_(True)
    other = Interpreter(
        net.space.supernet, state, {s.instance: mix[s.table] for s in net.slots}, rows
    )
    for step in (0, 1):
        x, y = batch(net, step), torch.arange(4) % 5
        found, wanted = net(x, mix), other.run(x)
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
        inputs = [*weights.values(), *mix.values()]
        copies = [*(state[n] for n in weights), *mix.values()]
        ours = torch.autograd.grad(F.cross_entropy(found, y), inputs)
        theirs = torch.autograd.grad(F.cross_entropy(wanted, y), copies)
        for name, a, b in zip([*weights, *mix], ours, theirs, strict=True):
            if name in mix:  # padding is nobody's
                mask = net.tables[name].mask()
                a, b = (a, b) if mask is None else (a[mask], b[mask])
            torch.testing.assert_close(
                a, b, rtol=1e-7, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
            )
        with torch.no_grad():
            for (name, p), grad in zip(weights.items(), ours, strict=False):
                p -= 0.05 * grad
                state[name] -= 0.05 * grad
    for name, value in net.graph.state_dict().items():
        if "running" in name:
            torch.testing.assert_close(value, state[name], rtol=1e-8, atol=1e-10)
        if name.endswith("num_batches_tracked"):
            assert value == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_one_path_equals_dense_where_the_mix_is_one_hot(seed):
    """Values, gradients of all weights that ran, gradients of the picked entries of the mix."""
    dense = supernet_of(seed).train()
    nudge(dense)
    single = dense.in_mode("one_path").train()
    x, y = batch(dense), torch.arange(4) % 5
    results = []
    for net in (dense, single):
        mix, pick = one_hot(net, seed)
        loss = F.cross_entropy(net(x, mix, pick), y)
        parameters = dict(net.graph.named_parameters())
        grads = torch.autograd.grad(loss, [*parameters.values(), *mix.values()], allow_unused=True)
        results.append((loss, dict(zip([*parameters, *mix], grads, strict=True)), pick))
    (a, left, pick), (b, right, _) = results
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert left.keys() == right.keys()
    for name in left:
        if name in pick:
            if left[name] is None or right[name] is None:  # `none` everywhere behind it
                continue
            # Where `none` is picked, dense mode has no term at all; one path adds its weight.
            for row, (column, labels) in enumerate(
                zip(pick[name], dense.tables[name].labels, strict=True)
            ):
                if labels[column] != "none":
                    torch.testing.assert_close(
                        left[name][row, column], right[name][row, column], rtol=1e-8, atol=1e-11
                    )
            continue
        grad = right[name] if right[name] is not None else torch.zeros_like(left[name])
        expected = left[name] if left[name] is not None else torch.zeros_like(grad)
        torch.testing.assert_close(expected, grad, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("seed", SEEDS)
def test_unpicked_options_do_not_run_but_their_mix_gets_a_gradient(seed):
    """Whether an option ran shows in the batches its normalisation counted."""
    net = supernet_of(seed, "one_path").train()
    mix, pick = one_hot(net, seed)
    before = {k: v.clone() for k, v in net.graph.named_buffers()}
    net(batch(net), mix, pick).sum().backward()
    for slot in net.slots:
        table = net.tables[slot.table]
        for row, decision in enumerate(table.decisions):
            target, source = decision.split("/")[1].replace("[", "").replace("]", "").split("<-")
            picked = table.labels[row][pick[slot.table][row]]
            for label in table.labels[row]:
                place = f"{slot.instance}.{target}_{source}.{label}."
                ran = [
                    not torch.equal(b, before[n])
                    for n, b in net.graph.named_buffers()
                    if n.startswith(place) and n.endswith("num_batches_tracked")
                ]
                assert all(r == (label == picked) for r in ran)
    assert all(m.grad.isfinite().all() for m in mix.values() if m.grad is not None)


def test_an_option_that_did_not_run_gets_the_gradient_of_its_weight():
    """GDAS: for w[k] the sum of the incoming gradient, for the picked one its product with y."""
    made = OnePath({"a": nn.Identity(), "b": nn.Tanh(), "c": nn.ReLU()})
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, generator=draw, dtype=torch.float64, requires_grad=True)
    w = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64, requires_grad=True)
    incoming = torch.randn(2, 3, generator=draw, dtype=torch.float64)
    y = made(x, w, 1)
    assert torch.equal(y, x.tanh())
    y.backward(incoming)
    picked = (incoming * x.tanh()).sum()
    torch.testing.assert_close(w.grad, torch.stack([incoming.sum(), picked, incoming.sum()]))
    torch.testing.assert_close(x.grad, incoming * (1 - x.tanh() ** 2))


@pytest.mark.parametrize("seed", SEEDS)
def test_state_dicts_fit_every_mode(seed):
    """The same names and shapes, built in either mode, and shared between views of one supernet."""
    dense, single = supernet_of(seed), supernet_of(seed, "one_path")
    a, b = dense.state_dict(), single.state_dict()
    assert {k: v.shape for k, v in a.items()} == {k: v.shape for k, v in b.items()}
    single.load_state_dict(a)
    for source, mode in ((dense, "one_path"), (single, "dense")):
        view = source.in_mode(mode)
        assert view.state_dict().keys() == a.keys()
        pointers = {k: v.data_ptr() for k, v in source.state_dict().items()}
        assert {k: v.data_ptr() for k, v in view.state_dict().items()} == pointers
        assert source.in_mode(source.mode) is source
    x = batch(dense)
    mix, pick = one_hot(dense, seed)
    with torch.no_grad():
        torch.testing.assert_close(dense(x, mix), single(x, mix, pick), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", ["dense", "one_path"])
def test_weights_are_drawn_from_the_seed_alone(mode):
    """The same seed gives the same weights in both modes, whatever was drawn before."""
    torch.manual_seed(3)
    a = Supernet(space_of(random_text(4), "s"), seed=1).state_dict()
    torch.manual_seed(4)
    state = torch.get_rng_state()
    net = Supernet(space_of(random_text(4), "s"), mode=mode, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, a[k]) for k, v in net.state_dict().items())
    other = Supernet(space_of(random_text(4), "s"), seed=2).state_dict()
    assert any(not torch.equal(v, a[k]) for k, v in other.items())


def small_darts():
    space = bundled_space("darts.nas", "darts", C=4, layers=3, data=images(3, 8, 5))
    return Supernet(space).double()


def test_a_mix_per_instance_is_the_shared_mix_where_all_are_equal():
    """Values and gradients: those of the shared table are the sum over its instances."""
    net = supernet_of(5)
    x = batch(net)
    shared = random_mix(net, 2)
    own = {s.instance: shared[s.table].detach().clone().requires_grad_(True) for s in net.slots}
    a, b = net(x, shared), net(x, own)
    assert torch.equal(a, b)
    a.square().sum().backward()
    b.square().sum().backward()
    for name, mix in shared.items():
        total = sum(own[s.instance].grad for s in net.slots if s.table == name)
        torch.testing.assert_close(mix.grad, total, rtol=1e-10, atol=1e-12)


def test_a_mix_of_one_instance_changes_that_instance_alone():
    """Others keep the table's; the gradient arrives where the weights came from."""
    net = supernet_of(5)
    x = batch(net)
    shared = random_mix(net, 2)
    slot = next(s for s in net.slots if s.table == "plain")
    special = random_mix(net, 3)["plain"].detach().requires_grad_(True)
    mixed = net(x, {**shared, slot.instance: special})
    assert not torch.allclose(mixed, net(x, shared))
    mixed.square().sum().backward()
    assert special.grad.abs().sum() > 0
    assert shared["plain"].grad.abs().sum() > 0  # the other instance of the table
    spread = net.spread({**shared, slot.instance: special})
    assert spread[slot.instance] is special
    assert all(v is not special for k, v in spread.items() if k != slot.instance)


def test_every_instance_gets_its_own_gradient():
    """Layer by layer: two cells of one table need not agree."""
    net = small_darts()
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    uniform = net.uniform()
    own = {s.instance: uniform[s.table].clone().requires_grad_(True) for s in net.slots}
    net(x, own).square().sum().backward()
    assert [s.instance for s in net.slots] == ["normal_0", "reduce_1", "reduce_2"]
    assert all(m.grad.abs().sum() > 0 for m in own.values())
    assert not torch.allclose(own["reduce_1"].grad, own["reduce_2"].grad)


def test_picks_per_instance():
    """One-path mode takes them by table or by instance, like the mix."""
    net = supernet_of(5, "one_path").eval()
    x = batch(net)
    mix, pick = one_hot(net, 1)
    own_mix = {s.instance: mix[s.table] for s in net.slots}
    own_pick = {s.instance: pick[s.table] for s in net.slots}
    assert torch.equal(net(x, mix, pick), net(x, own_mix, own_pick))
    with pytest.raises(ValueError, match="pick"):
        net(x, mix)


@pytest.mark.parametrize("mode", ["dense", "one_path"])
def test_the_code_names_the_lines_it_comes_from(mode):
    """A comment where the line changes, for the bundled files and for texts."""
    space = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, data=images(3, 8, 5))
    code = Supernet(space, mode=mode).code
    compile(code, "generated", "exec")
    comments = [line for line in code.splitlines() if line.strip().startswith("#")]
    assert all("nasbench201.nas:" in c for c in comments)
    lines = space_lines("nasbench201.nas")
    for comment in comments:
        number = int(comment.rsplit(":", 1)[1])
        assert lines[number - 1].strip()
    stem = next(i for i, line in enumerate(lines, 1) if line.strip() == "stem  conv(3) >> bn")
    assert comments[0].strip().endswith(f"nasbench201.nas:{stem}")
    text = random_text(0)
    assert "# test.nas:" in Supernet(space_of(text, "s"), mode=mode).code


def space_lines(file):
    return (resources.read("spaces", file) or "").splitlines()


def test_padding_of_a_mix_is_never_read():
    """Columns beyond a row's options may hold anything."""
    net = supernet_of(5).eval()
    assert any(len(set(t.widths)) > 1 for t in net.tables.values())
    x = batch(net)
    mix = random_mix(net)
    filled = {n: m.detach().clone() for n, m in mix.items()}
    for name, table in net.tables.items():
        mask = table.mask()
        if mask is not None:
            filled[name][~mask] = float("nan")
    assert torch.equal(net(x, mix), net(x, filled))
