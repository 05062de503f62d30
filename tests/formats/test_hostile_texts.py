"""Texts that want to run something, break the reader, or are almost right: a message, no more."""

import json
import warnings

import pytest
from spaces_for_tests import bundled_space

from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import GenotypeError

SPACES = {
    "darts": ("darts.nas", "darts", {"C": 4, "layers": 3}),
    "nasbench201": ("nasbench201.nas", "nasbench201", {"C": 4, "n": 1}),
    "nasbench101": ("nasbench101.nas", "nasbench101", {"C": 20, "n": 1}),
    "nasbench1shot1": ("nasbench101.nas", "nb1shot1_s1", {"C": 20, "n": 1}),
    "transnasbench101": ("transbench101.nas", "tnb101_micro", {}),
    "nats_size": ("nasbench201.nas", "nats_size", {}),
    "digits": ("mobile.nas", "nasbench_macro", {}),
    "depth": ("transformers.nas", "gpt_small", {}),
}


@pytest.fixture(scope="module")
def spaces():
    return {key: bundled_space(f, n, **kw) for key, (f, n, kw) in SPACES.items()}


HOSTILE = {
    "code": "__import__('os').system('id')",
    "code_in_darts": "Genotype(normal=__import__('os').system('id'), reduce=[])",
    "code_in_list": "Genotype(normal=[(open('x', 'w'), 0)], reduce=[])",
    "code_in_json": '{"matrix": __import__("os"), "ops": []}',
    "code_in_spec": "ModelSpec(matrix=eval('1'), ops=exec('2'))",
    "lambda": "(lambda: 0)()",
    "f_string": "f'{open}'",
    "attribute": "Genotype.__class__.__mro__",
    "deep_lists": "[" * 50_000 + "]" * 50_000,
    "deep_tuples": "Genotype(normal=" + "(" * 40_000 + ")" * 40_000 + ")",
    "deep_json": '{"picks": ' * 20_000 + "1" + "}" * 20_000,
    "deep_calls": "a(" * 30_000 + ")" * 30_000,
    "deep_minus": "-" * 90_000 + "1",
    "deep_attributes": "a" + ".a" * 40_000,
    "long_sum": "1" + "+1" * 40_000,
    "long_number": "9" * 90_000,
    "long_number_in_json": '{"picks": ' + "9" * 90_000 + "}",
    "long_digits": "0" * 50_000,
    "long_groups": "|a~0|+" * 10_000,
    "long_string": "Genotype(normal='" + "x" * 90_000,
    "too_long": "x" * 100_001,
    "empty": "",
    "blank": " \n\t ",
    "zero": "\0",
    "surrogate": "\ud800",
    "digits_of_another_script": "٠٢٠١٢١٠٠",
    "superscripts": "²²:²²:²²:²²:²²",
    "fullwidth": "６４:６４:６４:６４:６４",
    "right_to_left": "\u202eGenotype()",
    "nan": "NaN",
    "json_nan": '{"schema": NaN, "picks": []}',
    "escape": r"Genotype(normal=[('\x41', 0)], reduce=[])",
    "two_calls": "Genotype(normal=[])(reduce=[])",
    "twice": "Genotype(normal=[], normal=[], reduce=[])",
    "stars": "Genotype(**{'normal': []})",
    "unknown_name": "DARTS_V3",
    "tag_alone": "naslib:",
    "unknown_tag": "yaml: [1]",
    "list_of_lists": "[[[0]]]",
    "none": "None",
}


@pytest.mark.parametrize("key", SPACES)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_get_a_message(name, key, spaces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(GenotypeError) as caught:
            forms.parse(HOSTILE[name], spaces[key])
    assert 0 < len(str(caught.value)) < 600
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", forms.NAMES)
def test_hostile_texts_of_a_named_form(form, spaces):
    """A form that is asked for by name does not fall back on another one."""
    for space in spaces.values():
        for text in HOSTILE.values():
            with pytest.raises(GenotypeError):
                forms.parse(text, space, form)


TRANS = ["64-41414-3_33", "64-51414-3_33_333", "64-41414-3_33_334", "64-41414-33_3_333",
         "64-41414-3_33_3333", "41414-3_33_333", "64-1234-basic", "64-41414-basic", "64-4141-3_33_333",
         "32-41414-3_33_333", "64-41414-3_33_33a", "64-41414-3_33_-33", "64--3_33_333",
         "064-41414-3_33_333", "64-41414-3_33_333-1"]  # fmt: skip


@pytest.mark.parametrize("text", TRANS)
def test_malformed_transnasbench101_strings(text, spaces):
    """C20: the first six; then macro strings and other frames."""
    with pytest.raises(GenotypeError):
        forms.parse(text, spaces["transnasbench101"])


def test_messages_of_transnasbench101_name_the_part(spaces):
    said = {}
    for text in TRANS[:6]:
        with pytest.raises(GenotypeError) as caught:
            forms.parse(text, spaces["transnasbench101"])
        said[text] = str(caught.value)
    assert "2 nodes" in said["64-41414-3_33"]
    assert "`5` of `51414`" in said["64-51414-3_33_333"]
    assert "`4` of `334`" in said["64-41414-3_33_334"]
    assert "`33` is node 1" in said["64-41414-33_3_333"]
    assert "`3333` is node 3" in said["64-41414-3_33_3333"]
    assert "2 parts" in said["41414-3_33_333"]


def test_compact_tuples_use_the_table_without_none(spaces):
    """C09: seven operations, of which 7 is none; the key that a user quoted."""
    compact = (
        "(((0,6),(1,4),(0,0),(1,5),(1,4),(3,2),(0,6),(3,2)),"
        "((0,1),(1,4),(0,1),(1,4),(2,6),(3,4),(1,5),(2,1)))"
    )
    text = (
        "Genotype(normal=[('dil_conv_5x5', 0), ('sep_conv_5x5', 1), ('max_pool_3x3', 0), "
        "('dil_conv_3x3', 1), ('sep_conv_5x5', 1), ('skip_connect', 3), ('dil_conv_5x5', 0), "
        "('skip_connect', 3)], normal_concat=[2, 3, 4, 5], reduce=[('avg_pool_3x3', 0), "
        "('sep_conv_5x5', 1), ('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('dil_conv_5x5', 2), "
        "('sep_conv_5x5', 3), ('dil_conv_3x3', 1), ('avg_pool_3x3', 2)], "
        "reduce_concat=[2, 3, 4, 5])"
    )
    space = spaces["darts"]
    assert forms.dumps(forms.parse(compact, space), space).strip() == text
    with pytest.raises(GenotypeError, match="7 is no operation: 0 to 6"):
        forms.parse(compact.replace("(0,6)", "(0,7)"), space)
    with pytest.raises(GenotypeError, match="state 4"):
        forms.parse(compact.replace("(3,2)", "(4,2)"), space)
    with pytest.raises(GenotypeError, match="7 pairs"):
        forms.parse(compact.replace("(0,6),(1,4),", "(0,6),", 1), space)


def test_six_numbers_in_parentheses_are_not_guessed_at(spaces):
    """Read as columns of the alpha table they would be another architecture."""
    space = spaces["nasbench201"]
    with pytest.raises(GenotypeError, match="naslib: "):
        forms.parse("(4, 0, 3, 1, 4, 3)", space)
    found = forms.parse("naslib: (4, 0, 3, 1, 4, 3)", space)
    text = "|avg_pool_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|"
    assert forms.dumps(found, space).strip() == text
    assert found == forms.parse("(4, 0, 3, 1, 4, 3)", space, "naslib")
    assert found != forms.parse("[4, 0, 3, 1, 4, 3]", space)


CONFIG = {
    f"NetworkSelectorDatasetInfo:darts:{key}": value
    for cell in ("normal", "reduce")
    for key, value in {
        f"edge_{cell}_0": "max_pool_3x3",
        f"edge_{cell}_1": "sep_conv_5x5",
        f"edge_{cell}_2": "skip_connect",
        f"edge_{cell}_4": "dil_conv_3x3",
        f"edge_{cell}_6": "sep_conv_3x3",
        f"edge_{cell}_7": "avg_pool_3x3",
        f"edge_{cell}_11": "sep_conv_3x3",
        f"edge_{cell}_13": "dil_conv_5x5",
        f"inputs_node_{cell}_3": "0_2",
        f"inputs_node_{cell}_4": "1_2",
        f"inputs_node_{cell}_5": "2_4",
    }.items()
}


def test_a_configuration_of_nasbench301(spaces):
    space = spaces["darts"]
    more = {**CONFIG, "epoch": 97, "OptimizerSelector:sgd:learning_rate": 0.025, "lr": None}
    found = forms.parse(json.dumps(CONFIG), space)
    assert found == forms.parse(json.dumps(dict(reversed(more.items()))), space)
    assert found == forms.parse(str(more), space)
    assert found == forms.parse(json.dumps(CONFIG).replace(":darts:", "_COLON_darts_COLON_"), space)
    assert found.of("normal/x[4]<-x[1]") == ("sep_conv_3x3",)
    assert found.of("reduce/x[4]<-x[3]") == ("dil_conv_5x5",)
    assert json.loads(forms.dumps(found, space, "nasbench301")) == CONFIG


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edge_normal_11": "none"}, "`none` is no operation"),
        ({"edge_normal_11": "sep_conv_3x"}, "did you mean `sep_conv_3x3`"),
        ({"edge_normal_11": None}, "not a text"),
        ({"edge_normal_10": "sep_conv_3x3"}, "edge that no node reads"),
        ({"edge_normal_14": "sep_conv_3x3"}, "edge that no node reads"),
        ({"edge_norml_1": "sep_conv_3x3"}, "unknown key"),
        ({"inputs_node_normal_5": "2_3"}, "edge_normal_12` is missing"),
        ({"inputs_node_normal_5": "2_5"}, "two states below 5"),
        ({"inputs_node_normal_5": "4_2"}, "two states below 5"),
        ({"inputs_node_normal_5": "2_2"}, "two states below 5"),
        ({"inputs_node_normal_5": "2"}, "two states below 5"),
        ({"inputs_node_normal_6": "0_1"}, "no node with a choice"),
    ],
)
def test_wrong_configurations_of_nasbench301(change, message, spaces):
    changed = {f"NetworkSelectorDatasetInfo:darts:{k}": v for k, v in change.items()}
    with pytest.raises(GenotypeError, match=message):
        forms.parse(json.dumps({**CONFIG, **changed}), spaces["darts"])


def test_missing_keys_of_nasbench301(spaces):
    for key in CONFIG:
        with pytest.raises(GenotypeError, match="missing|two states"):
            forms.parse(json.dumps({k: v for k, v in CONFIG.items() if k != key}), spaces["darts"])


def test_what_a_form_cannot_hold_is_refused(spaces):
    """C14: two operations on one edge are no configuration of NAS-Bench-301, but a tuple."""
    pairs = "[('sep_conv_3x3', 0), ('skip_connect', 1)], " * 3
    pairs += "[('sep_conv_3x3', 0), ('sep_conv_5x5', 0)]"
    text = f"Genotype(normal=[{pairs}], reduce=[{pairs}])"
    space = spaces["darts"]
    found = forms.parse(text, space)
    assert found.of("normal/x[4]<-prev2") == ("sep_conv_3x3", "sep_conv_5x5")
    with pytest.raises(GenotypeError, match="reads state 0 twice"):
        forms.dumps(found, space, "nasbench301")
    assert forms.parse(forms.dumps(found, space, "naslib"), space) == found
    other = forms.parse(text[:-1] + ", normal_concat=[4, 5])", space)
    for form in ("nasbench301", "naslib"):
        with pytest.raises(GenotypeError, match="normal_concat"):
            forms.dumps(other, space, form)
    single = f"Genotype(normal=[{pairs.replace(', ' + pairs[-20:-1], '')}], reduce=[{pairs}])"
    found = forms.parse(single, space)
    assert len(found.picks) == 15
    assert forms.parse(forms.dumps(found, space), space) == found
    with pytest.raises(GenotypeError, match="1 edges"):
        forms.dumps(found, space, "naslib")


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("64:64:64:64", "nats_size", "4 widths"),
        ("64:64:64:64:64:64", "nats_size", "6 widths"),
        ("64:64:65:64:64", "nats_size", "width 3, `65`"),
        ("64:64::64:64", "nats_size", "width 3"),
        ("64:64:064:64:64", "nats_size", "width 3"),
        ("0201210", "digits", "7 digits"),
        ("020121000", "digits", "9 digits"),
        ("02013100", "digits", "digit 5, `3`"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "darts", "looks like `nasbench201`"),
        ("64-41414-3_33_333", "nasbench201", "looks like `transnasbench101`"),
        ("[0, 1, 2]", "nasbench201", "3 integers"),
        ("[0, 1, 2, 3, 4, 5, 0]", "nasbench201", "7 integers"),
        ('{"choice_block_1_op": "maxpool3x3"}', "nasbench1shot1", "choice_block_2_op` is missing"),
        ('{"choice_block_9_op": "maxpool3x3"}', "nasbench1shot1", "no choice block"),
    ],
)
def test_messages_name_what_is_wrong(text, key, message, spaces):
    with pytest.raises(GenotypeError, match=message):
        forms.parse(text, spaces[key])


BLOCKS = {
    **{f"choice_block_{v}_op": "maxpool3x3" for v in range(1, 5)},
    **dict(zip((f"choice_block_{v}_parents" for v in range(1, 6)),
               ([0], [0, 1], [0, 1], [0, 1], [3, 4]), strict=True)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choice_block_3_op": "none"}, "`none` is no operation"),
        ({"choice_block_3_parents": [0, 3]}, "vertices before 3"),
        ({"choice_block_3_parents": [0, 0]}, "twice"),
        ({"choice_block_3_parents": [0]}, "names 1 sources; 2 are wanted"),
        ({"choice_block_2_parents": [1]}, "vertex 2 reads 1"),
        ({"choice_block_3_parents": "__import__('os')"}, "does not belong|vertices before|ends"),
    ],
)
def test_wrong_choice_blocks(change, message, spaces):
    space = spaces["nasbench1shot1"]
    found = forms.parse(json.dumps(BLOCKS), space)
    quoted = {k: str(tuple(v)) if isinstance(v, list) else v for k, v in BLOCKS.items()}
    assert forms.parse(json.dumps(quoted), space) == found
    with pytest.raises(GenotypeError, match=message):
        forms.parse(json.dumps({**BLOCKS, **change}), space)
