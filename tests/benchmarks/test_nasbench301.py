"""NAS-Bench-301: the DARTS tuple, no noise, and a prediction that calls itself one."""

import fake_packages
import pytest

from nasdsl import driver
from nasdsl.benchmarks import catalogue, nasbench301
from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.benchmarks.standing import best, standing
from nasdsl.ir.genotype import Genotype

NORMAL = [
    ("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1),
    ("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2),
]  # fmt: skip
REDUCE = [
    ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1),
    ("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1),
]  # fmt: skip
STATES = ("prev2", "prev", "x[1]", "x[2]", "x[3]")


def genotype(normal=NORMAL, reduce=REDUCE, **more):
    """DARTS_V2, or another one, from its pairs."""
    picks = [
        (f"{cell}/x[{1 + i // 2}]<-{STATES[state]}", label)
        for cell, pairs in (("normal", normal), ("reduce", reduce))
        for i, (label, state) in enumerate(pairs)
    ]
    return Genotype(space="darts", picks=tuple(picks), **more)


@pytest.fixture
def loaded(monkeypatch, tmp_path):
    found = []
    fake_packages.nasbench301(monkeypatch, found)
    for name in ("xgb_v1.0", "gnn_gin_v1.0", "lgb_runtime_v1.0"):
        (tmp_path / "nb_models_1.0" / name).mkdir(parents=True)
    monkeypatch.setenv("NASDSL_BENCHMARKS", str(tmp_path))
    return found


@pytest.fixture(scope="module")
def space():
    return driver.space(driver.load("darts"), "darts")


def test_the_prediction(space, loaded):
    record = catalogue.query(space, genotype())
    assert record.predicted and record.test == () and record.mean is None
    assert (record.validation, record.train_seconds) == (94.0, 5000.0)
    assert "xgb_v1.0" in record.setting and "32 channels, 8 cells" in record.setting
    accuracy, runtime = loaded
    assert accuracy.folder.endswith("xgb_v1.0") and runtime.folder.endswith("lgb_runtime_v1.0")
    assert accuracy.asked == runtime.asked == [(NORMAL, REDUCE, False)]


def test_channels_and_number_of_cells_do_not_count(loaded):
    made = driver.space(driver.load("darts"), "darts", {"C": 4, "layers": 3})
    assert catalogue.query(made, genotype()).validation == 94.0


def test_one_ensemble_may_be_given(space, loaded, tmp_path):
    record = catalogue.query(
        space,
        genotype(),
        data=tmp_path / "nb_models_1.0" / "gnn_gin_v1.0",
    )
    assert "gnn_gin_v1.0" in record.setting and record.train_seconds is None


def test_a_choice_of_ensembles_is_not_guessed(space, loaded, tmp_path):
    for name in ("gnn_gin_v1.0", "lgb_v1.0"):
        (tmp_path / "two" / name).mkdir(parents=True)
    with pytest.raises(BenchmarkError, match="give the path of one ensemble"):
        nasbench301.opened(tmp_path / "two")


def test_what_the_benchmark_does_not_hold(space, loaded):
    with pytest.raises(BenchmarkError, match="100 epochs only"):
        catalogue.query(space, genotype(), epochs=50)
    with pytest.raises(BenchmarkError, match="all 4 nodes go to the output"):
        catalogue.query(space, genotype(outputs=(("reduce", ("x[2]", "x[3]", "x[4]")),)))
    with pytest.raises(BenchmarkError, match="other cells"):
        nasbench301.dataset_of(driver.space(driver.load("single_cell"), "single_cell"))
    with pytest.raises(BenchmarkError, match="other cells"):
        nasbench301.dataset_of(driver.space(driver.load("nasbench201"), "nasbench201"))
    with pytest.raises(BenchmarkError, match="no operation `noise`"):
        catalogue.query(space, genotype([("noise", 0), *NORMAL[1:]]))
    for pairs in (NORMAL[:-1], [("skip_connect", 1), *NORMAL[1:]]):
        with pytest.raises(BenchmarkError, match="two edges from different states"):
            catalogue.query(space, genotype(pairs))


def test_a_surrogate_has_no_table(space, loaded):
    opened = nasbench301.opened(None)
    key = nasbench301.key_of(genotype(), space)
    with pytest.raises(BenchmarkError, match="not a table"):
        best(opened.records(dataset="cifar10"))
    with pytest.raises(BenchmarkError, match="no test results"):
        standing(opened.record(key, dataset="cifar10"), [])


@pytest.mark.parametrize("key", ["", "normal:a~0", "normal:a~b/reduce:a~0", "x/y/z"])
def test_texts_that_are_no_architectures(key):
    with pytest.raises(BenchmarkError, match="is no architecture"):
        nasbench301.genotype_of(key)
