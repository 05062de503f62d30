"""Writes the generated parts of the documentation: `spaces/README.md`, tables of `grammars/README.md`.

python tools/make_catalogue.py            write both files
python tools/make_catalogue.py --check    exit 1 where one of them is not up to date
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from papers import PAPERS  # noqa: E402
from space_bounds import bounds  # noqa: E402

from nasdsl import driver, resources  # noqa: E402
from nasdsl.ir import cost, schema  # noqa: E402
from nasdsl.ir.config import Settings, show  # noqa: E402
from nasdsl.ir.optable import OPS, SAME, WIDTH, OpSpec  # noqa: E402
from nasdsl.ir.optable import Param as OpParam  # noqa: E402
from nasdsl.lowering.program import Program  # noqa: E402
from nasdsl.report.suite_text import study_text  # noqa: E402
from nasdsl.suite.statistics.study import study  # noqa: E402
from nasdsl.suite.table import read  # noqa: E402
from nasdsl.training.plan import refused  # noqa: E402

CATALOGUE = ROOT / "spaces" / "README.md"
REFERENCE = ROOT / "grammars" / "README.md"
#: Results of suites (CSV), what is said about them (Markdown), and their reports (HTML).
FOUND = ROOT / "spaces" / "suites" / "found"

#: Where a space was published.
PUBLISHED = {
    "darts": "DARTS, arXiv 1806.09055",
    "darts_imagenet": "DARTS, arXiv 1806.09055",
    "nasnet": "NASNet, arXiv 1707.07012; AmoebaNet, arXiv 1802.01548",
    "nasbench201": "NAS-Bench-201, arXiv 2001.00326",
    "nats_size": "NATS-Bench, arXiv 2009.00437",
    "nasbench101": "NAS-Bench-101, arXiv 1902.09635",
    "nasbench1shot1": "NAS-Bench-1Shot1, arXiv 2001.10422",
    "nb1shot1_s1": "NAS-Bench-1Shot1, arXiv 2001.10422",
    "nb1shot1_s2": "NAS-Bench-1Shot1, arXiv 2001.10422",
    "nb1shot1_s3": "NAS-Bench-1Shot1, arXiv 2001.10422",
    "robust_s1": "RobustDARTS, arXiv 1909.09656",
    "robust_s2": "RobustDARTS, arXiv 1909.09656",
    "robust_s3": "RobustDARTS, arXiv 1909.09656",
    "robust_s4": "RobustDARTS, arXiv 1909.09656",
    "tnb101_micro": "TransNAS-Bench-101, arXiv 2105.11871",
    "tnb101_segment": "TransNAS-Bench-101, arXiv 2105.11871",
    "tnb101_normal": "TransNAS-Bench-101, arXiv 2105.11871",
    "tnb101_jigsaw": "TransNAS-Bench-101, arXiv 2105.11871",
    "nasbench_macro": "NAS-Bench-Macro, arXiv 2103.11922",
    "ofa_mobilenet_v3": "Once-for-all, arXiv 1908.09791",
    "vit_tiny": "AutoFormer, arXiv 2107.00651",
    "hierarchical": "after Liu et al., arXiv 1711.00436",
}
#: The nine spaces of DARTS-Bench-Suite and what they are made of.
_BENCH = (
    *("sized", "wide", "deep", "single_cell", "no_skip", "all_skip"),
    *(f"{s}_{o}" for s in ("wide", "deep", "single_cell") for o in ("no_skip", "all_skip")),
)
PUBLISHED.update(dict.fromkeys(_BENCH, "DARTS-Bench-Suite, arXiv 2507.16533"))

#: Files with spaces, in the order of the catalogue, and what they have in common.
FAMILIES = {
    "darts.nas": "DARTS",
    "bench_suite.nas": "DARTS-Bench-Suite",
    "robust_darts.nas": "RobustDARTS",
    "nasnet.nas": "NASNet",
    "nasbench201.nas": "NAS-Bench-201 and NATS-Bench",
    "nasbench101.nas": "NAS-Bench-101 and NAS-Bench-1Shot1",
    "transbench101.nas": "TransNAS-Bench-101",
    "mobile.nas": "Inverted residuals",
    "transformers.nas": "Transformers",
    "small.nas": "Small spaces and other data",
    "quickstart.nas": "Quick start",
    "suites/kinds.nas": "Images, series and tables",
}

#: One line for definitions that no comment stands above.
ABOUT = {
    "darts": "two cells of four nodes on CIFAR-10",
    "sized": "`darts` whose supernet is also the target",
    "wide": "18 channels, 4 cells",
    "deep": "7 channels, 18 cells",
    "single_cell": "26 channels, one cell of eight nodes",
    "no_skip": "`darts` without skip connections",
    "all_skip": "`darts` with a skip connection beside every choice",
    "nasbench_macro": "eight layers, three choices each",
    "nasbench201": "one cell of six edges",
    "nb1shot1_s1": "two parents for the last two vertices and the output",
    "nb1shot1_s2": "one, two, two and three parents",
    "nb1shot1_s3": "five vertices",
    "nasnet": "cells of five nodes with NASNet's operations",
    "small": "`darts` small enough for two cores, on 16 x 16 images",
    "robust_s1": "two operations per edge, chosen edge by edge",
    "robust_s2": "skip connection or 3x3 separable convolution",
    "robust_s3": "robust_s2 with `none`",
    "robust_s4": "noise or 3x3 separable convolution",
    "tabular": "a residual multi-layer perceptron on tables",
    "tnb101_segment": "`tnb101_micro` with a decoder for semantic segmentation",
    "tnb101_normal": "`tnb101_micro` with a decoder for surface normals",
    "recipe idarts": "iDARTS (arXiv 2106.10784): implicit gradient by a truncated Neumann series",
    "recipe p_darts": "P-DARTS (arXiv 1904.12760): deeper and with fewer operations in each phase; "
    "everything starts afresh",
    "recipe sgas": "SGAS (arXiv 1912.00195): one edge is decided at a time, which frees memory for "
    "larger batches",
    "recipe spos": "single-path one-shot (arXiv 1904.00420): train uniformly sampled paths, then "
    "search the trained supernet",
    "recipe fairnas": "FairNAS (arXiv 1907.01845): every alternative is trained equally often before "
    "one update",
    "recipe darts_minus": "DARTS- (arXiv 2009.01027): an auxiliary skip beside every mixed operation "
    "that fades out",
    "recipe darts": "DARTS, first order (arXiv 1806.09055)",
    "recipe darts_second": "DARTS, second order (arXiv 1806.09055)",
    "recipe single_level": "weights and architecture on the same batch",
    "recipe sdarts_rs": "SmoothDARTS, random (arXiv 2002.05283)",
    "recipe sdarts_adv": "SmoothDARTS, adversarial (arXiv 2002.05283)",
    "recipe fair_darts": "FairDARTS (arXiv 1911.12126)",
    "recipe beta_darts": "beta-DARTS (arXiv 2203.01665)",
    "recipe oles": "operation-level early stopping (Jiang et al., NeurIPS 2023)",
    "recipe lambda_darts": "Lambda-DARTS (arXiv 2210.07998)",
    "recipe robust_darts_l2": "RobustDARTS with a stronger decay (arXiv 1909.09656)",
    "recipe robust_darts_es": "RobustDARTS with early stopping (arXiv 1909.09656)",
    "recipe robust_darts_ada": "RobustDARTS with an adaptive decay (arXiv 1909.09656)",
    "recipe skip_stop": "stops on too many skip connections (DARTS+, arXiv 1909.06035)",
    "recipe snas": "SNAS (arXiv 1812.09926)",
    "recipe gdas": "GDAS (arXiv 1910.04465)",
    "recipe reinmax": "GDAS with the ReinMax estimator (arXiv 2304.08612)",
    "recipe drnas": "DrNAS (arXiv 2006.10355)",
    "recipe drnas_nb201": "DrNAS as on NAS-Bench-201",
    "recipe darts_pt": "perturbation-based selection (arXiv 2108.04392)",
    "recipe proxyless": "ProxylessNAS (arXiv 1812.00332)",
    "recipe pc_darts": "PC-DARTS (arXiv 1907.05737)",
    "recipe pc_darts_imagenet": "PC-DARTS on ImageNet",
    "recipe successive_halving": "successive halving of drawn architectures (arXiv 1502.07943)",
    "recipe edge_attention": "attention over the options of an edge",
    "recipe lora_toggle": "low-rank adapters switched on and off",
    "recipe quick": "`darts` in four epochs",
    "recipe robust_oles": "SmoothDARTS and operation-level early stopping",
    "recipe bench_darts": "DARTS as in DARTS-Bench-Suite",
    "recipe bench_gdas": "GDAS as in DARTS-Bench-Suite",
    "recipe bench_drnas": "DrNAS as in DARTS-Bench-Suite",
    "recipe bench_pc_darts": "PC-DARTS as in DARTS-Bench-Suite",
    "recipe bench_fair": "FairDARTS as in DARTS-Bench-Suite",
    "recipe bench_oles": "operation-level early stopping as in DARTS-Bench-Suite",
    "recipe bench_sdarts": "SmoothDARTS as in DARTS-Bench-Suite",
    "dataset cifar10": "CIFAR-10",
    "dataset cifar100": "CIFAR-100",
    "dataset svhn": "SVHN",
    "dataset imagenet16_120": "ImageNet at 16 x 16, 120 classes",
    "dataset imagenet": "ImageNet, a folder per class",
    "dataset covertype": "forest cover types, from OpenML",
    "dataset sensors": "nine sensor channels, from an `.npz` file",
    "dataset characters": "characters of a text file",
    "dataset taskonomy_scene": "Taskonomy: scene classes",
    "dataset taskonomy_object": "Taskonomy: object classes",
    "dataset taskonomy_segment": "Taskonomy: semantic segmentation",
    "dataset taskonomy_normal": "Taskonomy: surface normals",
    "dataset taskonomy_jigsaw": "Taskonomy: nine shuffled pieces",
    "split halves": "two quarters for the search, everything for retraining",
    "split shuffled_halves": "`disjoint_halves` of a shuffled order",
    "split stratified_halves": "`disjoint_halves` with equal classes in every part",
    "train darts_cifar": "DARTS on CIFAR-10: 600 epochs, cutout, auxiliary head",
    "train darts_imagenet": "DARTS on ImageNet: 250 epochs",
    "train nasbench201": "200 epochs as in NAS-Bench-201",
    "train short": "`nasbench201` in twelve epochs",
    "train quick_train": "a few epochs for a first look",
    "suite darts_bench": "DARTS-Bench-Suite: nine spaces, seven recipes",
}


# ---- Markdown


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table whose columns line up in the source; columns in `right` are numbers."""
    body = [list(r) for r in rows]
    widths = [max(3, *(len(r[i]) for r in [head, *body])) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [
            c.rjust(w) if i in right else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = ["-" * (w - 1) + ":" if i in right else "-" * w for i, w in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, body)])


def cell(text: str) -> str:
    """Text that does not end a table cell."""
    return text.replace("|", "\\|")


def grouped(number: int) -> str:
    return f"{number:,}"


def counted(size: int | None) -> str:
    """Exact up to a billion, scientific above."""
    if size is None:
        return "unbounded"
    if size <= 10**9:
        return grouped(size)
    power = len(str(size)) - 1
    return f"{size / 10**power:.2f}e{power}"


# ---- spaces


def comment_above(text: str, offset: int) -> str:
    """The comment lines directly above the line of an offset, as one line."""
    lines = text[: text.rfind("\n", 0, offset) + 1].splitlines()
    found: list[str] = []
    while lines and lines[-1].startswith("#"):
        found.insert(0, lines.pop().lstrip("# ").strip())
    return " ".join(found)


def about(kind: str, name: str, definition: Any) -> str:
    span = definition.span
    written = comment_above(span.source.text, span.start)
    known = ABOUT.get(name if kind == "space" else f"{kind} {name}")
    if written and not known:
        return written
    if known:
        return known
    parents = [p.text for p in definition.node.parents]
    return " and ".join(f"`{p}`" for p in parents)


def short(number: int) -> str:
    """Three digits and a suffix: `3.35M`; exact below a thousand."""
    for size, suffix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            scaled = number / size
            return f"{scaled:.{max(0, 2 - len(str(int(scaled))) + 1)}f}{suffix}"
    return str(number)


def span(limits: tuple[int, int] | None) -> str:
    """`58.4k to 336k`."""
    if limits is None:
        return "see below"
    low, high = limits
    return short(low) if low == high else f"{short(low)} to {short(high)}"


def item(name: str, *facts: str) -> str:
    """A list item of at most 100 columns a line: `- name`: facts."""
    text = f"- `{name}`: " + "; ".join(f.rstrip(".") for f in facts if f)
    text = text.replace("arXiv ", "arXiv:")
    return textwrap.fill(
        text, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def space_rows(program: Program, name: str) -> list[str]:
    space = program.space(name)
    if space is None:
        raise SystemExit(f"space `{name}` is broken")
    limits = bounds(program, space)
    total = cost.of_network(space.supernet)
    size = space.size()
    return [
        f"`{name}`",
        "infinite" if size is None else counted(size),
        span(limits["params"]),
        span(limits["macs"]),
        f"{short(total.params)}, {short(total.macs)}",
    ]


SIZES = ["Space", "Architectures", "Parameters", "Multiply-adds", "Supernet"]
TITLES = {
    "recipe": "Recipes",
    "dataset": "Data sets",
    "split": "Splits",
    "train": "Training settings",
    "suite": "Suites",
}
NOTES = {
    "recipe": "The number is that of epochs; *checked only* are recipes that this version cannot run.",
    "dataset": "Nothing is downloaded; `grammars/README.md` says what each source reads.",
    "train": "Epochs and batch size.",
}


def catalogue() -> str:
    """The text of `spaces/README.md`."""
    files = resources.listing("spaces", ".nas")
    programs = {file: driver.load(file).program for file in files}
    parts = [INTRODUCTION]
    order = [*FAMILIES, *(f for f in files if f not in FAMILIES)]
    for file in order:
        program = programs[file]
        own = [d for d in program.module.own if d.kind == "space"]
        if not own:
            continue
        parts.append(f"### {FAMILIES.get(file, file)}: `{file}`")
        # A paper that a whole file is about is named once.
        shared = {PUBLISHED.get(d.name, "") for d in own}
        if len(shared) == 1 and shared != {""}:
            parts.append(f"{next(iter(shared))}.".replace("arXiv ", "arXiv:"))
        each = {} if len(shared) == 1 else PUBLISHED
        items = [item(d.name, about("space", d.name, d), each.get(d.name, "")) for d in own]
        parts.append("\n".join(items))
        rows = [space_rows(program, d.name) for d in own]
        parts.append(table(SIZES, rows, right=(1, 2, 3, 4)))
    parts.append(AFTER_SPACES)
    for kind, title in TITLES.items():
        parts.append(f"## {title}")
        if kind in NOTES:
            parts.append(NOTES[kind])
        for file in files:
            own = [d for d in programs[file].module.own if d.kind == kind]
            if own:
                parts.append(f"### `{file}`")
                parts.append("\n".join(_block(programs[file], kind, d) for d in own))
    parts += found()
    parts.append(papers("\n".join(parts)))
    return "\n\n".join(parts) + "\n"


def found() -> list[str]:
    """What suites found that were really run: their words beside their results, and the statistics
    of those, as `nasdsl suite report` prints them.
    """
    tables = sorted(FOUND.glob("*.csv"))
    if not tables:
        return []
    parts = ["## What the suites found"]
    for path in tables:
        words = path.with_suffix(".md").read_text(encoding="utf-8").strip()
        printed = study_text(study(read(path, {}))).rstrip()
        command = f"nasdsl suite report {path.relative_to(ROOT).as_posix()}"
        parts += [f"### `{path.stem}`", words, f"```console\n$ {command}\n{printed}\n```"]
    return parts


INTRODUCTION = """\
# The bundled library

Search spaces, recipes, data sets, splits, training settings and suites that come with the package.
The language they are written in is described in `grammars/README.md`. This page is made by
`tools/make_catalogue.py`; do not edit it.

Commands take a space by file and name (`nasdsl run robust_darts --space robust_s2`), everything
else by name (`--recipe gdas --data cifar10`). Files import definitions with
`from "darts.nas" import darts`.

## Spaces

Numbers are those of the default parameters. *Architectures* are the discrete ones under `keep` and
`pick`, `require` left out; *infinite* where a number of a range `float a..b` is decided.
*Parameters* and *Multiply-adds* are of the network that is retrained, from the smallest
architecture to the largest, without an auxiliary head; multiply-adds are those of convolutions,
linear layers and attention for one sample. *Supernet* is what is trained in the search: parameters
and multiply-adds of all options together."""

AFTER_SPACES = """\
*See below*: where edges are decided, what a network costs depends on all of them at once;
`nasdsl inspect` says it for a genotype. The cells of NAS-Bench-101 have at most nine edges; their
networks have 227,274 to 49,979,274 parameters. Those of NAS-Bench-1Shot1 are among them."""


def _block(program: Program, kind: str, definition: Any) -> str:
    settings = program.settings(kind, definition.name)
    if settings is None:
        raise SystemExit(f"{kind} `{definition.name}` is broken")
    return item(
        definition.name, about(kind, definition.name, definition), ", ".join(_facts(settings))
    )


def papers(text: str) -> str:
    """The papers a text names by their arXiv numbers. Raises SystemExit for an unknown one."""
    named = sorted(set(re.findall(r"\b\d{4}\.\d{5}\b", text)))
    unknown = [n for n in named if n not in PAPERS]
    if unknown:
        raise SystemExit(f"papers without a title: {', '.join(unknown)} (tools/papers.py)")
    lines = []
    for number in named:
        authors, title = PAPERS[number]
        lines.append(
            textwrap.fill(
                f"- arXiv:{number}: {authors.rstrip('.')}. {title}.",
                100,
                subsequent_indent="  ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
    return "## Papers\n\n" + "\n".join(lines)


def _facts(settings: Settings) -> list[str]:
    match settings.kind:
        case "recipe":
            lengths = [p.get("epochs") for _, p in settings.phases] or [settings.get("epochs")]
            known = all(isinstance(n, Fraction) for n in lengths)
            total = str(sum(int(n) for n in lengths if n is not None)) if known else ""
            runs = "" if total and not refused(settings) else "checked only"
            return [f for f in (total and f"{total} epochs", runs) if f]
        case "dataset":
            classes = settings.get("classes")
            return [str(settings.get("shape")), f"{grouped(int(classes or 0))} classes"]
        case "train":
            return [f"{show(settings.get('epochs'))} epochs, batch {show(settings.get('batch'))}"]
        case _:
            return []


# ---- tables of the reference

#: What the shape rules of the op table do, by the name of the rule.
SHAPES = {
    "_same": "as it arrives",
    "_squeeze": "as it arrives; needs an extent",
    "_none": "`width` channels, extent / stride rounded up",
    "_conv": "`out` channels, windowed extent",
    "_dwconv": "as many channels as arrive, windowed extent",
    "_pool": "as many channels as arrive, windowed extent",
    "_deconv": "`out` channels, extent times stride",
    "_narrow": "`out` channels, the first of those that arrive",
    "_channels_from": "the channels from `first` on, extent / stride rounded up",
    "_shuffle": "as it arrives; needs an extent",
    "_linear": "`out` channels; needs features or a sequence",
    "_global_pool": "features; needs an extent",
    "_flatten": "features: every value",
    "_halve": "`out` channels (even), extent / 2 rounded up; images only",
    "_patches": "sequence of `out` channels, one token per patch; images only",
    "_class_token": "sequence, one token longer",
    "_sequence": "as it arrives; sequences only",
    "_token": "features; sequences only",
    "_embed": "sequence of `out` channels; tokens only",
    "_fold": "image; pieces only",
    "_unfold": "features, n times as many; features only",
}


def op_default(spec: OpSpec, param: OpParam) -> str:
    """` = 1`, or nothing for a parameter that must be given."""
    if param.name == "affine" and param.default is None:
        return " = see text"
    if spec.kind in ("none", "noise") and param.name in ("out", "stride"):
        return " = the place's"
    match param.default:
        case None:
            return ""
        case bool():
            return f" = {'true' if param.default else 'false'}"
        case float():
            return f" = {param.default:g}"
        case value if value == WIDTH:
            return " = width"
        case value if value == SAME:
            return " = same"
        case value:
            return f" = {value}"


def ops_tables() -> str:
    what, args = [], []
    for kind, spec in OPS.items():
        what.append([f"`{kind}`", cell(spec.doc), cell(SHAPES[spec.shape.__name__])])
        if spec.params:
            names = ", ".join(f"{p.name}{op_default(spec, p)}" for p in spec.params)
            args.append([f"`{kind}`", cell(names)])
    return "\n\n".join(
        [table(["Op", "What it does", "Yields"], what), table(["Op", "Parameters"], args)]
    )


TYPES = {
    "int": "whole",
    "number": "number",
    "fraction": "fraction",
    "bool": "boolean",
    "text": "string",
    "time": "time",
    "schedule": "schedule",
    "positive": "schedule > 0",
    "pair": "two numbers",
    "names": "names",
    "name": "name",
    "measure": "a measure",
    "component:init": "init",
    "any": "",
}


def default_text(param: schema.Param) -> str:
    if param.default is schema.REQUIRED:
        return ""
    return param.default if isinstance(param.default, str) else show(param.default)


def components_tables(slots: Sequence[str]) -> str:
    """A table for each slot: a line per component and one per argument."""
    parts = []
    for slot in slots:
        rows = []
        for spec in schema.SLOTS[slot].values():
            rows.append([f"`{spec.name}`", "yes" if spec.runs else "", "", "", "", cell(spec.doc)])
            for i, param in enumerate(spec.params):
                kind = " or ".join(param.words) if param.type == "word" else TYPES[param.type]
                place = " *" if i < spec.positional else ""
                rows.append(["", "", f"`{param.name}`{place}", kind, default_text(param), ""])
        head = ["Component", "Runs", "Argument", "Value", "Default", "What it does"]
        parts.append(f"#### `{slot}`\n\n{table(head, rows)}")
    return "\n\n".join(parts)


REFS = {
    "space": "spaces",
    "recipe": "recipes",
    "dataset": "data sets",
    "split": "splits",
    "train": "training settings",
}
VALUES = {
    "int": "a whole number",
    "number": "a number",
    "schedule": "a number or a schedule",
    "precision": "`float32`, `bf16` or `fp16`",
    "any": "see below",
    "seeds": "a list of whole numbers",
    "bool": "`true` or `false`",
    "augment": "augmentations, joined by `>>`",
    "prune": "a `prune` component, or `steps` of them",
    "shape": "a shape",
    "range": "an order of `data`, or a range or fold of one",
    "choose": "`all`, `min(M)` or `max(M)`",
}


def slots_table(kind: str) -> str:
    rows = []
    for slot, type_ in schema.BLOCKS[kind].items():
        head, _, of = type_.partition(":")
        value = {
            "component": f"one `{of}` component",
            "total": f"`{of}` components, joined by `+`",
            "list": f"a list of `{of}` components",
            "refs": f"a list of {REFS.get(of, '')}",
        }.get(head) or VALUES[head]
        rows.append([f"`{slot}`", value])
    return table(["Slot", "Value"], rows)


RECIPE_SLOTS = (
    *("sampler", "mix", "perturb", "regularize", "align", "loss", "weights", "init", "step"),
    *("freeze", "stop", "partial", "entangle", "lora", "prune", "select", "measure"),
)
DATA_SLOTS = ("source", "normalize", "augment")
SUITE_SLOTS = ("report",)


def sections() -> dict[str, str]:
    """The generated parts of the reference, by the name in their markers."""
    rest = set(schema.SLOTS) - {*RECIPE_SLOTS, *DATA_SLOTS, *SUITE_SLOTS}
    if rest:
        raise SystemExit(f"slots without a table: {', '.join(sorted(rest))}")
    return {
        "ops": ops_tables(),
        "recipe-components": components_tables(RECIPE_SLOTS),
        "data-components": components_tables(DATA_SLOTS),
        "suite-components": components_tables(SUITE_SLOTS),
        **{f"{kind}-slots": slots_table(kind) for kind in schema.BLOCKS},
    }


def filled(text: str) -> str:
    """A text with its generated parts replaced. Raises SystemExit for a marker without a partner."""
    for name, body in sections().items():
        start, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.S)
        if len(pattern.findall(text)) != 1:
            raise SystemExit(f"{REFERENCE.name}: `{start}` … `{end}` is wanted once")
        text = pattern.sub(lambda _, b=body, s=start, e=end: f"{s}\n\n{b}\n\n{e}", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the generated parts of the documentation.")
    parser.add_argument("--check", action="store_true", help="only say what is not up to date")
    options = parser.parse_args(arguments)
    written = REFERENCE.read_text(encoding="utf-8") if REFERENCE.exists() else ""
    stale = 0
    for path, text in ((CATALOGUE, catalogue()), (REFERENCE, filled(written))):
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if options.check:
            print(f"{path.relative_to(ROOT)} is not up to date; run tools/make_catalogue.py")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if options.check and stale else 0


__all__ = ["catalogue", "filled", "main", "sections"]

if __name__ == "__main__":
    sys.exit(main())
