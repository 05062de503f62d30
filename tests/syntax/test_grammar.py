"""The grammar is LALR(1) without conflicts and keeps the statement-start rule."""

import lark
import pytest

from nasdsl import resources
from nasdsl.diagnostics.model import Diagnostics
from nasdsl.source import Source
from nasdsl.syntax import tables
from nasdsl.syntax.parser import parse

STATEMENTS = [
    "item",
    "space_stmt",
    "cell_stmt",
    "net_stmt",
    "repeat_stmt",
    "config_stmt",
    "candidate",
    "attr",
    "let",
]


def strict_grammar() -> lark.Lark:
    text = resources.read("grammars", "nas.lark")
    assert text is not None
    return lark.Lark(text, parser="lalr", strict=True)


def first_sets(rules):
    first, nullable, changed = {}, set(), True
    while changed:
        changed = False
        for rule in rules:
            mine = first.setdefault(rule.origin.name, set())
            size = len(mine)
            for symbol in rule.expansion:
                mine |= {symbol.name} if symbol.is_term else first.setdefault(symbol.name, set())
                if symbol.is_term or symbol.name not in nullable:
                    break
            else:
                if rule.origin.name not in nullable:
                    nullable.add(rule.origin.name)
                    changed = True
            changed |= len(mine) != size
    return first


def test_strict_lalr_has_no_conflicts_and_no_statement_begins_with_an_operator():
    first = first_sets(strict_grammar().rules)
    for name in STATEMENTS:
        assert not first[name] & {"LPAR", "LSQB", "LBRACE", "MINUS"}, name


@pytest.mark.parametrize("name", resources.listing("spaces", ".nas"))
def test_every_bundled_file_parses(name):
    diags = Diagnostics()
    parsed = parse(Source.of(name, resources.read("spaces", name)), diags)
    assert parsed is not None
    assert [d.code for d in diags] == []
    assert parsed.module.items


def test_stored_tables_are_those_of_the_grammar_and_parse_alike():
    """A change of the grammar needs `python tools/make_tables.py`."""
    grammar = resources.read("grammars", "nas.lark")
    stored = resources.read("grammars", "nas.tables.json")
    assert tables.fits(grammar, stored)
    fast, slow = tables.parser(grammar, stored), tables.parser(grammar, None)
    for name in resources.listing("spaces", ".nas"):
        text = resources.read("spaces", name)
        assert fast.parse(text) == slow.parse(text)


@pytest.mark.parametrize("broken", ["{}", "[]", "not json", '{"lark": "0", "grammar": ""}'])
def test_unusable_tables_are_computed_again(broken):
    grammar = resources.read("grammars", "nas.lark")
    assert tables.parser(grammar, broken).parse("nas 1")
