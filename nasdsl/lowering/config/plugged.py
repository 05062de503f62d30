"""Components of plugins in a slot, found by their dotted name."""

from __future__ import annotations

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.extension import OPEN, Extension, PluginError
from nasdsl.lowering.config.context import Context
from nasdsl.source import Span


def extension(ctx: Context, slot: str, dotted: str, where: Span, name: str) -> Extension:
    """What a dotted name stands for in a slot. Raises Broken."""
    plugins = ctx.flat.plugins
    try:
        found = plugins.of(slot, dotted)
        near = plugins.under(dotted)
    except PluginError as error:
        raise ctx.fail("E301", where, f"`{dotted}`: {error}") from None
    if found is not None:
        return found
    other = next((e for e in near if e.name == dotted), None)
    if other is not None:
        raise ctx.fail("E306", where, f"`{dotted}` belongs to `{other.slot}`, not to `{name}`")
    if slot not in OPEN:
        raise ctx.fail("E301", where, f"`{name}` takes no component of a plugin")
    prefix = dotted.partition(".")[0]
    if near:
        known = [e.name for e in near if e.slot == slot] or [e.name for e in near]
        advice = did_you_mean(dotted, known, limit=0)
        raise ctx.fail(
            "E301",
            where,
            f"plugin `{prefix}` has no {name} `{dotted}`",
            advice or f"it has {', '.join(known)}",
        )
    raise ctx.fail(
        "E301",
        where,
        f"unknown {name} `{dotted}`: there is no plugin `{prefix}`",
        "install its package, or name its file: `--plugin FILE.py`",
    )
