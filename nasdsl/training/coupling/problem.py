"""A search small enough to be followed step by step: tiny spaces, random images, float64."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from nasdsl import driver
from nasdsl.ir.shape import Shape
from nasdsl.source import Source
from nasdsl.training import plan as plans
from nasdsl.training.data.batches import Images, Stream
from nasdsl.training.data.inputs import Inputs
from nasdsl.training.data.normalize import Channels
from nasdsl.training.data.splits import Splits
from nasdsl.training.plan import Plan
from nasdsl.training.search import Search

#: The data of the problem by name; `inputs` makes it.
DOTS = """
dataset dots {
  source  = npz("dots.npz")
  shape   = image(3, 8, 8)
  classes = 4
}
"""
#: One node with two edges in each of three cells.
TINY = """
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
"""
#: Two nodes, of whose two and three edges two stay: what decides edge by edge has work here.
PAIRS = """
space pairs extends tiny {
  nodes = 2
  cell normal {
    out concat(x)
  }
}
"""
#: Two epochs of two batches each.
HEAD = """
recipe base_run extends base.darts {
  epochs  = 2
  batch   = 8
  arch.lr = 0.01
}
"""
FEW = """
split few {
  search.train  = data[0..15]
  search.valid  = data[16..31]
  retrain.train = data[32..63]
}
"""
SHORT = """
train short {
  epochs    = 2
  batch     = 16
  weights   = sgd(lr = cosine(0.05 -> 0), momentum = 0.9)
  drop_path = linear(0 -> 0.2)
}
"""


def text(body: str) -> str:
    """The problem, whose recipe `mine` has further slots."""
    # `darts8` brings the operations that candidates name.
    return (
        'nas 1\n\nfrom "darts.nas" import darts, darts8\nimport "recipes/darts.nas" as base\n'
        f"{DOTS}{TINY}{PAIRS}{HEAD}{FEW}{SHORT}\nrecipe mine extends base_run {{\n  {body}\n}}\n"
    )


def plan(body: str, *, space: str = "tiny", seed: int = 0) -> Plan:
    """The plan of a search whose recipe has further slots. Raises CompileError, PlanError."""
    loaded = driver.load(Source.of("small.nas", text(body)))
    names = {"space": space, "recipe": "mine", "split": "few", "train": "short", "dataset": "dots"}
    return plans.make(loaded, names=names, parameters={}, changes={}, seed=seed)


def inputs(
    n: int = 64,
    *,
    size: int = 8,
    channels: int = 3,
    classes: int = 4,
    parts: Splits | None = None,
    tests: int = 8,
) -> Inputs:
    """Random images; the first half for search, the rest for retraining."""
    draw = np.random.default_rng(0)

    def put(count: int) -> Images:
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


def search(body: str, *, space: str = "tiny", seed: int = 0) -> Search:
    """The search in float64; of the same arguments always the same."""
    made = plan(body, space=space, seed=seed)
    task = Search(
        made.space(), made.recipe, inputs(), seed=seed, device="cpu", limits=made.limits()
    )
    return as_double(task)


def as_double(task: Search) -> Search:
    """The same search with float64 weights, alphas and images."""
    session = task.session
    session.supernet.double()
    session.arch.double()
    session.next_train = lambda: _double(task.train)
    session.next_valid = lambda: _double(task.valid)
    return task


def _double(stream: Stream) -> tuple[Tensor, Tensor]:
    x, y = stream.next_batch()
    return x.double(), y


def run(task: Search) -> int:
    """A whole search, with what its rules do between epochs; how many steps it was."""
    made = 0
    for epoch in range(task.epochs):
        for k in range(task.begin(epoch)):
            task.step(epoch, k)
            made += 1
        task.epoch_record(epoch)
    return made
