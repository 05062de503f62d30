"""Selection over a trained supernet, networks trained one by one, and FairDARTS' threshold."""

import copy
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from small_runs import TEXT, equal_states, inputs, plan, run
from small_search import HEAD
from torch.nn import functional as F

from nasdsl.ir import cost
from nasdsl.ir.canonical import Canonical
from nasdsl.ir.config import Component, Word
from nasdsl.ir.genotype import loads
from nasdsl.ir.member import check
from nasdsl.oneshot.blackbox.pool import Pool
from nasdsl.oneshot.select.asked import rng_of
from nasdsl.oneshot.select.score import ScoreError, scores
from nasdsl.oneshot.select.subnet import Subnets, one_hot
from nasdsl.oneshot.select.threshold import Threshold
from nasdsl.training.data.batches import derived_seed
from nasdsl.training.loop import drive
from nasdsl.training.plan import PlanError
from nasdsl.training.reestimate import reestimate
from nasdsl.training.retrain import Retrain
from nasdsl.training.search import Search
from nasdsl.training.stand_alone import StandAlone

PATHS = """
import "recipes/single_path.nas" as paths
space limited extends bench { require count(nor_conv_3x3) <= 2 }
recipe spos extends paths.spos {
  epochs = 1
  batch  = 8
  select = evolution(population = 8, rounds = 3, parents = 3, crossover = 3, mutation = 3,
    score = accuracy(search.valid), calibrate = 16)
}
recipe fair extends paths.fairnas {
  epochs = 1
  batch  = 8
  select = evolution(population = 6, rounds = 2, algorithm = nsga2, rate = 0.8,
    score = [accuracy(search.valid), -flops, params], calibrate = 16)
}
recipe by_chance extends paths.random_weight_sharing {
  epochs = 1
  batch  = 8
  select = random(10, score = loss(search.valid), distinct = true)
}
recipe old extends spos {
  select = regularized(12, population = 4, parents = 2, score = accuracy(search.valid))
}
recipe near extends spos {
  select = local(12, score = [loss(search.valid), -params])
}
recipe small_nets extends spos {
  select = random(30, score = -params, distinct = true)
}
recipe alone extends paths.random_search { step.epochs = 2  select.samples = 3 }
recipe aged extends paths.regularized_evolution {
  step.epochs = 1  select.samples = 5  select.population = 2  select.parents = 2
}
recipe climbing extends paths.local_search { step.epochs = 1  select.samples = 4 }
recipe halved extends paths.successive_halving {
  select.samples = 4  select.eta = 2  select.epochs = [1, 2, 3]
}
"""


def made(recipe, *, space="bench", seed=0, images=64):
    of = plan(recipe, text=TEXT + PATHS, space=space, seed=seed)
    if recipe in ("alone", "aged", "climbing", "halved"):
        return StandAlone(
            of.space(),
            of.recipe,
            of.train,
            inputs(images),
            seed=seed,
            device="cpu",
            limits=of.limits(),
        )
    given = inputs(images)
    return Search(of.space(), of.recipe, given, seed=seed, device="cpu", limits=of.limits())


@pytest.mark.parametrize("space", ["bench", "limited", "tiny"])
@pytest.mark.parametrize("recipe", ["spos", "fair", "by_chance", "old", "near"])
def test_one_epoch_of_every_recipe_selects_an_architecture(recipe, space):
    task = made(recipe, space=space)
    run(task)
    genotype = check(task.genotype(), task.limits.space)
    assert task.limits.holds(genotype)
    # The same again, as nothing has moved: the noise of the search is not used up.
    noise = task.noise.get_state()
    assert task.genotype() == genotype
    assert torch.equal(task.noise.get_state(), noise)
    assert task.result()["genotype"]["picks"] == [list(p) for p in genotype.picks]


def test_selection_leaves_the_supernet_as_it_is():
    task = made("spos")
    run(task)
    before = {k: v.clone() for k, v in task.session.supernet.state_dict().items()}
    task.genotype()
    after = task.session.supernet.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


@pytest.mark.parametrize("calibrate", [None, 16])
def test_a_candidate_is_the_supernet_with_one_option_per_decision(calibrate):
    """Measured on a copy in dense mode, with statistics measured anew by hand."""
    task = made("spos")
    run(task)
    session = task.session
    genotype = task.genotype()
    found = Subnets(session, calibrate).measure(genotype)
    net = copy.deepcopy(session.supernet).in_mode("dense").eval()
    mix = one_hot(net, genotype, next(net.parameters()))

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x, mix)

    whole = Whole().eval()
    if calibrate:
        data = task.inputs
        chosen = torch.tensor(data.parts.search_train[:calibrate])
        reestimate(whole, [data.train.take(part)[0] for part in chosen.split(8)])
    losses, hits, count = 0.0, 0, 0
    with torch.no_grad():
        for x, y in session.held.valid():
            logits = whole(x)
            losses += F.cross_entropy(logits, y, reduction="sum").item()
            hits += int((logits.argmax(1) == y).sum())
            count += len(y)
    assert found[0] == pytest.approx(losses / count, rel=1e-5)
    assert found[1] == pytest.approx(100 * hits / count)


def test_no_network_is_measured_twice(monkeypatch):
    task = made("spos")
    run(task)
    asked = []
    real = Subnets._measure
    monkeypatch.setattr(Subnets, "_measure", lambda self, g: asked.append(g) or real(self, g))
    task.genotype()
    identity = Canonical(task.limits.space)
    assert 8 <= len(asked) == len({identity(g) for g in asked}) <= 8 * 3


def test_a_planted_accuracy_is_found(monkeypatch):
    """200 of 15 625 cells are asked for; a draw has five of six right once in 625."""
    task = made("spos")
    run(task)
    best = {d.id: d.labels[-1] for d in task.limits.space.decisions}

    def fake(self, genotype):
        return 0.0, float(sum(best[d] == label for d, label in genotype.picks))

    monkeypatch.setattr(Subnets, "_measure", fake)
    select = task.session.parts.select
    component = select.component.with_arg("population", Fraction(20))
    for name, value in (("rounds", 10), ("parents", 5), ("crossover", 10), ("mutation", 10)):
        component = component.with_arg(name, Fraction(value))
    large = replace(select, component=component, calibrate=None)
    found = large.genotype(task.session)
    # A pool behind every path to the output is no dead end: this optimum has one writing.
    assert sum(best[d] == label for d, label in found.picks) >= 5


def test_parameters_as_a_score_are_those_of_the_discrete_network():
    task = made("small_nets")
    run(task)
    limits, rng = task.limits, rng_of(task.session)
    drawn = Pool(limits, lambda g: (-cost.of_network(limits.network(g)).params,))
    for _, genotype in zip(range(30), drawn.fresh(rng), strict=False):
        drawn.judge(genotype)
    assert task.genotype() == drawn.best().genotype


def test_scores_are_read_with_their_signs():
    accuracy = Component("accuracy", (("0", Word("search.valid")),))
    found = scores((accuracy, Word("-flops"), Word("params")))
    assert [(s.name, s.sign) for s in found] == [("accuracy", 1), ("flops", -1), ("params", 1)]
    assert scores(Component("loss", (("0", Word("search.valid")),)))[0].sign == -1
    with pytest.raises(ScoreError, match=r"not on retrain\.valid"):
        scores(Component("accuracy", (("0", Word("retrain.valid")),)))
    with pytest.raises(ScoreError, match="unknown score `beauty`"):
        scores(Word("beauty"))


def test_an_unknown_score_is_refused_before_anything_is_trained():
    text = TEXT + PATHS + "recipe odd extends spos { select = random(3, score = beauty) }\n"
    with pytest.raises(PlanError, match="unknown score `beauty`"):
        plan("odd", text=text, space="bench")


# ---- one by one


@pytest.mark.parametrize(
    ("recipe", "epochs"), [("alone", 6), ("aged", 5), ("climbing", 4), ("halved", 4 + 4 + 3)]
)
def test_networks_are_trained_one_by_one(recipe, epochs):
    task = made(recipe)
    records = drive(task, folder=None)
    assert len(records) == task.epochs == epochs
    assert task.finished
    result = task.result()
    last = max(t["epochs"] for t in result["tried"])
    rung = [t for t in result["tried"] if t["epochs"] == last]
    assert result["valid_discrete"]["accuracy"] == max(t["accuracy"] for t in rung)
    check(task.genotype(), task.limits.space)


def test_halving_keeps_the_better_half_of_every_rung():
    task = made("halved")
    drive(task, folder=None)
    tried = task.result()["tried"]
    rungs = [[t for t in tried if t["epochs"] == e] for e in (1, 2, 3)]
    assert [len(r) for r in rungs] == [4, 2, 1]
    for before, after in zip(rungs, rungs[1:], strict=False):
        order = sorted(before, key=lambda t: -t["accuracy"])[: len(after)]
        assert [t["text"] for t in order] == [t["text"] for t in after]


def test_a_network_trained_in_a_search_is_the_one_trained_alone():
    task = made("alone")
    drive(task, folder=None)
    (genotype, epochs), measured = list(task.results.items())[1]
    assert loads(genotype.dumps()) == genotype
    other = Retrain(
        task.limits.network(genotype),
        replace(
            task.settings,
            values=tuple(
                (s, Fraction(epochs) if s == "epochs" else v) for s, v in task.settings.values
            ),
        ),
        task.inputs,
        seed=derived_seed(0, "stand_alone", 1),
        device="cpu",
    )
    drive(other, folder=None)
    assert other.measure("valid") == measured


@pytest.mark.parametrize("recipe", ["alone", "halved", "aged"])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_cut_run_goes_on_exactly(recipe, cut):
    whole, state = made(recipe), None
    for epoch in range(whole.epochs):
        steps = whole.begin(epoch)
        for k in range(steps):
            whole.step(epoch, k)
        whole.epoch_record(epoch)
        if epoch + 1 == cut:
            state = copy.deepcopy(whole.state())
    other = made(recipe)
    other.restore(*state)
    for epoch in range(cut, other.epochs):
        for k in range(other.begin(epoch)):
            other.step(epoch, k)
        other.epoch_record(epoch)
    assert whole.result() == other.result()
    assert equal_states(whole, other)


# ---- FairDARTS


FAIR = "sampler = sigmoid\n  select = threshold(0.85, at_most = 2)"


def threshold_of(rows):
    """The picks at a node of two edges whose sigmoids are given by edge."""
    text = f"{TEXT}{HEAD}recipe mine extends base_run {{\n  {FAIR}\n}}\n"
    of = plan("mine", text=text, space="tiny")
    task = Search(of.space(), of.recipe, inputs(), seed=0, device="cpu", limits=of.limits())
    session = task.session
    for name, table in session.supernet.tables.items():
        with torch.no_grad():
            alpha = session.arch.alphas()[name]
            alpha.fill_(-3)
            for i, decision in enumerate(table.decisions):
                for label, value in rows.get(decision, {}).items():
                    alpha[i, table.labels[i].index(label)] = value
    return task.genotype().picks


def test_an_edge_may_keep_two_operations_and_another_none():
    """Case C70: sigmoids .8808, .8808, .0474 on one edge, .0474 on the other, threshold .85."""
    a = "normal/x[1]<-prev2"
    rows = {a: {"max_pool_3x3": 2, "skip_connect": 2, "sep_conv_3x3": -3}}
    picks = [p for p in threshold_of(rows) if p[0].startswith("normal/")]
    assert picks == [(a, "max_pool_3x3"), (a, "skip_connect")]


def test_at_most_two_stay_and_the_strongest():
    a, b = "normal/x[1]<-prev2", "normal/x[1]<-prev"
    rows = {
        a: {"max_pool_3x3": 2.0, "skip_connect": 2.5},
        b: {"sep_conv_3x3": 3.0, "none": 9.0},
    }
    picks = [p for p in threshold_of(rows) if p[0].startswith("normal/")]
    assert sorted(picks) == sorted([(b, "sep_conv_3x3"), (a, "skip_connect")])


def test_a_node_where_nothing_survives_keeps_its_strongest():
    b = "normal/x[1]<-prev"
    picks = [p for p in threshold_of({b: {"sep_conv_3x3": -1.0}}) if p[0].startswith("normal/")]
    assert picks == [(b, "sep_conv_3x3")]
    assert Threshold(0.85, 2).at_most == 2
