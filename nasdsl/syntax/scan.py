"""A rough reading of a text that needs no grammar: words, brackets and what they stand in.

It serves only where the parser has failed: it says which block a place belongs to, where a
statement begins, and which bracket is open.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field

from nasdsl.source import Source, Span
from nasdsl.syntax.reserved import CONFIGS, STATEMENTS

_TOKEN = re.compile(
    r'#[^\n]*|"[^"\n]*"|[A-Za-z_][A-Za-z_0-9]*|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[kMG%]?'
    r"|->|>>|//|<=|>=|==|!=|&&|\|\||\.\.|\S"
)
_OPEN = {"(": ")", "[": "]", "{": "}"}
_CLOSE = {")": "(", "]": "[", "}": "{"}
_BLOCKS = frozenset(("space", "cell", "ops", "repeat", "target", "stage", "phase", *CONFIGS))
_BEGINS = frozenset(word for words in STATEMENTS.values() for word in words)
_AFTER_VALUE = re.compile(r'[\w"\])}%]')


@dataclass(frozen=True, slots=True)
class Word:
    """One token; `first` when it begins its line."""

    text: str
    span: Span
    first: bool
    opener: int | None = field(default=None)

    @property
    def is_name(self) -> bool:
        return self.text[0].isalpha() or self.text[0] == "_"

    @property
    def is_value(self) -> bool:
        return self.is_name or self.text[0].isdigit() or self.text[0] == '"'


@dataclass(frozen=True, slots=True)
class Bracket:
    """An opening bracket; `block` is the kind of block it opens, or None for a value."""

    char: str
    span: Span
    block: str | None
    title: str
    parent: int | None
    closed: bool = False


class Scan:
    """All tokens and brackets of a text, in one pass."""

    def __init__(self, source: Source, unclosed: frozenset[int] = frozenset()) -> None:
        """`unclosed`: offsets of brackets known to lack their partner; they open nothing."""
        self.source = source
        self.unclosed = unclosed
        self.words: list[Word] = []
        self.brackets: list[Bracket] = []
        self.stray: list[Word] = []
        self._read()
        self._starts = [w.span.start for w in self.words]

    def _read(self) -> None:
        open_now: int | None = None
        pending: tuple[str, str] | None = None
        line_start = True
        last_end = 0
        previous = ""
        for match in _TOKEN.finditer(self.source.text):
            text = match.group()
            line_start = line_start or "\n" in self.source.text[last_end : match.start()]
            last_end = match.end()
            if text.startswith("#"):
                continue
            word = Word(text, Span(self.source, match.start(), match.end()), line_start, open_now)
            begins = line_start or previous in ("{", "}")
            line_start = False
            self.words.append(word)
            inside_value = open_now is not None and self.brackets[open_now].block is None
            if text in _BEGINS and begins and not inside_value:
                pending = (text, text) if text in _BLOCKS else None
            elif pending is not None and pending[0] == pending[1] and word.is_name:
                pending = (pending[0], f"{pending[0]} {text}")
            if text in _OPEN and match.start() not in self.unclosed:
                block = None
                title = ""
                if (
                    text == "{"
                    and pending
                    and not inside_value
                    and _ends_value(previous)
                    or text == "{"
                    and pending
                    and pending[0] == "target"
                ):
                    block, title = pending
                    pending = None
                self.brackets.append(Bracket(text, word.span, block, title, open_now))
                open_now = len(self.brackets) - 1
            elif text in _CLOSE:
                at = open_now
                while at is not None and self.brackets[at].char != _CLOSE[text]:
                    at = self.brackets[at].parent
                if at is None:
                    self.stray.append(word)
                else:
                    open_now = self.brackets[at].parent
            previous = text

    def index(self, offset: int) -> int:
        """Index of the first word at or behind an offset."""
        return bisect_left(self._starts, offset)

    def enclosing(self, offset: int) -> list[Bracket]:
        """Brackets open just before an offset, outermost first."""
        i = self.index(offset)
        if i < len(self.words):
            at = self.words[i].opener
        elif self.words:
            last = self.words[-1]
            at = last.opener
            if last.text in _OPEN:
                at = len(self.brackets) - 1
            elif last.text in _CLOSE and at is not None:
                at = self.brackets[at].parent
        else:
            at = None
        found: list[Bracket] = []
        while at is not None:
            found.append(self.brackets[at])
            at = self.brackets[at].parent
        return found[::-1]

    def statement(self, index: int) -> list[Word]:
        """The words of the statement that holds a word, up to and without that word."""
        words: list[Word] = []
        i = index - 1
        while i >= 0:
            words.append(self.words[i])
            if self.begins_statement(i):
                break
            i -= 1
        return words[::-1]

    def begins_statement(self, index: int) -> bool:
        """Whether a word stands where a statement may begin."""
        if index == 0:
            return True
        word, before = self.words[index], self.words[index - 1]
        if word.opener is not None and self.brackets[word.opener].block is None:
            return False
        continues = before.text in (",", "=", ":", ">>", "+", "-", "*", "/", "->", "(", "[")
        return (
            (word.first and not continues and word.text not in (">>", "+", "-", "*"))
            or (before.text == "{")
            or (before.text == "}" and word.text in _BEGINS)
        )


def _ends_value(text: str) -> bool:
    return (
        bool(text)
        and bool(_AFTER_VALUE.match(text[-1]))
        and text
        not in (
            "one_of",
            "fresh",
            "not",
            "and",
            "or",
            "else",
            "if",
            "at",
        )
    )
