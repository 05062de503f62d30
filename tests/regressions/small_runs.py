"""Searches and retrainings that take less than a second: tiny spaces, random images."""

import torch

from nasdsl import driver
from nasdsl.source import Source
from nasdsl.training import plan as plans
from nasdsl.training.coupling.problem import DOTS, FEW, SHORT, TINY, inputs
from nasdsl.training.retrain import Retrain
from nasdsl.training.search import Search

TEXT = f"""nas 1

from "darts.nas" import darts, darts8
from "nasbench201.nas" import nasbench201
import "recipes/samplers.nas" as samplers
import "recipes/darts.nas" as base
{DOTS}{TINY}
space bench extends nasbench201 {{
  C    = 4
  n    = 1
  data = dots
}}

recipe soft extends base.darts {{
  epochs  = 2
  batch   = 8
  arch.lr = 0.01
}}
recipe sigmoid extends soft {{
  sampler = sigmoid
}}
recipe relaxed extends soft {{
  sampler = gumbel(tau = linear(1 -> 0.1))
}}
recipe hard extends samplers.gdas {{
  epochs = 2
  batch  = 8
}}
recipe drawn extends samplers.drnas {{
  epochs = 2
  batch  = 8
}}
{FEW}{SHORT}"""


def plan(recipe="soft", *, text=TEXT, space="tiny", train="short", seed=0, **changes):
    """A plan of the definitions above."""
    loaded = driver.load(Source.of("small.nas", text))
    names = {"space": space, "recipe": recipe, "split": "few", "train": train, "dataset": "dots"}
    given = {k: str(v) for k, v in changes.items()}
    return plans.make(loaded, names=names, parameters={}, changes=given, seed=seed)


def search(made, given=None, *, seed=None, **options):
    """The search of a plan."""
    return Search(
        made.space(),
        made.recipe,
        given or inputs(),
        seed=made.seed if seed is None else seed,
        device="cpu",
        **options,
    )


def retraining(made, genotype, given=None, **options):
    """The retraining of a genotype."""
    return Retrain(
        made.space(genotype).target,
        made.train,
        given or inputs(),
        seed=made.seed,
        device="cpu",
        **options,
    )


def run(task, steps=None, *, first=0):
    """Make the steps of a task from step `first` on; the records of whole epochs."""
    records = []
    number = 0
    for epoch in range(task.epochs):
        length = task.begin(epoch) if steps is None or number < steps else 0
        for k in range(length):
            if number >= first and (steps is None or number < steps):
                task.step(epoch, k)
                if k + 1 == length:
                    records.append(task.epoch_record(epoch))
            number += 1
    return records


def copies(tensors):
    """Values of named tensors, apart from what they are now."""
    return {k: v.detach().clone() for k, v in tensors.items()}


def equal(a, b):
    """Whether named tensors agree to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def equal_states(a, b):
    """Whether the states of two tasks agree to the last bit."""
    (left, values), (right, others) = a.state(), b.state()
    return (
        left.keys() == right.keys()
        and all(equal(left[k], right[k]) for k in left)
        and values == others
    )
