"""Series and tables that are made: what tells their classes is there, and nowhere else."""

import numpy as np
import pytest

from nasdsl import driver
from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.generated import PIECE
from nasdsl.training.data.sources import read


def waves(**options):
    return read("waveforms", (), {"count": 400, **options}, kind="series")


def table(**options):
    return read("interactions", (), {"count": 4000, **options}, kind="features")


def test_a_seed_gives_the_same_series_and_parts_of_their_own():
    data = waves(seed=3)
    assert data.shape == (1, 64) and data.classes == 4 and len(data.test_x) == 80
    assert (data.train_x == waves(seed=3).train_x).all()
    assert (data.train_x != waves(seed=4).train_x).any()
    assert not (data.train_x[:80] == data.test_x).any(axis=(1, 2)).any()
    assert (np.bincount(data.train_y) == 100).all()


def test_without_noise_a_series_is_its_piece():
    data = waves(noise=0, length=40)
    for x, y in zip(data.train_x[:40, 0], data.train_y[:40], strict=True):
        (places,) = np.nonzero(np.abs(x) > 1e-6)
        assert places[-1] - places[0] < PIECE
        piece = x[places[0] : places[-1] + 1]
        flat = len(np.unique(np.abs(piece).round(4)))
        assert (flat == 1) == (y == 1)  # only the square has one height


def test_classes_are_the_products_and_no_column_tells():
    data = table(noise=0)
    x, y = data.train_x, data.train_y
    assert (y == (x[:, 0] * x[:, 1] > 0).astype(int) + (x[:, 2] * x[:, 3] > 0)).all()
    assert abs(np.bincount(y) / len(y) - (0.25, 0.5, 0.25)).max() < 0.03
    for column in x.T:  # within four deviations of none
        assert abs(np.corrcoef(column, y)[0, 1]) < 4 / np.sqrt(len(y))


@pytest.mark.parametrize(
    ("source", "kind", "options"),
    [
        ("waveforms", "series", {"length": 31}),
        ("waveforms", "series", {"count": 3}),
        ("waveforms", "series", {"noise": -1}),
        ("waveforms", "series", {"columns": 3}),
        ("waveforms", "image", {}),
        ("interactions", "features", {"columns": 3}),
        ("interactions", "features", {"seed": -1}),
        ("interactions", "series", {}),
    ],
)
def test_what_cannot_be_made_is_refused(source, kind, options):
    with pytest.raises(DataError, match=source):
        read(source, (), options, kind=kind)


def test_the_bundled_ones_are_as_declared():
    loaded = driver.load(driver.where_bundled("waveforms64", "dataset"))
    for name in loaded.program.names("dataset"):
        made = loaded.program.settings("dataset", name)
        source, shape = made.get("source"), made.get("shape")
        options = {k: v for k, v in source.args if v is not None}
        data = read(source.name, (), options, kind=shape.kind)
        assert data.shape == tuple(shape.dims) and data.classes == made.get("classes")
