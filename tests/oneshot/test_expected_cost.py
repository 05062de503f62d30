"""The mean cost under a mix: by enumeration, with its gradient."""

import itertools
import math
import random

import pytest
import torch
from spaces_for_tests import bundled_space, space_of

from nasdsl.codegen.supernet import Table, tables_of
from nasdsl.ir import cost
from nasdsl.ir.expression import CostError, Expression, Factor, Term, evaluate
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.sampling import sample
from nasdsl.oneshot.expected_cost import ExpectedCost

NESTED = """nas 1
op block(k) = conv(k) >> bn
op deep     = block(3) >> one_of { relu, block(1), block(5) }
space s(C = 4) {
  width = C
  input image(4, 8, 8)
  stem conv(3)
  stage one_of { identity, deep }
  stage one_of { identity, block(3), block(5) }
  head global_avg_pool >> linear(10)
}
"""


def mixes(tables, seed=0):
    """Raw weights and the mix of their softmax, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    raw, mix = {}, {}
    for name, table in tables.items():
        raw[name] = torch.randn(table.shape, generator=generator, dtype=torch.float64)
        raw[name].requires_grad_()
        mask = table.mask()
        logits = raw[name] if mask is None else raw[name].masked_fill(~mask, -math.inf)
        mix[name] = logits.softmax(1)
    return raw, mix


def enumerated(expression, tables, mix):
    """The mean over all joint settings, one by one."""
    rows = [
        [(d, label, mix[name][i, j]) for j, label in enumerate(labels)]
        for name, t in tables.items()
        for i, (d, labels) in enumerate(zip(t.decisions, t.labels, strict=True))
    ]
    total = torch.zeros((), dtype=torch.float64)
    for chosen in itertools.product(*rows):
        chance = math.prod([c for _, _, c in chosen], start=torch.ones((), dtype=torch.float64))
        picks = tuple((d, label) for d, label, _ in chosen)
        total = total + chance * evaluate(expression, Genotype(space="s", picks=picks))
    return total


@pytest.mark.parametrize("measure", ["params", "macs", "bias", "saved"])
@pytest.mark.parametrize("name", ["one_edge", "nested", "macro"])
def test_the_mean_and_its_gradient_are_those_of_enumeration(name, measure):
    space = {
        "one_edge": lambda: bundled_space("small.nas", "one_edge"),
        "nested": lambda: space_of(NESTED, "s"),
        "macro": lambda: bundled_space("mobile.nas", "nasbench_macro", C=4),
    }[name]()
    tables = tables_of(space)
    if name == "macro":  # of eight layers the last three are free
        free = {d: f"{i}" for i, d in enumerate(tables)}
        tables = {n: t for n, t in tables.items() if int(free[n]) >= 5}
    expression = cost.expression(space, measure)
    known = {d for t in tables.values() for d in t.decisions}
    expression = Expression(
        measure=measure,
        terms=tuple(t for t in expression.terms if {f.decision for f in t.factors} <= known),
        labels=expression.labels,
    )
    raw, mix = mixes(tables)
    found, wanted = ExpectedCost(expression, tables)(mix), enumerated(expression, tables, mix)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-6)
    if not found.requires_grad:
        # A measure that no option changes.
        assert all(not t.factors for t in expression.terms)
        return
    own = torch.autograd.grad(found, list(raw.values()), retain_graph=True)
    theirs = torch.autograd.grad(wanted, list(raw.values()))
    for a, b in zip(own, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-6)


def test_of_a_one_hot_mix_the_mean_is_the_cost():
    space = bundled_space("nasbench201.nas", "nasbench201")
    tables = tables_of(space)
    macs = cost.expression(space, "macs")
    expected = ExpectedCost(macs, tables)
    for seed in range(5):
        genotype = sample(space, random.Random(seed))
        mix = {n: torch.zeros(t.shape, dtype=torch.float64) for n, t in tables.items()}
        for name, table in tables.items():
            for i, (d, labels) in enumerate(zip(table.decisions, table.labels, strict=True)):
                mix[name][i, labels.index(genotype.of(d)[0])] = 1
        assert expected(mix).item() == evaluate(macs, genotype)


def test_edges_stay_with_the_share_of_their_rule():
    """Over samples of the space, uniform over architectures, the mean is that of the mix."""
    space = bundled_space("darts.nas", "darts", C=4, layers=3)
    tables = tables_of(space)
    params = cost.expression(space, "params")
    expected = ExpectedCost(params, tables)
    mix = {}
    for name, table in tables.items():
        mix[name] = torch.full(table.shape, 1 / 7, dtype=torch.float64)
        mix[name][:, table.labels[0].index("none")] = 0
    mean = expected(mix).item()
    rng = random.Random(0)
    drawn = torch.tensor([evaluate(params, sample(space, rng)) for _ in range(600)]).double()
    error = drawn.std().item() / math.sqrt(len(drawn))
    assert abs(drawn.mean().item() - mean) < 5 * error
    # Where all edges are said to stay, those of the supernet count.
    ones = {d: torch.ones((), dtype=torch.float64) for t in tables.values() for d in t.decisions}
    fixed = cost.fixed(space.target).params
    ratio = (expected(mix, ones).item() - fixed) / (mean - fixed)
    assert 1.5 < ratio < 2.0  # of 14 edges 8 stay
    chance = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    expected(mix, {**ones, "normal/x[3]<-prev": chance}).backward()
    assert chance.grad.item() > 0


def test_a_search_under_a_penalty_finds_the_cheapest():
    space = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1)
    tables = tables_of(space)
    macs = cost.expression(space, "macs")
    expected = ExpectedCost(macs, tables)
    alphas = {n: torch.zeros(t.shape, requires_grad=True) for n, t in tables.items()}
    optimizer = torch.optim.Adam(alphas.values(), lr=0.2)
    first = None
    for _ in range(60):
        optimizer.zero_grad()
        value = expected({n: a.softmax(1) for n, a in alphas.items()})
        first = value.item() if first is None else first
        (value / first).backward()
        optimizer.step()
    low, _ = cost.extreme(space, "macs", largest=False)
    assert low <= value.item() < low + 0.2 * (first - low)


def test_negated_factors_and_unknown_decisions():
    table = Table("t", ("d", "e"), (("a", "b"), ("a", "b")))
    expression = Expression(
        measure="m", terms=(Term(10), Term(-10, (Factor("d", ("a",), True), Factor("e", ("a",), True)))),
        labels=(("d", ("a", "b")), ("e", ("a", "b"))),
    )  # fmt: skip
    mix = {"t": torch.tensor([[0.25, 0.75], [0.5, 0.5]])}
    assert ExpectedCost(expression, {"t": table})(mix).item() == pytest.approx(10 - 10 * 0.375)
    with pytest.raises(CostError, match="`f`, on which m depends, has no row"):
        ExpectedCost(
            Expression(measure="m", terms=(Term(1, (Factor("f", ("a",)),)),)), {"t": table}
        )
    constant = ExpectedCost(Expression(measure="m", terms=(Term(7),)), {"t": table})
    assert constant(mix).item() == 7
