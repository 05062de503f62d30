"""What a network computes, step by step, as `nasdsl.codegen.emit` builds it; no tensors, no torch.

Two readings of a choice: `dense`, where every option runs and is weighed, as in a supernet; and
`open`, where the option that will be picked runs, under the condition that it is picked. A network
without decisions reads the same either way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from nasdsl.ir.cell import After, Arrival, Cell, CellEdge, Join, Output
from nasdsl.ir.entangling import hull, mask_size, way
from nasdsl.ir.expression import Factor, lives, times
from nasdsl.ir.op import Choice, Forms, Nested, Op, Par, Prim, Seq, Varied, is_none
from nasdsl.ir.optable import cost
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Decision, Network, Space, Stage

When = tuple[Factor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One value: how it is made, from which earlier values, and when.

    `what` is `input`, `prim`, `varied`, `add`, `mul`, `weigh` (an option times its weight),
    `cat`, `div`, `zeros`, `either` (the option that is picked; `cases` are the conditions) or `form`
    (the form that stands under the settings of `cases`).
    `extra` are values that are kept whatever the batch: weights mixed by masks, and the masks.
    `copies` is the number of pieces per sample that the value holds, see `fold`.
    """

    what: str
    inputs: tuple[int, ...] = ()
    shape: Shape
    op: Prim | Varied | None = None
    when: When = ()
    cases: tuple[When, ...] = ()
    copies: int = 1
    extra: int = 0
    stage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The steps of a network in the order in which they run; `outputs` are positions."""

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    def live(self, cut: Callable[[Step], bool] = lambda step: False) -> frozenset[int]:
        """Positions of the steps whose values reach an output: what is built and runs.

        Nothing is reached through a step that `cut` is true of, the step itself is.
        """
        found: set[int] = set(self.outputs)
        for i in range(len(self.steps) - 1, -1, -1):
            if i in found and not cut(self.steps[i]):
                found.update(self.steps[i].inputs)
        return frozenset(found)


def steps(
    network: Network, *, space: Space | None = None, dense: bool = False, aux: bool = False
) -> Steps:
    """The steps of a network; choices need the `space` they belong to unless `dense`."""
    walk = _Walk(dense, every(space.decisions) if space is not None else {})
    x = walk.add(Step(what="input", shape=network.inp, stage="input"))
    values = {-1: x}
    for i, stage in enumerate(network.stages):
        values[i] = walk.network_stage(stage, [values[j] for j in stage.inputs])
    outputs = [values[len(network.stages) - 1]]
    if aux and network.aux is not None:
        outputs.append(walk.network_stage(network.aux, [values[network.aux.inputs[0]]]))
    return Steps(steps=tuple(walk.steps), outputs=tuple(outputs))


def steps_of(stage: Stage, space: Space, copies: int = 1) -> tuple[Step, ...]:
    """The steps of one stage with its choices open; its inputs come first."""
    walk = _Walk(False, every(space.decisions))
    body = stage.body
    shapes = [e.inp for e in body.inputs] if isinstance(body, Cell) else [body.inp]
    inputs = [
        walk.add(Step(what="input", shape=shape, copies=copies, stage="input")) for shape in shapes
    ]
    walk.network_stage(stage, inputs)
    return tuple(walk.steps)


def settings(step: Step) -> Iterator[tuple[When, Prim]]:
    """The primitives a step may be, each with its condition."""
    match step.op:
        case Prim():
            yield step.when, step.op
        case Varied():
            joint = product(*step.op.labels)
            for chosen, option in zip(joint, step.op.options, strict=True):
                own = (Factor(d, (c,)) for d, c in zip(step.op.decisions, chosen, strict=True))
                factors = times(step.when, tuple(own))
                if factors is not None:
                    yield factors, option


def every(decisions: tuple[Decision, ...]) -> dict[str, Decision]:
    """Decisions by identity, conditional ones too."""
    found: dict[str, Decision] = {}
    for decision in decisions:
        found.setdefault(decision.id, decision)
        for below in decision.nested:
            for identity, inner in every(below).items():
                found.setdefault(identity, inner)
    return found


@dataclass(slots=True)
class _Walk:
    """The steps so far, the stage and the condition under which the next ones stand."""

    dense: bool
    decisions: Mapping[str, Decision]
    steps: list[Step] = field(default_factory=list)
    stage: str = ""
    when: When = ()

    def add(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps) - 1

    def make(
        self,
        what: str,
        inputs: list[int],
        shape: Shape,
        op: Prim | Varied | None = None,
        cases: tuple[When, ...] = (),
        extra: int = 0,
    ) -> int:
        copies = self.steps[inputs[0]].copies
        if isinstance(op, Prim) and op.kind == "fold":
            copies *= op.inp.dims[0]
        elif isinstance(op, Prim) and op.kind == "unfold":
            copies //= op.integer("n")
        return self.add(
            Step(
                what=what,
                inputs=tuple(inputs),
                shape=shape,
                op=op,
                when=self.when,
                cases=cases,
                copies=max(1, copies),
                extra=extra,
                stage=self.stage,
            )
        )

    def zeros(self, shape: Shape, like: int) -> int:
        # Zeros read how long the batch is off another value, which so stays in the network.
        return self.make("zeros", [like], shape)

    def total(self, terms: list[int]) -> int:
        value = terms[0]
        for term in terms[1:]:
            value = self.make("add", [value, term], self.steps[value].shape)
        return value

    # ---- stages

    def network_stage(self, stage: Stage, inputs: list[int]) -> int:
        self.stage, before = stage.name, self.when
        found = times(before, *(self.round(d, r) for d, _, r in stage.rounds))
        self.when = found if found is not None else before
        try:
            if isinstance(stage.body, Cell):
                made = self.cell(stage.body, inputs)
            else:
                value = self.op(stage.body, inputs[-1])
                made = value if value is not None else self.zeros(stage.out, inputs[-1])
        finally:
            entered, self.when = self.when, before
        if self.dense:
            # What comes after every depth that can be chosen is weighed.
            return self.make("weigh", [made], stage.out) if self.chosen(stage) else made
        if entered == before:
            return made
        # Where the round is left out the value before it goes on.
        absent = tuple(Factor(f.decision, f.labels, negated=True) for f in entered[:1])
        return self.make("either", [made, inputs[-1]], stage.out, cases=(entered, absent))

    def chosen(self, stage: Stage) -> bool:
        """Whether a decided repeat can end behind the round of a stage."""
        return any(
            str(r) in decision.labels
            for d, _, r in stage.rounds
            if (decision := self.decisions.get(d)) is not None
        )

    def round(self, identity: str, number: int) -> When:
        """The condition that a repeat has at least so many rounds."""
        decision = self.decisions.get(identity)
        if decision is None:
            return ()
        labels = tuple(d for d in decision.labels if d.isdigit() and int(d) >= number)
        return () if labels == decision.labels else (Factor(identity, labels),)

    # ---- operations

    def op(self, op: Op, x: int) -> int | None:
        """The value of an operation; None where it is exactly zero."""
        match op:
            case Prim(kind="identity"):
                return x
            case Prim(kind="none"):
                return None
            case Prim():
                return self.make("prim", [x], op.out, op)
            case Varied() if self.dense:
                return self.entangled(op, x)
            case Varied():
                return self.make("varied", [x], op.out, op)
            case Seq():
                value: int | None = x
                for part in op.parts:
                    value = self.op(part, value if value is not None else self.zeros(part.inp, x))
                return value
            case Par():
                return self.parallel(op, x)
            case Choice():
                return self.weighed(op, x) if self.dense else self.either(op, x)
            case Forms():
                return self.all_forms(op, x) if self.dense else self.form(op, x)
            case Nested():
                return self.cell(op.cell, [x])

    def entangled(self, op: Varied, x: int) -> int | None:
        """A primitive under all its settings at once, see `nasdsl.codegen.entangle`."""
        how, whole = way(op), hull(op.options)
        if how in ("none", "free") or is_none(whole):
            return self.op(whole, x)
        if how == "each":
            return self.each(op, x)
        if how == "masked":
            # The mixed weights, and the mask that their gradient needs.
            extra = cost(whole).params + mask_size(op.options, whole)
            return self.make("prim", [x], op.out, whole, extra=extra)
        value = x
        if how == "layer_norm":
            # Written out: the masked input, the centred one, its square times the mask.
            for what in ("weigh", "weigh", "weigh"):
                value = self.make(what, [value], op.out)
        value = self.make("prim", [value], op.out, whole)
        return self.make("weigh", [value], op.out)

    def each(self, op: Varied, x: int) -> int | None:
        """Every setting by itself, filled up to the largest width and weighed."""
        terms = []
        for option in dict.fromkeys(op.options):
            own = x
            if option.inp.channels != op.inp.channels:
                view = Prim(kind="narrow", inp=op.inp, out=option.inp)
                own = self.make("prim", [x], option.inp, view)
            value = self.op(option, own)
            if value is None:
                continue
            if option.out != op.out:
                value = self.make("cat", [value], op.out)
            terms.append(self.make("weigh", [value], op.out))
        return self.total(terms) if terms else None

    def parallel(self, op: Par, x: int) -> int | None:
        results = [self.op(part, x) for part in op.parts]
        if op.how == "concat":
            full = [
                r if r is not None else self.zeros(p.out, x)
                for r, p in zip(results, op.parts, strict=True)
            ]
            return self.make("cat", full, op.out)
        present = [r for r in results if r is not None]
        return self.total(present) if present else None

    def weighed(self, op: Choice, x: int) -> int | None:
        terms = []
        for option in op.options:
            value = None if is_none(option) else self.op(option, x)
            if value is not None:
                terms.append(self.make("weigh", [value], option.out))
        return self.total(terms) if terms else None

    def all_forms(self, op: Forms, x: int) -> int | None:
        values = [self.op(option, x) for option in op.options]
        terms = [self.make("weigh", [v], op.out) for v in values if v is not None]
        return self.total(terms) if terms else None

    def form(self, op: Forms, x: int) -> int | None:
        """The form that stands under a joint setting, once for each."""
        before, values, cases = self.when, [], []
        for chosen, which in zip(product(*op.labels), op.form, strict=True):
            case = tuple(Factor(d, (c,)) for d, c in zip(op.decisions, chosen, strict=True))
            inside = times(before, case)
            if inside is None:
                continue
            self.when = inside
            value = self.op(op.options[which], x)
            if value is not None:
                values.append(value)
                cases.append(case)
        self.when = before
        return self.make("form", values, op.out, cases=tuple(cases)) if values else None

    def either(self, op: Choice, x: int) -> int | None:
        before, values, cases = self.when, [], []
        for label, option in zip(op.labels, op.options, strict=True):
            case = (Factor(op.decision, (label,)),)
            inside = times(before, case)
            if inside is None:
                continue
            self.when = inside
            value = self.op(option, x)
            if value is not None:
                values.append(value)
                cases.append(case)
        self.when = before
        return self.make("either", values, op.out, cases=tuple(cases)) if values else None

    # ---- cells

    def cell(self, cell: Cell, inputs: list[int]) -> int:
        before, like = self.when, inputs[0]
        values: dict[str, int] = {}
        for entry, x in zip(cell.inputs, inputs, strict=True):
            prepared = self.op(entry.prepare, x)
            values[entry.name] = prepared if prepared is not None else x
        for node in cell.nodes:
            edges = cell.into(node.name)
            arriving = self.arrivals(cell, node.name, values, before)
            self.when = self.under(before, exists(cell, node.name))
            value = self.join(node.how, arriving, [e.op.out for e in edges], like)
            after = self.op(node.after, value)
            values[node.name] = after if after is not None else self.zeros(node.after.out, like)
            self.when = before
        through = {}
        arriving = self.arrivals(cell, "out", values, before)
        for e, made in zip(cell.into("out"), arriving, strict=True):
            through[e.source] = made if made is not None else self.zeros(e.op.out, like)
        return self.output(cell.output, {**values, **through}, cell.out)

    def under(self, before: When, condition: When) -> When:
        found = None if self.dense else times(before, condition)
        return before if found is None else found

    def arrivals(
        self, cell: Cell, target: str, values: dict[str, int], before: When
    ) -> list[int | None]:
        """What comes through each edge into a node; weighed where the edges are picked."""
        edges = cell.into(target)
        made = [self.edge(cell, e, values, before) for e in edges]
        if not self.dense or cell.subset(target) is None:
            return made
        return [
            None if v is None else self.make("weigh", [v], e.op.out)
            for e, v in zip(edges, made, strict=True)
        ]

    def edge(self, cell: Cell, edge: CellEdge, values: dict[str, int], before: When) -> int | None:
        self.when = self.under(before, condition(cell, edge))
        try:
            parts = edge.op.parts if isinstance(edge.op, Par) and edge.op.how == "picked" else ()
            if not parts:
                return self.op(edge.op, values[edge.source])
            found = [self.op(part, values[edge.source]) for part in parts]
            present = [value for value in found if value is not None]
            return self.total(present) if present else None
        finally:
            self.when = before

    def join(self, how: str, arriving: list[int | None], shapes: list[Shape], like: int) -> int:
        if how == "concat":
            full = [
                a if a is not None else self.zeros(s, like)
                for a, s in zip(arriving, shapes, strict=True)
            ]
            channels = sum(s.channels for s in shapes)
            return self.make("cat", full, shapes[0].with_channels(channels))
        present = [a for a in arriving if a is not None]
        if not present or (how == "mul" and len(present) < len(arriving)):
            return self.zeros(shapes[0], like)
        if how == "mul":
            value = present[0]
            for other in present[1:]:
                value = self.make("mul", [value, other], self.steps[value].shape)
            return value
        value = self.total(present)
        return self.make("div", [value], self.steps[value].shape) if how == "mean" else value

    def output(self, output: Output, values: dict[str, int], out: Shape) -> int:
        match output:
            case Arrival():
                return values[output.node]
            case After():
                inner = self.output(output.inner, values, output.op.inp)
                made = self.op(output.op, inner)
                return made if made is not None else self.zeros(output.op.out, inner)
            case Join():
                parts = [self.output(p, values, out) for p in output.parts]
                if output.how == "concat":
                    channels = sum(self.steps[p].shape.channels for p in parts)
                    return self.make(
                        "cat", parts, self.steps[parts[0]].shape.with_channels(channels)
                    )
                if output.how == "split":
                    return self.make("cat", parts, out)
                return self.join(output.how, list(parts), [], parts[0])


def condition(cell: Cell, edge: CellEdge) -> When:
    """When an edge is there, apart from what stands on it.

    An edge whose operation is decided as a whole (`one_of …`, also with fixed operations beside
    it) is there if the genotype says what stands on it; a picked edge if its source is picked,
    where edges are picked an edge also leads from and to nodes that are left.
    """
    identity = f"{cell.table}/{edge.key}"
    found: list[Factor] = []
    if isinstance(edge.op, Par) and identity in decided(cell, edge.target):
        found.append(Factor(identity))
    subset = cell.subset(edge.target)
    if subset is not None:
        found.append(Factor(subset, (edge.source,)))
    return (*found, *exists(cell, edge.source), *exists(cell, edge.target))


def exists(cell: Cell, node: str) -> When:
    """The condition that a node is on a path to the output, where edges are picked."""
    if not cell.picks or node not in {n.name for n in cell.nodes}:
        return ()
    return (lives(cell.table, node),)


def decided(cell: Cell, target: str) -> tuple[str, ...]:
    """Identities of the edges into a node of which the keep rule speaks."""
    found = []
    for edge in cell.into(target):
        identity = f"{cell.table}/{edge.key}"
        first = edge.op.parts[0] if isinstance(edge.op, Par) and edge.op.parts else edge.op
        if isinstance(first, Choice) and first.decision == identity:
            found.append(identity)
    return tuple(found)
