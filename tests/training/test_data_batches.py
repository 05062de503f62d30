"""The training stream and the evaluation pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nasdsl.training.data.augment import ColorJitter, Crop, Cutout, Flip, Pipeline
from nasdsl.training.data.batches import Evaluation, Images, Stream, derived_seed
from nasdsl.training.data.normalize import Channels
from nasdsl.training.data.sources import DataError

AUGMENT = Pipeline((Crop(8, 2), Flip(), Cutout(3)))


def stored(n: int = 40) -> Images:
    x = np.random.default_rng(0).integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)
    channels = Channels(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    return Images.put(x, np.arange(n), channels)  # the label is the index


def stream(n: int, batch_size: int, **changes: object) -> Stream:
    options = {"seed": 0, "name": "train", **changes}
    return Stream(stored(), range(n), batch_size=batch_size, **options)  # type: ignore[arg-type]


def labels(source: Stream, count: int) -> list[list[int]]:
    return [source.next_batch()[1].tolist() for _ in range(count)]


def test_five_validation_batches_of_two_cover_all_ten_images_and_the_sixth_starts_anew() -> None:
    source = stream(10, 2)
    first, second = labels(source, 5), labels(source, 5)
    assert source.batches_per_pass == 5
    assert sorted(sum(first, [])) == list(range(10)) == sorted(sum(second, []))
    assert first != second


def test_a_short_last_batch_is_dropped_and_another_image_each_pass() -> None:
    source = stream(9, 4)
    assert source.batches_per_pass == 2
    passes = [set(range(9)) - set(sum(labels(source, 2), [])) for _ in range(12)]
    assert all(len(left_out) == 1 for left_out in passes)
    assert len(set.union(*passes)) > 3


def test_a_set_smaller_than_the_batch_is_one_batch() -> None:
    source = stream(3, 8)
    assert source.batches_per_pass == 1
    assert [sorted(batch) for batch in labels(source, 3)] == [[0, 1, 2]] * 3


def test_only_the_given_indices_are_seen() -> None:
    chosen = [31, 7, 12, 0]
    source = Stream(stored(), chosen, batch_size=2, seed=0, name="valid")
    assert set(sum(labels(source, 6), [])) == set(chosen)


@pytest.mark.parametrize("stop", [0, 1, 4, 5, 6, 13])
def test_a_restored_stream_continues_bit_for_bit(stop: int) -> None:
    whole = stream(10, 2, augment=AUGMENT)
    for _ in range(stop):
        whole.next_batch()
    state = whole.state()
    rest = [whole.next_batch() for _ in range(8)]
    torch.manual_seed(99)  # the global generator must not matter
    resumed = stream(10, 2, augment=AUGMENT)
    resumed.restore(list(state))
    for x, y in rest:
        again_x, again_y = resumed.next_batch()
        assert torch.equal(x, again_x) and torch.equal(y, again_y)
    assert resumed.state() == whole.state()


def test_a_stream_can_be_set_back() -> None:
    source = stream(10, 2, augment=AUGMENT)
    x, _ = source.next_batch()
    for _ in range(7):
        source.next_batch()
    source.restore((0, 0))
    assert torch.equal(source.next_batch()[0], x)


def test_streams_differ_by_seed_and_by_name() -> None:
    base = labels(stream(20, 4), 5)
    assert base == labels(stream(20, 4), 5)
    assert base != labels(stream(20, 4, seed=1), 5)
    assert base != labels(stream(20, 4, name="valid"), 5)


def test_augmentation_differs_between_passes_and_leaves_the_stored_images() -> None:
    images = stored()
    before = images.x.clone()
    source = Stream(images, [5], batch_size=1, seed=0, name="train", augment=AUGMENT)
    seen = {tuple(source.next_batch()[0].flatten().tolist()) for _ in range(6)}
    assert len(seen) == 6
    assert torch.equal(images.x, before)


def test_batches_are_normalised_and_pixel_steps_come_first() -> None:
    images = stored()
    plain, _ = Stream(images, [3], batch_size=1, seed=0, name="a").next_batch()
    expected = (images.x[3:4].float() / 255 - images.mean) / images.std
    assert torch.equal(plain, expected)
    jitter = Pipeline((ColorJitter(0.4),))
    x, _ = Stream(images, [3], batch_size=1, seed=0, name="a", augment=jitter).next_batch()
    pixels = x * images.std + images.mean
    assert pixels.min() > -1e-6 and pixels.max() < 1 + 1e-6


def test_two_evaluation_passes_are_identical_ordered_and_complete() -> None:
    evaluation = Evaluation(stored(), [4, 9, 1, 0, 7], batch_size=2)
    first, second = list(evaluation), list(evaluation)
    assert [y.tolist() for _, y in first] == [[4, 9], [1, 0], [7]]
    assert all(
        torch.equal(a, c) and torch.equal(b, d)
        for (a, b), (c, d) in zip(first, second, strict=True)
    )
    assert (len(evaluation), evaluation.count) == (3, 5)


def test_what_cannot_be_streamed_is_refused() -> None:
    with pytest.raises(DataError, match="train: has no images"):
        stream(0, 2)
    with pytest.raises(DataError, match="batch is 0"):
        stream(4, 0)
    with pytest.raises(DataError, match=r"leave the data, 0\.\.39"):
        stream(41, 2)
    with pytest.raises(DataError, match="no images"):
        Evaluation(stored(), [], batch_size=2)
    with pytest.raises(DataError, match="the batch size or the split"):
        stream(10, 2).restore((0, 6))
    with pytest.raises(DataError, match="do not agree"):
        Images.put(np.zeros((2, 1, 4, 4)), np.zeros(3), Channels(mean=(0,), std=(1,)))
    with pytest.raises(DataError, match="the images have 1"):
        Images.put(np.zeros((2, 1, 4, 4)), np.zeros(2), Channels(mean=(0, 0), std=(1, 1)))


def test_derived_seeds_do_not_change_between_releases() -> None:
    assert derived_seed(0, "train", "order", 0) == derived_seed(0, "train", "order", 0)
    assert derived_seed(1, "a") != derived_seed("1", "a") != derived_seed("a", 1)
    assert derived_seed(0, "train") == 187477601
