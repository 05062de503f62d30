"""Recorded steps: what is fed and replayed, on the CPU by a recording that calls the step again."""

import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "regressions"), str(HERE.parent / "oneshot")]

from click.testing import CliRunner  # noqa: E402
from small_runs import inputs, plan  # noqa: E402
from small_search import farthest, recipe, small  # noqa: E402

from nasdsl.cli.main import cli  # noqa: E402
from nasdsl.oneshot.compose import compose  # noqa: E402
from nasdsl.training.captured import Captured, CudaCapture, changing, unfit  # noqa: E402
from nasdsl.training.search import Search  # noqa: E402

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Again:
    """A recording that remembers the step and takes it when it is replayed."""

    def __init__(self):
        self.told = []

    @contextmanager
    def beside(self):
        self.told.append("beside")
        yield

    def record(self, step):
        self.told.append("record")

        def replay():
            self.told.append("replay")
            step()

        return replay


def searched(body, capture=None, warmup=1):
    task = small(body)
    if capture is not None:
        task.captured = Captured(capture, warmup)
    return task


def taken(task, epochs=2):
    """The records of a whole search."""
    found = []
    for epoch in range(epochs):
        for k in range(task.begin(epoch)):
            task.step(epoch, k)
        found.append(task.epoch_record(epoch))
    return found


@pytest.mark.parametrize("body", ["", "step = joint", "arch.start = 1", "weights.decay = 1e-3"])
def test_equal_to_the_plain_steps(body):
    plain, capture = searched(body), Again()
    made = searched(body, capture)
    wanted, found = taken(plain), taken(made)
    assert farthest(plain, made) < 1e-12
    assert "replay" in capture.told
    for a, b in zip(wanted, found, strict=True):
        assert a["genotype"] == b["genotype"]
        assert a["train"] == pytest.approx(b["train"])
        assert a["lr"] == pytest.approx(b["lr"])
    assert [m.count for m in (plain.session.train_meter, plain.session.valid_meter)] == [
        m.count for m in (made.session.train_meter, made.session.valid_meter)
    ]


def test_the_order_and_the_buffers():
    capture = Again()
    task = searched("", capture, warmup=2)
    seen, forward = [], task.session.supernet.forward

    def looking(x, *rest):
        seen.append(x.sum().item())
        return forward(x, *rest)

    task.session.supernet.forward = looking
    places = []
    for epoch in range(2):
        for k in range(task.begin(epoch)):
            task.step(epoch, k)
            places.append([x.data_ptr() for batch in task.captured.inputs for x in batch])
    assert capture.told == ["beside", "beside", "record", "replay", "replay"]
    # A step takes a batch of each half; replays read the same places, with other images in them.
    assert places[0] == places[2] == places[3]
    assert len(seen) == 8 and len(set(seen)) == 8
    assert seen[6:] == pytest.approx([x.sum().item() for x, _ in task.captured.inputs])


def test_a_smaller_batch_runs_as_it_is():
    capture = Again()
    task, plain = searched("", capture), searched("")
    for each in (task, plain):
        for half in ("next_train", "next_valid"):
            drawn, real = [], getattr(each.session, half)

            def draw(real=real, drawn=drawn):
                x, y = real()
                drawn.append(1)
                return (x[:5], y[:5]) if len(drawn) == 3 else (x, y)

            setattr(each.session, half, draw)
    taken(task), taken(plain)
    assert capture.told == ["beside", "record", "replay", "replay"]
    assert farthest(task, plain) < 1e-12


def test_it_begins_anew_where_the_supernet_changes():
    capture = Again()
    task = searched("", capture)
    task.begin(0)
    task.step(0, 0), task.step(0, 1)
    assert capture.told == ["beside", "record", "replay"]
    decision = task.session.space.decisions[0]
    task.rebuild({decision.id: decision.labels[:2]})
    task.session.supernet.double(), task.session.arch.double()
    task.begin(1)
    task.step(1, 0), task.step(1, 1)
    assert capture.told == ["beside", "record", "replay"] * 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sampler = gumbel(tau = 1, hard = true)", "picks its paths on the host"),
        ("sampler = gumbel(tau = 1)", "draws its noise on the host"),
        ("sampler = dirichlet", "draws its noise on the host"),
        ("step = alternating(order = second)", "looks at values on the host"),
        ("freeze = alignment(every = 1, below = 0.9)", "looks at gradients on the host"),
        ("perturb = random(0.03)", "perturb = random"),
        ("drop_path = 0.3", "`drop_path` is set by the host"),
        ("aux_skip = linear(1 -> 0)", "`aux_skip` is set by the host"),
        ("weights.decay = linear(1e-3 -> 0)", "`weights.decay` follows a schedule"),
    ],
)
def test_what_is_refused(body, reason):
    settings = small(body).phases[0].settings
    assert reason in changing(settings, compose(settings))


def test_devices():
    settings = small("").phases[0].settings
    assert unfit(settings, compose(settings), "cuda") is None
    assert "this search on cpu" in unfit(settings, compose(settings), "cpu")


def test_the_command_refuses_it_on_the_cpu(tmp_path):
    order = ["run", "quickstart", "--device", "cpu", "--cuda-graph", "-o", str(tmp_path / "run")]
    done = CliRunner().invoke(cli, order)
    assert done.exit_code != 0
    assert "--cuda-graph: CUDA graphs run on CUDA devices" in done.output
    assert not (tmp_path / "run").exists()
    assert "--cuda-graph" in CliRunner().invoke(cli, ["run", "--help"]).output


@pytest.mark.cuda
@needs_cuda
def test_a_recorded_search_on_cuda():
    made = plan("mine", text=recipe("epochs = 6"))
    given = inputs()
    there = {f: getattr(given.train, f).cuda() for f in ("x", "y", "mean", "std")}
    given = replace(given, train=replace(given.train, **there))
    tasks = [
        Search(made.space(), made.recipe, given, seed=0, device="cuda", capture=capture)
        for capture in (None, CudaCapture(torch.device("cuda")))
    ]
    found = [taken(task, epochs=6) for task in tasks]
    assert tasks[1].captured.replay is not None
    assert farthest(*tasks) < 1e-3
    for a, b in zip(*found, strict=True):
        assert a["train"]["loss"] == pytest.approx(b["train"]["loss"], rel=1e-2)
