"""Batched augmentation against plain loops over images."""

from __future__ import annotations

import colorsys
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate, pad

from nasdsl.training.data.augment import (
    AUGMENTATIONS,
    ColorJitter,
    Crop,
    Cutout,
    Flip,
    Pipeline,
    RandomResizedCrop,
    build,
    crop_at,
    cutout_at,
    flip_where,
    resize_at,
)
from nasdsl.training.data.colour import adjust_contrast, adjust_hue, adjust_saturation
from nasdsl.training.data.sources import DataError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(n: int, c: int, h: int, w: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(n, c, h, w, generator=seeded(seed)) + 0.01


sides = st.integers(1, 9)


@given(st.data(), st.integers(1, 4), st.integers(1, 3), sides, sides, st.integers(0, 3))
@settings(deadline=None, max_examples=50)
def test_crop_equals_a_loop_over_images(
    data: st.DataObject, n: int, c: int, h: int, w: int, border: int
) -> None:
    x = batch(n, c, h, w)
    size = data.draw(st.integers(1, min(h, w) + 2 * border))
    draw = lambda side: data.draw(  # noqa: E731
        st.lists(st.integers(0, side + 2 * border - size), min_size=n, max_size=n)
    )
    top, left = draw(h), draw(w)
    out = crop_at(x, torch.tensor(top), torch.tensor(left), size, border)
    for i in range(n):
        padded = pad(x[i], (border,) * 4)
        expected = padded[:, top[i] : top[i] + size, left[i] : left[i] + size]
        assert torch.equal(out[i], expected)


@given(st.data(), st.integers(1, 4), sides, sides, st.integers(0, 25))
@settings(deadline=None, max_examples=50)
def test_cutout_equals_a_loop_over_images(
    data: st.DataObject, n: int, h: int, w: int, length: int
) -> None:
    x = batch(n, 2, h, w)
    before = x.clone()
    cy = data.draw(st.lists(st.integers(0, h - 1), min_size=n, max_size=n))
    cx = data.draw(st.lists(st.integers(0, w - 1), min_size=n, max_size=n))
    out = cutout_at(x, torch.tensor(cy), torch.tensor(cx), length)
    for i in range(n):
        expected = x[i].clone()
        top, left = cy[i] - length // 2, cx[i] - length // 2
        expected[:, max(0, top) : max(0, top + length), max(0, left) : max(0, left + length)] = 0
        assert torch.equal(out[i], expected)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("length", "centre", "corner"),
    [(0, 0, 0), (1, 1, 1), (15, 225, 64), (16, 256, 64), (64, 1024, 1024), (200, 1024, 1024)],
)
def test_cutout_zeroes_the_right_number_of_pixels(length: int, centre: int, corner: int) -> None:
    x = torch.ones(2, 3, 32, 32)
    out = cutout_at(x, torch.tensor([16, 0]), torch.tensor([16, 0]), length)
    assert (out[0, 0] == 0).sum() == centre
    assert (out[1, 2] == 0).sum() == corner


def test_cutout_centres_are_uniform_over_all_pixels() -> None:
    out = Cutout(1)(torch.ones(4000, 1, 4, 4), seeded())
    hits = (out == 0).sum(dim=(0, 1)).flatten()
    assert hits.sum() == 4000
    assert hits.min() > 190 and hits.max() < 310  # 250 expected, deviation 15


def test_cutout_of_nan_is_zero() -> None:
    assert (Cutout(64)(torch.full((1, 1, 8, 8), torch.nan), seeded()) == 0).all()


def test_flip_mirrors_the_chosen_images_only() -> None:
    x = batch(3, 2, 4, 5)
    out = flip_where(x, torch.tensor([True, False, True]))
    assert torch.equal(out[0], x[0].flip(-1))
    assert torch.equal(out[1], x[1])
    assert torch.equal(Flip(0.0)(x, seeded()), x)
    assert torch.equal(Flip(1.0)(x, seeded()), x.flip(-1))
    big = batch(2000, 1, 1, 2)
    share = (Flip()(big, seeded()) != big).any(dim=3).float().mean()
    assert 0.45 < share < 0.55


def test_crop_reaches_every_place_equally() -> None:
    x = torch.zeros(9000, 1, 4, 4)
    x[:, :, 1, 1] = 1
    out = Crop(4, pad=1)(x, seeded())
    hits = out.sum(dim=(0, 1))[:3, :3].flatten()
    assert hits.sum() == 9000
    assert hits.min() > 850 and hits.max() < 1150


def test_crop_larger_than_the_padded_image_is_refused() -> None:
    with pytest.raises(DataError, match="make size smaller"):
        Crop(9, pad=1)(batch(1, 1, 6, 9), seeded())


@given(st.data(), st.integers(2, 9), st.integers(2, 9), st.integers(1, 12))
@settings(deadline=None, max_examples=40)
def test_resized_boxes_equal_torch_interpolate_one_by_one(
    data: st.DataObject, h: int, w: int, size: int
) -> None:
    x = batch(3, 2, h, w).double()
    boxes = []
    for _ in range(3):
        top, left = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
        boxes.append(
            (top, left, data.draw(st.integers(1, h - top)), data.draw(st.integers(1, w - left)))
        )
    out = resize_at(x, *map(torch.tensor, zip(*boxes, strict=True)), size)
    for i, (top, left, height, width) in enumerate(boxes):
        box = x[i : i + 1, :, top : top + height, left : left + width]
        expected = interpolate(box, (size, size), mode="bilinear", antialias=True)
        torch.testing.assert_close(out[i], expected[0], atol=1e-9, rtol=0)


def test_random_boxes_lie_in_the_image_and_have_the_asked_area_and_ratio() -> None:
    x = torch.zeros(3000, 1, 60, 80)
    top, left, height, width = RandomResizedCrop(16).boxes(x, seeded())
    assert (top >= 0).all() and (top + height <= 60).all() and (height > 0).all()
    assert (left >= 0).all() and (left + width <= 80).all() and (width > 0).all()
    area = height * width / (60 * 80)
    assert area.min() > 0.07 and area.max() <= 1.0
    ratio = width / height
    assert ratio.min() > 0.7 and ratio.max() < 1.4
    assert (top == 60 - height).any() and (top == 0).any()


def test_a_box_that_never_fits_becomes_the_largest_central_one() -> None:
    x = torch.zeros(5, 1, 4, 40)
    step = RandomResizedCrop(8, scale=(1.0, 1.0))
    top, left, height, width = (v.unique().tolist() for v in step.boxes(x, seeded()))
    assert (top, left, height, width) == ([0], [17], [4], [5])
    assert step(x, seeded()).shape == (5, 1, 8, 8)


def test_hue_equals_the_standard_library_pixel_by_pixel() -> None:
    x = torch.rand(2, 3, 4, 4, generator=seeded())
    x[0, :, 0, 0] = 0.3  # grey: hue undefined
    shift = torch.tensor([0.2, -0.45])
    out = adjust_hue(x, shift[:, None, None, None])
    for i in range(2):
        for r in range(4):
            for c in range(4):
                h, s, v = colorsys.rgb_to_hsv(*x[i, :, r, c].tolist())
                expected = colorsys.hsv_to_rgb((h + shift[i].item()) % 1, s, v)
                assert out[i, :, r, c].tolist() == pytest.approx(expected, abs=1e-5)


def test_factor_0_gives_the_grey_image_and_1_the_same() -> None:
    x = torch.rand(2, 3, 4, 4, generator=seeded())
    factor = torch.tensor([0.0, 1.0])[:, None, None, None]
    grey = 0.299 * x[0, 0] + 0.587 * x[0, 1] + 0.114 * x[0, 2]
    saturated, contrasted = adjust_saturation(x, factor), adjust_contrast(x, factor)
    torch.testing.assert_close(saturated[0], grey.expand(3, 4, 4))
    torch.testing.assert_close(contrasted[0], grey.mean().expand(3, 4, 4))
    assert torch.equal(saturated[1], x[1]) and torch.equal(contrasted[1], x[1])


def test_color_jitter_stays_in_range_and_changes_images_differently() -> None:
    x = batch(1, 3, 6, 6).clamp(0, 1).expand(8, -1, -1, -1)
    out = ColorJitter(0.4, 0.4, 0.4, hue=0.2)(x, seeded())
    assert out.min() >= 0 and out.max() <= 1
    assert len({tuple(image.flatten().tolist()) for image in out}) == 8
    assert torch.equal(ColorJitter()(x, seeded()), x)
    assert ColorJitter(0.4, 0.4, 0.4, 0.2)(x[:, :1], seeded()).shape == (8, 1, 6, 6)
    with pytest.raises(DataError, match="1 or 3 channels"):
        ColorJitter(0.1)(x[:, :2], seeded())


EVERY = Pipeline(
    (RandomResizedCrop(8), ColorJitter(0.4, 0.4, 0.4, 0.1), Crop(8, 2), Flip(), Cutout(3))
)


@pytest.mark.parametrize("step", EVERY.steps, ids=lambda step: type(step).__name__)
def test_steps_keep_their_input_and_depend_on_the_generator_alone(step: object) -> None:
    x = batch(6, 3, 8, 8).clamp(0, 1)
    before = x.clone()
    torch.manual_seed(0)
    first = step(x, seeded(5))  # type: ignore[operator]
    torch.manual_seed(1)
    assert torch.equal(first, step(x, seeded(5)))  # type: ignore[operator]
    assert not torch.equal(first, step(x, seeded(6)))  # type: ignore[operator]
    assert torch.equal(x, before)
    assert first.shape == x.shape and first.dtype == x.dtype


def test_a_pipeline_is_cut_after_the_last_step_that_needs_pixels() -> None:
    assert [type(s).__name__ for s in EVERY.before.steps] == ["RandomResizedCrop", "ColorJitter"]
    assert [type(s).__name__ for s in EVERY.after.steps] == ["Crop", "Flip", "Cutout"]
    assert Pipeline((Crop(8, 2), Flip())).before == Pipeline()


def test_build_takes_the_languages_values() -> None:
    built = build(
        [
            ("crop", (Fraction(32),), {"pad": Fraction(4)}),
            ("flip", (), {}),
            ("cutout", (16,), {}),
            ("color_jitter", (Fraction(2, 5),), {"hue": Fraction(1, 5)}),
            ("random_resized_crop", (224,), {"scale": [Fraction(1, 2), 1]}),
        ]
    )
    assert built == Pipeline(
        (
            Crop(32, 4),
            Flip(),
            Cutout(16),
            ColorJitter(0.4, hue=0.2),
            RandomResizedCrop(224, scale=(0.5, 1)),
        )
    )
    assert len(AUGMENTATIONS) == 5


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (("blur", (), {}), "unknown augmentation `blur`; known: color_jitter, crop"),
        (("cutout", (), {}), "cutout: missing 1 required positional argument: 'length'"),
        (("crop", (32,), {"padding": 4}), "unexpected keyword argument 'padding'"),
        (("crop", (Fraction(1, 2),), {}), "crop: size is 0.5; expected an integer from 1"),
        (("cutout", (-1,), {}), "cutout: length is -1"),
        (("flip", (2,), {}), "flip: p is 2"),
        (("color_jitter", (), {"hue": 0.7}), "hue is 0.7"),
        (("random_resized_crop", (8,), {"ratio": (2, 1)}), "expected 0 < low <= high"),
    ],
)
def test_build_refuses_with_one_line(step: tuple, words: str) -> None:
    with pytest.raises(DataError) as caught:
        build([step])
    assert words in str(caught.value) and "\n" not in str(caught.value)
