"""Every primitive of the op table computes what its shape and cost rules say."""

import pytest
import torch
from spaces_for_tests import bundled_space, images
from torch.utils.flop_counter import FlopCounterMode

from nasdsl.codegen.discrete import Discrete
from nasdsl.ir import cost
from nasdsl.ir.formats import forms
from nasdsl.ir.op import Prim
from nasdsl.ir.optable import OPS
from nasdsl.ir.optable import cost as cost_of
from nasdsl.ir.shape import Shape
from nasdsl.ops.table import MODULES, module

IMAGE = Shape("image", (4, 9, 7))
SERIES = Shape("series", (4, 9))
VOLUME = Shape("volume", (4, 5, 6, 7))
SEQUENCE = Shape("sequence", (8, 6))
FEATURES = Shape("features", (6,))
SPATIAL = (IMAGE, SERIES, VOLUME)
EVERY = (*SPATIAL, SEQUENCE, FEATURES)

SLIDE = {"dilation": 1, "pad": "same", "groups": 1, "bias": False, "stride": 1}
DEPTH = {"dilation": 1, "pad": "same", "bias": False, "stride": 1}
POOL = {"pad": "same", "stride": 1}
NORM = {"affine": True, "momentum": 0.1, "eps": 1e-5}


def variants(base, *changes):
    return [{**base, **change} for change in changes]


#: Kind -> (parameters, shapes that may arrive).
CASES = {
    "identity": ([{}], EVERY),
    "none": (variants({"out": 6}, {"stride": 1}, {"stride": 2}), SPATIAL),
    "noise": (variants({"out": 6, "std": 0.5}, {"stride": 1}, {"stride": 2}), SPATIAL),
    "relu": ([{}], EVERY),
    "gelu": ([{}], EVERY),
    "silu": ([{}], EVERY),
    "hswish": ([{}], EVERY),
    "leaky_relu": ([{"slope": 0.2}], EVERY),
    "tanh": ([{}], EVERY),
    "dropout": ([{"p": 0.3}], EVERY),
    "conv": (
        variants(
            {**SLIDE, "out": 6},
            {"kernel": 1},
            {"kernel": 3, "stride": 2},
            {"kernel": 3, "bias": True},
            {"kernel": 5, "dilation": 2},
            {"kernel": 3, "groups": 2},
            {"kernel": 2, "pad": 0},
            {"kernel": 3, "pad": 2, "stride": 3},
        ),
        SPATIAL,
    ),
    "dwconv": (
        variants(
            DEPTH,
            {"kernel": 3},
            {"kernel": 5, "stride": 2},
            {"kernel": 3, "dilation": 2, "bias": True},
            {"kernel": 2, "pad": 1},
        ),
        SPATIAL,
    ),
    "deconv": (
        variants(
            {"out": 6, "bias": False},
            {"kernel": 3, "stride": 1},
            {"kernel": 3, "stride": 2, "bias": True},
            {"kernel": 2, "stride": 2},
            {"kernel": 4, "stride": 2},
            {"kernel": 5, "stride": 3},
        ),
        SPATIAL,
    ),
    "linear": (variants({"out": 5}, {"bias": True}, {"bias": False}), (SEQUENCE, FEATURES)),
    "bn": (variants(NORM, {}, {"affine": False}, {"momentum": 0.01, "eps": 1e-3}), EVERY),
    "layer_norm": (
        variants({"eps": 1e-5}, {"affine": True}, {"affine": False}),
        EVERY,
    ),
    "max_pool": (
        variants(POOL, {"kernel": 3}, {"kernel": 3, "stride": 2}, {"kernel": 2, "stride": 2}),
        SPATIAL,
    ),
    "avg_pool": (
        variants(
            {**POOL, "include_pad": False},
            {"kernel": 3},
            {"kernel": 3, "stride": 2},
            {"kernel": 3, "include_pad": True},
            {"kernel": 5, "stride": 3, "pad": 0},
        ),
        SPATIAL,
    ),
    "global_avg_pool": ([{}], SPATIAL),
    "flatten": ([{}], (*SPATIAL, SEQUENCE)),
    "factorized_reduce": (
        variants({"out": 6}, {"bias": False, "affine": True}, {"bias": True, "affine": False}),
        (IMAGE, Shape("image", (3, 8, 8)), Shape("image", (3, 1, 2))),
    ),
    "squeeze_excite": (
        variants({"divisor": 1}, {"ratio": 2}, {"ratio": 4}, {"ratio": 2, "divisor": 8}),
        (*SPATIAL,),
    ),
    "patch_embed": ([{"patch": 2, "out": 5}], (Shape("image", (3, 6, 4)),)),
    "class_token": ([{}], (SEQUENCE,)),
    "position": ([{}], (SEQUENCE,)),
    "attention": (
        variants(
            {"causal": False, "window": 0},
            {"heads": 2, "head_dim": 4},
            {"heads": 4, "head_dim": 3, "causal": True},
            {"heads": 2, "head_dim": 4, "window": 3},
            {"heads": 2, "head_dim": 4, "window": 3, "causal": True},
        ),
        (SEQUENCE,),
    ),
    "token": (variants({}, {"index": 0}, {"index": -1}), (SEQUENCE,)),
    "embed": ([{"vocabulary": 11, "out": 5}], (Shape("tokens", (6,)),)),
    "narrow": ([{"out": 2}, {"out": 3}], EVERY),
    "channels_from": (variants({"first": 1}, {"stride": 1}, {"stride": 2}), SPATIAL),
    "channel_shuffle": ([{"groups": 2}, {"groups": 3}], SPATIAL),
    "scaled": ([{"by": 0.5}], EVERY),
    "dropped": ([{"p": 0.3}], EVERY),
    "fold": ([{"n": 3}], (Shape("pieces", (3, 4, 5, 5)),)),
    "unfold": ([{"n": 3}], (FEATURES,)),
}
FLAT = [
    (kind, attrs, shape)
    for kind, (all_, shapes) in CASES.items()
    for attrs in all_
    for shape in shapes
]


def prim(kind, attrs, inp):
    """A primitive with its parameters resolved, as lowering does it."""
    spec = OPS[kind]
    decided = dict(attrs)
    out = spec.shape(decided, inp)
    assert set(decided) == {p.name for p in spec.params}
    return Prim(
        kind=kind, attrs=tuple((p.name, decided[p.name]) for p in spec.params), inp=inp, out=out
    )


def arriving(shape, n=6):
    draw = torch.Generator().manual_seed(0)
    if shape.kind == "tokens":
        return torch.randint(11, (n, *shape.dims), generator=draw)
    return torch.randn(n, *shape.dims, generator=draw)


def test_the_tables_of_rules_and_of_modules_have_the_same_primitives():
    assert set(OPS) == set(MODULES) == set(CASES)
    assert all(spec.kind == kind for kind, spec in OPS.items())


@pytest.mark.parametrize(
    ("kind", "attrs", "shape"), FLAT, ids=[f"{k}-{i}-{s.kind}" for i, (k, _, s) in enumerate(FLAT)]
)
def test_a_module_has_the_shape_and_the_parameters_of_its_rules(kind, attrs, shape):
    op = prim(kind, attrs, shape)
    made = module(op)
    x = arriving(shape)
    y = made(x)
    if kind == "fold":
        assert y.shape == (6 * shape.dims[0], *op.out.dims)
    elif kind == "unfold":
        assert y.shape == (2, *op.out.dims)
    else:
        assert y.shape == (6, *op.out.dims)
    assert sum(p.numel() for p in made.parameters()) == cost_of(op).params
    assert y.dtype == torch.float32
    assert made.eval()(x).shape == y.shape


@pytest.mark.parametrize(
    ("kind", "attrs", "shape"),
    [f for f in FLAT if f[0] in ("conv", "dwconv", "deconv", "linear", "factorized_reduce")
     or f[0] in ("squeeze_excite", "patch_embed")],
)  # fmt: skip
def test_multiply_adds_are_those_torch_counts(kind, attrs, shape):
    """Half of its FLOPs; bias additions are not among them."""
    op = prim(kind, attrs, shape)
    with torch.device("meta"):
        made = module(op).eval()
        x = torch.empty(1, *shape.dims)
    counter = FlopCounterMode(display=False)
    with counter:
        made(x)
    assert counter.get_total_flops() == 2 * cost_of(op).macs


@pytest.mark.parametrize("kind", ["bn", "layer_norm"])
def test_normalisation_normalises_over_the_right_axes(kind):
    """Batch-norm per channel, layer-norm per position."""
    for shape in EVERY:
        x = arriving(shape, 16).double() * 3 + 2
        attrs = NORM if kind == "bn" else {"affine": True, "eps": 1e-5}
        y = module(prim(kind, attrs, shape)).double()(x)
        axes = [0, *range(2, x.dim())] if kind == "bn" else [1]
        torch.testing.assert_close(y.mean(axes), torch.zeros_like(y.mean(axes)), atol=1e-9, rtol=0)
        wide = y.var(axes, unbiased=False)
        torch.testing.assert_close(wide, torch.ones_like(wide), atol=1e-2, rtol=0)


def test_attention_sees_what_its_window_and_order_allow():
    """A change at one position reaches exactly the positions that may look at it."""
    for causal in (False, True):
        for window in (0, 1, 3):
            attrs = {"heads": 2, "head_dim": 4, "causal": causal, "window": window}
            made = module(prim("attention", attrs, SEQUENCE)).double()
            x = arriving(SEQUENCE, 1).double()
            base = made(x)
            for j in range(6):
                moved = x.clone()
                moved[:, :, j] += 1
                changed = ((made(moved) - base).abs().amax(1)[0] > 1e-12).tolist()
                seen = [
                    (not causal or i >= j) and (window == 0 or abs(i - j) < window)
                    for i in range(6)
                ]
                assert changed == seen


V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"


@pytest.mark.parametrize(
    ("file", "name", "text", "size", "classes"),
    [
        ("darts.nas", "darts", V2, 32, 10),
        ("darts.nas", "darts", V2, 28, 100),
        ("nasbench201.nas", "nasbench201", CELL, 32, 10),
        ("nasbench201.nas", "nasbench201", CELL, 16, 120),
    ],
)
def test_multiply_adds_of_networks_are_those_torch_counts(file, name, text, size, classes):
    """Whole target networks, on the meta device."""
    data = images(3, size, classes)
    small = {"C": 4, "layers": 3} if name == "darts" else {}
    genotype = forms.parse(text, bundled_space(file, name, data=data, **small))
    net = bundled_space(file, name, data=data, genotype=genotype, **small).target
    with torch.device("meta"):
        made = Discrete(net)
        x = torch.empty(1, 3, size, size)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        made.eval()(x)
    assert counter.get_total_flops() == 2 * cost.of_network(net).macs
    assert sum(p.numel() for p in made.parameters()) == cost.of_network(net).params
