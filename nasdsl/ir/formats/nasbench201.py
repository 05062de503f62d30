"""NAS-Bench-201: `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, or six integers (arXiv 2001.00326).

Part `op~k` of group n is the edge from state k to node n; states are numbered from the cell's
input on. Edges of a node are read in any order and written by state. Integers in square brackets,
or in none, are columns of the alpha table in its row order (0<-1, 0<-2, 1<-2, 0<-3, …); six
integers in parentheses are NASLib's in their own order and are not guessed at, see `naslib.py`.
"""

from __future__ import annotations

import re

from nasdsl.ir.formats.form import Form, only_cell, pick, states
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.member import advice, cells
from nasdsl.ir.space import Space

_PART = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)~([0-9]{1,3})", re.ASCII)
_NUMBERS = re.compile(r"\[?\s*[0-9]{1,3}(\s*,\s*[0-9]{1,3}){1,99}\s*\]?", re.ASCII)
_TUPLE = re.compile(r"\(\s*[0-9]{1,3}(\s*,\s*[0-9]{1,3}){5}\s*,?\s*\)", re.ASCII)


def fits(space: Space) -> bool:
    """Whether a space has one cell in which every state is joined to all before it."""
    return space.format == "nasbench201" and complete(space)


def complete(space: Space) -> bool:
    """Whether the decisions are the edges of one cell, from every state to every later node."""
    found = list(cells(space).items())
    if len(found) != 1 or len(found[0][1].inputs) != 1:
        return False
    table, cell = found[0]
    names = states(cell)
    wanted = {f"{table}/{names[n]}<-{names[s]}" for n in range(1, len(names)) for s in range(n)}
    return wanted == {d.id for d in space.decisions if d.kind == "op"} and len(wanted) == len(
        space.decisions
    )


def recognises(text: str) -> bool:
    return text.startswith("|") or bool(_NUMBERS.fullmatch(text) or _TUPLE.fullmatch(text))


def parse(text: str, space: Space) -> Genotype:
    """Raises GenotypeError with the position and the token that is wrong."""
    table, cell = only_cell(space)
    names = states(cell)
    text = text.rstrip("\n")
    if _TUPLE.fullmatch(text.strip()):
        raise GenotypeError(
            "integers in parentheses are NASLib's, in another order: `naslib: (…)` reads them so; "
            "columns of the alpha table stand in `[…]`"
        )
    if _NUMBERS.fullmatch(text.strip()):
        return _from_integers([int(n) for n in re.findall("[0-9]+", text)], space)
    if not text:
        raise GenotypeError("position 0: the text is empty")
    groups = text.split("+")
    if len(groups) != len(names) - 1:
        raise GenotypeError(
            f"position {len(text)}: {len(names) - 1} nodes joined by `+` are wanted, "
            f"not {len(groups)}"
        )
    labels = list(dict.fromkeys(label for d in space.decisions for label in d.labels))
    picks: list[tuple[str, str]] = []
    position = 0
    for number, group in enumerate(groups, 1):
        found = _group(group, number, position, labels)
        for source in sorted(found):
            picks.append((f"{table}/{names[number]}<-{names[source]}", found[source]))
        position += len(group) + 1
    return Genotype(space=space.name, picks=tuple(picks))


def _group(group: str, number: int, position: int, labels: list[str]) -> dict[int, str]:
    """The operation on each edge into a node."""
    if len(group) < 2 or group[0] != "|" or group[-1] != "|":
        raise GenotypeError(f"position {position}: `{group[:60]}` is not enclosed in `|`")
    found: dict[int, str] = {}
    at = position + 1
    for part in group[1:-1].split("|"):
        match = _PART.fullmatch(part)
        if match is None:
            raise GenotypeError(f"position {at}: `{part[:60]}` is not `operation~state`")
        label, source = match.group(1), int(match.group(2))
        if source >= number:
            raise GenotypeError(
                f"position {at}: `{part}` reads state {source}, node {number} sees "
                f"0 to {number - 1}"
            )
        if source in found:
            raise GenotypeError(f"position {at}: `{part}` reads state {source} twice")
        if label not in labels:
            raise GenotypeError(
                f"position {at}: unknown operation `{label}`{advice(label, labels)}"
            )
        found[source] = label
        at += len(part) + 1
    if len(found) != number:
        raise GenotypeError(
            f"position {position}: node {number} has {len(found)} of {number} edges"
        )
    return found


def _from_integers(numbers: list[int], space: Space) -> Genotype:
    if len(numbers) != len(space.decisions):
        raise GenotypeError(f"{len(numbers)} integers; the cell has {len(space.decisions)} edges")
    picks = []
    for decision, number in zip(space.decisions, numbers, strict=True):
        if number >= len(decision.labels):
            raise GenotypeError(
                f"{number} is no operation of `{decision.id}`: 0 to {len(decision.labels) - 1}"
            )
        picks.append((decision.id, decision.labels[number]))
    return Genotype(space=space.name, picks=tuple(picks))


def dumps(genotype: Genotype, space: Space) -> str:
    """Raises GenotypeError."""
    table, cell = only_cell(space)
    names = states(cell)
    groups = []
    for number in range(1, len(names)):
        parts = [
            f"{pick(genotype, f'{table}/{names[number]}<-{names[source]}')}~{source}"
            for source in range(number)
        ]
        groups.append("|" + "|".join(parts) + "|")
    return "+".join(groups)


def dumps_integers(genotype: Genotype, space: Space) -> str:
    """Columns of the alpha table in its row order. Raises GenotypeError."""
    return str([d.labels.index(pick(genotype, d.id)) for d in space.decisions])


FORM = Form(
    name="nasbench201",
    example="|op~0|+|op~0|op~1|+|op~0|op~1|op~2|",
    fits=fits,
    recognises=recognises,
    parse=parse,
    dumps=dumps,
)

INTEGERS = Form(
    name="nasbench201_integers",
    example="[3, 0, 4, 0, 0, 3]",
    fits=fits,
    recognises=lambda text: bool(_NUMBERS.fullmatch(text)),
    parse=parse,
    dumps=dumps_integers,
)
