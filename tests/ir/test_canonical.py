"""Identities: the published counts, an independent check of each notion, and cells of every form."""

import itertools
import math
import random

import networkx as nx
import pytest
from spaces_for_tests import bundled_space, space_of

from nasdsl.ir.canonical import NOTIONS, Canonical, reduced, unique
from nasdsl.ir.enumeration import Enumeration
from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.isomorphism import certificate
from nasdsl.ir.limits import Limits
from nasdsl.ir.printer import digest
from nasdsl.ir.requirement import Measure, Requirement
from nasdsl.ir.sampling import sample
from nasdsl.ir.wiring import Wiring, picks_of


@pytest.fixture(scope="module")
def nb201():
    return bundled_space("nasbench201.nas", "nasbench201")


@pytest.fixture(scope="module")
def every(nb201):
    return list(Enumeration(nb201))


# ---- NAS-Bench-201


@pytest.mark.parametrize(
    ("notion", "count"), [("skip", 12_751), ("zero", 6_466), ("function", 4_930)]
)
def test_published_counts_of_nasbench201(nb201, every, notion, count):
    identity = Canonical(nb201, notion)
    assert len(every) == 15_625
    assert len({identity(genotype) for genotype in every}) == count


def test_the_published_rules_as_they_are_published(nb201, every):
    """The texts of NATS-Bench's `to_unique_str`, written down here once more."""

    def text(genotype, zero):
        nodes = {0: "0"}
        for node in (1, 2, 3):
            terms = []
            for source in range(node):
                name = "a" if source == 0 else f"x[{source}]"
                (op,) = genotype.of(f"c/x[{node}]<-{name}")
                if zero and (op == "none" or nodes[source] == "#"):
                    terms.append("#")
                elif op == "skip_connect":
                    terms.append(nodes[source])
                else:
                    terms.append(f"({nodes[source]})@{op}")
            nodes[node] = "+".join(sorted(terms))
        return nodes[3]

    for notion in ("skip", "zero"):
        identity = Canonical(nb201, notion)
        for genotype in every[::7]:
            assert identity.cell("c", genotype) == text(genotype, notion == "zero")


def test_equal_functions_are_those_that_compute_the_same(nb201, every):
    """Each operation as a function of one number: cells agree on a value iff they are one."""
    ops = {
        "none": lambda x: 0.0,
        "skip_connect": lambda x: x,
        "nor_conv_1x1": lambda x: math.sin(1.3 * x) + x / 7,
        "nor_conv_3x3": lambda x: math.tanh(0.7 * x) + x * x / 9,
        "avg_pool_3x3": lambda x: math.expm1(0.3 * x),
    }

    def computed(genotype):
        values = [0.731]
        for node in (1, 2, 3):
            names = ["a", "x[1]", "x[2]"][:node]
            picked = [genotype.of(f"c/x[{node}]<-{name}")[0] for name in names]
            values.append(math.fsum(ops[op](v) for op, v in zip(picked, values, strict=True)))
        return round(values[3], 10)

    identity = Canonical(nb201, "function")
    by_identity, by_value = {}, {}
    for genotype in every:
        name, value = identity(genotype), computed(genotype)
        assert by_identity.setdefault(name, value) == value
        assert by_value.setdefault(value, name) == name
    assert len(by_value) == 4_930


def drawn(vertices):
    """The reduced graph of a cell for networkx: dead nodes left out, the output marked."""
    labels, sources, output = vertices
    graph = nx.MultiDiGraph()
    for i, label in enumerate(labels):
        graph.add_node(i, label=label, output=i == output)
        graph.add_edges_from((s, i) for s in sources[i])
    if output is not None:
        graph.remove_nodes_from(set(graph) - nx.ancestors(graph, output) - {output})
    else:
        graph.clear()
    return graph


def isomorphic(a, b):
    if len(a) != len(b) or a.number_of_edges() != b.number_of_edges():
        return False
    return nx.is_isomorphic(
        a, b, node_match=lambda x, y: x == y, edge_match=lambda x, y: len(x) == len(y)
    )


def test_equal_networks_are_the_isomorphic_ones(nb201, every):
    """Cells that compute the same expression, compared with each other by networkx."""
    wiring = Wiring(nb201)
    function, network = Canonical(nb201, "function"), Canonical(nb201, "network")
    groups = {}
    for genotype in every:
        groups.setdefault(function(genotype), {}).setdefault(network(genotype), []).append(genotype)
    assert sum(len(group) for group in groups.values()) == 5_425
    for group in groups.values():
        graphs = [
            [drawn(reduced(wiring.cell("c", picks_of(g), g), shared=False)) for g in found[:3]]
            for found in group.values()
        ]
        for found in graphs:
            assert all(isomorphic(found[0], other) for other in found[1:])
        for a, b in itertools.combinations([found[0] for found in graphs], 2):
            assert not isomorphic(a, b)


def test_cells_that_let_nothing_through_are_one(nb201, every):
    limits = Limits(nb201, further=(Requirement(text="connected", test=Measure(name="connected")),))
    blocked = [genotype for genotype in every if not limits.holds(genotype)]
    assert len(blocked) == 341
    assert len({Canonical(nb201)(g) for g in blocked}) == 1


# ---- certificates


def test_certificates_of_random_graphs_agree_with_networkx():
    rng = random.Random(0)
    graphs = []
    for _ in range(150):
        n = rng.randrange(2, 7)
        labels = ["in", *(rng.choice("ab") for _ in range(n))]
        sources = [()]
        for i in range(1, n + 1):
            sources.append(tuple(sorted(rng.choices(range(i), k=rng.randrange(1, 3)))))
        graphs.append((labels, sources, n))
    seen = {}
    for graph in graphs:
        order = relabelled(graph, rng)
        assert certificate(*order) == certificate(*graph)
        seen.setdefault(certificate(*graph), []).append(drawn(graph))
    assert 50 < len(seen) < 150
    for found in seen.values():
        assert all(isomorphic(found[0], other) for other in found[1:])
    for a, b in itertools.combinations([found[0] for found in seen.values()], 2):
        assert not isomorphic(a, b)


def relabelled(graph, rng):
    """The same graph in another order in which sources come first."""
    labels, sources, output = graph
    left, order = list(range(len(labels))), []
    while left:
        ready = [i for i in left if all(s in order for s in sources[i])]
        order.append(rng.choice(ready))
        left.remove(order[-1])
    place = {node: i for i, node in enumerate(order)}
    return (
        [labels[i] for i in order],
        [tuple(sorted(place[s] for s in sources[i])) for i in order],
        place[output],
    )


def test_graphs_whose_nodes_look_alike():
    # Two triangles and a hexagon, as reading relations between two layers: refinement alone
    # cannot tell them apart.
    def layers(pairs):
        labels = ["in", *["a"] * 6, *["b"] * 6, "sum"]
        sources = [(), *[(0,)] * 6, *(tuple(sorted(1 + i for i in pair)) for pair in pairs)]
        return labels, [*sources, tuple(range(7, 13))], 13

    triangles = layers([(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)])
    hexagon = layers([(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)])
    turned = layers([(2, 4), (4, 1), (1, 5), (5, 0), (0, 3), (2, 3)])
    assert certificate(*triangles) != certificate(*hexagon)
    assert certificate(*turned) == certificate(*hexagon)


# ---- cells of other spaces


@pytest.fixture(scope="module")
def darts():
    return bundled_space("darts.nas", "darts", C=4, layers=3)


def darts_of(normal, space, concat=(2, 3, 4, 5)):
    reduce = [("max_pool_3x3", 0), ("max_pool_3x3", 1)] * 4
    text = (
        f"Genotype(normal={normal!r}, normal_concat={list(concat)}, "
        f"reduce={reduce!r}, reduce_concat=[2, 3, 4, 5])"
    )
    return forms.parse(text, space)


def test_the_order_of_nodes_and_edges_does_not_matter(darts):
    a = [("sep_conv_3x3", 0), ("skip_connect", 1), ("dil_conv_3x3", 1), ("sep_conv_5x5", 0)]
    b = [("max_pool_3x3", 2), ("sep_conv_3x3", 3), ("skip_connect", 2), ("avg_pool_3x3", 4)]
    swapped = [("max_pool_3x3", 3), ("sep_conv_3x3", 2), ("skip_connect", 3), ("avg_pool_3x3", 4)]
    first = darts_of(a + b, darts)
    second = darts_of(a[2:] + a[:2] + swapped, darts)
    third = darts_of([a[1], a[0], *a[2:], *b], darts)
    other = darts_of(a[2:] + a[:2] + b, darts)
    for notion in NOTIONS:
        identity = Canonical(darts, notion)
        assert identity(first) == identity(second) == identity(third) != identity(other)
    assert first != second != third


def test_a_strided_skip_is_a_convolution_and_others_are_the_identity(darts):
    wiring = Wiring(darts)
    edges = {table: dict(wiring.tables[table].edges["x[2]"]) for table in ("normal", "reduce")}
    assert edges["normal"]["prev"].means["skip_connect"] == "="
    assert "skip_connect" not in edges["reduce"]["prev"].means
    assert edges["reduce"]["x[1]"].means["skip_connect"] == "="
    # One set of choices for plain and strided instances: the identity at none of the inputs.
    trans = bundled_space("transbench101.nas", "tnb101_micro")
    (table,) = Wiring(trans).tables.values()
    skips = {source: "=" in slot.means.values() for source, slot in table.edges[[*table.edges][-1]]}
    first, *rest = skips
    assert not skips[first] and all(skips[source] for source in rest)


def test_nodes_that_lead_nowhere_do_not_count(darts):
    a = [("sep_conv_3x3", 0), ("sep_conv_3x3", 1)] * 3
    ends = [[("dil_conv_3x3", 0), ("skip_connect", 2)], [("avg_pool_3x3", 1), ("sep_conv_5x5", 3)]]
    one, two = (darts_of(a + end, darts, concat=(2, 3, 4)) for end in ends)
    for notion in NOTIONS:
        assert Canonical(darts, notion)(one) == Canonical(darts, notion)(two)
    one, two = (darts_of(a + end, darts) for end in ends)
    assert Canonical(darts)(one) != Canonical(darts)(two)


def test_two_operations_from_one_state_are_two():
    space = bundled_space("nasnet.nas", "nasnet", C=4, layers=3)
    head = "Genotype(normal=[('sep_conv_3x3', 0), ('{}', {}), {}], normal_concat=[2, 3], reduce=[{}], reduce_concat=[2, 3])"
    rest = ", ".join(["('sep_conv_3x3', 1), ('sep_conv_3x3', 0)"] * 4)
    every = ", ".join(["('max_pool_3x3', 1), ('max_pool_3x3', 0)"] * 5)
    twice = forms.parse(head.format("sep_conv_3x3", 0, rest, every), space)
    other = forms.parse(head.format("sep_conv_3x3", 1, rest, every), space)
    pool = forms.parse(head.format("avg_pool_3x3", 0, rest, every), space)
    found = [Canonical(space)(g) for g in (twice, other, pool)]
    assert len(set(found)) == 3


def test_alike_operations_are_one_function_and_two_networks(nb201):
    """A node read twice, and two nodes that look alike: equal expressions, other networks."""
    shared = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|avg_pool_3x3~1|avg_pool_3x3~2|"
    apart = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|avg_pool_3x3~1|avg_pool_3x3~2|"
    a, b = (forms.parse(text, nb201) for text in (shared, apart))
    assert Canonical(nb201, "function")(a) == Canonical(nb201, "function")(b)
    assert Canonical(nb201, "network")(a) != Canonical(nb201, "network")(b)


def test_cells_inside_cells_go_by_what_they_are():
    space = bundled_space("small.nas", "hierarchical", C=4)
    genotype = sample(space, random.Random(0))
    picks = dict(genotype.picks)
    for name in ("a", "b"):
        for edge in ("x[1]<-a", "x[2]<-a", "x[2]<-x[1]"):
            picks[f"motif_{name}/{edge}"] = "conv_3x3"
    for key in [k for k in picks if k.startswith("outer")]:
        picks[key] = "identity"
    picks["outer/y[3]<-a"] = "motif_a"

    def identity(**changes):
        made = {**picks, **changes}
        return Canonical(space)(Genotype(space=space.name, picks=tuple(made.items())))

    plain = identity()
    assert identity(**{"outer/y[3]<-a": "motif_b"}) == plain
    assert identity(**{"motif_b/x[1]<-a": "sep_3x3"}) == plain  # it stands nowhere
    assert identity(**{"motif_a/x[1]<-a": "sep_3x3"}) != plain
    assert identity(**{"outer/y[3]<-a": "conv_3x3"}) != plain


def test_decisions_inside_operations_and_outside_cells_count():
    space = bundled_space("small.nas", "conv1d", C=4)
    identity = Canonical(space)
    found = {identity(g) for g in (sample(space, random.Random(i)) for i in range(60))}
    assert len(found) == len({sample(space, random.Random(i)).picks for i in range(60)})
    text = """nas 1
space s {
  cell c {
    in a
    node x[2]
    edge {a, x[<]} -> x : one_of {identity, conv(one_of {3, 5})}
    keep all per node
    out x[2]
  }
  width = 4
  input image(4, 8, 8)
  stage c
  head global_avg_pool >> linear(10)
}
"""
    space = space_of(text, "s")
    assert space.size() == 27
    # x[1] in 3 ways; x[2] adds two terms, of which those of a skip and a skip are two inputs.
    assert len(list(unique(Enumeration(space), space))) == len(
        {expression(g) for g in Enumeration(space)}
    )


def expression(genotype):
    """The cell of the test above by hand: terms as nested tuples, flat sums."""

    def term(edge, value):
        label = genotype.of(f"c/{edge}")[0]
        if label == "identity":
            return value
        kernel = next(p for i, p in genotype.picks if i.startswith(f"c/{edge}."))
        return (("conv", kernel, value),)

    one = term("x[1]<-a", ("a",))
    return tuple(sorted(map(repr, term("x[2]<-a", ("a",)) + term("x[2]<-x[1]", one))))


def test_an_identity_is_no_digest(nb201, every):
    a, b = every[0], every[-1]
    assert Canonical(nb201)(a) != Canonical(nb201)(b)
    assert len(Canonical(nb201)(a)) == 16 == len(digest(nb201))
    assert Canonical(nb201, "zero")(a) != Canonical(nb201, "function")(a)
    with pytest.raises(ValueError, match="unknown notion `exact`"):
        Canonical(nb201, "exact")
    assert len(list(unique(every[:200], nb201, "skip"))) < 200
