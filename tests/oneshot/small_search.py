"""Small searches in float64."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "regressions"))

from small_runs import TEXT, plan, search  # noqa: E402

from nasdsl.training.coupling.problem import HEAD, as_double  # noqa: E402


def recipe(body, name="mine"):
    """The text of a small run whose recipe has further slots."""
    return f"{TEXT}{HEAD}recipe {name} extends base_run {{\n  {body}\n}}\n"


def small(body="", *, seed=0):
    """A search of a recipe in float64."""
    task = search(plan("mine", text=recipe(body)), seed=seed)
    return as_double(task)


def steps(task, count):
    """The first steps of a search."""
    made = 0
    for epoch in range(task.epochs):
        length = task.begin(epoch)
        for k in range(length):
            if made < count:
                task.step(epoch, k)
                made += 1


def farthest(a, b):
    """The largest difference between the parameters of two searches."""
    pairs = zip(
        [*a.session.weights.values(), *a.session.alphas.values()],
        [*b.session.weights.values(), *b.session.alphas.values()],
        strict=True,
    )
    return max((p.detach() - q.detach()).abs().max().item() for p, q in pairs)
