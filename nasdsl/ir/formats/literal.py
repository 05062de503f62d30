"""Reads values written as Python literals, without evaluating anything.

Strings, numbers, lists, tuples, dictionaries, constants, and calls by name (`range(2, 6)`,
`Genotype(normal=[…])`), which stay calls: what they mean is for the reader of a form to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NoReturn

from nasdsl.ir.genotype import GenotypeError

#: How deep lists may stand in lists; no form needs more than five.
MAX_DEPTH = 24

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>-?[0-9]{1,20}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?)(?![\w.])"""
    r"""|(?P<string>'[^'\\\n]*'|"[^"\\\n]*")"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"""
    r"""|(?P<mark>[\[\](){}:,=])|(?P<end>$)|(?P<bad>\S+?\b|\S))""",
    re.ASCII,
)

_CONSTANTS = {"True": True, "true": True, "False": False, "false": False}
_CLOSING = {"[": "]", "(": ")", "{": "}"}


@dataclass(frozen=True, slots=True)
class Name:
    """A bare name, as `CONV3X3`."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call by name: arguments by position and by name. Nothing is called."""

    name: str
    args: list[Any]
    named: dict[str, Any]


def read(text: str) -> Any:
    """The value of a text: str, int, float, bool, None, list, dict, Name or Call.

    Tuples are lists. Raises GenotypeError with the position and the token that does not belong.
    """
    reader = _Reader(text)
    found = reader.value(0)
    if reader.kind != "end":
        reader.fail("comes after the end")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.next = 0
        self.kind = ""
        self.token = ""
        self.step()

    def step(self) -> None:
        """Go to the next token."""
        match = _TOKEN.match(self.text, self.next)
        # The last alternative takes any character, so a match there always is.
        self.kind = (match.lastgroup if match else None) or "end"
        self.token = match.group(self.kind) if match else ""
        self.at = match.start(self.kind) if match else len(self.text)
        self.next = match.end() if match else len(self.text)

    def fail(self, why: str = "does not belong in a genotype") -> NoReturn:
        if self.kind == "end":
            raise GenotypeError(f"position {self.at}: the text ends too early")
        raise GenotypeError(f"position {self.at}: `{self.token[:60]}` {why}")

    def take(self, mark: str) -> None:
        if self.kind != "mark" or self.token != mark:
            self.fail(f"stands where `{mark}` is wanted")
        self.step()

    def has(self, mark: str) -> bool:
        return self.kind == "mark" and self.token == mark

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise GenotypeError(f"position {self.at}: nested too deeply for a genotype")
        token = self.token
        match self.kind:
            case "number":
                self.step()
                return int(token) if token.lstrip("-").isdigit() else float(token)
            case "string":
                self.step()
                return token[1:-1]
            case "name":
                return self.named(depth)
            case "mark" if token in "[(":
                self.step()
                return self.items(_CLOSING[token], depth)
            case "mark" if token == "{":
                self.step()
                return self.pairs("}", ":", depth)
        self.fail()

    def named(self, depth: int) -> Any:
        name = self.token
        self.step()
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name in ("None", "null"):
            return None
        if not self.has("("):
            return Name(name)
        self.step()
        args: list[Any] = []
        named: dict[str, Any] = {}
        while not self.has(")"):
            found = self.value(depth + 1)
            if self.has("=") and isinstance(found, Name):
                self.step()
                if found.text in named:
                    raise GenotypeError(f"`{found.text}` is given twice")
                named[found.text] = self.value(depth + 1)
            elif named:
                self.fail("comes after an argument without a name")
            else:
                args.append(found)
            if not self.has(")"):
                self.take(",")
        self.step()
        return Call(name, args, named)

    def items(self, closing: str, depth: int) -> list[Any]:
        found: list[Any] = []
        while not self.has(closing):
            found.append(self.value(depth + 1))
            if not self.has(closing):
                self.take(",")
        self.step()
        return found

    def pairs(self, closing: str, between: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self.has(closing):
            key = self.value(depth + 1)
            if not isinstance(key, str):
                raise GenotypeError(f"position {self.at}: keys are texts")
            if key in found:
                raise GenotypeError(f"`{key}` is given twice")
            self.take(between)
            found[key] = self.value(depth + 1)
            if not self.has(closing):
                self.take(",")
        self.step()
        return found
