"""Whole runs: repeated, killed and resumed bit for bit; folders that are enough by themselves."""

import json
import random
import signal
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_trust import TEXT, run, start

from nasdsl.cli.main import cli


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "tiny.nas"
    path.write_text(TEXT)
    return path


def same(a: Path, b: Path):
    for name in ("supernet.safetensors", "alphas.safetensors", "genotype.json"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    left, right = (json.loads((p / "result.json").read_text()) for p in (a, b))
    left.pop("seconds"), right.pop("seconds")
    assert left == right


def test_same_seed_is_the_same_run_and_the_folder_alone_repeats_it(spec, tmp_path):
    run(spec, "--recipe", "soft", "-o", tmp_path / "a", "--no-retrain")
    run(spec, "--recipe", "soft", "-o", tmp_path / "b", "--no-retrain")
    same(tmp_path / "a", tmp_path / "b")
    spec.unlink()
    run(tmp_path / "a", "-o", tmp_path / "c", "--no-retrain")
    same(tmp_path / "a", tmp_path / "c")
    # C79: another run in between changes nothing; another seed changes everything.
    spec.write_text(TEXT)
    run(spec, "--recipe", "soft", "--seed", 1, "-o", tmp_path / "d", "--no-retrain")
    assert (tmp_path / "a/alphas.safetensors").read_bytes() != (
        tmp_path / "d/alphas.safetensors"
    ).read_bytes()


def under_way(process, target):
    """Wait until a run has written its first checkpoint."""
    began = time.monotonic()
    while not (target / "checkpoint" / "latest").exists():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() - began < 120
        time.sleep(0.02)


def wait(process):
    _, err = process.communicate(timeout=300)
    return process.returncode, err.decode()


KILLS = 5


@pytest.mark.parametrize(
    "recipe", ["hard", *(pytest.param(r, marks=pytest.mark.slow) for r in ("soft", "drawn"))]
)
def test_kill_and_resume_is_bit_identical(recipe, spec, tmp_path):
    """C74: after `kill -9` at random moments the end is that of an uninterrupted run."""
    assert wait(start(spec, "--recipe", recipe, "-o", tmp_path / "whole", "--no-retrain"))[0] == 0
    draw = random.Random(recipe)
    target = tmp_path / "killed"
    kills = 0
    process = start(spec, "--recipe", recipe, "-o", target, "--no-retrain")
    while kills < KILLS:
        # Wait for the run to be under way, then a random while longer.
        under_way(process, target)
        time.sleep(draw.random() * 0.5)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        if kills < KILLS:
            process = start(target, "--resume", "--no-retrain")
            time.sleep(1.0 + draw.random())
    code, err = wait(start(target, "--resume", "--no-retrain"))
    assert code == 0, err
    same(tmp_path / "whole", target)
    whole, killed = (
        [json.loads(line) for line in (tmp_path / n / "log.jsonl").read_text().splitlines()]
        for n in ("whole", "killed")
    )
    for record in (*whole, *killed):
        record.pop("seconds")
    assert whole == killed


def test_sigterm_writes_a_checkpoint_first_and_says_how_to_go_on(spec, tmp_path):
    target = tmp_path / "stopped"
    process = start(spec, "--recipe", "soft", "--set", "epochs=200", "-o", target, "--no-retrain")
    under_way(process, target)
    process.send_signal(signal.SIGTERM)
    code, _ = wait(process)
    assert code == 130
    assert json.loads((target / "run.json").read_text())["status"] == "stopped"


def test_stop_in_the_middle_of_an_epoch_resumes_bit_identical(spec, tmp_path):
    run(spec, "--recipe", "drawn", "-o", tmp_path / "a", "--no-retrain")
    result = CliRunner().invoke(
        cli,
        ["-q", "run", str(spec), "--recipe", "drawn", "-o", str(tmp_path / "b"), "--no-retrain",
         "--wall-limit", "0.01"],
    )  # fmt: skip
    assert result.exit_code == 130
    run(tmp_path / "b", "--resume", "--no-retrain")
    same(tmp_path / "a", tmp_path / "b")


def test_retraining_resumes_bit_identical(spec, tmp_path):
    run(spec, "--recipe", "hard", "-o", tmp_path / "a")
    target = tmp_path / "b"
    run(spec, "--recipe", "hard", "-o", target, "--no-retrain")
    result = CliRunner().invoke(cli, ["-q", "run", str(target), "--resume", "--wall-limit", "0.01"])
    assert result.exit_code == 130
    run(target, "--resume")
    for name in ("network.safetensors",):
        assert (tmp_path / "a/retrain" / name).read_bytes() == (
            target / "retrain" / name
        ).read_bytes()


def test_overlapping_search_parts_are_refused(spec, tmp_path):
    spec.write_text(TEXT.replace("data[96..191]", "data[90..191]"))
    result = CliRunner().invoke(cli, ["run", str(spec), "--recipe", "soft"])
    assert result.exit_code == 1
    assert "E402" in result.output


def test_a_space_that_does_not_fit_its_data_is_refused_before_training(tmp_path):
    path = tmp_path / "fixed.nas"
    path.write_text(
        "nas 1\n\nspace fixed {\n  width = 4\n  input image(3, 16, 16)\n  stem conv(3) >> bn\n"
        "  stage one_of {relu, identity}\n  head global_avg_pool >> linear(10)\n}\n"
    )
    result = CliRunner().invoke(cli, ["run", str(path), "-o", str(tmp_path / "r")])
    assert result.exit_code == 1
    assert "3x16x16" in result.output and "1x16x16" in result.output
    assert not (tmp_path / "r").exists()


def test_a_run_folder_is_never_overwritten(spec, tmp_path):
    run(spec, "--recipe", "soft", "--set", "epochs=1", "-o", tmp_path / "a", "--no-retrain")
    result = CliRunner().invoke(cli, ["run", str(spec), "-o", str(tmp_path / "a")])
    assert result.exit_code == 1
    assert "not empty" in result.output


def test_a_machine_without_a_compiler_works_and_says_what_it_lost(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    given = ["run", str(spec), "--recipe", "soft", "--no-retrain", "--threads", "1"]
    said = CliRunner().invoke(cli, [*given, "-o", str(tmp_path / "a")], catch_exceptions=False)
    assert said.exit_code == 0
    assert "`no-such-compiler` that CXX names is not there" in said.stderr
    assert "slower" in said.stderr
    other = [*given, "-o", str(tmp_path / "b"), "--profile", "reference"]
    assert "compiler" not in CliRunner().invoke(cli, other, catch_exceptions=False).stderr
