"""Tokens: sequences are `(n, c, l)`, channels first as everywhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasdsl.ir.op import Prim


class PatchEmbed(nn.Module):
    """One token per patch."""

    def __init__(self, c_in: int, c_out: int, patch: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.conv(x).flatten(2)
        return tokens


class ClassToken(nn.Module):
    """A learned token in front of a sequence."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=2)


class Position(nn.Module):
    """A learned vector per position, added."""

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, channels, length))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


class Attention(nn.Module):
    """Multi-head self-attention; `window` positions back at most where it is set."""

    def __init__(
        self, channels: int, heads: int, head_dim: int, *, causal: bool, window: int
    ) -> None:
        super().__init__()
        inner = heads * head_dim
        self.heads, self.causal, self.window = heads, causal, window
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
        result: Tensor = self.proj(y.transpose(1, 2).flatten(2)).transpose(1, 2)
        return result


def attention(prim: Prim) -> nn.Module:
    return Attention(
        prim.inp.channels,
        prim.integer("heads"),
        prim.integer("head_dim"),
        causal=bool(prim.get("causal")),
        window=prim.integer("window"),
    )


class Token(nn.Module):
    """One token of a sequence."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, self.index]


class Embed(nn.Module):
    """A vector per token."""

    def __init__(self, vocabulary: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, channels)

    def forward(self, x: Tensor) -> Tensor:
        vectors: Tensor = self.embedding(x).transpose(1, 2)
        return vectors


class Fold(nn.Module):
    """Pieces into the batch: `(n, p, c, h, w)` to `(n p, c, h, w)`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(0, 1)


class Unfold(nn.Module):
    """Features of pieces back together: `(n p, c)` to `(n, p c)`."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, self.n * x.shape[1])
