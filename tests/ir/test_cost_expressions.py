"""Costs as expressions: equal to the cost of the lowered network for every architecture."""

import random
from fractions import Fraction

import pytest
from spaces_for_tests import bundled_space, space_of

from nasdsl.ir import cost, memory
from nasdsl.ir.cell import Arrival, Cell, CellEdge, CellInput, CellNode, Pick
from nasdsl.ir.expression import CostError, Expression, Factor, Term, Wiring, evaluate, times, total
from nasdsl.ir.extremes import extreme
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.op import Choice, Prim, Seq, Varied
from nasdsl.ir.optable import OPS
from nasdsl.ir.sampling import sample
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Decision, Network, Space, Stage

SPACES = (
    ("darts.nas", "darts", {"C": 8, "layers": 4}),
    ("darts.nas", "darts_imagenet", {"C": 8, "layers": 3}),
    ("nasbench201.nas", "nasbench201", {}),
    ("nasnet.nas", "nasnet", {"C": 4, "layers": 3}),
    ("quickstart.nas", "small", {}),
    ("mobile.nas", "nasbench_macro", {}),
    ("transbench101.nas", "tnb101_micro", {}),
    ("transbench101.nas", "tnb101_jigsaw", {}),
    ("small.nas", "hierarchical", {}),
    ("small.nas", "one_edge", {}),
    ("robust_darts.nas", "robust_s1", {}),
    ("robust_darts.nas", "robust_s4", {}),
    ("bench_suite.nas", "single_cell_all_skip", {}),
)
NAMES = [s[1] for s in SPACES]


@pytest.mark.parametrize(("file", "name", "parameters"), SPACES, ids=NAMES)
def test_an_expression_is_the_cost_of_every_architecture(file, name, parameters):
    space = bundled_space(file, name, **parameters)
    found = {measure: cost.expression(space, measure) for measure in cost.MEASURES}
    kept = cost.expression(space, "saved")
    rng = random.Random(1)
    for _ in range(4):
        genotype = sample(space, rng)
        net = bundled_space(file, name, genotype=genotype, **parameters).target
        whole = cost.of_network(net)
        for measure, expression in found.items():
            assert evaluate(expression, genotype) == getattr(whole, measure)
        # What is kept is an upper estimate.
        assert evaluate(kept, genotype) >= memory.training(net).sample


@pytest.mark.parametrize(
    ("file", "name", "parameters"),
    [SPACES[0], SPACES[3], SPACES[5]],
    ids=["darts", "nasnet", "nasbench_macro"],
)
def test_kept_bytes_are_exact_where_every_node_has_two_operations(file, name, parameters):
    space = bundled_space(file, name, **parameters)
    kept = cost.expression(space, "saved")
    rng = random.Random(2)
    for _ in range(5):
        genotype = sample(space, rng)
        net = bundled_space(file, name, genotype=genotype, **parameters).target
        # A relu behind a sum that is one skip connection alone is the only other case.
        exact = memory.training(net).sample
        assert exact <= evaluate(kept, genotype) <= 1.01 * exact


def test_two_operations_on_one_edge_count_twice():
    space = bundled_space("nasbench201.nas", "nasbench201")
    params = cost.expression(space, "params")
    picks = tuple((d.id, "skip_connect") for d in space.decisions)
    once = evaluate(
        params, Genotype(space="s", picks=(*picks[:-1], (picks[-1][0], "nor_conv_1x1")))
    )
    twice = evaluate(
        params, Genotype(space="s", picks=(*picks[:-1], *[(picks[-1][0], "nor_conv_1x1")] * 2))
    )
    assert evaluate(params, Genotype(space="s", picks=picks)) == 73_306
    assert twice - 73_306 == 2 * (once - 73_306) > 0


def test_edges_that_are_not_kept_cost_nothing():
    space = bundled_space("darts.nas", "darts", C=8, layers=4)
    macs = cost.expression(space, "macs")
    assert dict(macs.stay)["normal/x[4]<-prev"] == Fraction(2, 5)
    nothing = evaluate(macs, Genotype(space="darts", picks=()))
    assert nothing == cost.fixed(space.target).macs
    both = (("normal/x[1]<-prev", "sep_conv_3x3"), ("normal/x[1]<-prev2", "sep_conv_3x3"))
    one = evaluate(macs, Genotype(space="darts", picks=both[:1]))
    assert evaluate(macs, Genotype(space="darts", picks=both)) - nothing == 2 * (one - nothing)


def test_what_an_expression_does_not_speak_of():
    space = bundled_space("nasnet.nas", "nasnet", C=4, layers=3)
    params = cost.expression(space, "params")
    edge = space.decisions[0].id
    with pytest.raises(CostError, match="no option `conv_9x9`"):
        evaluate(params, Genotype(space="nasnet", picks=((edge, "conv_9x9"),)))
    with pytest.raises(CostError, match="no decision `normal/z`"):
        evaluate(params, Genotype(space="nasnet", picks=(("normal/z", "none"),)))
    with pytest.raises(CostError, match="the output of `normal` joins other nodes"):
        evaluate(
            params, Genotype(space="nasnet", picks=(), outputs=(("normal", ("x[4]", "x[5]")),))
        )
    with pytest.raises(CostError, match="unknown measure `latency`"):
        cost.expression(space, "latency")


def test_either_network_of_a_space():
    space = bundled_space("darts.nas", "darts", C=8, layers=4)
    genotype = sample(space, random.Random(0))
    small = evaluate(cost.expression(space, "macs", supernet=True), genotype)
    assert small < evaluate(cost.expression(space, "macs"), genotype)


# ---- hand-made networks: settings of values, depths, picked edges


def prim(kind, inp, **given):
    attrs = {p.name: p.default for p in OPS[kind].params} | given
    out = OPS[kind].shape(attrs, inp)
    names = [p.name for p in OPS[kind].params]
    return Prim(kind=kind, attrs=tuple((n, attrs[n]) for n in names), inp=inp, out=out)


IMAGE = Shape("image", (4, 8, 8))


def space_with(body, decisions, **stage):
    """A space of one stage and a classifier."""
    flat = prim("flatten", IMAGE)
    head = Seq(
        parts=(flat, prim("linear", flat.out, out=3)), inp=IMAGE, out=Shape("features", (3,))
    )
    network = Network(
        name="n",
        inp=IMAGE,
        stages=(
            Stage(name="a", role="body", body=body, inputs=(-1,), out=IMAGE, **stage),
            Stage(name="head", role="head", body=head, inputs=(0,), out=head.out),
        ),
    )
    return Space(
        name="s", parameters=(), supernet=network, target=network, decisions=decisions,
        rules=(), format="nas",
    )  # fmt: skip


HEAD = 4 * 8 * 8 * 3 + 3


def test_a_primitive_under_joint_settings():
    options = tuple(prim("conv", IMAGE, kernel=k, out=4, groups=g) for k in (1, 3) for g in (1, 2))
    body = Varied(
        decisions=("k", "g"), labels=(("1", "3"), ("1", "2")), options=options, inp=IMAGE, out=IMAGE
    )
    decisions = (
        Decision(id="k", table="k", kind="value", labels=("1", "3")),
        Decision(id="g", table="g", kind="value", labels=("1", "2")),
    )
    params = cost.expression(space_with(body, decisions), "params")
    for k, g, wanted in (("1", "1", 16), ("1", "2", 8), ("3", "1", 144), ("3", "2", 72)):
        picks = (("k", k), ("g", g))
        assert evaluate(params, Genotype(space="s", picks=picks)) == wanted + HEAD
    assert params.decisions == ("k", "g")
    # The supernet holds the largest, of which the others are slices.
    assert cost.of_op(body).params == 144


def test_a_stage_of_a_repeat_counts_from_its_round_on():
    conv = prim("conv", IMAGE, kernel=3, out=4)
    depth = Decision(id="d", table="d", kind="depth", labels=("1", "2", "3"))
    found = {}
    for number in (1, 2, 3):
        space = space_with(conv, (depth,), rounds=(("d", "body[1]", number),))
        params = cost.expression(space, "params")
        found[number] = [
            evaluate(params, Genotype(space="s", picks=(("d", label),))) - HEAD
            for label in depth.labels
        ]
    assert found == {1: [144, 144, 144], 2: [0, 144, 144], 3: [0, 0, 144]}


def test_choices_inside_options_multiply():
    inner = Choice(
        decision="k",
        labels=("one", "three"),
        options=(prim("conv", IMAGE, kernel=1, out=4), prim("conv", IMAGE, kernel=3, out=4)),
        inp=IMAGE,
        out=IMAGE,
    )
    outer = Choice(
        decision="o", labels=("skip", "conv"), options=(prim("identity", IMAGE), inner),
        inp=IMAGE, out=IMAGE,
    )  # fmt: skip
    below = Decision(id="k", table="", kind="op", labels=("one", "three"))
    decisions = (
        Decision(id="o", table="o", kind="op", labels=("skip", "conv"), nested=((), (below,))),
    )
    params = cost.expression(space_with(outer, decisions), "params")
    values = [
        evaluate(params, Genotype(space="s", picks=picks)) - HEAD
        for picks in (
            (("o", "skip"),),
            (("o", "conv"), ("k", "one")),
            (("o", "conv"), ("k", "three")),
        )
    ]
    assert values == [0, 16, 144]
    assert Term(144, (Factor("k", ("three",)), Factor("o", ("conv",)))) in params.terms


def test_picked_edges_and_what_stands_on_their_nodes():
    def edge(source, target, op):
        return CellEdge(source=source, target=target, op=op)

    conv, skip = prim("conv", IMAGE, kernel=1, out=4), prim("identity", IMAGE)
    vertex = Choice(
        decision="c/x", labels=("one", "three"),
        options=(conv, prim("conv", IMAGE, kernel=3, out=4)), inp=IMAGE, out=IMAGE,
    )  # fmt: skip
    cell = Cell(
        name="c", table="c", stride=1, width=4,
        inputs=(CellInput(name="a", inp=IMAGE, prepare=skip),),
        nodes=(
            CellNode(name="x", how="sum", after=vertex),
            CellNode(name="y", how="sum", after=skip),
        ),
        edges=(edge("a", "x", conv), edge("a", "y", conv), edge("x", "y", skip)),
        output=Arrival(node="y"),
        out=IMAGE,
        picks=(Pick(targets=("x", "y"), count=None),),
    )  # fmt: skip
    decisions = (
        Decision(id="c/x", table="c", kind="op", labels=("one", "three")),
        Decision(id="c/x<-*", table="c", kind="subset", labels=("a",), count=1),
        Decision(id="c/y<-*", table="c", kind="subset", labels=("a", "x"), count=1),
    )
    params = cost.expression(space_with(cell, decisions), "params")

    def value(*picks):
        return evaluate(params, Genotype(space="s", picks=(("c/x", "three"), *picks))) - HEAD

    assert value(("c/x<-*", "a"), ("c/y<-*", "x")) == 16 + 144
    assert value(("c/x<-*", "a"), ("c/y<-*", "x"), ("c/y<-*", "a")) == 16 + 144 + 16
    # A node without edges is not there, nor what stands on it.
    assert value(("c/y<-*", "a")) == 16


PICKS = """nas 1
op block(k) = conv(k) >> bn
ops vertices { small = block(1)  large = block(3)  pool = max_pool(3) }
space s(C = 4) {
  cell c {
    in   a
    node x[4] : one_of vertices
    edge a    -> x : block(1)
    edge x[<] -> x
    edge a    -> out : block(3)
    edge x    -> out
    pick any per x[2]
    pick 2 per {x[3], out}
    out  x[1] + x[2] + x[3] + x[4] + a
  }
  width = C
  input image(4, 8, 8)
  stage c
  stage c
  head global_avg_pool >> linear(10)
}
"""


def test_picked_edges_of_lowered_cells():
    """Nodes that nothing reaches, or that do not reach the output, cost nothing."""
    space = space_of(PICKS, "s")
    params, macs = (cost.expression(space, measure) for measure in ("params", "macs"))
    rng, sizes = random.Random(0), set()
    for _ in range(60):
        genotype = sample(space, rng)
        whole = cost.of_network(space_of(PICKS, "s", genotype=genotype).target)
        assert evaluate(params, genotype) == whole.params
        assert evaluate(macs, genotype) == whole.macs
        sizes.add(len(Wiring.left(params.wirings[0], picked(genotype))))
    assert len(sizes) >= 3
    low, high = (extreme(params, space, largest=largest).amount for largest in (False, True))
    values = [evaluate(params, sample(space, rng)) for _ in range(200)]
    assert low <= min(values) <= max(values) <= high


def picked(genotype):
    targets = [key for key, _ in genotype.picks if key.endswith("<-*")]
    return {key[len("c/") : -len("<-*")]: genotype.of(key) for key in targets}


def test_widths_that_follow_from_picks_are_not_expressible():
    space = bundled_space("nasbench101.nas", "nasbench101", n=1)
    with pytest.raises(CostError, match="the widths of cell `c` follow"):
        cost.expression(space, "params")


# ---- products


def test_products_of_indicators():
    a, b = Factor("d", ("a", "b")), Factor("d", ("b", "c"))
    assert times((a,), (b,)) == (Factor("d", ("b",)),)
    assert times((Factor("d", ("a",)),), (Factor("d", ("b",)),)) is None
    assert times((Factor("d"),), (a,), (Factor("d"),)) == (a,)
    # Neither of these nor of those: none of all.
    neither = times((Factor("d", ("a",), True),), (Factor("d", ("b",), True),))
    assert neither == (Factor("d", ("a", "b"), True),)
    # A subset takes several.
    both = times((Factor("c/x<-*", ("a",)),), (Factor("c/x<-*", ("b",)),))
    assert both == (Factor("c/x<-*", ("a",)), Factor("c/x<-*", ("b",)))


def test_equal_products_are_added_up():
    f = (Factor("d", ("a",)),)
    assert total([Term(1, f), Term(2), Term(3, f), Term(-2)]) == (Term(4, f),)
    none = Expression(measure="m", terms=(Term(5, (Factor("d", ("a",), True),)),),
                      labels=(("d", ("a", "b")),))  # fmt: skip
    assert [evaluate(none, Genotype(space="s", picks=(("d", x),))) for x in "ab"] == [0, 5]


def test_pieces_run_through_the_network_one_by_one():
    """Nine pieces of a jigsaw: nine times the multiply-adds, the parameters once."""
    space = bundled_space("transbench101.nas", "tnb101_jigsaw")
    stem = cost.of_stages(space.target)[0]
    # 3 -> 32 -> 64 channels, 64 x 64 to 32 x 32 to 16 x 16 pixels.
    assert stem.macs == 9 * (3 * 32 * 9 * 32 * 32 + 32 * 64 * 9 * 16 * 16)
    assert stem.params == 3 * 32 * 9 + 64 + 32 * 64 * 9 + 128
    # The head reads the features of all nine at once.
    assert cost.of_stages(space.target)[-1].macs == 9 * 512 * 1000
