"""What a space is: decisions and who owns them, architectures, networks and their costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nasdsl.ir import cost, memory
from nasdsl.ir.cell import Cell, Keep, Pick
from nasdsl.ir.extremes import extreme
from nasdsl.ir.formats import forms
from nasdsl.ir.optable import Cost
from nasdsl.ir.printer import digest
from nasdsl.ir.space import Decision, Network, Space, Stage
from nasdsl.report.columns import indent, number, pairs, power, short, table, wrap

SCHEMA = 1


#: Columns for the owner of decisions in a table.
OWNER = 44


def space_report(space: Space) -> dict[str, Any]:
    """Everything that `inspect` tells of a space, ready for JSON."""
    tables = [_table(space, name, rows) for name, rows in space.tables().items()]
    return {
        "schema": SCHEMA,
        "name": space.name,
        "digest": digest(space),
        "parameters": dict(space.parameters),
        "input": str(space.supernet.inp),
        "classes": space.classes,
        "format": space.format,
        "forms": list(forms.forms(space)),
        "requires": [str(r) for r in space.requires],
        "decisions": {
            "count": len(every(space.decisions)),
            "owners": [
                {"owner": t["owner"], "table": t["table"], "decisions": t["decisions"]}
                for t in tables
            ],
        },
        "tables": tables,
        "size": space.size(),
        "supernet": _supernet(space.supernet),
        "target": {**network_report(space.target), **_bounds(space)},
    }


def every(decisions: Sequence[Decision]) -> dict[str, Decision]:
    """Decisions by identity, conditional ones too: one on several options counts once."""
    found: dict[str, Decision] = {}
    stack = list(reversed(decisions))
    while stack:
        decision = stack.pop()
        found.setdefault(decision.id, decision)
        for below in reversed(decision.nested):
            stack.extend(reversed(below))
    return found


def owner(space: Space, name: str) -> str:
    """Who owns a table, in words: `cell normal`, `let c1`, `in place at body[2]`."""
    if name in {cell.table for _, _, cell in space.supernet.cells()} | _nested_tables(space):
        base, fresh, place = name.partition("@")
        return f"cell {base}, fresh at {place}" if fresh else f"cell {base}"
    base, fresh, place = name.partition("@")
    if fresh:
        return f"let {base}, fresh at {place}"
    places = ("body[", "stem", "head")
    return f"in place at {name}" if name.startswith(places) else f"let {name}"


def _nested_tables(space: Space) -> set[str]:
    return {d.table for d in space.decisions if d.id.startswith(f"{d.table}/")}


def _table(space: Space, name: str, rows: Sequence[Decision]) -> dict[str, Any]:
    rules = next((r for r in space.rules if r.table == name), None)
    return {
        "table": name,
        "owner": owner(space, name),
        "decisions": len(every(rows)),
        "settings": space.table_size(name),
        "rows": [_row(d) for d in rows],
        "keep": [_keep(k) for k in rules.keeps] if rules else [],
        "pick": [_pick(p) for p in rules.picks] if rules else [],
    }


def _row(decision: Decision) -> dict[str, Any]:
    row: dict[str, Any] = {
        "decision": decision.id,
        "kind": decision.kind,
        "labels": list(decision.labels),
    }
    below = {
        label: [_row(d) for d in inner]
        for label, inner in zip(decision.labels, decision.nested, strict=False)
        if inner
    }
    return {**row, "nested": below} if below else row


def _keep(keep: Keep) -> dict[str, Any]:
    return {"nodes": list(keep.targets), "count": keep.count, "except": list(keep.exclude)}


def _pick(pick: Pick) -> dict[str, Any]:
    return {"nodes": list(pick.targets), "count": pick.count}


# ---- networks


def network_report(network: Network) -> dict[str, Any]:
    """Stages with shapes and costs; of a choice all options count."""
    total = cost.of_network(network)
    names = ["input", *(s.name for s in network.stages)]
    return {
        "input": str(network.inp),
        "output": str(network.out),
        **_cost(total),
        "stages": [
            _stage(s, names, found)
            for s, found in zip(network.stages, cost.of_stages(network), strict=True)
        ],
        "aux": _stage(network.aux, names, cost.of_stage(network.aux)) if network.aux else None,
    }


def _supernet(network: Network) -> dict[str, Any]:
    """The network with the activations that a training step keeps, bytes of one sample."""
    kept = memory.of_training(network, dense=True)
    report = network_report(network)
    for stage in report["stages"]:
        stage["saved_bytes"] = kept[stage["name"]].sample
    total = sum(found.sample for found in kept.values())
    return {
        **report,
        "saved_bytes": total,
        "saved_bytes_fixed": sum(m.fixed for m in kept.values()),
    }


def _cost(found: Cost) -> dict[str, Any]:
    return {"params": found.params, "macs": found.macs, "bias": found.bias}


def _stage(stage: Stage, names: Sequence[str], found: Cost) -> dict[str, Any]:
    return {
        "name": stage.name,
        "role": stage.role,
        "cell": stage.body.name if isinstance(stage.body, Cell) else None,
        "from": [names[i + 1] for i in stage.inputs],
        "out": str(stage.out),
        **_cost(found),
    }


def _bounds(space: Space) -> dict[str, Any]:
    """Smallest and largest cost of an architecture, and whether each is exact or a bound."""
    none: dict[str, Any] = {"min": None, "max": None, "exact": None}
    if not any(True for _ in cost.choices(space.target)) or not _told(space):
        return none
    found: dict[str, dict[str, Any]] = {"min": {}, "max": {}, "exact": {}}
    for measure, name in (("params", "params"), ("macs", "macs"), ("saved", "saved_bytes")):
        expression = cost.expression(space, measure)
        low = extreme(expression, space, largest=False)
        high = extreme(expression, space, largest=True)
        found["min"][name], found["max"][name] = low.amount, high.amount
        found["exact"][name] = low.exact and high.exact and measure != "saved"
    return found


def _told(space: Space) -> bool:
    """Whether the target tells what each decision costs: numbers and depths in their settings."""
    if any(cost.splits(cell.output) for cell in cost.cells(space.target)):
        return False  # the widths of a cell follow from how many edges lead to its output
    numbers = {d.id for d in every(space.decisions).values() if d.kind in ("value", "depth")}
    if not numbers:
        return True
    told = {d for m in ("params", "macs") for d in cost.expression(space, m).decisions}
    return bool(numbers & told)


# ---- text


def space_text(space: Space, width: int = 80) -> str:
    """The report as text that reads well in `width` columns."""
    report = space_report(space)
    lines = [f"space {report['name']}", ""]
    facts = [
        ("parameters", ", ".join(f"{k} = {v}" for k, v in report["parameters"].items())),
        ("input", report["input"]),
        ("classes", "" if report["classes"] is None else str(report["classes"])),
        ("genotype", ", ".join(report["forms"])),
        ("require", ", ".join(report["requires"])),
        ("digest", report["digest"]),
    ]
    lines += pairs(facts, width=width)
    lines += ["", *_decisions_text(report, width)]
    for names, view in _views(report["tables"]):
        lines += ["", *wrap(", ".join(names), width=width, first=_head(names)), *view(width)]
    lines += ["", *_supernet_text(report["supernet"])]
    lines += ["", *_target_text(report["target"], width)]
    return "\n".join(lines) + "\n"


def size_text(size: int | None) -> str:
    """A number of architectures, exact, with its power where it is long."""
    if size is None:
        return "unbounded"
    return number(size) + (f"  ({power(size)})" if size >= 10**9 else "")


def _decisions_text(report: dict[str, Any], width: int) -> list[str]:
    count, owners = report["decisions"]["count"], report["decisions"]["owners"]
    if not owners:
        return ["no decisions: the space holds one architecture"]
    plural = "" if count == 1 else "s"
    lines = [f"{count} decision{plural}, owned by {_count(len(owners), 'table')}"]
    rows = []
    for group in _alike(report["tables"]):
        first = group[0]
        name = first["owner"] if len(group) == 1 else _span(group)
        options = sorted({len(r["labels"]) for r in first["rows"]})
        shown = str(options[0]) if len(options) == 1 else f"{options[0]} to {options[-1]}"
        each = "" if len(group) == 1 else " each"
        settings = first["settings"]
        rows.append(
            [
                name,
                f"{first['decisions']}{each}",
                shown,
                "unbounded" if settings is None else number(settings) + each,
            ]
        )
    head = ["owner", "decisions", "options", "settings"]
    lines += indent(table(rows, header=head, right=(1, 2, 3)))
    lines += wrap(size_text(report["size"]), width=width, first="  architectures  ")
    return lines


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def _span(group: Sequence[dict[str, Any]]) -> str:
    whole = f"{group[0]['owner']} … {group[-1]['table']} ({len(group)})"
    if len(whole) <= OWNER:
        return whole
    # Long places: where the first one begins says enough.
    first = f"{group[0]['owner']}"
    count = f" … ({len(group)})"
    return (first if len(first) + len(count) <= OWNER else first[: OWNER - len(count)]) + count


def _alike(tables: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Runs of tables of one row and equal options, which a line can stand for."""
    run: list[dict[str, Any]] = []

    def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
        return (
            len(a["rows"]) == len(b["rows"]) == 1
            and a["rows"][0]["labels"] == b["rows"][0]["labels"]
            and a["settings"] == b["settings"]
            and a["owner"].split()[0] == b["owner"].split()[0]
        )

    for found in tables:
        if run and not same(run[-1], found):
            yield run
            run = []
        run.append(found)
    if run:
        yield run


def _head(names: Sequence[str]) -> str:
    return "table " if len(names) == 1 else "tables "


@dataclass(frozen=True, slots=True)
class _View:
    """What a table says, its own name left out: tables that say the same are shown once."""

    #: Options of every row, where they are the same.
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]

    def __call__(self, width: int) -> list[str]:
        lines = []
        if self.columns:
            lines += wrap(", ".join(self.columns), width=width, first="  columns  ")
        return lines + pairs(self.rows, width=width)


def _views(tables: Sequence[dict[str, Any]]) -> Iterator[tuple[list[str], _View]]:
    """Tables of several rows by what they say."""
    found: dict[_View, list[str]] = {}
    for each in tables:
        if len(each["rows"]) > 1:
            found.setdefault(_view(each), []).append(each["table"])
    for view, names in found.items():
        yield names, view


def _view(found: dict[str, Any]) -> _View:
    options = {tuple(r["labels"]) for r in found["rows"] if r["kind"] != "subset"}
    columns = next(iter(options)) if len(options) == 1 else ()
    rules = {n: _keep_text(k) for k in found["keep"] for n in k["nodes"]}
    rules.update({n: _pick_text(p) for p in found["pick"] for n in p["nodes"]})
    nodes: dict[str, list[str]] = {}
    rows: list[tuple[str, str]] = []
    for row in found["rows"]:
        name = row["decision"].removeprefix(found["table"]).lstrip("/.")
        target, arrow, source = name.partition("<-")
        listed = ", ".join(row["labels"])
        if source == "*":
            nodes.setdefault(target, []).append(f"{_pick_word(rules.pop(target, ''))}of {listed}")
        elif columns and arrow:
            nodes.setdefault(target, []).append(source)
        elif columns:
            nodes.setdefault(target, [])
        else:
            rows.append((f"{target} <- {source}" if arrow else target or "here", listed))
    for node, sources in nodes.items():
        said = f"  ({rules[node]})" if node in rules else ""
        rows.append((node, (", ".join(sources) + said).strip() or "chosen"))
    if not columns:
        by_rule: dict[str, list[str]] = {}
        for node, text in rules.items():
            by_rule.setdefault(text, []).append(node)
        rows += [("rule", f"{text} per {', '.join(n)}") for text, n in by_rule.items()]
    return _View(columns, tuple(rows))


def _pick_word(rule: str) -> str:
    return f"{rule} " if rule else ""


def _keep_text(keep: dict[str, Any]) -> str:
    count = "all" if keep["count"] is None else keep["count"]
    exclude = f" except {', '.join(keep['except'])}" if keep["except"] else ""
    return f"keep {count}{exclude}"


def _pick_text(pick: dict[str, Any]) -> str:
    return f"pick {'any' if pick['count'] is None else pick['count']}"


def _supernet_text(network: dict[str, Any]) -> list[str]:
    lines = [
        f"supernet: {number(network['params'])} parameters, {short(network['macs'])} multiply-adds",
        f"  a training step keeps {number(network['saved_bytes'])} bytes of activations per sample",
    ]
    rows = []
    for first, last, count in _runs(network["stages"]):
        several = count > 1
        # Of several the numbers are those of each.
        end = last["name"][len(last["name"].rstrip("0123456789")) :]
        name = f"{first['name']} … {end}, each" if several else first["name"]
        sources = ", ".join(dict.fromkeys(first["from"])) if not several else ""
        rows.append(
            [
                name,
                sources,
                first["out"],
                number(first["params"]),
                short(first["macs"]),
                short(first["saved_bytes"]),
            ]
        )
    head = ["stage", "from", "output", "params", "mult-adds", "keeps"]
    return [*lines, *indent(table(rows, header=head, right=(3, 4, 5)))]


def _runs(
    stages: Sequence[dict[str, Any]],
) -> Iterator[tuple[dict[str, Any], dict[str, Any], int]]:
    """Runs of three and more stages of one kind and cost: first, last, how many."""

    def key(stage: dict[str, Any]) -> tuple[Any, ...]:
        base = stage["name"].rstrip("0123456789")
        costs = (stage["params"], stage["macs"], stage["saved_bytes"])
        return (base, stage["role"], stage["out"], *costs)

    at = 0
    while at < len(stages):
        end = at + 1
        while end < len(stages) and key(stages[end]) == key(stages[at]):
            end += 1
        if end - at < 3:
            end = at + 1
        yield stages[at], stages[end - 1], end - at
        at = end


def _target_text(network: dict[str, Any], width: int) -> list[str]:
    lines = [f"target: what is retrained, {_count(len(network['stages']), 'stage')}"]
    rows = []
    if network["min"] is not None:
        for what, name in (("params", "parameters"), ("macs", "multiply-adds")):
            low, high = network["min"][what], network["max"][what]
            rows.append((name, f"{number(low)} to {number(high)}"))
        low, high = network["min"]["saved_bytes"], network["max"]["saved_bytes"]
        rows.append(
            ("kept bytes", f"{short(low)} to {short(high)} per sample in training (bounds)")
        )
    else:
        rows.append(("parameters", f"{number(network['params'])} with every choice at its largest"))
        rows.append(("multiply-adds", number(network["macs"])))
    aux = network["aux"]
    if aux is not None:
        rows.append(
            (
                "auxiliary head",
                f"after {aux['from'][-1]}, {number(aux['params'])} parameters, not counted above",
            )
        )
    return [*lines, *pairs(rows, width=width)]
