"""Normalisation."""

from __future__ import annotations

from torch import Tensor, nn

from nasdsl.ir.op import Prim

_BATCH = {
    "image": nn.BatchNorm2d,
    "series": nn.BatchNorm1d,
    "volume": nn.BatchNorm3d,
    "features": nn.BatchNorm1d,
    "sequence": nn.BatchNorm1d,
}


def batch_norm(prim: Prim) -> nn.Module:
    """`bn(affine, momentum, eps)` over the channels of any shape."""
    return _BATCH[prim.inp.kind](
        prim.inp.channels,
        eps=prim.number("eps"),
        momentum=prim.number("momentum"),
        affine=bool(prim.get("affine")),
    )


class LayerNorm(nn.LayerNorm):
    """Normalises over the channels, which come first."""

    def forward(self, x_NC: Tensor) -> Tensor:
        return super().forward(x_NC.movedim(1, -1)).movedim(-1, 1)


def layer_norm(prim: Prim) -> nn.Module:
    return LayerNorm(
        prim.inp.channels,
        eps=prim.number("eps"),
        elementwise_affine=bool(prim.get("affine")),
    )
