"""Where parsing goes on after a mistake: the next statement of the same block.

The statement with the mistake is given up, everything before and after it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lark.parsers.lalr_analysis import Shift

from nasdsl.syntax.reserved import STATEMENTS
from nasdsl.syntax.scan import Scan, Word

#: Terminals of which the boundary between two statements of any block accepts at least one.
_MARKERS = frozenset(("SPACE", "STAGE", "NODE", "LET", "REQUIRE"))
_TOP_ONLY = frozenset(STATEMENTS["file"]) - {"let", "op", "ops", "cell"}


@dataclass(frozen=True, slots=True)
class Resume:
    """Where to read on, and which part of the text was given up."""

    offset: int
    skipped: tuple[int, int]


def comment_ranges(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every comment, strings respected."""
    for number, line in _lines(text):
        quoted = False
        for i, char in enumerate(line):
            if char == '"':
                quoted = not quoted
            elif char == "#" and not quoted:
                yield number + i, number + len(line)
                break


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def resume(scan: Scan, state: Any, offset: int, start: int, unclosed: bool) -> Resume | None:
    """Pop the parser to a statement boundary and say where to read on; None at the end.

    `offset` is where the parser failed, `start` where the statement with the mistake began,
    `unclosed` that a bracket was never closed, so that the failing word begins a statement.
    """
    index = scan.index(offset)
    inside = [b for b in scan.enclosing(offset) if b.block is None]
    depth = 0 if unclosed else len(inside)
    while index < len(scan.words):
        word = scan.words[index]
        sync = _sync(scan, index, depth, word, at_failure=word.span.start == offset)
        if sync and _pop(state, word):
            return Resume(word.span.start, (start, word.span.start))
        if word.text in "([{":
            depth += 1
        elif word.text in ")]}":
            depth = max(0, depth - 1)
        index += 1
    if not any(b.block for b in scan.enclosing(offset)) and _pop_to_end(state):
        end = len(scan.source.text)
        return Resume(end, (start, end))
    return None


def _pop_to_end(state: Any) -> bool:
    states = state.parse_conf.parse_table.states
    for depth in range(len(state.state_stack), 0, -1):
        stack = state.state_stack[:depth]
        _reach(states, stack, "$END")
        if stack[-1] == state.parse_conf.end_state:
            del state.state_stack[depth:]
            del state.value_stack[depth - 1 :]
            return True
    return False


def _sync(scan: Scan, index: int, depth: int, word: Word, *, at_failure: bool) -> bool:
    before = scan.words[index - 1].text if index else ""
    boundary = word.first or before in ("{", "}")
    if word.text in STATEMENTS["file"] and word.span.column == 1:
        return True
    if depth > 0:
        return boundary and word.first and word.text in _ALL and word.text not in _TOP_ONLY
    if word.text == "}":
        return True
    if not boundary:
        return False
    if word.text in _ALL:
        return True
    following = scan.words[index + 1].text if index + 1 < len(scan.words) else ""
    return word.is_name and following in ("=", ".") and (word.first or not at_failure)


_ALL = frozenset(word for words in STATEMENTS.values() for word in words)


def _pop(state: Any, word: Word) -> bool:
    """Pop parser states down to the first from which `word` begins or ends a statement."""
    if word.text == "}":
        kind = "RBRACE"
    else:
        kind = word.text.upper() if word.text in _ALL else "NAME"
    states = state.parse_conf.parse_table.states
    for depth in range(len(state.state_stack), 0, -1):
        boundary = _reach(states, state.state_stack[:depth], kind)
        if boundary is None or (kind in ("NAME", "RBRACE") and not _MARKERS & boundary.keys()):
            continue
        del state.state_stack[depth:]
        del state.value_stack[depth - 1 :]
        return True
    return False


def _reach(states: Any, stack: list[Any], kind: str) -> Any:
    """The accepting state in which a token would be shifted after all reductions, or None."""
    while kind in (accepted := states[stack[-1]]):
        action, argument = accepted[kind]
        if action is Shift:
            return accepted
        if size := len(argument.expansion):
            del stack[-size:]
        stack.append(states[stack[-1]][argument.origin.name][1])
    return None
