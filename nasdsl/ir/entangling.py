"""How a primitive of decided size runs in a dense supernet, and its largest form."""

from __future__ import annotations

from collections.abc import Sequence

from nasdsl.ir.op import Prim, Scalar, Varied
from nasdsl.ir.shape import Shape

#: Parameters of which a smaller value needs the larger weights.
_INVERSE = frozenset({"groups", "ratio"})
#: Zero stays zero, and nothing in the module depends on the number of channels.
_FREE = frozenset(
    "identity relu gelu silu hswish leaky_relu tanh dropout max_pool avg_pool global_avg_pool "
    "flatten token fold".split()
)
#: What every setting must have in common for its weights to be mixed, by kind.
_COMMON: dict[str, tuple[str, ...]] = {
    "conv": ("stride", "dilation", "bias", "groups"),
    "dwconv": ("stride", "dilation", "bias"),
    "deconv": ("kernel", "stride", "bias"),
    "linear": ("bias",),
    "embed": ("vocabulary",),
    "position": (),
    "class_token": (),
    "squeeze_excite": (),
    "patch_embed": ("patch",),
    "attention": ("head_dim", "causal", "window"),
    "bn": ("affine", "momentum", "eps"),
    "layer_norm": ("affine", "eps"),
}


def same_extents(op: Varied) -> bool:
    """Whether settings differ in channels only: what dense mode can hold in one tensor."""
    return all(o.out.with_channels(1) == op.out.with_channels(1) for o in op.options) and not (
        op.out.kind == "pieces" and any(o.out != op.out for o in op.options)
    )


def way(op: Varied) -> str:
    """How a primitive runs under its settings: `none`, `free`, `masked`, `each`, or a norm."""
    kind, options = op.options[0].kind, op.options
    if kind == "none":
        return "none"
    if kind in _FREE and len({o.attrs for o in options}) == 1:
        return "free"
    if kind not in _COMMON:
        return "each"
    if any(len({o.get(name) for o in options}) > 1 for name in _COMMON[kind]):
        return "each"
    if kind == "position" and any(o.inp.dims[1:] != op.inp.dims[1:] for o in options):
        return "each"
    if kind == "conv" and options[0].get("groups") != 1:
        return "each"
    if kind in ("conv", "dwconv") and not _aligned(options):
        return "each"
    return {"bn": "batch_norm", "layer_norm": "layer_norm"}.get(kind, "masked")


def _aligned(options: Sequence[Prim]) -> bool:
    """Whether smaller kernels, put into the middle of the largest, see the same pixels."""
    whole = hull(options)
    return all(
        (big - k) % 2 == 0 and 2 * (most - pad) == d * (big - k)
        for o in options
        for big, k, most, pad, d in zip(
            whole.integers("kernel"),
            o.integers("kernel"),
            whole.integers("pad"),
            o.integers("pad"),
            whole.integers("dilation"),
            strict=True,
        )
    )


def mask_size(options: Sequence[Prim], whole: Prim) -> int:
    """Values in the mask of a `masked` primitive's weights: the axes that vary, multiplied."""
    size = 1
    if len({o.out.channels for o in options}) > 1:
        size *= whole.out.channels
    if len({o.inp.channels for o in options}) > 1 and whole.kind not in ("dwconv", "embed"):
        size *= whole.inp.channels
    if whole.kind in ("conv", "dwconv") and len({o.get("kernel") for o in options}) > 1:
        for extent in whole.integers("kernel"):
            size *= extent
    return size


def hull(options: Sequence[Prim]) -> Prim:
    """The primitive whose weights hold those of every option."""
    first = options[0]
    attrs = []
    for name, value in first.attrs:
        values = [o.get(name) for o in options]
        attrs.append((name, _extreme(name, values) if len(set(values)) > 1 else value))
    return Prim(
        kind=first.kind,
        attrs=tuple(attrs),
        inp=_largest([o.inp for o in options]),
        out=_largest([o.out for o in options]),
        span=first.span,
    )


def _extreme(name: str, values: Sequence[Scalar]) -> Scalar:
    if all(isinstance(v, tuple) for v in values):
        rows = zip(*(v for v in values if isinstance(v, tuple)), strict=False)
        return tuple(max(row) for row in rows)
    if all(isinstance(v, int | float) for v in values):
        numbers = [v for v in values if isinstance(v, int | float)]
        return min(numbers) if name in _INVERSE else max(numbers)
    return values[0]


def _largest(shapes: Sequence[Shape]) -> Shape:
    dims = zip(*(s.dims for s in shapes), strict=True)
    return Shape(shapes[0].kind, tuple(max(n) for n in dims))
