"""The table of measurements in README.md, between two marks; nothing in it is typed by hand.

What was measured lies in `tools/bench_table.json`; the block in README.md is `block()` of it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
FOUND = HERE / "bench_table.json"
BEGIN = "<!-- made by tools/bench_step.py: begin -->"
END = "<!-- made by tools/bench_step.py: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A step to measure."""

    label: str
    space: str
    batch: int = 16
    recipe: str | None = None
    bilevel: bool = False
    kernels: bool = True
    apart: bool = False
    profiles: tuple[str, ...] = ("balanced", "memory", "launch")

    @property
    def title(self) -> str:
        """What tells the row apart."""
        return f"{self.label}, batch {self.batch}"

    @property
    def options(self) -> list[str]:
        """What `bench_step.py` is asked for."""
        found = ["--space", self.space, "--batch", str(self.batch)]
        found += [] if self.recipe is None else ["--recipe", self.recipe]
        found += [word for profile in self.profiles for word in ("--profile", profile)]
        found += ["--bilevel"] * self.bilevel + ["--apart"] * self.apart
        return found + ["--no-kernels"] * (not self.kernels)


ROWS = (
    Row(label="DARTS", space="darts", apart=True),
    Row(label="DARTS", space="darts", batch=64, profiles=("balanced", "memory")),
    Row(label="DARTS without a compiler", space="darts", kernels=False),
    Row(label="DARTS, a step of the search", space="darts", recipe="darts", bilevel=True),
    Row(label="DARTS, GDAS", space="darts", recipe="gdas"),
    Row(label="wide", space="wide"),
    Row(label="deep", space="deep"),
    Row(label="single cell", space="single_cell"),
    Row(label="NAS-Bench-201", space="nasbench201"),
    Row(label="NAS-Bench-1Shot1", space="nb1shot1_s1"),
    Row(label="RobustDARTS S1", space="robust_s1"),
    Row(label="RobustDARTS S2", space="robust_s2"),
    Row(label="RobustDARTS S3", space="robust_s3"),
    Row(label="RobustDARTS S4", space="robust_s4"),
    Row(label="mobile", space="mobile_small"),
)


def write(order: Any, only: list[str] | None = None) -> None:
    """Measure every row, keep what was found, and write the block into README.md.

    A row has a process of its own: it begins with no memory of the one before. What is found is
    written at once, so that nothing is lost where a later row fails. With `only`, rows of other
    labels stay as they were measured; raises SystemExit where that was elsewhere or otherwise.
    """
    from bench_step import lines

    how = ["--repeats", str(order.repeats), "--threads", str(order.threads)]
    how += ["--device", order.device, "--json"]
    found: dict[str, Any] = {"schema": 3, "repeats": order.repeats, "rows": []}
    if only is not None:
        found = dict(json.loads(FOUND.read_text(encoding="utf-8")))
        if found["repeats"] != order.repeats:
            raise SystemExit(f"the other rows were measured with --repeats {found['repeats']}")
        wrong = sorted(set(only) - {row.label for row in ROWS} - {"compile"})
        if wrong:
            raise SystemExit(f"there is no row {wrong[0]!r}; {', '.join(r.label for r in ROWS)}")
    for row in ROWS:
        if only is not None and row.label not in only:
            continue
        made = _measured("bench_step.py", *row.options, *how)
        machine = found.setdefault("machine", made["machine"])
        if _hardware(machine) != _hardware(made["machine"]):
            raise SystemExit(f"the other rows were measured on {machine}")
        print("\n".join(lines(made)), file=sys.stderr, flush=True)
        date = time.strftime("%Y-%m-%d", time.gmtime())
        _keep(_with(found, {"label": row.label, "title": row.title, "date": date, **made}))
    if only is None or "compile" in only:
        found["compile"] = {
            "cells_20": _measured("bench_compile.py", "--json", "--cells", "20", "--build"),
            "cells_8": _measured("bench_compile.py", "--json", "--cells", "8", "--prune", "3"),
        }
        _keep(found)


def errors_again(order: Any, only: list[str] | None = None) -> None:
    """Measure errors once more; times and counts stay as they were found."""
    found = dict(json.loads(FOUND.read_text(encoding="utf-8")))
    known = {row["title"]: row for row in found["rows"]}
    done = set()
    for row in ROWS:
        if row.bilevel or row.title not in known or (only is not None and row.label not in only):
            continue
        if _alike(row) in done:
            continue
        done.add(_alike(row))
        options = [*row.options, "--device", order.device, "--errors-only"]
        made = _measured("bench_step.py", *options)["rows"]
        errors = {(r["profile"], r["layout"]): r for r in made}
        # They are taken of few images: rows that differ in the batch alone have the same.
        for other in ROWS:
            if _alike(other) == _alike(row) and other.title in known:
                for old in known[other.title]["rows"]:
                    old |= errors.get((old["profile"], old["layout"]), {})
        print(row.title, file=sys.stderr, flush=True)
        _keep(found)


def _alike(row: Row) -> tuple[Any, ...]:
    return row.space, row.recipe, row.kernels, row.bilevel


def _with(found: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What was found with a row in its place."""
    rows = {row["title"]: row for row in found["rows"]} | {new["title"]: new}
    found["rows"] = [rows[row.title] for row in ROWS if row.title in rows]
    return found


def _keep(found: dict[str, Any]) -> None:
    FOUND.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    README.write_text(placed(README.read_text(encoding="utf-8"), found), encoding="utf-8")


def _hardware(machine: str) -> str:
    """A machine without the rates that were measured on it: they vary from time to time."""
    return machine.partition(";")[0]


def placed(text: str, found: dict[str, Any]) -> str:
    """A text with the block between the marks; where it has none, under `## Speed`."""
    if BEGIN not in text:
        head, speed, rest = text.partition("## Speed\n")
        return f"{head}{speed}\n{block(found)}\n{rest}"
    before, rest = text.split(BEGIN)
    return before + block(found) + rest.split(END)[1]


def _measured(tool: str, *options: str) -> dict[str, Any]:
    """What a tool of this folder prints as JSON."""
    command = [sys.executable, str(HERE / tool), *options]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(made.stdout))


def block(found: dict[str, Any]) -> str:
    """The block of README.md, marks included."""
    dates = sorted({row["date"] for row in found["rows"]})
    made = [
        BEGIN,
        f"Measured on {' and '.join(dates)} on {found['machine']}; minimum of {found['repeats']} "
        "interleaved repeats or more, process time. Time is that of `reference` in the plain layout "
        "divided by that of the profile; in brackets against `reference` with channels last, "
        "where layout is no gain. Memory is what is kept for the backward pass, of `reference` "
        "divided by that of the profile. Error is that of the worst gradient in float32 against "
        "`reference` in float64, the median of five networks where it was taken, divided by what `reference` in "
        "float32 has with channels last. "
        "`python tools/bench_step.py --write-readme` makes this table.",
        "",
        "| step | profile | time | memory | operators | syncs | error | predicted / measured |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for each in found["rows"]:
        plain, last = each["rows"][:2]
        saved = plain["saved_MB"]
        kept = "" if saved is None else f", {saved:,.0f} MB"
        made.append(
            f"| {each['title']} | `reference` | "
            f"{plain['time_min_s']:.2f} s{kept} | {_tail(plain, last)}"
        )
        made.append(
            f"| | channels last | {last['faster_than_plain']:.2f} | 1 | {_tail(last, last)[4:]}"
        )
        for row in each["rows"][2:]:
            if row["profile"] == "apart":
                continue
            memory = "" if saved is None else f"{saved / max(row['saved_MB'], 1e-9):.2f}"
            made.append(
                f"| | `{row['profile']}` | {row['faster_than_plain']:.2f} "
                f"({row['faster_than_channels_last']:.2f}) | {memory} | {_tail(row, last)[4:]}"
            )
    made += ["", *_fusion(found["rows"], found["machine"]), *_compiled(found.get("compile"))]
    return "\n".join([*made, END])


def _tail(row: dict[str, Any], last: dict[str, Any]) -> str:
    error = ""
    if row.get("draws", 0) > 1:  # of one network alone it says little
        error = f"{row['error32_gradient'] / max(last['error32_gradient'], 1e-30):.2f}"
    return (
        f"1 | {row['kernels']:,} | {row['syncs']} | {error} | "
        f"{row['predicted_s'] / row['time_min_s']:.2f} |"
    )


def _fusion(rows: list[dict[str, Any]], machine: str) -> list[str]:
    """What is gained by fusion and what by the kernels, where the control was measured, and what
    is left above the time of the multiply-adds alone.
    """
    rate = re.search(r"([0-9]+) GFLOP/s", machine)
    said = []
    for each in rows:
        found = {r["profile"]: r for r in each["rows"]}
        if "apart" not in found:
            continue
        last, apart, whole = (
            r["time_min_s"] for r in (each["rows"][1], found["apart"], found["balanced"])
        )
        said.append(
            f"{each['title']}: with every operation a call of its own, copies in "
            f"and out included, the generated kernels take {apart:.2f} s, {last / apart:.2f} times as fast as `reference` "
            f"with channels last; as whole cells {whole:.2f} s. So fusion gains a factor of "
            f"{apart / whole:.2f}, better kernels one of {last / apart:.2f}.",
        )
        if rate is not None:
            floor = each["rows"][1]["gflop"] / float(rate[1])
            said[-1] += (
                f" The arithmetic alone, at the rate of a large product, would take {floor:.2f} s: "
                f"{floor / whole:.0%} of what whole cells take. The rest is depthwise windows, whose "
                "few operations a value do not fill the vector units, passes over memory for "
                "statistics, normalisation and sums, maps made again in the backward pass, and the "
                "first and last layers, which run as operators."
            )
    return [*said, ""] if said else []


def _compiled(found: dict[str, Any] | None) -> list[str]:
    """How long compiling takes."""
    if found is None:
        return []
    many, few = found["cells_20"], found["cells_8"]
    build = many.get("build")
    first = (
        f" The first build of the kernels took {build[0]:.0f} s." if isinstance(build, list) else ""
    )
    return [
        f"From text to a supernet that runs, kernels cached: {many['together']:.2f} s for 20 cells of "
        f"DARTS, {few['together']:.2f} s for 8; pruned to three operations an edge and planned "
        f"again {few['recompile']:.2f} s.{first} `python tools/bench_compile.py` measures it."
    ]
