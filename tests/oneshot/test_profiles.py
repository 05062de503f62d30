"""Every kind of component searches the same under every profile, in float64."""

import sys
from pathlib import Path

import pytest
import torch
from small_search import farthest, small, steps

from nasdsl import driver
from nasdsl.fusion.profile import PROFILES
from nasdsl.oneshot import entangle, lora

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
}


def under(body, profile):
    """A search of a recipe under a profile, after a few steps."""
    task = small(body)
    task.profile = profile
    task.session.supernet.profile = PROFILES[profile]
    task.session.supernet.replan()
    steps(task, 3)
    return task


@pytest.mark.parametrize("name", BODIES)
def test_a_search_takes_the_same_way(name):
    wanted = under(BODIES[name], "reference")
    for profile in PROFILES:
        if profile != "reference":
            assert farthest(wanted, under(BODIES[name], profile)) < 1e-8, profile


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
