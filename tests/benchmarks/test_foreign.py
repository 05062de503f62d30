"""Packages and data that are not there are said with how to get them; nothing is fetched."""

import pytest
from fake_packages import install

from nasdsl import driver
from nasdsl.benchmarks import catalogue, foreign
from nasdsl.benchmarks.errors import BenchmarkError, BenchmarkMissing

#: Benchmark, its space, an architecture, a file that its data is called, its package.
OTHERS = [
    ("nasbench201", "nasbench201", "x", "NATS-tss-v1_0-3ffb9.pickle.pbz2", "nats_bench"),
    ("nasbench201", "nasbench201", "x", "NAS-Bench-201-v1_0-e61699.pth", "nas_201_api"),
    ("nats_size", "nats_size", "8:8:8:8:8", "NATS-sss-v1_0-50262.pickle.pbz2", "nats_bench"),
    ("nasbench101", "nasbench101", "0" * 32, "nasbench_full.tfrecord", "nasbench.api"),
    ("nasbench301", "darts", "x", "nb_models_0.9", "nasbench301"),
    ("transnas101", "tnb101_micro", "x", "transnas-bench_v10141024.pth", "TransNASBench.api"),
]


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch):
    monkeypatch.delenv("NASDSL_BENCHMARKS", raising=False)
    real = foreign.import_module

    def importing(name):
        if name.split(".")[0] in {o[4].split(".")[0] for o in OTHERS} | {"api"}:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name.split(".")[0])
        return real(name)

    monkeypatch.setattr(foreign, "import_module", importing)


@pytest.mark.parametrize(("name", "space", "key", "file", "module"), OTHERS)
def test_missing_data_then_missing_package(name, space, key, file, module, tmp_path, monkeypatch):
    made = driver.space(driver.load(space), space)
    assert catalogue.of_space(made)[0].name == name
    with pytest.raises(BenchmarkMissing, match="NASDSL_BENCHMARKS is not set.*https://github.com"):
        catalogue.query(made, key)
    monkeypatch.setenv("NASDSL_BENCHMARKS", str(tmp_path))
    with pytest.raises(BenchmarkMissing, match="no .* in .*: download"):
        catalogue.query(made, key)
    (tmp_path / file).touch()
    with pytest.raises(BenchmarkMissing, match=f"{module}.* is not installed: (pip|git)"):
        catalogue.query(made, key)
    with pytest.raises(BenchmarkMissing, match="there is no .*elsewhere"):
        catalogue.query(made, key, data=tmp_path / "elsewhere")


def test_what_a_package_itself_lacks_is_named(monkeypatch):
    def importing(name):
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    monkeypatch.setattr(foreign, "import_module", importing)
    with pytest.raises(BenchmarkMissing, match="nasbench.api is installed, but not tensorflow"):
        foreign.package(("nasbench.api",), "NASBench", "pip install")


def test_a_module_of_the_same_name_is_not_taken_for_the_package(monkeypatch):
    install(monkeypatch, "api_of_mine", other=1)
    monkeypatch.setattr(foreign, "import_module", __import__)
    with pytest.raises(BenchmarkMissing, match="api_of_mine is not installed: clone it"):
        foreign.package(("api_of_mine",), "TransNASBenchAPI", "clone it")


def test_whatever_a_package_raises_becomes_a_message(capsys):
    class Odd(Exception):
        pass

    for error, said in ((Odd(), "reading failed: Odd$"), (OSError("gone"), "OSError: gone")):
        with pytest.raises(BenchmarkError, match=said), foreign.calling("reading"):
            print("talk")  # noqa: T201
            raise error
    with pytest.raises(KeyboardInterrupt), foreign.calling("reading"):
        raise KeyboardInterrupt
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "talk\ntalk\n"


def test_spaces_without_a_benchmark():
    made = driver.space(driver.load("one_edge"), "one_edge")
    with pytest.raises(BenchmarkError, match="no benchmark holds `one_edge`; there are nasbench_m"):
        catalogue.of_space(made)
    with pytest.raises(BenchmarkError, match="did you mean `nasbench201`"):
        catalogue.of_space(made, "nasbench20")
