"""NAS-Bench-101 and 1Shot1: published channels, parameters and counts, and cells run exactly."""

import itertools
import random

import pytest
import torch
from nasbench101_reference import CHOICES, picks, prune, run_cell
from spaces_for_tests import bundled_space, images, space_of

from nasdsl.codegen.discrete import Discrete
from nasdsl.diagnostics.model import CompileError
from nasdsl.ir import cost
from nasdsl.ir.cell import Cell, arrivals
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.verify import verify
from nasdsl.lowering.settled import settle

# compute_vertex_channels of the benchmark: matrix, (input, output) channels and those of every
# vertex, from the unit tests of its authors (model_builder_test.py).
CHANNELS = {
    "a chain": (
        [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]],
        [[8, 8, 8, 8], [8, 16, 16, 16], [16, 8, 8, 8]],
    ),
    "input to output": ([[0, 1], [0, 0]], [[1, 1], [1, 5], [5, 1]]),
    "branches that join": (
        [[0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0] * 5],
        [[8, 8, 8, 8, 8], [8, 16, 16, 16, 16], [16, 8, 8, 8, 8]],
    ),
    "two outputs": (
        [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]],
        [[8, 4, 4, 8], [8, 8, 8, 16], [16, 4, 4, 8], [8, 8, 7, 15]],
    ),
    "three outputs": (
        [[0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0] * 5],
        [[8, 3, 3, 2, 8], [8, 5, 5, 5, 15]],
    ),
    "the widest successor": (
        [[0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0] * 5],
        [[8, 4, 4, 4, 8], [8, 5, 5, 4, 9]],
    ),
    "skips": (
        [[0, 1, 0, 1, 0], [0, 0, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0] * 5],
        [[8, 4, 4, 4, 8], [8, 8, 7, 7, 15]],
    ),
}
CONVS = ("conv3x3_bn_relu",) * 5
ONE_CELL = """nas 1
from "nasbench101.nas" import nasbench101
space one(arriving = 8) extends nasbench101 {
  stem conv(1, out = arriving)
}
"""


def genotype(matrix, ops=CONVS):
    return Genotype(space="nasbench101", picks=picks(matrix, ops[: len(matrix) - 2]))


def built(matrix, ops=CONVS, **parameters):
    """The space with a matrix as its genotype."""
    parameters.setdefault("vertices", len(matrix))
    return bundled_space(
        "nasbench101.nas", "nasbench101", genotype=genotype(matrix, ops), **parameters
    )


def first_cell(space):
    return next(s.body for s in space.target.stages if isinstance(s.body, Cell))


def larger(matrix):
    """The matrix with a vertex that nothing reaches before its output."""
    return [[*row[:-1], 0, row[-1]] for row in (*matrix[:-1], [0] * len(matrix), matrix[-1])]


@pytest.mark.parametrize("name", CHANNELS)
def test_vertices_have_the_channels_of_the_benchmark(name):
    """C25: the remainder goes to the first vertices; the edge from the input does not count."""
    matrix, rows = CHANNELS[name]
    # A cell has nodes, so the smallest one gets a vertex that is pruned again.
    drawn = larger(matrix) if len(matrix) == 2 else matrix
    for channels in rows:
        parameters = {"arriving": channels[0], "C": channels[-1], "n": 1, "vertices": len(drawn)}
        space = space_of(ONE_CELL, "one", genotype=genotype(drawn), **parameters)
        cell = first_cell(space)
        found = [n.after.out.channels for n in cell.nodes]
        assert [cell.inputs[0].prepare.out.channels, *found, cell.out.channels] == channels
        assert not verify(space)


def test_the_example_of_the_benchmark_has_its_parameters():
    """The Inception-like cell of the authors' readme, as a query of the table reports it."""
    matrix = [
        [0, 1, 1, 1, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    ops = ("conv1x1_bn_relu", *CONVS[:3], "maxpool3x3")
    space = built(matrix, ops)
    assert cost.of_network(space.target).params == 2_694_282
    with torch.device("meta"):
        assert sum(p.numel() for p in Discrete(space.target).parameters()) == 2_694_282


def test_a_cell_of_which_only_the_projection_is_left():
    """C24: every vertex dangles; the network is made of 1x1 projections."""
    matrix = [[0, 1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 0], *([0] * 7 for _ in range(5))]
    space = built(matrix)
    assert cost.of_network(space.target).params == 882_570
    assert not first_cell(space).nodes


def test_a_cell_without_a_path_is_refused():
    with pytest.raises(CompileError, match="nothing reaches the output"):
        built([[0, 0, 0], [0, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize(
    ("matrix", "left"),
    [
        ([[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0] * 4], ["x[1]"]),
        ([[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0] * 4], ["x[2]"]),
        ([[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0] * 4], ["x[2]"]),
    ],
)
def test_vertices_without_a_path_are_pruned(matrix, left):
    """The pruning tests of the benchmark's authors."""
    cell = first_cell(built(matrix, n=1, C=8))
    assert [node.name for node in cell.nodes] == left
    assert list(arrivals(cell.output)) == left


def random_matrix(draw, count):
    while True:
        matrix = [[int(t > s and draw.random() < 0.5) for t in range(count)] for s in range(count)]
        if prune(matrix):
            return matrix


@pytest.mark.parametrize("seed", range(12))
def test_networks_equal_the_model_builder_of_the_benchmark(seed):
    """Cells with copied weights, stride and pooling included, in float64."""
    draw = random.Random(seed)
    matrix = random_matrix(draw, draw.choice([3, 5, 7]))
    ops = tuple(draw.choice(CHOICES) for _ in matrix[2:])
    width = draw.choice([11, 12])
    space = built(matrix, ops, C=width, n=1, data=images(3, 8, 10))
    assert not verify(space)
    net = Discrete(space.target, seed=seed).double().train()
    state = net.plain.state_dict()
    assert cost.of_network(space.target).params == sum(p.numel() for p in net.parameters())
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    y = torch.nn.functional.conv2d(x, state["stem.conv.weight"], padding=1)
    y = torch.relu(torch.nn.functional.batch_norm(y, None, None, training=True))
    for stage in space.target.stages[1:-1]:
        if isinstance(stage.body, Cell):
            y = run_cell(state, stage.name, y, matrix, ops, stage.body.width)
        else:
            y = torch.nn.functional.max_pool2d(y, 2)
    wanted = y.mean((2, 3)) @ state["head.linear.weight"].t() + state["head.linear.bias"]
    torch.testing.assert_close(net(x), wanted, rtol=1e-9, atol=1e-11)


def test_one_shot_one_retrains_networks_of_the_benchmark():
    """A cell of 1Shot1's first space as a matrix with four operations."""
    chosen = (
        *((f"c/x[{i}]", op) for i, op in enumerate((*CHOICES, CHOICES[1]), 1)),
        *(("c/x[3]<-*", s) for s in ("a", "x[2]")),
        *(("c/x[4]<-*", s) for s in ("x[1]", "x[3]")),
        *(("c/out<-*", s) for s in ("a", "x[4]")),
    )
    matrix = [
        [0, 1, 1, 1, 0, 1],
        [0, 0, 1, 0, 1, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
    ]
    space = bundled_space(
        "nasbench101.nas", "nb1shot1_s1", genotype=Genotype(space="nb1shot1_s1", picks=chosen)
    )
    wanted = built(matrix, (*CHOICES, CHOICES[1]))
    assert cost.of_network(space.target).params == cost.of_network(wanted.target).params
    found, known = space.target.stages, wanted.target.stages
    assert [s.body for s in found[:-1]] == [s.body for s in known[:-1]]


def test_raw_sizes_of_one_shot_one_and_transbench():
    sizes = {
        n: bundled_space("nasbench101.nas", f"nb1shot1_{n}").size() for n in ("s1", "s2", "s3")
    }
    assert sizes == {"s1": 14_580, "s2": 29_160, "s3": 1_312_200}
    assert bundled_space("transbench101.nas", "tnb101_micro").size() == 4_096


@pytest.mark.parametrize(
    ("parents", "patterns", "whole"),
    [
        ((1, 2, 2, 2, 2), 180, 38),
        ((1, 1, 2, 2, 3), 360, 138),
        ((1, 1, 1, 2, 2, 2), 5_400, 445),
    ],
)
def test_patterns_of_one_shot_one_without_loose_ends(parents, patterns, whole):
    """C22: of all connectivity patterns these leave no vertex out."""
    nodes = [f"x[{i}]" for i in range(1, len(parents))]
    states, targets = ["a", *nodes], [*nodes, "out"]
    edges = [(s, t) for i, t in enumerate(targets) for s in states[: i + 1]]
    choices = [itertools.combinations(states[: i + 1], n) for i, n in enumerate(parents)]
    found = [
        settle(
            inputs=["a"],
            nodes=nodes,
            edges=edges,
            picked=dict(zip(targets, chosen, strict=True)),
            read=states,
            split=nodes,
            width=64,
        )
        for chosen in itertools.product(*choices)
    ]
    assert len(found) == patterns
    assert sum(len(cell.widths) == len(nodes) for cell in found) == whole
