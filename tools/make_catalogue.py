"""Writes the generated parts of the documentation: `spaces/README.md`, tables of `grammars/README.md`.

python tools/make_catalogue.py            write both files
python tools/make_catalogue.py --check    exit 1 where one of them is not up to date
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nasdsl import driver, resources  # noqa: E402
from nasdsl.ir import cost, schema  # noqa: E402
from nasdsl.ir.config import Settings, show  # noqa: E402
from nasdsl.ir.optable import OPS, SAME, WIDTH, OpSpec  # noqa: E402
from nasdsl.ir.optable import Param as OpParam  # noqa: E402
from nasdsl.ir.space import Decision, Space  # noqa: E402
from nasdsl.training.plan import refused  # noqa: E402

CATALOGUE = ROOT / "spaces" / "README.md"
REFERENCE = ROOT / "grammars" / "README.md"

#: Where a space was published.
PAPERS = {
    "darts": "DARTS, arXiv 1806.09055",
    "darts_imagenet": "DARTS, arXiv 1806.09055",
    "nasnet": "NASNet, arXiv 1707.07012; AmoebaNet, 1802.01548",
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
PAPERS.update(dict.fromkeys(_BENCH, "DARTS-Bench-Suite, arXiv 2507.16533"))

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
    "recipe darts": "DARTS, first order (arXiv 1806.09055)",
    "recipe darts_second": "DARTS, second order (arXiv 1806.09055)",
    "recipe single_level": "weights and architecture on the same batch",
    "recipe sdarts_rs": "SmoothDARTS, random (arXiv 2002.05283)",
    "recipe sdarts_adv": "SmoothDARTS, adversarial (arXiv 2002.05283)",
    "recipe fair_darts": "FairDARTS (arXiv 1911.12126)",
    "recipe beta_darts": "beta-DARTS (arXiv 2203.01665)",
    "recipe oles": "operation-level early stopping",
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
    "recipe quick": "`darts` in eight epochs",
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

PLURAL = {
    "recipe": "Recipes",
    "dataset": "Data sets",
    "split": "Splits",
    "train": "Training settings",
    "suite": "Suites",
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


def every(decisions: Iterable[Decision]) -> Iterable[Decision]:
    for decision in decisions:
        yield decision
        for below in decision.nested:
            yield from every(below)


def target_range(space: Space) -> str:
    """Parameters of the target network, over all architectures."""
    if any(c.picks and cost.splits(c.output) for c in cost.cells(space.target)):
        return "–"  # widths follow from which edges are picked
    low, _ = cost.extreme(space, "params", largest=False)
    high, _ = cost.extreme(space, "params", largest=True)
    if any(d.kind != "op" for d in every(space.decisions)):
        return f"up to {grouped(high)}"
    return grouped(low) if low == high else f"{grouped(low)} to {grouped(high)}"


def catalogue() -> str:
    """The text of `spaces/README.md`."""
    spaces: list[list[str]] = []
    sizes: list[list[str]] = []
    blocks: dict[str, list[list[str]]] = {kind: [] for kind in PLURAL}
    for file in resources.listing("spaces", ".nas"):
        program = driver.load(file).program
        for definition in program.module.own:
            kind, name = definition.kind, definition.name
            if kind == "space":
                space = program.space(name)
                if space is None:
                    raise SystemExit(f"{file}: space `{name}` is broken")
                line = about(kind, name, definition)
                spaces.append([f"`{name}`", f"`{file}`", cell(line), PAPERS.get(name, "")])
                total = cost.of_network(space.supernet)
                sizes.append(
                    [
                        f"`{name}`",
                        str(len(space.decisions)),
                        counted(space.size()),
                        grouped(total.params),
                        grouped(total.macs),
                        target_range(space),
                    ]
                )
            elif kind in blocks:
                settings = program.settings(kind, name)
                if settings is None:
                    raise SystemExit(f"{file}: {kind} `{name}` is broken")
                blocks[kind].append(
                    [
                        f"`{name}`",
                        f"`{file}`",
                        *_facts(settings),
                        cell(about(kind, name, definition)),
                    ]
                )
    heads = {
        "recipe": ["Recipe", "File", "Epochs", "Runs", "What it is"],
        "dataset": ["Data set", "File", "Shape", "Classes", "What it is"],
        "split": ["Split", "File", "What it is"],
        "train": ["Settings", "File", "Epochs", "Batch", "What it is"],
        "suite": ["Suite", "File", "What it is"],
    }
    numbers = {"recipe": (2,), "dataset": (3,), "train": (2, 3)}
    parts = [
        "# The bundled library",
        "Search spaces, recipes, data sets, splits, training settings and suites that come with the\n"
        "package. The language they are written in is described in `grammars/README.md`. This page is\n"
        "made by `tools/make_catalogue.py`; do not edit it.",
        "Commands take a space by file and name (`nasdsl run robust_darts --space robust_s2`), everything\n"
        "else by name (`--recipe gdas --data cifar10`). Files import definitions with\n"
        '`from "darts.nas" import darts`.',
        "## Spaces",
        table(["Space", "File", "What it is", "Paper"], spaces),
        "The same spaces in numbers, with the default values of their parameters. *Decisions* counts\n"
        "decisions that always exist. *Architectures* is the number of discrete architectures under\n"
        "`keep` and `pick`, `require` left out. *Supernet* counts everything that is trained in the\n"
        "search, multiply-adds for one sample. *Target parameters* is the range over all architectures\n"
        "of the network that is retrained; where values, depths or edges are decided as well, only the\n"
        "upper bound is given.",
        table(
            [
                "Space",
                "Decisions",
                "Architectures",
                "Supernet parameters",
                "Supernet multiply-adds",
                "Target parameters",
            ],
            sizes,
            right=(1, 2, 3, 4, 5),
        ),
    ]
    notes = {
        "recipe": "*Runs* says whether this version runs the recipe or only checks it.",
        "dataset": "Nothing is downloaded; `grammars/README.md` says what each source reads.",
    }
    for kind, title in PLURAL.items():
        parts.append(f"## {title}")
        if kind in notes:
            parts.append(notes[kind])
        parts.append(table(heads[kind], blocks[kind], right=numbers.get(kind, ())))
    return "\n\n".join(parts) + "\n"


def _facts(settings: Settings) -> list[str]:
    match settings.kind:
        case "recipe":
            lengths = [p.get("epochs") for _, p in settings.phases] or [settings.get("epochs")]
            known = all(isinstance(n, Fraction) for n in lengths)
            total = str(sum(int(n) for n in lengths if n is not None)) if known else ""
            runs = "" if total and not refused(settings) else "checked only"
            return [total, runs or "yes"]
        case "dataset":
            classes = settings.get("classes")
            return [str(settings.get("shape")), "" if classes is None else grouped(int(classes))]
        case "train":
            return [show(settings.get("epochs")), show(settings.get("batch"))]
        case _:
            return []


# ---- tables of the reference

#: What the shape rules of the op table do, by the name of the rule.
SHAPES = {
    "_same": "as it arrives",
    "_none": "`width` channels, extent / stride rounded up",
    "_conv": "`out` channels, windowed extent",
    "_dwconv": "as many channels as arrive, windowed extent",
    "_pool": "as many channels as arrive, windowed extent",
    "_deconv": "`out` channels, extent times stride",
    "_narrow": "`out` channels, the first of those that arrive",
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
    "any": "see below",
    "seeds": "a list of whole numbers",
    "bool": "`true` or `false`",
    "augment": "augmentations, joined by `>>`",
    "prune": "a `prune` component, or `steps` of them",
    "shape": "a shape",
    "range": "a range of `data`",
    "choose": "`all`, `min(M)` or `max(M)`",
}


def slots_table(kind: str) -> str:
    rows = []
    for slot, type_ in schema.BLOCKS[kind].items():
        head, _, of = type_.partition(":")
        value = {
            "component": f"one `{of}` component",
            "total": f"`{of}` components, joined by `+`",
            "refs": f"a list of {REFS.get(of, '')}",
        }.get(head) or VALUES[head]
        rows.append([f"`{slot}`", value])
    return table(["Slot", "Value"], rows)


RECIPE_SLOTS = (
    *("sampler", "mix", "perturb", "regularize", "align", "loss", "weights", "init", "step"),
    *("freeze", "stop", "partial", "entangle", "lora", "prune", "select"),
)
DATA_SLOTS = ("source", "normalize", "augment")


def sections() -> dict[str, str]:
    """The generated parts of the reference, by the name in their markers."""
    rest = set(schema.SLOTS) - {*RECIPE_SLOTS, *DATA_SLOTS}
    if rest:
        raise SystemExit(f"slots without a table: {', '.join(sorted(rest))}")
    return {
        "ops": ops_tables(),
        "recipe-components": components_tables(RECIPE_SLOTS),
        "data-components": components_tables(DATA_SLOTS),
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
