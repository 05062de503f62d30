"""Penalties on cost against enumeration, and latency tables that say too little."""

import itertools
import math

import pytest
import torch
from small_runs import TEXT, copies, plan, run, search
from small_search import recipe, small, steps

from nasdsl.diagnostics.model import CompileError
from nasdsl.ir import cost
from nasdsl.ir.config import Component
from nasdsl.ir.expression import CostError, evaluate
from nasdsl.ir.genotype import Genotype
from nasdsl.oneshot.penalties import latency
from nasdsl.oneshot.penalties.costs import penalty

ROWS = "op,ms,input\nmax_pool_3x3,0.25,\nskip_connect,0.05,\nsep_conv_3x3,1.5,\n"


def enumerated(session, expression):
    """The mean over all joint settings of one table's rows, by their probabilities."""
    mix = session.probabilities(session.arch.alphas())
    rows = [
        [(d, label, mix[name][i, k]) for k, label in enumerate(labels)]
        for name, t in session.supernet.tables.items()
        for i, (d, labels) in enumerate(zip(t.decisions, t.labels, strict=True))
    ]
    total = torch.zeros((), dtype=torch.float64)
    for chosen in itertools.product(*rows):
        chance = torch.ones((), dtype=torch.float64)
        for _, _, p in chosen:
            chance = chance * p
        picks = tuple((d, label) for d, label, _ in chosen)
        total = total + chance * evaluate(expression, Genotype(space="s", picks=picks))
    return total


def value(task):
    session = task.session
    (only,) = session.parts.penalties
    alphas = session.arch.alphas()
    return only.value(session, alphas, session.sample("arch").mix)


@pytest.mark.parametrize("sampler", ["softmax", "dirichlet", "gumbel(tau = 1, hard = true)"])
@pytest.mark.parametrize(("name", "measure"), [("flops", "macs"), ("params", "params")])
def test_value_and_gradient_are_those_of_enumeration(name, measure, sampler):
    """The tiny space keeps two edges of two, so every setting is an architecture."""
    task = small(f"sampler = {sampler}\n  regularize = {name}(0.5)")
    task.begin(0)
    session = task.session
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for alpha in session.alphas.values():
            alpha.copy_(torch.randn(alpha.shape, generator=generator, dtype=alpha.dtype))
    wanted = 0.5 * enumerated(session, cost.expression(session.space, measure)).log()
    found = value(task)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    alphas = list(session.alphas.values())
    own = torch.autograd.grad(found, alphas, retain_graph=True)
    for a, b in zip(own, torch.autograd.grad(wanted, alphas), strict=True):
        assert a.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_the_target_is_a_hinge():
    e = torch.tensor(50.0, dtype=torch.float64, requires_grad=True)
    assert penalty(e, 100.0).item() == 0
    assert torch.autograd.grad(penalty(e, 100.0), e)[0].item() == 0
    assert penalty(e, 25.0).item() == pytest.approx(math.log(2))
    assert torch.autograd.grad(penalty(e, 25.0), e)[0].item() == pytest.approx(1 / 50)
    assert penalty(e, None).item() == pytest.approx(math.log(50))
    zero = torch.zeros((), requires_grad=True)
    assert torch.autograd.grad(penalty(zero, 25.0), zero)[0].item() == 0


def test_a_search_under_a_penalty_becomes_cheaper():
    pairs = {}
    for body in ("regularize = flops(20)\n  arch.lr = 0.2", "arch.lr = 0.2"):
        task = search(plan("mine", text=recipe(body), epochs=8))
        run(task)
        expression = cost.expression(task.session.space, "macs")
        pairs[body] = evaluate(expression, task.genotype())
    cheap, free = pairs.values()
    assert cheap < free


def with_table(tmp_path, rows, target="none"):
    path = tmp_path / "table.csv"
    path.write_text(rows)
    body = f'regularize = latency(1, target = {target}, device = "{path}")'
    return search(plan("mine", text=recipe(body)))


def test_latency_is_the_mean_over_the_rows_of_the_table(tmp_path):
    task = with_table(tmp_path, ROWS, target=0.01)
    session = task.session
    expression = latency.expression(session.space, tmp_path / "table.csv")
    wanted = (enumerated(session, expression) / (0.01 * latency.UNIT)).log()
    torch.testing.assert_close(value(task).double(), wanted, rtol=1e-5, atol=1e-5)
    # All skips: the edges of all cells of the target network cost 0.05 ms each.
    picks = tuple(
        (d, "skip_connect") for t in session.supernet.tables.values() for d in t.decisions
    )
    found = evaluate(expression, Genotype(space="s", picks=picks))
    places = len(list(cost.choices(session.space.target)))
    assert found == places * 50_000
    run(task)


def test_a_row_with_a_shape_goes_before_one_without(tmp_path):
    task = with_table(tmp_path, ROWS)
    shapes = {str(c.inp) for _, c in cost.choices(task.session.space.target)}
    shape = sorted(shapes)[0]
    path = tmp_path / "other.csv"
    path.write_text(ROWS + f"sep_conv_3x3,9,{shape}\n")
    expressions = [
        latency.expression(task.session.space, p) for p in (tmp_path / "table.csv", path)
    ]
    picks = tuple(
        (d, "sep_conv_3x3") for t in task.session.supernet.tables.values() for d in t.decisions
    )
    genotype = Genotype(space="s", picks=picks)
    places = sum(str(c.inp) == shape for _, c in cost.choices(task.session.space.target))
    before, after = (evaluate(e, genotype) for e in expressions)
    assert after - before == places * 7_500_000


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("op,ms\nmax_pool_3x3,1\n", "no row for `skip_connect`"),
        ("op,seconds\nskip_connect,1\n", "`op`, `ms` and perhaps `input`"),
        ("op,ms\nskip_connect,fast\n", "line 2: `fast` is no number"),
        ("op,ms\nskip_connect,-1\n", "no number of milliseconds"),
        ("op,ms\nskip_connect\n", "no number of milliseconds"),
        ("op,ms\nskip_connect,1\nskip_connect,2\n", "twice"),
        ("", "has the columns"),
    ],
)
def test_a_table_that_says_too_little_is_told_before_training(tmp_path, rows, message):
    with pytest.raises(CostError, match=message):
        with_table(tmp_path, rows)


def test_a_table_that_is_not_there(tmp_path):
    body = f'regularize = latency(1, target = 1, device = "{tmp_path}/none.csv")'
    with pytest.raises(CostError, match="cannot be read"):
        search(plan("mine", text=recipe(body)))


def test_a_table_is_looked_for_beside_the_file_that_names_it(tmp_path):
    class At:
        class source:
            name = str(tmp_path / "mine.nas")

    (tmp_path / "table.csv").write_text(ROWS)
    found = latency.where("table.csv", Component("latency", (), At))
    assert found == tmp_path / "table.csv"
    assert latency.read(found)["sep_conv_3x3", ""] == 1_500_000


def test_attended_alphas_are_what_costs():
    task = search(plan("mine", text=recipe("mix = attention\n  regularize = flops(1)")))
    before = copies(task.session.alphas)
    run(task)
    assert any(not torch.equal(before[n], a) for n, a in task.session.alphas.items())
    assert TEXT


@pytest.mark.parametrize("target", ["0", "-1", "linear(5 -> 0)"])
def test_a_target_is_positive(target):
    with pytest.raises(CompileError, match="positive"):
        plan("mine", text=recipe(f"regularize = flops(1, target = {target})"))


def test_a_target_may_fall():
    task = small("regularize = params(1, target = linear(1M -> 1))")
    steps(task, 1)
    assert value(task).item() == 0
    steps(task, 4)
    assert value(task).item() > 1
