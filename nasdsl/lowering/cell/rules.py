"""`keep` and `pick`: how many edges stay at each node of a cell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nasdsl.ir.cell import Keep, Pick
from nasdsl.lowering.cell.building import Building
from nasdsl.lowering.cell.ends import ends
from nasdsl.lowering.scope import Env, resolve
from nasdsl.lowering.value.evaluation import integer, value
from nasdsl.lowering.value.kinds import SetValue
from nasdsl.source import Span
from nasdsl.syntax import ast


def keeps_and_picks(work: Building) -> tuple[tuple[Keep, ...], tuple[Pick, ...]]:
    """The rules of every node, those that say the same as one; E205 where a node has both."""
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
            targets = [t for e in statement.per for t in ends(work, e, env, may_out=True)]
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


def _count(work: Building, node: ast.Value, env: Env) -> int | None:
    if isinstance(node, ast.Name) and node.text in ("all", "any"):
        return None
    here = work.place(work.table, 1, 1)
    count = integer(work.ctx, node, work.env(env), here, "number of edges")
    if count < 1:
        raise work.ctx.fail("E223", node.span, f"at least one edge stays, not {count}")
    return count
