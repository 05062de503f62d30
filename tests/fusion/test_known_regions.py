"""Cells of one shape are one region, and what is known is not made again."""

import copy
import gc

import pytest
import torch
from generated_pairs import assert_same, batch, mixes, needs_compiler
from small_networks import small
from spaces_for_tests import bundled_space, images

from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.collector import resting
from nasdsl.fusion.generated import generate as generating
from nasdsl.fusion.generated.generated import Generated
from nasdsl.passes.prune import every, prune

pytestmark = needs_compiler


def regions(net):
    """The region that each call runs, by the name of the call."""
    graph = net.planned().module.graph
    return {n.name: n.target for n in graph.nodes if isinstance(n.target, Generated)}


def darts(layers, **more):
    space = bundled_space("darts.nas", "darts", C=4, layers=layers, data=images(), **more)
    return Supernet(space, profile="balanced")


def test_equal_cells_share_a_region():
    # three normal, reduce, two normal, reduce, three normal
    found = list(regions(darts(10)).values())
    assert len(found) == 10
    # Behind a reduction comes a cell whose first input is larger; the rest of a width are equal.
    assert found[7] is not found[6]
    assert found[8] is found[9]
    assert found[3] is not found[2]
    # It has the name of the first of them.
    assert found[9].region.name == "normal_8"


def test_a_shared_region_is_exact():
    plain = darts(8).under("reference").double()
    made = copy.deepcopy(plain).under("balanced")
    assert_same(plain, made, steps=2)


def test_planning_again_makes_no_region(monkeypatch):
    net = darts(3)
    before = regions(net)
    monkeypatch.setattr(generating, "region_of", None)
    net.replan()
    assert regions(net) == before
    assert regions(net.under("balanced")) == before


def test_other_cells_are_other_regions():
    """Pruned in one cell, the other keeps its regions' digest; the pruned one does not."""
    space = small("darts")
    net = Supernet(space, profile="balanced")
    keep = {
        d.id: d.labels[:4] for d in every(space.decisions) if d.kind == "op" and d.table == "normal"
    }
    shrunk = Supernet(prune(space, keep), profile="balanced")
    shrunk._known = net._known
    before = regions(net)
    after = regions(shrunk)
    assert len(before) == len(after)
    shared = [name for name in before if after[name] is before[name]]
    assert shared and all(name.startswith("reduce") for name in shared)


def test_a_copy_knows_the_same_and_has_weights_of_its_own():
    net = darts(3)
    x, mix = batch(net, dtype=torch.float32), mixes(net, dtype=torch.float32)
    wanted = net(x, mix)
    other = copy.deepcopy(net)
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    assert torch.equal(other.eval().train()(x, mix), wanted)


def test_the_code_of_the_reference_is_written_when_it_is_read():
    net = darts(3)
    net.planned()
    assert not hasattr(net.graph, "_code")
    assert "normal_0" in net.graph.code
    plain = Supernet(net.space)
    x, mix = batch(plain, dtype=torch.float32), mixes(plain, dtype=torch.float32)
    seen = []
    plain.graph.register_forward_hook(lambda *_: seen.append(1))
    plain(x, mix)
    plain(x, mix)
    assert len(seen) == 2


def test_the_collector_rests_and_comes_back():
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), resting():
        assert not gc.isenabled()
        1 / 0  # noqa: B018
    assert gc.isenabled()
    gc.disable()
    try:
        with resting():
            pass
        assert not gc.isenabled()  # whoever turned it off turns it on
    finally:
        gc.enable()
