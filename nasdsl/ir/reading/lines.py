"""Lines of a text as a tree by their indentation, and the words of a line one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar

from nasdsl.ir.shape import Shape

T = TypeVar("T")


_TOKEN = re.compile(r'(?:(?P<key>[A-Za-z_]\w*)=)?(?P<value>"(?:[^"\\]|\\.)*"|[^\s"=]+)(?=\s|$)')


class ReadError(ValueError):
    """A text is no space: `line` says where, `message` what is wrong."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


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


def as_lines(text: str) -> list[Line]:
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
