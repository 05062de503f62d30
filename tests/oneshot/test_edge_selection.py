"""SGAS and DARTS-PT: which edge is decided when, what is left, and that a search goes on so."""

import copy
import math

import pytest
import torch
from small_runs import TEXT, equal_states, inputs, plan, run
from small_search import HEAD

from nasdsl.ir.member import check
from nasdsl.oneshot.select.greedy import certainty, importance, rank, stability, without_none
from nasdsl.training.coupling.greedy import Decisions
from nasdsl.training.search import Search

SPACES = """
space cells extends darts {
  C      = 4
  layers = 3
  data   = dots
  candidates = {none, max_pool_3x3, skip_connect, sep_conv_3x3}
}
space bare extends darts {
  C      = 4
  layers = 3
  data   = dots
  candidates = {max_pool_3x3, skip_connect}
}
"""


def made(body, *, space="bench", epochs=2, seed=0, images=64, **changes):
    text = f"{TEXT}{SPACES}{HEAD}recipe mine extends base_run {{\n  {body}\n}}\n"
    of = plan("mine", text=text, space=space, epochs=epochs, **changes)
    given = inputs(images)
    return Search(of.space(), of.recipe, given, seed=seed, device="cpu", limits=of.limits())


# ---- SGAS


def test_criteria_by_hand():
    row = {"none": 0.2, "a": 0.6, "b": 0.2}
    assert importance(row) == pytest.approx(0.8)
    p = without_none(row)
    assert p == pytest.approx({"a": 0.75, "b": 0.25})
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert certainty(p) == pytest.approx(1 - entropy / math.log(2))
    assert certainty({"a": 0.5, "b": 0.5}) == pytest.approx(0, abs=1e-12)
    assert certainty({"a": 1.0, "b": 0.0}) == 1
    assert stability(p, [p, {"a": 0.25, "b": 0.75}]) == pytest.approx((1 + 0.5) / 2)
    assert stability(p, []) == 0


def test_the_score_is_the_product_of_normalised_criteria():
    rows = {
        "x": {"none": 0.1, "a": 0.5, "b": 0.4},
        "y": {"none": 0.5, "a": 0.5, "b": 0.0},
        "z": {"none": 0.3, "a": 0.5, "b": 0.2},
    }
    score = rank(rows, None)
    # x is most important and least certain, y the other way round: only z has both.
    assert score["x"] == score["y"] == 0
    p = 5 / 7
    h = -(p * math.log(p) + (1 - p) * math.log(1 - p)) / math.log(2)
    q = 5 / 9
    low = -(q * math.log(q) + (1 - q) * math.log(1 - q)) / math.log(2)
    assert score["z"] == pytest.approx((0.7 - 0.5) / (0.9 - 0.5) * (low - h) / low)


@pytest.mark.parametrize("criterion", [1, 2])
def test_decisions_are_those_of_a_plain_loop_over_the_same_alphas(criterion):
    """A random walk of the alphas of both cells; every epoch the supernet is pruned for real."""
    epochs, start, every, history = 22, 2, 2, 3
    task = made(
        f"select = greedy(criterion = {criterion}, start = {start}, every = {every}, "
        f"history = {history})",
        space="cells",
        epochs=epochs,
    )
    space = task.limits.space
    rules = {r.table: [list(edges) for _, edges in r.rows] for r in space.rules}
    labels = next(iter(task.session.supernet.tables.values())).labels[0]
    references, edges = {}, {}
    for table, nodes in rules.items():
        edges[table] = [e for node in nodes for e in node]
        places = [[edges[table].index(e) for e in node] for node in nodes]
        references[table] = Decisions(
            places,
            len(edges[table]),
            criterion=criterion,
            start=start,
            every=every,
            history=history,
        )
    draw = torch.Generator().manual_seed(4)
    alphas = {t: torch.zeros(len(e), len(labels), dtype=torch.float64) for t, e in edges.items()}
    task.session.arch.double()
    seen = 0
    for epoch in range(epochs):
        session = task.session
        session.clock = session.whole = type(session.clock)(epoch, epochs, 1)
        for table, alpha in alphas.items():
            alpha += torch.randn(alpha.shape, generator=draw, dtype=torch.float64)
            own = session.supernet.tables[table]
            with torch.no_grad():
                for i, (decision, left) in enumerate(zip(own.decisions, own.labels, strict=True)):
                    for k, label in enumerate(left):
                        row = alpha[edges[table].index(decision)]
                        session.arch.alphas()[table][i, k] = row[labels.index(label)]
            references[table].epoch(epoch, alpha.clone())
        task._follow(session.parts.select.after_epoch(session, epoch))
        wanted = {
            edges[t][e]: labels[op] for t, r in references.items() for e, op in r.chosen.items()
        }
        assert session.parts.select.edges.decided == wanted
        seen = max(seen, len(wanted))
    assert seen == 16
    genotype = check(task.genotype(), space)
    assert dict(genotype.picks) == wanted


def test_greedy_prunes_grows_the_batch_and_selects_what_it_decided():
    task = made(
        "select = greedy(criterion = 2, start = 0, every = 1, history = 2, batch_step = 4)",
        space="cells",
        epochs=3,
    )
    before = sum(p.numel() for p in task.session.weights.values())
    records = run(task)
    assert sum(p.numel() for p in task.session.weights.values()) < before
    assert task.train.state()[0] == 3
    assert int(task.session.recipe.get("batch")) == 8 + 3 * 4
    assert all("decided" in r["select.verdict"] for r in records)
    genotype = check(task.genotype(), task.limits.space)
    decided = task.session.parts.select.edges.decided
    assert len(decided) == 6
    assert set(decided.items()) <= set(genotype.picks)
    result = task.result()
    assert math.isfinite(result["valid_discrete"]["loss"])


# ---- DARTS-PT

PT = "select = perturbation(metric = loss, every = 1, order = {order}, norm = {norm})"


@pytest.mark.parametrize("norm", ["batch", "running"])
def test_the_option_whose_removal_hurts_most_stays(norm):
    """Every removal is measured again with a mix made by hand."""
    task = made(PT.format(order="forward", norm=norm), epochs=1)
    steps = task.begin(0)
    for k in range(steps):
        task.step(0, k)
    session = task.session
    table = session.supernet.tables["c"]
    net = copy.deepcopy(session.supernet)
    losses = []
    for k in range(len(table.labels[0])):
        mix = {"c": session.expected()["c"].clone()}
        mix["c"][0, k] = 0
        trial = copy.deepcopy(net)
        trial.train(norm == "batch")
        with torch.no_grad():
            total = [
                (torch.nn.functional.cross_entropy(trial(x, mix), y, reduction="sum"), len(y))
                for x, y in session.held.valid()
            ]
        losses.append(sum(t.item() for t, _ in total) / sum(n for _, n in total))
    wanted = table.labels[0][max(range(len(losses)), key=losses.__getitem__)]
    buffers = {n: b.clone() for n, b in session.supernet.named_buffers()}
    task.epoch_record(0)
    assert session.parts.select.edges.decided == {table.decisions[0]: wanted}
    assert session.supernet.tables["c"].labels[0] == (wanted,)
    for name, buffer in session.supernet.named_buffers():
        assert torch.equal(buffer, buffers[name])


def planted(monkeypatch, task, worth):
    """The worth of a mixture as a function of what stands in it."""

    def fake(self, session, mix):
        return worth(
            {
                (d, label): float(mix[n][i, k])
                for n, t in session.supernet.tables.items()
                for i, (d, labels) in enumerate(zip(t.decisions, t.labels, strict=True))
                for k, label in enumerate(labels)
            }
        )

    monkeypatch.setattr(type(task.session.parts.select), "_worth", fake)


@pytest.mark.parametrize("space", ["cells", "bare"])
@pytest.mark.parametrize("order", ["random", "forward"])
def test_planted_importance_decides_operations_and_edges(monkeypatch, space, order):
    """Each option and edge has a planted importance; the architecture follows from it."""
    task = made(PT.format(order=order, norm="batch"), space=space, epochs=1)
    draw = torch.Generator().manual_seed(0)
    gains = {
        (d.id, label): float(torch.rand((), generator=draw))
        for d in task.limits.space.decisions
        for label in d.labels
    }
    planted(monkeypatch, task, lambda w: sum(g for o, g in gains.items() if w.get(o, 0) > 0))
    assert task.epochs == 1 + 14 + 3 - 1
    run(task)
    assert task.finished
    wanted = set()
    for rules in task.limits.space.rules:
        for _, edges in rules.rows:
            best = []
            for edge in edges:
                labels = [k for d, k in gains if d == edge and k != "none"]
                label = max(labels, key=lambda k, e=edge: gains[e, k])
                best.append((gains[edge, label], edge, label))
            wanted |= {(e, label) for _, e, label in sorted(best)[-2:]}
    assert set(check(task.genotype(), task.limits.space).picks) == wanted
    assert set(map(tuple, task.result()["genotype"]["picks"])) == wanted


def test_tuning_has_a_tenth_of_the_rate_and_a_curve_of_its_own():
    task = made(PT.format(order="random", norm="batch"), epochs=2)
    records = run(task)
    assert len(records) == task.epochs == 2 + 6 - 1
    assert records[0]["lr"] == pytest.approx(0.025)
    tuned = [r["lr"] for r in records[2:]]
    wanted = [0.001 + (0.0025 - 0.001) * (1 + math.cos(math.pi * t / 5)) / 2 for t in range(5)]
    assert tuned == pytest.approx(wanted)


# ---- going on where a run was cut


@pytest.mark.parametrize(
    "body",
    [
        "select = greedy(criterion = 2, start = 0, every = 1, history = 2, batch_step = 4)",
        PT.format(order="random", norm="batch"),
    ],
)
@pytest.mark.parametrize("space", [pytest.param("cells", marks=pytest.mark.slow), "bench"])
def test_a_run_that_is_cut_goes_on_bit_for_bit(body, space):
    epochs = 3
    whole = made(body, space=space, epochs=epochs, images=160)
    records = []
    state = None
    for epoch in range(min(whole.epochs, 6)):
        steps = whole.begin(epoch)
        for k in range(steps):
            whole.step(epoch, k)
            if epoch == min(whole.epochs, 6) - 2 and k == 0:
                state = copy.deepcopy(whole.state())
        records.append(whole.epoch_record(epoch))
    other = made(body, space=space, epochs=epochs, images=160)
    other.restore(*state)
    first = min(whole.epochs, 6) - 2
    again = []
    for epoch in range(first, min(whole.epochs, 6)):
        steps = other.begin(epoch)
        for k in range(1 if epoch == first else 0, steps):
            other.step(epoch, k)
        again.append(other.epoch_record(epoch))
    assert equal_states(whole, other)
    assert again == records[first:]
    assert whole.genotype() == other.genotype()
