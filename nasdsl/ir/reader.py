"""The space of a text that `nasdsl.ir.printer` wrote, read line by line.

Lines become a tree by their indentation; values are then put together from the innermost line
outwards, so depth costs no recursion. Spans are not in the text and are None afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import prod
from types import MappingProxyType
from typing import Any, TypeVar

from nasdsl.ir.cell import After, Arrival, Cell, CellEdge, CellInput, CellNode, Join, Keep, Pick
from nasdsl.ir.op import Choice, Forms, Nested, Par, Prim, Scalar, Seq, Varied
from nasdsl.ir.printer import VERSION, WORDS
from nasdsl.ir.requirement import (
    MEASURES,
    OPERATORS,
    Amount,
    Measure,
    Negation,
    Relation,
    Requirement,
)
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Decision, Network, Space, Stage, TableRules

T = TypeVar("T")

_TOKEN = re.compile(r'(?:(?P<key>[A-Za-z_]\w*)=)?(?P<value>"(?:[^"\\]|\\.)*"|[^\s"=]+)(?=\s|$)')
_OPS = (Prim, Seq, Par, Choice, Varied, Forms, Nested)
_OUTPUTS = (Arrival, Join, After)


class ReadError(ValueError):
    """A text is no space: `line` says where, `message` what is wrong."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


def read_space(text: str) -> Space:
    """The space that `print_space` printed. Raises ReadError."""
    top = _lines(text)
    if len(top) != 2:
        raise ReadError(top[2].number if len(top) > 2 else 1, "`ir 1` and one space are wanted")
    head, body = top
    if head.word("ir") != "ir" or head.integer("a version") != VERSION:
        raise ReadError(head.number, f"the text begins with `ir {VERSION}`")
    head.end()
    found = _build(body)
    if not isinstance(found, Space):
        raise ReadError(body.number, "a space is wanted here")
    return found


# ---- lines


@dataclass(slots=True)
class Token:
    text: str
    quoted: bool
    key: str | None = None


@dataclass(slots=True)
class Line:
    """A line: its words, how far they are read, and the lines that belong to it."""

    number: int
    depth: int
    tokens: list[Token]
    at: int = 0
    below: list[Line] = field(default_factory=list)
    #: Values of the lines below, once they are read.
    values: list[Any] = field(default_factory=list)

    def fail(self, message: str) -> ReadError:
        return ReadError(self.number, message)

    def peek(self, keyword: str) -> bool:
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        return (
            token is not None and not token.quoted and token.key is None and (token.text == keyword)
        )

    def word(self, what: str) -> str:
        """The next word, a name or a keyword."""
        if self.at >= len(self.tokens):
            raise self.fail(f"{what} is missing at the end of the line")
        token = self.tokens[self.at]
        if token.key is not None:
            raise self.fail(f"{what} is wanted, not `{token.key}=`")
        self.at += 1
        return token.text

    def expect(self, keyword: str) -> None:
        if not self.peek(keyword):
            raise self.fail(f"`{keyword}` is wanted {self.here()}")
        self.at += 1

    def take(self, keyword: str) -> bool:
        found = self.peek(keyword)
        self.at += found
        return found

    def here(self) -> str:
        if self.at >= len(self.tokens):
            return "at the end of the line"
        return f"before `{self.tokens[self.at].text}`"

    def until(self, *keywords: str) -> list[str]:
        """Words up to one of the keywords or the end."""
        found = []
        while self.at < len(self.tokens) and not any(self.peek(k) for k in keywords):
            found.append(self.word("a name"))
        return found

    def integer(self, what: str) -> int:
        text = self.word(what)
        if not re.fullmatch(r"-?\d{1,40}", text):
            raise self.fail(f"{what} is a whole number, not `{text}`")
        return int(text)

    def fraction(self, what: str) -> Fraction:
        text = self.word(what)
        if not re.fullmatch(r"-?\d{1,40}(?:/0*[1-9]\d{0,39})?", text):
            raise self.fail(f"{what} is an exact number, not `{text}`")
        return Fraction(text)

    def shape(self, what: str = "a shape") -> Shape:
        text = self.word(what)
        if not re.fullmatch(r"(?:[a-z]+:)?\d{1,18}(?:x\d{1,18})*", text):
            raise self.fail(f"`{text}` is no shape")
        return Shape.parse(text)

    def signature(self) -> tuple[Shape, Shape]:
        """`: in -> out` at the end of the line."""
        self.expect(":")
        inp = self.shape()
        out = self.shape() if self.take("->") else inp
        self.end()
        return inp, out

    def count(self) -> int | None:
        return None if self.take("all") else self.integer("a number")

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise self.fail(f"`{self.tokens[self.at].text}` is too much")

    # ---- what stands below

    def all(self, kind: type[T] | tuple[type[T], ...]) -> tuple[T, ...]:
        return tuple(v for v in self.values if isinstance(v, kind))

    def only(self, *kinds: type) -> None:
        """Raise ReadError at the first line below that gives none of these."""
        for line, value in zip(self.below, self.values, strict=True):
            if not isinstance(value, kinds):
                raise line.fail("this line does not belong here")

    def one(self, kinds: tuple[type, ...], what: str) -> Any:
        """The single value below, or of its kind among others."""
        found = [v for v in self.values if isinstance(v, kinds)]
        if len(found) != 1:
            raise self.fail(
                f"{what} is {'missing' if not found else 'given twice'} below this line"
            )
        return found[0]


def _lines(text: str) -> list[Line]:
    """Lines as trees by indentation, two spaces a level."""
    top: list[Line] = []
    stack: list[Line] = []
    for number, raw in enumerate(text.split("\n"), 1):
        if not raw.strip():
            continue
        body = raw.lstrip(" ")
        depth, odd = divmod(len(raw) - len(body), 2)
        if odd or depth > len(stack):
            raise ReadError(number, "the indentation is wrong: two spaces a level")
        line = Line(number, depth, list(_tokens(body.rstrip(" \r"), number)))
        del stack[depth:]
        (stack[-1].below if stack else top).append(line)
        stack.append(line)
    if not top:
        raise ReadError(1, "the text is empty")
    return top


def _tokens(text: str, number: int) -> Iterator[Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ReadError(number, f"`{text[at : at + 20]}` cannot be read")
        value = match["value"]
        quoted = value.startswith('"')
        if quoted:
            try:
                value = json.loads(value)
            except ValueError:
                raise ReadError(number, f"{value[:20]} is no text in quotes") from None
        yield Token(value, quoted, match["key"])
        at = match.end()
        while at < len(text) and text[at] == " ":
            at += 1


# ---- values, innermost first


@dataclass(frozen=True, slots=True)
class _Item:
    """A line whose meaning its parent knows: keyword and what it says."""

    word: str
    value: Any


@dataclass(frozen=True, slots=True)
class _CellRef:
    name: str


def _build(root: Line) -> Any:
    """The value of a line, from those of the lines below it."""
    cells: dict[str, Cell] = {}
    result: Any = None
    stack: list[tuple[Line, Line | None, bool]] = [(root, None, False)]
    while stack:
        line, parent, ready = stack.pop()
        if not ready:
            stack.append((line, parent, True))
            stack.extend((b, line, False) for b in reversed(line.below))
            continue
        result = _value(line, cells)
        if parent is not None:
            parent.values.append(result)
    return result


def _value(line: Line, cells: dict[str, Cell]) -> Any:
    first = line.tokens[0]
    if first.quoted or first.text not in WORDS:
        return _prim(line)
    reader = _READERS.get(first.text)
    if reader is None:
        raise line.fail(f"a line does not begin with `{first.text}`")
    line.at = 1
    return reader(line, cells)


def _prim(line: Line) -> Prim:
    kind = line.word("an operation")
    attrs: list[tuple[str, Scalar]] = []
    while line.at < len(line.tokens) and line.tokens[line.at].key is not None:
        token = line.tokens[line.at]
        attrs.append((token.key or "", _scalar(token, line)))
        line.at += 1
    if not line.peek(":"):
        raise line.fail(f"unknown line `{kind}`: an operation ends with `: shape`")
    inp, out = line.signature()
    line.only()
    return Prim(kind=kind, attrs=tuple(attrs), inp=inp, out=out)


def _scalar(token: Token, line: Line) -> Scalar:
    text = token.text
    if token.quoted:
        return text
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?\d{1,40}", text):
        return int(text)
    if re.fullmatch(r"\[(?:-?\d{1,18}(?:,-?\d{1,18})*)?\]", text):
        return tuple(int(n) for n in text[1:-1].split(",") if n)
    try:
        return float(text)
    except ValueError:
        raise line.fail(f"`{text}` is no value") from None


def _seq(line: Line, cells: dict[str, Cell]) -> Seq:
    inp, out = line.signature()
    line.only(*_OPS)
    return Seq(parts=tuple(line.values), inp=inp, out=out)


def _par(line: Line, cells: dict[str, Cell]) -> Par:
    how = line.word("`sum` or `concat`")
    inp, out = line.signature()
    line.only(*_OPS)
    return Par(how=how, parts=tuple(line.values), inp=inp, out=out)


def _options(line: Line) -> tuple[tuple[str, ...], list[tuple[Line, list[Any]]]]:
    """Labels and what follows each: options stand before what belongs to them."""
    labels: list[str] = []
    groups: list[tuple[Line, list[Any]]] = []
    for below, value in zip(line.below, line.values, strict=True):
        if not isinstance(value, _Item) or value.word != "option":
            raise below.fail("`option` is wanted here")
        if len(value.value[0]) != 1:
            raise below.fail("this option has one label")
        labels.append(value.value[0][0])
        groups.append((below, value.value[1]))
    return tuple(labels), groups


def _option(line: Line, cells: dict[str, Cell]) -> _Item:
    labels = [line.word("a label"), *line.until()]
    return _Item("option", (tuple(labels), line.values))


def _choice(line: Line, cells: dict[str, Cell]) -> Choice:
    decision = line.word("a decision")
    inp, out = line.signature()
    labels, groups = _options(line)
    options = []
    for below, values in groups:
        if len(values) != 1 or not isinstance(values[0], _OPS):
            raise below.fail("an option of a choice has one operation below it")
        options.append(values[0])
    return Choice(decision=decision, labels=labels, options=tuple(options), inp=inp, out=out)


def _varied(line: Line, cells: dict[str, Cell]) -> Varied:
    decisions = line.until(":")
    inp, out = line.signature()
    settings: list[tuple[str, ...]] = []
    options: list[Prim] = []
    for below, value in zip(line.below, line.values, strict=True):
        if not isinstance(value, _Item) or value.word != "option":
            raise below.fail("`option` is wanted here")
        setting, values = value.value
        if len(setting) != len(decisions):
            raise below.fail(f"this option has {len(decisions)} labels, one per decision")
        if len(values) != 1 or not isinstance(values[0], Prim):
            raise below.fail("an option of what varies has one primitive below it")
        settings.append(setting)
        options.append(values[0])
    labels = tuple(tuple(dict.fromkeys(column)) for column in zip(*settings, strict=True))
    if prod(map(len, labels)) != len(settings) or settings != list(product(*labels)):
        raise line.fail("the options are all settings of the decisions, the last one fastest")
    return Varied(
        decisions=tuple(decisions), labels=labels, options=tuple(options), inp=inp, out=out
    )


def _forms(line: Line, cells: dict[str, Cell]) -> Forms:
    decisions = line.until(":")
    inp, out = line.signature()
    line.only(_Item)
    labels = tuple(v.value for v in line.values if v.word == "labels")
    stated = [v.value for v in line.values if v.word == "form"]
    form: dict[int, int] = {}
    for number, (places, _) in enumerate(stated):
        for place in places:
            if form.setdefault(place, number) != number:
                raise line.fail(f"setting {place} has two forms")
    count = sum(len(places) for places, _ in stated)
    if len(labels) != len(decisions) or prod(map(len, labels)) != count:
        raise line.fail("every setting of the labels of every decision has a form")
    if set(form) != set(range(count)) or len(labels) + len(stated) != len(line.values):
        raise line.fail("below forms stand `labels` and `form`, and every setting has one")
    return Forms(
        decisions=tuple(decisions),
        labels=labels,
        form=tuple(form[i] for i in range(count)),
        options=tuple(op for _, op in stated),
        inp=inp,
        out=out,
    )


def _form(line: Line, cells: dict[str, Cell]) -> _Item:
    places = []
    while line.at < len(line.tokens):
        places.append(line.integer("the number of a setting"))
    return _Item("form", (tuple(places), line.one(_OPS, "an operation")))


def _labels(line: Line, cells: dict[str, Cell]) -> _Item:
    names = line.until()
    line.only()
    return _Item("labels", tuple(names))


def _round(line: Line, cells: dict[str, Cell]) -> _Item:
    decision, path = line.word("a decision"), line.word("a path")
    number = line.integer("the number of the round")
    line.end()
    return _Item("round", (decision, path, number))


def _decision(line: Line, cells: dict[str, Cell]) -> Decision:
    identity = line.word("a decision")
    line.expect("table")
    table = line.word("a table")
    line.expect("kind")
    kind = line.word("a kind")
    count = line.integer("a count") if line.take("count") else None
    low = line.fraction("a bound") if line.take("low") else None
    high = line.fraction("a bound") if line.take("high") else None
    log = line.take("log")
    if (low is None) != (high is None):
        raise line.fail("a domain has `low` and `high`")
    nesting = line.take("nested")
    line.end()
    labels, groups = _options(line)
    nested = []
    for below, values in groups:
        if not all(isinstance(v, Decision) for v in values) or (values and not nesting):
            raise below.fail("below an option of a `nested` decision stand decisions")
        nested.append(tuple(values))
    return Decision(
        id=identity,
        table=table,
        kind=kind,
        labels=labels,
        nested=tuple(nested) if nesting else (),
        count=count,
        low=low,
        high=high,
        log=log,
    )


def _decisions(line: Line, cells: dict[str, Cell]) -> _Item:
    line.end()
    line.only(Decision)
    return _Item("decisions", tuple(line.values))


# ---- cells


def _keep(line: Line, cells: dict[str, Cell]) -> Keep:
    count = line.count()
    line.expect("per")
    targets = line.until("except")
    exclude = line.until() if line.take("except") else []
    return Keep(targets=tuple(targets), count=count, exclude=tuple(exclude))


def _pick(line: Line, cells: dict[str, Cell]) -> Pick:
    count = line.count()
    line.expect("per")
    return Pick(targets=tuple(line.until()), count=count)


def _arrival(line: Line, cells: dict[str, Cell]) -> Arrival:
    node = line.word("a node")
    line.end()
    line.only()
    return Arrival(node=node)


def _join(line: Line, cells: dict[str, Cell]) -> Join:
    how = line.word("an aggregator")
    line.end()
    line.only(*_OUTPUTS)
    return Join(how=how, parts=tuple(line.values))


def _after(line: Line, cells: dict[str, Cell]) -> After:
    line.end()
    inner = line.one(_OUTPUTS, "what comes before the operation")
    return After(inner=inner, op=line.one(_OPS, "an operation"))


def _output(line: Line, cells: dict[str, Cell]) -> _Item:
    line.end()
    return _Item("output", line.one(_OUTPUTS, "what is joined"))


def _input(line: Line, cells: dict[str, Cell]) -> CellInput | _Item:
    """Of a cell `input NAME : SHAPE` with an operation; of a network `input SHAPE`."""
    if not line.values and len(line.tokens) == 2:
        return _Item("input", line.shape())
    name = line.word("a name")
    line.expect(":")
    shape = line.shape()
    line.end()
    return CellInput(name=name, inp=shape, prepare=line.one(_OPS, "an operation"))


def _node(line: Line, cells: dict[str, Cell]) -> CellNode:
    name, how = line.word("a name"), line.word("an aggregator")
    line.end()
    return CellNode(name=name, how=how, after=line.one(_OPS, "an operation"))


def _edge(line: Line, cells: dict[str, Cell]) -> CellEdge:
    source = line.word("a node")
    line.expect("->")
    target = line.word("a node")
    line.end()
    return CellEdge(source=source, target=target, op=line.one(_OPS, "an operation"))


def _cell(line: Line, cells: dict[str, Cell]) -> Cell | Nested | _CellRef:
    """A cell where lines stand below, else a reference: an operation, or a stage's body."""
    name = line.word("a cell")
    if not line.below:
        if name not in cells:
            raise line.fail(f"no cell `{name}` stands above")
        if line.at == len(line.tokens):
            return _CellRef(name)
        inp, out = line.signature()
        return Nested(cell=cells[name], inp=inp, out=out)
    line.end()
    items = _items(line, "name", "table", "stride", "width", "out", "output")
    if name in cells:
        raise line.fail(f"cell `{name}` stands twice")
    line.only(_Item, CellInput, CellNode, CellEdge, Keep, Pick)
    cells[name] = Cell(
        name=items["name"],
        table=items["table"],
        stride=items["stride"],
        width=items["width"],
        inputs=line.all(CellInput),
        nodes=line.all(CellNode),
        edges=line.all(CellEdge),
        output=items["output"],
        out=items["out"],
        keeps=line.all(Keep),
        picks=line.all(Pick),
    )
    return cells[name]


def _items(line: Line, *wanted: str, may: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the simple lines below say; each of `wanted` once."""
    found: dict[str, Any] = {}
    for below, value in zip(line.below, line.values, strict=True):
        if not isinstance(value, _Item):
            continue
        if value.word not in (*wanted, *may):
            raise below.fail(f"`{value.word}` does not belong here")
        if value.word in found:
            raise below.fail(f"`{value.word}` stands twice")
        found[value.word] = value.value
    for name in wanted:
        if name not in found:
            raise line.fail(f"`{name}` is missing below this line")
    return found


# ---- networks and the whole


def _stage(line: Line, cells: dict[str, Cell]) -> _Item:
    aux = line.tokens[0].text == "aux"
    number = -1 if aux else line.integer("the number of the stage")
    name, role = line.word("a name"), line.word("a role")
    line.expect("from")
    inputs = []
    while not line.peek(":"):
        inputs.append(-1 if line.take("input") else line.integer("a stage"))
    line.expect(":")
    out = line.shape()
    line.end()
    body = line.one((*_OPS, _CellRef), "a cell or an operation")
    body = cells[body.name] if isinstance(body, _CellRef) else body
    rounds = tuple(v.value for v in line.values if isinstance(v, _Item) and v.word == "round")
    stage = Stage(name=name, role=role, body=body, inputs=tuple(inputs), out=out, rounds=rounds)
    return _Item("aux", stage) if aux else _Item("stage", (number, stage))


def _network(line: Line, cells: dict[str, Cell]) -> _Item:
    role, name = line.word("`supernet` or `target`"), line.word("a name")
    if role not in ("supernet", "target"):
        raise line.fail(f"a network is `supernet` or `target`, not `{role}`")
    line.end()
    line.only(_Item)
    stages: list[Stage] = []
    found: dict[str, Any] = {}
    for below, item in zip(line.below, line.values, strict=True):
        if item.word == "stage":
            number, stage = item.value
            if number != len(stages):
                raise below.fail(f"stage {len(stages)} is wanted here, not {number}")
            stages.append(stage)
        elif item.word in ("input", "aux") and item.word not in found:
            found[item.word] = item.value
        else:
            raise below.fail(f"`{item.word}` does not belong here")
    if "input" not in found:
        raise line.fail("`input` is missing below this line")
    network = Network(name=name, inp=found["input"], stages=tuple(stages), aux=found.get("aux"))
    return _Item(role, network)


def _rules(line: Line, cells: dict[str, Cell]) -> TableRules:
    table = line.word("a table")
    line.end()
    line.only(_Item, Keep, Pick)
    rows = []
    for below, item in zip(line.below, line.values, strict=True):
        if isinstance(item, _Item):
            if item.word != "row":
                raise below.fail(f"`{item.word}` does not belong here")
            rows.append(item.value)
    return TableRules(table=table, rows=tuple(rows), keeps=line.all(Keep), picks=line.all(Pick))


def _row(line: Line, cells: dict[str, Cell]) -> _Item:
    node = line.word("a node")
    return _Item("row", (node, tuple(line.until())))


def _named(line: Line, cells: dict[str, Cell]) -> _Item:
    keyword = line.tokens[0].text
    value = line.word(f"the {keyword}")
    line.end()
    return _Item(keyword, value)


def _number(line: Line, cells: dict[str, Cell]) -> _Item:
    keyword = line.tokens[0].text
    value = line.integer(f"`{keyword}`")
    line.end()
    return _Item(keyword, value)


def _out(line: Line, cells: dict[str, Cell]) -> _Item:
    value = line.shape()
    line.end()
    return _Item("out", value)


def _parameter(line: Line, cells: dict[str, Cell]) -> _Item:
    name, value = line.word("a name"), line.word("a value")
    line.end()
    return _Item("parameter", (name, value))


# ---- requirements

_TESTS = (Measure, Amount, Relation, Negation)


def _require(line: Line, cells: dict[str, Cell]) -> _Item:
    text = line.word("the text of the requirement")
    table = line.word("a table") if line.take("of") else None
    line.end()
    line.only(*_TESTS)
    test = line.one(_TESTS, "a test")
    return _Item("require", Requirement(text=text, test=test, table=table))


def _measure(line: Line, cells: dict[str, Cell]) -> Measure:
    name = line.word("a measure")
    if name not in MEASURES:
        raise line.fail(f"there is no measure `{name}`")
    label = line.word("a label") if name == "count" else None
    line.end()
    line.only()
    return Measure(name=name, label=label)


def _amount(line: Line, cells: dict[str, Cell]) -> Amount:
    value = line.fraction("an amount")
    line.end()
    line.only()
    return Amount(value=value)


def _negation(line: Line, cells: dict[str, Cell]) -> Negation:
    line.end()
    line.only(*_TESTS)
    return Negation(inner=line.one(_TESTS, "a test"))


def _relation(line: Line, cells: dict[str, Cell]) -> Relation:
    op = line.word("an operator")
    if op not in OPERATORS and op not in ("and", "or"):
        raise line.fail(f"`{op}` is no operator")
    line.end()
    line.only(*_TESTS)
    if len(line.values) != 2:
        raise line.fail("a relation has two parts")
    return Relation(op=op, left=line.values[0], right=line.values[1])


# ---- the whole


def _space(line: Line, cells: dict[str, Cell]) -> Space:
    name = line.word("a name")
    line.end()
    line.only(_Item, TableRules, Cell)
    several: dict[str, list[Any]] = {"parameter": [], "require": []}
    found: dict[str, Any] = {}
    for below, item in zip(line.below, line.values, strict=True):
        if not isinstance(item, _Item):
            continue
        if item.word in several:
            several[item.word].append(item.value)
        elif item.word in found:
            raise below.fail(f"`{item.word}` stands twice")
        elif item.word in ("format", "classes", "decisions", "supernet", "target"):
            found[item.word] = item.value
        else:
            raise below.fail(f"`{item.word}` does not belong here")
    for wanted in ("format", "supernet", "target"):
        if wanted not in found:
            raise line.fail(f"`{wanted}` is missing below this line")
    return Space(
        name=name,
        parameters=tuple(several["parameter"]),
        supernet=found["supernet"],
        target=found["target"],
        decisions=found.get("decisions", ()),
        rules=line.all(TableRules),
        format=found["format"],
        requires=tuple(several["require"]),
        classes=found.get("classes"),
    )


_READERS: Mapping[str, Callable[[Line, dict[str, Cell]], Any]] = MappingProxyType(
    {
        "after": _after,
        "amount": _amount,
        "arrival": _arrival,
        "aux": _stage,
        "cell": _cell,
        "choice": _choice,
        "classes": _number,
        "decision": _decision,
        "decisions": _decisions,
        "edge": _edge,
        "form": _form,
        "format": _named,
        "forms": _forms,
        "input": _input,
        "join": _join,
        "keep": _keep,
        "labels": _labels,
        "measure": _measure,
        "name": _named,
        "negation": _negation,
        "network": _network,
        "node": _node,
        "option": _option,
        "out": _out,
        "output": _output,
        "par": _par,
        "parameter": _parameter,
        "pick": _pick,
        "relation": _relation,
        "require": _require,
        "row": _row,
        "rules": _rules,
        "round": _round,
        "seq": _seq,
        "space": _space,
        "stage": _stage,
        "stride": _number,
        "table": _named,
        "varied": _varied,
        "width": _number,
    }
)
