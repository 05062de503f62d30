"""The pass: a graph in which every region that the templates cover is one call.

    normal_0_x1_prev2_sep_conv_3x3_relu = self.normal_0.x1_prev2.sep_conv_3x3.relu(normal_0_prev2_bn)
    … 700 lines for a cell …

becomes

    normal_0 = generated((self.normal_0,), (stem_bn,), (getitem,))
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace

import torch
from torch import fx

from nasdsl.fusion.generated.cells import Cells
from nasdsl.fusion.generated.cover import widths
from nasdsl.fusion.generated.emitter import Emitter
from nasdsl.fusion.generated.generated import Generated
from nasdsl.fusion.generated.known import Found, Known
from nasdsl.fusion.generated.outline import Outlines
from nasdsl.fusion.generated.partition import Group, Refused, draws, partition
from nasdsl.fusion.generated.recognise import Unfit, region_of
from nasdsl.fusion.generated.region import Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How regions are cut, and how they keep what the backward pass reads.

    `recompute`: not at all (profile `memory`); `rounded`: that of float32 as bfloat16. `apart`:
    every operation is a call of its own, by the same kernels, with the copies that leaving a region
    costs. What it takes longer than whole cells is what fusion gains; what it takes less than the
    library, what the kernels gain.
    """

    recompute: bool = False
    rounded: bool = False
    apart: bool = False
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


def generate(
    graph: fx.GraphModule, *, options: Options | None = None, known: Known | None = None
) -> Result:
    """Regions of a dense graph as generated calls; what no template covers stays as it is."""
    made, regions, refused = rewritten(graph.graph, options=options, known=known)
    module = fx.GraphModule(graph, made, class_name=type(graph).__name__)
    # The very modules of the graph in their order, those that only calls read as well.
    module._modules.clear()
    for name, child in graph.named_children():
        module.add_module(name, child)
    return Result(graph=module, regions=regions, refused=refused)


def rewritten(
    graph: fx.Graph, *, options: Options | None = None, known: Known | None = None
) -> tuple[fx.Graph, tuple[Region, ...], tuple[Refused, ...]]:
    """A new graph with calls for regions; the one given stays, and is given back if there are none.

    Regions that `known` has are not made again, and those that are made go there.
    """
    how, known = options or Options(), known if known is not None else Known()
    groups, refused = partition(graph, apart=how.apart)
    channels = widths(graph)
    outlines = Outlines(channels)
    taken: list[_Taken] = []
    for group in groups:
        if not _worth(group, how):
            continue
        name = group.cell if group.level == 0 else f"{group.cell}_{group.level}"
        try:
            taken.append(_taken(group, name, outlines, known, how))
        except Unfit as reason:
            refused.append(Refused(place=name, reason=str(reason)))
    made = graph
    while taken:
        found, circular = _rebuilt(graph, taken)
        if circular is None:
            made = found
            break
        taken.remove(circular)
        refused.append(Refused(place=circular.name, reason="a path leaves it and returns"))
    return made, tuple(one.region for one in taken), tuple(refused)


def _taken(group: Group, name: str, outlines: Outlines, known: Known, how: Options) -> _Taken:
    """The region of a group, a known one where it has the outline. Raises Unfit."""
    outline = outlines.of(group)
    key = (outline.digest, how.recompute, how.rounded, how.emitters)
    found = known.get(key)
    if found is None:
        region, inputs, scalars, outputs = region_of(group, name, outlines.channels)
        place = {node: k for k, node in enumerate(group.nodes)}
        found = known[key] = Found(
            generated=Generated(
                region,
                known.memory,
                recompute=how.recompute,
                rounded=known.rounded if how.rounded else None,
                emitters=how.emitters,
            ),
            inputs=tuple(outline.arrived.index(n) for n in inputs),
            scalars=tuple(outline.scalars.index(n) for n in scalars),
            outputs=tuple(place[n] for n in outputs),
        )
    return _Taken(
        group=group,
        name=name,
        generated=found.generated,
        owners=outline.owners,
        inputs=tuple(outline.arrived[k] for k in found.inputs),
        scalars=tuple(outline.scalars[k] for k in found.scalars),
        outputs=tuple(group.nodes[k] for k in found.outputs),
    )


def _worth(group: Group, how: Options) -> bool:
    """Whether a call is better than its nodes: mixtures are, a lone layer is not."""
    if how.apart:
        return True
    mixture = any(n.target is torch.mul for n in group.nodes)
    modules = sum(n.op == "call_module" for n in group.nodes)
    return modules > 0 and (mixture or modules >= how.least)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Taken:
    group: Group
    name: str
    generated: Generated
    owners: tuple[str, ...]
    inputs: tuple[fx.Node, ...]
    scalars: tuple[fx.Node, ...]
    outputs: tuple[fx.Node, ...]

    @property
    def region(self) -> Region:
        """The region under the names of this group."""
        return replace(
            self.generated.region,
            name=self.name,
            inputs=tuple(n.name for n in self.inputs),
            scalars=tuple(n.name for n in self.scalars),
            outputs=tuple(n.name for n in self.outputs),
        )


def _rebuilt(graph: fx.Graph, taken: list[_Taken]) -> tuple[fx.Graph, _Taken | None]:
    """The graph with calls for regions; or the region that its own inputs need."""
    place = {node: one for one in taken for node in one.group.nodes}
    new = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    begun: set[int] = set()
    random = [node for node in graph.nodes if draws(node)]
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
                _call(new, one, values)
                if top not in values:
                    return one
        return None

    for node in graph.nodes:
        one = place.get(node)
        if one is not None and node not in one.outputs:
            continue
        circular = emit(node)
        if circular is not None:
            return graph, circular
    new.eliminate_dead_code(is_impure_node=lambda n: n.op in ("placeholder", "output"))
    new.lint()
    return new, None


def _call(new: fx.Graph, one: _Taken, values: dict[fx.Node, fx.Node]) -> None:
    owners = tuple(new.get_attr(name) for name in one.owners)
    inputs = tuple(values[n] for n in one.inputs)
    scalars = tuple(values[n] for n in one.scalars)
    call = new.create_node("call_function", one.generated, (owners, inputs, scalars), {}, one.name)
    for k, node in enumerate(one.outputs):
        got = new.call_function(operator.getitem, (call, k))
        got.meta.update({key: v for key, v in node.meta.items() if key in ("nas", "op", "at")})
        values[node] = got
