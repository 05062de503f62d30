"""A network with decisions under a genotype: the network without them.

What lowering makes of a space with a genotype, made from the IR alone: picked options stand where
choices stood, primitives have the sizes of their settings, rounds that are not reached are gone.
Two things stay as the supernet has them. An edge of a cell without a pick holds zeros instead of
being gone, and the attributes that only the retrained network has (affine batch-norm) are absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nasdsl.ir.cell import After, Arrival, Cell, CellEdge, Join, Output
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.op import Choice, Forms, Nested, Op, Par, Prim, Seq, Varied
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Network, Stage
from nasdsl.ir.steps import decided


@dataclass(slots=True)
class Origin:
    """Where the primitives of a resolved network come from.

    By the identity of a primitive: what it was, and the number of its setting where it varied.
    """

    found: dict[int, tuple[Prim | Varied, int | None]] = field(default_factory=dict)


def resolve(network: Network, genotype: Genotype, origin: Origin | None = None) -> Network:
    """The network that a genotype picks.

    Raises GenotypeError where a pick is missing, and for cells that pick their edges: which of
    their nodes stand, and how wide their outputs are, only lowering knows.
    """
    picks: dict[str, tuple[str, ...]] = {}
    for decision, label in genotype.picks:
        picks[decision] = (*picks.get(decision, ()), label)
    work = _Resolver(picks, origin or Origin())
    stages: list[Stage] = []
    place: dict[int, int] = {-1: -1}
    bodies = 0
    for i, stage in enumerate(network.stages):
        if not all(r <= work.depth(decision) for decision, _, r in stage.rounds):
            # What reads the last round reads the last one that stands.
            place[i] = len(stages) - 1
            continue
        name = stage.name
        if stage.role == "body":
            name = f"{name.rpartition('_')[0]}_{bodies}"
            bodies += 1
        body: Op | Cell
        if isinstance(stage.body, Cell):
            body = work.cell(stage.body)
        else:
            body = work.op(stage.body)
        place[i] = len(stages)
        stages.append(
            replace(
                stage,
                name=name,
                body=body,
                inputs=tuple(place[j] for j in stage.inputs),
                out=body.out,
                rounds=(),
            )
        )
    return replace(network, stages=tuple(stages))


@dataclass(slots=True)
class _Resolver:
    picks: Mapping[str, tuple[str, ...]]
    origin: Origin

    def label(self, decision: str, labels: tuple[str, ...]) -> str:
        found = self.picks.get(decision, ())
        if len(found) != 1 or found[0] not in labels:
            said = ", ".join(found) or "no pick"
            raise GenotypeError(f"`{decision}`: {said}; one of {', '.join(labels)} is wanted")
        return found[0]

    def depth(self, decision: str) -> int:
        found = self.picks.get(decision, ())
        if len(found) != 1 or not found[0].isdigit():
            raise GenotypeError(f"`{decision}`: {', '.join(found) or 'no pick'}; a depth is wanted")
        return int(found[0])

    def setting(self, op: Varied | Forms) -> int:
        """The number of the picked joint setting."""
        at = 0
        for decision, labels in zip(op.decisions, op.labels, strict=True):
            at = at * len(labels) + labels.index(self.label(decision, labels))
        return at

    def leaf(self, prim: Prim, was: Prim | Varied, number: int | None) -> Prim:
        made = replace(prim)
        self.origin.found[id(made)] = (was, number)
        return made

    def op(self, op: Op) -> Op:
        match op:
            case Prim():
                return self.leaf(op, op, None)
            case Varied():
                at = self.setting(op)
                return self.leaf(op.options[at], op, at)
            case Forms():
                return self.op(op.options[op.form[self.setting(op)]])
            case Seq():
                flat: list[Op] = []
                for part in (self.op(p) for p in op.parts):
                    flat.extend(part.parts if isinstance(part, Seq) else (part,))
                if not flat:
                    return op
                return replace(op, parts=tuple(flat), inp=flat[0].inp, out=flat[-1].out)
            case Par():
                return self.parallel(op)
            case Choice():
                return self.choice(op)
            case Nested():
                cell = self.cell(op.cell)
                return replace(op, cell=cell, inp=cell.inputs[0].inp, out=cell.out)

    def parallel(self, op: Par) -> Par:
        parts = [self.op(p) for p in op.parts]
        if op.how == "sum":
            flat: list[Op] = []
            for part in parts:
                sums = isinstance(part, Par) and part.how == "sum"
                flat.extend(part.parts if isinstance(part, Par) and sums else (part,))
            parts = flat
        out = parts[0].out
        if op.how == "concat":
            out = out.with_channels(sum(p.out.channels for p in parts))
        return replace(op, parts=tuple(parts), inp=parts[0].inp, out=out)

    def choice(self, op: Choice) -> Op:
        picked = self.picks.get(op.decision, ())
        unknown = [label for label in picked if label not in op.labels]
        if unknown or not picked:
            self.label(op.decision, op.labels)
        options = [self.op(op.options[op.labels.index(label)]) for label in picked]
        if len(options) == 1:
            return options[0]
        first = options[0]
        return Par(how="picked", parts=tuple(options), inp=first.inp, out=first.out, span=op.span)

    # ---- cells

    def cell(self, cell: Cell) -> Cell:
        if cell.picks:
            raise GenotypeError(f"cell `{cell.name}` picks its edges; it has to be lowered again")
        inputs = []
        shapes: dict[str, Shape] = {}
        for entry in cell.inputs:
            prepare = self.op(entry.prepare)
            inputs.append(replace(entry, inp=prepare.inp, prepare=prepare))
            shapes[entry.name] = prepare.out
        nodes = []
        for node in cell.nodes:
            after = self.op(node.after)
            nodes.append(replace(node, after=after))
            shapes[node.name] = after.out
        edges = []
        for edge in cell.edges:
            if self.left(cell, edge):
                out = shapes.get(edge.target, edge.op.out)
                made: Op = _zeros(shapes[edge.source], edge.op, out)
            else:
                made = self.op(edge.op)
            edges.append(replace(edge, op=made))
        through = {e.source: e.op.out for e in edges if e.target == "out"}
        output, out = self.output(cell.output, {**shapes, **through})
        return replace(
            cell,
            inputs=tuple(inputs),
            nodes=tuple(nodes),
            edges=tuple(edges),
            output=output,
            out=out,
        )

    def left(self, cell: Cell, edge: CellEdge) -> bool:
        """Whether an edge goes whole: nothing is picked for it, or for the choice it is about.

        With `one_of … + skip` the skip goes as well, where a node keeps other edges.
        """
        if isinstance(edge.op, Choice):
            return edge.op.decision not in self.picks
        identity = f"{cell.table}/{edge.key}"
        return identity in decided(cell, edge.target) and identity not in self.picks

    def output(self, output: Output, shapes: Mapping[str, Shape]) -> tuple[Output, Shape]:
        match output:
            case Arrival():
                return output, shapes[output.node]
            case After():
                inner, _ = self.output(output.inner, shapes)
                op = self.op(output.op)
                return replace(output, inner=inner, op=op), op.out
            case Join():
                found = [self.output(p, shapes) for p in output.parts]
                first = found[0][1]
                if output.how == "concat":
                    first = first.with_channels(sum(s.channels for _, s in found))
                return replace(output, parts=tuple(p for p, _ in found)), first


def _zeros(inp: Shape, op: Op, out: Shape) -> Prim:
    """What stands on an edge without a pick."""
    stride = -(-op.inp.space[0] // op.out.space[0]) if op.out.space else 1
    attrs = (("out", out.channels), ("stride", stride))
    shape = op.out.with_channels(out.channels)
    return Prim(kind="none", attrs=attrs, inp=inp, out=shape, span=op.span)
