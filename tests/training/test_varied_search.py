"""A search over widths, kernels and depths, from the file to the retrained network."""

import pytest
import torch

import nasdsl
from nasdsl import driver
from nasdsl.ir import discretize
from nasdsl.ir.genotype import Genotype
from nasdsl.source import Source

TEXT = """nas 1
from "data/images.nas" import digits
import "recipes/samplers.nas" as samplers
import "recipes/darts.nas" as base

space thin(data = digits) {
  let w = one_of {4, 6, 8}
  width = w
  input data.shape
  stem  conv(3, stride = 2) >> bn >> relu
  repeat int 1..2 { stage conv(one_of {1, 3}) >> bn >> relu }
  stage one_of {conv(3) >> bn, conv(one_of {1, 5}) >> bn, identity}
  head  global_avg_pool >> linear(data.classes)
}
recipe soft extends base.darts {
  epochs = 1
  batch  = 32
}
recipe hard extends samplers.gdas {
  epochs = 1
  batch  = 32
}
split few {
  search.train  = data[0..127]
  search.valid  = data[128..255]
  retrain.train = data[256..383]
}
train short {
  epochs  = 1
  batch   = 32
  weights = sgd(lr = 0.05, momentum = 0.9)
}
"""


@pytest.mark.parametrize("recipe", ["soft", "hard"])
def test_a_search_finds_widths_kernels_and_depths_and_retrains(recipe):
    loaded = driver.load(Source.of("thin.nas", TEXT))
    outcome = nasdsl.search(
        loaded, recipe=recipe, data="digits", split="few", train="short", space="thin"
    )
    found = outcome.genotype
    (width,) = found.of("w")
    (depth,) = found.of("body[1]")
    assert width in ("4", "6", "8")
    rounds = [d for d, _ in found.picks if d.startswith("body[1].round")]
    assert len(rounds) == int(depth)
    made = driver.space(loaded, "thin", {"data": "digits"}, genotype=found)
    assert made.target.stages[0].out.channels == int(width)
    assert 0 <= outcome.search["valid_discrete"]["accuracy"] <= 100
    assert 0 <= outcome.retrain["test"]["accuracy"] <= 100


def test_a_hard_search_decides_strides():
    """Extents that are decided run in one-path mode alone, at the end of the search too."""
    text = TEXT.replace("conv(3, stride = 2)", "conv(3, stride = one_of {1, 2})")
    outcome = nasdsl.search(
        driver.load(Source.of("thin.nas", text)),
        recipe="hard",
        data="digits",
        split="few",
        space="thin",
        retrain=False,
    )
    assert outcome.genotype.of("stem.stride")[0] in ("1", "2")
    assert outcome.search["discretization_gap"] == 0


def weights(space, **strong):
    """A mix that prefers some labels."""
    mix = {}

    def go(decisions):
        for decision in decisions:
            row = [1.0 if strong.get(decision.id) == n else 0.1 for n in decision.labels]
            mix.setdefault(decision.table or decision.id, {})[decision.id] = row
            for below in decision.nested:
                go(below)

    go(space.decisions)
    return mix


def test_conditional_decisions_are_picked_where_their_parent_is():
    space = driver.space(driver.load(Source.of("thin.nas", TEXT)), "thin", {"data": "digits"})
    strong = {"w": "6", "body[1]": "1", "body[1].round[1].kernel": "3", "body[2].kernel": "5"}
    option = space.decision("body[2]").labels
    for label, inner in ((option[1], [("body[2].kernel", "5")]), (option[2], [])):
        found = discretize.argmax(space, weights(space, **strong, **{"body[2]": label}))
        assert list(found.picks) == [
            ("w", "6"),
            ("body[1]", "1"),
            ("body[1].round[1].kernel", "3"),
            ("body[2]", label),
            *inner,
        ]
        assert isinstance(found, Genotype)


def test_every_decision_has_a_row_and_uniform_weighs_all():
    net = nasdsl.compile(Source.of("thin.nas", TEXT), "thin", data="digits")
    rows = {d: labels for t in net.tables.values() for d, labels in zip(t.decisions, t.labels)}  # noqa: B905
    assert rows["w"] == ("4", "6", "8")
    assert rows["body[1]"] == ("1", "2")
    assert {"body[1].round[2].kernel", "body[2]", "body[2].kernel"} <= set(rows)
    x = torch.zeros(2, *net.space.supernet.inp.dims)
    assert net(x, net.uniform()).shape == (2, 10)
