"""Public bug reports about the texts of architectures."""

import itertools
import json

import pytest
import torch
from spaces_for_tests import bundled_space, images, space_of

from nasdsl.codegen.discrete import Discrete
from nasdsl.ir import cost
from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import GenotypeError, loads
from nasdsl.report.genotype import connected

NB201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


@pytest.fixture(scope="module")
def nb201():
    return bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, data=images(3, 8, 10))


@pytest.fixture(scope="module")
def darts():
    return bundled_space("darts.nas", "darts", C=4, layers=3)


def target(text, space, genotype=None):
    made = genotype or forms.parse(text, space)
    data = images(3, 8, 10)
    return bundled_space(
        "nasbench201.nas", "nasbench201", C=4, n=1, data=data, genotype=made
    ).target


def test_the_order_of_picks_does_not_change_the_architecture(nb201):
    """C10: equal picks in another order give the same text and the same network."""
    ops = {"0_1": "nor_conv_3x3", "0_2": "none", "1_2": "avg_pool_3x3"}
    ops |= {"0_3": "none", "1_3": "none", "2_3": "nor_conv_3x3"}
    names = ["a", "x[1]", "x[2]", "x[3]"]

    def neutral(keys):
        picks = []
        for key in keys:
            source, node = map(int, key.split("_"))
            picks.append([f"c/{names[node]}<-{names[source]}", ops[key]])
        return json.dumps({"schema": 1, "space": "nasbench201", "digest": None, "picks": picks})

    first = forms.parse(neutral(ops), nb201)
    second = forms.parse(neutral(sorted(ops)), nb201)
    text = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|none~0|none~1|nor_conv_3x3~2|"
    assert forms.dumps(first, nb201).strip() == text
    assert forms.dumps(second, nb201).strip() == text
    assert target(None, nb201, first) == target(None, nb201, second)


REST = "|none~0|none~1|none~2|"
BAD_STRINGS = {
    "negative_state": (
        "|nor_conv_3x3~-1|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|skip_connect~2|",
        "nor_conv_3x3~-1",
    ),
    "unknown_operation": ("|foo~0|+|none~0|none~1|+" + REST, "foo"),
    "state_twice": ("|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~0|+" + REST, "nor_conv_3x3~0"),
    "two_nodes": ("|none~0|+|none~0|none~1|", "nodes"),
    "leading_blank": (" |none~0|+|none~0|none~1|+" + REST, "position 0"),
    "own_state": ("|nor_conv_3x3~1|+|none~0|none~1|+" + REST, "nor_conv_3x3~1"),
    "empty": ("", "empty"),
    "trailing_plus": ("|none~0|+|none~0|none~1|+" + REST + "+", "nodes"),
}


@pytest.mark.parametrize("name", BAD_STRINGS)
def test_malformed_nasbench201_strings_are_refused_with_position_and_token(name, nb201):
    """C11: the reference parser accepts the first four."""
    text, token = BAD_STRINGS[name]
    with pytest.raises(GenotypeError, match="position") as caught:
        forms.parse(text, nb201)
    assert token in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_edges_of_a_node_are_read_in_any_order_and_written_in_one(nb201):
    """C12: equal architectures are equal objects with one text."""
    loose = "|nor_conv_3x3~0|+|none~1|nor_conv_3x3~0|+|skip_connect~2|none~1|skip_connect~0|"
    strict = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|skip_connect~2|"
    a, b = forms.parse(loose, nb201), forms.parse(strict, nb201)
    assert a == b
    assert hash(a) == hash(b)
    assert forms.dumps(a, nb201).strip() == strict


def test_all_strings_of_nasbench201_and_those_without_a_path(nb201):
    """C13: 15,625 strings, each its own; 341 of them let nothing through."""
    texts = set()
    for numbers in itertools.product(range(5), repeat=6):
        a, b, c, d, e, f = (NB201_OPS[n] for n in numbers)
        text = f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
        genotype = forms.parse(text, nb201)
        assert forms.dumps(genotype, nb201) == text + "\n"
        texts.add(text)
    assert len(texts) == 15_625 == nb201.size()
    blocked = 0
    for pattern in itertools.product(("none", "skip_connect"), repeat=6):
        a, b, c, d, e, f = pattern
        text = f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
        # Any of four operations stands where `skip_connect` stands here.
        if not connected(target(text, nb201)):
            blocked += 4 ** sum(op != "none" for op in pattern)
    assert blocked == 341


def test_six_integers_are_the_alpha_columns_in_edge_order(nb201):
    """C13: the same cell as its string."""
    text = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|none~0|none~1|nor_conv_3x3~2|"
    assert forms.parse("[3, 0, 4, 0, 0, 3]", nb201) == forms.parse(text, nb201)
    with pytest.raises(GenotypeError, match="5"):
        forms.parse("[3, 0, 5, 0, 0, 3]", nb201)


NASNET_NORMAL = (
    "('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), ('sep_conv_3x3', 0), "
    "('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0), "
    "('sep_conv_3x3', 1), ('skip_connect', 1)"
)
NASNET = (
    f"Genotype(normal=[{NASNET_NORMAL}], normal_concat=[2, 3, 4, 5, 6], "
    "reduce=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), ('max_pool_3x3', 1), ('sep_conv_7x7', 0), "
    "('avg_pool_3x3', 1), ('sep_conv_5x5', 0), ('skip_connect', 3), ('avg_pool_3x3', 2), "
    "('sep_conv_3x3', 2), ('max_pool_3x3', 1)], reduce_concat=[4, 5, 6])"
)


def test_two_operations_from_one_state_to_one_node_are_both_kept_and_both_run():
    """C14: ('avg_pool_3x3', 0) twice is twice the value, not once."""
    space = bundled_space("nasnet.nas", "nasnet", C=4, layers=3)
    genotype = forms.parse(NASNET, space)
    assert genotype.of("normal/x[2]<-prev2") == ("sep_conv_5x5", "sep_conv_3x3")
    assert genotype.of("normal/x[4]<-prev2") == ("avg_pool_3x3", "avg_pool_3x3")
    assert forms.dumps(genotype, space).strip() == NASNET
    small = {"C": 4, "layers": 3}
    net = bundled_space("nasnet.nas", "nasnet", C=4, layers=3, target=small, genotype=genotype)
    discrete = Discrete(net.target)
    pools = [m for m in discrete.modules() if isinstance(m, torch.nn.AvgPool2d)]
    # Per normal cell three, per reduce cell two; layers are normal, reduce, reduce.
    assert len(pools) == 3 + 2 * 2
    assert sum(p.numel() for p in discrete.parameters()) == cost.of_network(net.target).params
    assert discrete(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("normal", "reduce", "joined"),
    [
        ("[2, 3, 4, 5]", "[4, 5]", (4, 2)),
        ("[3, 5]", "range(2, 6)", (2, 4)),
        ("[4]", "[2, 5]", (1, 2)),
    ],
)
def test_a_cell_joins_the_nodes_its_concat_lists(normal, reduce, joined, darts):
    """C15: the width of a cell follows the genotype, each cell for itself."""
    pairs = ", ".join(["('skip_connect', 0), ('sep_conv_3x3', 1)"] * 4)
    text = (
        f"Genotype(normal=[{pairs}], normal_concat={normal}, "
        f"reduce=[{pairs}], reduce_concat={reduce})"
    )
    genotype = forms.parse(text, darts)
    small = {"C": 4, "layers": 3}
    net = bundled_space("darts.nas", "darts", C=4, layers=3, target=small, genotype=genotype).target
    widths = [stage.out.channels for _, stage, _ in net.cells()]
    assert widths == [joined[0] * 4, joined[1] * 8, joined[1] * 16]
    assert forms.parse(forms.dumps(genotype, darts), darts) == genotype


PC_DARTS = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), "
    "('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), "
    "('dil_conv_3x3', 1)], normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), "
    "('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], reduce_concat=range(2, 6))"
)


def test_range_and_list_are_one_genotype(darts):
    """C16: equal, of one hash, and JSON keeps it."""
    a = forms.parse(PC_DARTS, darts)
    b = forms.parse(PC_DARTS.replace("range(2, 6)", "[2, 3, 4, 5]"), darts)
    assert a == b
    assert hash(a) == hash(b)
    assert loads(a.dumps()) == a
    assert loads(a.dumps()).dumps() == a.dumps()


SEPARABLE = (
    "Genotype(normal=[{0}, {0}, {0}, {0}], normal_concat=range(2, 6), "
    "reduce=[{0}, {0}, {0}, ('sep_conv_3x3', 0), ('sep_conv_3x3', 2)], reduce_concat=range(2, 6))"
).format("('sep_conv_3x3', 0), ('sep_conv_3x3', 1)")


def test_a_literal_is_parsed(darts):
    """C17: what a user passed on the command line."""
    genotype = forms.parse(SEPARABLE, darts)
    assert genotype.of("reduce/x[4]<-x[1]") == ("sep_conv_3x3",)
    assert len(genotype.picks) == 16


@pytest.mark.parametrize(
    "call",
    ["{}", "Genotype({}, normal_concat=[2])", "Genotype(normal={}, reduce={})",
     "Genotype(normal=[({}, 0)], reduce=[])", "Genotype(normal_concat=range({}))"],
)  # fmt: skip
def test_a_genotype_is_never_executed(call, darts, tmp_path):
    """C17: calls inside are refused before anything of them runs."""
    victim = tmp_path / "victim"
    code = f"__import__('pathlib').Path({str(victim)!r}).touch()"
    with pytest.raises(GenotypeError):
        forms.parse(call.replace("{}", code), darts)
    assert not victim.exists()


@pytest.mark.parametrize(
    "normal",
    [
        "[]",
        "[" + ", ".join(["('sep_conv_3x3', 0)"] * 7) + "]",
        "[" + ", ".join(["('sep_conv_3x3', 0)"] * 6) + "]",
        "[" + ", ".join(["('sep_conv_3x3', True), ('sep_conv_3x3', 1)"] * 4) + "]",
        "[" + ", ".join(["('sep_conv_3x3', 9), ('sep_conv_3x3', 1)"] * 4) + "]",
        "[" + ", ".join(["('sep_conv_9x9', 0), ('sep_conv_3x3', 1)"] * 4) + "]",
        "[" + ", ".join(["('none', 0), ('sep_conv_3x3', 1)"] * 4) + "]",
    ],
    ids=["empty", "seven", "six", "boolean", "later_state", "unknown", "none"],
)
def test_odd_or_empty_cells_are_refused(normal, darts):
    """C17: seven pairs, no pair, a state that comes later, an operation the space has not."""
    good = SEPARABLE[SEPARABLE.index("reduce=") :]
    with pytest.raises(GenotypeError):
        forms.parse(f"Genotype(normal={normal}, normal_concat=range(2, 6), {good}", darts)


def test_nested_pairs_and_long_names_are_the_same_genotype(darts):
    """C18: the dialect of Katib and pt.darts."""
    group = "[('max_pooling_3x3', 0), ('dilated_convolution_5x5', 1)]"
    nested = (
        f"Genotype(normal=[{', '.join([group] * 4)}], normal_concat=range(2, 6), "
        f"reduce=[{', '.join([group] * 4)}], reduce_concat=range(2, 6))"
    )
    flat = nested.replace("[(", "(").replace(")]", ")").replace("l=(", "l=[(")
    flat = flat.replace("e=(", "e=[(").replace("), normal_c", ")], normal_c")
    flat = flat.replace("), reduce_c", ")], reduce_c")
    flat = flat.replace("max_pooling_3x3", "max_pool_3x3")
    flat = flat.replace("dilated_convolution_5x5", "dil_conv_5x5")
    genotype = forms.parse(nested, darts)
    assert genotype == forms.parse(flat, darts)
    assert genotype.of("normal/x[4]<-prev") == ("dil_conv_5x5",)


def test_an_unknown_long_name_is_named_and_nothing_is_cut_off(darts):
    """C18: neither four of eight pairs nor three of four nodes."""
    group = "[('max_pooling_3x3', 0), ('gated_convolution_3x3', 1)]"
    text = f"Genotype(normal=[{', '.join([group] * 4)}], reduce=[{', '.join([group] * 4)}])"
    with pytest.raises(GenotypeError, match="gated_convolution_3x3"):
        forms.parse(text, darts)
    group = "[('max_pooling_3x3', 0), ('max_pooling_3x3', 1)]"
    text = f"Genotype(normal=[{', '.join([group] * 3)}], reduce=[{', '.join([group] * 4)}])"
    with pytest.raises(GenotypeError, match="3 nodes"):
        forms.parse(text, darts)


def test_picks_of_another_space_are_refused():
    """C12: an architecture that is not of the space is an error, never a default."""
    space = space_of(
        "nas 1\nspace s {\n  cell c {\n    in a\n    node x\n"
        "    edge a -> x : one_of {relu, tanh}\n    out x\n  }\n  width = 3\n"
        "  input image(3, 8, 8)\n  stage c\n  head global_avg_pool >> linear(2)\n}\n",
        "s",
    )
    with pytest.raises(GenotypeError, match="no decision"):
        forms.parse(
            '{"schema": 1, "space": "s", "digest": null, "picks": [["c/y<-a", "relu"]]}', space
        )
    with pytest.raises(GenotypeError, match="no option"):
        forms.parse(
            '{"schema": 1, "space": "s", "digest": null, "picks": [["c/x<-a", "gelu"]]}', space
        )
