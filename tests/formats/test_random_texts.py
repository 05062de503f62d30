"""Ten thousand random architectures per form: read, written and read again; forms agree."""

import pytest
import random_texts as texts
from spaces_for_tests import bundled_space

from nasdsl.ir.formats import forms
from nasdsl.ir.sampling import sample

MANY = 10_000


@pytest.fixture(scope="module")
def darts():
    return bundled_space("darts.nas", "darts", C=4, layers=3)


@pytest.fixture(scope="module")
def nb201():
    return bundled_space("nasbench201.nas", "nasbench201", C=4, n=1)


@pytest.fixture(scope="module")
def nb101():
    return bundled_space("nasbench101.nas", "nasbench101", C=20, n=1)


def round_trip(text, space, form, *, tagged=False):
    """The genotype of a text that is read without being told its form; the text is its text."""
    found = forms.parse(f"{form}: {text}" if tagged else text, space)
    assert forms.dumps(found, space, form) == text + "\n"
    return found


def test_darts_tuples(darts):
    rng = texts.generator(1)
    for _ in range(MANY):
        round_trip(texts.darts(texts.darts_cells(rng)), darts, "darts")


def test_nasbench301_configurations(darts):
    rng = texts.generator(2)
    for _ in range(MANY):
        round_trip(texts.nasbench301(texts.darts_cells(rng)), darts, "nasbench301")


def test_naslib_tuples_of_the_darts_space(darts):
    rng = texts.generator(3)
    for _ in range(MANY):
        round_trip(texts.naslib_darts(texts.darts_cells(rng)), darts, "naslib")


def test_three_forms_of_the_darts_space_agree(darts):
    rng = texts.generator(4)
    for _ in range(MANY // 4):
        cells = texts.darts_cells(rng)
        found = forms.parse(texts.darts(cells), darts)
        assert forms.parse(texts.nasbench301(cells), darts) == found
        assert forms.parse(texts.naslib_darts(cells), darts) == found
        assert forms.parse(found.dumps(), darts) == found


def test_order_of_a_nodes_edges_is_kept_where_the_form_has_one(darts):
    """NAS-Bench-301 knows which edges a node has, not which came first."""
    rng = texts.generator(5)
    for _ in range(500):
        cells = texts.darts_cells(rng)
        for nodes in cells.values():
            for pairs in nodes:
                rng.shuffle(pairs)
        found = round_trip(texts.darts(cells), darts, "darts")
        assert round_trip(texts.naslib_darts(cells), darts, "naslib") == found
        back = forms.parse(forms.dumps(found, darts, "nasbench301"), darts)
        assert sorted(back.picks) == sorted(found.picks)


def test_nasbench201_strings(nb201):
    rng = texts.generator(6)
    for _ in range(MANY):
        round_trip(texts.nasbench201(texts.nb201_cell(rng)), nb201, "nasbench201")


def test_nasbench201_integers(nb201):
    rng = texts.generator(7)
    for _ in range(MANY):
        round_trip(texts.nb201_integers(texts.nb201_cell(rng)), nb201, "nasbench201_integers")


def test_naslib_tuples_of_nasbench201(nb201):
    rng = texts.generator(8)
    for _ in range(MANY):
        text = texts.naslib_nb201(texts.nb201_cell(rng))
        round_trip(text, nb201, "naslib", tagged=True)


def test_three_forms_of_nasbench201_agree(nb201):
    rng = texts.generator(9)
    for _ in range(MANY // 4):
        cell = texts.nb201_cell(rng)
        found = forms.parse(texts.nasbench201(cell), nb201)
        assert forms.parse(texts.nb201_integers(cell), nb201) == found
        assert forms.parse(texts.naslib_nb201(cell), nb201, "naslib") == found
        assert forms.parse(found.dumps(), nb201) == found


def test_nasbench101_matrices(nb101):
    rng = texts.generator(10)
    for _ in range(MANY):
        text = texts.nasbench101(*texts.nb101_cell(rng))
        found = forms.parse(text, nb101)
        assert forms.dumps(found, nb101) == text + "\n"


def test_naslib_tuples_of_nasbench101(nb101):
    rng = texts.generator(11)
    for _ in range(MANY):
        text = texts.naslib_nb101(*texts.nb101_cell(rng))
        found = forms.parse(text, nb101, "naslib")
        assert forms.dumps(found, nb101, "naslib") == text + "\n"


def test_forms_of_nasbench101_agree(nb101):
    rng = texts.generator(12)
    for _ in range(MANY // 10):
        matrix, ops = texts.nb101_cell(rng)
        found = forms.parse(texts.nasbench101(matrix, ops), nb101)
        assert forms.parse(texts.naslib_nb101(matrix, ops), nb101) == found
        assert forms.parse(f"ModelSpec(matrix={matrix}, ops={ops})", nb101) == found
        assert forms.parse(str({"ops": ops, "matrix": matrix}), nb101) == found
        assert forms.parse(found.dumps(), nb101) == found


ONE_SHOT = {
    "nb1shot1_s1": (1, 2, 2, 2, 2),
    "nb1shot1_s2": (1, 1, 2, 2, 3),
    "nb1shot1_s3": (1, 1, 1, 2, 2, 2),
}


@pytest.mark.parametrize("name", ONE_SHOT)
def test_nasbench1shot1_configurations_and_their_matrices(name):
    """C21: written with seven vertices, of which a fifth without edges is filled in."""
    space = bundled_space("nasbench101.nas", name, C=20, n=1)
    rng = texts.generator(13)
    for _ in range(MANY // 3 + 1):
        config, matrix, ops = texts.choice_blocks(rng, ONE_SHOT[name])
        text = str(config).replace("'", '"')
        found = forms.parse(text, space, "nasbench1shot1")
        assert forms.dumps(found, space, "nasbench1shot1") == text + "\n"
        if len(ops) < 7:
            matrix = [*(r[:-1] + [0] + r[-1:] for r in matrix[:-1]), [0] * 7, [0] * 7]
            ops = [*ops[:-1], "conv1x1-bn-relu", "output"]
        full = texts.nasbench101(matrix, ops)
        assert forms.dumps(found, space, "nasbench101") == full + "\n"
        assert forms.parse(full, space) == found


def test_transnasbench101_strings():
    space = bundled_space("transbench101.nas", "tnb101_micro")
    rng = texts.generator(14)
    for _ in range(MANY):
        round_trip(texts.transnasbench101(rng), space, "transnasbench101")


def test_nats_sizes():
    space = bundled_space("nasbench201.nas", "nats_size")
    rng = texts.generator(15)
    for _ in range(MANY):
        round_trip(texts.nats_size(rng), space, "nats_size")


def test_digits():
    space = bundled_space("mobile.nas", "nasbench_macro")
    rng = texts.generator(16)
    for _ in range(MANY):
        round_trip(texts.digits(rng), space, "digits")


NEUTRAL = (
    ("nasbench101.nas", "nasbench101", {"C": 20, "n": 1}, 1_500),
    ("nasbench101.nas", "nb1shot1_s2", {"C": 20, "n": 1}, 1_500),
    ("mobile.nas", "ofa_mobilenet_v3", {}, 1_000),
    ("small.nas", "tabular", {}, 2_000),
    ("small.nas", "conv1d", {}, 2_000),
    ("transformers.nas", "gpt_small", {}, 1_000),
    ("transformers.nas", "vit_tiny", {}, 1_000),
)


@pytest.mark.parametrize(("file", "name", "small", "number"), NEUTRAL, ids=[n[1] for n in NEUTRAL])
def test_the_neutral_form_of_widths_depths_numbers_and_inputs(file, name, small, number):
    """10 000 in all, from the sampler: picks below options, subsets, numbers of a domain."""
    space = bundled_space(file, name, **small)
    rng = texts.generator(17)
    for _ in range(number):
        found = sample(space, rng)
        assert forms.parse(forms.dumps(found, space, "nas"), space) == found


OWN = (
    ("darts.nas", "darts", {"C": 4, "layers": 3}),
    ("nasnet.nas", "nasnet", {"C": 4, "layers": 3}),
    ("robust_darts.nas", "robust_s1", {"C": 4, "layers": 3}),
    ("bench_suite.nas", "single_cell", {"C": 4}),
    ("quickstart.nas", "small", {}),
    ("nasbench201.nas", "nasbench201", {"C": 4, "n": 1}),
    ("transbench101.nas", "tnb101_micro", {"C": 4}),
    ("small.nas", "hierarchical", {}),
    ("small.nas", "one_edge", {}),
)


@pytest.mark.parametrize(("file", "name", "small"), OWN, ids=[n[1] for n in OWN])
def test_every_form_of_a_space_gives_a_sample_back(file, name, small):
    space = bundled_space(file, name, **small)
    rng = texts.generator(18)
    for _ in range(50):
        found = sample(space, rng)
        for form in forms.forms(space):
            back = forms.parse(forms.dumps(found, space, form), space, form)
            assert sorted(back.picks) == sorted(found.picks), form
            assert back.outputs == found.outputs
        assert forms.parse(forms.dumps(found, space), space) == found
