"""Reads and writes genotypes in every form that a space has; text is parsed, never evaluated.

A text is recognised by its looks among the forms that fit the space, or says its form itself:
`naslib: (4, 0, 3, 1, 4, 3)`. A name (`DARTS_V2`) stands for a published architecture.
"""

from __future__ import annotations

import re

from nasdsl.ir import published
from nasdsl.ir.formats import (
    darts,
    digits,
    nasbench1shot1,
    nasbench101,
    nasbench201,
    nasbench301,
    naslib,
    nats_size,
    neutral,
    transnasbench101,
)
from nasdsl.ir.formats.form import Form
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.member import advice, check
from nasdsl.ir.space import Space

#: Longest text that is read; the longest published genotype has about 1,000 characters.
MAX_TEXT = 100_000

#: In the order in which texts are tried.
FORMS: tuple[Form, ...] = (
    darts.FORM,
    nasbench201.FORM,
    nasbench201.INTEGERS,
    nasbench101.FORM,
    nasbench1shot1.FORM,
    nasbench301.FORM,
    transnasbench101.FORM,
    nats_size.FORM,
    digits.FORM,
    naslib.FORM,
    neutral.FORM,
)

NAMES = tuple(form.name for form in FORMS)

_TAGGED = re.compile(r"([A-Za-z][A-Za-z0-9_]*)\s*:\s*(?=\S)", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.+-]*", re.ASCII)


def forms(space: Space) -> tuple[str, ...]:
    """What architectures of a space can be written in, its own form first; `nas` is always there."""
    found = [form.name for form in FORMS if form.fits(space)]
    return tuple(sorted(found, key=lambda name: name != space.format))


def parse(text: str, space: Space, form: str | None = None) -> Genotype:
    """The genotype of a text in one of the space's forms, or of a published name.

    `form` says which, where a text might be several. Raises GenotypeError naming the token that is
    wrong.
    """
    if len(text) > MAX_TEXT:
        raise GenotypeError(f"{len(text)} characters are too many for a genotype")
    stripped = text.strip()
    tagged = _TAGGED.match(stripped)
    if form is None and tagged is not None and tagged.group(1) in NAMES:
        form, stripped = tagged.group(1), stripped[tagged.end() :]
        text = stripped
    if form is not None:
        return check(_form(form, space).parse(stripped, space), space)
    if is_name(stripped):
        return parse(published.find(stripped, space.name).text, space)
    legal = [f for f in FORMS if f.fits(space)]
    for each in legal:
        if each.recognises(stripped):
            return check(each.parse(text, space), space)
    own = next((f for f in legal if f.name == space.format and f is not neutral.FORM), None)
    other = next((f for f in FORMS if f not in legal and f.recognises(stripped)), None)
    if other is None and own is not None:
        return check(own.parse(text, space), space)  # its message says what is wrong
    looks = f"looks like `{other.name}`, but it" if other is not None else "it"
    raise GenotypeError(
        f"not a genotype of `{space.name}`: {looks} is written as {', '.join(forms(space))}"
    )


def is_name(text: str) -> bool:
    """Whether a text is one word, as names of published architectures are and no form is."""
    return _NAME.fullmatch(text) is not None


def dumps(genotype: Genotype, space: Space, form: str | None = None) -> str:
    """A genotype as text in a form (default: the space's own), with a newline at its end.

    Raises GenotypeError where the space has no such form, or the form no place for the genotype.
    """
    return _form(form or space.format, space).dumps(genotype, space) + "\n"


def native(genotype: Genotype, space: Space) -> str | None:
    """A genotype in a line of the space's own form; None where it has none."""
    if space.format == neutral.FORM.name:
        return None
    try:
        return dumps(genotype, space).strip()
    except GenotypeError:
        return None


def brief(genotype: Genotype, space: Space) -> str:
    """A genotype for a person: the space's own text, else a line per node.

    `c/x[2] = conv_3x3(a) + skip(x[1])`; decisions outside cells as `body[2] = ir_3x3_t3`.
    """
    text = native(genotype, space)
    if text is not None:
        return text
    nodes: dict[str, list[str]] = {}
    for identity, label in genotype.picks:
        node, arrow, source = identity.partition("<-")
        if source == "*":
            nodes.setdefault(identity, []).append(label)
        else:
            nodes.setdefault(node, []).append(f"{label}({source})" if arrow else label)
    lines = [f"{node} = {' + '.join(terms)}" for node, terms in nodes.items()]
    lines += [f"{table}/out = concat({', '.join(names)})" for table, names in genotype.outputs]
    return "\n".join(lines)


def _form(name: str, space: Space) -> Form:
    found = next((f for f in FORMS if f.name == name), None)
    if found is None:
        raise GenotypeError(f"there is no form `{name[:60]}`{advice(name, NAMES)}")
    if not found.fits(space):
        raise GenotypeError(
            f"`{space.name}` cannot be written as `{name}`; it can as {', '.join(forms(space))}"
        )
    return found


__all__ = [
    "FORMS",
    "MAX_TEXT",
    "NAMES",
    "brief",
    "check",
    "dumps",
    "forms",
    "is_name",
    "native",
    "parse",
]
