"""Measurements of a search: what they give, and that the search never notices them."""

import json
import math

import pytest
import torch
from small_runs import equal_states, plan
from small_runs import search as search_of
from small_search import as_double, recipe, small, steps
from torch.nn import functional as F

from nasdsl.ir import discretize
from nasdsl.oneshot.health.checkup import checkup
from nasdsl.oneshot.health.curvature import dense, hessian_product, largest_on_device
from nasdsl.training import events
from nasdsl.training.loop import drive

ALL = (
    "measure = entropy + skip_share + gap + gradient_match + alignment"
    " + eigenvalue(every = 1, iterations = 99)"
)
NAMES = ["entropy", "skip_share", "gap", "gradient_match", "alignment", "eigenvalue"]


def measured(task):
    """What a search measures, its images in float64 too."""
    session = task.session
    return checkup(session, 0, session.mix_by_decision())["health"]


@pytest.fixture(scope="module")
def task():
    made = small(ALL)
    steps(made, 3)
    return made


@pytest.fixture(scope="module")
def found(task):
    return measured(task)


def test_all_are_there(found):
    assert list(found) == NAMES
    assert all(math.isfinite(v) for v in found.values())


def test_entropy_and_skip_share_are_those_of_the_mix(task, found):
    rows = [r for t in task.session.mix_by_decision().values() for r in t.values()]
    wanted = sum(discretize.entropy(r) for r in rows) / len(rows)
    assert found["entropy"] == pytest.approx(wanted, abs=1e-12)
    column = {
        d: labels.index("skip_connect")
        for t in task.session.supernet.tables.values()
        for d, labels in zip(t.decisions, t.labels, strict=True)
    }
    mix = {d: r for t in task.session.mix_by_decision().values() for d, r in t.items()}
    share = sum(mix[d][k] for d, k in column.items()) / len(column)
    assert found["skip_share"] == pytest.approx(share, abs=1e-12)


def batch(task, part):
    x, y = task.session.probe(part)
    return x.double(), y


def test_gap_is_that_of_the_strongest_architecture(task, found):
    session = task.session
    x, y = batch(task, "valid")
    rows = session.mix_by_decision()
    hard = task._one_hot(discretize.argmax(session.space, rows))
    hard = {n: m.double() for n, m in hard.items()}

    def accuracy(mix):
        return (session.supernet(x, mix).argmax(1) == y).double().mean().item() * 100

    session.supernet.train()
    assert found["gap"] == pytest.approx(accuracy(session.expected()) - accuracy(hard))


def test_gradient_match_is_the_mean_over_options(task, found):
    session = task.session
    sides = []
    for part in ("train", "valid"):
        x, y = batch(task, part)
        loss = F.cross_entropy(session.supernet(x, session.expected()), y)
        names = list(session.weights)
        sides.append(
            dict(
                zip(
                    names,
                    torch.autograd.grad(loss, list(session.weights.values()), allow_unused=True),
                    strict=True,
                )
            )
        )
    means = []
    for prefix in session.supernet.options:
        own = [n for n in session.weights if n.startswith(f"{prefix}.") and sides[0][n] is not None]
        if own:
            cosines = [F.cosine_similarity(sides[0][n], sides[1][n], dim=0).mean() for n in own]
            means.append(torch.stack(cosines).mean())
    assert found["gradient_match"] == pytest.approx(torch.stack(means).mean().item(), abs=1e-10)


def test_alignment_is_the_mean_cosine_of_pairs_of_layers(task, found):
    session = task.session
    x, y = batch(task, "valid")
    leaves = {
        i: m.detach().clone().requires_grad_()
        for i, m in session.supernet.spread(session.expected()).items()
    }
    loss = F.cross_entropy(session.supernet(x, {**session.expected(), **leaves}), y)
    loss.backward()
    scores = []
    for table in session.supernet.tables:
        own = [s.instance for s in session.supernet.slots if s.table == table]
        pairs = [
            F.cosine_similarity(leaves[a].grad.flatten(), leaves[b].grad.flatten(), dim=0)
            for i, a in enumerate(own)
            for b in own[:i]
        ]
        if pairs:
            scores.append(torch.stack(pairs).mean())
    assert scores
    assert found["alignment"] == pytest.approx(torch.stack(scores).mean().item(), abs=1e-10)


def test_eigenvalue_is_that_of_the_dense_hessian(task, found):
    session = task.session
    x, y = batch(task, "valid")
    alphas = [a.detach().clone().requires_grad_() for a in session.arch.alphas().values()]
    mix = {n: a.softmax(-1) for n, a in zip(session.arch.alphas(), alphas, strict=True)}
    loss = F.cross_entropy(session.supernet(x, mix), y)
    product, size = hessian_product(loss, alphas)
    matrix = dense(product, size, loss)
    wanted = torch.linalg.eigvalsh((matrix + matrix.t()) / 2)[-1].item()
    assert found["eigenvalue"] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("size", [1, 2, 5, 40])
@pytest.mark.parametrize("shift", [0.0, -100.0])
def test_lanczos_on_the_device_finds_it_too(size, shift):
    generator = torch.Generator().manual_seed(size)
    a = torch.randn(size, size, generator=generator, dtype=torch.float64)
    matrix = a + a.t() + shift * torch.eye(size, dtype=torch.float64)
    start = torch.randn(size, generator=generator, dtype=torch.float64)
    found = largest_on_device(lambda v: matrix @ v, start, iterations=size + 3)
    assert found.item() == pytest.approx(torch.linalg.eigvalsh(matrix)[-1].item(), rel=1e-9)


def test_an_exhausted_krylov_space_gives_no_eigenvalue_of_its_own():
    matrix = -torch.diag(torch.tensor([3.0, 1.0, 1.0, 1.0, 2.0], dtype=torch.float64))
    start = torch.ones(5, dtype=torch.float64)
    assert largest_on_device(lambda v: matrix @ v, start, iterations=5).item() == pytest.approx(-1)


BODIES = {
    "softmax": "",
    "one path": "sampler = gumbel(tau = 1, hard = true)",
    "drawn": "sampler = dirichlet",
    "stop": "stop = eigenvalue",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_measuring_changes_nothing(body, tmp_path):
    """The same states to the last bit, streams and generators included."""
    plain = search_of(plan("mine", text=recipe(body)))
    watched = search_of(plan("mine", text=recipe(f"{body}\n  {ALL}")))
    drive(plain, folder=None)
    # Building a search sets torch's generator, so each is built before it runs.
    torch.manual_seed(0)
    watched = search_of(plan("mine", text=recipe(f"{body}\n  {ALL}")))
    records = drive(watched, folder=None)
    assert all(list(r["health"]) == NAMES for r in records)
    left, right = plain.state(), watched.state()
    assert left[1] == right[1]
    assert equal_states(plain, watched)


def test_every_says_when():
    task = search_of(plan("mine", text=recipe("measure = entropy + eigenvalue(every = 2)")))
    records = drive(task, folder=None)
    assert [list(r["health"]) for r in records] == [["entropy"], ["entropy", "eigenvalue"]]


def test_after_the_last_epoch_everything_is_measured():
    task = search_of(plan("mine", text=recipe("measure = entropy + skip_share(every = 50)")))
    records = drive(task, folder=None)
    assert [list(r["health"]) for r in records] == [["entropy"], ["entropy", "skip_share"]]


def test_nothing_is_measured_unasked():
    (first, _) = drive(search_of(plan("soft")), folder=None)
    assert "health" not in first and "health_seconds" not in first


def test_one_path_measures_the_dense_supernet_of_the_same_weights():
    task = as_double(
        search_of(plan("mine", text=recipe(f"sampler = gumbel(tau = 1, hard = true)\n  {ALL}")))
    )
    other = small(ALL)
    for name, p in other.session.arch.alphas().items():
        p.data.copy_(task.session.arch.alphas()[name].data)
    other.session.supernet.load_state_dict(task.session.supernet.state_dict())
    assert measured(task) == pytest.approx(measured(other), abs=1e-8)


def test_event_files_hold_the_log(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    task = search_of(plan("mine", text=recipe(ALL)))
    records = drive(task, folder=tmp_path, watch=events.events(tmp_path / "events", None))
    read = EventAccumulator(str(tmp_path / "events"))
    read.Reload()
    for name in NAMES:
        values = [(e.step, e.value) for e in read.Scalars(f"health/{name}")]
        assert values == [(r["epoch"], pytest.approx(r["health"][name])) for r in records]
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [r["health"] for r in logged] == [r["health"] for r in records]


def test_a_recipe_that_measures_wants_event_files():
    assert events.wanted(plan("mine", text=recipe(ALL)).recipe)
    assert not events.wanted(plan("soft").recipe)
