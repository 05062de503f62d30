"""Spaces: the supernet, the network that is retrained, and what the space says of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.requirement import Requirement
from nasdsl.ir.space import Network, Space
from nasdsl.lowering.blocks import Block
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.lookup import has
from nasdsl.lowering.modules import Def
from nasdsl.lowering.network.body import network
from nasdsl.lowering.requirements import requirement
from nasdsl.lowering.scope import Broken, Closure, Context, Env, parameter
from nasdsl.lowering.value.evaluation import number, value
from nasdsl.lowering.value.kinds import Given, SetValue
from nasdsl.lowering.variation.varied import varied
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value

FORMATS = (
    "nas",
    "darts",
    "nasbench201",
    "nasbench101",
    "transnasbench101",
    "nats_size",
    "digits",
)


def space(
    diags: Diagnostics,
    flat: Flattener,
    definition: Def,
    overrides: Mapping[str, Any] | None = None,
    *,
    target_overrides: Mapping[str, Any] | None = None,
    genotype: Genotype | None = None,
) -> Space | None:
    """A space with its supernet and its target network; None where it is broken.

    With a genotype only the target differs: its decisions are resolved, and those among values
    are not spread out in the supernet either.
    """
    block = flat.block(definition)
    if block is None:
        return None
    given = dict(overrides or {})
    try:
        _settings(diags, flat, block, given)
        supernet, found = network(diags, flat, block, supernet=True, overrides=given)
        target_given = {**given, **_target(diags, flat, block, given), **(target_overrides or {})}
        target, _ = network(
            diags, flat, block, supernet=False, overrides=target_given, genotype=genotype
        )
        if genotype is None:
            supernet, meeting = varied(
                diags,
                supernet,
                found,
                lambda trial, settings: network(
                    trial, flat, block, supernet=True, overrides=given, settings=settings
                ),
            )
            target, _ = varied(
                diags,
                target,
                found,
                lambda trial, settings: network(
                    trial, flat, block, supernet=False, overrides=target_given, settings=settings
                ),
                meeting,
            )
        return Space(
            name=block.name,
            parameters=tuple(_parameters(found, block)),
            supernet=supernet,
            target=target,
            decisions=tuple(found.decisions.values()),
            rules=tuple(found.rules.values()),
            format=_format(diags, block),
            requires=(*_requirements(found, block), *found.requires.values()),
            classes=_classes(found),
        )
    except Broken:
        return None


def target(
    diags: Diagnostics,
    flat: Flattener,
    definition: Def,
    overrides: Mapping[str, Any] | None,
    genotype: Genotype,
) -> Network | None:
    """The discrete network of a genotype, without the supernet; None where it is broken."""
    block = flat.block(definition)
    if block is None:
        return None
    given = dict(overrides or {})
    try:
        given.update(_target(diags, flat, block, given))
        made, _ = network(diags, flat, block, supernet=False, overrides=given, genotype=genotype)
    except Broken:
        return None
    return made


def _requirements(ctx: Context, block: Block) -> list[Requirement]:
    """What the space itself requires; cells have recorded their own."""
    found = [
        requirement(ctx, p.node, Env(p.origin.module, block))
        for p in block.layers
        if isinstance(p.node, ast.Require)
    ]
    return [r for r in found if r is not None]


def _settings(
    diags: Diagnostics, flat: Flattener, block: Block, overrides: Mapping[str, Any]
) -> None:
    for name in overrides:
        if name not in block.params:
            diags.add(
                "E103",
                block.span,
                f"space `{block.name}` has no parameter `{name}`",
                help=has(name, block.params),
            )
            raise Broken


def _target(
    diags: Diagnostics, flat: Flattener, block: Block, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    piece = block.get("target")
    if piece is None or not isinstance(piece.node, ast.Target):
        return {}
    found: dict[str, Any] = {}
    for attr in piece.node.attrs:
        name = attr.target.text
        if name not in block.params:
            diags.add(
                "E103",
                attr.target.span,
                f"space `{block.name}` has no parameter `{name}`",
                help=has(name, block.params),
            )
            raise Broken
        ctx = Context(diags, flat, block, False, overrides)
        found[name] = value(ctx, attr.value, Env(piece.origin.module, block), None)
    return found


def _format(diags: Diagnostics, block: Block) -> str:
    piece = block.get("attr", "genotype")
    if piece is None or not isinstance(piece.node, ast.Attr):
        return "nas"
    node = piece.node.value
    text = node.text if isinstance(node, ast.Name) else ""
    if text not in FORMATS:
        diags.add(
            "E230",
            node.span,
            f"unknown genotype format `{text}`",
            help=did_you_mean(text, FORMATS),
        )
        raise Broken
    return text


def _parameters(ctx: Context, block: Block) -> list[tuple[str, str]]:
    """Parameters with the values they have, as text."""
    found = []
    for name in block.params:
        given = parameter(ctx, name)
        if isinstance(given, Closure):
            node = given.node
            try:
                given = value(ctx, node, given.env, None)
            except Broken:
                given = format_value(node)
        found.append((name, shown(given)))
    return found


def shown(found: Any) -> str:
    """A value as a person would write it."""
    match found:
        case SetValue():
            return "{" + ", ".join(found.labels) + "}"
        case Block() | Given():
            return found.name
        case bool():
            return "true" if found else "false"
        case tuple():
            return "[" + ", ".join(shown(v) for v in found) + "]"
        case _:
            return str(found)


def _classes(ctx: Context) -> int | None:
    if "data" not in ctx.block.params:
        return None
    data = parameter(ctx, "data")
    if isinstance(data, Given):
        return data.classes
    if isinstance(data, Closure):
        block = value(ctx, data.node, data.env, None)
        if isinstance(block, Block):
            piece = block.get("attr", "classes")
            if piece is not None and isinstance(piece.node, ast.Attr):
                found = number(ctx, piece.node.value, Env(piece.origin.module), None)
                return int(found)
    return None
