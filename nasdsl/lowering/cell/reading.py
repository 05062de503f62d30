"""Which nodes an output names, and which of them share the width of the cell."""

from __future__ import annotations

from nasdsl.ir.cell import AGGREGATORS
from nasdsl.lowering.cell.building import Building
from nasdsl.lowering.cell.ends import ends
from nasdsl.lowering.scope import Env
from nasdsl.lowering.value.evaluation import boolean
from nasdsl.syntax import ast


def reads(work: Building, node: ast.Value, env: Env) -> tuple[list[str], list[str]]:
    """The nodes that an output names, and those among them that share the width."""
    match node:
        case ast.Binary(op="+"):
            left, right = reads(work, node.left, env), reads(work, node.right, env)
            return left[0] + right[0], left[1] + right[1]
        case ast.Binary(op=">>"):
            return reads(work, node.left, env)
        case ast.Call() if aggregates(node):
            names = [n for a in node.args if a.name is None for n in reads(work, a.value, env)[0]]
            return names, names if splits(work, node, env) else []
    end = as_end(node)
    names = ends(work, end, env) if end is not None else []
    return names, []


def splits(work: Building, node: ast.Call, env: Env) -> bool:
    """Whether a `concat` shares the width of the cell among its parts: `split = true`."""
    given = next((a.value for a in node.args if a.name == "split"), None)
    here = work.place(f"{work.table}/out", 1, 1)
    return given is not None and boolean(work.ctx, given, work.env(env), here)


def as_end(node: ast.Value) -> ast.End | None:
    """A part of an output as the end of an edge: `x`, `x[2]`, `x[1..3]`."""
    if isinstance(node, ast.Name) and len(node.parts) == 1:
        ident = ast.Ident(span=node.span, text=node.text)
        return ast.End(span=node.span, name=ident, index=None)
    if isinstance(node, ast.Subscript) and isinstance(node.base, ast.Name):
        ident = ast.Ident(span=node.base.span, text=node.base.text)
        return ast.End(span=node.span, name=ident, index=node.index)
    return None


def aggregates(node: ast.Call) -> bool:
    """Whether a call joins what it is given: `concat(x)`."""
    return isinstance(node.func, ast.Name) and node.func.text in AGGREGATORS
