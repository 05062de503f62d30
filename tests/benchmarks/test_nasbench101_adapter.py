"""NAS-Bench-101: cells as matrices, fractions as percent, all runs instead of a random one."""

import fake_packages
import pytest

from nasdsl import driver
from nasdsl.benchmarks import catalogue, nasbench101
from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.ir.genotype import Genotype


@pytest.fixture
def file(monkeypatch, tmp_path):
    fake_packages.nasbench(monkeypatch)
    place = tmp_path / "nasbench_only108.tfrecord"
    place.touch()
    monkeypatch.setenv("NASDSL_BENCHMARKS", str(tmp_path))
    return place


@pytest.fixture(scope="module")
def space():
    return driver.space(driver.load("nasbench101"), "nasbench101")


#: The example of the package's docstring: an Inception-like cell.
MATRIX = [
    [0, 1, 1, 1, 0, 1, 0],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0],
]
OPS = ["conv1x1_bn_relu", "conv3x3_bn_relu", "conv3x3_bn_relu", "conv3x3_bn_relu", "maxpool3x3"]
NAMES = [
    "input", "conv1x1-bn-relu", "conv3x3-bn-relu", "conv3x3-bn-relu", "conv3x3-bn-relu",
    "maxpool3x3", "output",
]  # fmt: skip


def genotype(matrix=MATRIX, ops=OPS):
    states = ["a", "x[1]", "x[2]", "x[3]", "x[4]", "x[5]", "out"]
    picks = [(f"c/x[{i + 1}]", op) for i, op in enumerate(ops)]
    picks += [(f"c/{states[j]}<-*", states[i]) for i in range(7) for j in range(7) if matrix[i][j]]
    return Genotype(space="nasbench101", picks=tuple(picks))


def test_a_cell_is_its_matrix_and_operations(space):
    key = nasbench101.key_of(genotype(), space)
    assert nasbench101.cell_of(key) == (MATRIX, NAMES)


def test_the_record_has_all_runs_in_percent(space, file):
    record = catalogue.query(space, genotype())
    assert record.test == (92.96875, 93.359375, 93.75)
    assert record.mean == 93.359375
    assert record.validation == 100 * (0.9375 + 1 / 256)
    assert (record.params, record.train_seconds) == (8557898, 1701.0)
    assert (record.setting, record.dataset, record.flops) == ("108 epochs", "cifar10", None)


def test_hashes_are_keys(space, file):
    known = fake_packages.NASBench.known
    assert nasbench101.key_in(known) == known
    assert catalogue.query(space, known).params == 8557898
    with pytest.raises(BenchmarkError, match="has no hash"):
        catalogue.query(space, "0" * 32)
    assert [r.key for r in nasbench101.opened(file).records(dataset="cifar10")] == [known]


def test_what_the_benchmark_lacks_is_said(space, file):
    with pytest.raises(BenchmarkError, match="no training of 36 epochs; it has 108"):
        catalogue.query(space, genotype(), epochs=36)
    full = [[int(j > i) for j in range(7)] for i in range(7)]
    with pytest.raises(BenchmarkError, match="OutOfDomainError: too many edges"):
        catalogue.query(space, genotype(full))
    with pytest.raises(BenchmarkError, match=r"`c/x\[5\]` has 0 picks"):
        catalogue.query(space, genotype(ops=OPS[:4]))
    with pytest.raises(BenchmarkError, match="no data set `cifar100`"):
        catalogue.query(space, genotype(), dataset="cifar100")
    small = driver.space(driver.load("nasbench101"), "nasbench101", {"vertices": 5})
    with pytest.raises(BenchmarkError, match="vertices = 5, not 7"):
        catalogue.query(small, genotype())


@pytest.mark.parametrize("key", ["", "/", "01/input,output", "0a10/input,output"])
def test_texts_that_are_no_cells(key):
    with pytest.raises(BenchmarkError, match="is no cell"):
        nasbench101.cell_of(key)
