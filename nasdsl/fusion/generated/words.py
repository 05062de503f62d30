"""A region and a schedule, for images of one size, as the words that `cell/program.h` reads."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from nasdsl.fusion.generated.region import ACTS, Gather, Piece, Pool, Region, Stage, Sum
from nasdsl.fusion.generated.schedule import Schedule, grads, heads_of, needed, sources

_PLACES = {"input": 0, "output": 0, "kept": 1, "passing": 2, "grad": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """Where each tensor of a call stands in its tables: counts in this order."""

    inputs: int
    outputs: int
    scalars: int
    parameters: int
    buffers: int

    @property
    def total(self) -> int:
        return self.inputs + self.outputs + self.scalars + self.parameters + self.buffers

    @property
    def first_scalar(self) -> int:
        return self.inputs + self.outputs

    @property
    def first_parameter(self) -> int:
        return self.first_scalar + self.scalars

    @property
    def first_buffer(self) -> int:
        return self.first_parameter + self.parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The words of both directions, and the lanes per image of what they work on."""

    forward: ctypes.Array[ctypes.c_int64]
    backward: ctypes.Array[ctypes.c_int64]
    kept: int
    passing: int
    passing_back: int
    gradient: int
    #: Height and width of every map.
    extents: tuple[tuple[int, int], ...]
    #: Positions of the smallest map that is normalised.
    least: int


def slots(region: Region) -> Slots:
    return Slots(
        inputs=len(region.inputs),
        outputs=len(region.outputs),
        scalars=len(region.scalars),
        parameters=len(region.parameters),
        buffers=len(region.buffers),
    )


def extents(region: Region, inputs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Height and width of every map. Raises ValueError where they do not fit."""
    found: list[tuple[int, int]] = [(0, 0)] * len(region.maps)
    arrived = iter(inputs)
    for k, one in enumerate(region.maps):
        if one.place == "input":
            found[k] = next(arrived)
    for step in region.code:
        match step:
            case Stage():
                part = step.depthwise or step.pieces[0]
                pad = part.pad if isinstance(part.pad, int) else part.pad[0]
                found[step.out] = _slid(
                    found[region.heads[step.source].map],
                    (part.kernel - 1) * part.dilation + 1,
                    part.stride,
                    max(pad, 0),
                )
            case Pool():
                source = found[region.heads[step.source].map]
                if step.ceil:
                    found[step.out] = tuple(-(-n // step.stride) for n in source)  # type: ignore[assignment]
                else:
                    found[step.out] = _slid(source, step.kernel, step.stride, step.pad)
            case Sum():
                found[step.out] = _same(found[region.heads[t].map] for t in step.terms)
            case Gather():
                found[step.out] = _same(found[r.map] for r in step.runs if r.map is not None)
    return found


def _slid(extent: tuple[int, int], window: int, stride: int, pad: int) -> tuple[int, int]:
    made = tuple((n + 2 * pad - window) // stride + 1 for n in extent)
    if min(made) < 1:
        raise ValueError("a window larger than its image")
    return made[0], made[1]


def _same(found: object) -> tuple[int, int]:
    different = set(found)  # type: ignore[call-overload]
    if len(different) != 1:
        raise ValueError("maps of different extents")
    return different.pop()  # type: ignore[no-any-return]


def program(
    region: Region,
    plan: Schedule,
    inputs: Sequence[tuple[int, int]],
    lanes: int,
    eps: Sequence[float],
) -> Program:
    """Words for inputs of these heights and widths. Raises ValueError where they do not fit."""
    size = extents(region, inputs)
    words = _Words(region, plan, size, lanes, tuple(eps))
    return words.program()


@dataclass(slots=True)
class _Words:
    region: Region
    plan: Schedule
    size: list[tuple[int, int]]
    lanes: int
    eps: tuple[float, ...]

    def program(self) -> Program:
        region = self.region
        kept, at = 0, {}
        for k, one in enumerate(region.maps):
            if one.place == "kept":
                at[k] = kept
                kept += self.blocks(k)
        forward, passing = _placed(self.lives_forward())
        backward, passing_back = _placed(self.lives_backward())
        own = grads(region)
        numbers: dict[tuple[str, int], int] = {}
        first = len(region.maps)
        # A gradient for every state, then one for every head that needs its own.
        for step in region.code:
            if isinstance(step, Sum | Gather) and region.maps[step.out].place != "output":
                numbers.setdefault(("map", step.out), first + len(numbers))
        for head in own:
            numbers[("head", head)] = first + len(numbers)
        gradient, total = _placed(self.lives_gradients(numbers))
        return Program(
            forward=self.words({**at, **forward}, numbers, gradient),
            backward=self.words({**at, **backward}, numbers, gradient),
            kept=kept,
            passing=passing,
            passing_back=passing_back,
            gradient=total,
            extents=tuple(self.size),
            least=min((h * w for h, w in (self.size[n.map] for n in region.norms)), default=2),
        )

    def blocks(self, index: int) -> int:
        """Lanes of a map per image, in vectors."""
        height, width = self.size[index]
        return -(-self.region.maps[index].channels // self.lanes) * height * width

    # ---- lives of maps, as first and last phase

    def lives_forward(self) -> list[_Life]:
        lives: dict[int, _Life] = {}
        for phase, steps in enumerate(self.plan.forward):
            for k in steps:
                step = self.plan.code[k]
                self.seen(lives, step.out, phase)
                for source, _ in sources(self.region, step):
                    self.seen(lives, source, phase)
        return list(lives.values())

    def lives_backward(self) -> list[_Life]:
        lives: dict[int, _Life] = {}
        for phase, steps in enumerate(self.plan.backward):
            for k in steps:
                step = self.plan.code[k if k >= 0 else -1 - k]
                if k < 0:
                    self.seen(lives, step.out, phase)
                    for source, _ in sources(self.region, step):
                        self.seen(lives, source, phase)
                else:
                    for index in needed(self.region, step):
                        self.seen(lives, index, phase)
        return list(lives.values())

    def seen(self, lives: dict[int, _Life], index: int, phase: int) -> None:
        if self.region.maps[index].place == "passing":
            life = lives.setdefault(index, _Life(index, self.blocks(index), phase, phase))
            life.last = phase

    def lives_gradients(self, numbers: dict[tuple[str, int], int]) -> list[_Life]:
        lives: dict[int, _Life] = {}

        def seen(key: tuple[str, int], index: int, phase: int) -> None:
            if key in numbers:
                number = numbers[key]
                life = lives.setdefault(number, _Life(number, self.blocks(index), phase, phase))
                life.last = phase

        makers = self.makers()
        on: dict[int, list[int]] = {}
        for number, head in enumerate(self.region.heads):
            on.setdefault(head.map, []).append(number)
        for phase, steps in enumerate(self.plan.backward):
            for k in steps:
                if k < 0:
                    continue
                step = self.plan.code[k]
                seen(("map", step.out), step.out, phase)
                for source, _ in sources(self.region, step):
                    seen(("map", source), source, phase)
                for index in heads_of(step):
                    seen(("head", index), self.region.heads[index].map, phase)
                if isinstance(step, Stage | Pool):
                    # Its own gradient: that of the heads on what it made.
                    for index in on.get(step.out, ()):
                        seen(("head", index), step.out, phase)
                        if index in makers:
                            seen(("map", makers[index]), makers[index], phase)
        return list(lives.values())

    def makers(self) -> dict[int, int]:
        """The map that the sum of each weighted head makes."""
        return {t: s.out for s in self.region.code if isinstance(s, Sum) for t in s.terms}

    # ---- words

    def words(
        self, at: dict[int, int], numbers: dict[tuple[str, int], int], gradient: dict[int, int]
    ) -> ctypes.Array[ctypes.c_int64]:
        region = self.region
        table = slots(region)
        parameter = {p: table.first_parameter + k for k, p in enumerate(region.parameters)}
        buffer = {b: table.first_buffer + k for k, b in enumerate(region.buffers)}
        out: list[int] = []
        inputs, outputs = iter(range(table.inputs)), iter(range(table.inputs, table.first_scalar))
        out.append(len(region.maps) + len(numbers))
        for k, one in enumerate(region.maps):
            height, width = self.size[k]
            if one.place == "input":
                where, grad = next(inputs), k
            elif one.place == "output":
                where, grad = next(outputs), -1
            else:
                where, grad = at.get(k, 0), numbers.get(("map", k), -1)
            out += [one.channels, height, width, _PLACES[one.place], where, grad]
        for (kind, index), number in numbers.items():
            source = index if kind == "map" else region.heads[index].map
            height, width = self.size[source]
            channels = region.maps[source].channels
            out += [channels, height, width, _PLACES["grad"], gradient.get(number, 0), -1]
        out.append(len(region.norms))
        for norm, eps in zip(region.norms, self.eps, strict=True):
            affine = [parameter.get((norm.path, n), -1) for n in ("weight", "bias")]
            names = ("running_mean", "running_var", "num_batches_tracked")
            running = [buffer.get((norm.path, n), -1) for n in names]
            out += [norm.map, *(affine if norm.affine else (-1, -1)), *running, _bits(eps)]
        out.append(len(region.heads))
        makers = self.makers()
        for k, head in enumerate(region.heads):
            if head.coef is not None:
                grad = numbers[("map", makers[k])]
            elif region.maps[head.map].place == "input":
                grad = head.map
            else:
                grad = numbers.get(("head", k), numbers.get(("map", head.map), -1))
            out += [
                head.map,
                -1 if head.norm is None else head.norm,
                ACTS[head.act],
                _bits(head.slope),
                -1 if head.coef is None else head.coef,
                grad,
            ]
        out.append(len(region.coefs))
        for coef in region.coefs:
            out += [_bits(coef.constant), len(coef.factors)]
            for factor in coef.factors:
                out += [table.first_scalar + factor.scalar, factor.row, factor.column]
        out.append(len(self.plan.code))
        borders = self.borders()
        for k, step in enumerate(self.plan.code):
            match step:
                case Stage():
                    deep = step.depthwise
                    out += [1, step.out, step.source, 0]
                    if deep is None:
                        out += [1, 1, 1, 0, borders[k], 0, -1, -1]
                    else:
                        out += [deep.kernel, deep.dilation, deep.stride, deep.pad, borders[k], 0]
                        out.append(parameter[(deep.path, "weight")])
                        out.append(parameter[(deep.path, "bias")] if deep.bias else -1)
                    out.append(len(step.pieces))
                    for piece in step.pieces:
                        out += [piece.kernel, piece.dilation, piece.stride, *piece.pad]
                        out.append(parameter[(piece.path, "weight")])
                        out.append(parameter[(piece.path, "bias")] if piece.bias else -1)
                        out += [piece.first, piece.last]
                case Pool():
                    out += [1, step.out, step.source, 1 if step.largest else 2]
                    out += [step.kernel, 1, step.stride, step.pad, borders[k]]
                    out += [int(step.include_pad), -1, -1, 0]
                case Sum():
                    out += [2, step.out, int(step.adds), len(step.terms), *step.terms]
                case Gather():
                    out += [3, step.out, len(step.runs)]
                    for run in step.runs:
                        source = -1 if run.map is None else run.map
                        out += [run.to, source, run.start, run.n]
        for phases in (self.plan.forward, self.plan.backward):
            out.append(len(phases))
            for phase in phases:
                out += [len(phase), *phase]
        return (ctypes.c_int64 * len(out))(*out)

    def borders(self) -> dict[int, int]:
        """The border of the tile of each stage: one for all images of one extent."""
        own: dict[int, int] = {}
        shared: dict[tuple[object, ...], int] = {}
        keys: dict[int, tuple[object, ...]] = {}
        for k, step in enumerate(self.plan.code):
            if not isinstance(step, Stage | Pool):
                continue
            head = self.region.heads[step.source]
            extent, made = self.size[head.map], self.size[step.out]
            if isinstance(step, Pool):
                windows = [(step.kernel, 1, step.stride, step.pad, step.pad)]
            elif step.depthwise is not None:
                deep = step.depthwise
                windows = [(deep.kernel, deep.dilation, deep.stride, deep.pad, deep.pad)]
            else:
                windows = [(p.kernel, p.dilation, p.stride, *p.pad) for p in step.pieces]
            border = 0
            for kernel, dilation, stride, *pads in windows:
                for pad, n, m in zip(pads, extent, made, strict=True):
                    past = (m - 1) * stride + (kernel - 1) * dilation - pad - (n - 1)
                    border = max(border, pad, past)
            own[k] = border
            low = isinstance(step, Pool) and step.largest
            keys[k] = (extent, low)
            if not _pointwise(step):
                shared[keys[k]] = max(shared.get(keys[k], 0), border)
        return {k: own[k] if _pointwise(self.plan.code[k]) else shared[keys[k]] for k in own}


def _pointwise(step: object) -> bool:
    if not isinstance(step, Stage) or step.depthwise is not None:
        return False
    pieces: tuple[Piece, ...] = step.pieces
    return all(p.kernel == p.stride == 1 and p.pad == (0, 0) for p in pieces)


@dataclass(slots=True)
class _Life:
    key: int
    size: int
    first: int
    last: int


def _placed(lives: list[_Life]) -> tuple[dict[int, int], int]:
    """An offset for each, so that what lives at once does not overlap; and the whole extent."""
    placed: list[tuple[int, _Life]] = []
    total = 0
    for life in sorted(lives, key=lambda one: (-one.size, one.first, one.key)):
        at = 0
        for begin, other in sorted(placed, key=lambda one: one[0]):
            if other.first > life.last or other.last < life.first:
                continue
            if begin >= at + life.size:
                break
            at = max(at, begin + other.size)
        placed.append((at, life))
        total = max(total, at + life.size)
    return {life.key: at for at, life in placed}, total


def _bits(number: float) -> int:
    """A double as the whole number with its bits."""
    return int(struct.unpack("<q", struct.pack("<d", number))[0])
