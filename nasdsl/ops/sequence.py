"""Tokens: sequences are `(n, c, l)`, channels first as everywhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasdsl.ir.op import Prim


class PatchEmbed(nn.Module):
    def __init__(self, prim: Prim) -> None:
        super().__init__()
        size = prim.integer("patch")
        self.conv = nn.Conv2d(prim.inp.channels, prim.out.channels, size, stride=size)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(2)


class ClassToken(nn.Module):
    def __init__(self, prim: Prim) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, prim.inp.channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=2)


class Position(nn.Module):
    def __init__(self, prim: Prim) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, *prim.inp.dims))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


class Attention(nn.Module):
    """Multi-head self-attention; `window` positions back at most where it is set."""

    def __init__(self, prim: Prim) -> None:
        super().__init__()
        channels = prim.inp.channels
        self.heads = prim.integer("heads")
        inner = self.heads * prim.integer("head_dim")
        self.causal, self.window = bool(prim.get("causal")), prim.integer("window")
        self.qkv = nn.Linear(channels, 3 * inner)
        self.proj = nn.Linear(inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, _, length = x.shape
        q, k, v = self.qkv(x.transpose(1, 2)).reshape(n, length, 3, self.heads, -1).unbind(2)
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        mask = None
        if self.window:
            i = torch.arange(length, device=x.device)
            distance = i[:, None] - i[None, :]
            mask = distance.abs() < self.window
            if self.causal:
                mask = mask & (distance >= 0)
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=self.causal and mask is None
        )
        return self.proj(y.transpose(1, 2).flatten(2)).transpose(1, 2)


class Token(nn.Module):
    def __init__(self, prim: Prim) -> None:
        super().__init__()
        self.index = prim.integer("index")

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, self.index]


class Embed(nn.Module):
    def __init__(self, prim: Prim) -> None:
        super().__init__()
        self.embedding = nn.Embedding(prim.integer("vocabulary"), prim.out.channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.embedding(x).transpose(1, 2)


class Fold(nn.Module):
    """Pieces into the batch: `(n, p, c, h, w)` to `(n p, c, h, w)`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(0, 1)


class Unfold(nn.Module):
    """Features of pieces back together: `(n p, c)` to `(n, p c)`."""

    def __init__(self, prim: Prim) -> None:
        super().__init__()
        self.n = prim.integer("n")

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, self.n * x.shape[1])
