"""What an architecture is: its edges, its size, whether anything flows through it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nasdsl.ir import cost
from nasdsl.ir.cell import After, Arrival, Cell, Join, Output
from nasdsl.ir.formats import forms, nasbench101
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.member import every
from nasdsl.ir.op import Choice, Forms, Nested, Op, Par, Prim, Seq, Varied
from nasdsl.ir.space import Network, Space
from nasdsl.report.columns import indent, number, pairs, short, table, wrap
from nasdsl.report.published import same

SCHEMA = 1

#: Operations from which nothing of the input comes out.
BLOCKING = frozenset({"none", "noise"})


def genotype_report(genotype: Genotype, space: Space) -> dict[str, Any]:
    """Edges, size and connection of an architecture; the space's target is resolved with it."""
    network = space.target
    plain, full = cost.of_network(network), cost.of_network(network, aux=True)
    kinds = {d.id: d.kind for d in every(space.decisions)}
    chosen = [(key, label) for key, label in genotype.picks if kinds.get(key) == "op"]
    counts = {
        table: dict(Counter(label for key, label in chosen if _table(key, space) == table))
        for table in dict.fromkeys(_table(key, space) for key, _ in chosen)
    }
    tables = dict.fromkeys(_table(key, space) for key, _ in genotype.picks)
    return {
        "schema": SCHEMA,
        "space": space.name,
        "text": text_of(genotype, space),
        "genotype": genotype.as_json(),
        "published": [entry.name for entry in same(genotype, space)],
        "forms": written(genotype, space),
        "nasbench101": _benchmark(genotype, space),
        "cells": {t: _nodes(genotype, t, space) for t in tables},
        "counts": counts,
        "total": dict(Counter(label for _, label in chosen)),
        "params": plain.params,
        "params_with_aux": full.params if network.aux is not None else None,
        "macs": plain.macs,
        "macs_with_aux": full.macs if network.aux is not None else None,
        "bias_additions": plain.bias,
        "connected": connected(network),
        "unconnected_cells": sorted(
            {c.table for _, _, c in network.cells() if not connected_cell(c)}
        ),
        "depth": {c.table: depth(c) for _, _, c in network.cells()},
    }


def written(genotype: Genotype, space: Space) -> dict[str, str]:
    """The genotype in every form of the space that has a place for it, the neutral one left out."""
    found = {}
    for name in forms.forms(space):
        if name == "nas":
            continue
        try:
            found[name] = forms.dumps(genotype, space, name).strip()
        except GenotypeError:
            continue
    return found


def _benchmark(genotype: Genotype, space: Space) -> dict[str, Any] | None:
    """Hash and pruned cell in NAS-Bench-101; None for other spaces and cells without a path."""
    if not nasbench101.fits(space):
        return None
    found = nasbench101.spec(genotype, space)
    pruned = nasbench101.prune(found)
    if pruned is None:
        return None
    return {
        "hash": nasbench101.fingerprint(found),
        "matrix": [list(row) for row in pruned.matrix],
        "ops": list(pruned.ops),
    }


def text_of(genotype: Genotype, space: Space) -> str:
    """The genotype in the space's own form, else in the neutral one."""
    return forms.native(genotype, space) or genotype.dumps().strip()


def _table(identity: str, space: Space) -> str:
    for decision in every(space.decisions):
        if decision.id == identity:
            return decision.table or identity
    return identity.split("/")[0]


def _nodes(genotype: Genotype, table_name: str, space: Space) -> list[dict[str, Any]]:
    """Picks of a table by the node they lead to, in the genotype's order.

    `reads` are the nodes that a `pick` rule lets it read.
    """
    nodes: dict[str, dict[str, Any]] = {}
    for identity, label in genotype.picks:
        if _table(identity, space) != table_name:
            continue
        target, _, source = identity.removeprefix(f"{table_name}/").partition("<-")
        node = nodes.setdefault(target, {"node": target, "edges": []})
        if source == "*":
            node.setdefault("reads", []).append(label)
        else:
            node["edges"].append({"from": source, "op": label})
    return list(nodes.values())


# ---- is anything connected


def connected(network: Network) -> bool:
    """Whether a path leads from the network's input to its output that is not `none`.

    An unresolved choice counts as open if one of its options is.
    """
    reached: list[bool] = []
    for stage in network.stages:
        arriving = [True if i < 0 else reached[i] for i in stage.inputs]
        if isinstance(stage.body, Cell):
            reached.append(_cell_passes(stage.body, arriving))
        else:
            reached.append(arriving[-1] and passes(stage.body))
    return bool(reached) and reached[-1]


def connected_cell(cell: Cell) -> bool:
    """Whether a path leads from an input of a cell to its output."""
    return _cell_passes(cell, [True] * len(cell.inputs))


def passes(op: Op) -> bool:
    """Whether an operation's output depends on its input."""
    match op:
        case Prim():
            return op.kind not in BLOCKING
        case Seq():
            return all(passes(p) for p in op.parts)
        case Par():
            return any(passes(p) for p in op.parts)
        case Choice() | Varied() | Forms():
            return any(passes(o) for o in op.options)
        case Nested():
            return connected_cell(op.cell)


def _cell_passes(cell: Cell, arriving: list[bool]) -> bool:
    live = {
        entry.name: there and passes(entry.prepare)
        for entry, there in zip(cell.inputs, arriving, strict=True)
    }
    for node in cell.nodes:
        here = [live.get(e.source, False) and passes(e.op) for e in cell.into(node.name)]
        # A product with a zero is zero.
        joined = all(here) if node.how == "mul" else any(here)
        live[node.name] = joined and passes(node.after)
    through = {e.source: passes(e.op) for e in cell.into("out")}
    return _output_passes(cell.output, live, through)


def _output_passes(output: Output, live: dict[str, bool], through: dict[str, bool]) -> bool:
    match output:
        case Arrival():
            return live.get(output.node, False) and through.get(output.node, True)
        case After():
            return _output_passes(output.inner, live, through) and passes(output.op)
        case Join():
            parts = [_output_passes(p, live, through) for p in output.parts]
            return all(parts) if output.how == "mul" else any(parts)


def depth(cell: Cell) -> int:
    """Edges on the longest path from an input to the output that is not `none`."""
    length = {entry.name: 0 for entry in cell.inputs}
    for node in cell.nodes:
        before = [length.get(e.source, -1) for e in cell.into(node.name) if passes(e.op)]
        reached = [n for n in before if n >= 0]
        if reached:
            length[node.name] = 1 + max(reached)
    live = cell.live()
    return max((n for name, n in length.items() if name in live), default=0)


# ---- text


def genotype_text(genotype: Genotype, space: Space, width: int = 80) -> str:
    """The report as text."""
    report = genotype_report(genotype, space)
    lines = [f"architecture of {report['space']}", ""]
    aux = report["params_with_aux"]
    facts = [
        ("parameters", number(report["params"]) + (f" ({number(aux)} with aux)" if aux else "")),
        ("multiply-adds", _macs(report)),
        ("connected", _connected(report)),
        ("depth", ", ".join(f"{t}: {n}" for t, n in report["depth"].items())),
        ("published", ", ".join(report["published"])),
        ("hash", f"{cell['hash']} (NAS-Bench-101)" if (cell := report["nasbench101"]) else ""),
        ("forms", ", ".join([*report["forms"], "nas"])),
    ]
    lines += pairs(facts, width=width)
    alone = []
    for name, nodes in report["cells"].items():
        if [entry["node"] for entry in nodes] == [name]:
            alone += nodes
        else:
            lines += ["", f"table {name}", *_cell_text(nodes, width)]
    if alone:
        lines += ["", "decisions", *_cell_text(alone, width)]
    if report["total"]:
        lines += ["", "operations", *_counts_text(report)]
    lines += ["", *wrap(report["text"], width=width)]
    return "\n".join(lines) + "\n"


def _macs(report: dict[str, Any]) -> str:
    text = f"{number(report['macs'])} ({short(report['macs'])}), bias additions apart"
    if report["bias_additions"]:
        text += f" ({number(report['bias_additions'])})"
    return text


def _connected(report: dict[str, Any]) -> str:
    if not report["connected"]:
        return "no: nothing of the input reaches the output"
    if report["unconnected_cells"]:
        return f"yes, but nothing passes through {', '.join(report['unconnected_cells'])}"
    return "yes"


def _cell_text(nodes: list[dict[str, Any]], width: int) -> list[str]:
    rows = []
    for entry in nodes:
        edges = [f"{e['op']}({e['from']})" if e["from"] else e["op"] for e in entry["edges"]]
        text, reads = " + ".join(edges), " + ".join(entry.get("reads", ()))
        rows.append((entry["node"], f"{text}({reads})" if text and reads else text + reads))
    return pairs(rows, width=width)


def _counts_text(report: dict[str, Any]) -> list[str]:
    tables = list(report["counts"])
    if len(tables) > 5:
        rows = [[label, str(n)] for label, n in sorted(report["total"].items())]
        return indent(table(rows, right=(1,)))
    rows = []
    for label, total in sorted(report["total"].items(), key=lambda p: (-p[1], p[0])):
        per = [str(report["counts"][t].get(label, 0)) for t in tables]
        rows.append([label, *(per if len(tables) > 1 else []), str(total)])
    head = ["", *(tables if len(tables) > 1 else []), "all"]
    return indent(table(rows, header=head, right=range(1, len(head))))
