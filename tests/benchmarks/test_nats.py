"""NAS-Bench-201 and NATS-Bench: the right training, split and seed; never the last row for -1."""

import re
from functools import cache
from statistics import fmean

import fake_packages
import pytest

from nasdsl import driver
from nasdsl.benchmarks import catalogue, nats
from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.benchmarks.standing import best
from nasdsl.ir.genotype import Genotype


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Both packages and a file of every kind; gives the arguments of the constructors."""
    found = []
    fake_packages.nats_bench(monkeypatch, found)
    fake_packages.nas_201_api(monkeypatch, found)
    (tmp_path / "NATS-tss-v1_0-3ffb9-simple").mkdir()
    for name in (
        "NATS-tss-v1_0-3ffb9.pickle.pbz2",
        "NATS-sss-v1_0-50262.pickle.pbz2",
        "NAS-Bench-201-v1_1-096897.pth",
    ):
        (tmp_path / name).touch()
    monkeypatch.setenv("NASDSL_BENCHMARKS", str(tmp_path))
    return found


@cache
def space(name="nasbench201", **parameters):
    return driver.space(driver.load(name), name, parameters)


def cell(text):
    """The genotype of an architecture string, its picks in the order of the text."""
    states = ("a", "x[1]", "x[2]")
    picks = [
        (f"c/x[{number}]<-{states[int(source)]}", label)
        for number, group in enumerate(text.split("+"), 1)
        for label, source in re.findall(r"(\w+)~(\d)", group)
    ]
    return Genotype(space="nasbench201", picks=tuple(picks))


def expected(index, dataset, setname, seeds, epochs):
    results = fake_packages.ArchResults(index, epochs)
    return tuple(results.accuracy(dataset, setname, s) for s in seeds)


def test_edges_in_any_order_are_the_same_architecture(calls):
    made = space()
    # Node 2 and 3 in another order than the table writes them.
    text = "|nor_conv_3x3~0|+|none~1|nor_conv_3x3~0|+|skip_connect~2|none~1|skip_connect~0|"
    record = catalogue.query(made, cell(text))
    assert record.key == fake_packages.NB201[1]


def test_cifar10_takes_test_from_the_full_training_and_validation_from_the_half(calls):
    made = space()
    record = catalogue.query(made, cell(fake_packages.NB201[0]))
    assert record.dataset == "cifar10" and record.setting == "200 epochs"
    assert record.seeds == (777, 888, 999)
    assert record.test == expected(0, "cifar10", "ori-test", (777, 888, 999), 200)
    assert record.mean == pytest.approx(fmean(record.test), abs=1e-12)
    valid = expected(0, "cifar10-valid", "x-valid", (777, 888), 200)
    assert record.validation == pytest.approx(fmean(valid), abs=1e-12)
    assert "cifar10-valid, 2 runs" in record.notes[0]
    assert (record.params, record.flops) == (129306, 15647370)
    assert record.train_seconds == 500.0


def test_the_other_splits(calls):
    made = space()
    genotype = cell(fake_packages.NB201[0])
    half = catalogue.query(made, genotype, dataset="cifar10-valid", epochs=12)
    assert half.test == expected(0, "cifar10-valid", "ori-test", (777, 888), 12)
    assert half.notes == () and half.setting == "12 epochs"
    c100 = catalogue.query(made, genotype, dataset="cifar100")
    assert c100.test == expected(0, "cifar100", "x-test", (777,), 200)
    assert c100.validation == expected(0, "cifar100", "x-valid", (777,), 200)[0]


def test_a_query_repeats(calls):
    made = space()
    genotype = cell(fake_packages.NB201[1])
    assert len({catalogue.query(made, genotype).mean for _ in range(5)}) == 1


def test_the_data_set_of_the_space_is_the_default(calls):
    for data, dataset in (("cifar100", "cifar100"), ("imagenet16_120", "ImageNet16-120")):
        made = space(data=data)
        record = catalogue.query(made, cell(fake_packages.NB201[0]))
        assert record.dataset == dataset


def test_an_unknown_architecture_is_an_error_not_the_last_row(calls):
    made = space()
    text = "|avg_pool_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    with pytest.raises(BenchmarkError, match="has no architecture `.avg_pool"):
        catalogue.query(made, cell(text))
    with pytest.raises(BenchmarkError, match="nats_size has no architecture `8:8:8:8:64`"):
        catalogue.query(space("nats_size"), "8:8:8:8:64")


def test_unknown_epochs_and_data_sets_are_errors(calls):
    made = space()
    genotype = cell(fake_packages.NB201[0])
    with pytest.raises(BenchmarkError, match="13 epochs failed: ValueError: .* hyper-parameters"):
        catalogue.query(made, genotype, epochs=13)
    with pytest.raises(BenchmarkError, match="no data set `svhn`"):
        catalogue.query(made, genotype, dataset="svhn")


def test_the_file_decides_package_and_mode(calls, tmp_path):
    made = space()
    genotype = cell(fake_packages.NB201[0])
    records = [
        catalogue.query(made, genotype, data=tmp_path / name)
        for name in (
            "NATS-tss-v1_0-3ffb9-simple",
            "NATS-tss-v1_0-3ffb9.pickle.pbz2",
            "NAS-Bench-201-v1_1-096897.pth",
        )
    ]
    assert records[0] == records[1] == records[2]
    assert calls == [
        (str(tmp_path / "NATS-tss-v1_0-3ffb9-simple"), "tss", True, False),
        (str(tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2"), "tss", False, False),
        (str(tmp_path / "NAS-Bench-201-v1_1-096897.pth"), False),
    ]
    # Under the variable the folder of single files comes first: it loads at once.
    catalogue.query(made, genotype)
    assert calls[-1][0].endswith("-simple")
    with pytest.raises(BenchmarkError, match="is no file of nats_size"):
        nats.opened(nats.SIZE, tmp_path / "NAS-Bench-201-v1_1-096897.pth")


def test_the_size_space(calls):
    made = space("nats_size")
    picks = tuple(zip(("c1", "c2", "c3", "c4", "c5"), "8 16 24 32 40".split(), strict=True))
    record = catalogue.query(made, Genotype(space="nats_size", picks=picks), epochs=1)
    assert record.key == "8:16:24:32:40"
    assert (record.dataset, record.setting) == ("cifar100", "1 epoch")
    assert catalogue.query(made, record.key).setting == "90 epochs"
    with pytest.raises(BenchmarkError, match="`c5` has 0 picks"):
        catalogue.query(made, Genotype(space="nats_size", picks=picks[:-1]))


def test_other_cells_are_not_in_the_table(calls):
    for parameters, said in (({"C": 8}, "C = 8, not 16"), ({"n": 1}, "n = 1, not 5")):
        with pytest.raises(BenchmarkError, match=said):
            catalogue.query(space(**parameters), "x")


def test_best_is_chosen_by_validation(calls, monkeypatch):
    opened = nats.opened(nats.TOPOLOGY, None)
    found = best(opened.records(dataset="cifar100"))
    assert found.record.key == fake_packages.NB201[2]
    assert found.column == "validation accuracy"

    def upside_down(self, dataset, setname, seed):
        return 50 + self.index if setname == "x-test" else 50 - self.index

    # Where test and validation disagree, validation decides.
    monkeypatch.setattr(fake_packages.ArchResults, "accuracy", upside_down)
    assert best(opened.records(dataset="cifar100")).record.key == fake_packages.NB201[0]


def test_what_the_package_prints_does_not_reach_standard_output(calls, capsys):
    made = space()
    catalogue.query(made, cell(fake_packages.NB201[0]))
    captured = capsys.readouterr()
    assert captured.out == "" and "loading" in captured.err
