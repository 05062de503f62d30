"""Faults of emission and genotypes found by random cells, each with its smallest example."""

import json

import pytest
import torch
from small_runs import TEXT, plan, run, search
from spaces_for_tests import bundled_space, images, space_of
from test_discrete_networks import resolved

from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.supernet import Supernet
from nasdsl.ir import cost
from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import Genotype


def space_with(cell, before=""):
    return (
        f"nas 1\n{before}space s {{\n  cell c {{\n    {cell}\n  }}\n  width = 4\n"
        "  input image(4, 8, 8)\n  stage c\n  head global_avg_pool >> linear(5)\n}\n"
    )


def test_a_network_with_unused_nodes_is_built():
    """C58."""
    text = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|none~2|"
    data = images(3, 8, 10)
    space = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, data=data)
    g = forms.parse(text, space)
    net = Discrete(
        bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, data=data, genotype=g).target
    )
    assert net(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


def test_a_hard_search_with_an_unused_node_ends():
    """C80: dies in result(), after the whole search."""
    task = search(plan("hard", text=TEXT.replace("nodes  = 1", "nodes  = 2")))
    run(task)
    task.result()


def test_a_choice_without_modules_changes_mode():
    """A choice whose options have no weights exists in one mode only."""
    net = Supernet(
        space_of(
            space_with("in a\n    node x\n    edge a -> x : one_of {none, identity}\n    out x"),
            "s",
        )
    )
    net.in_mode("one_path")


def test_a_picked_concatenation_concatenates():
    """The parts were summed, silently."""
    text = space_with(
        "in a\n    node x\n    edge a -> x : one_of {wide, conv(3)}\n    out x",
        "op wide = concat(conv(1, out = width / 2), conv(3, out = width / 2))\n",
    )
    net = Discrete(resolved(text, Genotype(space="s", picks=(("c/x<-a", "wide"),))))
    assert net(torch.zeros(2, 4, 8, 8)).shape == (2, 5)


def test_places_with_like_names_do_not_share_weights():
    """They shared weights: `x[1]` and `x1` are both called `x1`."""
    cell = (
        "in a\n    node x[2]\n    node x1\n    edge a -> x : conv(3)\n    edge a -> x1 : conv(3)\n"
        "    out x[1] + x[2] + x1"
    )
    space = space_of(space_with(cell), "s")
    assert (
        sum(p.numel() for p in Supernet(space).parameters())
        == cost.of_network(space.supernet).params
    )


def test_edges_with_like_names_do_not_share_weights():
    """They shared weights: `n_a <- b` and `n <- a_b` are both called `n_a_b`."""
    cell = (
        "in b\n    node a_b\n    node n_a\n    node n\n    edge b -> a_b : conv(3)\n"
        "    edge b -> n_a : conv(3)\n    edge {a_b, n_a} -> n : conv(3)\n    out n"
    )
    space = space_of(space_with(cell), "s")
    assert (
        sum(p.numel() for p in Supernet(space).parameters())
        == cost.of_network(space.supernet).params
    )


@pytest.mark.parametrize("name", ["half", "double", "type", "apply"])
def test_options_may_be_called_like_methods_of_modules(name):
    """Options may be called like methods of a module."""
    text = space_with(
        "in a\n    node x\n    edge a -> x : one_of few\n    out x",
        f"ops few {{\n  {name} = conv(1)\n  plain = conv(3)\n}}\n",
    )
    Supernet(space_of(text, "s"))


def test_nested_decisions_run_in_one_path_mode():
    """It was a ValueError `decision … is not resolved`, a traceback in `run`; then refused."""
    space = bundled_space("small.nas", "hierarchical", C=4, data=images(3, 8, 10))
    dense = Supernet(space).double()
    path = dense.in_mode("one_path")
    assert set(path.state_dict()) == set(dense.state_dict())
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        mix, pick = {}, {}
        for name, table in dense.tables.items():
            picks = [int(torch.randint(w, (), generator=generator)) for w in table.widths]
            mix[name] = torch.zeros(table.shape, dtype=torch.float64)
            mix[name][range(len(picks)), picks] = 1
            pick[name] = picks
        dense.eval()
        path.eval()
        assert torch.allclose(dense(x, mix), path(x, mix, pick), rtol=0, atol=1e-12)


def test_the_order_of_picks_is_no_part_of_a_nasbench201_genotype():
    """C10."""
    space = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, data=images(3, 8, 10))
    a = forms.parse("[3, 0, 4, 0, 0, 3]", space)
    data = json.loads(a.dumps())
    data["picks"].reverse()
    assert forms.parse(json.dumps(data), space) == a


def test_the_table_of_a_slot_is_a_table():
    """A slot names the table of its decisions, outside cells too."""
    text = "nas 1\nspace s {\n  width = 4\n  input image(4, 8, 8)\n  stage one_of {relu, tanh}\n  head global_avg_pool >> linear(5)\n}\n"
    net = Supernet(space_of(text, "s"))
    assert {s.table for s in net.slots} <= set(net.tables)
