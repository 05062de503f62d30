"""The target of a genotype without lowering again is the network that lowering gives."""

import random

import pytest
import torch
from spaces_for_tests import bundled_space

from nasdsl import driver
from nasdsl.codegen.discrete import Discrete
from nasdsl.ir import cost
from nasdsl.ir.genotype import GenotypeError
from nasdsl.ir.resolve import resolve
from nasdsl.ir.sampling import sample

SPACES = sorted(driver.index("space").items())
#: Cells whose nodes choose their inputs.
PICKING = {"nasbench101", "nb1shot1_s1", "nb1shot1_s2", "nb1shot1_s3"}


def weights(network):
    with torch.device("meta"):
        return {n: tuple(t.shape) for n, t in Discrete(network).state_dict().items()}


@pytest.mark.parametrize(("name", "file"), SPACES, ids=[s[0] for s in SPACES])
def test_resolving_is_lowering_with_the_genotype(name, file):
    """Spaces with `one_of … + skip` once kept the skips of edges that go."""
    space = bundled_space(file, name)
    draw = random.Random(name)
    if name in PICKING:
        with pytest.raises(GenotypeError, match="picks its edges"):
            resolve(space.target, sample(space, draw))
        return
    for _ in range(2):
        genotype = sample(space, draw)
        wanted = bundled_space(file, name, genotype=genotype).target
        found = resolve(space.target, genotype)
        # What goes stands there as zeros, or not at all: what is built is the same.
        assert cost.of_built(found) == cost.of_built(wanted)
        assert weights(found) == weights(wanted)
