"""The pass: a graph in which every region that the templates cover is one call.

    normal_0_x1_prev2_sep_conv_3x3_relu = self.normal_0.x1_prev2.sep_conv_3x3.relu(normal_0_prev2_bn)
    … 700 lines for a cell …

becomes

    normal_0 = generated((self.normal_0,), (stem_bn,), (getitem,))
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import fx

from nasdsl.fusion.generated.cells import Cells
from nasdsl.fusion.generated.cover import widths
from nasdsl.fusion.generated.emitter import Emitter
from nasdsl.fusion.generated.generated import Generated
from nasdsl.fusion.generated.partition import Group, Refused, draws, partition
from nasdsl.fusion.generated.recognise import Unfit, region_of
from nasdsl.fusion.generated.region import Region
from nasdsl.kernels.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`recompute`: nothing is kept between forward and backward (profile `memory`)."""

    recompute: bool = False
    #: What runs the regions, by the device of the tensors of a call.
    emitters: tuple[Emitter, ...] = (Cells(),)
    #: Groups that weigh nothing are taken from this many nodes on.
    least: int = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The new graph over the same modules, the regions taken, and what was refused and why."""

    graph: fx.GraphModule
    regions: tuple[Region, ...]
    refused: tuple[Refused, ...]

    def __str__(self) -> str:
        lines = [str(region) for region in self.regions]
        lines += [f"refused {one.place}: {one.reason}" for one in self.refused]
        return "\n".join(lines)


def generate(graph: fx.GraphModule, *, options: Options | None = None) -> Result:
    """Regions of a dense graph as generated calls; what no template covers stays as it is."""
    how = options or Options()
    groups, refused = partition(graph.graph)
    channels = widths(graph.graph)
    taken: list[_Taken] = []
    for group in groups:
        if not _worth(group, how):
            continue
        name = group.cell if group.level == 0 else f"{group.cell}_{group.level}"
        try:
            region, inputs, scalars, outputs = region_of(group, name, channels)
        except Unfit as reason:
            refused.append(Refused(place=name, reason=str(reason)))
            continue
        taken.append(_Taken(group, region, (*inputs,), (*scalars,), (*outputs,)))
    while True:
        made, circular = _rebuilt(graph, taken, how)
        if circular is None:
            break
        taken.remove(circular)
        refused.append(Refused(place=circular.region.name, reason="a path leaves it and returns"))
    return Result(graph=made, regions=tuple(t.region for t in taken), refused=tuple(refused))


def _worth(group: Group, how: Options) -> bool:
    """Whether a call is better than its nodes: mixtures are, a lone layer is not."""
    mixture = any(n.target is torch.mul for n in group.nodes)
    modules = sum(n.op == "call_module" for n in group.nodes)
    return modules > 0 and (mixture or modules >= how.least)


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    group: Group
    region: Region
    inputs: tuple[fx.Node, ...]
    scalars: tuple[fx.Node, ...]
    outputs: tuple[fx.Node, ...]


def _rebuilt(
    graph: fx.GraphModule, taken: list[_Taken], how: Options
) -> tuple[fx.GraphModule, _Taken | None]:
    """The graph with calls for regions; or the region that its own inputs need."""
    place = {node: one for one in taken for node in one.group.nodes}
    new = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    begun: set[int] = set()
    memory = Memory()
    random = [node for node in graph.graph.nodes if draws(node)]
    earlier = dict(zip(random[1:], random[:-1], strict=True))

    def emit(node: fx.Node) -> _Taken | None:
        """Writes a node and all it needs; the region in whose own way it stands."""
        stack = [node]
        while stack:
            top = stack[-1]
            if top in values:
                stack.pop()
                continue
            one = place.get(top)
            if one is None:
                wanted = [*top.all_input_nodes, *([earlier[top]] if top in earlier else [])]
                before = [n for n in wanted if n not in values]
            else:
                before = [n for n in (*one.inputs, *one.scalars) if n not in values]
            if before:
                if one is not None:
                    if id(one) in begun and top not in one.outputs:
                        return one
                    if stack.count(top) > 1:
                        return one
                    begun.add(id(one))
                if any(n in stack for n in before):
                    return one or place.get(before[0])
                stack += reversed(before)
                continue
            stack.pop()
            if one is None:
                values[top] = new.node_copy(top, lambda n: values[n])
            else:
                _call(new, one, values, how, memory)
                if top not in values:
                    return one
        return None

    for node in graph.graph.nodes:
        one = place.get(node)
        if one is not None and node not in one.outputs:
            continue
        circular = emit(node)
        if circular is not None:
            return graph, circular
    new.eliminate_dead_code(is_impure_node=lambda n: n.op in ("placeholder", "output"))
    new.lint()
    made = fx.GraphModule(graph, new, class_name=type(graph).__name__)
    # The very modules of the graph in their order, those that only calls read as well.
    made._modules.clear()
    for name, child in graph.named_children():
        made.add_module(name, child)
    return made, None


def _call(
    new: fx.Graph,
    one: _Taken,
    values: dict[fx.Node, fx.Node],
    how: Options,
    memory: Memory,
) -> None:
    region = one.region
    owners = tuple(new.get_attr(name) for name in region.owners)
    inputs = tuple(values[n] for n in one.inputs)
    scalars = tuple(values[n] for n in one.scalars)
    target = Generated(region, memory, recompute=how.recompute, emitters=how.emitters)
    call = new.create_node("call_function", target, (owners, inputs, scalars), {}, region.name)
    call.meta["region"] = region
    for k, node in enumerate(one.outputs):
        got = new.call_function(operator.getitem, (call, k))
        got.meta.update({key: v for key, v in node.meta.items() if key in ("nas", "op", "at")})
        values[node] = got
