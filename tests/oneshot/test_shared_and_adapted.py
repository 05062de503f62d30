"""Entangled kernels and low-rank adapters against formulas, in float64."""

import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent.parent / "regressions"))

from small_runs import copies, plan  # noqa: E402

from nasdsl.codegen.supernet import Supernet  # noqa: E402
from nasdsl.ir.compatibility import conflicts  # noqa: E402
from nasdsl.ir.config import Component, Settings  # noqa: E402
from nasdsl.oneshot import carry, entangle, lora  # noqa: E402
from nasdsl.passes.edges import PassError  # noqa: E402

X = torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def bench(mode="dense", seed=0):
    return Supernet(plan(space="bench").space(), mode=mode, seed=seed).double().train()


def picks(net):
    """Convolutions in turn."""
    found = {}
    for name, table in net.tables.items():
        convs = [[k for k, label in enumerate(row) if "conv" in label] for row in table.labels]
        found[name] = [row[i % len(row)] for i, row in enumerate(convs)]
    return found


def run(net):
    """The mixture, or in one-path mode one path."""
    mix = net.uniform()
    return net(X, mix, picks(net)) if net.mode == "one_path" else net(X, mix)


@pytest.mark.parametrize("mode", ["dense", "one_path"])
def test_a_smaller_kernel_is_the_centre_of_the_largest(mode):
    net, plain = bench(mode), bench(mode)
    entangle.share(net, "kernels")
    edges = [n for n in net.state_dict() if n.endswith("nor_conv_3x3.conv.weight")]
    assert edges and not any("nor_conv_1x1.conv.weight" in n for n in net.state_dict())
    values = dict(net.state_dict())
    for name in edges:
        small = name.replace("3x3", "1x1")
        assert values[name].shape[2:] == (3, 3)
        values[small] = values[name][:, :, 1:2, 1:2]
    plain.load_state_dict(values)
    wanted = run(plain)
    torch.testing.assert_close(run(net), wanted, rtol=1e-12, atol=1e-12)
    # Both options train the one kernel.
    run(net).square().sum().backward()
    run(plain).square().sum().backward()
    for name in edges:
        large = plain.get_parameter(name).grad
        small = plain.get_parameter(name.replace("3x3", "1x1")).grad
        total = sum(
            (
                g
                for g in (large, None if small is None else F.pad(small, (1, 1, 1, 1)))
                if g is not None
            ),
            torch.zeros_like(plain.get_parameter(name)),
        )
        found = net.get_parameter(name).grad
        found = torch.zeros_like(total) if found is None else found
        torch.testing.assert_close(found, total, rtol=1e-9, atol=1e-12)
    entangle.part(net)
    assert net.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(run(net), wanted, rtol=1e-12, atol=1e-12)


def test_what_was_shared_is_carried_where_its_owner_goes():
    old, new = bench(), bench(seed=1)
    entangle.share(old, "kernels")
    assert carry.weights(new, old) == []
    torch.testing.assert_close(run(new), run(old), rtol=1e-12, atol=1e-12)


def test_a_space_without_kernels_or_widths_to_share_is_refused():
    for space, what in (("tiny", "kernels"), ("bench", "widths")):
        with pytest.raises(PassError, match=f"entangle = {what}"):
            entangle.check(plan(space=space).space(), what)
    entangle.check(plan(space="bench").space(), "kernels")


@pytest.mark.parametrize("mode", ["dense", "one_path"])
@pytest.mark.parametrize("space", ["bench", "tiny"])
def test_adapters_come_and_go_without_a_change(mode, space):
    net = Supernet(plan(space=space).space(), mode=mode).double().train()
    if space == "tiny":
        assert any(m.groups > 1 for m in net.modules() if hasattr(m, "groups"))
    before, wanted = copies(net.state_dict()), run(net)
    lora.adapt(net, 2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(run(net), wanted, rtol=1e-12, atol=1e-12)
    moving = lora.trained(net)
    resting = set(dict(net.named_parameters())) - set(moving)
    assert resting and all(n.removesuffix("weight") + "lora_a" in moving for n in resting)
    for n, p in moving.items():
        if "lora_b" in n:
            torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(len(n)))
    # W + B A, written out.
    values = dict(copies(net.state_dict()))
    for n in resting:
        stem = n.removesuffix("weight")
        b, a = values.pop(stem + "lora_b"), values.pop(stem + "lora_a")
        assert b.shape[1] == a.shape[0] == 2
        values[n] = before[n] + (b @ a).reshape(before[n].shape)
    changed = run(net)
    assert not torch.allclose(changed, wanted)
    lora.merge(net)
    assert net.state_dict().keys() == before.keys()
    torch.testing.assert_close(run(net), changed, rtol=1e-12, atol=1e-12)
    for n in resting:
        torch.testing.assert_close(net.state_dict()[n], values[n], rtol=1e-12, atol=1e-12)


def test_adapters_and_shared_kernels_do_not_go_together():
    values = (("lora", Component("adapters")), ("entangle", Component("kernels")))
    (found,) = conflicts(Settings(kind="recipe", name="r", values=values))
    assert (found.slot, found.other) == ("lora", "entangle")
