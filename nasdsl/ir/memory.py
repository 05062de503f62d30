"""Memory of activations: what is kept for the backward pass, and the peak of inference.

A model over the steps of a network (`nasdsl.ir.steps`) and what autograd keeps of each
(`nasdsl.ir.saved`). A tensor that several steps keep counts once. Weights, their gradients and the
state of an optimizer are not counted; nor is the scratch space of kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nasdsl.ir.expression import CostError, Factor, Term, times
from nasdsl.ir.op import Prim, Varied
from nasdsl.ir.saved import saved
from nasdsl.ir.space import Network, Space
from nasdsl.ir.steps import Step, Steps, When, settings, steps

#: Sequences whose positions lie behind each other, `(n, l, c)` in memory, come out of these.
TOKEN_MAJOR = frozenset({"linear", "attention", "layer_norm", "embed"})


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes kept for the backward pass: of one sample, and whatever the batch.

    `fixed` are statistics of normalisations and masks.
    """

    sample: int = 0
    fixed: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.sample + other.sample, self.fixed + other.fixed)

    def of(self, batch: int) -> int:
        """Bytes of a batch."""
        return self.sample * batch + self.fixed


def of_training(
    network: Network, *, dense: bool = False, aux: bool = False, item: int = 4
) -> dict[str, Memory]:
    """Memory of a training step by stage, the loss last; of values of `item` bytes.

    A network without decisions, or `dense` for a supernet of which every option runs; its mix is not
    counted. Raises CostError for decisions that are open.
    """
    made = steps(network, dense=dense, aux=aux)
    found: dict[str, Memory] = {"input": Memory(), **{s.name: Memory() for s in network.stages}}
    for part in kept(made, item):
        if part.when:
            raise CostError(f"decision `{part.when[0].decision}` is not resolved")
        found[part.stage] = found.get(part.stage, Memory()) + Memory(part.sample, part.fixed)
    return found


def training(network: Network, *, dense: bool = False, aux: bool = False, item: int = 4) -> Memory:
    """Memory of a training step in total."""
    total = Memory()
    for part in of_training(network, dense=dense, aux=aux, item=item).values():
        total = total + part
    return total


def terms(space: Space, network: Network, *, item: int = 4) -> Iterator[Term]:
    """Bytes per sample that a training step keeps, over the choices of a space.

    An upper estimate, exact where every node has two operations and a gradient passes all: a sum
    of which one identity is left counts as a tensor of its own, and what lies before `none` or
    `noise` counts, although nothing of it is kept where no gradient arrives.
    """
    for part in kept(steps(network, space=space), item):
        if part.sample:
            yield Term(part.sample, part.when)


# ---- what is kept


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes of one tensor or of one call, and when they are kept."""

    stage: str
    sample: int
    fixed: int = 0
    when: When = ()


@dataclass(slots=True)
class _Storage:
    """The memory of a tensor: its size, under conditions where it has several, and who keeps it."""

    stage: str
    sizes: list[tuple[When, int]]
    keepers: list[When] = field(default_factory=list)


@dataclass(slots=True)
class _Value:
    """A tensor: the storages it may lie in, whether a gradient passes, how a sequence lies.

    `sizes` are its bytes by the setting of decisions among values, none where it has one size.
    """

    storages: list[tuple[When, _Storage]]
    grad: bool
    token_major: bool = False
    sizes: list[tuple[When, int]] = field(default_factory=list)


#: A value that may be one of more storages than these counts as one of its own.
MANY = 12


def kept(made: Steps, item: int = 4) -> list[Kept]:
    """Everything that is kept for the backward pass; the loss is a cross-entropy."""
    values: dict[int, _Value] = {}
    storages: list[_Storage] = []
    own: list[Kept] = []
    runs, passed = made.live(), made.live(_cuts)
    for i, step in enumerate(made.steps):
        if i not in runs:
            continue
        inputs = [values[j] for j in step.inputs]
        match step.what:
            case "prim" | "varied":
                values[i] = _primitive(step, inputs[0], storages, own, item, i in passed)
            case "either" | "form":
                values[i] = _either(step, inputs, storages, item)
            case _:
                if i in passed and step.what == "weigh":
                    _keep(inputs[0], step.when)
                elif i in passed and step.what == "mul":
                    for one, other in (inputs, inputs[::-1]):
                        if other.grad:
                            _keep(one, step.when)
                values[i] = _fresh(step, storages, item)
                if step.what != "cat":  # parts of the same shape
                    _sized(values[i], inputs)
                passes = step.what != "zeros" and any(v.grad for v in inputs)
                values[i].grad = step.what == "weigh" or passes
                values[i].token_major = bool(inputs) and inputs[0].token_major
    found = [k for s in storages for k in _bytes(s)]
    out = made.steps[made.outputs[0]].shape
    # The logarithms of the softmax, and a label of 8 bytes per prediction.
    heads = len(made.outputs)
    own.append(
        Kept("loss", heads * (out.size * item + 8 * (out.size // out.channels)), heads * item)
    )
    return [*found, *own]


def _fresh(step: Step, storages: list[_Storage], item: int) -> _Value:
    size = step.shape.size * step.copies * (8 if step.shape.kind == "tokens" else item)
    storage = _Storage(step.stage, [((), size)])
    storages.append(storage)
    return _Value([((), storage)], grad=False)


def _sized(made: _Value, like: Sequence[_Value]) -> None:
    """Give a value the sizes of the first of others that has several."""
    made.sizes = next((v.sizes for v in like if v.sizes), [])
    for _, storage in made.storages[: 1 if made.sizes else 0]:
        storage.sizes = list(made.sizes)


def _primitive(
    step: Step, x: _Value, storages: list[_Storage], own: list[Kept], item: int, passed: bool
) -> _Value:
    """Where the step is `passed` by a gradient, what it keeps is noted; elsewhere it is dropped."""
    made: _Value | None = None
    for when, prim in settings(step):
        rule = saved(prim)
        if made is None and rule.view:
            made = _Value(x.storages, x.grad)
        elif made is None:
            made = _fresh(step, storages, item)
            made.storages[0][1].sizes.clear()
        if not rule.view:
            # Of a primitive under several settings each has an output of its own size.
            mine = () if isinstance(step.op, Prim) else when
            size = (mine, prim.out.size * step.copies * item)
            made.storages[0][1].sizes.append(size)
            if mine:
                made.sizes.append(size)
        passes = x.grad or rule.trained
        made.grad = made.grad or (passes and not rule.cut)
        if not passes or not passed:
            continue
        values = rule.values
        if rule.input:
            if prim.inp.kind == "sequence" and _linear(prim) and not x.token_major:
                values += prim.inp.size  # a linear map keeps a copy that lies in its order
            else:
                _keep(x, when)
        if rule.output:
            made.storages[0][1].keepers.append(when)
        bytes_ = (values * item + rule.indices * 8) * step.copies
        fixed = (rule.fixed + step.extra) * item
        if bytes_ or fixed:
            own.append(Kept(step.stage, bytes_, fixed, when))
    if made is None:
        raise CostError("a primitive without settings")
    kind = step.op.kind if isinstance(step.op, Prim) else _kind(step.op)
    made.token_major = kind in TOKEN_MAJOR or (
        x.token_major and kind not in ("patch_embed", "narrow")
    )
    return made


def _kind(op: Varied | None) -> str:
    return op.options[0].kind if op is not None else ""


def _cuts(step: Step) -> bool:
    """Whether no gradient passes a step, so that what lies before it is dropped after the pass."""
    return step.what == "zeros" or (isinstance(step.op, Prim) and saved(step.op).cut)


def _linear(prim: Prim) -> bool:
    return prim.kind in ("linear", "attention")


def _either(step: Step, inputs: list[_Value], storages: list[_Storage], item: int) -> _Value:
    """The option that is picked: one of the storages of its options, no memory of its own."""
    found = [
        (joint, storage)
        for value, case in zip(inputs, step.cases, strict=True)
        for when, storage in value.storages
        if (joint := times(case, when)) is not None
    ]
    made = _Value(found, grad=any(v.grad for v in inputs))
    # The options of a choice have one shape; also where that depends on other decisions.
    made.sizes = next((v.sizes for v in inputs if v.sizes), [])
    if step.what == "form" and made.sizes:
        made.sizes = [
            (joint, size)
            for value, case in zip(inputs, step.cases, strict=True)
            for when, size in value.sizes
            if (joint := times(case, when)) is not None
        ]
    if len(found) > MANY:
        whole = _fresh(step, storages, item)
        whole.grad = made.grad
        _sized(whole, [made])
        made = whole
    made.token_major = any(v.token_major for v in inputs)
    return made


def _keep(value: _Value, when: When) -> None:
    for where, storage in value.storages:
        joint = times(when, where)
        if joint is not None:
            storage.keepers.append(joint)


def _bytes(storage: _Storage) -> Iterator[Kept]:
    for sign, when in _any(storage.keepers):
        for setting, size in storage.sizes:
            joint = times(when, setting)
            if joint is not None:
                yield Kept(storage.stage, sign * size, 0, joint)


def _any(conditions: Sequence[When]) -> Iterator[tuple[int, When]]:
    """Signed products that add up to 1 where one of the conditions holds, else to 0.

    With what all conditions have in common set apart, the rest is 1 minus the product of the
    negations. Where a rest is itself a product its first factor stands for it: never too little.
    """
    if not conditions:
        return
    common = set(conditions[0]).intersection(*map(set, conditions[1:]))
    base = tuple(sorted(common))
    rests = [tuple(f for f in c if f not in common) for c in conditions]
    yield 1, base
    if any(not rest or rest[0].negated for rest in rests):
        return
    labels: dict[str, tuple[str, ...]] = {}
    for first, *_ in rests:
        before = labels.get(first.decision, first.labels)
        both = bool(before and first.labels)
        labels[first.decision] = tuple(dict.fromkeys((*before, *first.labels))) if both else ()
    none = times(base, tuple(Factor(d, found, negated=True) for d, found in labels.items()))
    if none is not None:
        yield -1, none


# ---- inference


def inference_peak(network: Network, *, dense: bool = False, item: int = 4) -> int:
    """The largest number of bytes of activations alive at once, for one sample without gradients.

    A tensor lives from the step that makes it to the last one that reads it; the input lives to the
    end, because the caller holds it. A maximum over steps is no sum over choices, so this is told
    of a network without decisions, or of a `dense` supernet. Raises CostError for open decisions.
    """
    made = steps(network, dense=dense)
    live = made.live()
    base: dict[int, int] = {}
    last: dict[int, int] = {}
    for i in sorted(live):
        step = made.steps[i]
        if step.what in ("either", "form"):
            raise CostError("decisions are not resolved")
        base[i] = base[step.inputs[0]] if _is_view(step) else i
        for j in (*step.inputs, i):
            last[base[j]] = i
    last[base[0]] = last[base[made.outputs[0]]] = len(made.steps)
    alive: dict[int, int] = {0: _size(made.steps[0], item)}
    peak = alive[0]
    for i in sorted(live - {0}):
        step = made.steps[i]
        scratch = 0
        if base[i] == i:
            alive[i] = _size(step, item)
        if isinstance(step.op, Prim) and step.op.kind in ("factorized_reduce", "attention"):
            scratch = saved(step.op).values * step.copies * item
        peak = max(peak, sum(alive.values()) + scratch)
        alive = {j: size for j, size in alive.items() if last[j] > i}
    return peak


def _is_view(step: Step) -> bool:
    return isinstance(step.op, Prim) and saved(step.op).view


def _size(step: Step, item: int) -> int:
    return step.shape.size * step.copies * (8 if step.shape.kind == "tokens" else item)
