"""A planted space where skips are best for the training loss: DARTS collapses and says so."""

import json

import numpy as np
import pytest

from nasdsl import driver
from nasdsl.ir.genotype import loads
from nasdsl.ir.shape import Shape
from nasdsl.oneshot.health import skips
from nasdsl.source import Source
from nasdsl.training import plan as plans
from nasdsl.training.data.batches import Images
from nasdsl.training.data.inputs import Inputs
from nasdsl.training.data.normalize import Channels
from nasdsl.training.data.splits import Splits
from nasdsl.training.loop import drive
from nasdsl.training.search import Search

#: Convolutions without batch norm shrink what they pass on, so a short training wants skips.
TEXT = """nas 1

import "recipes/darts.nas" as base

dataset dots {
  source  = npz("dots.npz")
  shape   = image(3, 8, 8)
  classes = 4
}

op deep   = relu >> conv(3) >> relu >> conv(3)
op deeper = relu >> conv(5) >> relu >> conv(3)
op wide   = relu >> conv(5)

space planted(C = 8, data = dots) {
  cell c {
    in   a
    node x[4]
    edge {a, x[<]} -> x : one_of {deep, deeper, wide, identity}
    keep 2 per node
    out  concat(x)
  }
  width = C
  input data.shape
  stem  conv(3) >> bn
  stage c
  head  global_avg_pool >> linear(data.classes)
}

split few {
  search.train  = data[0..31]
  search.valid  = data[32..63]
  retrain.train = data[64..127]
}

recipe plain extends base.darts {
  epochs     = 12
  batch      = 16
  weights.lr = 0.005
  arch.lr    = 0.01
  arch.init  = normal(0.05)
  measure    = skip_share
}

recipe guarded extends plain {
  stop = count(identity, above = 2)
}
"""


def colours():
    """A class is the colour of an image: every path keeps it, the shortest one best."""
    draw = np.random.default_rng(0)
    y = np.arange(128) % 4
    x = draw.integers(0, 60, (128, 3, 8, 8)).astype(np.uint8)
    for i, k in enumerate(y):
        if k < 3:
            x[i, k] += 150

    def put(count):
        half = Channels(mean=(0.5,) * 3, std=(0.5,) * 3)
        return Images.put(x[:count], y[:count].astype(np.int64), half)

    return Inputs(
        name="dots",
        shape=Shape("image", (3, 8, 8)),
        classes=4,
        train=put(128),
        test=put(8),
        parts=Splits(
            search_train=np.arange(32),
            search_valid=np.arange(32, 64),
            retrain_train=np.arange(64, 128),
        ),
    )


def searched(recipe, seed):
    loaded = driver.load(Source.of("planted.nas", TEXT))
    names = {
        "space": "planted", "recipe": recipe, "split": "few", "train": None, "dataset": "dots",
    }  # fmt: skip
    made = plans.make(loaded, names=names, parameters={}, changes={}, seed=seed)
    task = Search(made.space(), made.recipe, colours(), seed=seed, device="cpu")
    records = drive(task, folder=None)
    return records, task.result(), task.session.space


@pytest.mark.parametrize("seed", [3, 5])
def test_darts_collapses_and_is_warned_about_and_a_guard_avoids_it(seed):
    records, result, space = searched("plain", seed)
    shares = [r["health"]["skip_share"] for r in records]
    assert shares[-1] > shares[0]
    (warning,) = result["warnings"]
    found, of = skips.picked(loads(json.dumps(result["genotype"])), space)
    assert (found, of) == (7, 7)
    assert warning.startswith("7 of 7 operations are skip connections")

    records, result, space = searched("guarded", seed)
    assert "identity in c" in records[-1]["verdict"]
    assert result["warnings"] == []
    assert skips.picked(loads(json.dumps(result["genotype"])), space) == (3, 7)
