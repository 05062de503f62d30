"""`nasdsl run --nproc`: several processes, of which some die or are stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_trust import TEXT, same

from nasdsl.cli.main import cli
from nasdsl.cli.ranks import LOST, failure, stop_code, told_elsewhere
from nasdsl.oneshot.ranks.world import (
    RankLost,
    World,
    WorldError,
    amid,
    from_environment,
    under,
)
from nasdsl.training.checkpoint import reached
from nasdsl.training.run import Options

#: Long enough to be killed in. With eight channels: of fewer, torch 2.13 writes the gradients of a
#: convolution with stride 2 beside their place (AVX2, 1 x 1, channels last, float32).
LONG = TEXT.replace("epochs  = 3\n  batch   = 32", "epochs  = 3\n  batch   = 8").replace(
    "C      = 4", "C      = 8"
)


def command(tmp_path, *more):
    """The arguments of a run of the small file into `tmp_path/run`."""
    file = tmp_path / "small.nas"
    file.write_text(LONG)
    return [
        str(file), "--space", "tiny", "--recipe", "soft", "--split", "few", "--train", "short",
        "--data", "fashion16", "--device", "cpu", *map(str, more),
    ]  # fmt: skip


def start(*args):
    """A command as a process with processes of its own."""
    kept = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    return subprocess.Popen(
        [sys.executable, "-m", "nasdsl", *map(str, args), "--threads", "1"],
        env={**kept, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    out, error = process.communicate(timeout=500)
    return process.returncode, out, error


def quiet(error, said):
    """Something is said once, and torch says nothing at all."""
    assert error.count(said) == 1, error
    for other in ("Traceback", "elastic", "closing signal", "c10d", "does not answer"):
        assert other not in error, error


def children(process):
    """The ranks that a process started, by rank."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent != process.pid:
                continue
            environment = dict(
                line.split("=", 1)
                for line in (place / "environ").read_text().split("\0")
                if "=" in line
            )
        except (OSError, ValueError):
            continue
        if "RANK" in environment:
            found[int(environment["RANK"])] = int(place.name)
    return found


def wait_for(place, process):
    """Until a file is there."""
    end = time.monotonic() + 300
    while not place.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


# ---- one process is enough


def test_an_environment_that_describes_a_world():
    assert from_environment({}) is None
    given = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert from_environment(given) == World(rank=3, size=4, local_rank=1, local_size=2)
    again = from_environment({**given, "TORCHELASTIC_RESTART_COUNT": "2"})
    assert again.attempt == 2
    with pytest.raises(WorldError, match="do not describe a world"):
        from_environment({"RANK": "x", "WORLD_SIZE": "4"})
    with pytest.raises(WorldError, match="synchronised or local"):
        under(World(), "none")


def test_a_profile_that_normalises_inside_gives_way_to_synchronised_norms():
    assert Options(profile="balanced").runs_as == "balanced"
    assert Options(profile="balanced", world=World(size=2)).runs_as == "launch"
    assert Options(profile="reference", world=World(size=2)).runs_as == "reference"
    assert Options(profile="balanced", precision="bf16").runs_as == "reference"
    local = World(size=2, batch_norm="local")
    assert Options(profile="balanced", world=local).runs_as == "balanced"


def test_a_stopped_rank_is_no_failure_to_what_would_start_it_again():
    assert stop_code({}) == 130
    assert stop_code({"TORCHELASTIC_RUN_ID": "1"}) == 0


def test_a_rank_leaves_the_last_word_to_nproc_and_not_to_torchrun():
    rank = {"RANK": "0", "WORLD_SIZE": "2"}
    assert told_elsewhere({**rank, "TORCHELASTIC_RUN_ID": "nasdsl-1"})
    assert not told_elsewhere({**rank, "TORCHELASTIC_RUN_ID": "1"})
    assert not told_elsewhere({"TORCHELASTIC_RUN_ID": "nasdsl-1"})


def test_where_a_run_stopped_is_its_newest_checkpoint(tmp_path):
    assert reached(tmp_path) is None
    for name in ("epoch-2-step-11", "epoch-2-step-3", "epoch-3-step-0.partial"):
        (tmp_path / "checkpoint" / name).mkdir(parents=True)
    assert reached(tmp_path) == "epoch-2-step-11 of the search"
    (tmp_path / "retrain" / "checkpoint" / "epoch-1-step-0").mkdir(parents=True)
    assert reached(tmp_path) == "epoch-1-step-0 of the retraining"


def test_what_a_backend_says_in_the_midst_of_a_step_is_a_lost_rank():
    said = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer"
    with (
        pytest.raises(RankLost, match="does not answer any more .Connection closed by peer"),
        amid(),
    ):
        raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="can't allocate memory"), amid():
        raise RuntimeError("can't allocate memory")


@pytest.mark.parametrize(
    ("ended", "message", "code"),
    [
        ({1: -9, 0: LOST}, "rank 1 was killed by signal 9", 1),
        ({0: -15, 1: -9}, "rank 1 was killed by signal 9", 1),
        ({0: LOST, 1: 3}, "rank 1 failed", 3),
        ({1: 1, 0: 1}, "rank 0 failed; rank 1 failed", 1),
        ({0: LOST, 1: LOST}, "the ranks do not reach each other any more", 1),
        ({0: -15, 1: -15}, "rank 0 was killed by signal 15; rank 1 was killed by signal 15", 1),
    ],
)
def test_what_is_said_of_ranks_that_ended(ended, message, code):
    assert failure(ended) == (message, code)


@pytest.mark.parametrize(
    ("options", "environment", "message", "code"),
    [
        (["--nproc", "2", "--cuda-graph"], {}, "steps of several ranks are not recorded", 1),
        (["--nproc", "2", "--compile", "--batch-norm", "local"], {}, "in one process", 1),
        (["--nproc", "2", "--compile"], {}, "compiled cells run in one process", 1),
        (["--nproc", "2", "--accumulate", "2"], {}, "share out a batch already", 1),
        (["--shard"], {}, "--shard needs --nproc", 1),
        (
            ["--nproc", "2", "--shard", "--precision", "fp16"],
            {},
            "--shard: precision fp16 looks for overflow",
            1,
        ),
        (
            ["--nproc", "2", "--shard", "--batch-norm", "local"],
            {},
            "--shard: profile balanced has kernels",
            1,
        ),
        (["--nproc", "2", "--find-batch"], {}, "leave --nproc out", 2),
        (["--nproc", "2", "--device", "cuda:0"], {}, "2 ranks cannot share cuda:0", 1),
        ([], {"RANK": "0", "WORLD_SIZE": "2"}, "give --out", 2),
        (["--nproc", "3"], {"RANK": "0", "WORLD_SIZE": "2"}, "but 2 were started here", 2),
    ],
)
def test_what_several_ranks_do_not_run(options, environment, message, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(cli, ["run", *command(tmp_path), *options])
    assert result.exit_code == code, result.output
    assert message in result.output
    assert not (tmp_path / "runs").exists()


# ---- several


@pytest.mark.slow
def test_a_killed_rank_ends_the_run_which_goes_on_by_the_same_command(tmp_path):
    whole = command(tmp_path, "--out", tmp_path / "whole", "--nproc", 2)
    code, out, error = ended(start("run", *whole))
    assert code == 0, error
    assert "2 ranks on cpu, batch-norm synchronised" in error
    assert out.count("genotype   ") == 1
    assert json.loads((tmp_path / "whole" / "run.json").read_text())["ranks"] == 2

    process = start("run", *command(tmp_path, "--out", tmp_path / "run", "--nproc", 2))
    wait_for(tmp_path / "run" / "checkpoint" / "epoch-1-step-0", process)
    os.kill(children(process)[1], signal.SIGKILL)
    code, _, error = ended(process)
    assert code == 1
    again = f"go on with: nasdsl run {tmp_path / 'run'} --resume --nproc 2"
    assert f"error: rank 1 was killed by signal 9; {again}\n" in error
    quiet(error, "go on with")
    code, _, error = ended(
        start("run", *command(tmp_path, "--out", tmp_path / "run", "--nproc", 2))
    )
    assert code == 0, error
    same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
def test_ranks_are_started_again_where_that_is_asked_for(tmp_path):
    args = command(tmp_path, "--out", tmp_path / "run", "--nproc", 2, "--max-restarts", 1)
    process = start("run", *args)
    wait_for(tmp_path / "run" / "checkpoint" / "epoch-1-step-0", process)
    os.kill(children(process)[0], signal.SIGKILL)
    code, _, error = ended(process)
    assert code == 0, error
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "done"
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_ranks_behind_a_checkpoint(number, tmp_path):
    process = start("run", *command(tmp_path, "--out", tmp_path / "run", "--nproc", 2))
    wait_for(tmp_path / "run" / "checkpoint" / "epoch-1-step-0", process)
    process.send_signal(number)
    code, _, error = ended(process)
    assert code == 130, error
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "stopped"
    place = (tmp_path / "run" / "checkpoint" / "latest").read_text()
    again = f"go on with: nasdsl run {tmp_path / 'run'} --resume --nproc 2"
    assert f"stopped at {place} of the search; {again}\n" in error
    quiet(error, "stopped")
    # With another number of ranks, too.
    code, _, error = ended(start("run", tmp_path / "run", "--resume"))
    assert code == 0, error
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "done"


@pytest.mark.slow
def test_a_limit_of_time_stops_all_ranks(tmp_path):
    given = ("--out", tmp_path / "run", "--nproc", 2, "--max-restarts", 2, "--wall-limit", 0.01)
    code, _, error = ended(start("run", *command(tmp_path, *given)))
    assert code == 130, error
    assert (tmp_path / "run" / "checkpoint" / "latest").read_text() == "epoch-0-step-1"
    assert "stopped at epoch-0-step-1 of the search; go on with" in error
    quiet(error, "stopped")


@pytest.mark.slow
def test_a_mistake_is_said_once(tmp_path):
    code, _, error = ended(
        start(
            "run", *command(tmp_path, "--out", tmp_path / "run", "--nproc", 2, "--set", "batch=3")
        )
    )
    assert code == 1
    quiet(error, "a batch of 3 leaves some of 2 ranks fewer than two images")


@pytest.mark.slow
def test_torchrun_starts_the_same_run(tmp_path):
    given = command(tmp_path, "--out", tmp_path / "run", "--wall-limit", 0.01, "--threads", 1)
    agent = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    made = subprocess.run(
        [sys.executable, *agent, "-m", "nasdsl", "run", *given],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    # Nothing failed, so there is nothing to start again.
    assert made.returncode == 0, made.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "stopped"
    assert (tmp_path / "run" / "checkpoint" / "latest").read_text() == "epoch-0-step-1"


@pytest.mark.slow
def test_a_retraining_on_two_ranks_is_stopped_and_goes_on(tmp_path):
    once = [*command(tmp_path, "--out", tmp_path / "run", "--threads", 1), "--set", "epochs=1"]
    assert CliRunner().invoke(cli, ["-q", "run", *once, "--no-retrain"]).exit_code == 0
    whole = ["retrain", tmp_path / "run", "--set", "batch=8", "--set", "epochs=6"]
    result = CliRunner().invoke(cli, [*map(str, whole), "--threads", "1"])
    assert result.exit_code == 0, result.output
    several = [*whole, "--out", tmp_path / "two", "--nproc", 2]
    process = start(*several)
    wait_for(tmp_path / "two" / "retrain" / "checkpoint" / "epoch-1-step-0", process)
    process.send_signal(signal.SIGINT)
    code, _, error = ended(process)
    assert code == 130, error
    quiet(error, "go on with the same command")
    code, out, error = ended(start(*several))
    assert code == 0, error
    assert out.count("retrained  ") == 1
    one, two = (
        json.loads((place / "retrain" / "result.json").read_text())
        for place in (tmp_path / "run" / "retrain-1", tmp_path / "two")
    )
    assert two["test"]["loss"] == pytest.approx(one["test"]["loss"], rel=1e-2)
    assert two["genotype"] == one["genotype"]


@pytest.mark.slow
def test_a_sharded_run_is_stopped_and_goes_on_with_and_without_sharding(tmp_path):
    given = command(tmp_path, "--out", tmp_path / "run", "--nproc", 2, "--shard")
    code, _, error = ended(start("run", *given, "--wall-limit", 0.01))
    assert code == 130, error
    assert "2 ranks on cpu, batch-norm synchronised, sharded" in error
    assert json.loads((tmp_path / "run" / "run.json").read_text())["sharded"] is True
    # It was sharded, so that with several processes it is again; one has nothing to share out.
    code, _, error = ended(
        start("run", tmp_path / "run", "--resume", "--nproc", 2, "--wall-limit", 0.01)
    )
    assert code == 130, error
    assert "synchronised, sharded" in error
    code, _, error = ended(start("run", tmp_path / "run", "--resume"))
    assert code == 0, error
    once = command(tmp_path, "--out", tmp_path / "whole")
    code, _, error = ended(start("run", *once, "--profile", "launch"))
    assert code == 0, error
    one, two = (
        json.loads((tmp_path / name / "result.json").read_text()) for name in ("run", "whole")
    )
    assert one["genotype"] == two["genotype"]
    assert one["valid"]["loss"] == pytest.approx(two["valid"]["loss"], rel=1e-2)
    code, _, error = ended(
        start("retrain", tmp_path / "whole", "--out", tmp_path / "again", "--nproc", 2, "--shard")
    )
    assert code == 0, error
    one, two = (
        json.loads((tmp_path / name / "retrain" / "result.json").read_text())
        for name in ("again", "whole")
    )
    assert one["test"]["loss"] == pytest.approx(two["test"]["loss"], rel=1e-2)
