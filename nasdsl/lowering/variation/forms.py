"""One operation for all settings of its decisions: `Varied`, or `Forms` where it differs whole."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from nasdsl.ir import rewrite
from nasdsl.ir.op import Forms, Op, Prim, Varied
from nasdsl.lowering.variation.layout import Merged, Seen, largest, largest_shapes

Table = Mapping[tuple[str, ...], Op]


def laid_over(ids: tuple[str, ...], labels: tuple[tuple[str, ...], ...], table: Table) -> Op:
    """One operation for all settings of its decisions."""
    settings = list(product(*labels))
    prims = [p for p in (table[s] for s in settings) if isinstance(p, Prim)]
    if len(prims) == len(settings) and len({p.kind for p in prims}) == 1:
        return Varied(
            decisions=ids,
            labels=labels,
            options=tuple(prims),
            inp=largest(p.inp for p in prims),
            out=largest(p.out for p in prims),
            span=prims[0].span,
        )
    return _forms(ids, labels, table, settings)


def _forms(
    ids: tuple[str, ...],
    labels: tuple[tuple[str, ...], ...],
    table: Table,
    settings: list[tuple[str, ...]],
) -> Op:
    """An operation that is another one under some settings: each form by itself."""
    laid = {}
    for setting in settings:
        seen = Seen()
        rewrite.op(table[setting], seen)
        laid[setting] = seen
    groups: dict[tuple[object, ...], list[tuple[str, ...]]] = {}
    for setting, seen in laid.items():
        groups.setdefault(tuple(seen.marks), []).append(setting)
    options = []
    for own in groups.values():
        # A setting of another form is as the setting of this one that is most like it.
        alike = {s: s if s in own else max(own, key=lambda o: _agreeing(o, s)) for s in settings}
        leaves: list[Op] = []
        for i, leaf in enumerate(laid[own[0]].leaves):
            inner = {s: laid[alike[s]].leaves[i] for s in settings}
            same = all(inner[s] == leaf for s in settings)
            leaves.append(leaf if same else laid_over(ids, labels, inner))
        merged = Merged(largest_shapes([laid[s] for s in own]), leaves)
        options.append(rewrite.op(table[own[0]], merged))
    numbers = {s: i for i, own in enumerate(groups.values()) for s in own}
    if len(options) == 1:
        return options[0]
    return Forms(
        decisions=ids,
        labels=labels,
        form=tuple(numbers[s] for s in settings),
        options=tuple(options),
        inp=largest(table[s].inp for s in settings),
        out=largest(table[s].out for s in settings),
        span=table[settings[-1]].span,
    )


def _agreeing(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    return sum(x == y for x, y in zip(a, b, strict=True))
