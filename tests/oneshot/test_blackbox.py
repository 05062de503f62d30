"""Black-box searches: planted optima, requirements, the table of NAS-Bench-Macro."""

import random
from statistics import mean

import pytest
from spaces_for_tests import space_of

from nasdsl import driver
from nasdsl.benchmarks import macro
from nasdsl.ir.canonical import Canonical
from nasdsl.ir.enumeration import Enumeration
from nasdsl.ir.limits import Limits
from nasdsl.ir.member import check
from nasdsl.ir.sampling import sample
from nasdsl.oneshot.blackbox.evolution import evolution
from nasdsl.oneshot.blackbox.inherit import inherit
from nasdsl.oneshot.blackbox.local import local_search
from nasdsl.oneshot.blackbox.nsga2 import crowding, dominates, fronts, nsga2
from nasdsl.oneshot.blackbox.pool import BudgetSpent, Pool
from nasdsl.oneshot.blackbox.random_search import random_search
from nasdsl.oneshot.blackbox.regularized import regularized_evolution

TEXT = """nas 1

from "nasbench201.nas" import nasbench201
from "darts.nas" import darts

space bench extends nasbench201 { C = 4  n = 1 }
op first  = conv(1, stride = stride)
op second = conv(3, stride = stride)
op third  = conv(5, stride = stride)

space two extends bench { candidates = {first, second} }
space three extends bench { candidates = {first, second, third} }
space few extends bench { require count(nor_conv_3x3) <= 2 }
space tiny extends darts { C = 4  layers = 3 }
"""


@pytest.fixture(scope="module")
def bench():
    return space_of(TEXT, "bench")


def planted(space, seed=0):
    """A worth that is a sum over decisions, and the one best architecture of a space of edges."""
    draw = random.Random(seed)
    gains = {(d.id, label): draw.random() for d in space.decisions for label in d.labels}
    best = {d.id: max(d.labels, key=lambda label, d=d: gains[d.id, label]) for d in space.decisions}
    return (lambda g: (sum(gains[p] for p in g.picks),)), best


def pool(space, worth, budget=None):
    return Pool(Limits(space), worth, budget)


def test_every_search_finds_a_planted_best():
    """No two architectures of this space are the same network, so the best is one."""
    bench = space_of(TEXT, "three")
    worth, best = planted(bench)
    found = [
        local_search(pool(bench, worth, 400), random.Random(0)),
        regularized_evolution(pool(bench, worth, 1500), random.Random(0), population=50, sample=10),
        evolution(
            pool(bench, worth),
            random.Random(0),
            population=50,
            rounds=20,
            parents=10,
            crossover=25,
            mutation=25,
            rate=0.1,
        ),
    ]
    for judged in found:
        assert dict(judged.genotype.picks) == best


def test_random_search_is_the_best_of_its_draws(bench):
    worth, _ = planted(bench)
    asked = pool(bench, worth)
    found = random_search(asked, random.Random(3), 40)
    assert len(asked.judged) == 40
    assert found.worth == max(j.worth for j in asked.judged.values())
    assert random_search(pool(bench, worth), random.Random(3), 40) == found


def test_draws_that_are_the_same_network_are_judged_once(bench):
    asked = []
    worth, _ = planted(bench)
    judge = pool(bench, lambda g: asked.append(g) or worth(g))
    random_search(judge, random.Random(0), 300)
    identity = Canonical(bench)
    assert len(asked) == 300 == len({identity(g) for g in asked})


def test_a_small_space_is_exhausted_and_not_searched_for_ever():
    space = space_of(TEXT, "two")
    worth, best = planted(space)
    assert space.size() == 64
    judge = pool(space, worth, 1000)
    assert dict(local_search(judge, random.Random(0)).genotype.picks) == best
    assert len(judge.judged) == 64
    judge = pool(space, worth, 1000)
    found = regularized_evolution(judge, random.Random(0), population=10, sample=5)
    assert dict(found.genotype.picks) == best


def test_children_take_every_decision_from_a_parent(bench):
    draw = random.Random(0)
    for _ in range(50):
        a, b = sample(bench, draw), sample(bench, draw)
        child = inherit(bench, [a, b], draw)
        assert all(pick in a.picks or pick in b.picks for pick in child.picks)
        assert inherit(bench, [a], draw) == a


def test_a_decision_is_drawn_anew_at_the_rate(bench):
    draw = random.Random(0)
    a = sample(bench, draw)
    changed = [
        sum(p not in a.picks for p in inherit(bench, [a], draw, rate=0.5).picks)
        for _ in range(2000)
    ]
    # One of five labels is drawn, so four fifths of the new ones differ.
    assert mean(changed) == pytest.approx(6 * 0.5 * 4 / 5, abs=0.1)


@pytest.mark.parametrize("name", ["tiny", "few"])
def test_children_are_of_the_space(name):
    space = space_of(TEXT, name)
    draw = random.Random(1)
    for _ in range(50):
        parents = [sample(space, draw), sample(space, draw)]
        child = inherit(space, parents, draw, rate=0.2)
        assert check(child, space) == child


@pytest.mark.parametrize("search", ["evolution", "local", "random", "regularized", "nsga2"])
def test_requirements_hold_for_whatever_is_judged(search):
    space = space_of(TEXT, "few")
    worth = planted(space)[0]
    judge = pool(space, worth, 150)
    draw = random.Random(0)
    match search:
        case "evolution":
            evolution(
                judge, draw, population=20, rounds=5, parents=5, crossover=8, mutation=8, rate=0.3
            )
        case "local":
            local_search(judge, draw)
        case "random":
            random_search(judge, draw, 100, distinct=False)
        case "regularized":
            regularized_evolution(judge, draw, population=20, sample=5)
        case _:
            nsga2(judge, draw, population=10, rounds=5, rate=0.8)
    assert len(judge.judged) > 50
    for judged in judge.judged.values():
        assert sum(label == "nor_conv_3x3" for _, label in judged.genotype.picks) <= 2


@pytest.mark.timeout(60)
@pytest.mark.parametrize("search", ["evolution", "local", "regularized", "nsga2"])
def test_a_space_smaller_than_a_population_is_exhausted(search):
    """Evolution once drew for ever what it held already."""
    space = space_of(TEXT, "two")  # 2 ** 6 architectures
    judge = pool(space, planted(space)[0], 1000)
    draw = random.Random(0)
    match search:
        case "evolution":
            evolution(
                judge,
                draw,
                population=100,
                rounds=3,
                parents=5,
                crossover=50,
                mutation=50,
                rate=0.1,
            )
        case "local":
            local_search(judge, draw)
        case "regularized":
            regularized_evolution(judge, draw, population=100, sample=5)
        case _:
            nsga2(judge, draw, population=100, rounds=3, rate=0.5)
    assert 1 < len(judge.judged) <= 64


def test_a_budget_is_not_overrun(bench):
    judge = pool(bench, planted(bench)[0], 5)
    random_search(judge, random.Random(0), 50)
    assert len(judge.judged) == 5
    with pytest.raises(BudgetSpent):
        for genotype in judge.fresh(random.Random(1)):
            judge.judge(genotype)


# ---- several objectives


def test_fronts_and_distances_by_hand():
    points = [(1.0, 4.0), (2.0, 3.0), (4.0, 1.0), (1.0, 3.0), (0.0, 0.0), (2.0, 3.0)]
    assert dominates((2.0, 3.0), (1.0, 3.0)) and not dominates((2.0, 3.0), (2.0, 3.0))
    assert fronts(points) == [[0, 1, 2, 5], [3], [4]]
    inf = float("inf")
    assert crowding([(1.0, 4.0), (2.0, 3.0), (4.0, 1.0)]) == [inf, 2.0, inf]


def test_nsga2_finds_the_front_of_a_small_space():
    """Two gains per option of six edges with three options; the front is enumerated."""
    space = space_of(TEXT, "three")
    one, two = planted(space, 1)[0], planted(space, 2)[0]

    def worth(g):
        return (*one(g), *two(g))

    every = [worth(g) for g in Enumeration(space)]
    front = {w for w in every if not any(dominates(v, w) for v in every)}
    found = nsga2(pool(space, worth), random.Random(0), population=40, rounds=15, rate=0.8)
    assert {j.worth for j in found} <= front
    assert len(found) >= 0.8 * min(len(front), 40)
    assert found[0].worth == max(front)


# ---- a table


def test_evolution_and_local_search_beat_random_search_on_nas_bench_macro():
    """Mean over 20 seeds of the best of 100 queries."""
    space = driver.space(driver.load("nasbench_macro"), "nasbench_macro", {})
    table = macro.table(space)

    def worth(genotype):
        return (table.evaluate(genotype).mean,)

    def result(search):
        return mean(
            search(pool(space, worth, 100), random.Random(seed)).worth[0] for seed in range(20)
        )

    drawn = result(lambda p, rng: random_search(p, rng, 100))
    evolved = result(lambda p, rng: regularized_evolution(p, rng, population=20, sample=10))
    climbed = result(local_search)
    assert evolved > drawn + 0.05
    assert climbed > drawn + 0.05
