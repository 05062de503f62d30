"""The report of a run, finished or not."""

import json

import pytest

from nasdsl.report.run import report_of, run_report, run_text, shares, text_of
from nasdsl.training.record import RunError

OPS = ["none", "skip_connect", "sep_conv_3x3"]
EDGES = ["normal/x[1]<-prev2", "normal/x[1]<-prev", "normal/x[2]<-x[1]"]
LABELS = dict.fromkeys(EDGES, OPS)
RUN = {
    "schema": 1,
    "items": {"space": {"name": "small", "file": "spaces/quickstart.nas"}},
    "parameters": {"C": "4"},
    "changes": {},
    "seed": 3,
    "device": "cpu",
    "started": "2026-01-01T00:00:00Z",
    "status": "started",
}


def mix(step=0.0):
    return {"normal": {e: [0.3 - step, 0.3, 0.4 + step] for e in EDGES}}


def record(epoch):
    return {
        "epoch": epoch,
        "step": 10 * epoch,
        "train": {"loss": 2.0 / epoch, "accuracy": 40.0 + epoch},
        "valid": {"loss": 2.1 / epoch, "accuracy": 39.0 + epoch},
        "lr": 0.1,
        "entropy": {"normal": 1.08},
        "mix": mix(),
        "genotype": "Genotype(…)",
        "seconds": 1.5,
    }


RESULT = {
    "genotype": {"space": "small", "picks": [[EDGES[0], "sep_conv_3x3"]]},
    "text": "Genotype(normal=[('sep_conv_3x3', 0)])",
    "mix": mix(0.1),
    "valid": {"loss": 1.0, "accuracy": 60.0},
    "valid_discrete": {"loss": 2.0, "accuracy": 20.0},
    "discretization_gap": 40.0,
}
RETRAIN = {
    "test": {"loss": 0.5, "accuracy": 81.25},
    "params": 123456,
    "epochs": 2,
}


def finished():
    log = [record(e) for e in range(1, 51)]
    retrain = [{"epoch": e, "train": {"loss": 1.0, "accuracy": 70.0}} for e in (1, 2)]
    return report_of(
        {**RUN, "status": "done"}, log, RESULT, retrain, RETRAIN, path="runs/a", labels=LABELS
    )


def test_a_finished_run():
    report = json.loads(json.dumps(finished()))
    assert report["status"] == "done" and report["path"] == "runs/a"
    assert len(report["epochs"]) == 50
    row = report["mix"]["normal"][0]
    assert row["edge"] == "x[1]<-prev2"
    assert row["largest"] == "sep_conv_3x3" and row["picked"] == ["sep_conv_3x3"]
    assert report["shares"]["normal"]["skip_connect"] == pytest.approx(0.3)
    assert sum(report["shares"]["normal"].values()) == pytest.approx(1)
    assert report["discretization_gap"] == 40.0
    text = text_of(finished())
    assert "0.500*" in text
    assert "discretization gap  40.00 points" in text
    assert "81.25 %" in text and "123 456" in text
    # Fifty epochs are shown as evenly spaced ones, the first and the last among them.
    shown = [line.split()[0] for line in text.splitlines() if line.startswith("   ")]
    assert "1" in shown and "50" in shown
    assert text.count("\n") < 80
    assert all(len(line) <= 80 for line in text.splitlines())


def test_a_run_that_just_began():
    text = text_of(report_of(RUN, [], path="runs/a"))
    assert text.startswith("run runs/a: started\n")
    assert "no epoch is finished" in text
    assert "genotype: none yet" in text


def test_a_run_that_stopped_in_its_search():
    report = report_of({**RUN, "status": "stopped"}, [record(1), record(2)])
    assert report["finished_search"] is False
    text = text_of(report)
    assert "genotype so far" in text
    # Without labels options are called by number.
    assert "option 3" in text


def test_a_run_that_stopped_in_its_retraining():
    retrain = [{"epoch": 1, "train": {"loss": 1.0, "accuracy": 70.0}}]
    text = text_of(report_of(RUN, [record(1)], RESULT, retrain, labels=LABELS))
    assert "retraining: 1 epochs so far" in text


def test_weights_that_are_not_numbers():
    broken = {**record(1), "mix": {"normal": {EDGES[0]: [float("nan")] * 3}}}
    assert "nan" in text_of(report_of(RUN, [broken], labels=LABELS))
    gone = {**record(1), "train": {"loss": None, "accuracy": None}, "mix": {}}
    text_of(report_of(RUN, [gone]))


def test_many_options_have_letters():
    ops = [f"separable_convolution_{i}" for i in range(8)]
    labels = dict.fromkeys(EDGES, ops)
    log = [{**record(1), "mix": {"normal": {e: [0.125] * 8 for e in EDGES}}}]
    text = text_of(report_of(RUN, log, labels=labels))
    assert "a=separable_convolution_0, b=separable_convolution_1" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_tables_with_different_options():
    labels = {"a": ["x", "y"], "b": ["z", "w", "v"]}
    rows = {"a": [0.6, 0.4], "b": [0.2, 0.3, 0.5]}
    assert shares(rows, labels) == {"x": 0.6, "y": 0.4, "z": 0.2, "w": 0.3, "v": 0.5}
    text = text_of(report_of(RUN, [{**record(1), "mix": {"t": rows}}], labels=labels))
    assert "x 0.600*, y 0.400" in text


def test_a_folder(tmp_path):
    with pytest.raises(RunError):
        run_report(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    assert run_report(tmp_path)["epochs"] == []
    (tmp_path / "log.jsonl").write_text(json.dumps(record(1)) + "\n" + '{"epoch": 2, "tr')
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    report = run_report(tmp_path)
    assert len(report["epochs"]) == 1
    assert "supernet" in run_text(tmp_path)
