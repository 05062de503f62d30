"""One digit per layer, the number of the option: `02012100` (NAS-Bench-Macro, arXiv 2103.11922)."""

from __future__ import annotations

import re

from nasdsl.ir.formats.form import Form, pick
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.space import Space

_TEXT = re.compile(r"[0-9]{2,}", re.ASCII)


def fits(space: Space) -> bool:
    """Whether all decisions of a space are choices between at most ten operations."""
    return (
        space.format == "digits"
        and len(space.decisions) > 0
        and all(d.kind == "op" and len(d.labels) <= 10 for d in space.decisions)
        and not any(below for d in space.decisions for below in d.nested)
    )


def recognises(text: str) -> bool:
    return _TEXT.fullmatch(text) is not None


def parse(text: str, space: Space) -> Genotype:
    """Raises GenotypeError naming the digit that is wrong."""
    digits = text.strip()
    if len(digits) != len(space.decisions):
        raise GenotypeError(
            f"`{digits[:60]}` has {len(digits)} digits; the space has {len(space.decisions)} layers"
        )
    picks = []
    for i, (digit, decision) in enumerate(zip(digits, space.decisions, strict=True), 1):
        if digit not in "0123456789" or int(digit) >= len(decision.labels):
            raise GenotypeError(
                f"digit {i}, `{digit}`, is no option: 0 to {len(decision.labels) - 1} stand for "
                f"{', '.join(decision.labels)}"
            )
        picks.append((decision.id, decision.labels[int(digit)]))
    return Genotype(space=space.name, picks=tuple(picks))


def dumps(genotype: Genotype, space: Space) -> str:
    """Raises GenotypeError."""
    return "".join(str(d.labels.index(pick(genotype, d.id))) for d in space.decisions)


FORM = Form(
    name="digits",
    example="02012100",
    fits=fits,
    recognises=recognises,
    parse=parse,
    dumps=dumps,
)
