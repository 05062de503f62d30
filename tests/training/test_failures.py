"""What a run says when it cannot go on, and what it leaves."""

import json

import pytest
import torch
from click.testing import CliRunner
from small_trust import TEXT, run, same

from nasdsl.cli.main import cli
from nasdsl.training import room
from nasdsl.training.retrain import Retrain
from nasdsl.training.search import Search


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "tiny.nas"
    path.write_text(TEXT)
    return path


def poison(monkeypatch, task, name, *, at, value=float("nan")):
    """One module of the network gives a value that is no number from the `at`-th step on."""
    step = task.step
    armed = {}

    def broken(self, epoch, number):
        if (epoch, number) >= at:
            module = dict(next(iter(self.networks().values())).named_modules())[name]
            if module not in armed:
                armed[module] = module.register_forward_hook(
                    lambda m, given, made: made * value, prepend=True
                )
        else:
            for hook in armed.values():
                hook.remove()
            armed.clear()
        step(self, epoch, number)

    monkeypatch.setattr(task, "step", broken)


def some_conv(spec, task=Search):
    """The name of a convolution in the middle of the supernet."""
    from nasdsl import driver
    from nasdsl.training import plan as plans
    from nasdsl.training.data import inputs

    made = plans.make(
        driver.load(str(spec)), names={"recipe": "soft"}, parameters={}, changes={}, seed=0
    )
    given = inputs.prepare(made.dataset, made.split, data_dir=None, device="cpu")
    if task is Search:
        net = Search(made.space(), made.recipe, given, seed=0, device="cpu").session.supernet
    else:
        found = Search(made.space(), made.recipe, given, seed=0, device="cpu").genotype()
        net = Retrain(made.space(found).target, made.train, given, seed=0, device="cpu").net
    names = [n for n, m in net.named_modules() if isinstance(m, torch.nn.Conv2d)]
    return names[len(names) // 2]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_names_step_module_and_checkpoint(
    value, spec, tmp_path, monkeypatch
):
    name = some_conv(spec)
    run(spec, "--recipe", "soft", "-o", tmp_path / "whole", "--no-retrain")
    with monkeypatch.context() as patch:
        poison(patch, Search, name, at=(1, 1), value=value)
        result = run(spec, "--recipe", "soft", "-o", tmp_path / "a", "--no-retrain", code=1)
    assert "the loss is not finite in step 2 of epoch 2" in result.output
    assert f"`supernet.{name}` (Conv2d) gave it" in result.output
    assert f"{tmp_path}/a/checkpoint/epoch-1-step-0" in result.output
    assert json.loads((tmp_path / "a/run.json").read_text())["status"] == "failed"
    # What is on disk is from before, so without the fault the run is what it would have been.
    run(spec, "--recipe", "soft", "-o", tmp_path / "a", "--no-retrain")
    same(tmp_path / "whole", tmp_path / "a")


def test_weights_that_are_no_number_are_told_from_the_step_that_made_them(
    spec, tmp_path, monkeypatch
):
    step = Search.step

    def broken(self, epoch, number):
        if (epoch, number) == (0, 2):
            with torch.no_grad():
                next(self.session.supernet.parameters()).fill_(float("nan"))
        step(self, epoch, number)

    monkeypatch.setattr(Search, "step", broken)
    result = run(spec, "--recipe", "soft", "-o", tmp_path / "a", "--no-retrain", code=1)
    assert "step 3 of epoch 1" in result.output
    assert "is not finite since the step before" in result.output


def test_retraining_names_the_step_too(spec, tmp_path, monkeypatch):
    name = some_conv(spec, Retrain)
    poison(monkeypatch, Retrain, name, at=(1, 0))
    result = run(spec, "--recipe", "soft", "-o", tmp_path / "a", code=1)
    assert "the loss is not finite in step 1 of epoch 2" in result.output
    assert f"`network.{name}` (Conv2d) gave it" in result.output
    assert "retrain/checkpoint/epoch-1-step-0" in result.output


def test_a_rate_that_is_far_too_high_is_a_message(spec, tmp_path):
    spec.write_text(TEXT.replace("cosine(0.05 -> 0)", "1000000000000"))
    result = run(spec, "--recipe", "soft", "-o", tmp_path / "a", code=1)
    assert "the loss is not finite in step" in result.output
    assert "last good checkpoint" in result.output


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 2, 5, 31, 63])
def test_the_largest_batch_is_found_exactly(limit):
    tried = []

    def trial(batch):
        tried.append(batch)
        if batch > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert room.largest(trial, 64) == limit
    assert len(tried) <= 6


def test_another_error_is_not_taken_for_a_lack_of_memory():
    def trial(batch):
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape"):
        room.largest(trial, 64)


def little(monkeypatch, limit):
    """Convolutions find no memory for more than `limit` images."""
    forward = torch.nn.Conv2d.forward

    def full(self, x):
        if len(x) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", full)


def test_out_of_memory_names_the_largest_batch_and_that_one_runs(spec, tmp_path, monkeypatch):
    little(monkeypatch, 11)
    command = (spec, "--recipe", "soft", "-o")
    result = run(*command, tmp_path / "a", "--no-retrain", code=1)
    assert "a step with a batch of 32 does not fit into memory" in result.output
    assert "the largest batch that fits is 11: --set batch=11" in result.output
    assert "or keep the batch in parts: --accumulate 3" in result.output
    run(*command, tmp_path / "b", "--no-retrain", "--set", "batch=11")
    run(*command, tmp_path / "c", "--no-retrain", "--accumulate", "3")
    result = run(*command, tmp_path / "d", "--no-retrain", "--accumulate", "2", code=1)
    assert "the largest batch that fits is 22: --set batch=22" in result.output
    assert "--accumulate 4" in result.output


def test_out_of_memory_in_retraining_names_its_own_setting(spec, tmp_path, monkeypatch):
    run(spec, "--recipe", "soft", "-o", tmp_path / "a", "--no-retrain")
    little(monkeypatch, 9)
    result = run(tmp_path / "a", "--resume", code=1)
    assert "a step with a batch of 32" in result.output
    assert "the largest batch that fits is 9: --set train.batch=9" in result.output


def test_where_nothing_fits_it_says_so(spec, tmp_path, monkeypatch):
    little(monkeypatch, 0)
    result = run(spec, "--recipe", "soft", "-o", tmp_path / "a", "--no-retrain", code=1)
    assert "not even a batch of one image fits" in result.output


def test_a_lost_device_is_a_message_that_says_how_to_go_on(spec, tmp_path, monkeypatch):
    def lost(self, epoch, number):
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(Search, "step", lost)
    given = ["run", str(spec), "--recipe", "soft", "-o", str(tmp_path / "a")]
    result = CliRunner().invoke(cli, given)
    assert result.exit_code == 1
    assert "CUDA error" in result.output and f"nasdsl run {tmp_path}/a --resume" in result.output
