"""TransNAS-Bench-101: `64-41414-1_02_333` (arXiv 2105.11871), micro strings.

Channels behind the stem, type of each module of two cells (1 plain, 2 twice the channels,
3 stride 2, 4 both), then a group per node whose digit k is the edge from state k: 0 none,
1 skip_connect, 2 nor_conv_1x1, 3 nor_conv_3x3. The first two parts follow from the space; a text
that says otherwise is refused.
"""

from __future__ import annotations

import re

from nasdsl.ir.formats.form import Form, only_cell, pick, states
from nasdsl.ir.formats.nasbench201 import complete
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.space import Space

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")

#: Cells of one module.
PER_MODULE = 2

_TEXT = re.compile(r"[0-9]{1,6}-[0-9]+-\w+", re.ASCII)


def fits(space: Space) -> bool:
    """Whether a space has one complete cell, operations of the benchmark and whole modules."""
    return (
        space.format == "transnasbench101"
        and complete(space)
        and all(label in OPERATIONS for d in space.decisions for label in d.labels)
        and modules(space) is not None
    )


def modules(space: Space) -> str | None:
    """The types of the modules of the network, `41414`; None where they are none of the four."""
    found = list(space.target.cells())
    types = {(1, 1): "1", (1, 2): "2", (2, 1): "3", (2, 2): "4"}
    digits = []
    for i, (_, _, cell) in enumerate(found):
        before = cell.inputs[0].inp.channels
        wider, rest = divmod(cell.out.channels, before) if before else (0, 1)
        kind = types.get((cell.stride, wider)) if rest == 0 else None
        if kind is None or (i % PER_MODULE and kind != "1"):
            return None
        if i % PER_MODULE == 0:
            digits.append(kind)
    return "".join(digits) if digits and len(found) % PER_MODULE == 0 else None


def channels(space: Space) -> int:
    """Channels that reach the first cell."""
    return next(cell.inputs[0].inp.channels for _, _, cell in space.target.cells())


def recognises(text: str) -> bool:
    return _TEXT.fullmatch(text) is not None


def parse(text: str, space: Space) -> Genotype:
    """Raises GenotypeError naming the part that is wrong."""
    table, cell = only_cell(space)
    names = states(cell)
    parts = text.strip().split("-")
    if len(parts) != 3:
        raise GenotypeError(
            f"`{text[:60]}` has {len(parts)} parts; `channels-modules-cell` are wanted, "
            f"as in {channels(space)}-{modules(space)}-1_02_333"
        )
    _check_frame(parts[0], parts[1], space)
    if parts[2] == "basic":
        raise GenotypeError("`basic` is a macro string; this space searches cells")
    groups = parts[2].split("_")
    if len(groups) != len(names) - 1:
        raise GenotypeError(
            f"`{parts[2][:60]}` has {len(groups)} nodes; {len(names) - 1} are wanted"
        )
    picks = []
    for number, group in enumerate(groups, 1):
        if len(group) != number:
            raise GenotypeError(
                f"`{group[:60]}` is node {number} and has {len(group)} digits, not {number}"
            )
        for source, digit in enumerate(group):
            if digit not in "0123":
                raise GenotypeError(
                    f"digit `{digit}` of `{group}` is no operation: 0 none, 1 skip_connect, "
                    "2 nor_conv_1x1, 3 nor_conv_3x3"
                )
            picks.append((f"{table}/{names[number]}<-{names[source]}", OPERATIONS[int(digit)]))
    return Genotype(space=space.name, picks=tuple(picks))


def _check_frame(base: str, macro: str, space: Space) -> None:
    wrong = next((d for d in macro if d not in "1234"), None)
    if wrong is not None or not macro:
        raise GenotypeError(f"module type `{wrong or macro}` of `{macro[:60]}` is none of 1 to 4")
    if macro != modules(space):
        raise GenotypeError(f"modules `{macro[:60]}`; space `{space.name}` has {modules(space)}")
    if base != str(channels(space)):
        raise GenotypeError(
            f"`{base[:20]}` channels; space `{space.name}` has {channels(space)} behind its stem "
            "(`-P C=…` sets them)"
        )


def dumps(genotype: Genotype, space: Space) -> str:
    """Raises GenotypeError."""
    table, cell = only_cell(space)
    names = states(cell)
    groups = [
        "".join(
            str(OPERATIONS.index(pick(genotype, f"{table}/{names[n]}<-{names[s]}")))
            for s in range(n)
        )
        for n in range(1, len(names))
    ]
    return f"{channels(space)}-{modules(space)}-{'_'.join(groups)}"


FORM = Form(
    name="transnasbench101",
    example="64-41414-1_02_333",
    fits=fits,
    recognises=recognises,
    parse=parse,
    dumps=dumps,
)
