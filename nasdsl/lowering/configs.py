"""Recipes, data sets, splits, training settings and suites: flat, evaluated, checked.

A block is checked as far as it is known: without a space `network.P` is unknown, and both
branches of a condition on it are checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.model import Diagnostics, Label
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.config import (
    Component,
    Data,
    Pipeline,
    Ref,
    Schedule,
    Settings,
    Steps,
    Time,
    Total,
    Word,
    show,
)
from nasdsl.ir.schema import BLOCKS, FORMS, REQUIRED, SLOTS, Param, Spec
from nasdsl.ir.shape import Shape
from nasdsl.lowering.blocks import Block, Flattener, Piece, lookup
from nasdsl.lowering.elsewhere import bundled_hint
from nasdsl.lowering.modules import Def, Module
from nasdsl.lowering.scope import Broken
from nasdsl.lowering.values import HUGE, MANY, division, named_dims
from nasdsl.source import Span
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value
from nasdsl.syntax.reserved import RESERVED

_SHAPES = {"image": 3, "series": 2, "volume": 4, "features": 1, "tokens": 1}
#: What may decide between runs; test data may not.
_MEASURED = tuple(
    f"{part}.{what}"
    for part in ("search.train", "search.valid", "retrain.train", "retrain.valid")
    for what in ("loss", "accuracy", "error")
)
_BLOCK_KINDS = ("space", "recipe", "dataset", "split", "train", "suite")


class _Unknown:
    """A value that depends on a space which is not known while checking."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN: Any = _Unknown()
#: How deep values may nest once names are followed, and how many a block may need.
MAX_LEVEL, MAX_STEPS = 120, 100_000
#: How many combinations a grid may have.
MAX_GRID = 10_000


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a value was written, and what is known around it."""

    module: Module
    block: Block
    locals: Mapping[str, Any] = field(default_factory=dict)


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
        self.diags.add(code, span, message, help=help)
        return Broken()

    # ---- blocks

    def settings(self, definition: Def) -> Settings | None:
        """The flat settings of a definition; None where it is broken."""
        block = self.flat.block(definition)
        return None if block is None else self.of_block(block)

    def of_block(self, block: Block) -> Settings:
        slots = BLOCKS[block.kind]
        self.recipe = block.name
        values: dict[str, Any] = {}
        network: dict[str, Any] = {}
        before = len(self.diags.errors)
        self._attrs(block, block, slots, values, network)
        phases = []
        for piece in block.all("phase"):
            phases.append((piece.key[1], self._phase(block, piece, slots)))
        for name, piece in block.params.items():
            # A parameter named like a slot is that slot: `train short(epochs = 12) …`.
            if name in slots and isinstance(piece.node, ast.Param) and piece.node.default:
                scope = _Scope(piece.origin.module, block)
                try:
                    local = self._local(name, scope, ast.Name(span=piece.span, parts=(name,)))
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
            phases=tuple(phases),
            requires=tuple(
                format_value(p.node.value) for p in block.layers if isinstance(p.node, ast.Require)
            ),
        )
        self._whole(block, made, broken=len(self.diags.errors) > before)
        return made

    def _attrs(
        self,
        block: Block,
        scope_block: Block,
        slots: Mapping[str, str],
        values: dict[str, Any],
        network: dict[str, Any],
        pieces: list[Piece] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        found = pieces if pieces is not None else block.all("attr")
        # A whole slot comes before changes to its arguments.
        for piece in sorted(found, key=lambda p: len(p.key)):
            if not isinstance(piece.node, ast.Attr):
                continue
            scope = _Scope(piece.origin.module, scope_block, dict(extra or {}))
            try:
                self._attr(piece, piece.node, block.kind, slots, values, network, scope)
            except Broken:
                continue

    def _attr(
        self,
        piece: Piece,
        node: ast.Attr,
        kind: str,
        slots: Mapping[str, str],
        values: dict[str, Any],
        network: dict[str, Any],
        scope: _Scope,
    ) -> None:
        path = node.target.parts
        name = ".".join(path)
        if kind == "recipe" and path[0] == "network" and len(path) == 2:
            value = self.value(node.value, scope)
            if self.network is not None and path[1] not in self.network:
                end = node.target.span.end
                raise self.fail(
                    "E331",
                    Span(node.target.span.source, end - len(path[1]), end),
                    f"space `{self.space}` has no parameter `{path[1]}`, which "
                    f"{self._where(piece)} sets",
                    f"recipe {self.recipe or piece.origin.name} needs a space with `{path[1]}`",
                )
            network[path[1]] = value
            return
        if name in slots:
            values[name] = self.slot(name, slots[name], node.value, scope)
            return
        if len(path) == 2 and path[0] in slots and slots[path[0]].startswith("component"):
            self._change(path, node, values, scope, slots[path[0]])
            return
        if path[0] in RESERVED or scope.block.orphan:
            raise Broken
        legal = [s for s in slots if "." not in s or kind == "split"]
        if kind == "recipe":
            legal.append("network")
        raise self.fail(
            "E302",
            node.target.span,
            f"a {kind} has no `{name}`",
            did_you_mean(path[0] if kind != "split" else name, legal, limit=30),
        )

    def _where(self, piece: Piece) -> str:
        if piece.key[0] == "phase-attr":
            return f"phase `{piece.key[1]}`"
        return f"recipe `{piece.origin.name}`"

    def _change(
        self,
        path: tuple[str, ...],
        node: ast.Attr,
        values: dict[str, Any],
        scope: _Scope,
        type_: str,
    ) -> None:
        """`slot.arg = v`: one argument of the inherited component."""
        slot, arg = path
        component = values.get(slot)
        if not isinstance(component, Component):
            state = "is `none`" if slot in values else "is not set"
            raise self.fail(
                "E307",
                node.target.span,
                f"`{slot}` {state}, so `{slot}.{arg}` changes nothing",
                f"write `{slot} = …` first",
            )
        spec = SLOTS[type_.partition(":")[2]].get(component.name)
        param = next((p for p in spec.params if p.name == arg), None) if spec else None
        if spec is None or param is None:
            names = [p.name for p in spec.params] if spec else []
            raise self.fail(
                "E303",
                node.target.span,
                f"`{component.name}` has no argument `{arg}`",
                did_you_mean(arg, names),
            )
        value = self.value(node.value, scope)
        checked = self.check(param, value, node.value, component.name, scope)
        values[slot] = component.with_arg(arg, checked)

    def _phase(self, block: Block, piece: Piece, slots: Mapping[str, str]) -> Settings:
        """A phase's own slots over what it extends; the recipe's slots are seen behind them."""
        pieces = self._phase_pieces(block, piece, set())
        values: dict[str, Any] = {}
        network: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        quiet = Configs(
            Diagnostics(), self.flat, None, "", self.data, {}, self.depth, keys=self.keys
        )
        quiet._attrs(block, block, slots, inherited, {})
        values.update(inherited)
        made = [
            Piece(("phase-attr", piece.key[1], *p.target.parts), p, p.span, origin)
            for p, origin in pieces
        ]
        self._attrs(block, block, {**slots}, values, network, made)
        own = {p.target.parts[0] for p, _ in pieces}
        return Settings(
            kind="recipe",
            name=piece.key[1],
            values=tuple((k, v) for k, v in values.items() if k in own or k.split(".")[0] in own),
            network=tuple(network.items()),
        )

    def _phase_pieces(
        self, block: Block, piece: Piece, active: set[str]
    ) -> list[tuple[ast.Attr, Block]]:
        node = piece.node
        if not isinstance(node, ast.Phase):
            return []
        name = node.name.text
        found: dict[tuple[str, ...], tuple[ast.Attr, Block]] = {}
        if piece.previous is not None:
            for attr, origin in self._phase_pieces(block, piece.previous, active):
                found[attr.target.parts] = (attr, origin)
        for parent in node.parents:
            above = block.get("phase", parent.text)
            if above is None or parent.text in active | {name}:
                self.diags.add(
                    "E101",
                    parent.span,
                    f"unknown phase `{parent.text}`",
                    help=did_you_mean(parent.text, [p.key[1] for p in block.all("phase")]),
                )
                continue
            for attr, origin in self._phase_pieces(block, above, active | {name}):
                found[attr.target.parts] = (attr, origin)
        mine: dict[tuple[str, ...], ast.Attr] = {}
        for statement in node.body:
            if not isinstance(statement, ast.Attr):
                continue
            parts = statement.target.parts
            if parts in mine:
                first = mine[parts]
                self.diags.add(
                    "E102",
                    statement.target.span,
                    f"`{statement.target.text}` is set twice",
                    help=f"first at {first.span.line}:{first.span.column}; keep one",
                    labels=(Label(first.target.span, "first here"),),
                )
                continue
            mine[parts] = statement
            for key in [k for k in found if k[: len(parts)] == parts]:
                del found[key]
            found[parts] = (statement, piece.origin)
        return list(found.values())

    # ---- a whole block

    def _whole(self, block: Block, made: Settings, *, broken: bool) -> None:
        if block.kind == "recipe":
            self._recipe(block, made)
        elif block.kind == "split":
            self._split(block, made)
        elif block.kind == "dataset" and not broken:
            for slot in ("source", "shape"):
                if made.get(slot) is None:
                    self.diags.add("E305", block.span, f"data set `{block.name}` has no `{slot}`")

    def _span(self, block: Block, *key: str) -> Span:
        piece = block.pieces.get(key)
        if piece is None:
            return block.span
        return piece.span

    def _recipe(self, block: Block, made: Settings) -> None:
        if made.phases:
            own = block.get("attr", "epochs")
            for piece in block.all("phase"):
                if own is not None and own.origin is piece.origin:
                    self.diags.add(
                        "E333",
                        own.span,
                        "both the recipe and its phases have `epochs`",
                        help="with phases the run is as long as they are together",
                        labels=(Label(piece.span, "a phase"),),
                    )
                    break
        for name, phase in made.phases:
            epochs = phase.get("epochs")
            if epochs is None:
                self.diags.add(
                    "E305",
                    self._span(block, "phase", name),
                    f"phase `{name}` has no `epochs`",
                )
            self._lengths(block, phase, epochs)
        if not made.phases:
            self._lengths(block, made, made.get("epochs"))

    def _lengths(self, block: Block, made: Settings, epochs: Any) -> None:
        """Times and keys against the length of the run; warm-ups that never end."""
        if not isinstance(epochs, Fraction):
            return
        total = int(epochs)
        for slot, value in made.values:
            for component in _components(value):
                for key, arg in component.args:
                    if isinstance(arg, Steps):
                        self._keys(arg, total, block, slot)
                    if key == "start" and isinstance(arg, Time) and slot in ("arch", "weights"):
                        first = arg.epochs(total)
                        if first >= total and total > 0:
                            self.diags.add(
                                "W501",
                                component.span or block.span,
                                f"`{slot}` starts at epoch {first} of {total}: it is never updated",
                                help=f"`{slot}.start = …` below {total}, or more epochs",
                            )
            if isinstance(value, Steps):
                self._keys(value, total, block, slot)

    def _keys(self, steps: Steps, total: int, block: Block, slot: str) -> None:
        for time, _ in steps.entries:
            if time.epochs(total) >= total:
                where = steps.span or self._span(block, "attr", slot)
                self.diags.add(
                    "E332",
                    self.keys.get((id(steps.span), time), where),
                    f"schedule key `{show(time)}` lies beyond `epochs = {total}`",
                    help=f"keys run from 0 to {total - 1}",
                )

    def _split(self, block: Block, made: Settings) -> None:
        parts = {k: v for k, v in made.values if isinstance(v, Data)}
        train, valid = parts.get("search.train"), parts.get("search.valid")
        for name, part in parts.items():
            if part.low > part.high or (not part.indices and part.low == part.high):
                self.diags.add(
                    "E404",
                    self._span(block, "attr", *name.split(".")),
                    f"`{name}` is empty",
                    help="a range runs upwards: `data[0%..50%]`",
                )
        if train and valid and _meet(train, valid):
            low = max(train.low, valid.low)
            high = min(train.high, valid.high)
            shared = int(high - low) + 1
            amount = (
                f"{shared} image{'s' * (shared != 1)}"
                if train.indices
                else f"{float((high - low) * 100):g}% of the images"
            )
            self.diags.add(
                "E402",
                self._span(block, "attr", "search", "valid"),
                f"`search.train` and `search.valid` share {amount}",
                help="search would be judged on what it was trained on; make them disjoint",
                labels=(Label(self._span(block, "attr", "search", "train"), "the other part"),),
            )

    # ---- slots

    def slot(self, name: str, type_: str, node: ast.Value, scope: _Scope) -> Any:
        """The value of a slot, checked. Raises Broken."""
        self._no_test(node, scope, name)
        kind, _, of = type_.partition(":")
        if isinstance(node, ast.Name) and node.text == "none":
            return None
        family = "augment" if kind == "augment" else of or kind
        before, self.legal = self.legal, SLOTS.get(family, {})
        try:
            value = self.value(node, scope)
        finally:
            self.legal = before
        match kind:
            case "component":
                return self.component(of, value, node, scope, name)
            case "augment":
                return self._pipeline(value, node, scope)
            case "total":
                parts = value.parts if isinstance(value, Total) else (value,)
                made = tuple(self.component(of, p, node, scope, name) for p in parts)
                return made[0] if len(made) == 1 else Total(made)
            case "prune":
                return self._prune(value, node, scope)
            case "refs":
                return self._refs(of, value, node, scope)
            case "shape":
                if value is not UNKNOWN and not isinstance(value, Shape):
                    raise self.fail("E304", node.span, f"`{name}` is a shape: `image(3, 32, 32)`")
                return value
            case "range":
                if not isinstance(value, Data):
                    raise self.fail("E304", node.span, f"`{name}` is a range: `data[0%..50%]`")
                return value
            case "choose":
                return self._choose(value, node)
            case "seeds":
                if not isinstance(value, tuple) or not all(
                    _is_number(v) and v.denominator == 1 and v >= 0 for v in value
                ):
                    raise self.fail(
                        "E304", node.span, f"`{name}` is a list of whole numbers: `[0..2]`"
                    )
                return value
            case "any":
                return value
            case _:
                param = Param(name, kind)
                return self.check(param, value, node, name, scope)

    def _choose(self, value: Any, node: ast.Value) -> Any:
        """`all`, `min(measurement)` or `max(measurement)`."""
        if value == Word("all"):
            return value
        if isinstance(value, Component) and value.name in ("min", "max") and len(value.args) == 1:
            measured = str(value.args[0][1])
            if measured in _MEASURED:
                return value
            raise self.fail(
                "E304",
                node.span,
                f"`{measured}` is not measured",
                did_you_mean(measured, _MEASURED),
            )
        raise self.fail("E304", node.span, "`choose` is `all`, `min(…)` or `max(…)`")

    def _no_test(self, node: ast.Value, scope: _Scope, slot: str) -> None:
        """Test data may be named only in a suite's report."""
        if scope.block.kind == "suite" and slot == "report":
            return
        for name in _names(node):
            if name.parts[0] == "test":
                raise self.fail(
                    "E401",
                    Span(name.span.source, name.span.start, name.span.start + 4),
                    "architectures may not be chosen on test data",
                    "`search.valid.loss`; `report` may use `test`",
                )

    def component(self, slot: str, value: Any, node: ast.Value, scope: _Scope, name: str) -> Any:
        """A component of a slot with its defaults. Raises Broken."""
        if value is UNKNOWN or value is None:
            return value
        if isinstance(value, Word):
            value = Component(value.text, (), node.span)
        if not isinstance(value, Component):
            raise self.fail(
                "E304", node.span, f"`{name}` takes a component: {', '.join(list(SLOTS[slot])[:6])}"
            )
        if "." in value.name:
            return value  # a plug-in's own component, checked when it is loaded
        spec = SLOTS[slot].get(value.name)
        span = value.span or node.span
        if spec is None:
            other = next((s for s, table in SLOTS.items() if value.name in table), None)
            if other is not None:
                raise self.fail(
                    "E306",
                    _head(span, value.name),
                    f"`{value.name}` belongs to `{other}`, not to `{name}`",
                    did_you_mean(value.name, SLOTS[slot]),
                )
            near = did_you_mean(value.name, SLOTS[slot], limit=0)
            legal = f"{name}s: {', '.join(SLOTS[slot])}"
            raise self.fail(
                "E301",
                _head(span, value.name),
                f"unknown {name} `{value.name}`",
                f"{near} {legal}" if near else legal,
            )
        return self._filled(spec, value, node, scope, span)

    def _filled(
        self, spec: Spec, value: Component, node: ast.Value, scope: _Scope, span: Span
    ) -> Component:
        given: dict[str, Any] = {}
        names = [p.name for p in spec.params]
        syntax = _arguments(node, value.name)
        for key, found in value.args:
            name = key
            if key.isdigit():
                index = int(key)
                if spec.name == "compose":
                    given[key] = self.component("sampler", found, node, scope, "sampler")
                    continue
                if index >= min(spec.positional, len(names)):
                    raise self.fail(
                        "E303",
                        syntax.get(key, span),
                        f"`{spec.name}` takes its arguments by name"
                        if names
                        else f"`{spec.name}` takes no arguments",
                        f"it has {', '.join(names)}" if names else None,
                    )
                name = names[index]
            param = next((p for p in spec.params if p.name == name), None)
            if param is None:
                raise self.fail(
                    "E303",
                    syntax.get(key, span),
                    f"`{spec.name}` has no argument `{name}`",
                    did_you_mean(name, names) or (None if names else "it takes none"),
                )
            if name in given:
                raise self.fail("E112", syntax.get(key, span), f"`{name}` is given twice")
            where = _argument_node(node, value.name, key) or node
            given[name] = self.check(param, found, where, spec.name, scope)
        for param in spec.params:
            if param.name in given:
                continue
            if param.default is REQUIRED:
                raise self.fail("E305", span, f"`{spec.name}` needs `{param.name}`", f"{spec.doc}")
            default = param.default
            if param.type == "time" and isinstance(default, Fraction):
                default = Time(default, False)
            if param.type == "word" and isinstance(default, str):
                default = Word(default)
            given[param.name] = default
        order = [*names, *(k for k in given if k not in names)]
        return Component(spec.name, tuple((k, given[k]) for k in order if k in given), span)

    def check(self, param: Param, value: Any, node: ast.Value, owner: str, scope: _Scope) -> Any:
        """A value of a parameter's type. Raises Broken."""
        if value is UNKNOWN or (value is None and param.default is None):
            return value

        def wrong(wanted: str) -> Broken:
            name = f"`{owner}`: `{param.name}`" if owner != param.name else f"`{owner}`"
            return self.fail("E304", node.span, f"{name} is {wanted}")

        kind, _, of = param.type.partition(":")
        match kind:
            case "int":
                if not _is_number(value):
                    raise wrong("a whole number")
                if abs(value) > MANY:
                    raise wrong("a whole number of ordinary size")
                if value.denominator != 1:
                    raise self.fail(
                        "E208",
                        division(node),
                        f"`{param.name}` {value} is not whole",
                        "`//` floors",
                    )
                if value < 0 or (value == 0 and param.name in ("epochs", "batch")):
                    raise wrong(
                        "at least 1" if param.name in ("epochs", "batch") else "not negative"
                    )
                return value
            case "number":
                if not _is_number(value):
                    raise wrong("a number")
                if abs(value) > HUGE:
                    raise wrong("a number that a computer can hold")
                return value
            case "fraction":
                if not _is_number(value) or not 0 < value <= 1:
                    raise wrong("a fraction above 0 and up to 1")
                return value
            case "bool":
                if not isinstance(value, bool):
                    raise wrong("`true` or `false`")
                return value
            case "text":
                if not isinstance(value, str):
                    raise wrong('a string: `"…"`')
                return value
            case "pair":
                if (
                    not isinstance(value, tuple)
                    or len(value) != 2
                    or not all(map(_is_number, value))
                ):
                    raise wrong("a list of two numbers")
                return value
            case "word":
                if not isinstance(value, Word) or value.text not in param.words:
                    shown = value.text if isinstance(value, Word) else format_value(node)
                    near = did_you_mean(shown, param.words)
                    raise self.fail(
                        "E304",
                        node.span,
                        f"`{owner}`: `{param.name}` is one of {', '.join(param.words)}",
                        near,
                    )
                return value
            case "time":
                if isinstance(value, Time):
                    return value
                if not _is_number(value) or value < 0:
                    raise wrong("a time: `10` epochs or `25%`")
                return _time(node, value)
            case "schedule" | "positive":
                if not (_is_number(value) or isinstance(value, Schedule | Steps)):
                    raise wrong("a number or a schedule: `cosine(0.1 -> 0)`")
                if _is_number(value) and abs(value) > HUGE:
                    raise wrong("a number that a computer can hold")
                if kind == "positive":
                    self._positive(value, node, param.name)
                return value
            case "names":
                return (
                    tuple(str(v) for v in value) if isinstance(value, frozenset | tuple) else value
                )
            case "name":
                return str(value)
            case "component":
                return self.component(of, value, node, scope, of)
            case _:
                return value

    def _positive(self, value: Any, node: ast.Value, name: str) -> None:
        what = "temperature" if name == "tau" else f"`{name}`"
        schedules = [value] if isinstance(value, Schedule) else []
        if isinstance(value, Steps):
            schedules = [v for _, v in value.entries if isinstance(v, Schedule)]
            numbers = [v for _, v in value.entries if _is_number(v)]
        else:
            numbers = [value] if _is_number(value) else []
        for schedule in schedules:
            # Held per epoch, a schedule never reaches its end.
            if schedule.end <= 0 and not (schedule.per_epoch and schedule.end == 0):
                span = _end_of(node) or node.span
                raise self.fail(
                    "E322",
                    span,
                    f"{what} reaches {schedule.end} at the last step; it must stay positive",
                    "`-> 0.1`",
                )
            if schedule.start <= 0:
                raise self.fail(
                    "E322",
                    node.span,
                    f"{what} begins at {schedule.start}; it must stay positive",
                )
        for number in numbers:
            if number <= 0:
                raise self.fail("E322", node.span, f"{what} must be positive, not {number}")

    def _pipeline(self, value: Any, node: ast.Value, scope: _Scope) -> Any:
        parts = value.parts if isinstance(value, Pipeline) else (value,)
        made: list[Any] = []
        for part in parts:
            if part is UNKNOWN or part is None:
                continue
            if isinstance(part, Pipeline):
                made.extend(part.parts)
            else:
                made.append(self.component("augment", part, node, scope, "augment"))
        return Pipeline(tuple(made))

    def _prune(self, value: Any, node: ast.Value, scope: _Scope) -> Any:
        if isinstance(value, Steps):
            entries = tuple(
                (t, self.component("prune", v, node, scope, "prune")) for t, v in value.entries
            )
            return Steps(entries, value.span)
        made = self.component("prune", value, node, scope, "prune")
        if isinstance(made, Component) and made.name == "top" and made.get("n") == 0:
            raise self.fail("E334", node.span, "`top(0)` leaves nothing; at least one option stays")
        return made

    def _refs(self, kind: str, value: Any, node: ast.Value, scope: _Scope) -> tuple[Any, ...]:
        values = value if isinstance(value, tuple) else (value,)
        broken = False
        for found in values:
            if isinstance(found, Ref) and found.kind == kind or found is UNKNOWN:
                continue
            broken = True
            if isinstance(found, Ref):
                where = _entry(node, found.name)
                self.fail(
                    "E406", where, f"`{found.name}` is a {found.kind}; a {kind} is wanted here"
                )
            elif isinstance(found, Word | Component):
                name = found.text if isinstance(found, Word) else found.name
                known = [n for n, d in scope.module.names.items() if d.kind == kind]
                self.fail(
                    "E101",
                    _entry(node, name),
                    f"unknown {kind} `{name}`",
                    bundled_hint(name, (kind,)) or did_you_mean(name, known),
                )
            else:
                self.fail("E406", node.span, f"a list of {kind}s is wanted here")
        if broken:
            raise Broken
        return tuple(values)

    # ---- values

    def value(self, node: ast.Value, scope: _Scope) -> Any:
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
            return self._value(node, scope)
        finally:
            self.depth -= 1

    def _value(self, node: ast.Value, scope: _Scope) -> Any:
        match node:
            case ast.Number() | ast.String() | ast.Boolean():
                return node.value
            case ast.Name():
                return self._name(node, scope)
            case ast.Unary(op="-"):
                operand = self.value(node.operand, scope)
                if isinstance(operand, Word | Component):
                    return Word(f"-{operand}")
                return operand if operand is UNKNOWN else -self._number(node.operand, scope)
            case ast.Unary(op="not"):
                operand = self.value(node.operand, scope)
                return operand if operand is UNKNOWN else not operand
            case ast.Unary():
                raise self.fail(
                    "E501", node.span, f"`{node.op}` makes a decision; only spaces decide"
                )
            case ast.Binary():
                return self._binary(node, scope)
            case ast.If():
                condition = self.value(node.condition, scope)
                if condition is UNKNOWN:
                    first = self.value(node.then, scope)
                    self.value(node.otherwise, scope)
                    return first
                if not isinstance(condition, bool):
                    raise self.fail("E218", node.condition.span, "a condition is wanted here")
                return self.value(node.then if condition else node.otherwise, scope)
            case ast.Call():
                return self._call(node, scope)
            case ast.Subscript():
                return self._subscript(node, scope)
            case ast.ListOf():
                return self._list(node, scope)
            case ast.SetOf():
                for item in node.items:
                    if isinstance(item, ast.MapOf):
                        raise self.fail(
                            "E027", item.span, "a set holds values, a map `key: value` pairs"
                        )
                return frozenset(
                    i.text if isinstance(i, ast.Name) else format_value(i) for i in node.items
                )
            case ast.MapOf():
                return {
                    (k.text if isinstance(k, ast.Name) else format_value(k)): self.value(v, scope)
                    for k, v in node.items
                }
            case _:
                raise self.fail("E501", node.span, "only spaces decide")

    def _number(self, node: ast.Value, scope: _Scope) -> Fraction:
        found = self.value(node, scope)
        if not _is_number(found):
            raise self.fail("E213", node.span, "a number is wanted here")
        number: Fraction = found
        return number

    def _name(self, node: ast.Name, scope: _Scope) -> Any:
        name = node.parts[0]
        if len(node.parts) == 1:
            if name in scope.locals:
                return scope.locals[name]
            found = self._local(name, scope, node)
            if found is not UNDEFINED:
                return found
            if name == "none":
                return None
            definition = scope.module.names.get(name)
            if definition is not None and definition.kind == "let":
                return self._let(definition, scope)
            known = name in self.legal
            if definition is not None and definition.kind in _BLOCK_KINDS and not known:
                # A component of a slot may carry the name of a block: `sampler = softmax`.
                return Ref(definition.kind, name)
            if definition is None and name in scope.module.lost and not known:
                raise Broken
            return Word(name)
        if name == "network" and scope.block.kind == "recipe":
            return self._network(node)
        if name == "data" and scope.block.kind in ("recipe", "train", "dataset"):
            return self._data(node)
        if name in scope.module.files:
            definition = lookup(scope.module, node, self.diags, "definition")
            if definition is None:
                raise Broken
            return Ref(definition.kind, node.text)
        return Word(node.text)

    def _local(self, name: str, scope: _Scope, node: ast.Name) -> Any:
        block = scope.block
        if name in self.changes and name in block.params:
            return self.changes[name]
        piece = block.get("set", name) or block.params.get(name)
        if piece is not None:
            value = piece.node.value if isinstance(piece.node, ast.Attr) else None
            if isinstance(piece.node, ast.Param):
                value = piece.node.default
            if value is None:
                raise self.fail("E111", node.span, f"parameter `{name}` has no value")
            if isinstance(value, ast.Name) and value.text == name and piece.previous is None:
                return Word(name)
            return self.value(value, _Scope(piece.origin.module, block))
        let = block.get("let", name)
        if let is not None and isinstance(let.node, ast.Let):
            return self.value(let.node.value, _Scope(let.origin.module, block))
        return UNDEFINED

    def _let(self, definition: Def, scope: _Scope) -> Any:
        if not isinstance(definition.node, ast.Let):
            raise Broken
        return self.value(definition.node.value, _Scope(definition.module, scope.block))

    def _network(self, node: ast.Name) -> Any:
        if self.network is None:
            return UNKNOWN
        if len(node.parts) != 2 or node.parts[1] not in self.network:
            name = ".".join(node.parts[1:])
            raise self.fail(
                "E331",
                node.span,
                f"space `{self.space}` has no parameter `{name}`, which the recipe reads",
                did_you_mean(name, self.network),
            )
        return self.network[node.parts[1]]

    def _data(self, node: ast.Name) -> Any:
        if self.data is None:
            if len(node.parts) == 2 and node.parts[1] in BLOCKS["dataset"]:
                return UNKNOWN
            raise self.fail(
                "E115",
                node.span,
                f"a data set has no field `{'.'.join(node.parts[1:])}`",
                did_you_mean(node.parts[-1], BLOCKS["dataset"]),
            )
        found = Configs(self.diags, self.flat).of_block(self.data)
        if len(node.parts) != 2 or node.parts[1] not in BLOCKS["dataset"]:
            raise self.fail("E115", node.span, f"`{node.text}` is not a field of a data set")
        value = found.get(node.parts[1])
        if value is None and node.parts[1] == "augment":
            return Pipeline(())
        return value

    def _binary(self, node: ast.Binary, scope: _Scope) -> Any:
        left = self.value(node.left, scope)
        right = self.value(node.right, scope)
        if node.op == ">>":
            parts = (*_parts(left, Pipeline), *_parts(right, Pipeline))
            return Pipeline(tuple(p for p in parts if p is not UNKNOWN))
        if left is UNKNOWN or right is UNKNOWN:
            return UNKNOWN
        if node.op in ("==", "!="):
            return (left == right) == (node.op == "==")
        if node.op in ("and", "or"):
            return (left and right) if node.op == "and" else (left or right)
        if node.op == "+" and isinstance(left, tuple) and isinstance(right, tuple):
            return left + right
        if node.op == "+" and isinstance(left, Component | Total | Word):
            return Total((*_parts(left, Total), *_parts(right, Total)))
        if not (_is_number(left) and _is_number(right)):
            raise self.fail("E107", node.op_span, f"`{node.op}` does not join these values")
        match node.op:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/" | "//":
                if right == 0:
                    raise self.fail("E217", node.op_span, "division by zero")
                return left / right if node.op == "/" else Fraction(left // right)
            case "<":
                return left < right
            case "<=":
                return left <= right
            case ">":
                return left > right
            case _:
                return left >= right

    def _list(self, node: ast.ListOf, scope: _Scope) -> tuple[Any, ...]:
        found: list[Any] = []
        for item in node.items:
            if isinstance(item, ast.Range):
                low, high = self._number(item.low, scope), self._number(item.high, scope)
                if low.denominator != 1 or high.denominator != 1 or high - low > 100_000:
                    raise self.fail("E404", item.span, "a range counts whole numbers")
                found.extend(Fraction(i) for i in range(int(low), int(high) + 1))
            else:
                value = self.value(item, scope)
                found.extend(value) if _is_grid(item) else found.append(value)
        return tuple(found)

    def _call(self, node: ast.Call, scope: _Scope) -> Any:
        if not isinstance(node.func, ast.Name):
            raise self.fail("E213", node.span, "this cannot be called")
        name = node.func.text
        if name in FORMS:
            return self._schedule(name, node, scope)
        if name == "steps":
            return self._steps(node, scope)
        if name == "exp" and len(node.args) == 1:
            power = self._number(node.args[0].value, scope)
            if abs(power) > 700:
                raise self.fail(
                    "E028", node.span, "`exp` of this is out of range", "|x| is at most 700"
                )
            return Fraction(math.exp(power))
        if name in _SHAPES or name == "pieces":
            return self._shape(name, node, scope)
        if name in ("shuffle", "stratify") and scope.block.kind == "split":
            return self._order(name, node, scope)
        if name == "grid":
            return self._grid(node, scope)
        target = None if name in self.legal else self._callee(node.func, scope)
        if target is not None:
            return self._block_call(node, target, scope)
        args: list[tuple[str, Any]] = []
        for i, arg in enumerate(node.args):
            if arg.to is not None:
                raise self.fail(
                    "E308",
                    arg.span,
                    f"`a -> b` belongs in a schedule, not in `{name}`",
                    "`linear(a -> b)`",
                )
            args.append((arg.name or str(i), self.value(arg.value, scope)))
        return Component(name, tuple(args), node.span)

    def _callee(self, func: ast.Name, scope: _Scope) -> Def | None:
        place: Module | None = scope.module
        for part in func.parts[:-1]:
            place = place.files.get(part) if place is not None else None
        found = place.names.get(func.parts[-1]) if place is not None else None
        return found if found is not None and found.kind in _BLOCK_KINDS else None

    def _block_call(self, node: ast.Call, target: Def, scope: _Scope) -> Ref:
        block = self.flat.block(target)
        if block is None:
            raise Broken
        legal = list(block.params)
        if target.kind in ("recipe", "train", "suite"):
            legal += list(BLOCKS[target.kind])
        changes: list[tuple[str, Any]] = []
        for arg in node.args:
            if arg.name is None:
                raise self.fail("E112", arg.span, f"`{target.name}` is called with names: `C = 18`")
            if arg.name not in legal:
                raise self.fail(
                    "E103",
                    arg.span,
                    f"{target.kind} `{target.name}` has no parameter `{arg.name}`",
                    did_you_mean(arg.name, legal),
                )
            changes.append((arg.name, self.value(arg.value, scope)))
        func = node.func
        return Ref(
            target.kind, func.text if isinstance(func, ast.Name) else target.name, tuple(changes)
        )

    def _grid(self, node: ast.Call, scope: _Scope) -> tuple[Any, ...]:
        if not node.args or node.args[0].name is not None:
            raise self.fail(
                "E112", node.span, "`grid` begins with a block: `grid(train, lr = […])`"
            )
        base = self.value(node.args[0].value, scope)
        if not isinstance(base, Ref):
            raise self.fail("E406", node.args[0].span, "`grid` begins with a block")
        if isinstance(node.args[0].value, ast.Name):
            target = self._callee(node.args[0].value, scope)
            if target is not None:
                call = ast.Call(span=node.span, func=node.args[0].value, args=node.args[1:])
                self._block_call(call, target, scope)
        found = [base]
        for arg in node.args[1:]:
            values = self.value(arg.value, scope)
            if not isinstance(values, tuple):
                raise self.fail("E304", arg.value.span, f"`{arg.name}` is a list in a grid")
            if len(found) * len(values) > MAX_GRID:
                raise self.fail("E116", node.span, f"a grid has at most {MAX_GRID} combinations")
            found = [
                Ref(f.kind, f.name, (*f.changes, (arg.name or "", v)))
                for f in found
                for v in values
            ]
        return tuple(found)

    def _schedule(self, form: str, node: ast.Call, scope: _Scope) -> Schedule:
        per_epoch = False
        ends: tuple[Fraction, Fraction] | None = None
        for arg in node.args:
            if arg.name == "per":
                if not isinstance(arg.value, ast.Name) or arg.value.text not in ("epoch", "step"):
                    raise self.fail("E304", arg.value.span, "`per` is `epoch` or `step`")
                per_epoch = arg.value.text == "epoch"
            elif arg.name is not None:
                raise self.fail(
                    "E303", arg.span, f"`{form}` has no argument `{arg.name}`", "it has per"
                )
            else:
                start = self._number_or_unknown(arg.value, scope)
                end = self._number_or_unknown(arg.to, scope) if arg.to is not None else start
                ends = (start, end)
        if ends is None:
            raise self.fail("E305", node.span, f"`{form}` needs its ends", f"`{form}(0.1 -> 0)`")
        single = next((a for a in node.args if a.name is None and a.to is None), None)
        if form != "constant" and single is not None:
            raise self.fail("E305", single.span, f"`{form}` runs from a to b", f"`{form}(a -> b)`")
        if form == "exponential" and (ends[0] <= 0 or ends[1] <= 0):
            raise self.fail(
                "E322", node.span, "an exponential schedule runs between positive numbers"
            )
        return Schedule(form, ends[0], ends[1], per_epoch, node.span)

    def _number_or_unknown(self, node: ast.Value, scope: _Scope) -> Fraction:
        found = self.value(node, scope)
        # A stand-in while the space is unknown; it is positive and nothing depends on it.
        return Fraction(1) if found is UNKNOWN else self._number(node, scope)

    def _steps(self, node: ast.Call, scope: _Scope) -> Steps:
        if len(node.args) != 1 or not isinstance(node.args[0].value, ast.MapOf):
            raise self.fail("E305", node.span, "`steps` takes a map: `steps({0: a, 10: b})`")
        entries: list[tuple[Time, Any]] = []
        for key, value in node.args[0].value.items:
            time = _time(key, self._number(key, scope))
            if (
                entries
                and time.relative == entries[-1][0].relative
                and time.value <= entries[-1][0].value
            ):
                raise self.fail("E335", key.span, "keys of a schedule rise", "sort the entries")
            self.keys[id(node.span), time] = key.span
            entries.append((time, self.value(value, scope)))
        first = entries[0][0]
        events = all(isinstance(v, Component | Word) for _, v in entries)
        if first.value != 0 and not events:
            raise self.fail(
                "E335", node.args[0].value.items[0][0].span, "the keys of a schedule begin at 0"
            )
        return Steps(tuple(entries), node.span)

    def _shape(self, name: str, node: ast.Call, scope: _Scope) -> Shape:
        if name == "pieces":
            if len(node.args) == 2:
                count = self._number(node.args[0].value, scope)
                inner = self.value(node.args[1].value, scope)
                if isinstance(inner, Shape) and inner.kind == "image" and 0 < count <= 1000:
                    return Shape("pieces", (int(count), *inner.dims))
            raise self.fail("E112", node.span, "`pieces` takes a count and an image")
        args = named_dims(name, node)
        numbers = [self._number(a.value, scope) for a in args or ()]
        if (
            args is None
            or len(numbers) != _SHAPES[name]
            or any(n <= 0 or n.denominator != 1 for n in numbers)
        ):
            raise self.fail(
                "E112", node.span, f"`{name}` takes {_SHAPES[name]} positive whole numbers"
            )
        return Shape(name, tuple(int(n) for n in numbers))

    def _order(self, name: str, node: ast.Call, scope: _Scope) -> Data:
        seed = Fraction(0)
        for arg in node.args:
            if arg.name == "seed":
                seed = self._number(arg.value, scope)
            elif arg.name is not None:
                raise self.fail(
                    "E303", arg.span, f"`{name}` has no argument `{arg.name}`", "it has seed"
                )
        return Data(order=name, seed=int(seed))

    def _subscript(self, node: ast.Subscript, scope: _Scope) -> Data:
        base = self.value(node.base, scope)
        if isinstance(base, Word) and base.text == "data":
            base = Data()
        if not isinstance(base, Data):
            raise self.fail("E213", node.base.span, "only `data` has ranges here")
        if not isinstance(node.index, ast.Range):
            raise self.fail("E404", node.span, "a range is wanted: `data[0%..50%]`")
        low, high = self._number(node.index.low, scope), self._number(node.index.high, scope)
        indices = not (_percent(node.index.low) or _percent(node.index.high))
        if not indices and not 0 <= low <= high <= 1:
            raise self.fail(
                "E404", node.index.span, "a range lies between 0% and 100% and runs upwards"
            )
        if indices and (low.denominator != 1 or high.denominator != 1 or low < 0 or high < low):
            raise self.fail("E404", node.index.span, "indices are whole, from 0, and run upwards")
        return Data(base.order, base.seed, low, high, indices)


class _Undefined:
    pass


UNDEFINED: Any = _Undefined()


def _is_number(value: Any) -> bool:
    return isinstance(value, Fraction) and not isinstance(value, bool)


def _percent(node: ast.Value) -> bool:
    return isinstance(node, ast.Number) and (node.text.endswith("%") or node.value.denominator != 1)


def _time(node: ast.Value, value: Fraction) -> Time:
    return Time(value, isinstance(node, ast.Number) and node.text.endswith("%"))


def _parts(value: Any, kind: type[Any]) -> tuple[Any, ...]:
    return value.parts if isinstance(value, kind) else (value,)


def _components(value: Any) -> list[Component]:
    match value:
        case Component():
            return [value]
        case Total() | Pipeline():
            return [p for p in value.parts if isinstance(p, Component)]
        case _:
            return []


def _is_grid(node: Any) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.text == "grid"
    )


def _meet(a: Data, b: Data) -> bool:
    if (a.order, a.seed, a.indices) != (b.order, b.seed, b.indices):
        return False
    if a.indices:
        return a.low <= b.high and b.low <= a.high
    return max(a.low, b.low) < min(a.high, b.high)


def _names(node: Any) -> list[ast.Name]:
    """Every name in a value."""
    match node:
        case ast.Name():
            return [node]
        case ast.Unary():
            return _names(node.operand)
        case ast.Binary():
            return _names(node.left) + _names(node.right)
        case ast.If():
            return _names(node.then) + _names(node.condition) + _names(node.otherwise)
        case ast.Call():
            return [n for a in node.args for n in _names(a.value)]
        case ast.Subscript():
            return _names(node.base)
        case ast.ListOf() | ast.SetOf():
            return [n for i in node.items for n in _names(i)]
        case ast.MapOf():
            return [n for _, v in node.items for n in _names(v)]
        case _:
            return []


def _entry(node: ast.Value, name: str) -> Span:
    """Where a list names something."""
    return next((n.span for n in _all_names(node) if n.text == name), node.span)


def _all_names(node: Any) -> list[ast.Name]:
    if isinstance(node, ast.Call):
        return [*_all_names(node.func), *_names(node)]
    if isinstance(node, ast.ListOf):
        return [n for i in node.items for n in _all_names(i)]
    if isinstance(node, ast.Binary):
        return [*_all_names(node.left), *_all_names(node.right)]
    return _names(node)


def _head(span: Span, name: str) -> Span:
    """The name at the beginning of a call."""
    return (
        Span(span.source, span.start, span.start + len(name))
        if span.text.startswith(name)
        else span
    )


def _find_call(node: Any, name: str) -> ast.Call | None:
    match node:
        case ast.Call():
            if isinstance(node.func, ast.Name) and node.func.text == name:
                return node
            for arg in node.args:
                found = _find_call(arg.value, name)
                if found is not None:
                    return found
        case ast.Binary():
            return _find_call(node.left, name) or _find_call(node.right, name)
        case ast.If():
            return _find_call(node.then, name) or _find_call(node.otherwise, name)
    return None


def _arguments(node: Any, name: str) -> dict[str, Span]:
    call = _find_call(node, name)
    if call is None:
        return {}
    return {arg.name or str(i): arg.span for i, arg in enumerate(call.args)}


def _argument_node(node: Any, name: str, key: str) -> ast.Value | None:
    call = _find_call(node, name)
    if call is None:
        return None
    for i, arg in enumerate(call.args):
        if (arg.name or str(i)) == key:
            return arg.value
    return None


def _end_of(node: Any) -> Span | None:
    """The place of b in `f(a -> b)`."""
    match node:
        case ast.Call():
            for arg in node.args:
                if arg.to is not None:
                    return arg.to.span
                found = _end_of(arg.value)
                if found is not None:
                    return found
        case ast.MapOf():
            for _, value in reversed(node.items):
                found = _end_of(value)
                if found is not None:
                    return found
    return None
