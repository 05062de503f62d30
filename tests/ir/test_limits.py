"""Requirements as values, the measures they name, and sampling under them."""

import random
from fractions import Fraction

import pytest
from spaces_for_tests import bundled_space, space_of

from nasdsl import driver
from nasdsl.diagnostics.model import CompileError
from nasdsl.ir import cost, measures
from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.limits import Limits
from nasdsl.ir.printer import print_space
from nasdsl.ir.reader import read_space
from nasdsl.ir.reading.lines import ReadError
from nasdsl.ir.requirement import (
    Amount,
    Measure,
    Negation,
    Relation,
    RequireError,
    Requirement,
    evaluate,
)
from nasdsl.ir.sampling import NothingFound, sample, sample_within
from nasdsl.ir.wiring import Wiring, picks_of
from nasdsl.source import Source


def limits_of(file, name, *conditions, **parameters):
    loaded = driver.load(file)
    space = driver.space(loaded, name, parameters)
    further = tuple(driver.requirement(loaded, c, name, parameters) for c in conditions)
    return space, Limits(space, driver.targets(loaded, name, parameters), further)


# ---- values


def test_a_requirement_is_a_value_that_prints_and_reads():
    text = """nas 1
space s(top = 3) {
  cell c {
    in a
    node x[2]
    edge {a, x[<]} -> x : one_of {none, identity, conv(3)}
    keep all per node
    require connected and not count(none) > 1 or edges * 2 <= top + 1
    out x[2]
  }
  width = 4
  input image(4, 8, 8)
  stage c
  head global_avg_pool >> linear(10)
  require params <= 2k
  require 100M >= flops
}
"""
    space = space_of(text, "s")
    params, flops, cell = space.requires
    assert params == Requirement(
        text="params <= 2k",
        test=Relation(op="<=", left=Measure(name="params"), right=Amount(value=Fraction(2000))),
    )
    assert flops.test == Relation(
        op=">=", left=Amount(value=Fraction(100_000_000)), right=Measure(name="flops")
    )
    assert cell.table == "c"
    assert str(cell) == "connected and not count(none) > 1 or edges * 2 <= top + 1 (in c)"
    assert cell.test == Relation(
        op="or",
        left=Relation(
            op="and",
            left=Measure(name="connected"),
            right=Negation(
                inner=Relation(
                    op=">",
                    left=Measure(name="count", label="none"),
                    right=Amount(value=Fraction(1)),
                )
            ),
        ),
        right=Relation(
            op="<=",
            left=Relation(op="*", left=Measure(name="edges"), right=Amount(value=Fraction(2))),
            right=Amount(value=Fraction(4)),
        ),
    )
    printed = print_space(space)
    assert read_space(printed) == space
    assert print_space(read_space(printed)) == printed
    for broken, message in (
        (printed.replace("measure edges", "measure length"), "there is no measure"),
        (printed.replace('relation "<="', 'relation "=<"', 1), "no operator"),
        (printed.replace("amount 2000", "amount 2/0"), "exact number"),
        (printed.replace("      amount 2000\n", ""), "two parts"),
    ):
        assert broken != printed
        with pytest.raises(ReadError, match=message):
            read_space(broken)


def test_tests_are_evaluated_from_left_to_right_as_far_as_needed():
    two = Amount(value=Fraction(2))
    asked = []

    def measured(measure):
        asked.append(measure.name)
        return {"edges": Fraction(3), "connected": False}[measure.name]

    more = Relation(op=">", left=Measure(name="edges"), right=two)
    both = Relation(op="and", left=Measure(name="connected"), right=more)
    assert evaluate(both, measured) is False and asked == ["connected"]
    either = Relation(op="or", left=more, right=both)
    assert evaluate(either, measured) is True and asked == ["connected", "edges"]
    assert evaluate(Negation(inner=both), measured) is True
    for op, value in (("+", 5), ("-", 1), ("*", 6), ("/", Fraction(3, 2)), ("//", 1)):
        assert evaluate(Relation(op=op, left=Measure(name="edges"), right=two), measured) == value
    for op, value in (("<", False), (">=", True), ("==", False), ("!=", True)):
        assert evaluate(Relation(op=op, left=Measure(name="edges"), right=two), measured) is value
    with pytest.raises(RequireError, match="divides by zero"):
        evaluate(Relation(op="/", left=two, right=Amount(value=Fraction(0))), measured)


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("parms <= 1M", "E506"),
        ("params", "E218"),
        ("3", "E218"),
        ("params <= 1M\n  stem conv(3)", "E218"),
        ("params <= few", "E101"),
        ("count() <= 1", "E112"),
        ("params <= 1M }", "E026"),
        ("", None),
    ],
)
def test_conditions_that_are_none(condition, code):
    loaded = driver.load("nasbench201")
    with pytest.raises(CompileError) as error:
        driver.requirement(loaded, condition)
    assert code is None or [d.code for d in error.value.diagnostics][0] == code


def test_a_cell_has_no_parameters_to_limit():
    text = """nas 1
space s {
  cell c {
    in a
    node x
    edge a -> x : one_of {conv(3), conv(5)}
    require params <= 1k
    out x
  }
  width = 4
  input image(4, 8, 8)
  stage c
  head global_avg_pool >> linear(10)
}
"""
    with pytest.raises(CompileError, match="measure of networks, not of a cell"):
        driver.space(driver.load(Source.of("t.nas", text), check=False), "s")


# ---- measures


def test_measures_of_cells_by_hand():
    space = bundled_space("nasbench201.nas", "nasbench201")
    wiring = Wiring(space)
    for text, edges, depth, skips in (
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 0, 0, 0),
        ("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|", 1, 1, 1),
        ("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|", 3, 3, 1),
        # Node 1 leads nowhere: its edge is cut, and the skip on it does not count.
        ("|skip_connect~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|avg_pool_3x3~2|", 2, 2, 0),
        # Nothing reaches node 2.
        ("|avg_pool_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|skip_connect~2|", 2, 2, 1),
    ):
        genotype = forms.parse(text, space)
        found = wiring.edges("c", picks_of(genotype), genotype)
        assert measures.edges(found) == edges, text
        assert measures.depth(found) == depth, text
        assert measures.count(found, "skip_connect") == skips, text


def test_measures_of_picked_cells():
    """The Inception-like cell of the NAS-Bench-101 readme: seven vertices, nine edges."""
    space = bundled_space("nasbench101.nas", "nasbench101")
    matrix = ["0111010", "0000001", "0000001", "0000100", "0000001", "0000001", "0000000"]
    ops = ["conv1x1_bn_relu", "conv3x3_bn_relu", "conv3x3_bn_relu", "conv3x3_bn_relu", "maxpool3x3"]
    names = ["a", *(f"x[{i}]" for i in range(1, 6)), "out"]
    picks = [(f"c/{name}", op) for name, op in zip(names[1:], ops, strict=False)]
    for row, source in zip(matrix, names, strict=True):
        for bit, target in zip(row, names, strict=True):
            if bit == "1":
                picks.append((f"c/{target}<-*", source))
    genotype = forms.check(Genotype(space=space.name, picks=tuple(picks)), space)
    found = Wiring(space).edges("c", picks_of(genotype), genotype)
    assert measures.edges(found) == sum(row.count("1") for row in matrix) == 9
    assert measures.depth(found) == 3
    assert measures.count(found, "conv3x3_bn_relu") == 3
    assert Limits(space).holds(genotype)


def test_costs_are_those_of_the_discrete_network():
    for file, name in (
        ("mobile.nas", "ofa_mobilenet_v3"),
        ("small.nas", "tabular"),
        ("darts.nas", "darts"),
    ):
        loaded = driver.load(file)
        space, limits = limits_of(file, name, "params < 0", "flops < 0")
        genotype = sample(space, random.Random(1))
        target = driver.space(loaded, name, genotype=genotype).target
        total = cost.of_network(target)
        found = {r.text: text for r, text in limits.violations(genotype)}
        assert found["params < 0"] == f"params = {total.params:,}"
        assert found["flops < 0"] == f"flops = {total.macs:,}"


def test_depth_and_memory_of_a_network():
    text = """nas 1
space s {
  width = 4
  input image(4, 8, 8)
  stem conv(3) >> bn >> relu
  repeat int 1..3 { stage identity + (conv(3) >> relu >> conv(3)) }
  head global_avg_pool >> linear(10)
}
"""
    loaded = driver.load(Source.of("t.nas", text))
    build = driver.targets(loaded, "s")
    made = build(Genotype(space="s", picks=(("body[1]", "1"),)))
    # A stem, a residual of two, a classifier.
    assert measures.layers(made) == 1 + 2 * len([s for s in made.stages if s.role == "body"]) + 1
    bodies = len([s for s in made.stages if s.role == "body"])
    maps = 3 + 3 * bodies
    assert measures.memory(made) == 4 * (maps * 4 * 8 * 8 + 4 + 10)


# ---- sampling


def test_sampling_under_requirements():
    space, limits = limits_of(
        "nasbench201.nas", "nasbench201", "params <= 400k", "count(none) == 0"
    )
    rng = random.Random(0)
    build = driver.targets(driver.load("nasbench201.nas"), "nasbench201")
    for _ in range(10):
        genotype = sample_within(limits, rng)
        assert cost.of_network(build(genotype)).params <= 400_000
        assert all(label != "none" for _, label in genotype.picks)
        assert limits.violations(genotype) == []
    drawn = [sample_within(limits, random.Random(5)) for _ in range(2)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("nasbench101.nas", "nasbench101"),
        ("mobile.nas", "ofa_mobilenet_v3"),
        ("small.nas", "tabular"),
        ("transformers.nas", "vit_tiny"),
    ],
)
def test_bundled_spaces_with_requirements_have_architectures(file, name):
    space, limits = limits_of(file, name)
    assert space.requires
    genotype = sample_within(limits, random.Random(0))
    assert limits.holds(genotype) and forms.check(genotype, space) == genotype


def test_nothing_found_says_what_failed():
    _, limits = limits_of("nasbench201.nas", "nasbench201", "params <= 1k", "flops <= 1000000M")
    with pytest.raises(NothingFound) as error:
        sample_within(limits, random.Random(0), tries=20)
    text = str(error.value)
    assert "in 20 tries; `params <= 1k` failed 20 times, the last with params = " in text
    space, limits = limits_of("nasbench101.nas", "nasbench101", "edges > 9")
    with pytest.raises(NothingFound, match=r"`edges (<= 9|> 9)"):
        sample_within(limits, random.Random(0), tries=30)
    with pytest.raises(RequireError, match="needs the network"):
        Limits(bundled_space("small.nas", "tabular")).holds(
            sample(bundled_space("small.nas", "tabular"), random.Random(0))
        )
