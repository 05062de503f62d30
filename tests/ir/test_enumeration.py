"""All architectures of a space in order, and the number of each."""

import itertools
import random

import pytest
from spaces_for_tests import bundled_space, space_of

from nasdsl.ir.enumeration import Enumeration, NotEnumerable
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.member import check
from nasdsl.ir.sampling import sample

CONDITIONAL = """nas 1
space s {
  cell c {
    in a, b
    node x[2]
    edge {a, b, x[<]} -> x : one_of {none, identity, conv(one_of {3, 5})}
    keep 2 per node except {none}
    pick 1 per out
    edge x -> out
    out concat(x)
  }
  width = 4
  input image(3, 8, 8)
  stem conv(3)
  stem conv(3)
  stage c
  stage conv(1)
  repeat int 0..2 { stage one_of {conv(3), conv(5)} }
  head global_avg_pool >> linear(10)
}
"""


def test_the_order_of_nasbench201():
    space = bundled_space("nasbench201.nas", "nasbench201")
    every = Enumeration(space)
    ids = [d.id for d in space.decisions]
    wanted = itertools.product(*(d.labels for d in space.decisions))
    for i, (genotype, labels) in enumerate(zip(every, wanted, strict=True)):
        assert genotype.picks == tuple(zip(ids, labels, strict=True))
        assert i % 100 or every.index(genotype) == i


def test_conditional_decisions_and_rules():
    space = space_of(CONDITIONAL, "s")
    every = Enumeration(space)
    # A kept edge has 1 + 2 settings; pairs of two and of three edges; two outputs; depths 0 to 2.
    assert len(every) == space.size() == 9 * (3 * 9) * 2 * (1 + 2 + 4)
    listed = list(every)
    assert len({g.picks for g in listed}) == len(listed)
    for i, genotype in enumerate(listed):
        assert check(genotype, space) == genotype
        assert every.index(genotype) == i
    rng = random.Random(0)
    assert {sample(space, rng).picks for _ in range(300)} <= {g.picks for g in listed}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("darts.nas", "darts"),
        ("nasbench101.nas", "nasbench101"),
        ("nasbench101.nas", "nb1shot1_s3"),
        ("mobile.nas", "ofa_mobilenet_v3"),
        ("transformers.nas", "vit_tiny"),
    ],
)
def test_numbers_of_large_spaces(file, name):
    space = bundled_space(file, name)
    every = Enumeration(space)
    assert every.size == space.size()
    rng = random.Random(0)
    indices = [0, 1, every.size - 1, *(rng.randrange(every.size) for _ in range(40))]
    for index in indices:
        genotype = every[index]
        assert check(genotype, space) == genotype
        assert every.index(genotype) == index
    for _ in range(20):
        genotype = sample(space, rng)
        assert every[every.index(genotype)] == genotype


def test_what_cannot_be_listed_says_so():
    with pytest.raises(NotEnumerable, match="any number of a range"):
        Enumeration(bundled_space("small.nas", "tabular"))
    space = bundled_space("small.nas", "one_edge")
    every = Enumeration(space)
    assert [g.picks[0][1] for g in every] == ["skip_connect", "sep_conv_3x3", "dil_conv_3x3"]
    with pytest.raises(IndexError, match="architecture 3 of 3"):
        every[3]
    identity = space.decisions[0].id
    two = Genotype(space="one_edge", picks=((identity, "skip_connect"), (identity, "sep_conv_3x3")))
    with pytest.raises(GenotypeError, match="takes one of its options"):
        every.index(two)
    with pytest.raises(GenotypeError, match="picks are wanted"):
        every.index(Genotype(space="one_edge", picks=()))
