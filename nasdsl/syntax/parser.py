"""Text to syntax tree, with every mistake of the file reported in one go."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedToken
from lark.utils import TextSlice

from nasdsl import resources
from nasdsl.diagnostics.model import Diagnostics
from nasdsl.source import Source, Span
from nasdsl.syntax import ast, legible, recovery, tables
from nasdsl.syntax.builder import TooDeep, build
from nasdsl.syntax.mistakes.diagnose import diagnose
from nasdsl.syntax.mistakes.failure import place_of
from nasdsl.syntax.reserved import check_reserved
from nasdsl.syntax.scan import Scan

#: After this many syntax errors a file is something else than `.nas`.
MAX_ERRORS = 50


@lru_cache(maxsize=1)
def grammar() -> Lark:
    """The LALR(1) parser of `grammars/nas.lark`, made once per process."""
    text = resources.read("grammars", "nas.lark")
    if text is None:
        raise FileNotFoundError("grammars/nas.lark is missing from this installation")
    return tables.parser(text, resources.read("grammars", "nas.tables.json"))


@dataclass(frozen=True, slots=True)
class Parsed:
    """A tree, and the ranges of text that were given up because of mistakes in them."""

    module: ast.Module
    skipped: tuple[tuple[int, int], ...] = ()


def parse(source: Source, diags: Diagnostics) -> Parsed | None:
    """The syntax tree of a source; None where the text is too broken to have one.

    All syntax errors are added to `diags`; after each one parsing goes on with the next
    statement, so a tree may come back although there were errors.
    """
    if not legible.readable(source, diags):
        return None
    too_deep = legible.nesting(source)
    if too_deep is not None:
        legible.report_depth(too_deep, diags)
        return None
    # The interactive form is lark's own way to go on after an error.
    run: Any = grammar().parse_interactive(source.text)
    state: Any = run.parser_state
    if not legible.begins_with_version(source, diags):
        state.feed_token(Token("NAS", "nas", start_pos=0, end_pos=0, line=1, end_line=1))
        state.feed_token(Token("NUMBER", "1", start_pos=0, end_pos=0, line=1, end_line=1))
    last: Token | None = None
    tree = None
    scan: Scan | None = None
    skipped: list[tuple[int, int]] = []
    while tree is None:
        try:
            for token in run.lexer_thread.lex(state):
                state.feed_token(token)
                last = token
            tree = run.feed_eof(last)
        except (UnexpectedToken, UnexpectedCharacters) as error:
            scan = scan or Scan(source)
            offset = place_of(error, source).start
            if len(skipped) >= MAX_ERRORS:
                legible.give_up(offset, source, diags)
                return None
            code, start = diagnose(error, scan, diags)
            resumed = recovery.resume(scan, state, offset, start, unclosed=code == "E008")
            if resumed is None:
                return None
            if code == "E008":
                scan = Scan(source, scan.unclosed | {scan.enclosing(offset)[-1].span.start})
            skipped.append(resumed.skipped)
            _move(run, resumed.offset)
    try:
        module = build(tree, source, tuple(_comments(source)), diags)
    except TooDeep as error:
        legible.report_depth(error.span, diags)
        return None
    check_reserved(module, skipped, diags)
    return Parsed(module, tuple(skipped))


def _move(run: Any, offset: int) -> None:
    """Put lark's lexer at an offset of the text."""
    counter = run.lexer_thread.state.line_ctr
    text = run.lexer_thread.state.text
    if offset < counter.char_pos:
        counter.char_pos, counter.line, counter.line_start_pos, counter.column = 0, 1, 0, 1
    counter.feed(TextSlice(text.text, counter.char_pos, offset))
    run.lexer_thread.state.last_token = None


def _comments(source: Source) -> list[ast.Comment]:
    found = []
    for start, end in recovery.comment_ranges(source.text):
        before = source.text[source.text.rfind("\n", 0, start) + 1 : start]
        found.append(
            ast.Comment(
                span=Span(source, start, end),
                text=source.text[start:end].rstrip(),
                own_line=not before.strip(),
            )
        )
    return found
