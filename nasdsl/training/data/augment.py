"""Random changes to batches of training images, drawn per image, without a loop over images.

All randomness comes from the generator that is passed in. Draws are made on the generator's own
device and then moved, so a CPU generator gives the same augmentation on every device. Inputs are
float NCHW and are never changed in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_borders

from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.colour import ColorJitter
from nasdsl.training.data.draws import integers, uniform


class Step(Protocol):
    """One augmentation: a batch and a source of randomness give a new batch.

    `pixels` says that the step needs values in 0..1, so it must come before normalisation.
    """

    pixels: ClassVar[bool]

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor: ...


def _there(drawn: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, ...]:
    """Draws on the device of the images."""
    return tuple(each.to(x.device, non_blocking=True) for each in drawn)


# --- crop ---------------------------------------------------------------------------------------


def crop_at(x: Tensor, top: Tensor, left: Tensor, size: int, pad: int) -> Tensor:
    """The `size` x `size` window of each image at (top, left) of the image padded with zeros.

    `top` and `left` hold one integer per image, 0..side + 2 * pad - size.
    """
    padded = pad_borders(x, (pad, pad, pad, pad))
    windows = padded.unfold(2, size, 1).unfold(3, size, 1)  # a view: N, C, rows, columns, h, w
    return windows[torch.arange(len(x), device=x.device), :, top, left]


@dataclass(frozen=True, slots=True)
class Crop:
    """A window of `size` x `size` pixels at a random place of the image padded by `pad` pixels.

    The border is zero: black in pixels, the mean colour in a normalised image.
    """

    size: int
    pad: int = 0
    pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _whole("crop", "size", self.size, least=1)
        _whole("crop", "pad", self.pad, least=0)

    def draw(
        self, n: int, sides: Sequence[int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Top and left of `n` windows of images of these sides, on the generator's device."""
        rows, columns = (side + 2 * self.pad - self.size + 1 for side in sides)
        if rows < 1 or columns < 1:
            raise DataError(
                f"crop: {self.size} pixels asked of images of {sides[0]}x{sides[1]} padded by "
                f"{self.pad}; make size smaller or pad larger"
            )
        return integers(rows, n, generator), integers(columns, n, generator)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        top, left = _there(self.draw(len(x), x.shape[2:], generator), x)
        return crop_at(x, top, left, self.size, self.pad)


# --- flip ---------------------------------------------------------------------------------------


def flip_where(x: Tensor, chosen: Tensor) -> Tensor:
    """The batch with the images that the boolean `chosen` marks mirrored left to right."""
    return torch.where(chosen[:, None, None, None], x.flip(-1), x)


@dataclass(frozen=True, slots=True)
class Flip:
    """Mirrors each image left to right with probability `p`."""

    p: float = 0.5
    pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise DataError(f"flip: p is {self.p}; expected a probability 0..1")

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Which of `n` images are mirrored: booleans, on the generator's device."""
        return torch.rand(n, generator=generator, device=generator.device) < self.p

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return flip_where(x, *_there((self.draw(len(x), generator),), x))


# --- cutout -------------------------------------------------------------------------------------


def cutout_at(x: Tensor, cy: Tensor, cx: Tensor, length: int) -> Tensor:
    """Each image with a square of zeros, rows cy - length//2 up to cy - length//2 + length.

    The square is clipped at the border. DeVries and Taylor 2017 (arXiv:1708.04552), except that an
    odd length is kept: their code loses a row and a column of it.
    """
    height, width = x.shape[2:]
    rows = _inside(height, cy, length)
    columns = _inside(width, cx, length)
    hole = rows[:, None, :, None] & columns[:, None, None, :]
    return x.masked_fill(hole, 0)


def _inside(side: int, centre: Tensor, length: int) -> Tensor:
    """Boolean (N, side): which places of a line lie in the cut."""
    start = centre[:, None] - length // 2
    place = torch.arange(side, device=centre.device)[None]
    return (place >= start) & (place < start + length)


@dataclass(frozen=True, slots=True)
class Cutout:
    """Zeroes a square of `length` pixels whose centre is uniform over the image's pixels.

    A length of 0 does nothing; twice the image's side always zeroes all of it.
    """

    length: int
    pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _whole("cutout", "length", self.length, least=0)

    def draw(
        self, n: int, sides: Sequence[int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Row and column of `n` centres in images of these sides, on the generator's device."""
        return integers(sides[0], n, generator), integers(sides[1], n, generator)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        cy, cx = _there(self.draw(len(x), x.shape[2:], generator), x)
        return cutout_at(x, cy, cx, self.length)


# --- random resized crop ------------------------------------------------------------------------


def resize_at(
    x: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor, size: int
) -> Tensor:
    """The given box of each image, resized to `size` x `size`: bilinear with antialiasing.

    Boxes are whole pixels, one per image. Equals
    `interpolate(box, (size, size), mode="bilinear", antialias=True)` on each box by itself.
    """
    rows = _triangle(x.shape[2], top, height, size).to(x.dtype)
    columns = _triangle(x.shape[3], left, width, size).to(x.dtype)
    return rows[:, None] @ x @ columns[:, None].transpose(2, 3)


def _triangle(side: int, start: Tensor, extent: Tensor, size: int) -> Tensor:
    """(N, size, side): weight of each source place in each target place, rows summing to 1."""
    scale = extent.to(torch.float64)[:, None, None] / size
    support = scale.clamp(min=1)
    target = torch.arange(size, device=start.device, dtype=torch.float64)[None, :, None]
    place = torch.arange(side, device=start.device)[None, None, :]
    within = place - start[:, None, None]
    distance = (within + 0.5 - (target + 0.5) * scale) / support
    weight = (1 - distance.abs()).clamp(min=0)
    weight = weight * ((within >= 0) & (within < extent[:, None, None]))
    return weight / weight.sum(dim=2, keepdim=True)


@dataclass(frozen=True, slots=True)
class RandomResizedCrop:
    """A box of random area and shape at a random place, resized to `size` x `size`.

    The area is uniform in `scale` of the image's, the logarithm of width / height in `ratio`; the
    first of ten draws that fits is taken, else the largest central box with a permitted ratio
    (Szegedy et al. 2014, arXiv:1409.4842, as in torchvision).
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _whole("random_resized_crop", "size", self.size, least=1)
        for name, pair in (("scale", self.scale), ("ratio", self.ratio)):
            if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
                raise DataError(f"random_resized_crop: {name} is {pair}; expected 0 < low <= high")

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return resize_at(x, *self.boxes(x, generator), self.size)

    def boxes(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Random (top, left, height, width), one integer per image each."""
        n, (image_height, image_width) = len(x), x.shape[2:]
        area = image_height * image_width * uniform(*self.scale, (n, 10), generator)
        low, high = (math.log(r) for r in self.ratio)
        ratio = uniform(low, high, (n, 10), generator).exp()
        width = (area * ratio).sqrt().round().long()
        height = (area / ratio).sqrt().round().long()
        fits = (width > 0) & (width <= image_width) & (height > 0) & (height <= image_height)
        first = fits.long().argmax(dim=1, keepdim=True)
        none = ~fits.any(dim=1)
        spare_height, spare_width = self._central(image_height, image_width)
        height = height.gather(1, first)[:, 0].masked_fill(none, spare_height)
        width = width.gather(1, first)[:, 0].masked_fill(none, spare_width)
        down, right = uniform(0, 1, (2, n), generator)
        room_down, room_right = image_height - height, image_width - width
        top = torch.minimum((down * (room_down + 1)).long(), room_down)
        left = torch.minimum((right * (room_right + 1)).long(), room_right)
        top = torch.where(none, room_down // 2, top)
        left = torch.where(none, room_right // 2, left)
        return top.to(x.device), left.to(x.device), height.to(x.device), width.to(x.device)

    def _central(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the largest box whose ratio is permitted, at least one pixel."""
        if width / height < self.ratio[0]:
            return max(1, min(height, round(width / self.ratio[0]))), width
        if width / height > self.ratio[1]:
            return height, max(1, min(width, round(height * self.ratio[1])))
        return height, width


# --- pipelines ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Steps one after another.

    `before` and `after` are the two halves around normalisation: everything up to the last step
    that needs pixels in 0..1 comes before it, the rest after.
    """

    steps: tuple[Step, ...] = ()

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        for step in self.steps:
            x = step(x, generator)
        return x

    @property
    def before(self) -> Pipeline:
        """The steps that want pixels in 0..1."""
        return Pipeline(self.steps[: self._cut()])

    @property
    def after(self) -> Pipeline:
        """The steps that want normalised values."""
        return Pipeline(self.steps[self._cut() :])

    def _cut(self) -> int:
        return max((i + 1 for i, step in enumerate(self.steps) if step.pixels), default=0)


AUGMENTATIONS: Mapping[str, Callable[..., Step]] = {
    "crop": Crop,
    "flip": Flip,
    "cutout": Cutout,
    "color_jitter": ColorJitter,
    "random_resized_crop": RandomResizedCrop,
}


def build(
    steps: Sequence[tuple[str, tuple[object, ...], Mapping[str, object]]],
) -> Pipeline:
    """The pipeline of `(name, arguments, keyword arguments)` steps.

    Exact fractions become ordinary numbers. Raises DataError for a name or an argument that does
    not exist, and for a value out of range.
    """
    built: list[Step] = []
    for name, args, kwargs in steps:
        constructor = AUGMENTATIONS.get(name)
        if constructor is None:
            raise DataError(
                f"unknown augmentation `{name}`; known: {', '.join(sorted(AUGMENTATIONS))}"
            )
        plain = {key: _plain(value) for key, value in kwargs.items()}
        try:
            built.append(constructor(*map(_plain, args), **plain))
        except TypeError as problem:
            raise DataError(f"{name}: {str(problem).split('__init__() ')[-1]}") from problem
    return Pipeline(tuple(built))


def _plain(value: object) -> object:
    if isinstance(value, Fraction | Decimal):
        return int(value) if value == int(value) else float(value)
    if isinstance(value, list | tuple):
        return tuple(_plain(v) for v in value)
    return value


def _whole(step: str, name: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise DataError(f"{step}: {name} is {value!r}; expected an integer from {least}")
