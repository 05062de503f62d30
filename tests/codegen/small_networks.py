"""Every bundled space small enough for tests: few channels, few cells, small inputs."""

import functools
import random

import torch

from nasdsl import driver
from nasdsl.codegen.discrete import Discrete
from nasdsl.diagnostics.model import CompileError
from nasdsl.ir.sampling import sample
from nasdsl.ir.shape import Shape
from nasdsl.lowering.value.kinds import Given

SPACES = driver.index("space")

#: Parameters as small as they may be. Where a space has less by itself it keeps that.
LEAST = {"C": 4, "layers": 3, "n": 1, "patch": 8, "vertices": 7}


def shrunk(shape):
    """A smaller input of the same kind; what is halved five times keeps a pixel."""
    match shape.kind:
        case "image" | "pieces":
            *outer, height, _ = shape.dims
            side = 32 if height > 32 else 16
            return Shape(shape.kind, (*outer, side, side))
        case "tokens":
            return Shape("tokens", (16,))
        case "series":
            return Shape("series", (shape.channels, 32))
        case _:
            return shape


@functools.cache
def loaded(name):
    return driver.load(SPACES[name])


@functools.cache
def given(name):
    """Reduced parameters of a space, its data among them."""
    found = driver.space(loaded(name), name)
    full = dict(found.parameters)
    least = {
        k: least if k == "patch" else min(least, int(full[k]))
        for k, least in LEAST.items()
        if k in full
    }
    if SPACES[name] == "nasbench101.nas":
        least["C"] = 8  # every vertex has a share of the output's channels
    return least, Given("data", shrunk(found.supernet.inp), 5)


def small(name, genotype=None, target=None):
    """A bundled space, reduced; its target has the reduced parameters too, if not others."""
    least, data = given(name)
    target = {k: driver.value(v) for k, v in {**least, **(target or {})}.items()}
    return driver.space(
        loaded(name), name, {**least, "data": data}, target=target, genotype=genotype
    )


def architectures(name, count):
    """Random genotypes of a space that have a network.

    `require` is left out of the sampling: of NAS-Bench-101 some reach no output (E224).
    """
    rng = random.Random(name)
    space = small(name)
    found = []
    for _ in range(50 * count):
        genotype = sample(space, rng)
        try:
            small(name, genotype)
        except CompileError as error:
            assert [d.code for d in error.diagnostics] == ["E224"]
            continue
        found.append(genotype)
        if len(found) == count:
            return found
    raise AssertionError(f"{len(found)} of {count} architectures of {name}")


def shaken(net, seed=0):
    """A network with statistics and scales that no initialisation would give."""
    draw = torch.Generator().manual_seed(seed)

    def normal(tensor, scale):
        tensor.add_(torch.randn(tensor.shape, generator=draw) * scale)

    with torch.no_grad():
        for name, tensor in (*net.named_parameters(), *net.named_buffers()):
            last = name.rpartition(".")[2]
            if last == "running_var":
                tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
            elif tensor.is_floating_point() and (last == "token" or tensor.dim() == 1):
                normal(tensor, 0.1)
    return net


def network(name, genotype, seed=0):
    """A network of a genotype, not fresh, in evaluation mode."""
    return shaken(Discrete(small(name, genotype).target, seed=seed), seed).eval()
