"""Whether two runs are one: what they hold, and the numbers they wrote down."""

from dataclasses import replace

import numpy as np

from nasdsl.training.data.batches import Images


class Doubles(Images):
    """Images in double precision: rounding says nothing about whether two ways are one."""

    __slots__ = ()

    def take(self, indices, augment=None, generator=None):
        x, y = Images.take(self, indices, augment, generator)
        return x.double(), y


def doubled(given):
    """The same inputs in double precision."""

    def of(images):
        return Doubles(x=images.x, y=images.y, mean=images.mean, std=images.std)

    return replace(given, train=of(given.train), test=of(given.test))


def held(task):
    """Everything of a task that is no generator, by name."""
    tensors, _ = task.state()
    return {
        f"{group}|{name}": t.detach().numpy().copy()
        for group, named in tensors.items()
        for name, t in named.items()
        if group != "generators"
    }


def close(found, expected, tolerance):
    """Arrays by name agree within a tolerance."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance, err_msg=name)


def same(found, others):
    """Arrays by name agree to the last bit."""
    for other in others:
        assert found.keys() == other.keys()
        different = [name for name, value in found.items() if not (value == other[name]).all()]
        assert not different


def numbers(value):
    """The numbers of a log, in order, but for the time it took."""
    if isinstance(value, dict):
        return [x for k, v in value.items() if "seconds" not in k for x in numbers(v)]
    if isinstance(value, list | tuple):
        return [x for v in value for x in numbers(v)]
    return [float(value)] if isinstance(value, int | float) else []
