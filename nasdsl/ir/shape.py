"""The shape of what flows along an edge: channels first, batch left out."""

from __future__ import annotations

from dataclasses import dataclass

#: Number of spatial dimensions of the kinds that convolve.
RANK = {"series": 1, "image": 2, "volume": 3}


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind and its dimensions.

    `image (c, h, w)`, `series (c, l)`, `volume (c, d, h, w)`, `features (c,)`,
    `sequence (c, l)` (embedded tokens), `tokens (l,)` (integers), `pieces (n, c, h, w)`.
    """

    kind: str
    dims: tuple[int, ...]

    @property
    def channels(self) -> int:
        """Channels (the first dimension; of pieces the second)."""
        if self.kind == "tokens":
            return 1
        return self.dims[1] if self.kind == "pieces" else self.dims[0]

    @property
    def space(self) -> tuple[int, ...]:
        """Spatial extent; empty for features."""
        if self.kind == "pieces":
            return self.dims[2:]
        return self.dims if self.kind == "tokens" else self.dims[1:]

    @property
    def size(self) -> int:
        """Number of values of one sample."""
        product = 1
        for d in self.dims:
            product *= d
        return product

    def with_channels(self, channels: int) -> Shape:
        return Shape(self.kind, (channels, *self.dims[1:]))

    def __str__(self) -> str:
        dims = "x".join(str(d) for d in self.dims)
        return dims if self.kind == "image" else f"{self.kind}:{dims}"

    @staticmethod
    def parse(text: str) -> Shape:
        """The shape that `str` printed. Raises ValueError."""
        kind, _, dims = text.rpartition(":")
        return Shape(kind or "image", tuple(int(d) for d in dims.split("x")))


def strided(extent: int, stride: int) -> int:
    """Extent after a step that pads to keep the size at stride 1: ceil(extent / stride)."""
    return -(-extent // stride)
