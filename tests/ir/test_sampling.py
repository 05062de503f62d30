"""Random architectures: legal, of the law that is stated, and countable."""

import random
from collections import Counter
from fractions import Fraction

import pytest
from spaces_for_tests import bundled_space, space_of

from nasdsl import driver
from nasdsl.diagnostics.model import CompileError
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.member import check, ordered
from nasdsl.ir.printer import print_space
from nasdsl.ir.reader import read_space
from nasdsl.ir.sampling import sample
from nasdsl.source import Source

SPACES = (
    ("darts.nas", "darts", {"C": 4, "layers": 3}),
    ("nasbench201.nas", "nasbench201", {}),
    ("nasbench101.nas", "nasbench101", {"n": 1}),
    ("nasbench101.nas", "nb1shot1_s3", {"n": 1}),
    ("mobile.nas", "ofa_mobilenet_v3", {}),
    ("mobile.nas", "nasbench_macro", {}),
    ("transformers.nas", "vit_tiny", {}),
    ("small.nas", "tabular", {}),
    ("small.nas", "conv1d", {}),
    ("small.nas", "hierarchical", {}),
)


@pytest.mark.parametrize(("file", "name", "parameters"), SPACES, ids=[s[1] for s in SPACES])
def test_samples_are_architectures_of_the_space(file, name, parameters):
    space = bundled_space(file, name, **parameters)
    rng = random.Random(0)
    for _ in range(20):
        genotype = sample(space, rng)
        assert check(genotype, space) == genotype == ordered(genotype, space)
        assert len(set(genotype.picks)) == len(genotype.picks)


def test_equal_seeds_give_equal_architectures():
    space = bundled_space("darts.nas", "darts", C=4, layers=3)
    first = [sample(space, random.Random(3)) for _ in range(2)]
    assert first[0] == first[1] != sample(space, random.Random(4))


def test_kept_edges_and_excluded_labels():
    space = bundled_space("darts.nas", "darts", C=4, layers=3)
    rng, seen = random.Random(1), Counter()
    for _ in range(600):
        genotype = sample(space, rng)
        assert len(genotype.picks) == 16
        assert all(label != "none" for _, label in genotype.picks)
        for node in range(1, 5):
            edges = [i for i, _ in genotype.picks if i.startswith(f"normal/x[{node}]<-")]
            assert len(set(edges)) == 2
        seen.update(i for i, _ in genotype.picks if i.startswith("normal/x[4]"))
    # Two of five edges stay: each in 40 % of the samples, within five standard deviations.
    assert len(seen) == 5
    assert all(180 < n < 300 for n in seen.values()), seen


LAW = """nas 1
space s(C = 4) {
  width = C
  input image(3, 8, 8)
  stem conv(3)
  repeat int 1..3 { stage conv(one_of {1, 3}) }
  stage one_of { identity, conv(one_of {3, 5, 7}) }
  head global_avg_pool >> linear(10)
}
"""


def test_the_law_is_uniform_over_architectures():
    space = space_of(LAW, "s")
    # 2 + 4 + 8 settings of the depth, 1 + 3 of the stage behind it.
    assert space.size() == 14 * 4
    rng = random.Random(0)
    n = 5600
    seen = Counter(sample(space, rng).picks for _ in range(n))
    assert len(seen) == 56
    chi2 = sum((count - 100) ** 2 / 100 for count in seen.values())
    assert chi2 < 105  # 55 degrees of freedom: exceeded with probability 1e-4
    each = Counter(sample(space, rng, uniform=False).of("body[1]")[0] for _ in range(3000))
    assert all(850 < each[d] < 1150 for d in "123")


def test_conditional_decisions_are_made_only_where_they_exist():
    space = space_of(LAW, "s")
    rng = random.Random(2)
    for _ in range(100):
        genotype = sample(space, rng)
        depth = int(genotype.of("body[1]")[0])
        rounds = {i.split(".")[1] for i, _ in genotype.picks if ".round[" in i}
        assert rounds == {f"round[{r}]" for r in range(1, depth + 1)}
        kernel = genotype.of("body[2].k") or genotype.of("body[2].kernel")
        assert bool(kernel) == (genotype.of("body[2]")[0] != "identity")


def test_numbers_without_options_lie_in_their_domain():
    text = """nas 1
space s {
  width = 4
  input image(3, 8, 8)
  stem conv(3) >> dropout(float 0.1..0.5) >> dropout(float 1e-4..1e-1 log)
  head global_avg_pool >> linear(10)
}
"""
    space = space_of(text, "s")
    assert space.size() is None
    low, log = space.decisions
    assert (low.low, low.high, low.log) == (Fraction(1, 10), Fraction(1, 2), False)
    assert (log.low, log.high, log.log) == (Fraction(1, 10000), Fraction(1, 10), True)
    assert read_space(print_space(space)) == space
    rng = random.Random(0)
    drawn = [sample(space, rng) for _ in range(400)]
    first = [float(g.of(low.id)[0]) for g in drawn]
    second = [float(g.of(log.id)[0]) for g in drawn]
    assert all(0.1 <= v <= 0.5 for v in first) and all(1e-4 <= v <= 0.1 for v in second)
    assert 150 < sum(v < 0.3 for v in first) < 250
    assert 100 < sum(v < 1e-3 for v in second) < 170  # a third of the scale
    assert not low.allows("0.6") and not low.allows("x") and not low.allows("1e999999999")
    assert low.allows("0.1") and low.allows("5e-1")


def test_a_number_that_was_picked_stands_in_the_target():
    text = """nas 1
space s {
  width = 4
  input image(3, 8, 8)
  stem conv(3) >> dropout(float 0.1..0.5)
  head global_avg_pool >> linear(10)
}
"""
    space = space_of(text, "s")
    identity = space.decisions[0].id
    genotype = Genotype(space="s", picks=((identity, "0.25"),))
    made = driver.space(driver.load(Source.of("test.nas", text)), "s", genotype=genotype)
    assert "dropout p=0.25" in print_space(made)


def test_picks_of_sources():
    space = bundled_space("nasbench101.nas", "nb1shot1_s1", n=1)
    assert space.size() == 14_580
    rng = random.Random(0)
    for _ in range(50):
        genotype = sample(space, rng)
        assert [len(genotype.of(f"c/{n}<-*")) for n in ("x[3]", "x[4]", "out")] == [2, 2, 2]
    sizes = [
        bundled_space("nasbench101.nas", name, n=1).size()
        for name in ("nb1shot1_s2", "nb1shot1_s3")
    ]
    assert sizes == [29_160, 1_312_200]
    # Any subset of the edges into a vertex, one at least into the output.
    raw = bundled_space("nasbench101.nas", "nasbench101", n=1)
    assert raw.size() == 3**5 * 2**15 * (2**6 - 1)
    assert all(sample(raw, rng).of("c/out<-*") for _ in range(200))


def test_rules_of_a_cell_hold_where_its_decisions_are_conditional():
    text = """nas 1
space s {
  cell c {
    in a
    node x[3]
    edge {a, x[<]} -> x : one_of {none, identity, conv(3)}
    keep 1 per node except {none}
    out x[3]
  }
  width = 4
  input image(3, 8, 8)
  stem conv(3)
  repeat int 1..2 { stage fresh c }
  head global_avg_pool >> linear(10)
}
"""
    space = space_of(text, "s")
    one = 2 * 4 * 6
    assert space.size() == one + one**2
    rng = random.Random(0)
    for _ in range(100):
        genotype = sample(space, rng)
        assert len(genotype.picks) == 1 + 3 * int(genotype.of("body[1]")[0])


@pytest.mark.parametrize("domain", ["0.5..0.1", "0..0.1 log"])
def test_domains_without_a_number(domain):
    text = f"""nas 1
space s {{
  width = 4
  input image(3, 8, 8)
  stem conv(3) >> dropout(float {domain})
  head global_avg_pool >> linear(10)
}}
"""
    with pytest.raises(CompileError, match="E221"):
        driver.load(Source.of("test.nas", text))
