"""Runs that are killed at random end as one that is not: `tools/kill_runs.py`."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent.parent / "tools"
sys.path.insert(0, str(TOOLS))

from kill_runs import RECIPES, differences  # noqa: E402

from nasdsl.training import checkpoint  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_few_kills_change_nothing(recipe):
    done = subprocess.run(
        [sys.executable, str(TOOLS / "kill_runs.py"), recipe, "--fork", "--kills", "6",
         "--epochs", "4", "--images", "128", "--seed", "3"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 kills" in done.stdout and "all the same bit for bit" in done.stdout


def folder(place):
    import torch

    (place / "copies").mkdir(parents=True)
    (place / "log.jsonl").write_text('{"epoch": 1, "x": 0.5, "seconds": 1}\n')
    (place / "result.json").write_text('{"a": [1, {"seconds": 2}]}')
    checkpoint.write(place / "checkpoint", "epoch-1-step-0", {"a": {"w": torch.zeros(3)}}, {"n": 1})
    return place


def test_what_differs_is_found_and_times_are_not(tmp_path):
    import torch

    whole = folder(tmp_path / "a")
    for name, change, said in (
        ("log.jsonl", '{"epoch": 1, "x": 0.5, "seconds": 9}\n', []),
        ("log.jsonl", '{"epoch": 1, "x": 0.25, "seconds": 1}\n', ["log.jsonl: line 1 differs"]),
        ("log.jsonl", "", ["log.jsonl: 0 lines in place of 1"]),
        ("result.json", '{"a": [1, {"seconds": 3}]}', []),
        ("result.json", '{"a": [2, {"seconds": 2}]}', ["result.json: it differs"]),
        ("more.new", "", ["more.new is an orphan"]),
    ):
        other = shutil.copytree(whole, tmp_path / "b")
        (other / name).write_text(change)
        assert list(differences(whole, other)) == said
        shutil.rmtree(other)
    other = shutil.copytree(whole, tmp_path / "b")
    checkpoint.write(
        other / "checkpoint",
        "epoch-1-step-0",
        {"a": {"w": torch.tensor([0.0, -0.0, 0.0])}},
        {"n": 1},
    )
    found = list(differences(whole, other))
    assert any("1 tensors differ, such as a|w" in line for line in found)


def test_a_checkpoint_too_many_goes_when_a_run_goes_on(tmp_path):
    """Killed after the last checkpoint was put in place and before the oldest was taken away."""
    import torch

    from nasdsl.training.kept import Kept

    class Done:
        def restore(self, tensors, values):
            self.values = values

    place = tmp_path / "checkpoint"
    for n in (1, 2, 3):
        checkpoint.write(
            place, f"epoch-{n}-step-0", {"a": {"w": torch.zeros(2)}},
            {"epoch": n, "step": 0, "task": {}, "log": None},
            before=f"epoch-{n - 1}-step-0",
        )  # fmt: skip
    shutil.copytree(place / "epoch-2-step-0", place / "epoch-1-step-0")
    assert Kept(tmp_path, print).restore(Done()) == (3, 0)
    assert sorted(p.name for p in place.iterdir()) == ["epoch-2-step-0", "epoch-3-step-0", "latest"]
