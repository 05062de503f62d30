"""Networks: stages in order, running width and stride, repeats, heads, the retrained network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.model import Diagnostics, Label
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.cell import Cell
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.op import Nested, Op
from nasdsl.ir.requirement import Requirement
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Decision, Network, Space, Stage
from nasdsl.lowering import vary
from nasdsl.lowering.blocks import Block, Flattener, Piece, group, has, lookup
from nasdsl.lowering.cell import assemble
from nasdsl.lowering.cell import definition as cells
from nasdsl.lowering.modules import Def
from nasdsl.lowering.ops import apply, expected
from nasdsl.lowering.requirements import requirement
from nasdsl.lowering.scope import (
    Broken,
    Closure,
    Context,
    Env,
    Place,
    block_env,
    parameter,
    resolve,
)
from nasdsl.lowering.values import Given, SetValue, argument, integer, number, value
from nasdsl.source import Span
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value

#: How deep cells may stand in cells.
MAX_NESTED = 16

FORMATS = (
    "nas",
    "darts",
    "nasbench201",
    "nasbench101",
    "transnasbench101",
    "nats_size",
    "digits",
)


@dataclass(slots=True)
class _Walk:
    """The walk along a network: what has been built, and the running width."""

    ctx: Context
    env: Env
    width: int
    stages: list[Stage] = field(default_factory=list)
    #: Indices of stages whose outputs cells may look back to.
    history: list[int] = field(default_factory=list)
    inp: Shape | None = None
    aux: Stage | None = None
    counter: int = 0
    #: The rounds of repeats of decided depth that the walk is in, outermost first.
    rounds: tuple[tuple[str, str, int], ...] = ()
    broken: bool = False

    def shape(self, index: int) -> Shape:
        if index < 0:
            if self.inp is None:
                raise Broken
            return self.inp
        return self.stages[index].out

    @property
    def last(self) -> int:
        return self.history[-1] if self.history else -1


def network(
    diags: Diagnostics,
    flat: Flattener,
    block: Block,
    *,
    supernet: bool,
    overrides: Mapping[str, Any],
    genotype: Genotype | None = None,
    settings: Mapping[str, str] | None = None,
) -> tuple[Network, Context]:
    """One network of a space. Raises Broken with its diagnostics recorded."""
    ctx = Context(diags, flat, block, supernet, dict(overrides), genotype)
    ctx.settings = settings or {}
    ctx.nest = lambda name, env, place, inp, span, fresh: _nested(
        ctx, name, env, place, inp, span, fresh
    )
    env = Env(block.module, block)
    walk = _Walk(ctx, env, _start_width(ctx))
    walk.inp = _input(ctx)
    for node in group(block, "stems"):
        _guard(walk, lambda node=node: _stem(walk, node))
        if walk.broken:
            raise Broken
    _body(walk, group(block, "body"), "body", env)
    _heads(walk)
    if walk.broken:
        raise Broken
    return (
        Network(name=block.name, inp=walk.inp, stages=tuple(walk.stages), aux=walk.aux),
        ctx,
    )


def _guard(walk: _Walk, step: Any) -> None:
    try:
        step()
    except Broken:
        walk.broken = True


def _start_width(ctx: Context) -> int:
    piece = ctx.block.get("attr", "width")
    if piece is None or not isinstance(piece.node, ast.Attr):
        return 0  # not set: whatever asks for it is E232
    place = Place(1, 1, 1, "width", "width", "width")
    return integer(ctx, piece.node.value, block_env(ctx.block, piece), place, "width")


def _input(ctx: Context) -> Shape:
    piece = ctx.block.get("input")
    if piece is None or not isinstance(piece.node, ast.Input):
        if ctx.block.partial:
            raise Broken
        raise ctx.fail(
            "E214", ctx.block.span, f"space `{ctx.block.name}` has no `input`", "`input data.shape`"
        )
    found = value(ctx, piece.node.value, Env(piece.origin.module, ctx.block), None)
    if not isinstance(found, Shape):
        raise ctx.fail("E213", piece.node.value.span, "a shape is wanted: `image(3, 32, 32)`")
    return found


def _origin(ctx: Context, part: str) -> Env:
    piece = ctx.block.pieces.get((part,))
    module = piece.origin.module if piece else ctx.block.module
    return Env(module, ctx.block)


def _stem(walk: _Walk, node: ast.Node) -> None:
    if not isinstance(node, ast.Stem):
        return
    index = sum(s.role == "stem" for s in walk.stages)
    name = f"stem_{index}" if len(group(walk.ctx.block, "stems")) > 1 else "stem"
    inp = walk.shape(walk.last)
    place = Place(1, walk.width, inp.channels, name, "", name)
    op = apply(walk.ctx, node.value, _origin(walk.ctx, "stems"), replace(place, table=name), inp)
    _push(walk, name, "stem", op, (walk.last,), op.out, node.span)


def _push(
    walk: _Walk,
    name: str,
    role: str,
    body: Op | Cell,
    inputs: tuple[int, ...],
    out: Shape,
    span: Span,
) -> None:
    walk.stages.append(
        Stage(
            name=name,
            role=role,
            body=body,
            inputs=inputs,
            out=out,
            rounds=walk.rounds,
            span=span,
        )
    )
    walk.history.append(len(walk.stages) - 1)


# ---- body


def _body(walk: _Walk, nodes: list[ast.Node], path: str, env: Env) -> None:
    base = _origin(walk.ctx, "body")
    env = Env(base.module, walk.ctx.block, env.locals)
    for i, node in enumerate(nodes, 1):
        here = f"{path}[{i}]"
        match node:
            case ast.Stage():
                if node.at is not None:
                    walk.ctx.fail("E225", node.at.span, "`at` stands only inside `repeat`")
                    walk.broken = True
                    continue
                _guard(walk, lambda n=node, h=here, e=env: _stage(walk, n, h, e))
            case ast.Repeat():
                _guard(walk, lambda n=node, h=here, e=env: _repeat(walk, n, h, e))
        if walk.broken:
            return


def _stage(walk: _Walk, node: ast.Stage, path: str, env: Env) -> None:
    ctx = walk.ctx
    inp = walk.shape(walk.last)
    place = Place(1, walk.width, inp.channels, path, path, path)
    override = _attrs(walk, node, env, place)
    fresh = isinstance(node.value, ast.Unary) and node.value.op == "fresh"
    named = node.value.operand if isinstance(node.value, ast.Unary) and fresh else node.value
    args = named.args if isinstance(named, ast.Call) else ()
    named = named.func if isinstance(named, ast.Call) else named
    if isinstance(named, ast.Name):
        found = resolve(ctx, named.text, env)
        if isinstance(found, Def | Piece) and isinstance(found.node, ast.Cell):
            written = {a.target.text: a.span for a in node.attrs}
            given = _given(ctx, named, args, env, place)
            _cell_stage(walk, named, env, path, override, fresh, node.span, written, given)
            return
    walk.width = override.get("width", walk.width)
    place = replace(place, stride=override.get("stride", 1), width=walk.width)
    op = apply(ctx, node.value, env, place, inp)
    if place.stride > 1 and op.out.space == inp.space and any(n > 1 for n in inp.space):
        stride_at = next((a.span for a in node.attrs if a.target.text == "stride"), node.span)
        ctx.diags.add(
            "E207",
            node.value.span,
            f"the stage yields {op.out}, its `stride = {place.stride}` expects "
            f"{expected(place, inp).space}",
            help="an op passes it on with `stride = stride`",
            labels=(Label(stride_at, "the stride"),),
        )
        raise Broken
    name = _stage_name(walk, node.value)
    _push(walk, name, "body", op, (walk.last,), op.out, node.span)


def _given(
    ctx: Context, named: ast.Name, args: tuple[ast.Arg, ...], env: Env, place: Place
) -> dict[str, Any]:
    """The arguments of a cell by parameter."""
    names = cells.parameters(ctx, named.text, env)
    found: dict[str, Any] = {}
    for i, arg in enumerate(args):
        name = arg.name or (names[i] if i < len(names) else "")
        if name not in names or name in found:
            raise ctx.fail(
                "E112",
                arg.span,
                f"cell `{named.text}` has no parameter `{arg.name or i + 1}`"
                if name not in names
                else f"`{name}` is given twice",
                did_you_mean(name, names) or (None if names else "it takes no arguments"),
            )
        found[name] = argument(ctx, arg.value, env, place, name)
    return found


def _stage_name(walk: _Walk, node: ast.Value) -> str:
    base = "stage"
    func = node.func if isinstance(node, ast.Call) else node
    if isinstance(func, ast.Name):
        base = func.parts[-1]
    name = f"{base}_{walk.counter}"
    walk.counter += 1
    return name


def _attrs(walk: _Walk, node: ast.Stage, env: Env, place: Place) -> dict[str, int]:
    found: dict[str, int] = {}
    for attr in node.attrs:
        name = attr.target.text
        if name not in ("stride", "width"):
            raise walk.ctx.fail(
                "E103",
                attr.target.span,
                f"a stage has no attribute `{name}`",
                did_you_mean(name, ("stride", "width")) or "it has stride, width",
            )
        found[name] = integer(walk.ctx, attr.value, env, place, name)
        if found[name] < 1:
            raise walk.ctx.fail("E208", attr.value.span, f"`{name}` must be positive")
    return found


def _cell_stage(
    walk: _Walk,
    named: ast.Name,
    env: Env,
    path: str,
    override: dict[str, int],
    fresh: bool,
    span: Span,
    written: Mapping[str, Span],
    given: Mapping[str, Any],
) -> None:
    ctx = walk.ctx
    definition = cells.find(ctx, named.text, env, named.span, given)
    count = max(1, cells.input_count(definition))
    # Input i of k is the output of the (k-i+1)-th stage before; before the first, the oldest.
    oldest = walk.history[0] if walk.history else -1
    back = [walk.history[-k] if k <= len(walk.history) else oldest for k in range(count, 0, -1)]
    table = f"{named.text}@{path}" if fresh else named.text
    shapes = tuple(walk.shape(i) for i in back)
    cell = _shared(
        ctx, definition, shapes, walk.width, 1, table, path, override, written.get("stride")
    )
    walk.width = cell.width
    name = f"{named.text}_{walk.counter}"
    walk.counter += 1
    _push(walk, name, "body", cell, tuple(back), cell.out, span)


def _shared(
    ctx: Context,
    definition: cells.Definition,
    shapes: tuple[Shape, ...],
    width: int,
    stride: int,
    table: str,
    stage: str,
    override: dict[str, int],
    stride_at: Span | None = None,
) -> Cell:
    """Instances of one cell at equal places are one value."""
    params = tuple(
        (k, id(v.node) if isinstance(v, Closure) else repr(v)) for k, v in definition.params.items()
    )
    settings = tuple(sorted(override.items()))
    key = (definition.name, shapes, width, stride, table, settings, params)
    if key not in ctx.cells:
        ctx.cells[key] = assemble.build(
            ctx,
            definition,
            shapes,
            width,
            stride,
            table=table,
            stage=stage,
            override=override,
            stride_at=stride_at,
        )
    return ctx.cells[key]


def _nested(
    ctx: Context, name: str, env: Env, place: Place, inp: Shape, span: Span, fresh: bool
) -> Op:
    ctx.made += 1
    if ctx.depth > MAX_NESTED:
        raise ctx.fail("E114", span, f"cell `{name}` contains itself")
    definition = cells.find(ctx, name, env, span)
    if cells.input_count(definition) != 1:
        raise ctx.fail("E226", span, f"cell `{name}` has several inputs; an operation has one")
    table = f"{name}@{place.identity}" if fresh else name
    # The decisions of a cell are its own, wherever it is used.
    nesting, ctx.nesting = ctx.nesting, []
    ctx.depth += 1
    try:
        cell = _shared(ctx, definition, (inp,), place.width, place.stride, table, place.stage, {})
    finally:
        ctx.nesting = nesting
        ctx.depth -= 1
    return Nested(cell=cell, inp=inp, out=cell.out, span=span)


def _repeat(walk: _Walk, node: ast.Repeat, path: str, env: Env) -> None:
    ctx = walk.ctx
    place = Place(1, walk.width, 1, path, path, path)
    rounds = integer(ctx, node.count, env, place, "number of rounds")
    named = node.count.text if isinstance(node.count, ast.Name) else path
    depth = ctx.decisions.get(path) or ctx.decisions.get(named)
    if depth is not None and depth.kind not in ("value", "depth"):
        depth = None
    if rounds < 0 or rounds > 10_000:
        raise ctx.fail("E227", node.count.span, f"{rounds} rounds cannot be unrolled")
    at = _placed(walk, node, rounds, env, place)
    per_round: list[tuple[Decision, ...]] = []
    for r in range(rounds):
        known = set(ctx.decisions)
        outer = walk.rounds
        if depth is not None and ctx.genotype is None:
            walk.rounds = (*outer, (depth.id, path, r + 1))
        _round(walk, node, r, f"{path}.round[{r + 1}]", env, at)
        walk.rounds = outer
        per_round.append(tuple(d for k, d in ctx.decisions.items() if k not in known))
        if walk.broken:
            return
    if depth is not None and not all(label.isdigit() for label in depth.labels):
        ctx.fail(
            "E213", node.count.span, "the rounds of `repeat` are a number, or decided by `int a..b`"
        )
        walk.broken = True
    elif depth is not None and depth.labels:
        _depth(ctx, depth, path, per_round)


def _depth(ctx: Context, depth: Decision, path: str, rounds: list[tuple[Decision, ...]]) -> None:
    """`repeat int a..b`: the decisions of round r exist when the depth is at least r."""
    # Only decisions that stand in place belong to a round; tables of cells and `let` are shared.
    own = [
        tuple(d for d in found if d.id.startswith(f"{path}.") or f"@{path}." in d.id)
        for found in rounds
    ]
    # Two repeats may share one depth: the decisions of both exist together.
    before = depth.nested or ((),) * len(depth.labels)
    nested = tuple(
        (*known, *(d for found in own[: int(label)] for d in found))
        for known, label in zip(before, depth.labels, strict=True)
    )
    for found in own:
        for decision in found:
            ctx.decisions.pop(decision.id, None)
    ctx.decisions[depth.id] = replace(depth, kind="depth", nested=nested)


def _placed(
    walk: _Walk, node: ast.Repeat, rounds: int, env: Env, place: Place
) -> dict[int, tuple[ast.Stage, int]]:
    """Which stage replaces which round: round floor(f n) for each f of `at`."""
    ctx = walk.ctx
    found: dict[int, tuple[ast.Stage, int]] = {}
    for i, statement in enumerate(node.body, 1):
        if not isinstance(statement, ast.Stage) or statement.at is None:
            continue
        for fraction in _fractions(ctx, statement.at, env, place):
            r = int(fraction * rounds) if rounds > 1 else 0
            if r in found and found[r][0] is not statement:
                first = found[r][0]
                other = _at_span(first)
                ctx.diags.add(
                    "E209",
                    _at_span(statement),
                    f"round {r + 1} of {rounds} is replaced by "
                    f"`{format_value(first.value)}` and by `{format_value(statement.value)}`",
                    help=f"first at {other.line}:{other.column}; a round has one stage",
                    labels=(Label(other, "first here"),),
                )
                raise Broken
            found[r] = (statement, i)
    return found


def _at_span(node: ast.Stage) -> Span:
    """The `at` of a stage with its fractions."""
    value = node.at.span if node.at is not None else node.span
    start = value.source.text.rfind("at", node.span.start, value.start)
    return Span(value.source, start if start >= 0 else value.start, value.end)


def _fractions(ctx: Context, node: ast.Value, env: Env, place: Place) -> list[Fraction]:
    nodes = list(node.items) if isinstance(node, ast.ListOf) else [node]
    result = []
    for entry in nodes:
        if isinstance(entry, ast.Range):
            raise ctx.fail("E228", entry.span, "`at` takes fractions in [0, 1)")
        fraction = number(ctx, entry, env, place)
        if not 0 <= fraction < 1:
            raise ctx.fail("E228", entry.span, f"`at` takes fractions in [0, 1), not {fraction}")
        result.append(fraction)
    return result


def _round(
    walk: _Walk,
    node: ast.Repeat,
    r: int,
    path: str,
    env: Env,
    at: dict[int, tuple[ast.Stage, int]],
) -> None:
    walk.ctx.enter(node.span)
    walk.ctx.level -= 1
    for statement in node.body:
        if isinstance(statement, ast.Let):
            name = statement.name.text
            env = env.bind(**{name: Closure(statement.value, env, f"{path}.{name}")})
    plain = [s for s in node.body if isinstance(s, ast.Stage | ast.Repeat) and not _at(s)]
    several = sum(not isinstance(s, ast.Let | ast.Head) for s in node.body) > 1
    if r in at:
        statement, i = at[r]
        _guard(walk, lambda: _stage(walk, statement, f"{path}.{i}", env))
    else:
        for i, statement_ in enumerate(plain, 1):
            here = f"{path}.{i}" if several and len(plain) > 1 else path
            if isinstance(statement_, ast.Stage):
                _guard(walk, lambda s=statement_, h=here: _stage(walk, s, h, env))
            elif isinstance(statement_, ast.Repeat):
                _guard(walk, lambda s=statement_, h=here: _repeat(walk, s, h, env))
            if walk.broken:
                return
    if walk.broken:
        return
    rounds = _rounds_of(walk, node, env)
    for head in (s for s in node.body if isinstance(s, ast.Head)):
        if head.at is None:
            walk.ctx.fail("E229", head.span, "a head in `repeat` needs `at`")
            walk.broken = True
            return
        place = Place(1, walk.width, 1, path, path, path)
        fractions = _fractions(walk.ctx, head.at, env, place)
        if r in [int(f * rounds) if rounds > 1 else 0 for f in fractions]:
            _guard(walk, lambda h=head: _aux(walk, h, env))


def _rounds_of(walk: _Walk, node: ast.Repeat, env: Env) -> int:
    place = Place(1, walk.width, 1, "rounds", "rounds", "rounds")
    if isinstance(node.count, ast.IntDomain):
        return integer(walk.ctx, node.count.high, env, place, "number of rounds")
    return integer(walk.ctx, node.count, env, place, "number of rounds")


def _at(node: ast.Node) -> bool:
    return isinstance(node, ast.Stage) and node.at is not None


def _aux(walk: _Walk, node: ast.Head, env: Env) -> None:
    """An auxiliary head exists only in the network that is retrained."""
    ctx = walk.ctx
    if ctx.supernet:
        return
    inp = walk.shape(walk.last)
    place = Place(1, walk.width, inp.channels, "aux", "aux", "aux")
    # Where the feature map is too small for the head the network has none; `Network.aux` says so.
    trial = Diagnostics()
    kept, ctx.diags = ctx.diags, trial
    try:
        op = apply(ctx, node.value, env, place, inp)
    except Broken:
        for found in trial:
            if found.code != "E212":
                kept.add(
                    found.code, found.span, found.message, help=found.help, labels=found.labels
                )
                walk.broken = True
        return
    finally:
        ctx.diags = kept
    walk.aux = Stage(
        name="aux", role="aux", body=op, inputs=(walk.last,), out=op.out, span=node.span
    )


def _heads(walk: _Walk) -> None:
    ctx = walk.ctx
    nodes = [n for n in group(ctx.block, "heads") if isinstance(n, ast.Head)]
    if not nodes:
        if not ctx.block.partial:
            ctx.fail(
                "E215",
                ctx.block.span,
                f"space `{ctx.block.name}` has no `head`",
                "`head global_avg_pool >> linear(data.classes)`",
            )
        walk.broken = True
        return
    for node in nodes:
        if node.at is not None:
            raise ctx.fail("E225", node.at.span, "`at` stands only inside `repeat`")
        inp = walk.shape(walk.last)
        place = Place(1, walk.width, inp.channels, "head", "head", "head")
        op = apply(ctx, node.value, _origin(ctx, "heads"), place, inp)
        _push(walk, "head", "head", op, (walk.last,), op.out, node.span)


# ---- spaces


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
            supernet, meeting = vary.varied(
                diags,
                supernet,
                found,
                lambda trial, settings: network(
                    trial, flat, block, supernet=True, overrides=given, settings=settings
                ),
            )
            target, _ = vary.varied(
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


__all__ = ["FORMATS", "lookup", "network", "space"]
