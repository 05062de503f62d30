"""The cheapest and dearest architecture: by enumeration where it is exact, a bound elsewhere."""

import itertools
import random

import pytest
from spaces_for_tests import bundled_space, space_of

from nasdsl.ir import cost
from nasdsl.ir.expression import Expression, Factor, Term, evaluate
from nasdsl.ir.extremes import extreme
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.sampling import sample
from nasdsl.ir.space import Decision

KEEP = """nas 1
op block(k) = conv(k, stride = stride) >> bn
op deep     = block(1) >> one_of { relu, block(3), block(5) }
ops links { none  skip = identity  small = block(1)  large = block(3)  deep }
space s(C = 4) {
  cell c {
    in   a
    node x[3]
    edge a    -> x : one_of links
    edge x[<] -> x : one_of links
    keep 1 per x[2] except {none}
    keep 2 per x[3] except {none, skip}
    keep all per x[1]
    out  x[3]
  }
  width = C
  input image(4, 8, 8)
  stage c
  stage one_of { identity, block(3), deep }
  head global_avg_pool >> linear(10)
}
"""


def everything(groups, rules_of):
    """Every joint setting of groups, as lists of picks; conditional decisions too."""
    parts = []
    for group in groups:
        stay = len(group.decisions) if group.count is None else group.count
        found = []
        for kept in itertools.combinations(group.decisions, min(stay, len(group.decisions))):
            for labels in itertools.product(*(group.labels(d) for d in kept)):
                below = [
                    everything(rules_of(d, label), rules_of)
                    for d, label in zip(kept, labels, strict=True)
                ]
                for inner in itertools.product(*below):
                    picks = [(d.id, label) for d, label in zip(kept, labels, strict=True)]
                    found.append(picks + [p for some in inner for p in some])
        parts.append(found)
    return [[p for some in joint for p in some] for joint in itertools.product(*parts)]


@pytest.mark.parametrize("measure", ["params", "macs"])
def test_extremes_are_those_of_enumeration(measure):
    space = space_of(KEEP, "s")
    expression = cost.expression(space, measure)
    values = [
        evaluate(expression, Genotype(space="s", picks=tuple(picks)))
        for picks in everything(space.groups(), space.below)
    ]
    assert len(values) == space.size()
    low, high = (extreme(expression, space, largest=largest) for largest in (False, True))
    assert (low.amount, low.exact) == (min(values), True)
    assert (high.amount, high.exact) == (max(values), True)


def test_joint_settings_of_values_and_depths():
    """A width for all, a kernel per block, blocks that exist from a depth on."""
    labels = {
        "w": ("1", "2", "4"),
        "d": ("1", "2", "3"),
        **{f"k{i}": ("3", "5") for i in (1, 2, 3)},
    }
    kinds = {"w": "value", "d": "depth"}
    rng = random.Random(0)
    terms = [Term(rng.randrange(1, 50), (Factor("w", (w,)),)) for w in labels["w"]]
    for i in (1, 2, 3):
        for w, k in itertools.product(labels["w"], labels[f"k{i}"]):
            depths = tuple(d for d in labels["d"] if int(d) >= i)
            factors = (Factor("d", depths), Factor(f"k{i}", (k,)), Factor("w", (w,)))
            terms.append(Term(rng.randrange(-50, 50), factors))
    base = bundled_space("small.nas", "one_edge")
    decisions = tuple(
        Decision(id=d, table=d, kind=kinds.get(d, "value"), labels=found)
        for d, found in labels.items()
    )
    space = type(base)(
        name="s", parameters=(), supernet=base.supernet, target=base.target,
        decisions=decisions, rules=(), format="nas",
    )  # fmt: skip
    expression = Expression(measure="m", terms=tuple(terms), labels=tuple(labels.items()))
    values = [
        evaluate(expression, Genotype(space="s", picks=tuple(zip(labels, chosen, strict=True))))
        for chosen in itertools.product(*labels.values())
    ]
    for largest, wanted in ((False, min(values)), (True, max(values))):
        found = extreme(expression, space, largest=largest)
        assert (found.amount, found.exact) == (wanted, True)


@pytest.mark.parametrize("measure", ["params", "saved"])
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("darts.nas", "darts"),
        ("small.nas", "hierarchical"),
        ("bench_suite.nas", "single_cell_all_skip"),
    ],
)
def test_no_architecture_is_outside_the_bounds(file, name, measure):
    space = bundled_space(file, name)
    expression = cost.expression(space, measure)
    low, high = (extreme(expression, space, largest=largest).amount for largest in (False, True))
    rng = random.Random(4)
    values = [evaluate(expression, sample(space, rng, uniform=False)) for _ in range(200)]
    assert 0 <= low <= min(values) <= max(values) <= high


def test_the_extremes_of_darts():
    space = bundled_space("darts.nas", "darts")
    found = [cost.extreme(space, "params", largest=largest) for largest in (False, True)]
    assert [amount for amount, _ in found] == [1_370_134, 5_144_086]
    assert found[1][1] == {"sep_conv_5x5"}
