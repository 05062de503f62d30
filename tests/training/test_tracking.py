"""Trackers: what the log says, elsewhere; none can end a run, none is imported unasked."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from small_trust import TEXT, run

from nasdsl.cli.main import cli
from nasdsl.training.loop import Moment
from nasdsl.training.track.tracker import Tracked, TrackError, opened


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "tiny.nas"
    path.write_text(TEXT)
    return path


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


class Kept:
    def __init__(self, folder, name, settings):
        self.name, self.settings, self.told = name, settings, []

    def log(self, step, values):
        self.told.append((step, dict(values)))

    def end(self, status, values):
        self.told.append((status, dict(values)))


def moment(task, epoch, record):
    return Moment(
        task=task, epoch=epoch, epochs=2, step=1, steps=1, seconds=1.0, record=record
    )  # fmt: skip


def test_a_tracker_is_told_of_epochs_by_tag(tmp_path):
    tracked = opened(["kept"], {"kept": Kept}, tmp_path, "run", {"seed": "0"}, print)
    seen = []
    watch = tracked.watching(seen.append)
    record = {"epoch": 1, "train": {"loss": 1.5, "accuracy": 50}, "lr": 0.1, "genotype": "g"}
    watch(moment("search", 0, None))
    watch(moment("search", 0, record))
    watch(moment("retrain", 0, record))
    tracked.end("done", {"end/test": 7.0})
    kept = tracked.trackers["kept"]
    assert kept.told == [
        (1, {"train/loss": 1.5, "train/accuracy": 50.0, "lr": 0.1}),
        (1, {"retrain/train/loss": 1.5, "retrain/train/accuracy": 50.0, "retrain/lr": 0.1}),
        ("done", {"end/test": 7.0}),
    ]
    assert len(seen) == 3 and kept.settings == {"seed": "0"}


def test_a_tracker_that_fails_is_left_out_and_said():
    class Broken(Kept):
        def log(self, step, values):
            raise ConnectionError("no server")

    said = []
    tracked = Tracked({"a": Broken(0, 0, 0), "b": Kept(0, 0, 0)}, said.append)
    for step in (1, 2):
        tracked.log(step, {"x": 1.0})
    assert said == ["a failed (ConnectionError: no server); the run goes on"]
    assert [step for step, _ in tracked.trackers["b"].told] == [1, 2]


def test_an_unknown_or_missing_tracker_is_said_before_anything_is_trained(spec, tmp_path):
    def missing(*args):
        raise ModuleNotFoundError("No module named 'x'", name="x")

    with pytest.raises(TrackError, match=r"x is not installed: pip install 'nasdsl\[t\]'"):
        opened(["t"], {"t": missing}, tmp_path, "", {}, print)
    given = ["-q", "run", str(spec), "--track", "excel", "-o", str(tmp_path / "a")]
    result = CliRunner().invoke(cli, given)
    assert result.exit_code == 1
    assert "there is no tracker `excel`; there are tensorboard, mlflow, wandb" in result.output


def test_no_tracker_is_imported_unasked():
    code = (
        "import sys, nasdsl.training.track.table, nasdsl.training.run, nasdsl.cli.main\n"
        "print([m for m in ('mlflow', 'wandb', 'tensorboard') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def tracked_run(spec, tmp_path, name):
    """A run that is stopped and goes on, told to a tracker; its folder and its records."""
    target = tmp_path / "run"
    command = (spec, "--recipe", "soft", "-o", target, "--track", name)
    run(*command, "--wall-limit", "0", code=130)
    run(*command)
    return target, logged(target), logged(target / "retrain")


def test_tensorboard_holds_the_log(spec, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    target, search, retrain = tracked_run(spec, tmp_path, "tensorboard")
    for task, records, before in (("search", search, ""), ("retrain", retrain, "retrain/")):
        read = EventAccumulator(str(target / "events" / task))
        read.Reload()
        found = [(e.step, e.value) for e in read.Scalars(f"{before}train/loss")]
        assert found == [(r["epoch"], pytest.approx(r["train"]["loss"])) for r in records]


def test_mlflow_holds_the_log_without_a_server(spec, tmp_path, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking", reason="mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    target, search, _ = tracked_run(spec, tmp_path, "mlflow")
    if (target / "mlflow.db").exists():
        client = tracking.MlflowClient(tracking_uri=f"sqlite:///{target / 'mlflow.db'}")
    else:
        client = tracking.MlflowClient(tracking_uri=(target / "mlflow").as_uri())
    (made,) = client.search_runs([client.get_experiment_by_name("nasdsl").experiment_id])
    history = client.get_metric_history(made.info.run_id, "train/loss")
    found = {m.step: m.value for m in history}
    assert found == {r["epoch"]: pytest.approx(r["train"]["loss"]) for r in search}
    assert made.data.params["seed"] == "0" and made.info.status == "FINISHED"
    assert "end/test" in made.data.metrics


def test_wandb_writes_offline_files(spec, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    target, search, _ = tracked_run(spec, tmp_path, "wandb")
    files = list((target / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 2  # before and after the stop: one run, two pieces
    assert len({f.name for f in files}) == 1
    held = b"".join(f.read_bytes() for f in files)
    for record in search:
        assert repr(record["train"]["loss"]).encode() in held
