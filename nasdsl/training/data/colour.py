"""Random changes of brightness, contrast, saturation and hue, on pixels in 0..1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.draws import uniform


def grey(x: Tensor) -> Tensor:
    """Luma of RGB by ITU-R BT.601; a grey image is its own."""
    if x.shape[1] == 1:
        return x
    weights = x.new_tensor((0.299, 0.587, 0.114))[:, None, None]
    return (x * weights).sum(dim=1, keepdim=True)


def _blend(x: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (factor * x + (1 - factor) * other).clamp(0, 1)


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Pixels in 0..1 times the image's factor (N, 1, 1, 1), clamped."""
    return (x * factor).clamp(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Distance from the image's mean luma times the factor (N, 1, 1, 1), clamped to 0..1."""
    return _blend(x, grey(x).mean(dim=(1, 2, 3), keepdim=True), factor)


def adjust_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Distance from the pixel's luma times the factor (N, 1, 1, 1), clamped to 0..1."""
    return x if x.shape[1] == 1 else _blend(x, grey(x), factor)


def adjust_hue(x: Tensor, shift: Tensor) -> Tensor:
    """RGB in 0..1 with the hue turned by `shift` (N, 1, 1, 1) of the full circle, through HSV."""
    if x.shape[1] == 1:
        return x
    value, _ = x.max(dim=1, keepdim=True)
    spread = value - x.min(dim=1, keepdim=True).values
    safe = torch.where(spread == 0, torch.ones_like(spread), spread)
    red, green, blue = ((value - x[:, i : i + 1]) / safe for i in range(3))
    hue = torch.where(
        value == x[:, 0:1],
        blue - green,
        torch.where(value == x[:, 1:2], 2 + red - blue, 4 + green - red),
    )
    hue = torch.where(spread == 0, torch.zeros_like(hue), hue) + 6 * shift
    # The inverse of HSV in closed form: value - spread * max(0, min(k, 4 - k, 1)) with
    # k = (n + hue) mod 6 and n = 5, 3, 1 for red, green, blue.
    offsets = x.new_tensor((5.0, 3.0, 1.0))[:, None, None]
    k = (offsets + hue).remainder(6)
    return value - spread * torch.minimum(k, 4 - k).clamp(0, 1)


@dataclass(frozen=True, slots=True)
class ColorJitter:
    """Changes brightness, contrast, saturation and hue by a random amount for each image.

    The first three scale by a factor uniform in max(0, 1 - v)..1 + v; the hue turns by -hue..hue
    of the circle (at most 0.5). As in torchvision, whose order of the four is drawn for each image:
    here it is drawn once for each batch. Needs pixels in 0..1 with 1 or 3 channels.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    pixels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if getattr(self, name) < 0:
                raise DataError(f"color_jitter: {name} is {getattr(self, name)}; expected >= 0")
        if not 0 <= self.hue <= 0.5:
            raise DataError(f"color_jitter: hue is {self.hue}; expected 0..0.5")

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if x.shape[1] not in (1, 3):
            raise DataError(f"color_jitter: needs 1 or 3 channels, the images have {x.shape[1]}")
        turns: tuple[tuple[Callable[[Tensor, Tensor], Tensor], float, float], ...] = (
            (adjust_brightness, self.brightness, 1.0),
            (adjust_contrast, self.contrast, 1.0),
            (adjust_saturation, self.saturation, 1.0),
            (adjust_hue, self.hue, 0.0),
        )
        order = torch.randperm(len(turns), generator=generator, device=generator.device).tolist()
        for place in order:
            adjust, amount, middle = turns[place]
            low = max(0.0, middle - amount) if middle else -amount
            factor = uniform(low, middle + amount, (len(x), 1, 1, 1), generator)
            if amount:
                x = adjust(x, factor.to(x.device))
        return x
