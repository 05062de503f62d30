"""Public bug reports about turning mixing weights into an architecture."""

import math

import pytest
import torch
from spaces_for_tests import bundled_space, images, space_of
from torch.nn import functional as F

from nasdsl.codegen.supernet import Supernet
from nasdsl.ir import discretize
from nasdsl.ir.discretize import DiscretizeError
from nasdsl.ir.formats import forms

DARTS_OPS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)

TWO_NODES = """nas 1
from "darts.nas" import darts
space two extends darts {
  C      = 4
  layers = 3
  nodes  = 2
  cell normal {
    out concat(x)
  }
}
"""

THREE_EDGES = """nas 1
from "darts.nas" import sep_conv
ops few {
  none
  sep  = sep_conv(3)
  skip = identity
}
space three {
  cell c {
    in   a, b, d
    node x
    edge {a, b, d} -> x : one_of few
    keep 2 per node except {none}
    out  x
  }
  width = 4
  input image(3, 8, 8)
  stem  conv(3) >> bn
  stage c
  head  global_avg_pool >> linear(10)
}
"""


def mix_of(space, rows):
    """A mix by table and decision: the rows given, the others uniform."""
    return {
        table: {d.id: rows.get(d.id, [1 / len(d.labels)] * len(d.labels)) for d in decisions}
        for table, decisions in space.tables().items()
    }


def picks_of(genotype, node):
    """(operation, source) of one node, in the genotype's order."""
    prefix = f"{node}<-"
    return [(label, k.removeprefix(prefix)) for k, label in genotype.picks if k.startswith(prefix)]


def test_edges_are_ranked_by_softmax_weights_not_by_raw_alphas():
    """C01: a large logit on a flat edge does not outrank a small logit on a peaked edge."""
    space = space_of(TWO_NODES, "two")
    alpha = torch.tensor(
        [
            [1, 1, 1, 1, 5, 1, 1, 1],
            [10, 10, 10, 11, 10, 10, 10, 10],
            [10, 15, 10, 10, 10, 10, 10, 10],
        ],
        dtype=torch.float64,
    )
    weights = F.softmax(alpha, dim=-1)
    assert weights.max(dim=1).values.tolist() == pytest.approx(
        [0.88636, 0.27971, 0.95496], abs=1e-5
    )
    edges = [f"normal/x[2]<-{s}" for s in ("prev2", "prev", "x[1]")]
    genotype = discretize.argmax(
        space, mix_of(space, dict(zip(edges, weights.tolist(), strict=True)))
    )
    assert picks_of(genotype, "normal/x[2]") == [
        ("max_pool_3x3", "x[1]"),
        ("sep_conv_3x3", "prev2"),
    ]


def test_none_is_never_exported_though_it_weighs_most():
    """C02: `none` counts neither for the strength of an edge nor for its operation."""
    space = bundled_space("darts.nas", "darts", C=4, layers=3)
    rows = {
        "normal/x[1]<-prev2": [0.1838, 0.0982, 0.0810, 0.1736, 0.1812, 0.0846, 0.0910, 0.1066],
        "normal/x[1]<-prev": [0.4717, 0.0458, 0.0496, 0.0945, 0.1113, 0.0556, 0.0953, 0.0762],
    }
    for decision in space.decisions:
        rows.setdefault(decision.id, [0.93] + [0.01] * 7)
    genotype = discretize.argmax(space, mix_of(space, rows))
    assert picks_of(genotype, "normal/x[1]") == [
        ("sep_conv_3x3", "prev2"),
        ("sep_conv_3x3", "prev"),
    ]
    assert discretize.count(genotype, "none") == 0
    assert len(genotype.picks) == sum(2 for rules in space.rules for _ in rules.rows)


def test_discrete_weights_are_one_hot_and_run_the_picked_operation_alone():
    """C03: evaluation after discretization mixes with exactly 0 and 1, not with alphas."""
    text = """nas 1
space s {
  cell c {
    in   a
    node x
    edge a -> x : one_of {conv(1), conv(3), conv(5), avg_pool(3)}
    out  x
  }
  width = 4
  input image(4, 8, 8)
  stage c
  head  global_avg_pool >> linear(10)
}
"""
    space = space_of(text, "s")
    alpha = torch.tensor([[0.1, 0.4, 0.2, 0.1]])
    soft = F.softmax(alpha, dim=-1)
    assert soft[0].tolist() == pytest.approx([0.2245, 0.3030, 0.2481, 0.2245], abs=1e-4)
    genotype = discretize.argmax(space, {"c": {"c/x<-a": soft[0].tolist()}})
    labels = space.decision("c/x<-a").labels
    assert genotype.picks == (("c/x<-a", labels[1]),)
    net = Supernet(space)
    mix = {"c": torch.tensor([[0.0, 1.0, 0.0, 0.0]])}
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    convs = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    head = next(m for m in net.modules() if isinstance(m, torch.nn.Linear))
    alone = head(convs[1](x).flatten(2).mean(2))
    assert torch.equal(net(x, mix), alone)


PC_DARTS_29 = [
    [0.0428, 0.1214, 0.0811, 0.0891, 0.2067, 0.1785, 0.1338, 0.1466],
    [0.0387, 0.1426, 0.0804, 0.1021, 0.1719, 0.1574, 0.153, 0.154],
    [0.0546, 0.105, 0.0971, 0.0924, 0.1706, 0.191, 0.1396, 0.1497],
    [0.0445, 0.1412, 0.1362, 0.1258, 0.1327, 0.1574, 0.136, 0.1261],
    [0.0649, 0.1036, 0.1052, 0.0952, 0.1672, 0.1853, 0.1218, 0.1568],
    [0.0647, 0.116, 0.1005, 0.0918, 0.1949, 0.1668, 0.1116, 0.1538],
    [0.0577, 0.1134, 0.093, 0.1123, 0.1778, 0.1929, 0.1167, 0.1362],
    [0.0753, 0.0922, 0.0894, 0.1106, 0.1702, 0.1861, 0.1513, 0.1249],
    [0.0662, 0.093, 0.0972, 0.0918, 0.1841, 0.1787, 0.117, 0.172],
    [0.0658, 0.1119, 0.0828, 0.0787, 0.2256, 0.225, 0.111, 0.0992],
    [0.0671, 0.1051, 0.0855, 0.0923, 0.1946, 0.1994, 0.1088, 0.1472],
    [0.0633, 0.1241, 0.1018, 0.0827, 0.2019, 0.1626, 0.1299, 0.1337],
    [0.0662, 0.1256, 0.0982, 0.0829, 0.1919, 0.1486, 0.1255, 0.1612],
    [0.0576, 0.1128, 0.0855, 0.0716, 0.1836, 0.1938, 0.1781, 0.117],
]


@pytest.mark.parametrize("with_factors", [False, True])
def test_a_real_table_with_near_ties_gives_the_right_cell(with_factors):
    """C04: the 14 x 8 table a user printed; equal edge factors of a node change nothing."""
    space = bundled_space("darts.nas", "darts", C=4, layers=3)
    assert space.decisions[0].labels == DARTS_OPS
    normal = space.tables()["normal"]
    rows = {d.id: row for d, row in zip(normal, PC_DARTS_29, strict=True)}
    factors = None
    if with_factors:
        factors = {i: 1 / len(row) for rules in space.rules for _, row in rules.rows for i in row}
    text = forms.dumps(discretize.argmax(space, mix_of(space, rows), factors), space)
    wanted = [
        {("sep_conv_3x3", 0), ("sep_conv_3x3", 1)},
        {("sep_conv_5x5", 0), ("sep_conv_5x5", 2)},
        {("sep_conv_3x3", 0), ("sep_conv_5x5", 1)},
        {("sep_conv_3x3", 0), ("sep_conv_3x3", 2)},
    ]
    genotype = forms.parse(text, space)
    states = ["prev2", "prev", "x[1]", "x[2]", "x[3]", "x[4]"]
    for i, pairs in enumerate(wanted, 1):
        found = picks_of(genotype, f"normal/x[{i}]")
        assert {(label, states.index(source)) for label, source in found} == pairs
    assert "normal_concat=[2, 3, 4, 5]" in text


def test_edge_factors_multiply_the_strength_of_an_edge():
    """C05: strengths .10, .18, .23 keep edges 2 and 1; without factors edges 1 and 0."""
    space = space_of(THREE_EDGES, "three")
    edges = [f"c/x<-{s}" for s in "abd"]
    rows = dict(zip(edges, ([0.2, 0.5, 0.3], [0.1, 0.3, 0.6], [0.1, 0.46, 0.44]), strict=True))
    factors = dict(zip(edges, (0.2, 0.3, 0.5), strict=True))
    weighted = discretize.argmax(space, mix_of(space, rows), factors)
    assert picks_of(weighted, "c/x") == [("sep", "d"), ("skip", "b")]
    plain = discretize.argmax(space, mix_of(space, rows))
    assert picks_of(plain, "c/x") == [("skip", "b"), ("sep", "a")]


@pytest.mark.parametrize("place", range(3))
def test_nan_weights_are_an_error_and_pick_nothing(place):
    """C07: a scan and an argmax would return different operations; neither is acceptable."""
    space = space_of(THREE_EDGES, "three")
    row = [0.2, 0.3, 0.5]
    row[place] = math.nan
    with pytest.raises(DiscretizeError, match="NaN"):
        discretize.argmax(space, mix_of(space, {"c/x<-b": row}))


DARTS_V1 = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('skip_connect', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])"
)
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


@pytest.mark.parametrize(("text", "normal", "reduce"), [(DARTS_V1, 3, 3), (DARTS_V2, 2, 3)])
def test_skips_are_counted_in_the_derived_cell(text, normal, reduce):
    """C08: not among the candidates of the supernet, where every edge has one."""
    space = bundled_space("darts.nas", "darts", C=4, layers=3)
    genotype = forms.parse(text, space)
    assert discretize.count(genotype, "skip_connect", "normal") == normal
    assert discretize.count(genotype, "skip_connect", "reduce") == reduce
    assert discretize.count(genotype, "skip_connect") == normal + reduce


def test_ties_go_to_the_lower_source_and_the_earlier_option():
    """The order in which equal weights are read decides nothing by accident."""
    space = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, data=images(3, 8, 10))
    genotype = discretize.argmax(space, mix_of(space, {}))
    assert {label for _, label in genotype.picks} == {"none"}
    darts = space_of(TWO_NODES, "two")
    genotype = discretize.argmax(darts, mix_of(darts, {}))
    assert picks_of(genotype, "normal/x[2]") == [
        ("max_pool_3x3", "prev2"),
        ("max_pool_3x3", "prev"),
    ]
