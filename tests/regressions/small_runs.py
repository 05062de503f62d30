"""Searches and retrainings that take less than a second: tiny spaces, random images."""

import numpy as np
import torch

from nasdsl import driver
from nasdsl.ir.shape import Shape
from nasdsl.source import Source
from nasdsl.training import plan as plans
from nasdsl.training.data.batches import Images
from nasdsl.training.data.inputs import Inputs
from nasdsl.training.data.normalize import Channels
from nasdsl.training.data.splits import Splits
from nasdsl.training.retrain import Retrain
from nasdsl.training.search import Search

TEXT = """nas 1

from "darts.nas" import darts, darts8
from "nasbench201.nas" import nasbench201
import "recipes/samplers.nas" as samplers
import "recipes/darts.nas" as base

dataset dots {
  source  = npz("dots.npz")
  shape   = image(3, 8, 8)
  classes = 4
}

space tiny extends darts {
  C      = 4
  layers = 3
  nodes  = 1
  data   = dots
  candidates = {none, max_pool_3x3, skip_connect, sep_conv_3x3}
  cell normal {
    out x[1]
  }
  target {}
}

space bench extends nasbench201 {
  C    = 4
  n    = 1
  data = dots
}

recipe soft extends base.darts {
  epochs  = 2
  batch   = 8
  arch.lr = 0.01
}
recipe sigmoid extends soft {
  sampler = sigmoid
}
recipe relaxed extends soft {
  sampler = gumbel(tau = linear(1 -> 0.1))
}
recipe hard extends samplers.gdas {
  epochs = 2
  batch  = 8
}
recipe drawn extends samplers.drnas {
  epochs = 2
  batch  = 8
}

split few {
  search.train  = data[0..15]
  search.valid  = data[16..31]
  retrain.train = data[32..63]
}

train short {
  epochs    = 2
  batch     = 16
  weights   = sgd(lr = cosine(0.05 -> 0), momentum = 0.9)
  drop_path = linear(0 -> 0.2)
}
"""


def plan(recipe="soft", *, text=TEXT, space="tiny", train="short", seed=0, **changes):
    """A plan of the definitions above."""
    loaded = driver.load(Source.of("small.nas", text))
    names = {"space": space, "recipe": recipe, "split": "few", "train": train, "dataset": "dots"}
    given = {k: str(v) for k, v in changes.items()}
    return plans.make(loaded, names=names, parameters={}, changes=given, seed=seed)


def inputs(n=64, *, size=8, channels=3, classes=4, parts=None, tests=8):
    """Random images; the first half for search, the rest for retraining."""
    draw = np.random.default_rng(0)

    def put(count):
        x = draw.integers(0, 256, (count, channels, size, size), dtype=np.uint8)
        y = np.arange(count) % classes
        half = (0.5,) * channels
        return Images.put(x, y.astype(np.int64), Channels(mean=half, std=half))

    quarter = n // 4
    parts = parts or Splits(
        search_train=np.arange(quarter),
        search_valid=np.arange(quarter, 2 * quarter),
        retrain_train=np.arange(2 * quarter, n),
    )
    return Inputs(
        name="dots",
        shape=Shape("image", (channels, size, size)),
        classes=classes,
        train=put(n),
        test=put(tests),
        parts=parts,
    )


def search(made, given=None, *, seed=None):
    """The search of a plan."""
    return Search(
        made.space(),
        made.recipe,
        given or inputs(),
        seed=made.seed if seed is None else seed,
        device="cpu",
    )


def retraining(made, genotype, given=None):
    """The retraining of a genotype."""
    return Retrain(
        made.space(genotype).target, made.train, given or inputs(), seed=made.seed, device="cpu"
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
