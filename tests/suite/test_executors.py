"""Suites in jobs and tasks: the same store content as in processes; what is said when they end."""

from __future__ import annotations

import pytest
import tiny
from click.testing import CliRunner
from smallest import LIMITS, MEANS, run

from nasdsl.cli.main import cli
from nasdsl.cli.suite_cluster import Duration
from nasdsl.suite import attend
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.executors import slurm
from nasdsl.suite.executors.processes import Processes
from nasdsl.suite.executors.ray_tasks import RayTasks
from nasdsl.suite.executors.resources import Resources


@pytest.fixture(scope="module")
def clean(made):
    """The suite in processes of this machine."""
    held = made("processes")
    found = run(held, Processes(held, MEANS, LIMITS))
    assert [state for _, state, _ in found[0]] == ["done", "done"]
    return found


def test_jobs_of_submitit_give_the_same(made, clean):
    pytest.importorskip("submitit", reason="submitit is not installed")
    held = made("submitit")
    doer = slurm.Slurm(held, MEANS, LIMITS, Resources(), {}, cluster="local")
    assert run(held, doer) == clean
    assert all("epoch" in held.log(digest).read_text() for digest, _, _ in clean[0])


def test_tasks_of_ray_give_the_same(made, clean, monkeypatch):
    pytest.importorskip("ray", reason="ray is not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    held = made("ray")
    assert run(held, RayTasks(held, MEANS, LIMITS, Resources(cpus=1))) == clean
    assert all("epoch" in held.log(digest).read_text() for digest, _, _ in clean[0])


def test_what_this_machine_never_gives_is_not_waited_for(made, monkeypatch):
    ray = pytest.importorskip("ray", reason="ray is not installed")
    begun = []
    monkeypatch.setattr(ray, "init", lambda **given: begun.append(given))
    monkeypatch.setattr(ray, "shutdown", begun.clear)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0, "memory": 2.0**31})
    for asked, told in (
        (Resources(cpus=3), "a cell asks for 3 of CPU, this machine has 2"),
        (Resources(gpus=0.5), "a cell asks for 0.5 of GPU, this machine has 0"),
    ):
        with pytest.raises(SuiteError, match=told):
            RayTasks(made("never"), MEANS, LIMITS, asked)
        assert not begun  # the cluster that was started is ended
    RayTasks(made("never"), MEANS, LIMITS, Resources(gpus=1), "auto")
    assert begun == [{"address": "auto", "log_to_driver": False, "logging_level": "error"}]


# ---- waiting for a process


def test_a_process_is_ended_at_its_limit_and_first_asked(tmp_path):
    code = "import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True) or exit(130))\ntime.sleep(60)"
    found = attend.attend(["-c", code], str(tmp_path / "log"), 1.5)
    assert (found.code, found.late) == (attend.STOPPED, True) and 1.5 <= found.seconds < 30
    assert attend.last(tmp_path / "log") == "asked"


def test_what_went_wrong_is_said(tmp_path):
    (tmp_path / "log").write_text("epoch 1\nValueError: no such thing\n\n")
    assert attend.problem(1, tmp_path / "log") == "ValueError: no such thing"
    assert attend.problem(3, tmp_path / "none") == "exit code 3"
    assert attend.problem(-9, tmp_path / "log") == "killed from outside by SIGKILL"
    attend.answer(["-c", "exit(7)"], str(tmp_path / "l"), None, str(tmp_path / "answer"))
    assert attend.answered(tmp_path / "answer").code == 7
    assert attend.answered(tmp_path / "log") is None


# ---- the command line


def nasdsl(*args, code=0):
    result = CliRunner().invoke(cli, [*map(str, args)])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "tiny.nas"
    path.write_text(tiny.TEXT)
    return path


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--cpus", 2], "--cpus asks a cluster"),
        (["--memory", 2, "--executor", "local"], "it needs --executor slurm or ray"),
        (["--partition", "x", "--executor", "ray"], "--partition is for --executor slurm"),
        (["--ray-address", "auto"], "--ray-address is for --executor ray"),
        (["--executor", "slurm"], "a job of Slurm has a time limit: give --time-limit, as 8h"),
        (["--executor", "slurm", "--time-limit", "1h", "--gpus", "0.5"], "Slurm gives whole ones"),
        (["--executor", "ray", "--inline"], "--inline is for this machine"),
        (["--time-limit", "soon"], "`soon` is no duration: 90s, 30m, 8h or 2d"),
        (["--sbatch", "x"], "`x` is not NAME=VALUE"),
    ],
)
def test_what_does_not_go_together_is_said(given, said, spec):
    assert said in nasdsl("suite", "run", spec, "--suite", "one", *given, code=2)


def test_durations():
    made = [Duration().convert(t, None, None) for t in ("90", "90s", "1.5m", "8h", "2D", 3.0)]
    assert made == [90.0, 90.0, 90.0, 28800.0, 172800.0, 3.0]


def test_what_is_not_installed_is_said(spec, tmp_path, missing, monkeypatch):
    start = ("suite", "run", spec, "--suite", "one", "-o", tmp_path / "o")
    missing("submitit")
    missing("ray")
    told = nasdsl(*start, "--executor", "slurm", "--time-limit", "1h", code=3)
    assert "nasdsl[slurm]" in told
    assert "nasdsl[ray]" in nasdsl(*start, "--executor", "ray", code=3)
    monkeypatch.undo()
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setenv("PATH", "/nowhere")
    told = nasdsl(*start, "--executor", "slurm", "--time-limit", "1h", code=3)
    assert "sbatch is not installed" in told
