"""Edges that are picked: weights in supernets, one path, discrete networks, refusals."""

import random

import pytest
import torch
from interpreter import Interpreter
from spaces_for_tests import bundled_space, space_of
from torch.nn import functional as F

from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.emit import NotExecutable
from nasdsl.codegen.supernet import Supernet, check_executable
from nasdsl.diagnostics.model import CompileError
from nasdsl.ir import cost
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.sampling import sample
from nasdsl.ir.verify import verify

#: Choices on edges and nodes, edges to `out`, a fixed `none`; every way to join.
CELLS = {
    "sum": ("node x[3]", "out x[3]", "pick 1 per x[2]\n    pick 2 per x[3]"),
    "mean": ("node x[3] : mean", "out sum(x)", "pick any per x"),
    "mul": ("node x[3] : mul >> bn", "out x[3]", "pick 2 per x[3]"),
    "concat": (
        "node x[3] : concat >> conv(1)",
        "out concat(x)",
        "pick 1 per x[2]\n    pick 2 per x[3]",
    ),
    "ends": (
        "node x[3]\n    edge {a, x} -> out : conv(1)",
        "out concat(x) >> conv(1) + a",
        "pick any per {x, out}",
    ),
    "split": (
        "node x[3]\n    edge a -> out : conv(1)\n    edge x -> out",
        "out concat(x, split = true) + a",
        "pick any per {x, out}",
    ),
}


def text_of(name):
    node, out, rules = CELLS[name]
    return f"""nas 1
ops few {{
  none
  skip  = identity
  conv3 = relu >> conv(3) >> bn
}}
space s {{
  cell c {{
    in   a : conv(1)
    {node}
    edge {{a, x[<]}} -> x : one_of few
    edge a -> x[2] : none
    edge x[1] -> x[3] : conv(3) >> bn
    {rules}
    {out}
  }}
  width = 7
  input image(3, 6, 5)
  stem  conv(3) >> bn
  stage c
  stage c {{ width = 2 * width }}
  head  global_avg_pool >> linear(5)
}}
"""


def weights_of(net, seed):
    draw = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(table.shape, generator=draw, dtype=torch.float64).requires_grad_(True)
        for name, table in net.tables.items()
    }


def batch(net, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(4, *net.space.supernet.inp.dims, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("name", CELLS)
def test_every_arrival_is_multiplied_by_its_weight(name):
    """Against the interpreter of the IR: outputs and gradients of weights and mix."""
    space = space_of(text_of(name), "s")
    assert not verify(space)
    net = Supernet(space, seed=3).double().train()
    mix = weights_of(net, 5)
    rows = {d: i for t in net.tables.values() for i, d in enumerate(t.decisions)}
    state = {k: v.detach().clone() for k, v in net.graph.state_dict().items()}
    weights = dict(net.graph.named_parameters())
    for key in weights:
        state[key].requires_grad_(True)
    mixes = {s.instance: mix[s.table] for s in net.slots}
    x, y = batch(net), torch.arange(4) % 5
    found, wanted = net(x, mix), Interpreter(space.supernet, state, mixes, rows).run(x)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    ours = torch.autograd.grad(F.cross_entropy(found, y), [*weights.values(), *mix.values()])
    theirs = torch.autograd.grad(
        F.cross_entropy(wanted, y), [*(state[k] for k in weights), *mix.values()]
    )
    for key, a, b in zip([*weights, *mix], ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("name", CELLS)
def test_one_path_mode_reads_edges_from_the_mix(name):
    """Rows of zeros and ones for edges, one-hot rows for operations: both modes agree."""
    space = space_of(text_of(name), "s")
    dense = Supernet(space, seed=1).double().train()
    draw = random.Random(2)
    mix, pick = {}, {}
    for key, table in dense.tables.items():
        rows = torch.zeros(table.shape, dtype=torch.float64)
        pick[key] = [draw.randrange(w) for w in table.widths]
        for i, decision in enumerate(table.decisions):
            if decision.endswith("<-*"):
                rows[i, : table.widths[i]] = torch.tensor(
                    [1.0, *(float(draw.random() < 0.5) for _ in table.labels[i][1:])]
                )
            else:
                rows[i, pick[key][i]] = 1
        mix[key] = rows
    x = batch(dense)
    single = dense.in_mode("one_path").train()
    torch.testing.assert_close(dense(x, mix), single(x, mix, pick), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["sum", "concat"])
def test_a_discrete_network_is_the_supernet_with_a_mix_of_zeros_and_ones(name):
    """Copied weights, where the supernet has the shapes of the network: sums and full concats."""
    text = text_of(name).replace("-> x[2] : none", "-> x[2]")
    space = space_of(text, "s")
    draw = random.Random(0)
    net = Supernet(space).double().eval()
    for _ in range(8):
        found = sample(space, draw)
        if name == "concat":  # a concatenation of fewer parts has fewer channels
            full = {d.id: d.labels for d in space.decisions if d.kind == "subset"}
            found = Genotype(
                space="s",
                picks=(
                    *(p for p in found.picks if not p[0].endswith("<-*")),
                    *((k, s) for k, labels in full.items() for s in labels),
                ),
            )
        resolved = space_of(text, "s", genotype=found)
        assert not verify(resolved)
        other = Discrete(resolved.target).double().eval()
        state = net.graph.state_dict()
        own = other.plain.state_dict()
        # An operation that is resolved stands directly on its edge.
        labels = {d.replace("[", "").replace("]", ""): lab for d, lab in found.picks}
        copied = {}
        for key in own:
            stage, place, *rest = key.split(".")
            target, _, source = place.partition("_")
            label = labels.get(f"c/{target}<-{source}")
            longer = ".".join([stage, place, label or "", *rest])
            copied[key] = state[longer] if longer in state else state.get(key)
            if copied[key] is None:  # the supernet's batch-norm has no affine parameters
                assert key.endswith(("bn.weight", "bn.bias"))
                copied[key] = own[key]
        other.plain.load_state_dict(copied)
        mix = {}
        for key, table in net.tables.items():
            rows = torch.zeros(table.shape, dtype=torch.float64)
            for i, (decision, options) in enumerate(
                zip(table.decisions, table.labels, strict=True)
            ):
                for label in found.of(decision):
                    rows[i, options.index(label)] = 1
            mix[key] = rows
        x = batch(net)
        torch.testing.assert_close(net(x, mix), other(x), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", CELLS)
def test_random_architectures_build_and_cost_what_the_model_says(name):
    # What feeds only a `none` is not built, so there is none here.
    text = text_of(name).replace("  none\n", "  pool  = max_pool(3)\n")
    space = space_of(text, "s")
    draw = random.Random(1)
    built = 0
    for _ in range(12):
        found = sample(space, draw)
        try:
            resolved = space_of(text, "s", genotype=found)
        except CompileError as error:
            assert "E224" in {d.code for d in error.diagnostics}  # nothing reaches the output
            continue
        built += 1
        assert not verify(resolved)
        net = Discrete(resolved.target)
        assert sum(p.numel() for p in net.parameters()) == cost.of_network(resolved.target).params
        net(torch.randn(2, 3, 6, 5)).sum().backward()
    assert built >= 4


def test_a_one_hot_sampler_takes_one_edge_per_node_and_no_more():
    check_executable(space_of(text_of("sum").replace("pick 2", "pick 1"), "s"), one_hot=True)
    for name in ("s1", "s3"):
        space = bundled_space("nasbench101.nas", f"nb1shot1_{name}")
        check_executable(space)
        with pytest.raises(NotExecutable, match=r"`pick \d` at .* takes several edges"):
            check_executable(space, one_hot=True)
    with pytest.raises(NotExecutable, match="`pick any` at"):
        check_executable(bundled_space("nasbench101.nas", "nasbench101"), one_hot=True)


def test_an_unresolved_pick_is_no_network():
    with pytest.raises(NotExecutable, match="resolved"):
        Discrete(bundled_space("nasbench101.nas", "nb1shot1_s1").target)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("pick 2 per x[3]", "pick 4 per x[3]"), "E223"),
        (("pick 2 per x[3]", "pick any per out"), "E223"),
        (("pick 2 per x[3]", "pick 1 per a"), "E223"),
        (("out x[3]", "out concat(x, split = true)"), "E208"),
        (("out x[3]", "out concat(x, split = 3)"), "E218"),
    ],
)
def test_picks_and_splits_that_cannot_be_are_refused(change, code):
    text = text_of("sum").replace(*change).replace("width = 7", "width = 2")
    with pytest.raises(CompileError) as caught:
        space_of(text, "s")
    assert code in {d.code for d in caught.value.diagnostics}
