"""Public bug reports about operations, shapes, drop-path and degenerate cells."""

from fractions import Fraction

import pytest
import torch
from small_runs import TEXT, inputs, plan, search
from spaces_for_tests import bundled_space, images, space_of
from torch import nn
from torch.nn import functional as F

from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.emit import NotExecutable
from nasdsl.codegen.supernet import Supernet
from nasdsl.diagnostics.model import CompileError
from nasdsl.ir import cost
from nasdsl.ir.config import Schedule, value_at
from nasdsl.ir.formats import forms
from nasdsl.ops.conv import FactorizedReduce
from nasdsl.ops.plain import Zeros
from nasdsl.report.genotype import connected
from nasdsl.training.data.augment import cutout_at

V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)

STRIDED = """nas 1
from "darts.nas" import darts8
space s {
  cell c {
    in     a : relu >> conv(1) >> bn
    node   x
    stride = 2
    width  = 2 * width
    edge   a -> x : one_of darts8
    out    x
  }
  width = 4
  input image(3, %(h)d, %(w)d)
  stem  conv(3) >> bn
  repeat %(cells)d { stage c }
  head  global_avg_pool >> linear(10)
}
"""


def v2(**parameters):
    """The target network of DARTS_V2."""
    genotype = forms.parse(V2, bundled_space("darts.nas", "darts", C=4, layers=3))
    return bundled_space(
        "darts.nas", "darts", C=4, layers=1, genotype=genotype, **parameters
    ).target


@pytest.mark.parametrize("size", [33, 7, 1, 30, 31])
@pytest.mark.parametrize("side", ["both", "height", "width"])
def test_all_strided_operations_yield_half_rounded_up(size, side):
    """C47: 33 -> 17, 7 -> 4, 1 -> 1; 30 is odd at the second reduction."""
    h, w = {"both": (size, size), "height": (size, 8), "width": (8, size)}[side]
    space = space_of(STRIDED % {"h": h, "w": w, "cells": 2}, "s")
    outs = [stage.out.dims for _, stage, _ in space.supernet.cells()]
    half = (-(-h // 2), -(-w // 2))
    assert outs == [(8, *half), (16, -(-half[0] // 2), -(-half[1] // 2))]
    net = Supernet(space)
    seen = {}
    for name, module in net.graph.named_modules():
        if name.startswith("c_0.x_a.") and not list(module.children()):
            module.register_forward_hook(lambda m, i, o, n=name: seen.update({n: o.shape[2:]}))
    assert net(torch.randn(3, 3, h, w), net.uniform()).shape == (3, 10)
    last = {}
    for name, shape in seen.items():
        last[name.split(".")[2]] = tuple(shape)
    assert len(last) == 7  # all but `none`
    assert set(last.values()) == {half}


def test_the_padded_reduction_is_the_original_on_even_sizes():
    """C47: odd sizes see one row and column of zeros more, even ones nothing."""
    draw = torch.Generator().manual_seed(0)
    module = FactorizedReduce(4, 6, (0, 0), bias=False, affine=True).double().eval()
    x = torch.randn(2, 4, 8, 6, generator=draw, dtype=torch.float64)
    y = F.relu(x)
    a = F.conv2d(y, module.conv1.weight, stride=2)
    b = F.conv2d(y[:, :, 1:, 1:], module.conv2.weight, stride=2)
    torch.testing.assert_close(module(x), module.bn(torch.cat([a, b], dim=1)), rtol=0, atol=0)
    odd = FactorizedReduce(4, 6, (1, 1), bias=False, affine=True).double().eval()
    odd.load_state_dict(module.state_dict())
    x = torch.randn(2, 4, 7, 7, generator=draw, dtype=torch.float64)
    padded = F.pad(x, (0, 1, 0, 1))
    torch.testing.assert_close(odd(x), module(padded), rtol=0, atol=0)


@pytest.mark.parametrize("size", [8, 16, 28, 32, 64])
def test_the_auxiliary_head_fits_or_is_absent(size):
    """C51: a network without room for it says so; it never crashes on a kernel too large."""
    net = v2(target={"C": 4, "layers": 3}, data=images(3, size, 10))
    has = net.aux is not None
    assert has == (size >= 32)
    made = Discrete(net, aux=has).train()
    x = torch.randn(4, 3, size, size)
    logits, aux = made.train_step(x, made.drop_path_masks(4, 0.1, torch.Generator(), x))
    assert logits.shape == (4, 10)
    assert (aux is None) if not has else aux.shape == (4, 10)
    if not has:
        with pytest.raises(NotExecutable):
            Discrete(net, aux=True)


@pytest.mark.parametrize(
    ("layers", "reduce", "widths", "params"),
    [
        (1, {0}, [72], 21_862),
        (2, {0, 1}, [72, 144], 82_342),
        (3, {1, 2}, [36, 72, 144], 116_650),
        (4, {1, 2}, [36, 72, 144, 144], 487_162),
    ],
)
def test_fewer_layers_than_three_reduce_where_the_rule_says(layers, reduce, widths, params):
    """C52: DARTS_V2 with C = 36; a third and two thirds of the layers, rounded down."""
    net = v2(target={"C": 36, "layers": layers})
    cells = [cell for _, _, cell in net.cells()]
    assert {i for i, cell in enumerate(cells) if cell.name == "reduce"} == reduce
    assert [cell.width for cell in cells] == widths
    assert cost.of_network(net).params == params


@pytest.fixture(scope="module")
def small():
    return Discrete(v2(target={"C": 4, "layers": 3}, data=images(3, 8, 10)))


def test_everything_dropped_is_zeros_not_nan(small):
    """C53: probability 1, a half, and 0."""
    draw = torch.Generator().manual_seed(0)
    x = torch.ones(64, 3, 8, 8)
    masks = small.drop_path_masks(64, 1.0, draw, x)
    assert masks and all(m.shape == (64, 1, 1, 1) and not m.any() for m in masks.values())
    logits, _ = small.train().train_step(x, masks)
    assert logits.isfinite().all()
    halves = torch.stack(list(small.drop_path_masks(64, 0.5, draw, x).values()))
    assert set(halves.unique().tolist()) == {0.0, 2.0}
    assert (halves == 2).double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert all((m == 1).all() for m in small.drop_path_masks(64, 0.0, draw, x).values())


def test_masks_differ_between_images_and_between_operations(small):
    """C53: one draw per image and operation."""
    x = torch.ones(64, 3, 8, 8)
    masks = small.drop_path_masks(64, 0.5, torch.Generator().manual_seed(1), x)
    columns = {tuple(m.flatten().tolist()) for m in masks.values()}
    assert len(columns) == len(masks) == len(small.droppable)
    assert all(len(set(c)) == 2 for c in columns)


def test_a_network_runs_without_any_drop_path_setting(small):
    """C54: no attribute has to be set from outside; without masks nothing is dropped."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, 8, 8, generator=draw)
    small.eval()
    plain = small(x)
    kept, _ = small.train_step(x, small.drop_path_masks(4, 0.0, draw, x))
    assert torch.equal(plain, kept)
    assert torch.equal(plain, small(x))


def test_drop_path_rises_epoch_by_epoch():
    """C54: 0, 0.1 and 0.1997 at epochs 0, 300 and 599 of 600."""
    drop = Schedule("linear", Fraction(0), Fraction("0.2"), per_epoch=True)
    for epoch, wanted in {0: 0.0, 300: 0.1, 599: 0.19966667}.items():
        found = value_at(drop, step=epoch * 10 + 9, steps=6000, steps_per_epoch=10)
        assert found == pytest.approx(wanted, abs=1e-7)


def test_drop_path_spares_connections_and_changes_nothing_in_place(small):
    """C55: skips without parameters are never dropped; factorized reductions are operations."""
    genotype = forms.parse(V2, bundled_space("darts.nas", "darts", C=4, layers=3))
    edges = {k.replace("normal/", "").replace("[", "").replace("]", "").replace("<-", "_"): v
             for k, v in genotype.picks if k.startswith("normal/")}  # fmt: skip
    normal = {n.removeprefix("normal_0.") for n in small.droppable if n.startswith("normal_0.")}
    assert normal == {e for e, label in edges.items() if label != "skip_connect"}
    # prev2 and prev of a reduce cell are strided, x[1] is not.
    assert not any(n.endswith("_x1") for n in small.droppable if n.startswith("reduce"))
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, 8, 8, generator=draw, requires_grad=True)
    before = x.detach().clone()
    inside = []
    handles = [
        m.register_forward_pre_hook(lambda m, args: inside.append((args[0], args[0]._version)))
        for m in small.modules()
        if not list(m.children())
    ]
    try:
        with torch.autograd.set_detect_anomaly(True):
            logits, _ = small.train().train_step(x, small.drop_path_masks(4, 0.5, draw, x))
            logits.square().sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    assert torch.equal(x.detach(), before)
    assert all(t._version == version for t, version in inside)
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(4, 8, 8), (8, 4, 4)])
def test_none_gives_zeros_whatever_arrives(shape):
    """C56: inf times 0 would be NaN."""
    x = torch.full((2, 4, 8, 8), float("inf"))
    x[0, 0, 0, 0] = float("nan")
    y = Zeros(shape)(x)
    assert y.shape == (2, *shape)
    assert not y.any()
    assert not y.requires_grad


def test_a_diverged_branch_behind_none_does_not_reach_the_loss():
    """C56: an edge that picks `none` hands on zeros, not 0 times inf."""
    space = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, data=images(3, 8, 4))
    net = Supernet(space, mode="one_path").eval()
    stem = net.graph.get_submodule("stem.bn")
    stem.register_forward_hook(lambda m, i, o: torch.full_like(o, float("inf")))
    mix = {"c": torch.zeros(6, 5)}
    mix["c"][:, 0] = 1
    assert net(torch.zeros(2, 3, 8, 8), mix, {"c": [0] * 6}).isfinite().all()


def test_padding_is_not_part_of_an_average():
    """C57: the corner of a 3 x 3 average of ones is 1, not 4 / 9."""
    space = bundled_space("darts.nas", "darts", C=4, layers=3)
    pools = [m for m in Supernet(space).modules() if isinstance(m, nn.AvgPool2d)]
    assert pools
    for pool in pools:
        assert torch.equal(pool(torch.ones(1, 1, 3, 3)).unique(), torch.ones(1))


def test_the_supernet_of_the_paper_has_its_parameters():
    """C57: pools are normalised without parameters during search; C = 16, 8 layers."""
    space = bundled_space("darts.nas", "darts")
    assert cost.of_network(space.supernet).params == 1_930_618
    with torch.device("meta"):
        net = Supernet(space)
    assert sum(p.numel() for p in net.parameters()) == 1_930_618
    assert sum(t.shape[0] * t.shape[1] for t in net.tables.values()) == 224
    after = [n for n, _ in net.graph.named_modules() if n.endswith("avg_pool_3x3.bn")]
    assert len(after) == 8 * 14
    target = v2(target={"C": 4, "layers": 3})
    behind = [n for n, _ in Discrete(target).named_modules() if n.endswith("pool_3x3.bn")]
    assert behind == []


NOTHING = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"


def test_a_cell_of_skips_runs_and_one_of_nothing_is_known_as_such():
    """C58: 73,306 parameters both, but only one of them sees its input."""
    space = bundled_space("nasbench201.nas", "nasbench201")
    nets = [
        bundled_space("nasbench201.nas", "nasbench201", genotype=forms.parse(t, space)).target
        for t in (SKIPS, NOTHING)
    ]
    assert [cost.of_network(n).params for n in nets] == [73_306, 73_306]
    assert [connected(n) for n in nets] == [True, False]
    net = Discrete(nets[0])
    assert sum(p.numel() for p in net.parameters()) == 73_306
    assert net(torch.randn(2, 3, 8, 8)).shape == (2, 10)


def test_a_network_of_nothing_guesses():
    """C58: zeros of the right shape everywhere; with a classifier without bias the loss is ln 10."""
    data = images(3, 8, 10)
    space = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, data=data)
    genotype = forms.parse(NOTHING, space)
    target = bundled_space(
        "nasbench201.nas", "nasbench201", C=4, n=1, data=data, genotype=genotype
    ).target
    net = Discrete(target)
    nn.init.zeros_(next(m for m in net.modules() if isinstance(m, nn.Linear)).bias)
    logits = net(torch.randn(4, 3, 8, 8))
    assert logits.shape == (4, 10)
    loss = F.cross_entropy(logits, torch.arange(4))
    assert loss.item() == pytest.approx(2.302585, abs=1e-5)


def test_a_supernet_mix_of_nothing_gives_zeros_of_the_right_shape():
    """C58: not the number 0; with a classifier without bias the loss is ln 10."""
    space = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, data=images(3, 8, 10))
    for mode in ("dense", "one_path"):
        net = Supernet(space, mode=mode)
        last = next(m for m in net.modules() if isinstance(m, nn.Linear))
        nn.init.zeros_(last.bias)
        mix = {"c": torch.zeros(6, 5)}
        mix["c"][:, 0] = 1
        logits = net(torch.randn(4, 3, 8, 8), mix, {"c": [0] * 6} if mode == "one_path" else None)
        # The reduction blocks of NAS-Bench-201 see zeros; their batch-norms hand zeros on.
        assert logits.shape == (4, 10)
        loss = F.cross_entropy(logits, torch.arange(4))
        assert loss.item() == pytest.approx(2.302585, abs=1e-5)


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("in a\n    node x[2]\n    edge a -> x[1] : relu\n    out x[2]", "E210"),
        ("in a\n    node x\n    edge a -> x : one_of {none}\n    out x", None),
        ("in a\n    node x\n    edge a -> x : none\n    out x", None),
    ],
    ids=["no_edge", "only_none", "fixed_none"],
)
def test_a_node_without_inputs_is_refused(cell, code):
    """C58: by the language, long before a sum of nothing."""
    text = (
        f"nas 1\nspace s {{\n  cell c {{\n    {cell}\n  }}\n  width = 4\n  input image(4, 8, 8)\n"
        "  stage c\n  stage one_of {relu, tanh}\n  head global_avg_pool >> linear(4)\n}\n"
    )
    with pytest.raises(CompileError) as caught:
        space_of(text, "s")
    if code is not None:
        assert code in str(caught.value)


SMOOTH = "recipe smooth extends soft {\n  loss = cross_entropy(smoothing = 0.1)\n}\n"


def test_label_smoothing_is_a_mean_over_images_and_a_sum_over_classes():
    """C59: 0.507606 for one row, 0.803109 for two; a mean over all would be 0.267703."""
    text = TEXT + SMOOTH
    task = search(plan("smooth", text=text), inputs(classes=4))
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    y = torch.tensor([0, 2])
    assert task.session.loss(logits[:1], y[:1]).item() == pytest.approx(0.507606, abs=1e-6)
    assert task.session.loss(logits, y).item() == pytest.approx(0.803109, abs=1e-6)


def test_smoothing_of_a_recipe_reaches_the_loss():
    """C59: `loss = cross_entropy(smoothing = 0.1)` is what is trained."""
    logits, y = torch.tensor([[2.0, 1.0]]), torch.tensor([0])
    found = [
        search(plan(name, text=TEXT + SMOOTH)).session.loss(logits, y)
        for name in ("smooth", "soft")
    ]
    assert found[0] == F.cross_entropy(logits, y, label_smoothing=0.1)
    assert found[1] == F.cross_entropy(logits, y)


@pytest.mark.parametrize(
    ("length", "centre", "corner"),
    [(16, 256, 64), (15, 225, 64), (0, 0, 0), (1, 1, 1), (64, 1024, 1024), (99, 1024, 1024)],
)
def test_cutout_has_the_length_it_says(length, centre, corner):
    """C60: an odd length is kept, clipping at the border is meant, too long is no error."""
    x = torch.ones(2, 3, 32, 32)
    middle, zero = torch.full((2,), 16), torch.zeros(2, dtype=torch.long)
    for at, wanted in ((middle, centre), (zero, corner)):
        y = cutout_at(x, at, at, length)
        assert (y == 0).sum(dim=(2, 3)).unique().tolist() == [wanted]
    assert x.all()
