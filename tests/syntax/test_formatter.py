"""The formatter keeps the program and the comments, settles at once, and knows the style."""

import re
import time
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasdsl import resources
from nasdsl.diagnostics.model import Diagnostics
from nasdsl.source import Source, Span
from nasdsl.syntax import ast
from nasdsl.syntax.formatting import formatter
from nasdsl.syntax.formatting.formatter import LIMIT, format_module, format_value
from nasdsl.syntax.parser import parse

BUNDLED = resources.listing("spaces", ".nas")
#: Written with other alignment; goes once `nasdsl fmt` has run over them.
NOT_IN_STYLE: frozenset[str] = frozenset()
NOWHERE = Span(Source.of("nowhere", ""), 0, 0)
TOKEN = re.compile(
    r'#[^\n]*|"[^"\n]*"|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[kMG%]?|\w+|>>|//|->|\.\.|[<>=!]=|\S'
)


def read(text: str) -> ast.Module:
    diags = Diagnostics()
    parsed = parse(Source.of("test.nas", text), diags)
    assert parsed is not None and [d.code for d in diags] == [], text
    return parsed.module


def formatted(text: str) -> str:
    """The canonical text, after checking what holds for every text."""
    module = read(text)
    once = format_module(module)
    again = read(once)
    assert again == module
    assert [c.text for c in again.comments] == [c.text for c in module.comments]
    assert format_module(again) == once
    assert once.endswith("\n") and not once.endswith("\n\n")
    assert not re.search(r"[ \t]\n|\n\n\n|\{\n\n|\n\n *\}", once)
    return once


def bundled(name: str) -> str:
    text = resources.read("spaces", name)
    assert text is not None
    return text


def same(text: str) -> None:
    assert formatted(text) == text


# ---- the bundled files


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_files_keep_the_contracts(name):
    text = formatted(bundled(name))
    assert max(map(len, text.split("\n"))) <= LIMIT


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_files_survive_the_loss_of_their_layout(name):
    tokens = [t for t in TOKEN.findall(bundled(name)) if not t.startswith("#")]
    text = formatted(" ".join(tokens))
    assert max(map(len, text.split("\n"))) <= LIMIT


@pytest.mark.parametrize("name", sorted(set(BUNDLED) - NOT_IN_STYLE))
def test_bundled_files_in_the_style_stay_as_they_are(name):
    same(bundled(name))


SEPARATORS = st.sampled_from(
    [" "] * 12
    + ["\n", "\n", "\t", "\n\n", "\r\n", "\n\n\n   ", " # c\n", "\n# own\n", "#\n\n# (\n"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(BUNDLED), st.data())
def test_any_layout_of_a_program_settles(name, data):
    tokens = [t for t in TOKEN.findall(bundled(name)) if not t.startswith("#")]
    start = data.draw(st.integers(0, len(tokens)))
    window = 120
    messy = tokens[:start] + [
        token + data.draw(SEPARATORS) for token in tokens[start : start + window]
    ]
    formatted(" ".join(messy + tokens[start + window :]))


# ---- values

NAMES = st.sampled_from(["a", "bn", "data.classes", "sep_conv_3x3", "x" * 30])
NUMBERS = st.sampled_from(["3", "0.5", "3e-4", "20k", "25%", "0", "2M"])


def number(text: str) -> ast.Number:
    module = read(f"nas 1 let a = {text}")
    value = module.items[0].value
    assert isinstance(value, ast.Number)
    return ast.Number(span=NOWHERE, value=value.value, text=text)


def name(text: str) -> ast.Name:
    return ast.Name(span=NOWHERE, parts=tuple(text.split(".")))


LEAVES = st.one_of(
    NAMES.map(name),
    NUMBERS.map(number),
    st.booleans().map(lambda b: ast.Boolean(span=NOWHERE, value=b)),
    st.sampled_from(["", "a b", "# no comment {"]).map(lambda s: ast.String(span=NOWHERE, value=s)),
    st.builds(
        lambda low, high, step: ast.IntDomain(span=NOWHERE, low=low, high=high, step=step),
        NAMES.map(name),
        NUMBERS.map(number),
        st.none() | NUMBERS.map(number),
    ),
    st.builds(
        lambda low, log: ast.FloatDomain(
            span=NOWHERE,
            low=ast.Unary(span=NOWHERE, op="-", operand=low),
            high=low,
            log=log,
        ),
        NUMBERS.map(number),
        st.booleans(),
    ),
)
OPERATORS = ["or", "and", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "//", ">>"]


def compound(inner):
    ranges = st.builds(lambda a, b: ast.Range(span=NOWHERE, low=a, high=b), inner, inner)
    args = st.builds(
        lambda n, v, t: ast.Arg(span=NOWHERE, name=n, value=v, to=t),
        st.none() | st.sampled_from(["lr", "out", "a.b"]),
        inner,
        st.none() | inner,
    )
    unmapped = inner.filter(lambda v: not isinstance(v, ast.MapOf))
    return st.one_of(
        st.builds(
            lambda op, a, b: ast.Binary(span=NOWHERE, op=op, left=a, right=b, op_span=NOWHERE),
            st.sampled_from(OPERATORS),
            inner,
            inner,
        ),
        st.builds(
            lambda op, a: ast.Unary(span=NOWHERE, op=op, operand=a),
            st.sampled_from(["-", "not", "fresh", "one_of"]),
            inner,
        ),
        st.builds(
            lambda a, b, c: ast.If(span=NOWHERE, then=a, condition=b, otherwise=c),
            inner,
            inner,
            inner,
        ),
        st.builds(
            lambda f, a: ast.Call(span=NOWHERE, func=f, args=tuple(a)),
            inner,
            st.lists(args, min_size=1, max_size=4),
        ),
        st.builds(
            lambda b, i: ast.Subscript(span=NOWHERE, base=b, index=i),
            inner,
            st.one_of(inner, ranges, st.just(ast.Earlier(span=NOWHERE))),
        ),
        st.lists(inner | ranges, min_size=1, max_size=4).map(
            lambda items: ast.ListOf(span=NOWHERE, items=tuple(items))
        ),
        st.lists(unmapped, min_size=1, max_size=4).map(
            lambda items: ast.SetOf(span=NOWHERE, items=tuple(items))
        ),
        st.lists(st.tuples(inner, inner), min_size=1, max_size=3).map(
            lambda items: ast.MapOf(span=NOWHERE, items=tuple(items))
        ),
    )


ANY_VALUE = st.recursive(LEAVES, compound, max_leaves=14)


@st.composite
def values(draw):
    """Wrapped, because hypothesis spells recursive strategies out in full."""
    return draw(ANY_VALUE)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(values())
def test_values_parse_back_to_themselves(value):
    text = format_value(value)
    assert "\n" not in text
    assert read(f"nas 1 let a = {text}").items[0].value == value


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(values(), values(), values(), st.data())
def test_values_survive_in_every_place_and_layout(one, two, three, data):
    first, second, third = map(format_value, (one, two, three))
    text = f"""nas 1 op f(p, q = {first}) = {second}
    op gg(p) = {third} ops s {{ a b = {first} }}
    space s(p = {second}) extends t, u {{
      let a = {first} attr.ibute = {second} b = {third} op h = {first}
      cell c {{ in prev : {third}, prev2
        node x[{second}] : {first} edge {{prev, x[<]}} -> x : {third}
        edge x[1] -> out keep {second} per node except {first} out {third} }}
      input {first} stem {second} stage {third} {{ stride = {first} w = 2 }} at {second}
      repeat {first} {{ stage {second} at {third} }} head {second}
      target {{ C = {third} layers = {first} }} require {first} }}"""
    tokens = TOKEN.findall(text)
    spaced = (
        "".join(t + data.draw(SEPARATORS) for t in tokens) if data.draw(st.booleans()) else text
    )
    formatted(spaced)


@pytest.mark.parametrize(
    "text",
    [
        "f >> g + identity",
        "(f + g) >> h",
        "f >> (g >> h)",
        "a - (b - c)",
        "one_of (darts8 - {none})",
        "one_of darts8 + skip",
        "(a if b else c) if d else e if f else g",
        "not (a and not b) or c == (d == e)",
        "1/3",
        "C / 2",
        "2 * (1/3)",
        "-(a + b)",
        "(fresh f)(3)",
        "x[-4..-1]",
        "x[<]",
        "[0..2, 5, a + 1..b]",
        "{0: linear(0.5 -> 0), 10%: a}",
        "f(lr = cosine(0.1 -> 0, per = epoch), 3)",
        "int 16..64 by 16",
        "float 1e-4..1e-1 log",
        '"pixel1.csv"',
        "f()",
        "[]",
    ],
)
def test_values_in_the_style_stay_as_they_are(text):
    value = read(f"nas 1 let a = {text}").items[0].value
    assert format_value(value) == text


def test_parentheses_without_meaning_go_from_values_but_stay_in_files():
    text = "nas 1\n\nop f = (a >> b) + (c >> d)\n"
    same(text)
    assert format_value(read(text).items[0].value) == "a >> b + c >> d"
    assert formatted("nas 1\nop f = ((a >> b) >> (c))") == "nas 1\nop f = a >> b >> c\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(3), "3"),
        (Fraction(1, 8), "0.125"),
        (Fraction(-5, 4), "-1.25"),
        (Fraction(1, 3), "1/3"),
        (Fraction(10**9), "1000000000"),
        (Fraction(1, 1000), "0.001"),
    ],
)
def test_computed_numbers_have_an_exact_spelling(value, text):
    assert format_value(ast.Number(span=NOWHERE, value=value, text="")) == text


def test_computed_numbers_are_wrapped_where_they_must_be():
    third = ast.Number(span=NOWHERE, value=Fraction(1, 3), text="")
    call = ast.Call(
        span=NOWHERE, func=name("f"), args=(ast.Arg(span=NOWHERE, name=None, value=third),)
    )
    chain = ast.Binary(span=NOWHERE, op=">>", left=third, right=call, op_span=NOWHERE)
    assert format_value(chain) == "(1/3) >> f(1/3)"


# ---- layout


def test_messy_text():
    messy = """# top\r
nas 1   # version\r


import   "a.nas"\tas a # import
op f(k)=conv( k,stride=stride )>>bn # op
op longer = bn


space s(C=16)extends a,b{


\twidth=C # trailing
  genotype=darts


  # own line
\tinput data.shape stage f(3) {stride=2 width=2*width} at[1/3,2/3]
  stem conv(3)
  require params<=2M

  # before the brace

} # after the brace
space e {

}
# the end"""
    assert (
        formatted(messy)
        == """# top
nas 1  # version

import "a.nas" as a  # import
op f(k)   = conv(k, stride = stride) >> bn  # op
op longer = bn

space s(C = 16) extends a, b {
  width    = C  # trailing
  genotype = darts

  # own line
  input data.shape
  stage f(3) { stride = 2  width = 2 * width } at [1/3, 2/3]
  stem  conv(3)
  require params <= 2M

  # before the brace
}  # after the brace
space e {}
# the end
"""
    )


def test_comments_inside_values_stay_with_their_items():
    text = formatted(
        """nas 1
let a = [ # open
 1 # one
 , # comma
 # two
 2,

 # three
 3 # last
 # none follows
]
op f = relu # first
 >> conv( # in
  3) # second
 # third
 >> bn
recipe r { # here
 # empty
}"""
    )
    assert (
        text
        == """nas 1
let a = [  # open
  1,  # one
  # comma
  # two
  2,

  # three
  3,  # last
  # none follows
]
op f = relu  # first
    >> conv(  # in
      3,
    )  # second
    # third
    >> bn
recipe r {  # here
  # empty
}
"""
    )


def test_comments_where_no_line_may_end_move_behind_it():
    text = "nas # a\n1\nspace # b\ns # c\n{ let x # d\n = # e\n"
    text += "y[1 # f\n] stage a # g\n at # h\n 1/3 }"
    assert (
        formatted(text)
        == """# a
nas 1
space s {  # b
  # c
  let x = y[1]  # d
  # e
  # f
  stage a at 1/3  # g
  # h
}
"""
    )


def test_long_values_break_and_short_ones_join():
    short = "nas 1\ntrain t {\n  weights = sgd(lr = 1, momentum = 0.9,\n    decay = 3e-4)\n}\n"
    assert "sgd(lr = 1, momentum = 0.9, decay = 3e-4)" in formatted(short)
    names = ", ".join(f"candidate_{i}" for i in range(12))
    assert formatted(f"nas 1 let a = [{names}]") == (
        "nas 1\nlet a = [\n" + "".join(f"  candidate_{i},\n" for i in range(12)) + "]\n"
    )
    chain = " >> ".join(f"candidate_{i}" for i in range(12))
    lines = formatted(f"nas 1 op f = {chain}").split("\n")
    assert lines[1].startswith("op f = candidate_0 >>") and lines[2].startswith("    >> candidate_")
    assert lines[1].index("candidate") == lines[2].index("candidate")


def test_breaks_of_the_author_stay():
    same("nas 1\nlet a = {\n  b,\n  c,\n}\n")
    same("nas 1\nop f = a >> b\n    >> c >> d\n")
    same("nas 1\nop f = a\n    if b\n  else c\n")
    same("nas 1\nlet a = {b: f({\n  1: 2,\n})}\n")


def test_a_narrow_limit_keeps_the_contracts(monkeypatch):
    monkeypatch.setattr(formatter, "LIMIT", 40)
    for name in BUNDLED:
        formatted(bundled(name))


def test_runs_align_until_a_blank_line_or_a_broken_value():
    same("nas 1\nlet a   = 1\nlet bcd = 2\n\nlet e = 3\n")
    same("nas 1\nsuite s {\n  a = [\n    b,\n  ]\n  ccc = 1\n  dd  = 2\n}\n")
    same("nas 1\nops s {\n  none\n  ab = f\n  c  = g\n}\n")


def test_a_row_that_would_push_another_over_the_limit_begins_a_run():
    value = "+".join(["c"] * 26)
    text = formatted(f"nas 1 let a = {value} let {'b' * 40} = 1")
    assert "let a = c + c" in text
    assert max(map(len, text.split("\n"))) <= LIMIT


def test_repeat_stays_on_its_line_if_it_was_there():
    same(
        "nas 1\nspace s {\n  repeat 2 { repeat n { stage c } }\n  repeat 3 {\n    stage c\n  }\n}\n"
    )


def test_long_headers_break():
    params = ", ".join(f"parameter_{i} = {i}" for i in range(9))
    parents = ", ".join(f"some_rather_long_parent_{i}" for i in range(9))
    text = formatted(f"nas 1 space s({params}) extends {parents} {{ op f({params}) = g }}")
    assert "space s(\n  parameter_0 = 0,\n" in text
    assert max(map(len, text.split("\n"))) <= LIMIT


def test_long_edges_break():
    ends = ", ".join(f"some_rather_long_input_{i}" for i in range(9))
    cell = f"in {ends} edge {{{ends}}} -> {{{ends}}} : f pick 2 per {{{ends}}}"
    text = formatted(f"nas 1 cell c {{ {cell} }}")
    assert max(map(len, text.split("\n"))) <= LIMIT


def test_every_statement_on_one_line():
    same(
        """nas 1
from "a.nas" import b, c
import "d.nas" as e

cell c(k = 3) extends d {
  in   a : f, b
  node x[3]
  node yy[2] : concat >> g
  edge {a, b}    -> x
  edge {x, y[<]} -> yy  : f
  edge x         -> out : g
  keep all per node
  keep 2 per x[3] except {none}
  pick any per {x, out}
  out  concat(x, split = true) + a
  require connected
  stride = 2
}

recipe r(a, b = 1) extends s {
  epochs = 3
  phase p extends q {
    epochs = 1
  }
}
"""
    )


# ---- size


@pytest.mark.parametrize(
    "text",
    [
        "[" * 98 + "1" + "]" * 98,
        "(" * 98 + "1" + ")" * 98,
        "f(" * 98 + "1" + ")" * 98,
        "f(\n" * 98 + "1" + ")" * 98,
        "-" * 98 + "1",
        "a + " * 98 + "1",
        "a if b else " * 98 + "1",
        "(1 + " * 48 + "1" + ")" * 48,
    ],
)
def test_deep_values(text):
    formatted(f"nas 1 let a = {text}")


def test_deep_blocks():
    formatted("nas 1 space s {" + " repeat 2 {" * 90 + "stage a" + "}" * 90 + "}")


def test_long_files_are_fast():
    block = bundled("darts.nas").split("\n", 1)[1]
    module = read("nas 1\n" + block * (20_000 // block.count("\n")))
    start = time.process_time()
    format_module(module)
    assert time.process_time() - start < 5
