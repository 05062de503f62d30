"""The step rules that are tightly coupled, each with the loop it is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nasdsl.training.coupling import alignment, bilevel, greedy, problem, temperature
from nasdsl.training.search import Search

#: How far two float64 trajectories of the same arithmetic in another order may be apart.
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`body` is what makes a recipe of it, `loop` the same search written as one loop."""

    name: str
    what: str
    body: str
    loop: Callable[[Search], None]
    space: str = "tiny"


RULES: tuple[Rule, ...] = (
    Rule(
        name="darts",
        what="first order: alphas on validation images, then weights",
        body="epochs = 4\n  step = alternating(order = first)",
        loop=bilevel.first_order,
    ),
    Rule(
        name="darts_second",
        what="second order by Hessian-vector products; the loop differentiates the weight step",
        body="epochs = 4\n  step = alternating(order = second)",
        loop=bilevel.second_order,
    ),
    Rule(
        name="darts_unrolled",
        what="second order through the weight step itself",
        body="epochs = 4\n  step = alternating(order = unrolled)",
        loop=bilevel.second_order,
    ),
    Rule(
        name="idarts",
        what="implicit gradient, a truncated Neumann series",
        body=f"epochs = 4\n  step = implicit(terms = {bilevel.TERMS}, scale = {bilevel.SCALE})",
        loop=bilevel.implicit,
    ),
    Rule(
        name="single_level",
        what="alphas and weights along one training loss",
        body="epochs = 4\n  step = joint",
        loop=bilevel.joint,
    ),
    Rule(
        name="sgas",
        what="edges decided one by one; the supernet is pruned, the loop's is not",
        body="epochs = 6\n  select = greedy("
        f"criterion = {greedy.CRITERION}, start = {greedy.START}, every = {greedy.EVERY}, "
        f"history = {greedy.HISTORY}, batch_step = 0)",
        loop=greedy.sgas,
        space="pairs",
    ),
    Rule(
        name="oles",
        what="operations freeze where training and validation gradients disagree",
        body="epochs = 4\n  freeze = alignment("
        f"every = {alignment.EVERY}, below = {alignment.BELOW})",
        loop=alignment.oles,
    ),
    Rule(
        name="tempered",
        what="the sampler's temperature follows the noise of the weights' gradients",
        body=f"epochs = 4\n  sampler = gumbel(tau = linear({temperature.FIRST:g} -> "
        f"{temperature.LAST:g}))\n  step = tempered(high = {temperature.HIGH}, "
        f"low = {temperature.LOW}, memory = {temperature.MEMORY})",
        loop=temperature.tempered,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectories:
    """A rule and its loop after the same steps.

    `weights` and `alphas` are the largest differences between parameters, `moved` how far the
    parameters of the loop are from where they began: a difference is small against that.
    """

    rule: Rule
    seed: int
    steps: int
    weights: float
    alphas: float
    moved: float

    @property
    def agree(self) -> bool:
        """Whether they are the same to `TOLERANCE`, and went anywhere at all."""
        return max(self.weights, self.alphas) <= TOLERANCE < self.moved


def compare(rule: Rule, *, seed: int = 0) -> Trajectories:
    """Run a rule as its recipe and as its loop from the same seed."""
    task = problem.search(rule.body, space=rule.space, seed=seed)
    other = problem.search(rule.body, space=rule.space, seed=seed)
    before = {n: w.detach().clone() for n, w in other.session.weights.items()}
    steps = problem.run(task)
    rule.loop(other)
    return Trajectories(
        rule=rule,
        seed=seed,
        steps=steps,
        weights=_farthest(_weights(task, other)),
        alphas=_farthest(_alphas(task, other)),
        moved=_farthest((before[n], w) for n, w in other.session.weights.items()),
    )


def compared(names: Sequence[str] = (), *, seed: int = 0) -> Iterator[Trajectories]:
    """All rules, or those that are named, one after the other."""
    for rule in RULES:
        if not names or rule.name in names:
            yield compare(rule, seed=seed)


def _weights(task: Search, other: Search) -> Iterator[tuple[Tensor, Tensor]]:
    """Weights of the recipe's supernet, which may have lost some, beside those of the loop's."""
    for name, weight in task.session.weights.items():
        yield weight, other.session.weights[name]


def _alphas(task: Search, other: Search) -> Iterator[tuple[Tensor, Tensor]]:
    """Alphas option by option: columns of a pruned table have moved."""
    whole = {}
    for table, alpha in other.session.arch.alphas().items():
        of = other.session.supernet.tables[table]
        for i, (decision, labels) in enumerate(zip(of.decisions, of.labels, strict=True)):
            for k, label in enumerate(labels):
                whole[decision, label] = alpha[i, k]
    for table, alpha in task.session.arch.alphas().items():
        of = task.session.supernet.tables[table]
        for i, (decision, labels) in enumerate(zip(of.decisions, of.labels, strict=True)):
            for k, label in enumerate(labels):
                yield alpha[i, k], whole[decision, label]


def _farthest(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The largest difference; infinite where something is no number."""
    found = [(a.detach() - b.detach()).abs().max() for a, b in pairs]
    most = torch.stack(found).max() if found else torch.tensor(0.0)
    return float(most) if bool(torch.isfinite(most)) else float("inf")
