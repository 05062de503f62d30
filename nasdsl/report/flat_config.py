"""A flat recipe, data set, split, training or suite as `.nas` text."""

from __future__ import annotations

from dataclasses import replace

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.lowering.blocks import Block, Piece
from nasdsl.lowering.config import phases
from nasdsl.lowering.config.configs import Configs
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.scope import Env, piece_value
from nasdsl.report.flat_space import requires
from nasdsl.report.inline import Inliner, attr, braces, local
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value


def config_text(block: Block, inliner: Inliner, flat: Flattener) -> str:
    params = []
    for name, piece in block.params.items():
        chosen = block.get("set", name) or piece
        value = piece_value(chosen)
        scope = local(Env(chosen.origin.module, block), [name])
        params.append(name if value is None else f"{name} = {format_value(inliner(value, scope))}")
    head = f"{block.kind} {block.name}" + (f"({', '.join(params)})" if params else "")
    lines = [
        f"let {p.key[1]} = {format_value(inliner(p.node.value, Env(p.origin.module, block)))}"
        for p in block.all("let")
        if isinstance(p.node, ast.Let)
    ]
    phases = block.all("phase")
    lines += _slots(block, inliner, phased=bool(phases))
    for piece in phases:
        lines += ["", _phase(piece, block, inliner, flat)]
    return braces(head, [*lines, *requires(block)])


def _slots(block: Block, inliner: Inliner, *, phased: bool) -> list[str]:
    """Slots in order; a change to an argument (`arch.lr`) goes into the component it changes."""
    values: dict[tuple[str, ...], ast.Value] = {}
    for piece in sorted(block.all("attr"), key=lambda p: len(p.key)):
        path = piece.key[1:]
        # With phases an inherited number of epochs no longer counts; nor does a slot that a
        # parameter of its name replaced.
        if not isinstance(piece.node, ast.Attr) or (phased and path == ("epochs",)):
            continue
        if path[0] in block.params:
            continue
        value = inliner(piece.node.value, Env(piece.origin.module, block))
        whole = values.get(path[:1]) if len(path) == 2 else None
        changed = _with_arg(whole, path[-1], value) if isinstance(whole, ast.Call) else None
        if changed is not None:
            values[path[:1]] = changed
        else:
            values[path] = value
    return [f"{'.'.join(path)} = {format_value(value)}" for path, value in values.items()]


def _with_arg(call: ast.Call, name: str, value: ast.Value) -> ast.Call | None:
    """A component with an argument changed or added; None where it may stand without a name."""
    if any(a.name == name for a in call.args):
        args = (replace(a, value=value) if a.name == name else a for a in call.args)
        return replace(call, args=tuple(args))
    if any(a.name is None for a in call.args):
        return None
    return replace(call, args=(*call.args, ast.Arg(span=value.span, name=name, value=value)))


def _phase(piece: Piece, block: Block, inliner: Inliner, flat: Flattener) -> str:
    configs = Configs(Diagnostics(), flat)
    found = phases.statements(configs, block, piece, set())
    lines = [attr(each, Env(origin.module, block), inliner) for each, origin in found]
    return braces(f"phase {piece.key[1]}", lines)
