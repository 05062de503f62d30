"""Suites in jobs and tasks: the same store content as in processes; what is said when they end."""

from __future__ import annotations

import itertools
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner

from nasdsl import driver
from nasdsl.cli.main import cli
from nasdsl.cli.suite_cluster import Duration
from nasdsl.suite import attend, declaration, executor, folder, planning
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.executors import slurm
from nasdsl.suite.executors.processes import Processes
from nasdsl.suite.executors.ray_tasks import RayTasks
from nasdsl.suite.executors.resources import Resources
from nasdsl.suite.work import Means

LIMITS = executor.Limits(jobs=2, retries=0, seconds=300.0)
MEANS = Means(device="cpu", threads=1)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes a folder of the smallest suite: a search and a retraining."""
    base = tmp_path_factory.mktemp("suites")
    (base / "tiny.nas").write_text(tiny.TEXT)
    loaded = driver.load(base / "tiny.nas")
    planned = planning.plan(loaded, declaration.declared(loaded, "one"))
    return lambda name: folder.create(base / name, loaded, planned)


def run(held, doer, limits=LIMITS):
    """What the store says in the end: digest, state and result of every cell."""
    store = held.open()
    try:
        executor.run(store, doer, limits)
        return [(s.cell.digest, s.state, s.result) for s in store.all()], store.events()
    finally:
        doer.close()
        store.close()


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


# ---- Slurm: its programs are played by scripts, so that what submitit asks of them is seen

PLAYED = """#!{python}
import os, pathlib, re, subprocess, sys
base, name = pathlib.Path({base!r}), pathlib.Path(sys.argv[0]).name
if name == "sbatch":
    number = str({first} + len(list(base.glob("*.sh"))))
    text = pathlib.Path(sys.argv[-1]).read_text()
    (base / f"{{number}}.sh").write_text(text)
    env = dict(os.environ, SLURM_JOB_ID=number, SLURM_PROCID="0", SLURM_NTASKS="1")
    out = open(base / f"{{number}}.out", "ab")
    job = subprocess.Popen(["bash", str(base / f"{{number}}.sh")], env=env, stdin=subprocess.DEVNULL,
                           stdout=out, stderr=out, start_new_session=True)
    (base / f"{{number}}.pid").write_text(str(job.pid))
    print("Submitted batch job", number)
elif name == "srun":
    command = [a for a in sys.argv[1:]]
    first = next(i for i, a in enumerate(command) if a == {python!r})
    os.execv(command[first], command[first:])
elif name == "squeue":
    asked = next(a for a in sys.argv if a.startswith("--jobs="))[7:].split(",")
    for j in (a for a in asked if (base / f"{{a}}.pid").exists()):
        pid = (base / f"{{j}}.pid").read_text()
        state = pathlib.Path(f"/proc/{{pid}}/stat")
        dead = not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
        print(j, "CANCELLED" if dead else "RUNNING")
elif name == "scancel":
    os.killpg(int((base / f"{{sys.argv[-1]}}.pid").read_text()), 15)
"""


@pytest.fixture
def played(tmp_path, monkeypatch):
    """A folder with what the jobs of a played Slurm were."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    if not Path("/proc/self/stat").exists():
        pytest.skip("the played Slurm reads /proc")
    base, programs = tmp_path / "slurm", tmp_path / "bin"
    first = 100 * next(_numbers)  # submitit remembers numbers of jobs for as long as it is loaded
    base.mkdir()
    programs.mkdir()
    for name in ("sbatch", "srun", "squeue", "scancel"):
        place = programs / name
        place.write_text(PLAYED.format(python=sys.executable, base=str(base), first=first))
        place.chmod(place.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "LOOK", 0.5)
    monkeypatch.setattr(slurm, "LATE", 0.5)
    monkeypatch.setattr(slurm, "SOON", 0.5)
    return Played(base, first)


class Played:
    """The jobs of a played Slurm, by the order they were submitted in."""

    def __init__(self, base, first):
        self.base, self.first = base, first

    def submitted(self):
        return len(list(self.base.glob("*.sh")))

    def text(self, job):
        return (self.base / f"{self.first + job}.sh").read_text()

    def pid(self, job):
        return int((self.base / f"{self.first + job}.pid").read_text())


def waiting(monkeypatch):
    """Cells that only wait, and end when they are asked to."""
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\n"
        "print('waiting', flush=True)\ntime.sleep(60)"
    )
    monkeypatch.setattr(slurm, "arguments", lambda *_: ["-c", code])


def until(true, seconds=30.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def said(held):
    """What the only log of a suite says."""
    return "".join(f.read_text() for f in (held.path / "logs").glob("*"))


def test_what_a_cell_asks_for_reaches_slurm(made, played, monkeypatch):
    """The whole way: requests in the file of `sbatch`, results from the jobs."""
    held = made("played")
    code = (
        "import pathlib, sys\nplace = pathlib.Path(sys.argv[1])\n"
        "place.mkdir(parents=True)\n(place / 'outcome.json').write_text('{\"x\": 1.5}')"
    )
    monkeypatch.setattr(slurm, "arguments", lambda f, d, m: ["-c", code, str(f.cell(d))])
    asked = Resources(cpus=2, gpus=1, memory=4)
    options = {"partition": "gpu", "account": "team", "qos": "low", "constraint": "a100"}
    cells, _ = run(held, slurm.Slurm(held, MEANS, LIMITS, asked, options))
    assert [(state, result) for _, state, result in cells] == [("done", {"x": 1.5})] * 2
    lines = set(played.text(0).splitlines())
    assert {
        "#SBATCH --cpus-per-task=2", "#SBATCH --gpus-per-node=1", "#SBATCH --mem=4GB",
        "#SBATCH --partition=gpu", "#SBATCH --account=team", "#SBATCH --qos=low",
        "#SBATCH --constraint=a100", "#SBATCH --time=8",
        f"#SBATCH --job-name=nasdsl-{cells[0][0]}",
    } <= lines  # fmt: skip
    srun = next(line for line in lines if line.startswith("srun"))
    assert "--cpus-per-task=2" in srun


def test_a_job_that_is_killed_is_a_failed_attempt(made, played, monkeypatch):
    held = made("killed")
    waiting(monkeypatch)
    doer = slurm.Slurm(held, MEANS, LIMITS, Resources(), {})

    def kill():
        until(lambda: "waiting" in said(held))
        os.killpg(played.pid(0), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    cells, events = run(held, doer)
    thread.join()
    assert [state for _, state, _ in cells] == ["failed", "pending"]
    assert [what for _, what in events] == ["started", "failed"]
    store = held.open()
    error = store.all()[0].error
    store.close()
    number = played.first
    assert error == f"job {number} ended without an answer (CANCELLED); the last it said: waiting"


def test_a_worker_that_was_killed_finds_its_jobs_again(made, played, monkeypatch):
    """A job outlives who submitted it; the next waits for it, and cancels it when it is stopped."""
    held = made("orphan")
    waiting(monkeypatch)
    store = held.open()
    task = store.task(store.claim("elsewhere:1:1"))
    store.close()
    slurm.Slurm(held, MEANS, LIMITS, Resources(), {}).start(task)
    until(lambda: "waiting" in said(held))
    second = slurm.Slurm(held, MEANS, LIMITS, Resources(), {})
    second.start(task)
    assert second.busy() and played.submitted() == 1
    second.stop()
    found = []
    until(lambda: found.extend(second.ended()) or found)
    assert [(e.digest, e.result, e.error) for e in found] == [(task.cell.digest, None, None)]
    # It is over: a third submits another.
    third = slurm.Slurm(held, MEANS, LIMITS, Resources(), {})
    third.start(task)
    assert played.submitted() == 2
    third.stop()
    until(lambda: third.ended())


def test_a_queue_that_does_not_answer_ends_nothing(made, played, monkeypatch):
    held = made("deaf")
    waiting(monkeypatch)
    doer = slurm.Slurm(held, MEANS, LIMITS, Resources(), {})
    store = held.open()
    task = store.task(store.claim("elsewhere:1:1"))
    store.close()
    doer.start(task)
    until(lambda: "waiting" in said(held))
    queue = played.base.parent / "bin/squeue"
    text = queue.read_text()
    queue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2\nexit 1\n")
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert doer.ended() == []
        time.sleep(0.1)
    # One that the queue has forgotten is over.
    queue.write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n"
    )
    found = []
    until(lambda: found.extend(doer.ended()) or found)
    assert "ended without an answer (gone from the queue)" in found[0].error
    queue.write_text(text)
    os.killpg(played.pid(0), signal.SIGKILL)


def test_what_sbatch_says_is_said(made, played):
    held = made("refused")
    place = played.base.parent / "bin/sbatch"
    place.write_text(
        "#!/bin/sh\necho 'sbatch: error: invalid partition specified: x' >&2\nexit 1\n"
    )
    doer = slurm.Slurm(held, MEANS, LIMITS, Resources(), {"partition": "x"})
    with pytest.raises(SuiteError, match="no job could be submitted: .*invalid partition"):
        run(held, doer)
    store = held.open()
    assert [s.state for s in store.all()] == ["pending", "pending"]  # given back
    store.close()


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
