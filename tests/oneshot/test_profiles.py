"""Every kind of component searches the same under every profile, in float64."""

import sys
from pathlib import Path

import pytest
import torch
from small_runs import plan, search
from small_runs import run as run_steps
from small_search import as_double, farthest, recipe, steps

from nasdsl import driver
from nasdsl.fusion.profile import PROFILES
from nasdsl.oneshot import entangle, lora
from nasdsl.training import checkpoint

sys.path.insert(0, str(Path(__file__).parent.parent / "fusion"))

from equality import agree, example, run, twins  # noqa: E402

#: Recipes that look inside the supernet, put modules in the place of others, or change its graph.
BODIES = {
    "plain": "",
    "frozen": "freeze = alignment(every = 1, below = 0.9)",
    "aligned": "align = layers(0.5, eps = 1e-4, form = corr, cells = {normal})",
    "partial": "partial = channels(1/2, edge_norm = true)",
    "skips": "aux_skip = linear(1 -> 0)",
    "adapted": "lora = adapters(rank = 2)",
    "second": "step = alternating(order = second)",
    "one_hot": "sampler = gumbel(tau = 1, hard = true)",
    "dropped": "drop_path = 0.3",
    "entangled": "entangle = kernels",
    "attention": "mix = attention + explore(weight = 0.5)",
    "toggled": "lora = adapters(rank = 2, on = steps({0: false, 50%: true}))",
}


def fresh(body, profile):
    """A search of a recipe under a profile."""
    text = recipe(body)
    if "entangle" in body:  # which needs kernels of two sizes
        text = text.replace("sep_conv_3x3}", "sep_conv_3x3, sep_conv_5x5}")
    task = as_double(search(plan("mine", text=text), seed=0))
    task.profile = profile
    task.session.supernet.profile = PROFILES[profile]
    task.session.supernet.replan()
    return task


def under(body, profile):
    """The same after a few steps."""
    task = fresh(body, profile)
    steps(task, 3)
    return task


@pytest.mark.parametrize("name", BODIES)
def test_a_search_takes_the_same_way(name):
    wanted = under(BODIES[name], "reference")
    for profile in PROFILES:
        if profile != "reference":
            assert farthest(wanted, under(BODIES[name], profile)) < 1e-9, profile


#: What stands in the place of modules, shares them, or comes and goes, must be in a checkpoint.
KEPT = ["plain", "frozen", "partial", "skips", "adapted", "entangled"]


@pytest.mark.parametrize("other", ["memory", "reference", "launch"])
@pytest.mark.parametrize(
    "name", [n if n == "frozen" else pytest.param(n, marks=pytest.mark.slow) for n in KEPT]
)
def test_a_checkpoint_of_one_profile_goes_on_under_another(name, other, tmp_path):
    """Two steps under `balanced`, written, read, two more: as if all were the reference's."""
    wanted = fresh(BODIES[name], "reference")
    steps(wanted, 4)
    first = fresh(BODIES[name], "balanced")
    steps(first, 2)
    tensors, values = first.state()
    checkpoint.write(tmp_path, "epoch-0-step-2", tensors, {"task": values})
    found = checkpoint.read(tmp_path)
    second = fresh(BODIES[name], other)
    second.restore(found.tensors, found.values["task"])
    run_steps(second, 4, first=2)
    assert farthest(wanted, second) < 1e-9
    for a, b in zip(
        wanted.session.supernet.buffers(), second.session.supernet.buffers(), strict=True
    ):
        assert (a.double() - b.double()).abs().max() < 1e-9


@pytest.mark.parametrize("edit", ["entangle", "lora"])
@pytest.mark.parametrize("profile", [p for p in PROFILES if p != "reference"])
def test_modules_put_in_the_place_of_others_are_planned_anew(profile, edit):
    space = driver.space(driver.load("darts"), None, {"C": "2", "layers": "1"})
    nets = twins(space, profile)
    x, mix, _ = example(nets[0], batch=2)
    before = nets[1](x, mix)
    for net in nets:
        if edit == "entangle":
            entangle.share(net, "kernels")
        else:
            lora.adapt(net, 2, torch.Generator().manual_seed(0))
            with torch.no_grad():
                for name, p in net.named_parameters():
                    if name.endswith("lora_b"):
                        p.fill_(0.1)
    assert (nets[1](x, mix) - before).abs().max() > 1e-6
    nets[0](x, mix)
    nets[0].load_state_dict(nets[1].state_dict())
    agree(run(nets[0], x, mix, steps=2), run(nets[1], x, mix, steps=2))
