"""The text forms of published genotypes, both ways; read by grammar, never evaluated.

`darts`: `Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=[2, 3, 4, 5], reduce=…)`, states
numbered inputs first; nested per-node lists, `range(2, 6)` and known aliases are read too.
`nasbench201`: `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, also six integers in edge order.
`nas`: the neutral JSON of `nasdsl.ir.genotype`, which fits every space.
"""

from __future__ import annotations

import ast as python
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.cell import Cell, Join, arrivals
from nasdsl.ir.genotype import Genotype, GenotypeError, loads
from nasdsl.ir.space import Space

#: Longest text that is read; the longest published genotype has about 1,000 characters.
MAX_TEXT = 100_000

ALIASES = {
    "max_pooling_3x3": "max_pool_3x3",
    "avg_pooling_3x3": "avg_pool_3x3",
    "average_pooling_3x3": "avg_pool_3x3",
    "skip_connection": "skip_connect",
    "separable_convolution_3x3": "sep_conv_3x3",
    "separable_convolution_5x5": "sep_conv_5x5",
    "dilated_convolution_3x3": "dil_conv_3x3",
    "dilated_convolution_5x5": "dil_conv_5x5",
}


def parse(text: str, space: Space) -> Genotype:
    """The genotype of a text in the space's own format or in the neutral JSON.

    Raises GenotypeError naming the token that is wrong.
    """
    if len(text) > MAX_TEXT:
        raise GenotypeError(f"{len(text)} characters are too many for a genotype")
    stripped = text.strip()
    if stripped.startswith("{"):
        return check(loads(text), space)
    if stripped.startswith(("Genotype", "(")) and space.format == "darts":
        return check(_parse_darts(stripped, space), space)
    if space.format == "nasbench201":
        return check(_parse_nasbench201(text.rstrip("\n"), space), space)
    raise GenotypeError(
        f"not a genotype of `{space.name}`: its formats are "
        f"{', '.join(dict.fromkeys((space.format, 'nas')))}"
    )


def dumps(genotype: Genotype, space: Space, form: str | None = None) -> str:
    """A genotype as text in a format (default: the space's own). Raises GenotypeError."""
    form = form or space.format
    match form:
        case "nas":
            return genotype.dumps()
        case "darts":
            return _darts(genotype, space) + "\n"
        case "nasbench201":
            return _nasbench201(genotype, space) + "\n"
        case _:
            raise GenotypeError(f"format `{form}` cannot be written yet; `nas` fits every space")


def brief(genotype: Genotype, space: Space) -> str:
    """A genotype for a person: the space's own text, else a line per node.

    `c/x[2] = conv_3x3(a) + skip(x[1])`; decisions outside cells as `body[2] = ir_3x3_t3`.
    """
    if space.format in ("darts", "nasbench201"):
        return dumps(genotype, space).strip()
    nodes: dict[str, list[str]] = {}
    for identity, label in genotype.picks:
        node, arrow, source = identity.partition("<-")
        nodes.setdefault(node, []).append(f"{label}({source})" if arrow else label)
    lines = [f"{node} = {' + '.join(terms)}" for node, terms in nodes.items()]
    lines += [f"{table}/out = concat({', '.join(names)})" for table, names in genotype.outputs]
    return "\n".join(lines)


def check(genotype: Genotype, space: Space) -> Genotype:
    """The genotype, if it is one of the space: decisions, labels, edges per node.

    Raises GenotypeError.
    """
    known = {d.id: d for d in _every(space.decisions)}
    for identity, label in genotype.picks:
        decision = known.get(identity)
        if decision is None:
            raise GenotypeError(
                f"space `{space.name}` has no decision `{identity}`"
                + _advice(identity, list(known))
            )
        if not decision.allows(label):
            raise GenotypeError(
                f"`{identity}` has no option `{label}`" + _advice(label, decision.labels)
            )
    _check_nodes(genotype, space)
    _check_outputs(genotype, space)
    return ordered(genotype, space)


def ordered(genotype: Genotype, space: Space) -> Genotype:
    """Picks node by node in the space's order; inside a node edge by edge where all stay.

    Where a node keeps some of its edges, their order (stronger first) is the genotype's own.
    """
    rank: dict[str, tuple[int, int]] = {}
    rows: dict[str, tuple[int, bool]] = {}
    for rules in space.rules:
        for node, identities in rules.rows:
            keep = next((k for k in rules.keeps if node in k.targets), None)
            for identity in identities:
                rows[identity] = (len(rows), keep is None or keep.count is None)
    first: dict[str, int] = {}
    for i, decision in enumerate(_every(space.decisions)):
        node = decision.id.partition("<-")[0]
        at = first.setdefault(node, i)
        fixed = rows.get(decision.id, (0, True))[1]
        rank[decision.id] = (at, i if fixed else 0)
    picks = tuple(sorted(genotype.picks, key=lambda p: rank[p[0]]))
    return replace(genotype, picks=picks)


def _check_nodes(genotype: Genotype, space: Space) -> None:
    for rules in space.rules:
        for node, identities in rules.rows:
            keep = next((k for k in rules.keeps if node in k.targets), None)
            here = [(i, label) for i, label in genotype.picks if i in identities]
            decided = [i for i in identities if any(d.id == i for d in space.decisions)]
            for identity, label in here:
                if keep is not None and label in keep.exclude:
                    raise GenotypeError(f"`{identity}` may not be `{label}` (`keep … except`)")
            if not decided:
                continue
            if keep is None or keep.count is None:
                for identity in decided:
                    count = len(genotype.of(identity))
                    if count != 1:
                        raise GenotypeError(f"{count} picks for `{identity}`; every edge has one")
            elif len(here) > min(keep.count, len(identities)):
                raise GenotypeError(
                    f"`{rules.table}/{node}` keeps {keep.count} edges, not {len(here)}"
                )
            elif not here:
                raise GenotypeError(f"`{rules.table}/{node}` has no edge")


def _check_outputs(genotype: Genotype, space: Space) -> None:
    for table, nodes in genotype.outputs:
        cell = cells(space).get(table)
        if cell is None:
            raise GenotypeError(f"space `{space.name}` has no cell `{table}`")
        names = [n.name for n in cell.nodes] + [i.name for i in cell.inputs]
        for node in nodes:
            if node not in names:
                raise GenotypeError(f"cell `{table}` has no node `{node}`" + _advice(node, names))
        if not nodes:
            raise GenotypeError(f"cell `{table}` joins no node")


def _every(decisions: Sequence[Any]) -> list[Any]:
    found = []
    for decision in decisions:
        found.append(decision)
        for below in decision.nested:
            found.extend(_every(below))
    return found


def _advice(word: str, legal: Sequence[str]) -> str:
    advice = did_you_mean(word, legal)
    return f"; {advice}" if advice else ""


def cells(space: Space) -> dict[str, Cell]:
    """One cell of each table, for its nodes and output."""
    found: dict[str, Cell] = {}
    for _, _, cell in space.supernet.cells():
        found.setdefault(cell.table, cell)
    return found


# ---- DARTS


def _parse_darts(text: str, space: Space) -> Genotype:
    fields = _fields(text)
    names = [n for n in ("normal", "reduce") if n in fields]
    unknown = set(fields) - {"normal", "reduce", "normal_concat", "reduce_concat"}
    if unknown:
        raise GenotypeError(f"unknown field `{sorted(unknown)[0]}`")
    if names != ["normal", "reduce"]:
        raise GenotypeError("a genotype has the fields `normal` and `reduce`")
    known = cells(space)
    if not known:
        raise GenotypeError(f"space `{space.name}` has no cells")
    picks: list[tuple[str, str]] = []
    outputs: list[tuple[str, tuple[str, ...]]] = []
    for name in names:
        if name not in known:
            # With one cell only its own table exists; what the text says of the other is moot.
            continue
        cell = known[name]
        nodes = [n.name for n in cell.nodes]
        states = [i.name for i in cell.inputs] + nodes
        groups = _groups(fields[name], len(nodes), name)
        for node, pairs in zip(nodes, groups, strict=True):
            for label, index in pairs:
                limit = states.index(node)
                if not 0 <= index < limit:
                    raise GenotypeError(
                        f"`{name}`: state {index} does not come before node {limit}"
                    )
                picks.append((f"{name}/{node}<-{states[index]}", ALIASES.get(label, label)))
        joined = _concat(fields.get(f"{name}_concat"), states, name)
        default = tuple(arrivals(cell.output))
        if joined is not None and joined != default:
            outputs.append((name, joined))
    return Genotype(space=space.name, picks=tuple(picks), outputs=tuple(outputs))


def _groups(value: Any, nodes: int, name: str) -> list[list[tuple[str, int]]]:
    if not isinstance(value, list | tuple) or not value:
        raise GenotypeError(f"`{name}` is a list of (operation, state) pairs, and not empty")
    nested = all(
        isinstance(v, list | tuple) and v and isinstance(v[0], list | tuple) for v in value
    )
    if nested:
        groups = [[_pair(p, name) for p in group] for group in value]
        if len(groups) != nodes:
            raise GenotypeError(f"`{name}` has {len(groups)} nodes; the space has {nodes}")
        return groups
    pairs = [_pair(p, name) for p in value]
    if len(pairs) != 2 * nodes:
        raise GenotypeError(
            f"`{name}` has {len(pairs)} pairs; {nodes} nodes with two edges each have {2 * nodes}"
        )
    return [pairs[i : i + 2] for i in range(0, len(pairs), 2)]


def _pair(value: Any, name: str) -> tuple[str, int]:
    if (
        isinstance(value, list | tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    ):
        return value[0], value[1]
    raise GenotypeError(f"`{name}`: {value!r} is no (operation, state) pair")


def _concat(value: Any, states: list[str], name: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not all(
        isinstance(i, int) and 0 <= i < len(states) for i in value
    ):
        raise GenotypeError(f"`{name}_concat` lists states 0 to {len(states) - 1}")
    return tuple(states[i] for i in value)


def _fields(text: str) -> dict[str, Any]:
    """The keyword arguments of `Genotype(…)`, made of literals and `range` only."""
    try:
        tree = python.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise GenotypeError(f"not a genotype: {type(error).__name__} in the text") from None
    if (
        not isinstance(tree, python.Call)
        or not isinstance(tree.func, python.Name)
        or tree.func.id != "Genotype"
        or tree.args
    ):
        raise GenotypeError("a DARTS genotype is `Genotype(normal=[…], …)`")
    return {k.arg or "**": _literal(k.value) for k in tree.keywords}


def _literal(node: python.expr) -> Any:
    match node:
        case python.Constant(value=str() | int() as value) if not isinstance(value, bool):
            return value
        case python.List() | python.Tuple():
            return [_literal(e) for e in node.elts]
        case python.Call(func=python.Name(id="range"), keywords=[]) if 1 <= len(node.args) <= 2:
            bounds = [_literal(a) for a in node.args]
            if all(isinstance(b, int) and 0 <= b < 1000 for b in bounds):
                return list(range(*bounds))
    raise GenotypeError(f"`{python.unparse(node)[:60]}` does not belong in a genotype")


def _darts(genotype: Genotype, space: Space) -> str:
    known = cells(space)
    parts = []
    for name in ("normal", "reduce"):
        cell = known.get(name) or next(iter(known.values()))
        states = [i.name for i in cell.inputs] + [n.name for n in cell.nodes]
        pairs = []
        for node in cell.nodes:
            prefix = f"{name}/{node.name}<-"
            for identity, label in genotype.picks:
                if identity.startswith(prefix):
                    pairs.append((label, states.index(identity.removeprefix(prefix))))
        joined = dict(genotype.outputs).get(name) or tuple(arrivals(cell.output))
        concat = [states.index(n) for n in joined]
        parts.append(f"{name}={pairs!r}, {name}_concat={concat!r}")
    return f"Genotype({', '.join(parts)})"


# ---- NAS-Bench-201

_PART = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)~(\d+)")


def _parse_nasbench201(text: str, space: Space) -> Genotype:
    table, cell = next(iter(cells(space).items()))
    states = [i.name for i in cell.inputs] + [n.name for n in cell.nodes]
    if re.fullmatch(r"\s*[\[(]?\s*\d+(\s*,\s*\d+){5}\s*[\])]?\s*", text):
        return _from_integers([int(n) for n in re.findall(r"\d+", text)], table, cell, space)
    if not text:
        raise GenotypeError("position 0: the text is empty")
    groups = text.split("+")
    if len(groups) != len(states) - 1:
        raise GenotypeError(
            f"position {len(text)}: {len(states) - 1} nodes joined by `+` are wanted, "
            f"not {len(groups)}"
        )
    picks: list[tuple[str, str]] = []
    position = 0
    for number, group in enumerate(groups, 1):
        if len(group) < 2 or group[0] != "|" or group[-1] != "|":
            raise GenotypeError(f"position {position}: `{group}` is not enclosed in `|`")
        found: dict[int, str] = {}
        at = position + 1
        for part in group[1:-1].split("|"):
            match = _PART.fullmatch(part)
            if match is None:
                raise GenotypeError(f"position {at}: `{part}` is not `operation~state`")
            label, source = match.group(1), int(match.group(2))
            if source >= number:
                raise GenotypeError(
                    f"position {at}: `{part}` reads state {source}, node {number} sees 0 to {number - 1}"
                )
            if source in found:
                raise GenotypeError(f"position {at}: `{part}` reads state {source} twice")
            if not _known(space, label):
                raise GenotypeError(f"position {at}: unknown operation `{label}`")
            found[source] = label
            at += len(part) + 1
        if len(found) != number:
            raise GenotypeError(
                f"position {position}: node {number} has {len(found)} of {number} edges"
            )
        for source in sorted(found):
            picks.append((f"{table}/{states[number]}<-{states[source]}", found[source]))
        position += len(group) + 1
    return Genotype(space=space.name, picks=tuple(picks))


def _known(space: Space, label: str) -> bool:
    return any(label in d.labels for d in space.decisions)


def _from_integers(numbers: list[int], table: str, cell: Cell, space: Space) -> Genotype:
    """Six integers, columns of the alpha table, in its row order."""
    picks = []
    edges = [f"{table}/{e.key}" for e in cell.edges]
    for identity, number in zip(edges, numbers, strict=True):
        labels = space.decision(identity).labels
        if number >= len(labels):
            raise GenotypeError(f"{number} is no operation: 0 to {len(labels) - 1}")
        picks.append((identity, labels[number]))
    return Genotype(space=space.name, picks=tuple(picks))


def _nasbench201(genotype: Genotype, space: Space) -> str:
    table, cell = next(iter(cells(space).items()))
    states = [i.name for i in cell.inputs] + [n.name for n in cell.nodes]
    groups = []
    for number in range(1, len(states)):
        parts = []
        for source in range(number):
            labels = genotype.of(f"{table}/{states[number]}<-{states[source]}")
            if len(labels) != 1:
                raise GenotypeError(f"edge {source} -> {number} has {len(labels)} operations")
            parts.append(f"{labels[0]}~{source}")
        groups.append("|" + "|".join(parts) + "|")
    return "+".join(groups)


__all__ = ["ALIASES", "Join", "cells", "check", "dumps", "parse"]
