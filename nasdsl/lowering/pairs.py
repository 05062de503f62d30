"""What a suite runs together must fit: recipes against spaces, parts of data against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.model import Diagnostics, Label
from nasdsl.ir.config import Component, Ref, Settings, Steps
from nasdsl.ir.space import Decision, Space
from nasdsl.lowering import networks
from nasdsl.lowering.blocks import Block
from nasdsl.lowering.config.configs import Configs
from nasdsl.lowering.config.context import UNKNOWN
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.modules import Def, Module
from nasdsl.lowering.scope import Broken, Closure, Context, parameter
from nasdsl.lowering.value.evaluation import value
from nasdsl.source import Span
from nasdsl.syntax import ast


def check_suite(diags: Diagnostics, flat: Flattener, definition: Def, made: Settings) -> None:
    """Every recipe of a suite against every space of it."""
    block = flat.block(definition)
    if block is None or block.partial:
        return
    spaces = [(ref, d) for ref, d in _named(block, made, "spaces")]
    recipes = [(ref, d) for ref, d in _named(block, made, "recipes")]
    where = block.get("attr", "recipes")
    for space_ref, space_def in spaces:
        space_block = flat.block(space_def)
        if space_block is None or space_block.partial:
            continue
        given = dict(space_ref.changes)
        values = parameters(flat, space_block, given)
        whole: Space | None = None
        for ref, recipe_def in recipes:
            recipe_block = flat.block(recipe_def)
            if recipe_block is None or recipe_block.partial:
                continue
            configs = Configs(diags, flat, values, space_def.name, None, dict(ref.changes))
            before = len(diags.errors)
            recipe = configs.settings(recipe_def)
            if recipe is None or where is None or len(diags.errors) > before:
                continue
            if not _asks(recipe, space_block):
                continue
            whole = whole or networks.space(Diagnostics(), flat, space_def, _plain(given))
            if whole is not None:
                fits(diags, recipe_block, recipe, whole, where.span)


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in given.items() if isinstance(v, Fraction | bool | str)}


def _named(block: Block, made: Settings, slot: str) -> Iterator[tuple[Ref, Def]]:
    piece = block.get("attr", slot)
    refs = made.get(slot)
    if piece is None or not isinstance(refs, tuple):
        return
    for ref in refs:
        if not isinstance(ref, Ref):
            continue
        place: Module | None = piece.origin.module
        *files, last = ref.name.split(".")
        for part in files:
            place = place.files.get(part) if place is not None else None
        found = place.names.get(last) if place is not None else None
        if found is not None and found.kind == ref.kind:
            yield ref, found


def parameters(flat: Flattener, block: Block, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a space with their values; what is no plain value is unknown."""
    ctx = Context(Diagnostics(), flat, block, True, given)
    found: dict[str, Any] = {}
    for name in block.params:
        known = parameter(ctx, name)
        if isinstance(known, Closure):
            try:
                known = value(ctx, known.node, known.env, None)
            except Broken:
                known = UNKNOWN
        found[name] = known if isinstance(known, Fraction | bool | str) else UNKNOWN
    return found


# ---- a recipe and a space


def fits(
    diags: Diagnostics, block: Block, recipe: Settings, space: Space, where: Span | None = None
) -> None:
    """E501 for decisions a one-shot recipe cannot mix, E334 for pruning to more than there is."""
    place = where or _slot_span(block, "sampler")
    if _mixes(recipe):
        sampler = recipe.get("sampler")
        for decision, what in _unmixable(space, recipe):
            labels = [] if decision.span is None else [Label(decision.span, "decided here")]
            if where is not None:
                labels.append(Label(_slot_span(block, "sampler"), f"recipe `{recipe.name}`"))
            diags.add(
                "E501",
                place,
                f"space `{space.name}` decides {what} at `{decision.id}`, which sampler "
                f"`{sampler.name}` of recipe `{recipe.name}` cannot mix",
                help="one-shot recipes choose between operations; use a recipe that draws whole "
                "architectures (`random_search`), or `one_of` operations",
                labels=tuple(labels),
            )
            break
    most = max((len(d.labels) for d in _all(space.decisions) if d.kind == "op"), default=None)
    if most is None:
        return
    for owner, settings in [("", recipe), *recipe.phases]:
        for component in _prunes(settings.get("prune")):
            n = component.get("n")
            if component.name == "top" and isinstance(n, Fraction) and n > most:
                diags.add(
                    "E334",
                    component.span or _slot_span(block, "prune"),
                    f"`top({n})` keeps more than there is: decisions of space `{space.name}` "
                    f"have at most {most} options" + (f" (phase `{owner}`)" if owner else ""),
                    help=f"`top(n)` with n below {most}",
                )


def _mixes(recipe: Settings) -> bool:
    return isinstance(recipe.get("sampler"), Component) and isinstance(
        recipe.get("arch"), Component
    )


def _unmixable(space: Space, recipe: Settings) -> Iterator[tuple[Decision, str]]:
    entangled = recipe.get("entangle") is not None
    for decision in _all(space.decisions):
        if decision.kind == "value" and decision.count == -1:
            yield decision, "a `float`"
        elif decision.kind == "depth":
            yield decision, "a depth"
        elif decision.kind == "value" and not entangled:
            yield decision, "a number"
    for rules in space.rules:
        for pick in rules.picks:
            for target in pick.targets:
                if pick.count is None:
                    identity = f"{rules.table}/{target}<-*"
                    known = [d for d in space.decisions if d.id == identity]
                    yield from ((d, "`pick any`") for d in known)


def _all(decisions: tuple[Decision, ...]) -> Iterator[Decision]:
    for decision in decisions:
        yield decision
        for below in decision.nested:
            yield from _all(below)


def _prunes(found: Any) -> list[Component]:
    if isinstance(found, Steps):
        return [v for _, v in found.entries if isinstance(v, Component)]
    return [found] if isinstance(found, Component) else []


def _slot_span(block: Block, slot: str) -> Span:
    piece = block.get("attr", slot)
    return piece.span if piece is not None else block.span


# ---- whether it is worth building the space


def _asks(recipe: Settings, block: Block) -> bool:
    """Whether something of the recipe depends on the decisions of the space."""
    prunes = any(_prunes(s.get("prune")) for s in (recipe, *(p for _, p in recipe.phases)))
    return prunes or (_mixes(recipe) and _decides_numbers(block))


def _decides_numbers(block: Block) -> bool:
    seen: set[int] = set()
    todo: list[tuple[Any, Module]] = [(p.node, p.origin.module) for p in block.pieces.values()]
    while todo:
        node, module = todo.pop()
        if isinstance(node, tuple | list):
            todo.extend((item, module) for item in node)
            continue
        if not isinstance(node, ast.Node) or id(node) in seen:
            continue
        seen.add(id(node))
        match node:
            case ast.FloatDomain() | ast.IntDomain():
                return True
            case ast.SetOf() if any(isinstance(i, ast.Number) for i in node.items):
                return True
            case ast.Pick() if isinstance(node.count, ast.Name) and node.count.text == "any":
                return True
            case ast.Name():
                found = module.names.get(node.text)
                if found is not None and found.kind in ("op", "let", "ops", "cell", "candidate"):
                    todo.append((found.node, found.module))
        todo.extend((getattr(node, f.name), module) for f in fields(node) if f.name != "span")
    return False
