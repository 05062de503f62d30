"""NAS-Bench-Macro through a space: whose genotypes it knows, and whose it does not."""

import random

import pytest
from spaces_for_tests import space_of

from nasdsl import driver
from nasdsl.benchmarks import catalogue, macro
from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.benchmarks.macro_table import rows
from nasdsl.ir.genotype import Genotype

NAMES = ("id", "ir_3x3_t3", "ir_5x5_t6")


def bundled(**parameters):
    return driver.space(driver.load("nasbench_macro"), "nasbench_macro", parameters)


@pytest.fixture(scope="module")
def space():
    return bundled()


def genotype_of(key, space):
    picks = zip((d.id for d in space.decisions), key, strict=True)
    return Genotype(space=space.name, picks=tuple((i, NAMES[int(d)]) for i, d in picks))


def test_every_key_comes_back_from_its_genotype_in_any_order_of_picks(space):
    table = macro.table(space)
    draw = random.Random(1)
    for key in rows():
        genotype = genotype_of(key, space)
        picks = list(genotype.picks)
        draw.shuffle(picks)
        shuffled = Genotype(space=space.name, picks=tuple(picks))
        assert table.evaluate(genotype) is table.evaluate(shuffled) is rows()[key]


def test_evaluating_compiles_nothing(space, monkeypatch):
    table = macro.table(space)

    def no(*args, **kwargs):
        raise AssertionError("a query compiles a space")

    monkeypatch.setattr(driver, "space", no)
    monkeypatch.setattr(driver, "load", no)
    assert table.evaluate(genotype_of("22212220", space)).params == 1985514


def test_the_record(space):
    record = catalogue.query(space, genotype_of("02012100", space))
    assert (record.benchmark, record.dataset, record.key) == (
        "nasbench_macro",
        "cifar10",
        "02012100",
    )
    assert record.test == (89.47000122070312, 88.94999694824219, 89.16999816894531)
    assert record.validation is None and record.train_seconds is None
    assert (record.params, record.flops) == (890666, 47327744)
    assert not any("trained for this" in n for n in record.notes)
    # Texts that are keys do for a genotype.
    assert catalogue.query(space, "02012100") == record


def test_a_note_says_which_network_was_trained(space):
    # 22|212|202 -> 22|212|220
    first, second = catalogue.query(space, "22212202"), catalogue.query(space, "22212220")
    assert first.test == second.test
    assert first.notes[-1] == "one network was trained for this and 22212220, its equal"
    assert len(second.notes) == 1


EXTENDED = """nas 1
from "{file}" import nasbench_macro
space mine extends nasbench_macro {{
{body}
}}
"""


def extended(body):
    loaded = driver.load("nasbench_macro")
    file = loaded.source.name.rsplit("/", 1)[-1]
    return space_of(EXTENDED.format(file=file, body=body), "mine")


def test_a_space_that_only_renames_it_is_the_same():
    mine = extended("")
    assert macro.dataset_of(mine) == "cifar10"
    assert macro.table(mine).evaluate(genotype_of("00000000", mine)).params == 387882


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"C": 16}, "C = 16, not 32"),
        ({"data": "cifar100"}, "on cifar100 is not in nasbench_macro"),
        ({"data": "fashion16"}, "on fashion16 is not in nasbench_macro"),
        # The same shape, but other images.
        ({"data": "svhn"}, "on svhn is not in nasbench_macro"),
    ],
)
def test_other_parameters_are_other_networks(parameters, said):
    with pytest.raises(BenchmarkError, match=said):
        macro.table(bundled(**parameters))


def test_other_layers_are_other_networks():
    with pytest.raises(BenchmarkError, match="`mine` on cifar10 is not in nasbench_macro"):
        macro.table(extended("  head global_avg_pool >> linear(data.classes)"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p[:-1], "layer 8 of 8 is not decided"),
        (lambda p: (*p, p[0]), "is decided twice"),
        (lambda p: (*p[:-1], (p[-1][0], "conv")), "no option `conv`"),
        (lambda p: (*p, ("body[9]", "id")), "no option `id` for `body\\[9\\]`"),
    ],
)
def test_incomplete_and_foreign_genotypes_are_refused(space, change, said):
    genotype = genotype_of("01201201", space)
    with pytest.raises(BenchmarkError, match=said):
        macro.table(space).evaluate(Genotype(space="x", picks=change(genotype.picks)))


def test_unknown_keys_data_sets_epochs_and_files_are_refused(space, tmp_path):
    for given in (
        {"genotype": "0120120"},
        {"genotype": "01201203"},
        {"genotype": "01201201", "dataset": "cifar100"},
        {"genotype": "01201201", "epochs": 12},
        {"genotype": "01201201", "data": tmp_path},
        {"genotype": "01201201", "benchmark": "nasbench201"},
        {"genotype": "01201201", "benchmark": "nasbench_macros"},
    ):
        with pytest.raises(BenchmarkError):
            catalogue.query(space, **given)


def test_what_comes_with_the_package_is_found_by_the_space_alone(space):
    record, standing = catalogue.built_in(space, genotype_of("22212220", space))
    assert (record.key, standing.rank, standing.ties, standing.of) == ("22212220", 1, 1, 6561)
    assert catalogue.built_in(bundled(C=16), genotype_of("22212220", space)) is None
    other = driver.space(driver.load("nasbench201"), "nasbench201")
    assert catalogue.built_in(other, genotype_of("22212220", space)) is None
