"""What makes a list of picks an architecture of a space: nothing missing, nothing too much."""

import json
from dataclasses import replace

import pytest
import random_texts as texts
from spaces_for_tests import bundled_space, space_of

from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.member import check
from nasdsl.ir.sampling import sample


def genotype(space, picks, **more):
    return Genotype(space=space.name, picks=tuple(picks), **more)


def refused(space, picks, message):
    with pytest.raises(GenotypeError, match=message):
        check(genotype(space, picks), space)


@pytest.fixture(scope="module")
def gpt():
    return bundled_space("transformers.nas", "gpt_small")


@pytest.fixture(scope="module")
def tabular():
    return bundled_space("small.nas", "tabular")


def without(found, identity):
    return [p for p in found.picks if p[0] != identity]


def deep(space, depth, identity):
    """A sample whose depth is the one wanted."""
    rng = texts.generator(30)
    return next(
        g
        for g in (sample(space, rng, uniform=False) for _ in range(500))
        if g.of(identity) == (depth,)
    )


def test_every_decision_needs_its_pick(gpt):
    """Value, depth, and below the depth: without any one of them nothing is an architecture."""
    found = deep(gpt, "3", "body[1]")
    assert check(found, gpt) == found
    for identity, _ in found.picks:
        message = "exists only" if identity == "body[1]" else "no pick for"
        refused(gpt, without(found, identity), message)


def test_what_is_missing_is_named_with_its_options(gpt):
    found = deep(gpt, "3", "body[1]")
    refused(gpt, without(found, "dim"), "no pick for `dim`: one of `128`, `192`, `256`")


def test_picks_below_a_depth_that_is_not_taken(gpt):
    found = deep(gpt, "3", "body[1]")
    shallow = [("body[1]", "2") if k == "body[1]" else (k, v) for k, v in found.picks]
    refused(gpt, shallow, r"round\[3\].*exists only where `body\[1\]` is `3` or `4` or")
    kept = [p for p in shallow if "round[3]" not in p[0]]
    assert check(genotype(gpt, kept), gpt).of("body[1]") == ("2",)


def test_picks_below_an_option_that_is_not_taken():
    space = bundled_space("small.nas", "conv1d")
    wide = "conv_bn(one_of {5, 9, 15})"
    places = [f"body[1].round[{i}].2.round[{j}]" for i in (1, 2, 3) for j in (1, 2)]
    plain = [(place, "identity") for place in places]
    assert check(genotype(space, plain), space).picks == tuple(plain)
    k = (f"{places[0]}.k", "9")
    refused(space, [*plain, k], "exists only where .* is `conv_bn")
    refused(space, [(places[0], wide), *plain[1:]], r"no pick for `.*\.k`")
    made = check(genotype(space, [*plain[1:], k, (places[0], wide)]), space)
    assert made.picks == ((places[0], wide), k, *plain[1:])


def test_one_pick_is_not_two(gpt):
    found = deep(gpt, "2", "body[1]")
    refused(gpt, [*found.picks, ("dim", "128")], "2 picks for `dim`")


def test_numbers_of_a_domain(tabular):
    """Decimal texts from 0 to 0.5; nothing that only looks like a number."""
    found = deep(tabular, "1", "body[1]")
    identity = next(k for k, _ in found.picks if k.endswith(".p"))

    def with_number(text):
        return [(k, text if k == identity else v) for k, v in found.picks]

    for text in ("0", "0.5", "0.25", "1e-3", "0.123456789012345"):
        made = check(genotype(tabular, with_number(text)), tabular)
        assert made.of(identity) == (text,)
        assert forms.parse(made.dumps(), tabular) == made
    wrong = ["0.51", "-0.1", "1", "nan", "inf", "", " 0.1", "0.1 ", "1/4", "0x1", "٠", "float",
             "1e999999999", "0." + "1" * 5_000, "0.1.1", ".1"]  # fmt: skip
    for text in wrong:
        refused(tabular, with_number(text), "is a number from 0 to 0.5")


@pytest.fixture(scope="module")
def nb101():
    return bundled_space("nasbench101.nas", "nasbench101", C=20, n=1)


def cell(space, edges):
    picks = [(f"c/x[{i}]", "maxpool3x3") for i in range(1, 6)]
    return picks + [(f"c/{node}<-*", source) for node, source in edges]


def test_any_subset_of_inputs_but_no_empty_output(nb101):
    assert check(genotype(nb101, cell(nb101, [("out", "a")])), nb101).of("c/x[1]<-*") == ()
    every = [("x[2]", "a"), ("x[2]", "x[1]"), ("out", "x[2]"), ("out", "a")]
    made = check(genotype(nb101, cell(nb101, every)), nb101)
    assert made.of("c/out<-*") == ("a", "x[2]")
    refused(nb101, cell(nb101, [("x[2]", "a")]), "no output")
    refused(nb101, cell(nb101, [*every, ("out", "a")]), "names `a` twice")
    refused(nb101, cell(nb101, [*every, ("x[2]", "x[3]")]), r"no option `x\[3\]`")
    refused(nb101, cell(nb101, every)[1:], r"no pick for `c/x\[1\]`")


def test_a_fixed_number_of_inputs():
    space = bundled_space("nasbench101.nas", "nb1shot1_s2", C=20, n=1)
    good = sample(space, texts.generator(31))
    assert check(good, space) == good
    out = [s for k, s in good.picks if k == "c/out<-*"]
    assert len(out) == 3
    fewer = [p for p in good.picks if p != ("c/out<-*", out[0])]
    refused(space, fewer, "names 2 sources; 3 are wanted")
    more = next(s for s in space.decision("c/out<-*").labels if s not in out)
    refused(space, [*good.picks, ("c/out<-*", more)], "names 4 sources")


def test_edges_that_stay_and_edges_that_are_kept():
    darts = bundled_space("darts.nas", "darts", C=4, layers=3)
    good = sample(darts, texts.generator(32))
    node = [p for p in good.picks if p[0].startswith("normal/x[4]<-")]
    assert len(node) == 2
    refused(darts, [p for p in good.picks if p not in node], r"`normal/x\[4\]` has no edge")
    free = next(
        d.id
        for d in darts.decisions
        if d.id.startswith("normal/x[4]<-") and d.id not in [k for k, _ in node]
    )
    refused(darts, [*good.picks, (free, "skip_connect")], r"keeps 2 edges, not 3")
    none = [(k, "none") if k == node[0][0] else (k, v) for k, v in good.picks]
    refused(darts, none, "may not be `none`")
    nb201 = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1)
    full = sample(nb201, texts.generator(33))
    refused(nb201, full.picks[1:], "0 picks for .*; every edge has one")
    refused(nb201, [*full.picks, full.picks[0]], "2 picks for .*; every edge has one")


def test_an_edge_that_is_not_picked_may_go_without_an_operation():
    """An operation of an edge that `pick` leaves out may stand there; one that is used must."""
    space = space_of(
        "nas 1\nspace s {\n  cell c {\n    in a\n    node x[2]\n"
        "    edge {a, x[<]} -> x : one_of {relu, tanh}\n    pick 1 per x[2]\n"
        "    out x[2]\n  }\n  width = 3\n  input image(3, 8, 8)\n  stage c\n"
        "  head global_avg_pool >> linear(2)\n}\n",
        "s",
    )
    base = [("c/x[1]<-a", "relu"), ("c/x[2]<-*", "x[1]")]
    used, unused = ("c/x[2]<-x[1]", "tanh"), ("c/x[2]<-a", "relu")
    assert check(genotype(space, [*base, used]), space).of("c/x[2]<-a") == ()
    assert check(genotype(space, [*base, used, unused]), space).of("c/x[2]<-a") == ("relu",)
    refused(space, [*base, unused], "an edge that is used has one")


def test_outputs_are_those_that_differ():
    darts = bundled_space("darts.nas", "darts", C=4, layers=3)
    good = sample(darts, texts.generator(34))
    own = (("normal", ("x[1]", "x[2]", "x[3]", "x[4]")),)
    assert check(replace(good, outputs=own), darts) == good
    some = (("reduce", ("x[3]",)), ("normal", ("x[4]", "x[1]")))
    made = check(replace(good, outputs=some), darts)
    assert made.outputs == tuple(reversed(some))
    assert forms.parse(forms.dumps(made, darts), darts) == made
    assert forms.parse(made.dumps(), darts) == made
    for outputs, message in (
        ((("normal", ("x[5]",)),), "no node"),
        ((("normal", ()),), "joins no node"),
        ((("normal", ("x[1]", "x[1]")),), "twice"),
        ((("norml", ("x[1]",)),), "did you mean `normal`"),
    ):
        with pytest.raises(GenotypeError, match=message):
            check(replace(good, outputs=outputs), darts)


def test_neutral_texts_that_are_none():
    space = bundled_space("nasbench201.nas", "nats_size")
    good = forms.parse("64:64:8:8:16", space)
    data = good.as_json()
    text = json.dumps(data)
    assert forms.parse(text, space) == good
    for changed, message in (
        (text[:-1], "not JSON"),
        (json.dumps({**data, "schema": 2}), "schema 2"),
        (json.dumps({**data, "picks": {}}), "`picks` is a list"),
        (json.dumps({**data, "picks": [["c1", 64]]}), "`picks` is a list"),
        (json.dumps({**data, "outputs": []}) + " ", None),
        (json.dumps({**data, "outputs": [1]}), "`outputs` maps"),
        (json.dumps({**data, "space": 3}), "`space` is a name"),
        (text.replace('"picks"', '"picks": [], "picks"'), "given twice"),
        (text.replace('"64"', '"63"', 1), "no option `63`"),
        (text.replace('"c1"', '"c9"'), "no decision `c9`; known here: c1"),
    ):
        if message is None:
            assert forms.parse(changed, space) == good
            continue
        with pytest.raises(GenotypeError, match=message):
            forms.parse(changed, space)
