"""Recipes, data sets, splits, training settings and suites: flat, evaluated, checked.

A block is checked as far as it is known: without a space `network.P` is unknown, and both
branches of a condition on it are checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.ir.config import Settings, Time
from nasdsl.ir.schema import BLOCKS, Spec
from nasdsl.lowering.blocks import Block
from nasdsl.lowering.config import assignments, expressions, names, phases, whole
from nasdsl.lowering.config.context import Scope, is_number
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.modules import Def
from nasdsl.lowering.scope import Broken
from nasdsl.source import Span
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value

#: How deep values may nest once names are followed, and how many a block may need.
MAX_LEVEL, MAX_STEPS = 120, 100_000


@dataclass(slots=True)
class Configs:
    """Evaluates blocks. `network` are the parameters of the space, where one is known."""

    diags: Diagnostics
    flat: Flattener
    network: Mapping[str, Any] | None = None
    space: str = ""
    data: Block | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    #: How deep values nest just now, and how many have been evaluated.
    depth: int = 0
    steps: int = 0
    #: The recipe that is being evaluated.
    recipe: str = ""
    #: Where the keys of `steps` were written.
    keys: dict[tuple[int, Time], Span] = field(default_factory=dict)
    #: Components that are legal where a value is being evaluated; they go before blocks.
    legal: Mapping[str, Spec] = field(default_factory=dict)

    def fail(self, code: str, span: Span, message: str, help: str | None = None) -> Broken:
        """Add an error; the exception to raise."""
        self.diags.add(code, span, message, help=help)
        return Broken()

    # ---- blocks

    def settings(self, definition: Def) -> Settings | None:
        """The flat settings of a definition; None where it is broken."""
        block = self.flat.block(definition)
        return None if block is None else self.of_block(block)

    def of_block(self, block: Block) -> Settings:
        """The settings of a block; what is wrong in it is added to `diags`."""
        slots = BLOCKS[block.kind]
        self.recipe = block.name
        values: dict[str, Any] = {}
        network: dict[str, Any] = {}
        before = len(self.diags.errors)
        assignments.assign(self, block, block, slots, values, network)
        parts = [
            (piece.key[1], phases.phase(self, block, piece, slots)) for piece in block.all("phase")
        ]
        for name, piece in block.params.items():
            # A parameter named like a slot is that slot: `train short(epochs = 12) …`.
            if name in slots and isinstance(piece.node, ast.Param) and piece.node.default:
                scope = Scope(piece.origin.module, block)
                try:
                    local = names.local(self, name, scope, ast.Name(span=piece.span, parts=(name,)))
                    values[name] = local
                except Broken:
                    continue
        for name, value in self.changes.items():
            if name in slots:
                values[name] = value
        made = Settings(
            kind=block.kind,
            name=block.name,
            values=tuple(values.items()),
            network=tuple(network.items()),
            phases=tuple(parts),
            requires=tuple(
                format_value(p.node.value) for p in block.layers if isinstance(p.node, ast.Require)
            ),
        )
        whole.check(self, block, made, broken=len(self.diags.errors) > before)
        return made

    # ---- what the modules beside this one use

    def dataset(self, block: Block) -> Settings:
        """The settings of a data set, on their own."""
        return Configs(self.diags, self.flat).of_block(block)

    def quiet(self) -> Configs:
        """The same without a space, and with diagnostics that nobody sees."""
        return Configs(
            Diagnostics(), self.flat, None, "", self.data, {}, self.depth, keys=self.keys
        )

    def value(self, node: ast.Value, scope: Scope) -> Any:
        """The value of an expression. Raises Broken."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise self.fail(
                "E116",
                scope.block.span,
                f"`{scope.block.name}` is too large: more than {MAX_STEPS} steps to evaluate",
                "look for definitions that use others twice",
            )
        if self.depth >= MAX_LEVEL:
            raise self.fail(
                "E114",
                node.span,
                f"this nests more than {MAX_LEVEL} levels deep: does a definition use itself?",
            )
        self.depth += 1
        try:
            return expressions.evaluated(self, node, scope)
        finally:
            self.depth -= 1

    def number(self, node: ast.Value, scope: Scope) -> Fraction:
        """The value of an expression that is a number. Raises Broken."""
        found = self.value(node, scope)
        if not is_number(found):
            raise self.fail("E213", node.span, "a number is wanted here")
        number: Fraction = found
        return number
