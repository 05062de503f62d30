"""Every bundled space: random architectures are built, run, differentiated and counted."""

import random

import pytest
import torch
from spaces_for_tests import values

from nasdsl import driver
from nasdsl.codegen.discrete import Discrete
from nasdsl.ir import cost
from nasdsl.ir.sampling import sample
from nasdsl.ir.shape import Shape
from nasdsl.lowering.value.kinds import Given

#: What arrives, small: the extents that a space needs beyond 32 x 32 stand here.
INPUTS = {
    "darts_imagenet": Given("data", Shape("image", (3, 224, 224)), 7),
    "ofa_mobilenet_v3": Given("data", Shape("image", (3, 64, 64)), 7),
    "tnb101_jigsaw": Given("data", Shape("pieces", (9, 3, 32, 32)), 7),
    "tabular": Given("data", Shape("features", (54,)), 7),
    "columns": Given("data", Shape("features", (12,)), 7),
    "columns_no_skip": Given("data", Shape("features", (12,)), 7),
    "signals": Given("data", Shape("series", (1, 32)), 7),
    "signals_no_skip": Given("data", Shape("series", (1, 32)), 7),
    "conv1d": Given("data", Shape("series", (9, 32)), 7),
    "gpt_small": Given("data", Shape("tokens", (16,)), 65),
}
IMAGES = Given("data", Shape("image", (3, 32, 32)), 7)
#: Parameters of spaces that keep the shape of a network and shrink it.
SMALLER = {"C": 8, "layers": 3, "n": 1}


def small(program, name, genotype=None):
    """A space with few channels and layers, in the supernet and in the target."""
    has = dict(program.space(name).parameters)
    # One layer stays one: which cell it is depends on that.
    given = values({k: v for k, v in SMALLER.items() if has.get(k, "1") != "1"})
    data = {"data": INPUTS.get(name, IMAGES)} if "data" in has else {}
    found = program.space(name, {**given, **data}, target=given, genotype=genotype)
    program.diags.check()
    return found


def batch(shape):
    draw = torch.Generator().manual_seed(0)
    if shape.kind == "tokens":
        return torch.randint(65, (2, *shape.dims), generator=draw)
    return torch.randn(2, *shape.dims, generator=draw)


def runs(file, name, seeds):
    program = driver.load(file).program
    space = small(program, name)
    for seed in seeds:
        genotype = sample(space, random.Random(seed))
        network = small(program, name, genotype).target
        model = Discrete(network, aux=network.aux is not None, seed=seed)
        counted = sum(p.numel() for p in model.parameters())
        assert counted == cost.of_built(network, aux=True).params
        x = batch(network.inp)
        y = model(x)
        assert y.shape[1:] == tuple(network.out.dims)
        assert bool(torch.isfinite(y).all())
        y.square().mean().backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert grads and all(bool(torch.isfinite(g).all()) for g in grads)


EVERY = [(file, name) for name, file in sorted(driver.index("space").items())]


@pytest.mark.parametrize(("file", "name"), EVERY, ids=[name for _, name in EVERY])
def test_random_architectures(file, name):
    runs(file, name, range(2))


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name"), EVERY, ids=[name for _, name in EVERY])
def test_twenty_random_architectures(file, name):
    runs(file, name, range(2, 22))
