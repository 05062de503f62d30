"""What a generated region computes: maps, made from each other by a few kinds of instructions.

A *map* is an image per sample. A *head* is a map as one consumer sees it: normalised, activated,
and, in a sum, weighted by a coefficient of the mix. Outputs of convolutions and pools stay as they
are in front of their normalisation; statistics, scale and shift belong to heads, so that nothing
normalised has to be kept.

    map[0] input  16
    map[2] kept   16  = stage(head[0]: map[0] relu; dwconv 3x3 dil_conv_3x3.dwconv; conv)
    map[3] kept   16  = sum(map[2] bn * mix[0, 4], map[0] * mix[0, 3])
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

#: Activations of heads, as `Act` in `kernels/cell/lanes.h`.
ACTS = {"none": 0, "relu": 1, "leaky_relu": 3, "hswish": 4, "silu": 5, "tanh": 6, "gelu": 7}


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """An image per sample.

    `place` is `input` or `output` (a tensor outside), `kept` for the backward pass, or `passing`:
    computed anew there.
    """

    name: str
    channels: int
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """A batch-norm module and the map it normalises."""

    path: str
    map: int
    affine: bool
    tracked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """An entry of a tensor of weights: a matrix, or a number where row and column are 0."""

    scalar: int
    row: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coef:
    """A product of entries."""

    constant: float
    factors: tuple[Factor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A map as one consumer sees it; `coef` is set in sums."""

    map: int
    norm: int | None = None
    act: str = "none"
    slope: float = 0.0
    coef: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Depthwise:
    """One filter per channel."""

    path: str
    kernel: int
    dilation: int
    stride: int
    pad: int
    bias: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A dense convolution that makes the output channels from `first` to `last`."""

    path: str
    kernel: int
    dilation: int
    stride: int
    pad: tuple[int, int]
    first: int
    last: int
    bias: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A depthwise convolution, dense ones, or a depthwise one and a pointwise one behind it."""

    out: int
    source: int
    depthwise: Depthwise | None
    pieces: tuple[Piece, ...]

    @property
    def parts(self) -> tuple[Depthwise | Piece, ...]:
        """The convolutions in the order they are applied."""
        return self.pieces if self.depthwise is None else (self.depthwise, *self.pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A maximum or a mean over windows; windows of one are a copy."""

    out: int
    source: int
    largest: bool
    kernel: int
    stride: int
    pad: int
    include_pad: bool
    ceil: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Weighted heads added up; `adds`: to what an earlier sum has put there."""

    out: int
    terms: tuple[int, ...]
    adds: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Neighbouring channels of a map, or zeros where `map` is None."""

    to: int
    map: int | None
    start: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """Channels of other maps side by side."""

    out: int
    runs: tuple[Run, ...]


Instruction = Stage | Pool | Sum | Gather


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """A part of a network that one call computes.

    `inputs` and `scalars` are the nodes of the graph that arrive, `outputs` those that leave;
    `owners` are the modules of the network that hold everything named by a path. A region is called
    with its owners, so cells of one shape share one region, with the names of the first of them.
    """

    name: str
    maps: tuple[Map, ...]
    norms: tuple[Norm, ...]
    heads: tuple[Head, ...]
    coefs: tuple[Coef, ...]
    code: tuple[Instruction, ...]
    #: Where maps come from in the backward pass instead: from what left the region.
    reloads: tuple[Gather, ...]
    inputs: tuple[str, ...]
    scalars: tuple[str, ...]
    outputs: tuple[str, ...]
    owners: tuple[str, ...]
    #: Parameters and buffers as (module path, name).
    parameters: tuple[tuple[str, str], ...]
    buffers: tuple[tuple[str, str], ...]
    #: The same computation as a graph of modules: `(*inputs, *scalars) -> outputs`.
    reference: fx.Graph

    @property
    def depthwise(self) -> frozenset[tuple[int, int, int]]:
        """Kernel, dilation and stride of the depthwise convolutions."""
        return frozenset(
            (i.depthwise.kernel, i.depthwise.dilation, i.depthwise.stride)
            for i in self.code
            if isinstance(i, Stage) and i.depthwise is not None
        )

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules it reads."""
        return tuple(dict.fromkeys(path for path, _ in (*self.parameters, *self.buffers)))

    def __str__(self) -> str:
        lines = [f"region {self.name}: {', '.join(self.inputs)} -> {', '.join(self.outputs)}"]
        lines += [
            f"  map[{k}] input  {m.channels:4}  = {m.name}"
            for k, m in enumerate(self.maps)
            if m.place == "input"
        ]
        for step in self.code:
            made = self.maps[step.out]
            lines.append(f"  map[{step.out}] {made.place:7}{made.channels:4}  = {self._said(step)}")
        return "\n".join(lines)

    def _said(self, step: Instruction) -> str:
        match step:
            case Stage():
                words = [f"{p.kernel}x{p.kernel} {self._local(p.path)}" for p in step.parts]
                return f"stage({self._head(step.source)}; {'; '.join(words)})"
            case Pool():
                kind = "max" if step.largest else "mean"
                return f"{kind}({self._head(step.source)}; {step.kernel} stride {step.stride})"
            case Sum():
                return f"{'add' if step.adds else 'sum'}({', '.join(self._head(t) for t in step.terms)})"
            case Gather():
                return f"gather({', '.join(self._run(r) for r in step.runs)})"

    def _local(self, path: str) -> str:
        """A path below its owner: other cells of one shape have other owners."""
        return path.partition(".")[2] if len(self.owners) == 1 else path

    def _run(self, run: Run) -> str:
        return "zeros" if run.map is None else f"map[{run.map}][{run.start}:{run.start + run.n}]"

    def _head(self, index: int) -> str:
        head = self.heads[index]
        text = f"map[{head.map}]"
        text += " bn" if head.norm is not None else ""
        text += f" {head.act}" if head.act != "none" else ""
        if head.coef is not None:
            coef = self.coefs[head.coef]
            for factor in coef.factors:
                text += f" * {self.scalars[factor.scalar]}[{factor.row}, {factor.column}]"
            text += f" * {coef.constant:g}" if coef.constant != 1 else ""
        return text
