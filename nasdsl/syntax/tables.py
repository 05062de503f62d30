"""The parser of the grammar, from tables computed beforehand where they fit.

Computing the LALR tables takes a fifth of the time of `nasdsl check`. `grammars/nas.tables.json` holds
them, for one grammar text and one version of lark; in any other case they are computed again, so the
file is a convenience that cannot be wrong. `tools/make_tables.py` writes it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import lark
from lark import Lark, lexer
from lark.grammar import Rule
from lark.lexer import TerminalDef


class _Lexer(lexer.ContextualLexer):
    """lark's lexer without its checks of the terminals, which cost half of the start-up.

    They check the grammar, not a `.nas` text: the tests make them, `nasdsl check` does not wait.
    """

    def __init__(self, conf: Any, states: Any, always_accept: Any = ()) -> None:
        conf.skip_validation = True
        super().__init__(conf, states, always_accept)


def parser(grammar: str, tables: str | None) -> Lark:
    """The LALR(1) parser of a grammar, from tables if they are of this grammar and this lark."""
    if tables is not None:
        found = _stored(grammar, tables)
        if found is not None:
            return found
    # Nor does it compare the terminals of lark's own grammar where `interegular` is installed.
    compare, lexer.has_interegular = lexer.has_interegular, False
    try:
        return _build(grammar, plugins={"ContextualLexer": _Lexer})
    finally:
        lexer.has_interegular = compare


def dump(grammar: str) -> str:
    """The tables of a grammar as text."""
    data, memo = _build(grammar, plugins={}).memo_serialize([TerminalDef, Rule])
    return json.dumps(
        {"lark": lark.__version__, "grammar": _digest(grammar), "data": data, "memo": memo},
        separators=(",", ":"),
    )


def fits(grammar: str, tables: str) -> bool:
    """Whether tables are those of a grammar, for whatever lark."""
    return bool(json.loads(tables).get("grammar") == _digest(grammar))


def _build(grammar: str, plugins: dict[str, Any]) -> Lark:
    return Lark(
        grammar,
        parser="lalr",
        lexer="contextual",
        propagate_positions=True,
        maybe_placeholders=False,
        _plugins=plugins,
    )


def _digest(grammar: str) -> str:
    return hashlib.sha256(grammar.encode()).hexdigest()


def _stored(grammar: str, tables: str) -> Lark | None:
    try:
        stored = json.loads(tables)
        if stored["lark"] != lark.__version__ or stored["grammar"] != _digest(grammar):
            return None
        data = stored["data"]
        table = data["parser"]["parser"]
        # JSON has text for keys; lark counts states and tokens.
        table["tokens"] = {int(k): v for k, v in table["tokens"].items()}
        table["states"] = {
            int(state): {int(token): tuple(action) for token, action in actions.items()}
            for state, actions in table["states"].items()
        }
        memo = {int(k): v for k, v in stored["memo"].items()}
        load: Any = Lark._load_from_dict
        found: Lark = load(data, memo)
        return found
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError):
        return None
