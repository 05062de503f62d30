"""The largest batch that fits: predicted for a limit, and found by trying."""

import json
import shlex
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "regressions"), str(HERE.parent / "oneshot")]

from small_runs import TEXT as TEXT_  # noqa: E402
from small_runs import inputs, plan  # noqa: E402
from small_search import recipe  # noqa: E402
from small_trust import TEXT  # noqa: E402

from nasdsl.cli.main import cli  # noqa: E402
from nasdsl.training import largest  # noqa: E402
from nasdsl.training.largest import Peak, grown, largest_batch  # noqa: E402
from nasdsl.training.plan import PlanError  # noqa: E402
from nasdsl.training.run import Options, searching  # noqa: E402


def task(body="", **options):
    made = plan("mine", text=recipe(body))
    return searching(made, inputs(400), Options(**options))


def peak(made, batch):
    """The most bytes of tensors that live at a time in a step."""
    made.late()
    made.trial(2)
    with Peak(largest._known(made)) as found:
        made.trial(batch)
    return found.most


BODIES = ("", "step = alternating(order = second)", "arch.start = 1", "drop_path = 0.4")


@pytest.mark.parametrize("body", BODIES)
def test_a_batch_is_predicted_that_just_fits(body):
    made = task(body, profile="reference")
    limit, more = peak(made, 37) + 100, peak(made, 38)
    found = largest_batch(task(body, profile="reference"), limit)
    assert found.batch == 37 and found.limit == limit < more


def test_kernels_of_cells_are_predicted_too():
    limit = peak(task(profile="balanced"), 60)
    assert 57 <= largest_batch(task(profile="balanced"), limit).batch <= 63


def test_no_more_than_there_is_in_an_epoch_and_none_where_none_fits():
    assert largest_batch(task(), 10**12).batch == 100 == largest_batch(task(), 10**12).most
    assert largest_batch(task(), 100).batch == 0


def test_parts_fit_where_the_whole_does_not():
    limit = peak(task(profile="reference"), 12)
    whole = largest_batch(task(profile="reference"), limit).batch
    parts = largest_batch(task(profile="reference", accumulate=3), limit).batch
    # Images and gradients of a batch are there in both.
    assert whole == 12 and 25 <= parts <= 36


def test_one_path_is_the_largest_of_some():
    body = "sampler = gumbel(tau = 1, hard = true)"
    found = largest_batch(task(body), 3_000_000)
    assert found.image > 0 and 0 < found.batch <= 100
    assert largest_batch(task(body), 3_000_000) == found


def test_networks_that_are_trained_one_by_one():
    text = (
        TEXT_
        + "recipe mine {\n  step = stand_alone(epochs = 1)\n"
        + "  select = random(score = accuracy(search.valid), samples = 2)\n}\n"
    )
    made = plan("mine", text=text)
    found = largest_batch(searching(made, inputs(400), Options()), 10**12)
    assert found.batch == found.most == 100


def test_what_lives_at_a_time():
    x = torch.ones(1000, requires_grad=True)
    with Peak([x]) as found:
        for _ in range(3):
            y = x.exp().exp()
            assert found.now == 8000  # what exp yields, twice
            z = y.view(10, 100)[2:]
            (slope,) = torch.autograd.grad(y.sum(), [x], retain_graph=True)
            assert found.now == 12000
            x.detach().mul_(1)
            del y, slope
            assert found.now == 8000
            del z
            assert found.now == 0
    assert 12000 <= found.most <= 20004


@pytest.mark.parametrize("limit", [0, 1, 7, 8, 9, 99, 100, 500])
@pytest.mark.parametrize("start", [1, 8, 1000])
def test_by_trying_it_is_found_exactly(limit, start):
    tried = []

    def trial(batch):
        tried.append(batch)
        if batch > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert grown(trial, start, 100) == min(limit, 100)
    assert max(tried) <= max(2 * limit, start) and len(tried) <= 16


def test_free_memory_is_that_of_the_container(tmp_path):
    with pytest.raises(PlanError, match="--memory"):
        largest.free(tmp_path)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    1000 kB\n")
    assert largest.free(tmp_path) == 1_024_000
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("500000\n")
    for text, wanted in (("max\n", 1_024_000), ("600000\n", 100_000), ("400000\n", 0)):
        (group / "memory.max").write_text(text)
        assert largest.free(tmp_path) == wanted


def test_the_command_says_the_batch_and_what_to_type(tmp_path):
    spec = tmp_path / "tiny.nas"
    spec.write_text(TEXT)
    out = str(tmp_path / "a")
    given = ["run", str(spec), "--recipe", "soft", "--set", "epochs=1", "--set", "batch=8",
             "--no-retrain", "-P", "C=4", "--threads", "1", "-o", out]  # fmt: skip
    asked = ["--find-batch", "--memory", "2MB"]
    done = CliRunner().invoke(cli, ["-q", *given, *asked, "--format", "json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert 2 <= found["batch"] < found["most"] == 96 and found["limit"] == 2_000_000
    words = shlex.split(found["command"])
    assert words[-2:] == ["--set", f"batch={found['batch']}"]
    assert "batch=8" not in words and "--find-batch" not in words and "2MB" not in words
    assert not Path(out).exists()
    shown = CliRunner().invoke(cli, ["-q", *given, *asked]).output
    assert f"batch      {found['batch']}" in shown and "an image of 2 MB" in shown
    # What it says to type runs.
    done = CliRunner().invoke(cli, ["-q", *words[words.index("run") :]])
    assert done.exit_code == 0, done.output
    assert json.loads((Path(out) / "run.json").read_text())["recipe"]["batch"] == str(
        found["batch"]
    )


@pytest.mark.parametrize("text", ["", "GB", "8 apples", "1e9"])
def test_an_amount_of_memory_that_is_none(text):
    done = CliRunner().invoke(cli, ["run", "quickstart", "--find-batch", "--memory", text])
    assert done.exit_code == 2 and "is no amount of memory" in done.output
