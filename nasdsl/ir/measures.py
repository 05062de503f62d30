"""What `require` measures: edges and depth of discrete cells, layers and memory of networks."""

from __future__ import annotations

from collections.abc import Iterable

from nasdsl.ir.cell import After, Arrival, Cell, Join, Output
from nasdsl.ir.op import Choice, Nested, Op, Par, Prim, Seq
from nasdsl.ir.optable import cost
from nasdsl.ir.space import Network, Stage
from nasdsl.ir.wiring import Edge

#: Bytes of a value in single precision.
FLOAT = 4


def edges(cell: Iterable[Edge]) -> int:
    """Edges of a discrete cell, several operations side by side as several."""
    return sum(e.source != e.target for e in cell)


def depth(cell: Iterable[Edge]) -> int:
    """The most edges on a path from an input to the output."""
    longest: dict[str, int] = {}
    for edge in cell:  # sources are settled before targets
        if edge.source != edge.target:
            here = longest.get(edge.source, 0) + 1
            longest[edge.target] = max(longest.get(edge.target, 0), here)
    return max(longest.values(), default=0)


def count(cell: Iterable[Edge], label: str) -> int:
    """How often an operation stands in a discrete cell."""
    return sum(e.label == label for e in cell)


# ---- networks


def memory(network: Network) -> int:
    """Bytes of everything the operations of a network yield for one sample, in single precision."""
    return FLOAT * sum(_yielded(stage.body) for stage in network.stages)


def layers(network: Network) -> int:
    """The most operations with multiply-adds on a path through a network: its depth."""
    longest: list[int] = []
    for stage in network.stages:
        before = max((longest[i] for i in stage.inputs if i >= 0), default=0)
        longest.append(before + _stage(stage))
    return max(longest, default=0)


def _yielded(body: Op | Cell) -> int:
    total = 0
    todo: list[Op | Cell] = [body]
    while todo:
        item = todo.pop()
        match item:
            case Prim():
                total += item.out.size if item.kind not in ("identity", "none") else 0
            case Cell():
                todo.extend(e.prepare for e in item.inputs)
                todo.extend(e.op for e in item.edges)
                todo.extend(n.after for n in item.nodes)
            case Nested():
                todo.append(item.cell)
            case Seq() | Par():
                todo.extend(item.parts)
            case Choice():
                todo.extend(item.options)
            case _:
                todo.append(item.options[-1])
    return total


def _stage(stage: Stage) -> int:
    return _cell(stage.body) if isinstance(stage.body, Cell) else _layers(stage.body)


def _layers(op: Op) -> int:
    match op:
        case Prim():
            return int(cost(op).macs > 0)
        case Seq():
            return sum(_layers(p) for p in op.parts)
        case Par():
            return max((_layers(p) for p in op.parts), default=0)
        case Nested():
            return _cell(op.cell)
        case _:
            return max(_layers(o) for o in op.options)


def _cell(cell: Cell) -> int:
    longest = {e.name: _layers(e.prepare) for e in cell.inputs}
    for node in cell.nodes:
        arriving = [longest[e.source] + _layers(e.op) for e in cell.into(node.name)]
        longest[node.name] = max(arriving, default=0) + _layers(node.after)
    out = {e.source: longest[e.source] + _layers(e.op) for e in cell.into("out")}

    def output(part: Output) -> int:
        match part:
            case Arrival():
                return out.get(part.node, longest[part.node])
            case Join():
                return max((output(p) for p in part.parts), default=0)
            case After():
                return output(part.inner) + _layers(part.op)

    return output(cell.output)
