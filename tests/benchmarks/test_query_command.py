"""`nasdsl query`, and the benchmark in reports of runs."""

import json

import fake_packages
import pytest
from click.testing import CliRunner

from nasdsl import driver
from nasdsl.cli.main import cli
from nasdsl.report.run import run_report, run_text


def invoke(*args, **options):
    return CliRunner().invoke(cli, ["query", *map(str, args)], **options)


def test_text():
    result = invoke("nasbench_macro", "22212202")
    assert result.exit_code == 0 and result.stderr == ""
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    said = {name: text for name, text in lines if name.isalpha()}
    assert said["architecture"] == "22212202"
    assert said["test"] == "93.13 %, std 0.25 over 3 runs (93.28, 93.33, 92.77)"
    assert said["rank"].startswith("1 of 6 561 by mean test accuracy, level with 1 other")
    assert said["parameters"] == "1 985 514"


def test_json():
    result = invoke("nasbench_macro", "00000000", "--format", "json")
    shown = json.loads(result.stdout)
    assert shown["key"] == "00000000" and shown["params"] == 387882
    assert shown["standing"]["rank"] == shown["standing"]["of"] - shown["standing"]["ties"]
    without = json.loads(
        invoke("nasbench_macro", "00000000", "--no-rank", "--format", "json").stdout
    )
    assert without == {**shown, "standing": None}


def test_neutral_json_files_and_standard_input_are_genotypes(tmp_path):
    space = driver.space(driver.load("nasbench_macro"), "nasbench_macro")
    text = json.dumps(
        {
            "schema": 1,
            "space": "nasbench_macro",
            "picks": [[d.id, d.labels[i % 3]] for i, d in enumerate(space.decisions)],
        }
    )
    (tmp_path / "g.json").write_text(text)
    for given, options in ((text, {}), (tmp_path / "g.json", {}), ("-", {"input": text})):
        result = invoke("nasbench_macro", given, "--format", "json", **options)
        assert json.loads(result.stdout)["key"] == "01201201"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("nasbench_macro",), 2, "GENOTYPE is missing"),
        (("nasbench_macro", "22212203"), 1, "digit 8, `3`, is no option"),
        (("nasbench_macro", "00000000", "-P", "C=16"), 1, "C = 16, not 32"),
        (("nasbench_macro", "00000000", "--epochs", "12"), 1, "leave the epochs out"),
        (("nasbench_macro", "00000000", "--benchmark", "nasbench301"), 1, "other cells"),
        (("one_edge", "x"), 1, "no benchmark holds `one_edge`"),
        (("nasbench20", "x"), 2, "nasbench20"),
        (("nats_size", "8:8:8:8:8"), 3, "NASDSL_BENCHMARKS is not set"),
    ],
)
def test_mistakes_are_messages(args, code, said, monkeypatch):
    monkeypatch.delenv("NASDSL_BENCHMARKS", raising=False)
    result = invoke(*args)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr and "internal error" not in result.stderr


def test_a_benchmark_through_its_package(monkeypatch, tmp_path):
    fake_packages.nats_bench(monkeypatch, [])
    file = tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    file.touch()
    result = invoke(
        "nasbench201", fake_packages.NB201[1], "--data", file, "--rank", "--format", "json"
    )
    # The package talks on standard output; the JSON stays whole.
    shown = json.loads(result.stdout)
    assert (shown["standing"]["rank"], shown["standing"]["of"]) == (2, 3)
    assert shown["validation"] is not None and "loading" in result.stderr


# ---- runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a finished search on NAS-Bench-Macro, written without searching."""
    from nasdsl.training import plan as plans
    from nasdsl.training.archive import archive
    from nasdsl.training.record import create

    plan = plans.make(
        driver.load("nasbench_macro"),
        names={"space": "nasbench_macro", "dataset": "cifar10"},
        parameters={},
        changes={},
        seed=0,
    )
    space = plan.space()
    picks = [[d.id, space.decision(d.id).labels[2]] for d in space.decisions]
    folder = create(
        tmp_path_factory.mktemp("runs") / "a",
        {"items": {}, "parameters": {}, "changes": {}, "seed": 0, "device": "cpu"},
        archive(plan),
        {},
    )
    genotype = {"schema": 1, "space": space.name, "picks": picks}
    folder.write("genotype.json", genotype)
    folder.write("result.json", {"genotype": genotype, "text": "…", "mix": {}})
    return folder.path


def test_a_report_of_a_run_shows_the_record_of_what_was_found(run):
    report = json.loads(json.dumps(run_report(run)))
    assert report["benchmark"]["key"] == "22222222"
    assert report["benchmark"]["standing"]["of"] == 6561
    assert "benchmark nasbench_macro" in run_text(run)


def test_a_run_may_stand_for_its_space_and_genotype(run):
    result = invoke(run, "--format", "json")
    assert json.loads(result.stdout)["key"] == "22222222"
    other = invoke(run, "00000000", "--format", "json")
    assert json.loads(other.stdout)["key"] == "00000000"


def test_an_unfinished_run_has_nothing_to_look_up(run, tmp_path):
    import shutil

    for name in ("run.json", "sources.json"):
        shutil.copy(run / name, tmp_path / name)
    result = invoke(tmp_path)
    assert result.exit_code == 1 and "has no genotype yet" in result.stderr
    assert run_report(tmp_path)["benchmark"] is None


def test_a_search_on_the_tabulated_space_ends_with_its_record(tmp_path):
    import numpy as np

    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (40, 32, 32, 3), dtype="u1")
    labels = np.arange(40) % 10
    np.savez(tmp_path / "cifar10.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    order = [
        "run", "nasbench_macro", "--recipe", "quick", "--data-dir", tmp_path, "--no-retrain",
        "--set", "epochs=1", "--set", "batch=10", "-o", tmp_path / "run", "--format", "json",
    ]  # fmt: skip
    result = CliRunner().invoke(cli, [str(o) for o in order])
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    own = json.loads(invoke(tmp_path / "run", "--format", "json").stdout)
    assert shown["benchmark"] == own and own["standing"]["of"] == 6561
    labels = ("id", "ir_3x3_t3", "ir_5x5_t6")
    picked = [labels.index(label) for _, label in shown["genotype"]["picks"]]
    assert sorted(map(str, picked)) == sorted(own["key"])
