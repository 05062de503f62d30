"""A finished cell: warnings, the rows of its table, its subsets and requirements."""

from __future__ import annotations

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.cell import Cell
from nasdsl.ir.op import Choice, is_none
from nasdsl.ir.space import Decision, TableRules
from nasdsl.lowering.cell.building import Building, listed
from nasdsl.lowering.cell.nodes import NodeSpec
from nasdsl.lowering.requirements import requirement
from nasdsl.source import Span
from nasdsl.syntax import ast


def finish(work: Building, cell: Cell, specs: list[NodeSpec]) -> None:
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
                f"{listed(names)} {'do' if len(names) > 1 else 'does'} not reach `out`",
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


def _check_none(work: Building, cell: Cell) -> None:
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


def _check_excluded(work: Building, cell: Cell) -> None:
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
