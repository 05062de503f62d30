"""Normalisation: exact statistics of the chosen images, and their use."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from nasdsl.training.data.normalize import Channels, measure
from nasdsl.training.data.sources import DataError


def images(n: int = 20) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 3, 5, 4), dtype=np.uint8)


def test_bytes_are_measured_exactly() -> None:
    x = images()
    channels = measure(x)
    wide = x.astype(np.float64) / 255
    np.testing.assert_allclose(channels.mean, wide.mean(axis=(0, 2, 3)), rtol=1e-14)
    np.testing.assert_allclose(channels.std, wide.std(axis=(0, 2, 3)), rtol=1e-13)
    total = sum(int(v) for v in x[:, 0].ravel())
    assert channels.mean[0] == float(Fraction(total, 20 * 5 * 4 * 255))


def test_only_the_given_training_images_are_measured() -> None:
    x = images()
    changed = x.copy()
    changed[10:] = 0
    assert measure(x, range(10)) == measure(changed, range(10)) == measure(x[:10])
    assert measure(x) != measure(changed)


def test_float_images_and_constant_channels() -> None:
    x = np.stack([np.full((6, 6), 0.1), np.arange(36.0).reshape(6, 6)])[None].astype(np.float32)
    channels = measure(np.repeat(x, 3, axis=0))
    assert channels.std[0] == 1.0
    assert channels.mean[0] == float(np.float32(0.1))
    np.testing.assert_allclose(channels.std[1], np.arange(36).std())


def test_normalised_training_images_have_mean_0_and_deviation_1() -> None:
    x = images()
    kept = torch.from_numpy(x.copy())
    out = measure(x)(kept)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        out.var(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0
    )
    assert (kept.numpy() == x).all()


def test_given_statistics_are_applied_as_torchvision_does() -> None:
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    channels = Channels(mean=(half, 0.25), std=(0.5, quarter))  # type: ignore[arg-type]
    x = torch.rand(2, 2, 3, 3)
    before = x.clone()
    expected = torch.stack([(x[:, 0] - 0.5) / 0.5, (x[:, 1] - 0.25) / 0.25], dim=1)
    assert torch.equal(channels(x), expected)
    assert torch.equal(x, before)


def test_wrong_statistics_are_refused() -> None:
    with pytest.raises(DataError, match="one of each per channel"):
        Channels(mean=(0.5,), std=(0.5, 0.5))
    with pytest.raises(DataError, match="positive"):
        Channels(mean=(0.5,), std=(0.0,))
    with pytest.raises(DataError, match="not finite"):
        Channels(mean=(float("nan"),), std=(1.0,))
    with pytest.raises(DataError, match="the images have 3"):
        Channels(mean=(0.5,), std=(1.0,))(torch.rand(1, 3, 2, 2))
    with pytest.raises(DataError, match="no images"):
        measure(images(), [])
