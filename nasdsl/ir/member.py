"""Whether a genotype is one of a space: decisions, labels, counts, conditions, outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.cell import Cell, Keep, Pick, arrivals
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.space import Decision, Space, TableRules

Picks = Mapping[str, Sequence[str]]


def check(genotype: Genotype, space: Space) -> Genotype:
    """The genotype in the order of the space, if it is one of the space.

    Every decision that exists under the picks above it has its picks: one, or as many as `keep`
    and `pick` of its node say. Outputs equal to the space's own are left out. What `require` says
    is not looked at. Raises GenotypeError naming the decision or label that is wrong.
    """
    known: dict[str, Decision] = {}
    for decision in every(space.decisions):
        known.setdefault(decision.id, decision)
    picks: dict[str, list[str]] = {}
    for identity, label in genotype.picks:
        found = known.get(identity)
        if found is None:
            raise GenotypeError(
                f"space `{space.name}` has no decision `{identity}`{advice(identity, list(known))}"
            )
        check_label(found, label)
        picks.setdefault(identity, []).append(label)
    live = active(space.decisions, picks)
    for identity in picks:
        if identity not in live:
            raise GenotypeError(f"`{identity}` exists only where {_condition(space, identity)}")
    rest = dict(live)
    for rules in space.rules:
        for node, identities in rules.rows:
            _check_node(rules, node, identities, live, picks)
            for identity in (*identities, f"{rules.table}/{node}<-*"):
                rest.pop(identity, None)
    for identity, decision in rest.items():
        count = len(picks.get(identity, ()))
        if count == 0:
            raise GenotypeError(f"no pick for `{identity}`: {_domain(decision)}")
        if count > 1:
            raise GenotypeError(f"{count} picks for `{identity}`; it has one")
    return ordered(replace(genotype, outputs=_outputs(genotype, space)), space)


def ordered(genotype: Genotype, space: Space) -> Genotype:
    """Picks node by node in the space's order; inside a node edge by edge where all stay.

    Where a node keeps some of its edges, their order (stronger first) is the genotype's own.
    """
    loose = {
        identity
        for rules in space.rules
        for node, identities in rules.rows
        if (keep := _keep(rules, node)) is not None and keep.count is not None
        for identity in identities
    }
    rank: dict[str, tuple[int, int]] = {}
    subsets: dict[str, tuple[str, ...]] = {}
    first: dict[str, int] = {}
    for i, decision in enumerate(every(space.decisions)):
        at = first.setdefault(decision.id.partition("<-")[0], i)
        rank.setdefault(decision.id, (at, 0 if decision.id in loose else i))
        if decision.kind == "subset":
            subsets[decision.id] = decision.labels

    def key(pick: tuple[str, str]) -> tuple[int, int, int]:
        sources = subsets.get(pick[0])
        return (*rank[pick[0]], sources.index(pick[1]) if sources else 0)

    return replace(genotype, picks=tuple(sorted(genotype.picks, key=key)))


def every(decisions: Sequence[Decision]) -> Iterator[Decision]:
    """All decisions, those below an option behind it; one may come again under other options."""
    for decision in decisions:
        yield decision
        for below in decision.nested:
            yield from every(below)


def active(decisions: Sequence[Decision], picks: Picks) -> dict[str, Decision]:
    """The decisions that exist under some picks, by identity, in order."""
    found: dict[str, Decision] = {}
    _active(decisions, picks, found)
    return found


def _active(decisions: Sequence[Decision], picks: Picks, found: dict[str, Decision]) -> None:
    for decision in decisions:
        found.setdefault(decision.id, decision)
        if decision.nested:
            for label in picks.get(decision.id, ()):
                at = decision.labels.index(label)
                if at < len(decision.nested):
                    _active(decision.nested[at], picks, found)


def cells(space: Space) -> dict[str, Cell]:
    """One cell of each table, for its nodes and output."""
    found: dict[str, Cell] = {}
    for _, _, cell in space.supernet.cells():
        found.setdefault(cell.table, cell)
    return found


def advice(word: str, legal: Sequence[str]) -> str:
    """`; did you mean …`, or nothing."""
    found = did_you_mean(word, legal)
    return f"; {found}" if found else ""


# ---- labels


def check_label(decision: Decision, label: str) -> None:
    """Whether a label is an option of a decision, or a number of its domain.

    Raises GenotypeError.
    """
    if decision.allows(label):
        return
    if decision.low is None or decision.high is None:
        raise GenotypeError(
            f"`{decision.id}` has no option `{label[:80]}`{advice(label, decision.labels)}"
        )
    raise GenotypeError(f"`{decision.id}` is {_domain(decision)}, not `{label[:80]}`")


def _domain(decision: Decision) -> str:
    if decision.low is not None and decision.high is not None:
        return f"a number from {float(decision.low):g} to {float(decision.high):g}"
    shown = ", ".join(f"`{label}`" for label in decision.labels[:8])
    return f"one of {shown}" + (", …" if len(decision.labels) > 8 else "")


def _condition(space: Space, identity: str) -> str:
    """Under which options a decision stands: `body[1]` is `2` or `3`."""
    found: dict[str, list[str]] = {}
    for decision in every(space.decisions):
        for label, below in zip(decision.labels, decision.nested, strict=False):
            if any(d.id == identity for d in below):
                labels = found.setdefault(decision.id, [])
                if label not in labels:
                    labels.append(label)
    return ", or ".join(
        f"`{parent}` is {' or '.join(f'`{label}`' for label in labels)}"
        for parent, labels in found.items()
    )


# ---- nodes


def _keep(rules: TableRules, node: str) -> Keep | None:
    return next((k for k in rules.keeps if node in k.targets), None)


def _check_node(
    rules: TableRules,
    node: str,
    identities: tuple[str, ...],
    live: Mapping[str, Decision],
    picks: Picks,
) -> None:
    keep = _keep(rules, node)
    pick = next((p for p in rules.picks if node in p.targets), None)
    decided = [i for i in identities if i in live]
    if pick is not None:
        _check_subset(rules, node, pick, decided, picks)
        return
    if keep is not None:
        for identity in decided:
            for label in picks.get(identity, ()):
                if label in keep.exclude:
                    raise GenotypeError(f"`{identity}` may not be `{label}` (`keep … except`)")
    if not decided:
        return
    if keep is None or keep.count is None:
        for identity in decided:
            count = len(picks.get(identity, ()))
            if count != 1:
                raise GenotypeError(f"{count} picks for `{identity}`; every edge has one")
        return
    total = sum(len(picks.get(i, ())) for i in decided)
    if total > min(keep.count, len(identities)):
        raise GenotypeError(f"`{rules.table}/{node}` keeps {keep.count} edges, not {total}")
    if not total:
        raise GenotypeError(f"`{rules.table}/{node}` has no edge")


def _check_subset(
    rules: TableRules, node: str, pick: Pick, decided: list[str], picks: Picks
) -> None:
    identity = f"{rules.table}/{node}<-*"
    sources = picks.get(identity, ())
    if len(set(sources)) != len(sources):
        twice = next(s for s in sources if sources.count(s) > 1)
        raise GenotypeError(f"`{identity}` names `{twice}` twice")
    if pick.count is not None and len(sources) != pick.count:
        raise GenotypeError(f"`{identity}` names {len(sources)} sources; {pick.count} are wanted")
    if pick.count is None and node == "out" and not sources:
        raise GenotypeError(f"`{identity}` names no source: the cell has no output")
    for edge in decided:
        count = len(picks.get(edge, ()))
        taken = edge.partition("<-")[2] in sources
        if count > 1 or (taken and count == 0):
            raise GenotypeError(f"{count} picks for `{edge}`; an edge that is used has one")


# ---- outputs


def _outputs(genotype: Genotype, space: Space) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What the cells' outputs join, where that is not what the space says."""
    if not genotype.outputs:
        return ()
    known = cells(space)
    found: dict[str, tuple[str, ...]] = {}
    for table, nodes in genotype.outputs:
        cell = known.get(table)
        if cell is None:
            raise GenotypeError(
                f"space `{space.name}` has no cell `{table}`{advice(table, list(known))}"
            )
        names = [n.name for n in cell.nodes] + [i.name for i in cell.inputs]
        for node in nodes:
            if node not in names:
                raise GenotypeError(f"cell `{table}` has no node `{node}`{advice(node, names)}")
        if not nodes:
            raise GenotypeError(f"cell `{table}` joins no node")
        if len(set(nodes)) != len(nodes):
            raise GenotypeError(f"cell `{table}` joins a node twice")
        if nodes != tuple(arrivals(cell.output)):
            found[table] = nodes
    return tuple((table, found[table]) for table in known if table in found)
