"""Shapes as they are written: `image(3, 32, 32)`, `series(channels = 4, length = 16)`."""

from __future__ import annotations

from nasdsl.syntax import ast

SHAPES = {"image": 3, "series": 2, "volume": 4, "features": 1, "tokens": 1}


#: Names of the dimensions of a shape, in order.
DIMS = {
    "image": ("channels", "height", "width"),
    "series": ("channels", "length"),
    "volume": ("channels", "depth", "height", "width"),
    "features": ("channels",),
    "tokens": ("length",),
}


def named_dims(kind: str, node: ast.Call) -> tuple[ast.Arg, ...] | None:
    """The arguments of a shape in order; None where a name is unknown or given twice."""
    names = DIMS[kind]
    found: dict[str, ast.Arg] = {}
    for i, arg in enumerate(node.args):
        name = arg.name or (names[i] if i < len(names) else "")
        if name not in names or name in found:
            return None
        found[name] = arg
    return tuple(found[n] for n in names if n in found)
