"""No text makes the front end raise, hang or point outside the text."""

import time

import pytest
from checking import checked, codes
from mutations import BUNDLED, mutated

from nasdsl.ir.optable import OPS
from nasdsl.ir.schema import BLOCKS, SLOTS


def network(*statements, before=""):
    body = "\n".join(statements)
    return (
        f"nas 1\n{before}\nspace s {{\n  width = 8\n  input image(3, 32, 32)\n{body}\n"
        "  head global_avg_pool >> linear(10)\n}\n"
    )


@pytest.mark.parametrize("name", BUNDLED)
def test_mutated_bundled_files(name):
    for seed in range(16):
        checked(mutated(BUNDLED[name], f"{name} {seed}"), name, key=f"bundled:{name}")


@pytest.mark.slow
def test_many_more_mutated_files():
    names = list(BUNDLED)
    for seed in range(4000):
        name = names[seed % len(names)]
        checked(mutated(BUNDLED[name], seed), name, key=f"bundled:{name}")


# ---- depth

N = 10_000
DEEP = {
    "parentheses": "nas 1\nlet a = " + "(" * N + "1" + ")" * N,
    "lists": "nas 1\nlet a = " + "[" * N + "1" + "]" * N,
    "sets": "nas 1\nlet a = " + "{" * N + "1" + "}" * N,
    "calls": "nas 1\nlet a = " + "f(" * N + "1" + ")" * N,
    "minus": "nas 1\nlet a = " + "-" * N + "1",
    "not": "nas 1\nlet a = " + "not " * N + "true",
    "fresh": "nas 1\nlet a = " + "fresh " * N + "b",
    "sequence": network("stage " + " >> ".join(["relu"] * N)),
    "parallel": network("stage " + " + ".join(["relu"] * N)),
    "sum": network("stage conv(" + " + ".join(["1"] * N) + ")"),
    "conditions": network("stage " + " if true else ".join(["relu"] * N)),
    "conjunctions": "nas 1\nlet a = " + " and ".join(["true"] * N),
    "blocks": "nas 1\nspace s {\n" + "repeat 2 {" * N + "}" * N + "}",
    "open": "nas 1\nlet a = " + "(" * N,
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_nesting_is_refused_with_a_place(name):
    assert codes(DEEP[name]) == ["E023"]


@pytest.mark.parametrize(
    "text",
    [
        "nas 1\nlet a = " + "(" * 99 + "1" + ")" * 99,
        network("stage " + " >> ".join(["relu"] * 90)),
        network("repeat 1 {" * 90 + "stage relu" + "}" * 90),
    ],
    ids=["parentheses", "sequence", "blocks"],
)
def test_what_nests_less_than_the_bound_is_fine(text):
    assert codes(text) == []


# ---- size

HUGE = {
    "repeats of two": (network("repeat 2 {" * 30 + "stage relu" + "}" * 30), "E116"),
    "large repeats": (network("repeat 10k { repeat 10k { stage relu } }"), "E116"),
    "empty repeats": (network("repeat 10k { repeat 10k { } }"), "E116"),
    "doubling ops": (
        network(
            "stage f40",
            before="op f0 = relu\n" + "\n".join(f"op f{i + 1} = f{i} >> f{i}" for i in range(40)),
        ),
        "E116",
    ),
    "doubling numbers": (
        network(
            "stage conv(a40)",
            before="let a0 = 1\n" + "\n".join(f"let a{i + 1} = a{i} + a{i}" for i in range(40)),
        ),
        "E116",
    ),
    "doubling numbers of a recipe": (
        "nas 1\nlet a0 = 1\n"
        + "\n".join(f"let a{i + 1} = a{i} + a{i}" for i in range(40))
        + "\nrecipe r { batch = a40 }",
        "E116",
    ),
    "list": (network("stage conv([0..1e12])"), "E116"),
    "domain": (network("stage conv(3, out = int 1..1e9)"), "E116"),
    "grid": (
        'nas 1\nfrom "recipes/darts.nas" import darts\nsuite q { recipes = grid(darts, '
        + ", ".join(["epochs = [1..9]"] * 12)
        + ") }",
        "E116",
    ),
    "parents": (
        "nas 1\nrecipe r0 {}\n"
        + "".join(f"recipe r{i + 1} extends r{i} {{}}\n" for i in reversed(range(3000))),
        "E116",
    ),
    "digits": ("nas 1\nlet a = " + "9" * 100_000, "E028"),
    "exponent": ("nas 1\nlet a = 1e999999999", "E028"),
    "exp": (network("stage conv(exp(1e6))"), "E028"),
    "exp in a recipe": ("nas 1\nrecipe r { batch = exp(100k) }", "E028"),
    "float": (network("stage dropout(1e200 * 1e200)"), "E304"),
    "kernel": (network("stage conv(1e30)"), "E304"),
    "width": (network("stage conv(3) { width = 1e30 }"), "E208"),
}


@pytest.mark.parametrize("name", HUGE)
def test_what_is_too_large_is_refused_soon(name):
    text, code = HUGE[name]
    start = time.process_time()
    assert code in codes(text)
    assert time.process_time() - start < 10


# ---- odd texts

ODD = {
    "empty": ("", ["E001"]),
    "blank": (" \n\t\n", ["E001"]),
    "comments": ("# a\n# b", ["E001"]),
    "half a version": ("nas", ["E020"]),
    "version": ("nas 1", []),
    "byte-order mark": ("\ufeffnas 1\nlet a = 3\n", []),
    "carriage returns": ("nas 1\r\nlet a = 3 4\r\nlet b = 4\r\n", ["E014"]),
    "old carriage returns": ("nas 1\rlet a = 3\r", []),
    "tabs": ("nas 1\n\tlet\ta = 3 4\n\tlet b = 4\n", ["E014"]),
    "zero byte": ("nas 1\x00", ["E024"]),
    "binary": (bytes(range(256)).decode("utf-8", "replace"), ["E024"]),
    "not UTF-8": (b"nas 1\nlet gr\xf6\xdfe = 3\n".decode("utf-8", "replace"), ["E024"]),
    "unicode space": ("nas 1\nlet a = 1\u00a02\n", ["E013"]),
    "long line": ("nas 1\nlet a = [" + "1, " * 30_000 + "1 2]\nlet b = 3\n", ["E014"]),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_texts(name):
    text, expected = ODD[name]
    assert codes(text) == expected


def test_unicode_names_are_refused_at_their_place():
    found = checked("nas 1\nlet größe = 3\nlet b = 4\n")
    assert [(d.code, str(d.span)) for d in found] == [("E013", "f.nas:2:7")]


def test_columns_count_characters_after_tabs_and_byte_order_marks():
    (found,) = checked("\ufeffnas 1\r\n\tlet a = 3 4\r\nlet b = 1\r\n")
    assert str(found.span) == "f.nas:2:12"


@pytest.mark.parametrize(
    "path", ["", ".", "./", "data", "data/", "~", "a//b", "y" * 5000, "./" + "x" * 5000, "./\ud800"]
)
def test_odd_import_paths(path):
    assert codes(f'nas 1\nfrom "{path}" import a\n')[0] in ("E109", "E105")


# ---- circles

CIRCLES = {
    "op": (network("stage f", before="op f = f"), "E114"),
    "two ops": (network("stage a", before="op a = b\nop b = a"), "E114"),
    "op with arguments": (network("stage f(3)", before="op f(k) = f(k)"), "E114"),
    "growing op": (network("stage f(3)", before="op f(k) = f(k + 1) >> f(k + 2)"), "E114"),
    "let": (network("stage conv(a)", before="let a = a"), "E114"),
    "two lets": (network("stage conv(a)", before="let a = b\nlet b = a"), "E114"),
    "lets of a space": (network("let a = b\nlet b = a\nstage conv(a)"), "E114"),
    "let as op": (network("stage a", before="let a = a"), "E114"),
    "lets of a recipe": ("nas 1\nrecipe r { let a = b let b = a batch = a }", "E114"),
    "lets of a file in a recipe": ("nas 1\nlet a = b\nlet b = a\nrecipe r { batch = a }", "E114"),
    "cell": (network("cell c extends c { in a out a }\nstage c"), "E114"),
    "two cells": (network("cell c extends d { in a out a }\ncell d extends c {}\nstage c"), "E114"),
    "cell in itself": (
        network("cell c { in a node x edge a -> x : c out x }\nstage c"),
        "E114",
    ),
    "fresh cell in itself": (
        network("cell c { in a node x edge a -> x : fresh c out x }\nstage c"),
        "E114",
    ),
    "cells in each other": (
        network(
            "cell c { in a node x edge a -> x : d out x }",
            "cell d { in a node x edge a -> x : c out x }\nstage c",
        ),
        "E114",
    ),
    "op set": (network("stage one_of o", before="ops o extends o { relu }"), None),
    "two op sets": (
        network("stage one_of o", before="ops o extends p { relu }\nops p extends o { gelu }"),
        "E114",
    ),
    "candidate": (network("stage one_of o", before="ops o { f = f\n g = relu }"), "E114"),
    "choice in itself": (network("stage one_of o", before="ops o { f = one_of o\n relu }"), "E114"),
    "set": (network("stage one_of a", before="let a = a + {relu}"), "E114"),
    "spaces": ("nas 1\nspace a extends b {}\nspace b extends a {}", "E106"),
    "space": ("nas 1\nspace a extends a {}", "E106"),
    "phase": ("nas 1\nrecipe r { phase a extends a { epochs = 1 } }", "E101"),
    "two phases": (
        "nas 1\nrecipe r { phase a extends b { epochs = 1 } phase b extends a { epochs = 1 } }",
        "E101",
    ),
    "parameters": (
        "nas 1\nspace s(C = C, D = E, E = D) {\n width = C\n input image(D, 3, 3)\n"
        " head linear(E)\n}",
        "E114",
    ),
    "parameters of a recipe": ("nas 1\nrecipe r(d = e, e = d) { batch = d }", "E114"),
    "data": ("nas 1\ndataset d { source = digits shape = data.shape }", None),
}


@pytest.mark.parametrize("name", CIRCLES)
def test_circles_end(name):
    text, code = CIRCLES[name]
    found = codes(text)
    assert code is None or code in found


# ---- kinds of values

VALUES = [
    *("none", "true", '"s"', "1", "-1", "0", "1/3", "1e9", "[1]", "[]", "[[1]]", "{a}", "{a: 1}"),
    *("relu", "conv(3)", "x.y", "data.shape", "data", "network.C", "network", "linear(1 -> 2)"),
    *("linear(1)", "steps({0: 1})", "steps(3)", "steps({0: {0: 1}})", "one_of {1, 2}", "int 1..3"),
    *("float 0..1", "a >> b", "a + b", "-a", "not a", "1 < 2", "1 if true else 2", "1/0", "1//0"),
    *("data[0%..50%]", "data[0]", "shuffle(data)", "grid(a, b = [1])", "softmax", "sgd(lr = 1)"),
    *("sgd()", "f(1)(2)", "x[1..2]", "search.valid.loss", "image(3, 3, 3)", "image()", "pieces()"),
    *("pieces(1)", "exp()", "exp(1, 2)", "min(x)", "100%", "fresh a", "test.loss", "top(3)"),
    *("stride", "width", "c_in", "supernet", "c", "f(3)", "x[1]", "x[<]", "all", "any", "params"),
    *("concat(relu, gelu)", "concat()", "sum(x)", "{relu} + {gelu}", "{relu} - relu", "[0..2]"),
    *("one_of {relu, gelu}", "one_of {one_of {1, 2}, 3}", "(one_of {relu, gelu}) + relu", "f(2)"),
]


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_slot_with_every_kind_of_value(kind):
    for slot in BLOCKS[kind]:
        for value in VALUES:
            checked(f"nas 1\n{kind} r {{\n  {slot} = {value}\n}}\n")


@pytest.mark.parametrize("slot", SLOTS)
def test_every_component_with_every_kind_of_argument(slot):
    homes = {t.partition(":")[2]: (k, s) for k, ss in BLOCKS.items() for s, t in ss.items()}
    kind, place = homes.get(slot, ("recipe", slot))
    for name, spec in SLOTS[slot].items():
        for param in (*(p.name for p in spec.params), "other"):
            for value in VALUES[::3]:
                checked(
                    f"nas 1\n{kind} r {{\n  {place} = {name}({param} = {value})\n"
                    f"  {place}.{param} = {value}\n}}\n"
                )


@pytest.mark.parametrize("op", OPS)
def test_every_operation_with_every_kind_of_argument(op):
    stages = [op, f"{op}()", f"{op}({', '.join('3' * 10)})"]
    for param in (*(p.name for p in OPS[op].params), "other"):
        stages += [f"{op}({param} = {value})" for value in VALUES[::2]]
    for stage in stages:
        checked(network(f"stage {stage}"))


STATEMENTS = [
    *("width = V", "genotype = V", "stem V", "stage V", "stage relu { stride = V }", "head V"),
    *("stage relu { width = V }", "repeat V { stage relu }", "repeat 3 { stage relu at V }"),
    *("repeat 3 { stage relu head V at 0 }", "let q = V stage q", "let q = V stage conv(q)"),
    *("op q = V stage q", "op q(k) = V stage q(3)", "require V", "require params <= V"),
    *("require V <= 3", "stage one_of V", "stage fresh V", "ops o { q = V } stage one_of o"),
    *("target { q = V }", "cell d { in a : V out a } stage d", "input V"),
    "cell d { in a node x[V] edge a -> x out x } stage d",
    "cell d { in a node x : V edge a -> x out x } stage d",
    "cell d { in a node x edge a -> x : V out x } stage d",
    "cell d { in a node x edge a -> x out V } stage d",
    "cell d { in a node x[3] edge a -> x[V] out x } stage d",
    "cell d { in a node x edge a -> x : one_of {relu, gelu} keep V per node out x } stage d",
    "cell d { in a node x edge a -> x pick V per x out x } stage d",
    "cell d { in a node x edge a -> x keep 1 per node except V out x } stage d",
    "cell d { in a stride = V node x edge a -> x out x } stage d",
    "cell d { in a width = V let q = V node x edge a -> x : q out concat(x, split = V) } stage d",
    "cell d(n = V) { in a node x[n] edge a -> x out x require V } stage d",
    "stage relu { stride = stride * V }",
    "stage conv(3) if V else relu",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_statement_with_every_kind_of_value(statement):
    before = "op f(k) = conv(k)\nlet a = one_of {relu, gelu}\ncell c { in a out a }"
    for value in VALUES:
        checked(network(statement.replace("V", value), before=before))


def test_missing_parameters():
    text = (
        "nas 1\nspace s(C, data) { width = C input data.shape head linear(data.classes) }\n"
        "recipe r(a) { epochs = a }\nop f(k) = conv(k)\ncell c(n) { in a node x[n] edge a -> x out x }"
    )
    assert set(codes(text)) == {"E111"}


# ---- time

LARGE = {
    "ops": lambda n: "nas 1\n" + "".join(f"op f{i}(k) = relu >> conv(k)\n" for i in range(n)),
    "lets of a recipe": lambda n: (
        "nas 1\nrecipe r {\n" + "".join(f"  let a{i} = {i}\n" for i in range(n)) + "  batch = a3\n}"
    ),
    "stages": lambda n: network("\n".join(["  stage relu"] * n)),
    "ops of a space": lambda n: network(
        "\n".join(f"  op f{i} = conv({i})" for i in range(n)), "stage f7"
    ),
    "mistakes": lambda n: (
        "nas 1\n"
        + "".join(f"let a{i} = {i}{' +' if i % (n // 40) == 7 else ''}\n" for i in range(n))
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_twenty_thousand_lines_take_linear_time(name):
    def seconds(lines):
        text = LARGE[name](lines)
        start = time.process_time()
        checked(text)
        return time.process_time() - start

    small = seconds(5000)
    assert seconds(20_000) < 8 * max(small, 0.1)
