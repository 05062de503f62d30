"""Batches by the kernel against the tensor operations: the same draws and the same bits."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdsl.kernels import batches as kernels
from nasdsl.kernels.level import LEVELS, level
from nasdsl.kernels.toolchain import Missing, toolchain
from nasdsl.training.data.augment import Crop, Cutout, Flip, Pipeline, RandomResizedCrop, Step
from nasdsl.training.data.batches import Images, Stream
from nasdsl.training.data.colour import ColorJitter
from nasdsl.training.data.normalize import Channels
from nasdsl.training.data.taking import kernel

compiled = pytest.mark.skipif(isinstance(toolchain(), Missing), reason="no C++ compiler")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stored(n: int, c: int, h: int, w: int) -> Images:
    draw = np.random.default_rng(c)
    x = draw.integers(0, 256, (n, c, h, w), dtype=np.uint8)
    mean, std = draw.random(c), 0.05 + draw.random(c)
    return Images.put(x, np.arange(n), Channels(mean=tuple(mean), std=tuple(std)))


def same(images: Images, chosen: torch.Tensor, steps: Pipeline | None, seed: int = 0) -> None:
    """Kernel and tensors agree: bits, places in memory, and what is drawn afterwards."""
    first, second = seeded(seed), seeded(seed)
    x, y = images.take(chosen, steps, first)
    with patch("nasdsl.training.data.images.kernel", return_value=None):
        expected, labels = images.take(chosen, steps, second)
    assert x.dtype == torch.float32 and torch.equal(y, labels)
    assert torch.equal(x.view(torch.int32), expected.view(torch.int32))
    assert x.stride() == expected.stride()
    assert torch.equal(first.get_state(), second.get_state())


@st.composite
def pipelines(draw: st.DrawFn, h: int, w: int) -> Pipeline:
    made: list[Step] = []
    for kind in draw(st.lists(st.sampled_from(["crop", "flip", "cutout"]), max_size=5)):
        if kind == "crop":
            border = draw(st.integers(0, 4))
            size = draw(st.integers(1, min(h, w) + 2 * border))
            made.append(Crop(size, border))
            h = w = size
        else:
            made.append(Flip(0.6) if kind == "flip" else Cutout(draw(st.integers(0, 12))))
    return Pipeline(tuple(made))


@compiled
@given(st.data(), st.integers(1, 5), st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
@settings(deadline=None, max_examples=150)
def test_any_order_of_crops_flips_and_cuts_has_the_same_bits(
    data: st.DataObject, c: int, h: int, w: int, seed: int
) -> None:
    images = stored(7, c, h, w)
    chosen = torch.tensor(data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=9)))
    assert kernel(images.x) is not None
    same(images, chosen, data.draw(pipelines(h, w)), seed)


DARTS = Pipeline((Crop(32, 4), Flip(), Cutout(16)))


@compiled
@pytest.mark.parametrize("name", [n for n, a in LEVELS.items() if a.needs <= level().needs])
def test_every_byte_has_the_same_bits_on_every_processor(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASDSL_CPU_LEVEL", name)
    bytes_ = np.arange(256, dtype=np.uint8).repeat(3 * 2).reshape(256, 1, 2, 3)
    x = bytes_.repeat(3, axis=1)
    draw = np.random.default_rng(0)
    for _ in range(40):
        channels = Channels(mean=tuple(draw.random(3)), std=tuple(draw.random(3) + 1e-3))
        same(Images.put(x, np.arange(256), channels), torch.arange(256), None)
    same(stored(20, 3, 32, 32), torch.arange(20), DARTS)
    same(stored(20, 1, 28, 28), torch.arange(20), Pipeline((Flip(), Crop(24))))


@compiled
def test_steps_that_do_more_than_move_follow_by_themselves() -> None:
    images = stored(12, 3, 16, 16)
    chosen = torch.arange(11, -1, -1)
    same(images, chosen, Pipeline((Flip(), RandomResizedCrop(9), Cutout(3))))
    same(images, chosen, Pipeline((Crop(16, 2), ColorJitter(0.4), Flip())))


@compiled
def test_the_number_of_threads_changes_nothing() -> None:
    images = stored(64, 3, 32, 32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = images.take(torch.arange(64), DARTS, seeded(3))[0]
        torch.set_num_threads(2)
        assert torch.equal(one, images.take(torch.arange(64), DARTS, seeded(3))[0])
    finally:
        torch.set_num_threads(before)


@compiled
@pytest.mark.parametrize("wrong", [-1, 5, 2**40])
def test_an_image_that_is_not_there_is_refused(wrong: int) -> None:
    with pytest.raises(IndexError, match=r"0\.\.4"):
        stored(5, 3, 8, 8).take(torch.tensor([0, wrong]))


def test_without_a_compiler_streams_give_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    images = stored(20, 3, 32, 32)

    def batches() -> list[torch.Tensor]:
        source = Stream(images, range(20), batch_size=8, seed=0, name="train", augment=DARTS)
        return [source.next_batch()[0] for _ in range(4)]

    first = batches()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert isinstance(kernels.batches(), Missing) and kernel(images.x) is None
    assert all(torch.equal(a, b) for a, b in zip(first, batches(), strict=True))


def test_floats_and_what_is_no_image_are_taken_by_tensors() -> None:
    assert kernel(torch.zeros(2, 3, 4, 4)) is None
    assert kernel(torch.zeros(2, 3, 4, dtype=torch.uint8)) is None


def test_images_have_their_channels_last() -> None:
    x, _ = stored(4, 3, 8, 8).take(torch.arange(4))
    assert x.is_contiguous(memory_format=torch.channels_last)
