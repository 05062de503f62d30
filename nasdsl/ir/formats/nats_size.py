"""NATS-Bench's size space: the widths in order, `64:64:64:64:64` (arXiv 2009.00437)."""

from __future__ import annotations

import re

from nasdsl.ir.formats.form import Form, pick
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.member import advice
from nasdsl.ir.space import Space

_TEXT = re.compile(r"[0-9]+(:[0-9]*)+", re.ASCII)


def fits(space: Space) -> bool:
    """Whether all decisions of a space are choices among whole numbers."""
    return (
        space.format == "nats_size"
        and len(space.decisions) > 1
        and all(
            d.kind == "value" and d.count is None and all(n.isdecimal() for n in d.labels)
            for d in space.decisions
        )
    )


def recognises(text: str) -> bool:
    return _TEXT.fullmatch(text) is not None


def parse(text: str, space: Space) -> Genotype:
    """Raises GenotypeError naming the number that is wrong."""
    numbers = text.strip().split(":")
    if len(numbers) != len(space.decisions):
        raise GenotypeError(
            f"`{text.strip()[:60]}` has {len(numbers)} widths; {len(space.decisions)} are wanted"
        )
    for i, (number, decision) in enumerate(zip(numbers, space.decisions, strict=True), 1):
        if number not in decision.labels:
            raise GenotypeError(
                f"width {i}, `{number[:40]}`, is none of `{decision.id}`"
                f"{advice(number, decision.labels)}"
            )
    ids = (d.id for d in space.decisions)
    return Genotype(space=space.name, picks=tuple(zip(ids, numbers, strict=True)))


def dumps(genotype: Genotype, space: Space) -> str:
    """Raises GenotypeError."""
    return ":".join(pick(genotype, d.id) for d in space.decisions)


FORM = Form(
    name="nats_size",
    example="64:64:64:64:64",
    fits=fits,
    recognises=recognises,
    parse=parse,
    dumps=dumps,
)
