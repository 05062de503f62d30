"""A space as text and back, its digest, and the invariants of a sound space."""

import contextlib
import random
from dataclasses import replace
from fractions import Fraction

import pytest
from spaces_for_tests import bundled_space

from nasdsl import resources
from nasdsl.diagnostics.model import Diagnostics
from nasdsl.ir.cell import Arrival, Cell, Keep, Pick
from nasdsl.ir.formats import forms
from nasdsl.ir.op import Choice, Prim, Seq
from nasdsl.ir.printer import digest, print_space
from nasdsl.ir.reader import read_space
from nasdsl.ir.reading.lines import ReadError
from nasdsl.ir.requirement import Amount, Measure, Relation, Requirement
from nasdsl.ir.shape import Shape
from nasdsl.ir.verify import verify
from nasdsl.lowering import networks
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.modules import Loader, bundled, library


def every_space():
    """File and space of everything bundled that is complete by itself."""
    found = []
    for file in resources.listing("spaces", ".nas"):
        module = Loader(library(), Diagnostics()).load(*bundled(file))
        found += [(file, d.name) for d in module.defined("space")]
    return found


def space_named(file, name):
    diags = Diagnostics()
    module = Loader(library(), diags).load(*bundled(file))
    return networks.space(diags, Flattener(diags), module.names[name])


@pytest.mark.parametrize(("file", "name"), every_space(), ids=lambda v: str(v))
def test_every_bundled_space_reads_back_and_is_sound(file, name):
    space = space_named(file, name)
    text = print_space(space)
    again = read_space(text)
    assert again == space
    assert print_space(again) == text
    assert digest(again) == digest(space)
    assert verify(space) == []


@pytest.fixture(scope="module")
def small():
    return bundled_space("darts.nas", "darts", C=4, layers=3)


def test_a_resolved_target_is_sound_too(small):
    gene = forms.parse(
        "Genotype(normal=[('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
        "('dil_conv_5x5', 1), ('sep_conv_5x5', 1), ('skip_connect', 0), ('max_pool_3x3', 0), "
        "('dil_conv_3x3', 2)], normal_concat=range(3, 6), reduce=[('max_pool_3x3', 0), "
        "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
        "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
        "reduce_concat=range(2, 6))",
        small,
    )
    space = bundled_space("darts.nas", "darts", C=4, layers=3, genotype=gene)
    assert verify(space) == []
    assert read_space(print_space(space)) == space


def limit(text, table=None):
    """`measure < number` as a value."""
    name, _, number = text.split()
    test = Relation(op="<", left=Measure(name=name), right=Amount(value=Fraction(number)))
    return Requirement(text=text, test=test, table=table)


def test_names_and_texts_that_need_quotes(small):
    odd = replace(
        small,
        name="except",
        parameters=(("data", 'a "quoted"\nline'), ("->", "ü")),
        requires=(limit("params < 3", table="measure"),),
    )
    odd = with_cell(odd, name="per", keeps=lambda k: (replace(k[0], exclude=("per", "f(3, 4)")),))
    odd = with_edge(odd, source="all", target=":")
    odd = with_prim(odd, "bn", kind="seq", attrs=(("pad", "same"), ("empty", ()), ("x", -1)))
    assert read_space(print_space(odd)) == odd


def test_the_digest_is_stable_and_tells_spaces_apart(small):
    assert digest(small) == digest(bundled_space("darts.nas", "darts", C=4, layers=3))
    assert len(digest(small)) == 16
    others = [
        replace(small, name="other"),
        replace(small, classes=11),
        replace(small, requires=(limit("params < 1"),)),
        replace(small, parameters=small.parameters[1:]),
        replace(small, format="nas"),
        replace(small, decisions=small.decisions[1:]),
        replace(small, rules=small.rules[1:]),
        replace(small, target=small.supernet),
        with_prim(small, "conv", attrs=change("bias", True)),
        with_prim(small, "bn", attrs=change("eps", 1e-4)),
        with_cell(small, keeps=()),
        with_cell(small, stride=3),
    ]
    digests = {digest(small), *(digest(s) for s in others)}
    assert len(digests) == len(others) + 1


# ---- what cannot be read


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("ir 1", "ir 2", 1, "begins with `ir 1`"),
        ("  format darts", "   format darts", 3, "indentation"),
        ("  format darts", "  farmat darts", 3, "unknown line `farmat`"),
        ("  format darts", "  format darts now", 3, "`now` is too much"),
        ("  format darts", "", 2, "`format` is missing"),
        ("  classes 10", "  classes ten", 4, "whole number, not `ten`"),
        ("  classes 10", '  classes "1', 4, "cannot be read"),
        ("  classes 10", "  stage 1", 4, "a name is missing"),
        ("stage 1 ", "stage 7 ", None, "stage 1 is wanted here, not 7"),
        ("      cell normal.0", "      cell normal.9", None, "no cell `normal.9` stands above"),
        ("cell normal.1", "cell normal.0", None, "cell `normal.0` stands twice"),
        ("edge prev ->", "edge prev >", None, "`->` is wanted before `>`"),
        ("    output\n", "    output\n      arrival x[1]\n", None, "given twice"),
        ("kernel=[3,3]", "kernel=[3;3]", None, "is no value"),
        (": 3x32x32", ": 3x32xx32", None, "is no shape"),
        ("    stride 1\n", "", None, "`stride` is missing"),
        ("space darts", "space", 2, "a name is missing"),
    ],
)
def test_mistakes_in_a_text_name_their_line(small, old, new, line, message):
    text = print_space(small)
    assert old in text
    with pytest.raises(ReadError, match=message) as caught:
        read_space(text.replace(old, new, 1))
    if line is not None:
        assert caught.value.line == line
    assert str(caught.value).startswith(f"line {caught.value.line}: ")


def test_no_damaged_text_breaks_the_reader():
    rng = random.Random(0)
    text = print_space(bundled_space("nasbench201.nas", "nasbench201", C=4, n=1))
    lines = text.split("\n")
    for _ in range(300):
        damaged = list(lines)
        for _ in range(rng.randint(1, 3)):
            i = rng.randrange(len(damaged))
            match rng.randrange(4):
                case 0:
                    del damaged[i]
                case 1:
                    damaged[i] = damaged[i][2:]
                case 2:
                    damaged[i] += rng.choice([" x", ' "', " =", " : 3x3", " -> 3"])
                case _:
                    damaged[i] = damaged[i].replace(rng.choice("aeiot:1"), rng.choice('x"= '), 1)
        with contextlib.suppress(ReadError):
            read_space("\n".join(damaged))
    for garbage in ("", "\n", "ir 1", "ir 1\nspace", "ir 1\nstage 1", "\x00", "ir 1\n" * 3):
        with pytest.raises(ReadError):
            read_space(garbage)


def test_depth_costs_no_recursion():
    deep = 5000
    shape = Shape("image", (1, 2, 2))
    lines = ["ir 1", "space s", "  format nas", "  network supernet n", "    input 1x2x2"]
    lines += ["    stage 0 s body from input : 1x2x2"]
    lines += ["  " * (3 + i) + "seq : 1x2x2" for i in range(deep)]
    lines += ["  network target n", "    input 1x2x2"]
    text = "\n".join(lines)
    space = read_space(text)
    op = space.supernet.stages[0].body
    for _ in range(deep - 1):
        (op,) = op.parts
    assert op == Seq(parts=(), inp=shape, out=shape)
    assert read_space(print_space(space)).name == "s"
    assert verify(space) == ["stage_names: target: no stages"]


# ---- broken spaces


def change(name, value):
    return lambda attrs: tuple((k, value if k == name else v) for k, v in attrs)


def with_cell(space, **changes):
    """The space with fields of the first cell of the supernet changed."""
    stages = list(space.supernet.stages)
    i = next(i for i, s in enumerate(stages) if isinstance(s.body, Cell))
    made = {k: v(getattr(stages[i].body, k)) if callable(v) else v for k, v in changes.items()}
    stages[i] = replace(stages[i], body=replace(stages[i].body, **made))
    return replace(space, supernet=replace(space.supernet, stages=tuple(stages)))


def with_edge(space, number=0, **changes):
    def edit(edges):
        edge = edges[number]
        made = {k: v(getattr(edge, k)) if callable(v) else v for k, v in changes.items()}
        return (*edges[:number], replace(edge, **made), *edges[number + 1 :])

    return with_cell(space, edges=edit)


def with_stage(space, number, **changes):
    stages = list(space.supernet.stages)
    made = {k: v(getattr(stages[number], k)) if callable(v) else v for k, v in changes.items()}
    stages[number] = replace(stages[number], **made)
    return replace(space, supernet=replace(space.supernet, stages=tuple(stages)))


def with_prim(space, which, **changes):
    """The space with the first primitive of a kind in its first stage changed."""

    def edit(op):
        if isinstance(op, Prim) and op.kind == which:
            made = {k: v(getattr(op, k)) if callable(v) else v for k, v in changes.items()}
            return replace(op, **made)
        if isinstance(op, Seq):
            return replace(op, parts=tuple(edit(p) for p in op.parts))
        return op

    return with_stage(space, 0, body=edit)


def with_decision(space, **changes):
    first, *rest = space.decisions
    return replace(space, decisions=(replace(first, **changes), *rest))


BIG = Shape("image", (99, 8, 8))

BROKEN = {
    "primitive: supernet stem: `conv` on 3x32x32 yields 12x32x32, not 99x8x8": lambda s: with_prim(
        s, "conv", out=BIG
    ),
    "primitive: supernet stem: `canv` is not in the op table": lambda s: with_prim(
        s, "conv", kind="canv"
    ),
    "has the parameters kernel, out": lambda s: with_prim(s, "conv", attrs=lambda a: a[:2]),
    "primitive: supernet stem: `conv` cannot take 3x32x32: 3 -> 12 channels": lambda s: with_prim(
        s, "conv", attrs=change("groups", 2)
    ),
    "sequence: supernet stem: part 1 takes 12x32x32, 99x8x8 arrives": lambda s: with_prim(
        s, "conv", out=BIG
    ),
    "sequence: supernet stem: the sequence ends with 12x32x32, not 99x8x8": lambda s: with_stage(
        s, 0, body=lambda b: replace(b, out=BIG)
    ),
    "choice: supernet normal_0 x[1]<-prev2: 7 labels for 8 options": lambda s: with_edge(
        s, op=lambda o: replace(o, labels=o.labels[1:])
    ),
    "choice: supernet normal_0 x[1]<-prev2: a label stands twice": lambda s: with_edge(
        s, op=lambda o: replace(o, labels=(*o.labels[1:], "max_pool_3x3"))
    ),
    "has no options; that is no choice": lambda s: with_edge(
        s, op=lambda o: replace(o, labels=(), options=())
    ),
    "choice: supernet normal_0 x[1]<-prev2: option `none` is 4x32x32 -> 99x8x8": lambda s: (
        with_edge(
            s, op=lambda o: replace(o, options=(replace(o.options[0], out=BIG), *o.options[1:]))
        )
    ),
    "names: supernet normal_0: `x[1]` is the name of two nodes": lambda s: with_cell(
        s, nodes=lambda n: (n[0], *n)
    ),
    "names: supernet normal_0: `out` is the name of a node": lambda s: with_cell(
        s, nodes=lambda n: (*n, replace(n[0], name="out"))
    ),
    "names: supernet normal_0: the cell has no input": lambda s: with_cell(s, inputs=()),
    "edges: supernet normal_0: edge x[1]<-nowhere: there is no node `nowhere`": lambda s: with_edge(
        s, source="nowhere"
    ),
    "edges: supernet normal_0: edge x[1]<-x[3] runs backwards": lambda s: with_edge(
        s, source="x[3]"
    ),
    "edges: supernet normal_0: edge prev<-prev2 runs into an input": lambda s: with_edge(
        s, target="prev"
    ),
    "edges: supernet normal_0: edge x[1]<-prev stands twice": lambda s: with_edge(s, source="prev"),
    "graph: supernet normal_0: the graph of the cell has a cycle": lambda s: with_edge(
        s, source="x[1]"
    ),
    "cell_shapes: supernet normal_0 x[1]<-prev2: takes 99x8x8, `prev2` is 4x32x32": lambda s: (
        with_edge(s, op=Prim(kind="identity", inp=BIG, out=BIG))
    ),
    "cell_shapes: supernet normal_0 x[1]: its arrivals do not fit together": lambda s: with_edge(
        s, op=Prim(kind="identity", inp=BIG, out=BIG)
    ),
    "cell_shapes: supernet normal_0 x[1]: nothing reaches it": lambda s: with_cell(
        s, edges=lambda e: e[2:]
    ),
    "cell_shapes: supernet normal_0 x[1]: `median` joins nothing": lambda s: with_cell(
        s, nodes=lambda n: (replace(n[0], how="median"), *n[1:])
    ),
    "output: supernet normal_0: the output reads `x[9]`, which is no node": lambda s: with_cell(
        s, output=Arrival(node="x[9]")
    ),
    "output: supernet normal_0: the output is 4x32x32, the cell says 16x32x32": lambda s: with_cell(
        s, output=Arrival(node="x[1]")
    ),
    "rules: supernet normal_0: `keep 0` leaves no edge": lambda s: with_cell(
        s, keeps=lambda k: (replace(k[0], count=0),)
    ),
    "rules: supernet normal_0: `keep` speaks of `x[9]`, which is no node": lambda s: with_cell(
        s, keeps=(Keep(targets=("x[9]",), count=1),)
    ),
    "rules: supernet normal_0: `pick 3` at `x[1]`, which 2 edges reach": lambda s: with_cell(
        s, keeps=(), picks=(Pick(targets=("x[1]",), count=3),)
    ),
    "rules: supernet normal_0: `x[1]` has two rules": lambda s: with_cell(
        s, picks=(Pick(targets=("x[1]",), count=1),)
    ),
    "rules: supernet normal_0: `keep` excludes every option of x[1]<-prev2": lambda s: with_cell(
        s,
        keeps=lambda k: (replace(k[0], exclude=s.decisions[0].labels),),
    ),
    "decisions: `normal/x[1]<-prev2` stands twice": lambda s: replace(
        s, decisions=(s.decisions[0], *s.decisions)
    ),
    "decisions: `normal/x[1]<-prev2`: 1 groups below 8 options": lambda s: with_decision(
        s, nested=((),)
    ),
    "decided: supernet normal_0 x[1]<-prev2: there is no decision `normal/x[1]<-prev2`": lambda s: (
        with_decision(s, id="other")
    ),
    "decided: supernet normal_0 x[1]<-prev2: `normal/x[1]<-prev2` decides between none": lambda s: (
        with_decision(s, labels=("none",), nested=())
    ),
    "tables: rules of `nothing`, which is no cell's table": lambda s: replace(
        s, rules=(replace(s.rules[0], table="nothing"),)
    ),
    "tables: rules of `normal`: `x[1]` has no edge `normal/x[1]<-x[0]`": lambda s: replace(
        s, rules=(replace(s.rules[0], rows=(("x[1]", ("normal/x[1]<-x[0]",)),)),)
    ),
    "stages: supernet normal_0: it reads stage 1, which does not come before it": lambda s: (
        with_stage(s, 1, inputs=(0, 1))
    ),
    "stages: supernet normal_0: it reads nothing": lambda s: with_stage(s, 1, inputs=()),
    "stages: supernet normal_0: the cell takes 12x32x32 and 12x32x32, 3x32x32": lambda s: (
        with_stage(s, 1, inputs=(-1, 0))
    ),
    "stages: supernet stem: it yields 12x32x32, the stage says 99x8x8": lambda s: with_stage(
        s, 0, out=BIG
    ),
    "stage_names: supernet: two stages are called `stem`": lambda s: with_stage(s, 1, name="stem"),
    "stage_names: supernet: `stem` is a head, but not last": lambda s: with_stage(
        s, 0, role="head"
    ),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_space_is_told_what_is_wrong(small, message):
    found = verify(BROKEN[message](small))
    assert any(message in line for line in found), found


def test_parallel_and_nested_operations_are_checked():
    s = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1)
    i = next(i for i, st in enumerate(s.supernet.stages) if st.name.startswith("resblock"))
    part = s.supernet.stages[i].body
    assert type(part).__name__ == "Par"
    found = verify(with_stage(s, i, body=replace(part, how="product")))
    assert any("parallel: " in f and "`product` joins nothing" in f for f in found)
    found = verify(with_stage(s, i, body=replace(part, parts=())))
    assert any("nothing is parallel" in f for f in found)
    h = space_named("small.nas", "hierarchical")

    def shrink(op):
        options = tuple(replace(o, out=BIG) if hasattr(o, "cell") else o for o in op.options)
        return replace(op, options=options)

    stages = list(h.supernet.stages)
    k = next(k for k, st in enumerate(stages) if st.name == "outer_0")
    edges = stages[k].body.edges
    assert isinstance(edges[0].op, Choice)
    body = replace(stages[k].body, edges=(replace(edges[0], op=shrink(edges[0].op)), *edges[1:]))
    found = verify(with_stage(h, k, body=body))
    assert any(f.startswith("nested: ") and "not 99x8x8" in f for f in found)
