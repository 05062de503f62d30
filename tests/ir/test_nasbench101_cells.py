"""Distinct cells of NAS-Bench-101 by their number of vertices: arXiv 1902.09635, section 2."""

from itertools import combinations, product

import pytest
from spaces_for_tests import bundled_space

from nasdsl.ir.canonical import Canonical
from nasdsl.ir.enumeration import Enumeration
from nasdsl.ir.isomorphism import certificate
from nasdsl.ir.limits import Limits
from nasdsl.ir.printer import print_space
from nasdsl.ir.reader import read_space

MAX_EDGES = 9
OPS = "123"


def graphs(vertices):
    """Sources of each vertex, for every graph in which all lie between input and output."""
    pairs = list(combinations(range(vertices), 2))
    for count in range(vertices - 1, min(MAX_EDGES, len(pairs)) + 1):
        for edges in combinations(pairs, count):
            read = {a for a, _ in edges}
            fed = {b for _, b in edges}
            if len(read) == len(fed) == vertices - 1:
                found = [[] for _ in range(vertices)]
                for a, b in edges:
                    found[b].append(a)
                yield [tuple(s) for s in found]


def distinct(vertices):
    """Classes of labelled graphs: labels are put on one graph of each class of bare ones."""
    bare = {}
    inner = ["x"] * (vertices - 2)
    for sources in graphs(vertices):
        bare.setdefault(certificate(["in", *inner, "out"], sources, vertices - 1), sources)
    return sum(
        len(
            {
                certificate(["in", *labels, "out"], sources, vertices - 1)
                for labels in product(OPS, repeat=vertices - 2)
            }
        )
        for sources in bare.values()
    )


@pytest.mark.parametrize(("vertices", "count"), [(2, 1), (3, 6), (4, 84), (5, 2_441), (6, 62_010)])
def test_distinct_cells(vertices, count):
    assert distinct(vertices) == count


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_distinct_cells_with_seven_vertices():
    assert distinct(7) == 359_082 == 423_624 - (1 + 6 + 84 + 2_441 + 62_010)


@pytest.mark.parametrize(
    ("vertices", "count"), [(3, 1 + 6), (4, 1 + 6 + 84), (5, 1 + 6 + 84 + 2_441)]
)
def test_the_space_and_its_requirements_give_these_cells(vertices, count):
    """Every pick of edges and operations; what is cut away leaves the smaller cells."""
    space = bundled_space("nasbench101.nas", "nasbench101", vertices=vertices, n=1)
    assert [r.text for r in space.requires] == ["edges <= 9", "connected"]
    assert read_space(print_space(space)) == space
    limits, identity = Limits(space), Canonical(space)
    found = {identity(g) for g in Enumeration(space) if limits.holds(g)}
    assert len(found) == count
