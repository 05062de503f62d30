"""Spaces beyond DARTS and NAS-Bench-201 have the numbers of their papers, tables and records."""

import itertools
import random

import pytest
from spaces_for_tests import bundled_space, images, space_of

from nasdsl.benchmarks import macro_table
from nasdsl.ir import cost
from nasdsl.ir.genotype import Genotype


def resolved(file, name, picks, **parameters):
    """Cost of the target network of an architecture given as pairs of decision and label."""
    genotype = Genotype(space=name, picks=tuple(picks))
    return cost.of_network(bundled_space(file, name, genotype=genotype, **parameters).target)


# ---- NAS-Bench-Macro


def macro_picks(space, key):
    return [(d.id, d.labels[int(digit)]) for d, digit in zip(space.decisions, key, strict=True)]


def test_every_row_of_the_macro_table_has_its_parameters_and_flops():
    """All 6 561 rows; an architecture costs what is fixed and the options it takes."""
    space = bundled_space("mobile.nas", "nasbench_macro")
    fixed = cost.fixed(space.target)
    layers = [
        [cost.of_op(option) for option in choice.options]
        for _, choice in cost.choices(space.target)
    ]
    assert len(layers) == 8
    rows = macro_table.rows()
    keys = ["".join(digits) for digits in itertools.product("012", repeat=8)]
    assert sorted(rows) == keys
    assert space.size() == len(keys) == 6_561
    for key in keys:
        total = sum((layers[i][int(digit)] for i, digit in enumerate(key)), fixed)
        # Convolutions and the classifier's weights: neither bias nor batch-norm count.
        assert (total.params, total.macs) == (rows[key].params, rows[key].flops)


def test_networks_built_for_a_row_of_the_macro_table_cost_the_same():
    space = bundled_space("mobile.nas", "nasbench_macro")
    rows = macro_table.rows()
    for key in ["00000000", "11111111", "22222222", *random.Random(0).sample(sorted(rows), 40)]:
        found = resolved("mobile.nas", "nasbench_macro", macro_picks(space, key))
        assert (found.params, found.macs) == (rows[key].params, rows[key].flops)


# ---- NAS-Bench-101


def nasbench101_picks(edges, operation):
    """A cell with one operation everywhere; `edges` are the sources of each target."""
    picks = [(f"c/x[{i}]", operation) for i in range(1, 6)]
    return picks + [(f"c/{target}<-*", s) for target, found in edges.items() for s in found]


def test_the_largest_and_the_smallest_model_of_nas_bench_101():
    """A chain of 3x3 convolutions that three more edges feed; max-pools on a quarter of the width.

    49 979 274 is the largest number of trainable parameters in the published data.
    """
    chain = {f"x[{i}]": [f"x[{i - 1}]"] for i in range(2, 6)} | {"out": ["x[5]"]}
    large = {"x[1]": ["a"]} | chain
    for target in ("x[2]", "x[3]", "x[4]"):
        large[target] = ["a", *large[target]]
    picks = nasbench101_picks(large, "conv3x3_bn_relu")
    assert resolved("nasbench101.nas", "nasbench101", picks).params == 49_979_274
    ends = [f"x[{i}]" for i in range(2, 6)]
    small = {"x[1]": ["a"], **{x: ["x[1]"] for x in ends}, "out": ends}
    picks = nasbench101_picks(small, "maxpool3x3")
    assert resolved("nasbench101.nas", "nasbench101", picks).params == 227_274
    for edges in (large, small):
        assert sum(map(len, edges.values())) == 9


# ---- NATS-Bench, size space

#: Parameters in the benchmark's records on CIFAR-10, in millions with six decimals there.
NATS_SIZE = {"8:8:8:8:8": 11_714, "8:8:16:40:40": 107_826, "64:64:64:64:64": 713_674}


@pytest.mark.parametrize("key", NATS_SIZE)
def test_sizes_of_nats_bench_have_the_recorded_parameters(key):
    picks = [(f"c{i}", width) for i, width in enumerate(key.split(":"), 1)]
    found = resolved("nasbench201.nas", "nats_size", picks, data=images(3, 32, 10))
    assert found.params == NATS_SIZE[key]


def nats_size_by_hand(widths, classes):
    """Parameters of the network the benchmark describes, one term per layer."""

    def block(a, b, k=3):  # relu, convolution, batch-norm
        return k * k * a * b + 2 * b

    def cell(a, b):
        skip = 0 if a == b else block(a, b, 1)
        return 2 * block(a, b) + 3 * block(b, b) + skip

    def reduction(a, b):
        return block(a, b) + block(b, b) + a * b

    a, b, c, d, e = widths
    stem = 27 * a + 2 * a
    body = cell(a, a) + reduction(a, b) + cell(b, c) + reduction(c, d) + cell(d, e)
    return stem + body + 2 * e + e * classes + classes


def test_random_sizes_of_nats_bench_have_the_parameters_of_its_formula():
    draw = random.Random(0)
    assert bundled_space("nasbench201.nas", "nats_size").size() == 32_768
    for _ in range(30):
        widths = [draw.choice(range(8, 65, 8)) for _ in range(5)]
        picks = [(f"c{i}", str(width)) for i, width in enumerate(widths, 1)]
        found = resolved("nasbench201.nas", "nats_size", picks, data=images(3, 32, 100))
        assert found.params == nats_size_by_hand(widths, 100)


# ---- TransNAS-Bench-101

#: Parameters of the backbone, which yields 512 x 8 x 8; a digit of the key is an operation.
TRANSNAS = {
    "3_33_333": 41_411_616,
    "1_11_111": 540_960,
    "0_00_000": 19_488,
    "2_22_222": 4_645_920,
    "1_02_333": 22_520_608,
}


@pytest.mark.parametrize("key", TRANSNAS)
def test_cells_of_transnas_bench_have_the_parameters_of_its_backbone(key):
    space = bundled_space("transbench101.nas", "tnb101_micro")
    digits = key.replace("_", "")
    picks = [(d.id, d.labels[int(digit)]) for d, digit in zip(space.decisions, digits, strict=True)]
    found = resolved("transbench101.nas", "tnb101_micro", picks, data=images(3, 256, 75))
    assert found.params == TRANSNAS[key] + 512 * 75 + 75
    assert space.size() == 4_096
    assert str(space.target.stages[-2].out) == "512x8x8"


# ---- mobile networks

#: The layers of MobileNetV3-Large (Howard et al., arXiv 1905.02244, table 1), written with the
#: blocks of `mobile.nas`.
MOBILENET_V3_LARGE = """
nas 1
from "data/images.nas" import imagenet
from "mobile.nas" import shortcut

op wide(k, h, act) = conv(1, out = h) >> bn >> act >> dwconv(k, stride = stride) >> bn >> act
op gated(k, h, act) = shortcut(wide(k, h, act) >> squeeze_excite(4, divisor = 8) >> conv(1) >> bn)
op plain(k, h, act) = shortcut(wide(k, h, act) >> conv(1) >> bn)

space large(data = imagenet) {
  width = 16
  input data.shape
  stem  conv(3, stride = 2) >> bn >> hswish
  stage shortcut(dwconv(3) >> bn >> relu >> conv(1) >> bn)
  stage plain(3, 64, relu) { stride = 2 width = 24 }
  stage plain(3, 72, relu)
  stage gated(5, 72, relu) { stride = 2 width = 40 }
  repeat 2 { stage gated(5, 120, relu) }
  stage plain(3, 240, hswish) { stride = 2 width = 80 }
  stage plain(3, 200, hswish)
  repeat 2 { stage plain(3, 184, hswish) }
  stage gated(3, 480, hswish) { width = 112 }
  stage gated(3, 672, hswish)
  stage gated(5, 672, hswish) { stride = 2 width = 160 }
  repeat 2 { stage gated(5, 960, hswish) }
  head conv(1, out = 960) >> bn >> hswish >> global_avg_pool
    >> linear(1280) >> hswish >> linear(data.classes)
}
"""


def test_blocks_of_the_mobile_space_make_mobilenet_v3_large():
    """The parameter count torchvision documents; the paper rounds the multiply-adds to 219 M."""
    found = cost.of_network(space_of(MOBILENET_V3_LARGE, "large").target)
    assert found.params == 5_483_032
    assert abs(found.macs - 219e6) < 3e6


def bottleneck(channels):
    """Channels of a gate: a quarter, as a multiple of eight not more than 10 % below."""
    found = max(8, (channels // 4 + 4) // 8 * 8)
    return found + 8 if found < 0.9 * (channels // 4) else found


def once_for_all_by_hand(blocks, depths, widths):
    """Parameters of a sub-network: `blocks[unit]` are (kernel, expansion), the first `depths`."""
    first, *units, last = widths
    total = 27 * first + 2 * first + 9 * first + 2 * first + first * first + 2 * first
    arriving = first
    for unit, gated, depth, width in zip(
        blocks, (False, True, False, True, True), depths, units, strict=True
    ):
        for kernel, expansion in unit[:depth]:
            hidden = expansion * arriving
            total += arriving * hidden + 2 * hidden + kernel**2 * hidden + 2 * hidden
            if gated:
                inner = bottleneck(hidden)
                total += 2 * hidden * inner + hidden + inner
            total += hidden * width + 2 * width
            arriving = width
    wide = 6 * arriving
    return total + arriving * wide + 2 * wide + wide * last + last * 1000 + 1000


#: Widths of the stem, the five units and the layer before the classifier, by width factor.
OFA_WIDTHS = {
    "0.75": (16, 24, 32, 64, 88, 120, 960),
    "1": (16, 24, 40, 80, 112, 160, 1280),
    "1.25": (24, 32, 48, 104, 144, 200, 1600),
}


@pytest.mark.parametrize("factor", OFA_WIDTHS)
def test_sub_networks_of_once_for_all_have_the_parameters_of_its_layers(factor):
    draw = random.Random(factor)
    units = range(5)
    for _ in range(6):
        depths = [draw.randint(2, 4) for _ in units]
        blocks = [
            [(draw.choice((3, 5, 7)), draw.choice((3, 4, 6))) for _ in range(4)] for _ in units
        ]
        picks = [("w", factor)]
        for unit in units:
            first, rest = f"body[{2 + 2 * unit}]", f"body[{3 + 2 * unit}]"
            places = [first, *(f"{rest}.round[{i}]" for i in range(1, depths[unit]))]
            picks.append((rest, str(depths[unit] - 1)))
            for place, (kernel, expansion) in zip(places, blocks[unit], strict=False):
                picks += [(f"{place}.k", str(kernel)), (f"{place}.e", str(expansion))]
        found = resolved("mobile.nas", "ofa_mobilenet_v3", picks)
        assert found.params == once_for_all_by_hand(blocks, depths, OFA_WIDTHS[factor])


def test_sizes_of_the_spaces_with_decided_depth():
    """Per unit of once-for-all, 9 settings of each of 2, 3 or 4 blocks (section 3 of the paper)."""
    per_unit = 9**2 + 9**3 + 9**4
    assert bundled_space("mobile.nas", "ofa_mobilenet_v3").size() == 3 * per_unit**5
    # AutoFormer: heads and ratio of every layer, 12 to 14 layers, three widths.
    assert bundled_space("transformers.nas", "vit_tiny").size() == 3 * (4**12 + 4**13 + 4**14)


# ---- transformers

#: ViT-B/16 (Dosovitskiy et al., arXiv 2010.11929), written with the blocks of `transformers.nas`.
VIT_B_16 = """
nas 1
from "data/images.nas" import imagenet
from "transformers.nas" import residual, mlp

space vit(data = imagenet) {
  width = 768
  input data.shape
  stem  patch_embed(16) >> class_token >> position
  repeat 12 {
    stage residual(layer_norm >> attention(heads = 12, head_dim = 64))
    stage residual(layer_norm >> mlp(4))
  }
  head layer_norm >> token(0) >> linear(data.classes)
}
"""


def test_blocks_of_the_transformer_spaces_make_vit_b_16():
    """The parameter count torchvision documents."""
    assert cost.of_network(space_of(VIT_B_16, "vit").target).params == 86_567_656


@pytest.mark.parametrize(("dim", "layers"), [(192, 12), (216, 13), (240, 14)])
def test_vision_transformers_have_the_parameters_of_their_layers(dim, layers):
    """192 channels and 12 layers is DeiT-tiny, whose published size is 5.7 M."""
    heads, ratio = 3, 4
    picks = [("dim", str(dim)), ("body[1]", str(layers))]
    for i in range(1, layers + 1):
        picks += [
            (f"body[1].round[{i}].1.heads", str(heads)),
            (f"body[1].round[{i}].2.ratio", str(ratio)),
        ]
    space = bundled_space("transformers.nas", "vit_tiny")
    known = {d.id for d in every(space.decisions)}
    assert {identity for identity, _ in picks} <= known
    found = resolved("transformers.nas", "vit_tiny", picks)
    attention = dim * 3 * 64 * heads + 3 * 64 * heads + 64 * heads * dim + dim
    mlp = 2 * ratio * dim * dim + ratio * dim + dim
    stem = 768 * dim + dim + dim + 197 * dim
    wanted = stem + layers * (attention + mlp + 4 * dim) + 2 * dim + dim * 1000 + 1000
    assert found.params == wanted
    if (dim, layers) == (192, 12):
        assert round(found.params / 1e6, 1) == 5.7


def every(decisions):
    for decision in decisions:
        yield decision
        for below in decision.nested:
            yield from every(below)
