"""Names that a file does not know but a file of the bundled library defines."""

from __future__ import annotations

import re
from functools import cache

from nasdsl import resources

#: What may stand where an operation is wanted; `candidate` is one of an op set with a body.
OPERATIONS = ("op", "ops", "cell", "candidate")
#: What may stand where a value is wanted.
VALUES = (*OPERATIONS, "let", "dataset")
#: Everything a file can define.
BLOCKS = ("space", "recipe", "dataset", "split", "train", "suite")
#: More than so many files are not named.
MANY = 3
_OPS = re.compile(r"^ops .*?^\}", re.M | re.S)


def bundled_hint(name: str, kinds: tuple[str, ...]) -> str | None:
    """A help line with the import that defines a name; None where the library has no such name.

    The library is in canonical style, so its definitions begin lines and nothing is parsed.
    """
    found = [
        file for file, text in _library() if name in text and _defines(text, re.escape(name), kinds)
    ]
    if not found:
        return None
    first, *others = found
    also = f"; also in {', '.join(others[: MANY - 1])}" if others else ""
    more = f" and {len(others) - MANY + 1} more" if len(others) >= MANY else ""
    return f'the library has it: `from "{first}" import {name}`{also}{more}'


@cache
def _library() -> tuple[tuple[str, str], ...]:
    """Every bundled file with its text; they do not change while a program runs."""
    files = resources.listing("spaces", ".nas")
    return tuple((file, resources.read("spaces", file) or "") for file in files)


def _defines(text: str, name: str, kinds: tuple[str, ...]) -> bool:
    words = "|".join(k for k in kinds if k != "candidate")
    if re.search(rf"^(?:{words}) +{name}\b", text, re.M):
        return True
    body = re.compile(rf"^ +{name} +=", re.M)
    return "candidate" in kinds and any(body.search(s) for s in _OPS.findall(text))
