"""Primitive to module: one line per primitive of `nasdsl.ir.optable`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from nasdsl.ir.op import Prim
from nasdsl.ops import conv, edits, norm, plain, pool, sequence

MODULES: Mapping[str, Callable[[Prim], nn.Module]] = MappingProxyType(
    {
        "identity": lambda prim: nn.Identity(),
        "none": plain.zeros,
        "relu": lambda prim: nn.ReLU(),
        "gelu": lambda prim: nn.GELU(),
        "silu": lambda prim: nn.SiLU(),
        "hswish": lambda prim: nn.Hardswish(),
        "leaky_relu": lambda prim: nn.LeakyReLU(prim.number("slope")),
        "tanh": lambda prim: nn.Tanh(),
        "dropout": lambda prim: nn.Dropout(prim.number("p")),
        "noise": plain.noise,
        "conv": conv.convolution,
        "dwconv": conv.depthwise,
        "deconv": conv.transposed,
        "linear": conv.linear,
        "bn": norm.batch_norm,
        "layer_norm": norm.layer_norm,
        "max_pool": pool.maximum,
        "avg_pool": pool.average,
        "global_avg_pool": lambda prim: pool.GlobalAverage(),
        "flatten": lambda prim: nn.Flatten(),
        "factorized_reduce": conv.halving,
        "squeeze_excite": plain.squeeze_excite,
        "patch_embed": lambda prim: sequence.PatchEmbed(
            prim.inp.channels, prim.out.channels, prim.integer("patch")
        ),
        "class_token": lambda prim: sequence.ClassToken(prim.inp.channels),
        "position": lambda prim: sequence.Position(*prim.inp.dims),
        "attention": sequence.attention,
        "token": lambda prim: sequence.Token(prim.integer("index")),
        "embed": lambda prim: sequence.Embed(prim.integer("vocabulary"), prim.out.channels),
        "narrow": plain.narrow,
        "channels_from": edits.channels_from,
        "channel_shuffle": edits.channel_shuffle,
        "scaled": edits.scaled,
        "dropped": edits.dropped,
        "fold": lambda prim: sequence.Fold(),
        "unfold": lambda prim: sequence.Unfold(prim.integer("n")),
    }
)


def module(prim: Prim) -> nn.Module:
    """A fresh module that computes a primitive."""
    return MODULES[prim.kind](prim)
