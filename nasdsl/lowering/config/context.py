"""What the evaluation of a block knows, as its parts see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.ir.config import Settings, Time
from nasdsl.ir.schema import Spec
from nasdsl.lowering.blocks import Block
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.modules import Module
from nasdsl.lowering.scope import Broken
from nasdsl.source import Span
from nasdsl.syntax import ast


class _Unknown:
    """A value that depends on a space which is not known while checking."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN: Any = _Unknown()

#: Kinds of definitions that a value may name.
BLOCK_KINDS = ("space", "recipe", "dataset", "split", "train", "suite")


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a value was written, and what is known around it."""

    module: Module
    block: Block
    locals: Mapping[str, Any] = field(default_factory=dict)


class Context(Protocol):
    """What `Configs` offers to the modules beside it, which therefore need not import it."""

    diags: Diagnostics
    flat: Flattener
    network: Mapping[str, Any] | None
    space: str
    data: Block | None
    changes: Mapping[str, Any]
    recipe: str
    keys: dict[tuple[int, Time], Span]
    legal: Mapping[str, Spec]

    def fail(self, code: str, span: Span, message: str, help: str | None = None) -> Broken:
        """Add an error; the exception to raise."""

    def value(self, node: ast.Value, scope: Scope) -> Any:
        """The value of an expression. Raises Broken."""

    def number(self, node: ast.Value, scope: Scope) -> Fraction:
        """The value of an expression that is a number. Raises Broken."""

    def dataset(self, block: Block) -> Settings:
        """The settings of a data set, on their own."""

    def quiet(self) -> Context:
        """The same without a space, and with diagnostics that nobody sees."""


def is_number(value: Any) -> bool:
    return isinstance(value, Fraction) and not isinstance(value, bool)


def time_of(node: ast.Value, value: Fraction) -> Time:
    return Time(value, isinstance(node, ast.Number) and node.text.endswith("%"))
