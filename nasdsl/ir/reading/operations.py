"""Operations: primitives, sequences, branches, choices, and what varies."""

from __future__ import annotations

import re
from itertools import product
from math import prod
from typing import Any

from nasdsl.ir.cell import Cell
from nasdsl.ir.op import Choice, Forms, Nested, Par, Prim, Scalar, Seq, Varied
from nasdsl.ir.reading.items import Item
from nasdsl.ir.reading.lines import Line, Token

OPS = (Prim, Seq, Par, Choice, Varied, Forms, Nested)


def read_primitive(line: Line) -> Prim:
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


def read_sequence(line: Line, cells: dict[str, Cell]) -> Seq:
    inp, out = line.signature()
    line.only(*OPS)
    return Seq(parts=tuple(line.values), inp=inp, out=out)


def read_parallel(line: Line, cells: dict[str, Cell]) -> Par:
    how = line.word("`sum` or `concat`")
    inp, out = line.signature()
    line.only(*OPS)
    return Par(how=how, parts=tuple(line.values), inp=inp, out=out)


def options_below(line: Line) -> tuple[tuple[str, ...], list[tuple[Line, list[Any]]]]:
    """Labels and what follows each: options stand before what belongs to them."""
    labels: list[str] = []
    groups: list[tuple[Line, list[Any]]] = []
    for below, value in zip(line.below, line.values, strict=True):
        if not isinstance(value, Item) or value.word != "option":
            raise below.fail("`option` is wanted here")
        if len(value.value[0]) != 1:
            raise below.fail("this option has one label")
        labels.append(value.value[0][0])
        groups.append((below, value.value[1]))
    return tuple(labels), groups


def read_option(line: Line, cells: dict[str, Cell]) -> Item:
    labels = [line.word("a label"), *line.until()]
    return Item("option", (tuple(labels), line.values))


def read_choice(line: Line, cells: dict[str, Cell]) -> Choice:
    decision = line.word("a decision")
    explored = line.take("explored")
    inp, out = line.signature()
    labels, groups = options_below(line)
    options = []
    for below, values in groups:
        if len(values) != 1 or not isinstance(values[0], OPS):
            raise below.fail("an option of a choice has one operation below it")
        options.append(values[0])
    return Choice(
        decision=decision,
        labels=labels,
        options=tuple(options),
        inp=inp,
        out=out,
        explored=explored,
    )


def read_varied(line: Line, cells: dict[str, Cell]) -> Varied:
    decisions = line.until(":")
    inp, out = line.signature()
    settings: list[tuple[str, ...]] = []
    options: list[Prim] = []
    for below, value in zip(line.below, line.values, strict=True):
        if not isinstance(value, Item) or value.word != "option":
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


def read_forms(line: Line, cells: dict[str, Cell]) -> Forms:
    decisions = line.until(":")
    inp, out = line.signature()
    line.only(Item)
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


def read_form(line: Line, cells: dict[str, Cell]) -> Item:
    places = []
    while line.at < len(line.tokens):
        places.append(line.integer("the number of a setting"))
    return Item("form", (tuple(places), line.one(OPS, "an operation")))


def read_labels(line: Line, cells: dict[str, Cell]) -> Item:
    names = line.until()
    line.only()
    return Item("labels", tuple(names))
