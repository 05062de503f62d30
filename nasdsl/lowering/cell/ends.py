"""What the end of an edge denotes: an input, nodes of an array, `x[<]`."""

from __future__ import annotations

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.lowering.cell.building import Building
from nasdsl.lowering.scope import Broken, Env
from nasdsl.lowering.value.evaluation import integer
from nasdsl.syntax import ast


def ends(
    work: Building, end: ast.End, env: Env, target: str | None = None, *, may_out: bool = False
) -> list[str]:
    """The nodes an end denotes; for `x[<]` those before `target`."""
    ctx = work.ctx
    name = end.name.text
    if name == "out" and may_out:
        return ["out"]
    if name in work.input_names:
        if end.index is not None:
            raise ctx.fail("E202", end.span, f"`{name}` is an input; it has no index")
        return [name]
    if name not in work.arrays:
        if name in env.module.lost:
            raise Broken
        known = [*work.input_names, *work.arrays, *(["out"] if may_out else [])]
        raise ctx.fail("E101", end.span, f"unknown node `{name}`", did_you_mean(name, known))
    nodes = work.arrays[name]
    match end.index:
        case None:
            return nodes
        case ast.Earlier():
            if target is None:
                raise ctx.fail("E222", end.span, "`[<]` stands only in the source of an edge")
            if target == "out" or target not in nodes:
                raise ctx.fail(
                    "E222", end.span, f"`{name}[<]` needs a target among the nodes of `{name}`"
                )
            return nodes[: nodes.index(target)]
        case ast.Range():
            low = _index(work, end.index.low, env, nodes, name)
            high = _index(work, end.index.high, env, nodes, name)
            return nodes[low : high + 1]
        case _:
            return [nodes[_index(work, end.index, env, nodes, name)]]


def _index(work: Building, node: ast.Value, env: Env, nodes: list[str], name: str) -> int:
    here = work.place(work.table, 1, 1)
    i = integer(work.ctx, node, work.env(env), here, "index")
    n = len(nodes)
    if i == 0 or i > n or i < -n:
        raise work.ctx.fail(
            "E202",
            node.span,
            f"`{name}` has nodes 1 to {n}",
            f"indices start at 1; last: `{name}[-1]`",
        )
    return i - 1 if i > 0 else n + i
