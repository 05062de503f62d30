"""The op table: every primitive with its parameters, its shape rule and its cost rule.

One line per primitive. How a primitive computes stands in `nasdsl.ops`; a test checks that both
tables have the same keys. Parameters and multiply-adds follow from shapes alone, no tensor is
built: multiply-adds count convolution, linear and attention products, bias additions apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nasdsl.ir.op import Prim, Scalar
from nasdsl.ir.shape import RANK, Shape, strided

#: Channel counts that default to the place's width, or to the incoming channels.
WIDTH, SAME, REQUIRED = "width", "same", "required"


class ShapeError(ValueError):
    """An operation cannot take the shape that arrives."""


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter: name, type (`int`, `size`, `number`, `bool`, `text`) and default."""

    name: str
    type: str
    default: Scalar | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """Trainable parameters, multiply-adds and bias additions of one sample."""

    params: int = 0
    macs: int = 0
    bias: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.macs + other.macs, self.bias + other.bias)


Attrs = dict[str, Scalar]
ShapeRule = Callable[[Attrs, Shape], Shape]
CostRule = Callable[[Prim], Cost]


@dataclass(frozen=True, slots=True)
class OpSpec:
    """What the compiler knows of a primitive."""

    kind: str
    params: tuple[Param, ...]
    shape: ShapeRule
    cost: CostRule
    doc: str


def _need(ok: bool, message: str) -> None:
    if not ok:
        raise ShapeError(message)


def _same(attrs: Attrs, inp: Shape) -> Shape:
    return inp


def _free(prim: Prim) -> Cost:
    return Cost()


def _extents(attrs: Attrs, name: str, rank: int) -> tuple[int, ...]:
    value = attrs[name]
    if isinstance(value, int):
        return (value,) * rank
    if isinstance(value, tuple) and len(value) == rank:
        return value
    raise ShapeError(f"`{name}` needs {rank} numbers here")


def _rank(inp: Shape) -> int:
    _need(inp.kind in RANK, f"it needs an image, a series or a volume; {inp} arrives")
    return RANK[inp.kind]


def _slide(attrs: Attrs, inp: Shape) -> tuple[int, ...]:
    """Extent after a sliding window, `pad` resolved in `attrs` to numbers."""
    rank = _rank(inp)
    kernel = _extents(attrs, "kernel", rank)
    stride = _extents(attrs, "stride", rank)
    dilation = _extents(attrs, "dilation", rank) if "dilation" in attrs else (1,) * rank
    if attrs["pad"] == "same":
        pad = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    else:
        pad = _extents(attrs, "pad", rank)
    attrs.update(kernel=kernel, stride=stride, pad=pad)
    if "dilation" in attrs:
        attrs["dilation"] = dilation
    out = []
    for n, k, s, p, d in zip(inp.space, kernel, stride, pad, dilation, strict=True):
        _need(k > 0 and s > 0 and d > 0 and p >= 0, "kernel, stride and dilation are positive")
        size = (n + 2 * p - d * (k - 1) - 1) // s + 1
        _need(size > 0, f"a window of {k} does not fit into {inp}")
        out.append(size)
    return tuple(out)


def _conv(attrs: Attrs, inp: Shape) -> Shape:
    space = _slide(attrs, inp)
    out, groups = attrs["out"], attrs["groups"]
    if not isinstance(out, int) or not isinstance(groups, int):
        raise ShapeError("`out` and `groups` are whole numbers")
    _need(out > 0, "`out` must be positive")
    _need(
        groups > 0 and inp.channels % groups == 0 and out % groups == 0,
        f"{inp.channels} -> {out} channels do not divide into {groups} groups",
    )
    return Shape(inp.kind, (out, *space))


def _dwconv(attrs: Attrs, inp: Shape) -> Shape:
    return Shape(inp.kind, (inp.channels, *_slide(attrs, inp)))


def _deconv(attrs: Attrs, inp: Shape) -> Shape:
    rank = _rank(inp)
    stride = _extents(attrs, "stride", rank)
    attrs["kernel"] = _extents(attrs, "kernel", rank)
    attrs["stride"] = stride
    return Shape(
        inp.kind, (_int(attrs, "out"), *(n * s for n, s in zip(inp.space, stride, strict=True)))
    )


def _pool(attrs: Attrs, inp: Shape) -> Shape:
    return Shape(inp.kind, (inp.channels, *_slide(attrs, inp)))


def _int(attrs: Attrs, name: str) -> int:
    value = attrs[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise ShapeError(f"`{name}` is a whole number")
    _need(value > 0, f"`{name}` must be positive")
    return value


def _squeeze(attrs: Attrs, inp: Shape) -> Shape:
    _rank(inp)
    _int(attrs, "ratio")
    _int(attrs, "divisor")
    return inp


def _narrow(attrs: Attrs, inp: Shape) -> Shape:
    out = _int(attrs, "out")
    _need(inp.kind not in ("tokens", "pieces"), f"it needs channels; {inp} arrives")
    _need(out <= inp.channels, f"{inp} has no {out} channels")
    return inp.with_channels(out)


def _channels_from(attrs: Attrs, inp: Shape) -> Shape:
    _rank(inp)
    first, stride = _int(attrs, "first"), _int(attrs, "stride")
    _need(first < inp.channels, f"{inp} has no channel {first}")
    return Shape(inp.kind, (inp.channels - first, *(strided(n, stride) for n in inp.space)))


def _shuffle(attrs: Attrs, inp: Shape) -> Shape:
    _rank(inp)
    _int(attrs, "groups")
    return inp


def _linear(attrs: Attrs, inp: Shape) -> Shape:
    _need(inp.kind in ("features", "sequence"), f"it needs features; {inp} arrives (flatten?)")
    return inp.with_channels(_int(attrs, "out"))


def _global_pool(attrs: Attrs, inp: Shape) -> Shape:
    _rank(inp)
    return Shape("features", (inp.channels,))


def _flatten(attrs: Attrs, inp: Shape) -> Shape:
    return Shape("features", (inp.size,))


def _halve(attrs: Attrs, inp: Shape) -> Shape:
    _need(inp.kind == "image", f"it needs an image; {inp} arrives")
    out = _int(attrs, "out")
    _need(out % 2 == 0, f"it yields two halves; {out} channels are odd")
    return Shape("image", (out, *(strided(n, 2) for n in inp.space)))


def _none(attrs: Attrs, inp: Shape) -> Shape:
    # The place decides: `lowering` sets `out` and `stride` from it.
    stride = _int(attrs, "stride")
    return Shape(inp.kind, (_int(attrs, "out"), *(strided(n, stride) for n in inp.space)))


def _patches(attrs: Attrs, inp: Shape) -> Shape:
    size = _int(attrs, "patch")
    _need(inp.kind == "image", f"it needs an image; {inp} arrives")
    _need(all(n % size == 0 for n in inp.space), f"{inp} does not divide into patches of {size}")
    return Shape("sequence", (_int(attrs, "out"), (inp.space[0] // size) * (inp.space[1] // size)))


def _embed(attrs: Attrs, inp: Shape) -> Shape:
    _need(inp.kind == "tokens", f"it needs tokens; {inp} arrives")
    return Shape("sequence", (_int(attrs, "out"), inp.dims[0]))


def _sequence(attrs: Attrs, inp: Shape) -> Shape:
    _need(inp.kind == "sequence", f"it needs a sequence; {inp} arrives")
    return inp


def _class_token(attrs: Attrs, inp: Shape) -> Shape:
    _sequence(attrs, inp)
    return Shape("sequence", (inp.dims[0], inp.dims[1] + 1))


def _token(attrs: Attrs, inp: Shape) -> Shape:
    _sequence(attrs, inp)
    return Shape("features", (inp.dims[0],))


def _fold(attrs: Attrs, inp: Shape) -> Shape:
    _need(inp.kind == "pieces", f"it needs pieces; {inp} arrives")
    return Shape("image", inp.dims[1:])


def _unfold(attrs: Attrs, inp: Shape) -> Shape:
    _need(inp.kind == "features", f"it needs features; {inp} arrives")
    return Shape("features", (inp.channels * _int(attrs, "n"),))


def _window(prim: Prim) -> int:
    total = 1
    for k in prim.integers("kernel"):
        total *= k
    return total


def _area(shape: Shape) -> int:
    total = 1
    for n in shape.space:
        total *= n
    return total


def _conv_cost(prim: Prim) -> Cost:
    per_output = prim.inp.channels // prim.integer("groups") * _window(prim)
    weights = prim.out.channels * per_output
    bias = prim.out.channels if prim.get("bias") else 0
    area = _area(prim.out)
    return Cost(weights + bias, weights * area, bias * area)


def _dwconv_cost(prim: Prim) -> Cost:
    weights = prim.inp.channels * _window(prim)
    bias = prim.out.channels if prim.get("bias") else 0
    return Cost(weights + bias, weights * _area(prim.out), bias * _area(prim.out))


def _deconv_cost(prim: Prim) -> Cost:
    weights = prim.inp.channels * prim.out.channels * _window(prim)
    bias = prim.out.channels if prim.get("bias") else 0
    return Cost(weights + bias, weights * _area(prim.inp), bias * _area(prim.out))


def _linear_cost(prim: Prim) -> Cost:
    weights = prim.inp.channels * prim.out.channels
    bias = prim.out.channels if prim.get("bias") else 0
    area = _area(prim.out)
    return Cost(weights + bias, weights * area, bias * area)


def _norm_cost(prim: Prim) -> Cost:
    return Cost(2 * prim.out.channels if prim.get("affine") else 0)


def _halve_cost(prim: Prim) -> Cost:
    weights = prim.inp.channels * prim.out.channels
    bias = prim.out.channels if prim.get("bias") else 0
    norm = 2 * prim.out.channels if prim.get("affine") else 0
    return Cost(weights + bias + norm, weights * _area(prim.out), bias * _area(prim.out))


def squeezed(prim: Prim) -> int:
    """Channels of the bottleneck of `squeeze_excite`: a multiple of `divisor` near channels / ratio.

    The rounding is that of MobileNet: the nearest multiple, never more than 10 % below.
    """
    wanted, step = prim.inp.channels // prim.integer("ratio"), prim.integer("divisor")
    nearest = max(step, (wanted + step // 2) // step * step)
    return nearest + step if 10 * nearest < 9 * wanted else nearest


def _squeeze_cost(prim: Prim) -> Cost:
    c, hidden = prim.inp.channels, squeezed(prim)
    return Cost(2 * c * hidden + c + hidden, 2 * c * hidden, c + hidden)


def _attention_cost(prim: Prim) -> Cost:
    c, length = prim.inp.dims
    inner = prim.integer("heads") * prim.integer("head_dim")
    # Every position is multiplied with every other: masks (`window`, `causal`) come after that.
    weights, bias = c * 3 * inner + inner * c, 3 * inner + c
    return Cost(weights + bias, weights * length + 2 * length * length * inner, bias * length)


def _embed_cost(prim: Prim) -> Cost:
    return Cost(prim.integer("vocabulary") * prim.out.channels)


def _patches_cost(prim: Prim) -> Cost:
    weights = prim.inp.channels * prim.integer("patch") ** 2 * prim.out.channels
    return Cost(weights + prim.out.channels, weights * prim.out.dims[1], prim.out.size)


_KERNEL = Param("kernel", "size")
_OUT = Param("out", "int", WIDTH)
_SLIDING = (
    _KERNEL,
    _OUT,
    Param("stride", "size", 1),
    Param("dilation", "size", 1),
    Param("pad", "size", "same"),
    Param("groups", "int", 1),
    Param("bias", "bool", False),
)
_POOL = (_KERNEL, Param("stride", "size", 1), Param("pad", "size", "same"))
_NORM = (
    Param("affine", "bool", None),
    Param("momentum", "number", 0.1),
    Param("eps", "number", 1e-5),
)


def _plain(kind: str, doc: str, *params: Param) -> OpSpec:
    return OpSpec(kind, params, _same, _free, doc)


OPS: Mapping[str, OpSpec] = MappingProxyType(
    {
        spec.kind: spec
        for spec in (
            _plain("identity", "hands its input on"),
            OpSpec(
                "none", (_OUT, Param("stride", "int", 1)), _none, _free, "zeros of the right shape"
            ),
            _plain("relu", "max(x, 0)"),
            _plain("gelu", "x Φ(x)"),
            _plain("silu", "x σ(x)"),
            _plain("hswish", "x relu6(x + 3) / 6"),
            _plain("leaky_relu", "max(x, slope x)", Param("slope", "number", 0.01)),
            _plain("tanh", "hyperbolic tangent"),
            _plain("dropout", "zeroes values with probability p", Param("p", "number", 0.5)),
            OpSpec(
                "noise",
                (_OUT, Param("stride", "int", 1), Param("std", "number", 1.0)),
                _none,
                _free,
                "N(0, std) of the right shape, whatever arrives (RobustDARTS S4)",
            ),
            OpSpec("conv", _SLIDING, _conv, _conv_cost, "convolution of the input's rank"),
            OpSpec(
                "dwconv",
                tuple(p for p in _SLIDING if p.name not in ("out", "groups")),
                _dwconv,
                _dwconv_cost,
                "depthwise convolution",
            ),
            OpSpec(
                "deconv",
                (_KERNEL, _OUT, Param("stride", "size", 1), Param("bias", "bool", False)),
                _deconv,
                _deconv_cost,
                "transposed convolution that multiplies the extent by its stride",
            ),
            OpSpec(
                "linear",
                (_OUT, Param("bias", "bool", True)),
                _linear,
                _linear_cost,
                "affine map of the channels",
            ),
            OpSpec("bn", _NORM, _same, _norm_cost, "batch normalisation"),
            OpSpec(
                "layer_norm",
                (Param("affine", "bool", True), Param("eps", "number", 1e-5)),
                _same,
                _norm_cost,
                "normalisation over channels",
            ),
            OpSpec("max_pool", _POOL, _pool, _free, "maximum over a window"),
            OpSpec(
                "avg_pool",
                (*_POOL, Param("include_pad", "bool", False)),
                _pool,
                _free,
                "mean over a window, padding not counted",
            ),
            OpSpec("global_avg_pool", (), _global_pool, _free, "mean over all positions"),
            OpSpec("flatten", (), _flatten, _free, "all values as features"),
            OpSpec(
                "factorized_reduce",
                (_OUT, Param("bias", "bool", False), Param("affine", "bool", None)),
                _halve,
                _halve_cost,
                "relu, two offset 1x1 convolutions of stride 2 joined, batch-norm (DARTS)",
            ),
            OpSpec(
                "squeeze_excite",
                (Param("ratio", "int", 4), Param("divisor", "int", 1)),
                _squeeze,
                _squeeze_cost,
                "channel attention through a bottleneck",
            ),
            OpSpec(
                "patch_embed",
                (Param("patch", "int"), _OUT),
                _patches,
                _patches_cost,
                "one token per patch",
            ),
            OpSpec(
                "class_token",
                (),
                _class_token,
                lambda prim: Cost(prim.inp.channels),
                "a learned token in front",
            ),
            OpSpec(
                "position",
                (),
                _sequence,
                lambda prim: Cost(prim.inp.size),
                "learned positions added",
            ),
            OpSpec(
                "attention",
                (
                    Param("heads", "int"),
                    Param("head_dim", "int", 0),
                    Param("causal", "bool", False),
                    Param("window", "int", 0),
                ),
                _sequence,
                _attention_cost,
                "multi-head self-attention; head_dim 0 is channels / heads",
            ),
            OpSpec("token", (Param("index", "int"),), _token, _free, "one token of a sequence"),
            OpSpec(
                "embed",
                (Param("vocabulary", "int"), _OUT),
                _embed,
                _embed_cost,
                "a vector per token",
            ),
            OpSpec("narrow", (_OUT,), _narrow, _free, "the first `out` channels"),
            OpSpec(
                "channels_from",
                (Param("first", "int"), Param("stride", "int", 1)),
                _channels_from,
                _free,
                "the channels behind the first ones, max-pooled where it strides",
            ),
            OpSpec(
                "channel_shuffle",
                (Param("groups", "int"),),
                _shuffle,
                _free,
                "the channels of every group in turn",
            ),
            _plain("scaled", "a number times the input", Param("by", "number", 1.0)),
            _plain("dropped", "dropout whose p a search sets", Param("p", "number", 0.0)),
            OpSpec("fold", (Param("n", "int"),), _fold, _free, "pieces into the batch"),
            OpSpec("unfold", (Param("n", "int"),), _unfold, _free, "pieces back out of the batch"),
        )
    }
)


def cost(prim: Prim) -> Cost:
    """Parameters and multiply-adds of a primitive."""
    return OPS[prim.kind].cost(prim)
