"""Invariants of a space, as a list of small named checks.

`verify(space)` gives a message per violation, `check: place: what is wrong`; an empty list means
that the space is sound. Every pass may assume a sound space and must leave one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nasdsl.ir.checks.cells import cell_shapes, edges, graph, names, output, rules
from nasdsl.ir.checks.decisions import decided, decisions, tables
from nasdsl.ir.checks.networks import rounds, stage_names, stages
from nasdsl.ir.checks.operations import choice, nested, parallel, primitive, sequence, varied
from nasdsl.ir.checks.view import View, view_of
from nasdsl.ir.space import Space


def verify(space: Space) -> list[str]:
    """What is wrong with a space, a line each; nothing where it is sound."""
    view = view_of(space)
    found: list[str] = []
    for check in CHECKS:
        name = check.__name__
        found.extend(f"{name}: {message}" for message in check(view))
    return list(dict.fromkeys(found))


CHECKS: tuple[Callable[[View], Iterator[str]], ...] = (
    primitive,
    sequence,
    parallel,
    choice,
    varied,
    nested,
    names,
    edges,
    cell_shapes,
    output,
    graph,
    rules,
    decisions,
    decided,
    tables,
    stages,
    rounds,
    stage_names,
)
