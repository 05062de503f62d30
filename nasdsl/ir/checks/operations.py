"""Operations: the table of primitives, and shapes that chain and fit together."""

from __future__ import annotations

from collections.abc import Iterator

from nasdsl.ir.checks.view import View, listed
from nasdsl.ir.op import Choice, Forms, Nested, Op, Par, Prim, Seq, Varied
from nasdsl.ir.optable import OPS, ShapeError
from nasdsl.ir.shape import Shape


def primitive(view: View) -> Iterator[str]:
    """Every primitive is in the op table, with its parameters, and has the shape of its rule."""
    known: dict[tuple[object, ...], str | None] = {}
    for place, op in view.ops:
        if not isinstance(op, Prim):
            continue
        key = (op.kind, op.attrs, op.inp, op.out)
        if key not in known:
            known[key] = _prim(op)
        message = known[key]
        if message is not None:
            yield f"{place}: {message}"


def _prim(op: Prim) -> str | None:
    spec = OPS.get(op.kind)
    if spec is None:
        return f"`{op.kind}` is not in the op table"
    names, wanted = tuple(k for k, _ in op.attrs), tuple(p.name for p in spec.params)
    if names != wanted:
        return f"`{op.kind}` has the parameters {listed(names)}, not {listed(wanted)}"
    try:
        out = spec.shape(dict(op.attrs), op.inp)
    except (ShapeError, TypeError, KeyError, ValueError, IndexError) as error:
        return f"`{op.kind}` cannot take {op.inp}: {error}"
    if out != op.out:
        return f"`{op.kind}` on {op.inp} yields {out}, not {op.out}"
    return None


def sequence(view: View) -> Iterator[str]:
    """In a sequence each part takes what the one before yields."""
    for place, op in view.ops:
        if isinstance(op, Seq):
            shape = op.inp
            for i, part in enumerate(op.parts):
                if part.inp != shape:
                    yield f"{place}: part {i} takes {part.inp}, {shape} arrives"
                shape = part.out
            if shape != op.out:
                yield f"{place}: the sequence ends with {shape}, not {op.out}"


def parallel(view: View) -> Iterator[str]:
    """Parallel parts take the same input and fit together."""
    for place, op in view.ops:
        if not isinstance(op, Par):
            continue
        if op.how not in ("sum", "concat", "picked"):
            yield f"{place}: `{op.how}` joins nothing"
        if not op.parts:
            yield f"{place}: nothing is parallel"
            continue
        for i, part in enumerate(op.parts):
            if part.inp != op.inp:
                yield f"{place}: branch {i} takes {part.inp}, {op.inp} arrives"
        out = joined_shape(op.how, [p.out for p in op.parts])
        if out != op.out:
            yield f"{place}: the branches give {out}, not {op.out}"


def joined_shape(how: str, shapes: list[Shape]) -> Shape | None:
    """The shape that an aggregator makes; None where the shapes do not fit together."""
    first = shapes[0]
    if how in ("concat", "split"):
        if any(s.kind != first.kind or s.space != first.space for s in shapes):
            return None
        return first.with_channels(sum(s.channels for s in shapes))
    return first if all(s == first for s in shapes) else None


def choice(view: View) -> Iterator[str]:
    """The options of a choice have one shape, and a label each."""
    for place, op in view.ops:
        if not isinstance(op, Choice):
            continue
        if len(op.labels) != len(op.options):
            yield f"{place}: {len(op.labels)} labels for {len(op.options)} options"
        if len(set(op.labels)) != len(op.labels):
            yield f"{place}: a label stands twice in {listed(op.labels)}"
        # One option is left where a search has settled a decision.
        if not op.options:
            yield f"{place}: `{op.decision}` has no options; that is no choice"
        for label, option in zip(op.labels, op.options, strict=False):
            if option.inp != op.inp or option.out != op.out:
                yield (
                    f"{place}: option `{label}` is {option.inp} -> {option.out}, "
                    f"the choice {op.inp} -> {op.out}"
                )


def varied(view: View) -> Iterator[str]:
    """What varies has an option per setting: one kind, valid, none larger than the whole."""
    for place, op in view.ops:
        if not isinstance(op, Varied | Forms):
            continue
        what = op.options[0].kind if isinstance(op, Varied) and op.options else "forms"
        settings = 1
        for names in op.labels:
            settings *= len(names)
        count = len(op.options) if isinstance(op, Varied) else len(op.form)
        if len(op.labels) != len(op.decisions) or count != settings or not op.options:
            yield f"{place}: {what}: {count} options for {settings} settings"
            continue
        if isinstance(op, Forms) and set(op.form) != set(range(len(op.options))):
            yield f"{place}: forms: {len(op.options)} forms, the settings name others"
        if isinstance(op, Varied):
            if len({o.kind for o in op.options}) > 1:
                yield f"{place}: {what}: its options are of several kinds"
            for prim in dict.fromkeys(op.options):
                message = _prim(prim)
                if message is not None:
                    yield f"{place}: {message}"
        every: tuple[Op, ...] = op.options
        for option in dict.fromkeys(every):
            if not (_within(option.inp, op.inp) and _within(option.out, op.out)):
                yield f"{place}: {what}: {option.inp} -> {option.out} is not within the whole"


def _within(small: Shape, large: Shape) -> bool:
    same = small.kind == large.kind and len(small.dims) == len(large.dims)
    return same and all(a <= b for a, b in zip(small.dims, large.dims, strict=True))


def nested(view: View) -> Iterator[str]:
    """A cell used as an operation has one input and the shapes of its place."""
    for place, op in view.ops:
        if not isinstance(op, Nested):
            continue
        if len(op.cell.inputs) != 1:
            yield f"{place}: cell `{op.cell.name}` has {len(op.cell.inputs)} inputs, not one"
        elif op.cell.inputs[0].inp != op.inp:
            yield f"{place}: cell `{op.cell.name}` takes {op.cell.inputs[0].inp}, not {op.inp}"
        if op.cell.out != op.out:
            yield f"{place}: cell `{op.cell.name}` yields {op.cell.out}, not {op.out}"
