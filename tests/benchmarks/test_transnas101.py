"""TransNAS-Bench-101: digits of the cell, the metric of the task, the last epoch."""

from functools import cache

import fake_packages
import pytest

from nasdsl import driver
from nasdsl.benchmarks import catalogue, transnas101
from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.benchmarks.standing import best
from nasdsl.ir.genotype import Genotype


@pytest.fixture(autouse=True)
def file(monkeypatch, tmp_path):
    fake_packages.transnas(monkeypatch)
    place = tmp_path / "transnas-bench_v10141024.pth"
    place.touch()
    monkeypatch.setenv("NASDSL_BENCHMARKS", str(tmp_path))
    return place


@cache
def space(name="tnb101_micro", **parameters):
    return driver.space(driver.load(name), name, parameters)


#: The cell of the benchmark's README: skip; none + 1x1; 3x3 + 3x3 + 3x3.
PICKS = (
    ("c/x[1]<-a", "skip_connect"),
    ("c/x[2]<-a", "none"),
    ("c/x[2]<-x[1]", "nor_conv_1x1"),
    ("c/x[3]<-a", "nor_conv_3x3"),
    ("c/x[3]<-x[1]", "nor_conv_3x3"),
    ("c/x[3]<-x[2]", "nor_conv_3x3"),
)


def test_the_record_of_the_readme_cell_is_of_the_last_epoch():
    made = space()
    record = catalogue.query(made, Genotype(space=made.name, picks=PICKS))
    assert record.key == "64-41414-1_02_333"
    assert (record.dataset, record.metric, record.unit) == ("class_scene", "accuracy", "percent")
    assert (record.test, record.validation) == ((48.0,), 50.0)
    assert (record.params, record.flops, record.train_seconds) == (1234567, 2.5e9, None)
    assert catalogue.query(made, record.key) == record


def test_tasks_have_metrics_of_their_own():
    made = space()
    assert catalogue.query(made, "64-41414-3_33_333", dataset="room_layout").metric == (
        "negative loss"
    )
    assert catalogue.query(space("tnb101_normal"), "64-41414-3_33_333").metric == "SSIM"
    assert catalogue.query(space(data="taskonomy_object"), "64-41414-1_02_333").dataset == (
        "class_object"
    )


def test_best_of_the_cells_is_by_validation():
    found = best(transnas101.opened(None).records(dataset="class_scene"))
    assert (found.record.key, found.column) == ("64-41414-3_33_333", "validation accuracy")


def test_what_the_benchmark_does_not_hold():
    made = space()
    with pytest.raises(BenchmarkError, match="no task `depth`"):
        catalogue.query(made, "64-41414-1_02_333", dataset="depth")
    with pytest.raises(BenchmarkError, match="no cell `64-41414-0_00_000`"):
        catalogue.query(made, "64-41414-0_00_000")
    with pytest.raises(BenchmarkError, match="leave the epochs out"):
        catalogue.query(made, "64-41414-1_02_333", epochs=12)
    with pytest.raises(BenchmarkError, match="C = 16, not 64"):
        catalogue.query(space(C=16), "64-41414-1_02_333")


def test_a_clone_on_the_path_is_found_as_well(monkeypatch):
    monkeypatch.delitem(transnas101.foreign.sys.modules, "TransNASBench.api")
    monkeypatch.delitem(transnas101.foreign.sys.modules, "TransNASBench")
    fake_packages.transnas(monkeypatch, "api")
    assert catalogue.query(space(), "64-41414-1_02_333").test == (48.0,)
