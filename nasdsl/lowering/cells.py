"""Cells at their place: inherited statements merged, edges expanded, shapes checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.model import Label
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.cell import (
    AGGREGATORS,
    After,
    Arrival,
    Cell,
    CellEdge,
    CellInput,
    CellNode,
    Join,
    Keep,
    Output,
    Pick,
    arrivals,
    shares,
    subset_identity,
)
from nasdsl.ir.op import Choice, Op, Prim, Seq, is_identity, is_none
from nasdsl.ir.shape import Shape, strided
from nasdsl.ir.space import Decision, TableRules
from nasdsl.lowering.blocks import Piece
from nasdsl.lowering.modules import Def
from nasdsl.lowering.ops import apply, expected
from nasdsl.lowering.requirements import requirement
from nasdsl.lowering.scope import Broken, Closure, Context, Env, Place, block_env, resolve
from nasdsl.lowering.settled import Settled, settle
from nasdsl.lowering.values import SetValue, boolean, integer, is_op, value
from nasdsl.source import Span
from nasdsl.syntax import ast


@dataclass(eq=False, slots=True)
class Definition:
    """A cell definition: its statements from the oldest ancestor to the newest child."""

    name: str
    span: Span
    #: Statement, its scope, and the block of statements it belongs to.
    statements: list[tuple[ast.CellStmt, Env, int]] = field(default_factory=list)
    #: A statement was lost to a syntax error: what lacks may have stood there.
    partial: bool = False
    #: Parameters with the values they have here.
    params: dict[str, Any] = field(default_factory=dict)


def find(
    ctx: Context,
    name: str,
    env: Env,
    span: Span,
    given: Mapping[str, Any] | None = None,
) -> Definition:
    """The cell of a name with everything it inherits; `given` are its arguments. Raises Broken."""
    found = resolve(ctx, name, env)
    node = found.node if isinstance(found, Def | Piece) else None
    if not isinstance(node, ast.Cell):
        if name in env.module.lost:
            raise Broken
        raise ctx.fail("E101", span, f"unknown cell `{name}`")
    definition = Definition(name, node.name.span)
    _collect(ctx, found, definition, set(), given or {})
    return definition


def parameters(ctx: Context, name: str, env: Env) -> tuple[str, ...]:
    """Names of the parameters of a cell, inherited ones first."""
    found = resolve(ctx, name, env)
    names: list[str] = []

    def gather(found: Any, depth: int) -> None:
        node = found.node if isinstance(found, Def | Piece) else None
        if not isinstance(node, ast.Cell) or depth > 50:
            return
        if isinstance(found, Piece) and found.previous is not None:
            gather(found.previous, depth + 1)
        for parent in node.parents:
            above = resolve(ctx, parent.text, env)
            if above is not found:
                gather(above, depth + 1)
        names.extend(p.name.text for p in node.params if p.name.text not in names)

    gather(found, 0)
    return tuple(names)


def _collect(
    ctx: Context, found: Any, into: Definition, active: set[int], given: Mapping[str, Any]
) -> None:
    node = found.node
    if id(node) in active:
        raise ctx.fail("E114", node.name.span, f"cell `{node.name.text}` extends itself")
    active = active | {id(node)}
    if isinstance(found, Piece) and found.previous is not None:
        _collect(ctx, found.previous, into, active, given)
    env = Env(found.module) if isinstance(found, Def) else Env(found.origin.module, ctx.block)
    into.partial = into.partial or env.module.damaged(node.span)
    for parent in node.parents:
        above = resolve(ctx, parent.text, env)
        if isinstance(above, Piece) and above.node is node and above.previous is not None:
            above = above.previous
        if not isinstance(above, Def | Piece) or not isinstance(above.node, ast.Cell):
            if parent.text in env.module.lost:
                raise Broken
            raise ctx.fail("E101", parent.span, f"unknown cell `{parent.text}`")
        _collect(ctx, above, into, active, given)
    for param in node.params:
        name = param.name.text
        if name in given:
            into.params[name] = given[name]
        elif param.default is not None:
            into.params[name] = Closure(param.default, env)
        elif name not in into.params:
            raise ctx.fail("E111", param.span, f"cell parameter `{name}` has no value")
    for statement in node.body:
        # A child gives a parameter another value: `cell d extends c { k = 5 }`.
        name = statement.target.text if isinstance(statement, ast.Attr) else ""
        if isinstance(statement, ast.Attr) and name in into.params and name not in given:
            inherited = {name: into.params[name]}
            into.params[name] = Closure(statement.value, env.bind(**inherited))
    layer = 1 + max((n for _, _, n in into.statements), default=-1)
    into.statements.extend((s, env, layer) for s in node.body)


@dataclass(slots=True)
class _Build:
    """A cell while it is put together."""

    ctx: Context
    definition: Definition
    table: str
    stage: str
    stride: int
    width: int
    env_extra: dict[str, Any]
    #: Where the stride of the place was written.
    stride_at: Span | None = None
    shapes: dict[str, Shape] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    input_names: set[str] = field(default_factory=set)
    excluded: list[tuple[str, Span]] = field(default_factory=list)
    #: What is left of the cell, where its edges are picked.
    settled: Settled | None = None

    def env(self, env: Env) -> Env:
        return env.bind(**self.env_extra)

    def place(self, identity: str, stride: int, c_in: int, width: int | None = None) -> Place:
        return Place(
            stride=stride,
            width=width if width is not None else self.width,
            c_in=c_in,
            identity=identity,
            table=self.table,
            stage=self.stage,
            searched=True,
        )


def input_count(definition: Definition) -> int:
    """How many inputs a cell has."""
    for statement, _, _ in reversed(definition.statements):
        if isinstance(statement, ast.In):
            return len(statement.inputs)
    return 0


def build(
    ctx: Context,
    definition: Definition,
    inputs: tuple[Shape, ...],
    width: int,
    stride: int,
    *,
    table: str,
    stage: str,
    override: dict[str, int],
    stride_at: Span | None = None,
) -> Cell:
    """The cell at a place. `width` and `stride` are those of the place. Raises Broken."""
    extra: dict[str, Any] = dict(definition.params)
    here = Place(stride, width, inputs[-1].channels, table, table, stage, searched=True)
    for statement, env, _ in definition.statements:
        if isinstance(statement, ast.Let):
            extra[statement.name.text] = Closure(
                statement.value, env.bind(**definition.params), f"{table}/{statement.name.text}"
            )
    for statement, env, _ in definition.statements:
        if isinstance(statement, ast.Attr):
            name = statement.target.text
            if name in definition.params:
                continue
            if name not in ("stride", "width"):
                raise ctx.fail(
                    "E103",
                    statement.target.span,
                    f"a cell has no attribute `{name}`",
                    did_you_mean(name, ("stride", "width")) or "it has stride, width",
                )
            found = integer(ctx, statement.value, env.bind(**extra), here, name)
            if name == "stride":
                stride = found
                stride_at = stride_at or statement.span
            else:
                width = found
    stride, width = override.get("stride", stride), override.get("width", width)
    if stride < 1 or width < 1:
        what, number = ("stride", stride) if stride < 1 else ("width", width)
        raise ctx.fail("E208", definition.span, f"`{what}` must be positive, not {number}")
    work = _Build(ctx, definition, table, stage, stride, width, extra, stride_at)
    cell_inputs = _inputs(work, inputs)
    nodes = _nodes(work)
    edges = _edges(work)
    keeps, picks = _rules(work)
    return _assemble(work, cell_inputs, nodes, edges, keeps, picks)


def _inputs(work: _Build, shapes: tuple[Shape, ...]) -> tuple[CellInput, ...]:
    ctx = work.ctx
    found = [(s, e) for s, e, _ in work.definition.statements if isinstance(s, ast.In)]
    if not found:
        if work.definition.partial:
            raise Broken
        raise ctx.fail(
            "E204", work.definition.span, f"cell `{work.definition.name}` has no `in`", "`in a`"
        )
    statement, env = found[-1]
    coarsest = min((s.space[0] if s.space else 1) for s in shapes)
    result = []
    for entry, shape in zip(statement.inputs, shapes, strict=True):
        name = entry.name.text
        if name in work.shapes:
            raise ctx.fail("E203", entry.name.span, f"`{name}` is defined twice in this cell")
        relative = -(-shape.space[0] // coarsest) if shape.space else 1
        place = work.place(f"{work.table}/{name}", relative, shape.channels)
        if entry.prepare is None:
            prepared: Op = _identity(shape, entry.span)
        else:
            prepared = apply(ctx, entry.prepare, work.env(env), place, shape)
        work.shapes[name] = prepared.out
        work.input_names.add(name)
        work.order.append(name)
        result.append(CellInput(name=name, inp=shape, prepare=prepared, span=entry.span))
    first = result[-1].prepare.out
    for made in result:
        if made.prepare.out.space != first.space:
            ctx.diags.add(
                "E207",
                made.span or work.definition.span,
                f"input `{made.name}` is {made.prepare.out}, `{result[-1].name}` {first}",
                help="an input that ignores its `stride` keeps the finer resolution",
            )
            raise Broken
    return tuple(result)


def _identity(shape: Shape, span: Span) -> Prim:
    return Prim(kind="identity", inp=shape, out=shape, span=span)


@dataclass(frozen=True, slots=True)
class _NodeSpec:
    name: str
    value: ast.Value | None
    env: Env
    span: Span
    statement: Span


def _nodes(work: _Build) -> list[_NodeSpec]:
    specs: dict[str, tuple[list[_NodeSpec], int]] = {}
    ctx = work.ctx
    for statement, env, layer in work.definition.statements:
        if not isinstance(statement, ast.NodeDef):
            continue
        base = statement.name.text
        if base in work.input_names or (base in specs and specs[base][1] == layer):
            raise ctx.fail("E203", statement.name.span, f"`{base}` is defined twice in this cell")
        here = work.place(work.table, 1, 1)
        names = [base]
        if statement.count is not None:
            count = integer(ctx, statement.count, work.env(env), here, "number of nodes")
            if not 1 <= count <= 1000:
                raise ctx.fail(
                    "E202", statement.count.span, f"a cell has 1 to 1000 nodes, not {count}"
                )
            names = [f"{base}[{i}]" for i in range(1, count + 1)]
        elif base in work.arrays:
            names = work.arrays[base]
        work.arrays[base] = names
        specs[base] = (
            [
                _NodeSpec(n, statement.value, env, statement.name.span, statement.span)
                for n in names
            ],
            layer,
        )
    nodes = [spec for group, _ in specs.values() for spec in group]
    work.order.extend(spec.name for spec in nodes)
    return nodes


def _ends(
    work: _Build, end: ast.End, env: Env, target: str | None = None, *, may_out: bool = False
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


def _index(work: _Build, node: ast.Value, env: Env, nodes: list[str], name: str) -> int:
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


@dataclass(frozen=True, slots=True)
class _EdgeSpec:
    source: str
    target: str
    op: ast.Value | None
    env: Env
    span: Span
    layer: int
    general: bool


def _edges(work: _Build) -> list[_EdgeSpec]:
    ctx = work.ctx
    found: dict[tuple[str, str], _EdgeSpec] = {}
    position = {name: i for i, name in enumerate(work.order)}
    position["out"] = len(position)
    broken = False
    for statement, env, layer in work.definition.statements:
        if not isinstance(statement, ast.Edge):
            continue
        pairs: list[tuple[str, str]] = []
        try:
            targets = [t for e in statement.targets for t in _ends(work, e, env, may_out=True)]
            for target in targets:
                for end in statement.sources:
                    for source in _ends(work, end, env, target):
                        if position[source] >= position[target]:
                            raise ctx.fail(
                                "E201",
                                end.span,
                                "edge runs backwards",
                                f"sources come before targets: `{target} -> {source}`",
                            )
                        pairs.append((source, target))
        except Broken:
            broken = True
            continue
        general = len(pairs) > 1
        for pair in pairs:
            earlier = found.get(pair)
            if earlier and earlier.layer == layer and not earlier.general and general:
                ctx.diags.add(
                    "W211",
                    statement.span,
                    f"this replaces the edge at {earlier.span.line}:{earlier.span.column}",
                    help="put the general statement first",
                    labels=(Label(earlier.span, "replaced"),),
                )
            found[pair] = _EdgeSpec(
                pair[0], pair[1], statement.op, env, statement.span, layer, general
            )
    if broken:
        raise Broken
    return sorted(found.values(), key=lambda e: (position[e.target], position[e.source]))


def _check_none(work: _Build, cell: Cell) -> None:
    """W212 where `none` is an option and nothing says whether it may win."""
    ctx = work.ctx
    ruled = {t for keep in cell.keeps for t in keep.targets}
    ruled |= {t for pick in cell.picks for t in pick.targets}
    silent = [
        edge
        for edge in cell.edges
        if edge.target not in ruled
        and isinstance(edge.op, Choice)
        and any(is_none(option) for option in edge.op.options)
    ]
    if silent:
        ctx.diags.add(
            "W212",
            silent[0].op.span or work.definition.span,
            f"`none` may win in cell `{cell.name}`: no `keep` says whether edges stay",
            help="`keep all per node`, or `keep 2 per node except {none}`",
        )


def _check_excluded(work: _Build, cell: Cell) -> None:
    """What `keep … except` excludes are options, and not all of them."""
    ctx = work.ctx
    rules = ctx.rules[cell.table]
    for keep in rules.keeps:
        for node, identities in rules.rows:
            if node not in keep.targets or not keep.exclude:
                continue
            for identity in identities:
                decision = ctx.decisions.get(identity)
                if decision is not None and set(decision.labels) <= set(keep.exclude):
                    raise ctx.fail(
                        "E219",
                        decision.span or work.definition.span,
                        f"`keep … except` leaves nothing to choose from at `{identity}`",
                    )
    labels = {label for d in ctx.decisions.values() if d.table == cell.table for label in d.labels}
    for label, span in work.excluded:
        if label not in labels and labels:
            ctx.fail(
                "E101", span, f"`{label}` is no option of this cell", did_you_mean(label, labels)
            )


def _rules(work: _Build) -> tuple[tuple[Keep, ...], tuple[Pick, ...]]:
    ctx = work.ctx
    keeps: dict[str, tuple[Keep, Span]] = {}
    picks: dict[str, tuple[Pick, Span]] = {}
    inner = [n for nodes in work.arrays.values() for n in nodes]
    for statement, env, _ in work.definition.statements:
        if not isinstance(statement, ast.Keep | ast.Pick):
            continue
        if statement.per is None:
            targets = inner
        else:
            targets = [t for e in statement.per for t in _ends(work, e, env, may_out=True)]
        count = _count(work, statement.count, env)
        if isinstance(statement, ast.Keep):
            exclude: tuple[str, ...] = ()
            if statement.exclude is not None:
                here = work.place(work.table, 1, 1)
                labels = value(ctx, statement.exclude, work.env(env), here)
                if not isinstance(labels, SetValue):
                    raise ctx.fail("E213", statement.exclude.span, "a set is wanted here: `{none}`")
                exclude = labels.labels
                # A set may be excluded that this space lacks, a name that is nothing may not.
                work.excluded.extend(
                    (item.label, item.span)
                    for item in labels.items
                    if resolve(ctx, item.label, work.env(env)) is None
                )
            for target in targets:
                keeps[target] = (
                    Keep(targets=(target,), count=count, exclude=exclude),
                    statement.span,
                )
        elif isinstance(statement.count, ast.Name) and statement.count.text == "all":
            # Every edge arrives and nothing is decided: undoes what a parent picks.
            for target in targets:
                picks.pop(target, None)
        else:
            for target in targets:
                picks[target] = (Pick(targets=(target,), count=count), statement.span)
    for target in keeps.keys() & picks.keys():
        raise ctx.fail(
            "E205",
            picks[target][1],
            f"`{target}` has both `keep` and `pick`",
            "one of them says how many edges stay",
        )
    return _merge(keeps, Keep), _merge(picks, Pick)


def _merge(rules: dict[str, tuple[Any, Span]], kind: Any) -> tuple[Any, ...]:
    """Rules that differ only in their targets become one."""
    merged: dict[Any, list[str]] = {}
    for target, (rule, _) in rules.items():
        merged.setdefault(replace(rule, targets=()), []).append(target)
    return tuple(replace(rule, targets=tuple(t)) for rule, t in merged.items())


def _count(work: _Build, node: ast.Value, env: Env) -> int | None:
    if isinstance(node, ast.Name) and node.text in ("all", "any"):
        return None
    here = work.place(work.table, 1, 1)
    count = integer(work.ctx, node, work.env(env), here, "number of edges")
    if count < 1:
        raise work.ctx.fail("E223", node.span, f"at least one edge stays, not {count}")
    return count


def _assemble(
    work: _Build,
    inputs: tuple[CellInput, ...],
    specs: list[_NodeSpec],
    edge_specs: list[_EdgeSpec],
    keeps: tuple[Keep, ...],
    picks: tuple[Pick, ...],
) -> Cell:
    ctx = work.ctx
    gene = ctx.genotype
    reachable = {e.target for e in edge_specs}
    work.settled = _settled(work, inputs, specs, edge_specs, keeps, picks)
    if work.settled is not None:
        left = work.settled.edges
        edge_specs = [e for e in edge_specs if (e.source, e.target) in left]
        picks = ()
    edges: list[CellEdge] = []
    nodes: list[CellNode] = []
    dropped: set[str] = set()
    broken = False
    by_target: dict[str, list[_EdgeSpec]] = {}
    for edge_spec in edge_specs:
        by_target.setdefault(edge_spec.target, []).append(edge_spec)
    for spec in specs:
        arriving: list[CellEdge] = []
        into = by_target.get(spec.name, [])
        if not into and spec.name in reachable:
            dropped.add(spec.name)
            continue
        if not into:
            if not work.definition.partial:
                alone = [s.name for s in specs if s.name not in reachable]
                ctx.diags.add(
                    "E210",
                    spec.statement,
                    f"nothing reaches {_listed(alone)}",
                    help=f"add an edge: `edge … -> {spec.name}`",
                )
            raise Broken
        for edge in into:
            try:
                made = _edge(work, edge, keeps, dropped)
            except Broken:
                broken = True
                continue
            if made is not None:
                arriving.append(made)
        if broken:
            work.shapes[spec.name] = _place_shape(work)
            continue
        if not arriving:
            dropped.add(spec.name)
            continue
        edges.extend(arriving)
        try:
            node, shape = _node(work, spec, arriving)
        except Broken:
            broken = True
            work.shapes[spec.name] = _place_shape(work)
            continue
        nodes.append(node)
        work.shapes[spec.name] = shape
    if broken:
        raise Broken
    for edge in (e for e in edge_specs if e.target == "out"):
        made = _edge(work, edge, keeps, dropped)
        if made is not None:
            edges.append(made)
    output, out = _output(work, edges, dropped, gene)
    cell = Cell(
        name=work.definition.name,
        table=work.table,
        stride=work.stride,
        width=work.width,
        inputs=inputs,
        nodes=tuple(nodes),
        edges=tuple(edges),
        output=output,
        out=out,
        keeps=keeps,
        picks=picks,
        span=work.definition.span,
    )
    if gene is None:
        _finish(work, cell, specs)
    return cell


def _listed(names: list[str]) -> str:
    shown = [f"`{name}`" for name in names[:4]]
    return ", ".join(shown) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _place_shape(work: _Build) -> Shape:
    """What a node would be, for going on after an error."""
    base = next(iter(work.shapes.values()))
    return Shape(base.kind, (work.width, *(strided(n, work.stride) for n in base.space)))


def _edge(
    work: _Build, edge: _EdgeSpec, keeps: tuple[Keep, ...], dropped: set[str]
) -> CellEdge | None:
    """The edge, or None where it does not exist: a fixed `none`, or a genotype without it."""
    ctx = work.ctx
    if edge.source in dropped:
        return None
    shape = work.shapes[edge.source]
    stride = work.stride if edge.source in work.input_names else 1
    identity = f"{work.table}/{edge.target}<-{edge.source}"
    width = _width(work, edge)
    place = work.place(identity, stride, shape.channels, width)
    if edge.op is None:
        op: Op = _identity(shape, edge.span)
    else:
        env = work.env(edge.env)
        if ctx.genotype is not None and _dropped(work, edge, identity, keeps, env):
            return None
        op = apply(ctx, edge.op, env, place, shape)
        if ctx.genotype is None or not ctx.genotype.of(identity):
            wanted = expected(place, shape)
            if op.out.space != wanted.space and edge.target != "out":
                ctx.diags.add(
                    "E207",
                    edge.op.span,
                    f"edge {edge.source} -> {edge.target} yields {op.out}, "
                    f"{edge.target} expects {wanted}",
                    help=_stride_help(work),
                    labels=()
                    if work.stride_at is None
                    else (Label(work.stride_at, f"stride {work.stride} comes from here"),),
                )
                raise Broken
    if work.settled is not None and work.settled.widths and edge.target != "out":
        op = _narrowed(op, width)
    picked = ctx.genotype is not None and bool(ctx.genotype.of(identity))
    if isinstance(op, Prim) and op.kind == "none" and not picked:
        # As the fixed op of an edge `none` removes it; picked by a genotype it yields zeros.
        return None
    return CellEdge(source=edge.source, target=edge.target, op=op, span=edge.span)


def _width(work: _Build, edge: _EdgeSpec) -> int:
    """The width of the place of an edge: that of its target."""
    if work.settled is None:
        return work.width
    if edge.target == "out":
        return work.settled.shares.get(edge.source, work.width)
    return work.settled.widths.get(edge.target, work.width)


def _narrowed(op: Op, width: int) -> Op:
    """Of more channels than its target has an edge hands on the first (NAS-Bench-101)."""
    if op.out.channels <= width:
        return op
    out = op.out.with_channels(width)
    made = Prim(kind="narrow", attrs=(("out", width),), inp=op.out, out=out, span=op.span)
    if is_identity(op):
        return made
    parts = op.parts if isinstance(op, Seq) else (op,)
    return Seq(parts=(*parts, made), inp=op.inp, out=out, span=op.span)


def _stride_help(work: _Build) -> str:
    """Where the stride of a cell comes from and what an op does with it."""
    at = work.stride_at
    if at is None:
        return f"the cell has `stride = {work.stride}`; pass `stride = stride`"
    return f"`stride = {work.stride}` comes from {at.line}:{at.column}; pass `stride = stride`"


def _dropped(
    work: _Build, edge: _EdgeSpec, identity: str, keeps: tuple[Keep, ...], env: Env
) -> bool:
    """Whether a genotype leaves an edge with a decision out."""
    gene = work.ctx.genotype
    if gene is None or edge.op is None or gene.of(identity):
        return False
    prefix = f"{work.table}/"
    if not any(key.startswith(prefix) for key, _ in gene.picks):
        return False
    return _decides(work.ctx, edge.op, env)


def _decides(ctx: Context, node: ast.Value, env: Env) -> bool:
    """Whether an edge's op is a decision between operations as a whole."""
    match node:
        case ast.Unary(op="one_of"):
            return is_op(ctx, node, env)
        case ast.Name():
            found = resolve(ctx, node.text, env)
            if isinstance(found, Piece) and isinstance(found.node, ast.Op | ast.Let):
                return _decides(ctx, found.node.value, block_env(ctx.block, found))
            if isinstance(found, Def) and isinstance(found.node, ast.Op | ast.Let):
                return _decides(ctx, found.node.value, Env(found.module))
            return False
        case ast.Binary(op="+"):
            return _decides(ctx, node.left, env)
        case _:
            return False


def _node(work: _Build, spec: _NodeSpec, arriving: list[CellEdge]) -> tuple[CellNode, Shape]:
    ctx = work.ctx
    how, after_node = "sum", spec.value
    if isinstance(spec.value, ast.Name) and spec.value.text in AGGREGATORS:
        how, after_node = spec.value.text, None
    elif isinstance(spec.value, ast.Binary) and spec.value.op == ">>":
        first = spec.value
        while isinstance(first.left, ast.Binary) and first.left.op == ">>":
            first = first.left
        if isinstance(first.left, ast.Name) and first.left.text in AGGREGATORS:
            how = first.left.text
            after_node = _without_first(spec.value)
    shape = joined(work, how, arriving, spec)
    if after_node is None:
        after: Op = _identity(shape, spec.span)
    else:
        width = work.settled.widths.get(spec.name) if work.settled is not None else None
        place = work.place(f"{work.table}/{spec.name}", 1, shape.channels, width)
        after = apply(ctx, after_node, work.env(spec.env), place, shape)
    return CellNode(name=spec.name, how=how, after=after, span=spec.span), after.out


def _without_first(node: ast.Binary) -> ast.Value:
    if isinstance(node.left, ast.Binary) and node.left.op == ">>":
        return replace(node, left=_without_first(node.left))
    return node.right


def joined(work: _Build, how: str, arriving: list[CellEdge], spec: _NodeSpec) -> Shape:
    """The shape after an aggregator; E207 where arrivals do not fit."""
    shapes = [e.op.out for e in arriving]
    first = shapes[0]
    for edge, shape in zip(arriving, shapes, strict=True):
        fits = shape.space == first.space if how == "concat" else shape == first
        if not fits:
            work.ctx.diags.add(
                "E207",
                edge.span or spec.span,
                f"edge {edge.source} -> {edge.target} yields {shape}, "
                f"{edge.target} expects {first}",
                help="arrivals that are summed need one shape; `out = width` in the op?",
            )
            raise Broken
    if how == "concat":
        return first.with_channels(sum(s.channels for s in shapes))
    return first


# ---- picked edges


def _settled(
    work: _Build,
    inputs: tuple[CellInput, ...],
    specs: list[_NodeSpec],
    edge_specs: list[_EdgeSpec],
    keeps: tuple[Keep, ...],
    picks: tuple[Pick, ...],
) -> Settled | None:
    """What is left of the cell; None while its edges are still to be picked, and where all stay.

    Without `pick` a cell whose output splits its channels is settled from the start.
    """
    gene = work.ctx.genotype
    prefix = f"{work.table}/"
    resolved = gene is not None and any(key.startswith(prefix) for key, _ in gene.picks)
    found = [(s, e) for s, e, _ in work.definition.statements if isinstance(s, ast.Out)]
    if not found or (picks and not resolved):
        return None
    statement, env = found[-1]
    read, split = _reads(work, statement.value, env)
    replaced = dict(gene.outputs).get(work.table) if gene is not None else None
    if replaced is not None:
        read, split = [*replaced], []
    if not picks and not split:
        return None
    picked: dict[str, tuple[str, ...]] = {}
    if gene is not None:
        for target in (t for pick in picks for t in pick.targets):
            picked[target] = gene.of(subset_identity(work.table, target))
    made = settle(
        inputs=[entry.name for entry in inputs],
        nodes=[spec.name for spec in specs],
        edges=[
            (e.source, e.target)
            for e in edge_specs
            if not _dropped(work, e, f"{prefix}{e.target}<-{e.source}", keeps, work.env(e.env))
        ],
        picked=picked,
        read=read,
        split=split,
        width=work.width,
    )
    if 0 in made.shares.values():
        raise work.ctx.fail(
            "E208",
            statement.span,
            f"{work.width} channels cannot be split among {len(made.shares)} nodes",
            "a wider cell, or fewer nodes",
        )
    return made


def _reads(work: _Build, node: ast.Value, env: Env) -> tuple[list[str], list[str]]:
    """The nodes that an output names, and those among them that share the width."""
    match node:
        case ast.Binary(op="+"):
            left, right = _reads(work, node.left, env), _reads(work, node.right, env)
            return left[0] + right[0], left[1] + right[1]
        case ast.Binary(op=">>"):
            return _reads(work, node.left, env)
        case ast.Call() if _aggregates(node):
            names = [n for a in node.args if a.name is None for n in _reads(work, a.value, env)[0]]
            return names, names if _splits(work, node, env) else []
    end = _end(node)
    names = _ends(work, end, env) if end is not None else []
    return names, []


def _splits(work: _Build, node: ast.Call, env: Env) -> bool:
    """Whether a `concat` shares the width of the cell among its parts: `split = true`."""
    given = next((a.value for a in node.args if a.name == "split"), None)
    here = work.place(f"{work.table}/out", 1, 1)
    return given is not None and boolean(work.ctx, given, work.env(env), here)


def _end(node: ast.Value) -> ast.End | None:
    """A part of an output as the end of an edge: `x`, `x[2]`, `x[1..3]`."""
    if isinstance(node, ast.Name) and len(node.parts) == 1:
        ident = ast.Ident(span=node.span, text=node.text)
        return ast.End(span=node.span, name=ident, index=None)
    if isinstance(node, ast.Subscript) and isinstance(node.base, ast.Name):
        ident = ast.Ident(span=node.base.span, text=node.base.text)
        return ast.End(span=node.span, name=ident, index=node.index)
    return None


# ---- output


def _output(
    work: _Build, edges: list[CellEdge], dropped: set[str], gene: Any
) -> tuple[Output, Shape]:
    ctx = work.ctx
    found = [(s, e) for s, e, _ in work.definition.statements if isinstance(s, ast.Out)]
    if not found:
        if work.definition.partial:
            raise Broken
        raise ctx.fail(
            "E204", work.definition.span, f"cell `{work.definition.name}` has no `out`", "`out x`"
        )
    statement, env = found[-1]
    if gene is not None:
        replaced = dict(gene.outputs).get(work.table)
        if replaced is not None:
            parts = tuple(Arrival(node=n) for n in replaced)
            shapes = [work.shapes[n] for n in replaced]
            channels = sum(s.channels for s in shapes)
            return Join(how="concat", parts=parts), shapes[0].with_channels(channels)
    through = {e.source: e.op.out for e in edges if e.target == "out"}
    if work.settled is not None:
        dropped = dropped | {n for n in work.order if n not in work.settled.joined}
    maker = _Out(work, env, through, dropped)
    output, shape = maker.make(statement.value)
    return output, shape


def _aggregates(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.text in AGGREGATORS


@dataclass(slots=True)
class _Out:
    work: _Build
    env: Env
    through: dict[str, Shape]
    dropped: set[str]

    def make(self, node: ast.Value) -> tuple[Output, Shape]:
        ctx = self.work.ctx
        match node:
            case ast.Call() if isinstance(node.func, ast.Name) and _aggregates(node):
                split = _splits(self.work, node, self.env)
                parts = [p for a in node.args if a.name is None for p in self.parts(a.value)]
                return self.join(node.func.text, parts, node.span, split=split)
            case ast.Binary(op="+"):
                sides = [self.make(n) for n in (node.left, node.right) if self.left_of(n)]
                return self.join("sum", sides, node.span)
            case ast.Binary(op=">>"):
                inner, shape = self.make(node.left)
                place = self.work.place(f"{self.work.table}/out", 1, shape.channels)
                op = apply(ctx, node.right, self.work.env(self.env), place, shape)
                return After(inner=inner, op=op), op.out
            case _:
                parts = self.parts(node)
                if len(parts) == 1:
                    return parts[0]
                return self.join("sum", parts, node.span)

    def left_of(self, node: ast.Value) -> bool:
        """Whether anything that a part of an output names is left; an unknown name is."""
        names, _ = _reads(self.work, node, self.env)
        return not names or any(n not in self.dropped for n in names)

    def parts(self, node: ast.Value) -> list[tuple[Output, Shape]]:
        work = self.work
        end = _end(node)
        if end is None:
            joins = isinstance(node, ast.Binary) and node.op in ("+", ">>")
            if joins or (isinstance(node, ast.Call) and _aggregates(node)):
                return [self.make(node)]
            raise work.ctx.fail(
                "E213",
                node.span,
                "an output is made of nodes",
                f"`x`, `x[-1]`, `a + b`, or one of {', '.join(AGGREGATORS)}: `concat(x)`",
            )
        names = _ends(work, end, self.env)
        return [
            (Arrival(node=n), self.through.get(n) or work.shapes[n])
            for n in names
            if n not in self.dropped
        ]

    def join(
        self, how: str, parts: list[tuple[Output, Shape]], span: Span, *, split: bool = False
    ) -> tuple[Output, Shape]:
        ctx = self.work.ctx
        if not parts:
            raise ctx.fail("E224", span, "nothing reaches the output")
        first = parts[0][1]
        outputs = tuple(o for o, _ in parts)
        if split:
            width = self.work.width
            if width < len(parts):
                raise ctx.fail(
                    "E208",
                    span,
                    f"{width} channels cannot be split among {len(parts)} nodes",
                    "a wider cell, or fewer nodes",
                )
            if tuple(s.channels for _, s in parts) != shares(width, len(parts)):
                how = "split"
            elif len(parts) == 1:
                return parts[0]
        for _, shape in parts:
            if shape.space != first.space or (how not in ("concat", "split") and shape != first):
                raise ctx.fail(
                    "E207", span, f"the output joins {first} and {shape}", "they need one shape"
                )
        if how == "split":
            return Join(how=how, parts=outputs), first.with_channels(self.work.width)
        if how == "concat":
            channels = sum(s.channels for _, s in parts)
            return Join(how=how, parts=outputs), first.with_channels(channels)
        if len(parts) == 1:
            return outputs[0], first
        return Join(how=how, parts=outputs), first


def _finish(work: _Build, cell: Cell, specs: list[_NodeSpec]) -> None:
    """Warnings on unused nodes, and the rows of the cell's alpha table."""
    ctx = work.ctx
    live = cell.live()
    unused: dict[Span, list[str]] = {}
    for spec in specs:
        trimmed = work.settled is not None and spec.name not in work.shapes
        if (trimmed or spec.name in work.shapes) and spec.name not in live:
            unused.setdefault(spec.statement, []).append(spec.name)
    for span, names in unused.items():
        if not work.definition.partial:
            ctx.diags.add(
                "W210",
                span,
                f"{_listed(names)} {'do' if len(names) > 1 else 'does'} not reach `out`",
                help="it will be trimmed" if len(names) == 1 else "they will be trimmed",
            )
    rows: list[tuple[str, tuple[str, ...]]] = []
    for target in [*(n.name for n in cell.nodes), "out"]:
        identities = tuple(f"{cell.table}/{e.key}" for e in cell.into(target))
        if identities:
            rows.append((target, identities))
    for pick in cell.picks:
        for target in pick.targets:
            sources = tuple(e.source for e in cell.into(target))
            if not sources or (pick.count is not None and pick.count > len(sources)):
                raise ctx.fail(
                    "E223",
                    work.definition.span,
                    f"`pick {pick.count or 'any'}` at `{target}`, which has {len(sources)} "
                    "incoming edges",
                )
    # In the order of the nodes, as the emitted mix has its rows.
    for target in (*(n.name for n in cell.nodes), "out"):
        name = cell.subset(target)
        if name is None:
            continue
        sources = tuple(e.source for e in cell.into(target))
        made = Decision(id=name, table=cell.table, kind="subset", labels=sources, count=1)
        if ctx.decisions.setdefault(name, made).labels != sources:
            raise ctx.fail(
                "E223",
                work.definition.span,
                f"`pick` at `{target}`: not every place of the cell has the same edges there",
            )
    ctx.rules.setdefault(
        cell.table,
        TableRules(table=cell.table, rows=tuple(rows), keeps=cell.keeps, picks=cell.picks),
    )
    for statement, env, _ in work.definition.statements:
        if isinstance(statement, ast.Require):
            found = requirement(ctx, statement, work.env(env), cell.table)
            if found is not None:
                ctx.requires.setdefault((cell.table, found.text), found)
    _check_excluded(work, cell)
    _check_none(work, cell)


__all__ = ["Definition", "Fraction", "arrivals", "build", "find", "input_count", "parameters"]
