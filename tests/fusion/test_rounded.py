"""Profile `balanced+bf16`: the values of float32, half of what is kept, gradients nearly right."""

import copy
import json

import pytest
import torch
from click.testing import CliRunner
from generated_pairs import batch, mixes, needs_compiler, step
from small_networks import small

from nasdsl.cli.main import cli
from nasdsl.codegen.explain import rounding
from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.counting import kept
from nasdsl.fusion.profile import UnknownProfile, profile

pytestmark = needs_compiler


def twins(name, dtype=torch.float32):
    plain = Supernet(small(name), profile="balanced").to(dtype)
    return plain, copy.deepcopy(plain).under("balanced+bf16")


def flat(grads):
    return torch.cat([g.flatten() for g in grads.values() if g is not None])


@pytest.mark.parametrize("name", ["darts", "nasbench201", "robust_s1"])
def test_values_are_equal_and_gradients_are_not(name):
    plain, net = twins(name)
    x = batch(plain, 8, dtype=torch.float32)
    out, grads = step(plain, x, mixes(plain, dtype=torch.float32))
    out2, grads2 = step(net, x, mixes(net, dtype=torch.float32))
    assert out.equal(out2)
    assert all(b.equal(c) for b, c in zip(plain.buffers(), net.buffers(), strict=True))
    error = (flat(grads2) - flat(grads)).norm() / flat(grads).norm()
    assert 0 < error < 0.05


def stored(net, x, mix):
    """Bytes between forward and backward that are kept by cells alone, by their type."""
    found = {}

    def pack(tensor):
        if tensor.dim() == 1 and tensor.dtype in (torch.float32, torch.bfloat16):
            found.setdefault(tensor.dtype, {})[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        held = net(x, mix)
    del held
    return {dtype: max(sizes.values()) for dtype, sizes in found.items()}


def test_half_is_kept():
    plain, net = twins("darts")
    x, mix = batch(plain, 8, dtype=torch.float32), mixes(plain, dtype=torch.float32)
    for _ in range(2):  # from the second on memory is used again
        before, after = stored(plain, x, mix), stored(net, x, mix)
        assert 2 * after[torch.bfloat16] == before[torch.float32]
    whole = [kept(lambda n=n: n(x, mix), n.parameters()) for n in (plain, net)]
    assert whole[1] < 0.75 * whole[0]


def test_float64_is_exact():
    plain, net = twins("nasbench201", torch.float64)
    x = batch(plain)
    _, grads = step(plain, x, mixes(plain))
    _, grads2 = step(net, x, mixes(net))
    assert all(g is None or g.equal(grads2[name]) for name, g in grads.items())


def test_the_error_is_measured():
    net = Supernet(small("darts"), profile="balanced+bf16")
    before = {k: v.clone() for k, v in net.state_dict().items()}
    found = rounding(net)
    assert 1e-4 < found.weights < 0.05 and 0 < found.mix < 0.2
    assert found.after < 0.75 * found.before
    assert all(v.equal(net.state_dict()[k]) for k, v in before.items())
    assert rounding(net.under("balanced")) is None


def test_explain_states_it():
    order = ["compile", "darts", "-P", "layers=1", "-P", "C=2", "--explain"]
    done = CliRunner().invoke(cli, [*order, "--profile", "balanced+bf16"])
    assert done.exit_code == 0, done.output
    assert "bf16: gradients are off by" in done.output and "MB less" in done.output
    assert max(len(line) for line in done.output.splitlines()) <= 80
    done = CliRunner().invoke(cli, [*order, "--profile", "balanced+bf16", "--format", "json"])
    report = json.loads(done.stdout[done.stdout.index("{") :])["rounding"]
    assert 0 < report["weight_gradients_off"] < 0.05
    done = CliRunner().invoke(cli, [*order, "--profile", "balanced", "--format", "json"])
    assert json.loads(done.stdout[done.stdout.index("{") :])["rounding"] is None


@pytest.mark.parametrize("name", ["memory+bf16", "launch+bf16", "reference+bf16"])
def test_profiles_that_keep_nothing_have_nothing_to_round(name):
    with pytest.raises(UnknownProfile, match="balanced.bf16"):
        profile(name)
