"""What autograd keeps of each primitive for the backward pass, one line per primitive.

Counted are the tensors that torch saves when the modules of `nasdsl.ops` run in training mode on
the CPU: a convolution its input, a rectifier its output, a maximum its input and the index of
each winner. Weights are left out; they are there anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nasdsl.ir.op import Prim
from nasdsl.ir.optable import squeezed


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What one call keeps.

    `input` and `output` say whether those tensors are kept. `values` are numbers of its own per
    sample, `indices` whole numbers of 8 bytes per sample, `fixed` numbers whatever the batch.
    `view` says that the output shares the memory of the input. `trained`: it has weights, so
    that what it keeps does not depend on whether a gradient passes the input. `cut`: no gradient
    passes the output.
    """

    input: bool = False
    output: bool = False
    values: int = 0
    indices: int = 0
    fixed: int = 0
    view: bool = False
    trained: bool = False
    cut: bool = False


Rule = Callable[[Prim], Saved]


def _nothing(prim: Prim) -> Saved:
    return Saved()


def _input(prim: Prim) -> Saved:
    return Saved(input=True)


def _output(prim: Prim) -> Saved:
    return Saved(output=True)


def _view(prim: Prim) -> Saved:
    return Saved(view=True)


def _weighted(prim: Prim) -> Saved:
    return Saved(input=True, trained=True)


def _batch_norm(prim: Prim) -> Saved:
    # Mean and deviation of the batch, and both running statistics.
    affine = bool(prim.get("affine"))
    return Saved(input=True, fixed=4 * prim.out.channels, trained=affine)


def _layer_norm(prim: Prim) -> Saved:
    positions = prim.inp.size // prim.inp.channels
    return Saved(input=True, values=2 * positions, trained=bool(prim.get("affine")))


def _max_pool(prim: Prim) -> Saved:
    return Saved(input=True, indices=prim.out.size)


def _dropout(prim: Prim) -> Saved:
    return Saved(values=prim.inp.size if prim.number("p") > 0 else 0)


def _shuffle(prim: Prim) -> Saved:
    # Where groups divide the channels, views and a copy; else the order, two numbers wide.
    even = prim.out.channels % prim.integer("groups") == 0
    return Saved(fixed=0 if even else 2 * prim.out.channels)


def _factorized_reduce(prim: Prim) -> Saved:
    # The rectified input, padded once more where its extent is odd, and what is normalised.
    height, width = prim.inp.space
    padded = (height + height % 2) * (width + width % 2) * prim.inp.channels
    values = prim.inp.size + (padded if padded != prim.inp.size else 0) + prim.out.size
    return Saved(values=values, fixed=4 * prim.out.channels, trained=True)


def _squeeze_excite(prim: Prim) -> Saved:
    # Mean, bottleneck, its expansion, gate; and the input for the product.
    hidden = squeezed(prim)
    return Saved(input=True, values=3 * prim.inp.channels + hidden, trained=True)


def _attention(prim: Prim) -> Saved:
    # Queries, keys and values in one block, the result, a sum per head and position.
    _, length = prim.inp.dims
    heads, inner = prim.integer("heads"), prim.integer("heads") * prim.integer("head_dim")
    return Saved(
        input=True,
        values=4 * inner * length + heads * length,
        fixed=length * length if prim.integer("window") else 0,
        trained=True,
    )


#: What each primitive keeps; the keys are those of the op table.
SAVED: Mapping[str, Rule] = MappingProxyType(
    {
        "identity": _view,
        "none": _nothing,
        "narrow": _view,
        "relu": _output,
        "gelu": _input,
        "silu": _input,
        "hswish": _input,
        "leaky_relu": _input,
        "tanh": _output,
        "dropout": _dropout,
        "noise": lambda prim: Saved(cut=True),
        "conv": _weighted,
        "dwconv": _weighted,
        "deconv": _weighted,
        "linear": _weighted,
        "bn": _batch_norm,
        "layer_norm": _layer_norm,
        "max_pool": _max_pool,
        "avg_pool": _input,
        "global_avg_pool": _nothing,
        "flatten": _view,
        "factorized_reduce": _factorized_reduce,
        "squeeze_excite": _squeeze_excite,
        "patch_embed": _weighted,
        "class_token": _nothing,
        "position": _nothing,
        "attention": _attention,
        "token": _view,
        "embed": _weighted,
        "channels_from": lambda prim: (
            _view(prim) if prim.get("stride") == 1 else Saved(input=True, indices=prim.out.size)
        ),
        "channel_shuffle": _shuffle,
        "scaled": _nothing,
        "dropped": _dropout,
        "fold": _view,
        "unfold": _view,
    }
)


def saved(prim: Prim) -> Saved:
    """What a primitive keeps for the backward pass."""
    return SAVED[prim.kind](prim)
