"""`repeat`: rounds, what replaces some of them, and rounds of decided depth."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from nasdsl.diagnostics.model import Label
from nasdsl.ir.space import Decision
from nasdsl.lowering.network.heads import auxiliary
from nasdsl.lowering.network.stages import stage
from nasdsl.lowering.network.walk import Walk, guard
from nasdsl.lowering.scope import Broken, Closure, Context, Env, Place
from nasdsl.lowering.value.evaluation import integer, number
from nasdsl.source import Span
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value


def repeat(walk: Walk, node: ast.Repeat, path: str, env: Env) -> None:
    """The rounds of `repeat`, one after the other. Raises Broken."""
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
    walk: Walk, node: ast.Repeat, rounds: int, env: Env, place: Place
) -> dict[int, tuple[ast.Stage, int]]:
    """Which stage replaces which round: round floor(f n) for each f of `at`."""
    ctx = walk.ctx
    found: dict[int, tuple[ast.Stage, int]] = {}
    for i, statement in enumerate(node.body, 1):
        if not isinstance(statement, ast.Stage) or statement.at is None:
            continue
        for fraction in fractions(ctx, statement.at, env, place):
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


def fractions(ctx: Context, node: ast.Value, env: Env, place: Place) -> list[Fraction]:
    """The fractions of an `at`, each in [0, 1). Raises Broken."""
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
    walk: Walk,
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
        guard(walk, lambda: stage(walk, statement, f"{path}.{i}", env))
    else:
        for i, statement_ in enumerate(plain, 1):
            here = f"{path}.{i}" if several and len(plain) > 1 else path
            if isinstance(statement_, ast.Stage):
                guard(walk, lambda s=statement_, h=here: stage(walk, s, h, env))
            elif isinstance(statement_, ast.Repeat):
                guard(walk, lambda s=statement_, h=here: repeat(walk, s, h, env))
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
        standing = fractions(walk.ctx, head.at, env, place)
        if r in [int(f * rounds) if rounds > 1 else 0 for f in standing]:
            guard(walk, lambda h=head: auxiliary(walk, h, env))


def _rounds_of(walk: Walk, node: ast.Repeat, env: Env) -> int:
    place = Place(1, walk.width, 1, "rounds", "rounds", "rounds")
    if isinstance(node.count, ast.IntDomain):
        return integer(walk.ctx, node.count.high, env, place, "number of rounds")
    return integer(walk.ctx, node.count, env, place, "number of rounds")


def _at(node: ast.Node) -> bool:
    return isinstance(node, ast.Stage) and node.at is not None
