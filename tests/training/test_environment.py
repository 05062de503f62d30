"""Devices, what is recorded of a machine, and the deterministic mode."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from small_trust import TEXT, run, same  # noqa: E402

from nasdsl.cli.main import cli  # noqa: E402
from nasdsl.training import environment as env  # noqa: E402
from nasdsl.training.plan import PlanError  # noqa: E402


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "tiny.nas"
    path.write_text(TEXT)
    return path


class About:
    def __init__(self, name):
        self.name, self.total_memory = name, 80 * 2**30


@pytest.fixture
def two_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: About(f"Card {i}"))


def test_one_of_several_devices(two_devices):
    for name in ("cpu", "cuda", "cuda:0", "cuda:1"):
        assert env.device_of(name) == name
    assert env.device_of("auto") == "cuda"
    with pytest.raises(
        PlanError, match="no CUDA device `cuda:2`: this machine has cuda:0 to cuda:1"
    ):
        env.device_of("cuda:2")
    with pytest.raises(PlanError, match="unknown device `cuda:x`"):
        env.device_of("cuda:x")


def test_a_device_that_is_not_there(spec, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = run(spec, "--device", "cuda:1", "-o", tmp_path / "a", code=3)
    assert "no CUDA device was found" in done.output
    assert not (tmp_path / "a").exists()


def test_doctor_lists_every_device(two_devices):
    done = CliRunner().invoke(cli, ["doctor", "--format", "json"])
    found = json.loads(done.output)
    assert found["cuda"] == "cuda:0 Card 0, 80.0 GiB; cuda:1 Card 1, 80.0 GiB"
    assert {"cpu", "compiler", "kernels"} <= found.keys()


def test_what_is_recorded_of_a_machine(monkeypatch):
    found = env.environment("cpu")
    assert found["cpu"] and found["kernels"] in ("avx512", "avx2", "portable", "none")
    assert found["deterministic"] == "no"
    assert all(isinstance(v, str) for v in found.values())
    monkeypatch.setenv("CXX", "no-such-compiler")
    without = env.environment("cpu")
    assert without["kernels"] == "none" and "no-such-compiler" in without["compiler"]


def test_the_deterministic_mode_ends_where_it_began(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    with env.deterministic(False):
        assert torch.are_deterministic_algorithms_enabled() == before[0]
    with env.deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert cudnn.deterministic and not cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    with pytest.raises(ZeroDivisionError), env.deterministic(True):
        1 / 0  # noqa: B018
    now = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    assert now == before


def test_an_operator_without_a_deterministic_form_is_named():
    said = "some_backward_cuda does not have a deterministic implementation, but you set ...\nmore"
    wanted = "--deterministic: some_backward_cuda does not have"
    with pytest.raises(PlanError, match=wanted), env.deterministic(True):
        raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="shapes"), env.deterministic(True):
        raise RuntimeError("shapes")


def test_runs_say_how_they_were_computed_and_differ_by_it(spec, tmp_path, monkeypatch):
    short = ("--recipe", "soft", "--no-retrain", "--set", "epochs=1")
    run(spec, *short, "-o", tmp_path / "a")
    how = ("--precision", "bf16", "--accumulate", "2", "--deterministic")
    run(spec, *short, *how, "-o", tmp_path / "b")
    order = json.loads((tmp_path / "b/run.json").read_text())
    assert (order["precision"], order["accumulate"], order["profile"]) == ("bf16", 2, "reference")
    assert order["environment"]["deterministic"] == "yes"
    plain = json.loads((tmp_path / "a/run.json").read_text())
    assert "precision" not in plain and "accumulate" not in plain
    # A folder says how it was made: repeated from it, the run is the same.
    run(tmp_path / "b", "--no-retrain", "-o", tmp_path / "c")
    same(tmp_path / "b", tmp_path / "c")
    assert json.loads((tmp_path / "c/run.json").read_text())["environment"] == order["environment"]
    shown = CliRunner().invoke(cli, ["runs", "diff", str(tmp_path / "a"), str(tmp_path / "b")])
    for line in ("precision", "accumulate", "environment", "profile", "environment.deterministic"):
        assert line in shown.output.split(), shown.output
    # In another precision it is another run.
    done = run(spec, *short, "--precision", "fp16", "-o", tmp_path / "b", code=1)
    assert "-precision = bf16" in done.output and "+precision = fp16" in done.output


def test_runs_of_two_machines_differ_in_their_environment_alone(tmp_path):
    from nasdsl.report.runs import difference_report
    from nasdsl.training.record import RunFolder

    for name, compiler in (("a", "g++ 12"), ("b", "no C++ compiler")):
        RunFolder(tmp_path / name).write(
            "run.json", {"seed": 1, "device": "cpu", "environment": {"compiler": compiler}}
        )
    found = difference_report(tmp_path / "a", tmp_path / "b")
    assert found["settings"] == []
    assert found["environment"] == [
        {"name": "environment.compiler", "a": "g++ 12", "b": "no C++ compiler"}
    ]


def test_the_command_says_what_it_gives_up(spec, tmp_path):
    given = [
        "run",
        str(spec),
        "--recipe",
        "soft",
        "--set",
        "epochs=1",
        "--no-retrain",
        "--threads",
        "1",
    ]
    done = CliRunner().invoke(cli, [*given, "--precision", "bf16", "-o", str(tmp_path / "a")])
    assert done.exit_code == 0
    assert "note: under bf16 cells run operator by operator" in done.output
    done = CliRunner().invoke(cli, [*given, "--accumulate", "99", "-o", str(tmp_path / "b")])
    assert done.exit_code == 1 and "of `soft` a batch has 32 images" in done.output
    assert not (tmp_path / "b").exists()
