"""Times the input path: our batches against an image at a time, on the same images.

    python tools/bench_data.py                            32 x 32 colour images, as CIFAR-10
    python tools/bench_data.py --images 20000 --seconds 5

All crop with a border of 4, flip, normalise and cut 16 x 16 out, and give batches of float32. The path
`one by one` is what a loader over a folder or an array does with torchvision's transforms: an image
becomes a PIL image, is bordered, cropped and flipped as such, becomes a tensor, is normalised, and has
its square cut by itself; the batch is stacked. It is leaner than theirs: no loader, no samplers, no
checks, draws from `random`. `in batches` is ours, `without kernel` ours where there is no compiler. All
run on one thread, in turns, and the medians are compared. With --step a small search step is timed,
too, and the shares of it that data and the log take.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from nasdsl.training.data.augment import build
from nasdsl.training.data.batches import Images, Stream
from nasdsl.training.data.normalize import Channels

PAD, HOLE = 4, 16
CHANNELS = Channels(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))


def one_by_one(x: np.ndarray, batch: int) -> Iterator[Tensor]:
    """Batches made an image at a time: crop of the bordered image, flip, tensor, normalise, cutout."""
    size = x.shape[2]
    mean, std = CHANNELS.tensors()
    pictures = x.transpose(0, 2, 3, 1).copy()
    draw = random.Random(0)
    order: list[int] = []
    while True:
        if len(order) < batch:
            order = draw.sample(range(len(x)), len(x))
        order, chosen = order[batch:], order[:batch]
        made = []
        for i in chosen:
            image = ImageOps.expand(Image.fromarray(pictures[i]), PAD)
            left, top = draw.randint(0, 2 * PAD), draw.randint(0, 2 * PAD)
            image = image.crop((left, top, left + size, top + size))
            if draw.random() < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
            value = pixels.to(torch.float32).div_(255).sub_(mean).div_(std)
            row, column = draw.randrange(size) - HOLE // 2, draw.randrange(size) - HOLE // 2
            value[:, max(0, row) : row + HOLE, max(0, column) : column + HOLE] = 0
            made.append(value)
        yield torch.stack(made)


def in_batches(x: np.ndarray, batch: int, *, kernel: bool = True) -> Iterator[Tensor]:
    """Our batches."""
    images = Images.put(x, np.zeros(len(x), np.int64), CHANNELS)
    size = x.shape[2]
    steps = build(
        [
            ("crop", (), {"size": size, "pad": PAD}),
            ("flip", (), {}),
            ("cutout", (), {"length": HOLE}),
        ]
    )
    stream = Stream(images, range(len(x)), batch_size=batch, seed=0, name="bench", augment=steps)
    while True:
        with (
            nullcontext()
            if kernel
            else patch("nasdsl.training.data.images.kernel", return_value=None)
        ):
            made = stream.next_batch()[0]
        yield made


def rates(paths: dict[str, Iterator[Tensor]], batch: int, seconds: float) -> dict[str, float]:
    """Images per second of each path: the median over turns of a quarter of a second of processor time."""
    found: dict[str, list[float]] = {name: [] for name in paths}
    for path in paths.values():
        next(path)
    end = time.process_time() + seconds * len(paths)
    while time.process_time() < end or min(map(len, found.values())) < 3:
        for name, path in paths.items():
            count, began = 0, time.process_time()
            while (took := time.process_time() - began) < 0.25:
                next(path)
                count += batch
            found[name].append(count / took)
    return {name: statistics.median(each) for name, each in found.items()}


def share(x: np.ndarray, steps: int) -> tuple[float, dict[str, float]]:
    """Milliseconds of a step in an epoch of a small first-order search, and of what is in it.

    The epoch is driven as a run drives it, into a folder.
    """
    from nasdsl import driver
    from nasdsl.oneshot.metrics import Meter
    from nasdsl.source import Source
    from nasdsl.training import plan as plans
    from nasdsl.training.data.inputs import Inputs
    from nasdsl.training.data.splits import Splits
    from nasdsl.training.kept import Kept
    from nasdsl.training.loop import Moment, drive
    from nasdsl.training.search import Search

    text = (
        'nas 1\nfrom "darts.nas" import darts\nfrom "data/images.nas" import cifar10\n'
        "space d extends darts {\n  C = 8\n  layers = 3\n  data = cifar10\n  target {}\n}\n"
    )
    made = plans.make(
        driver.load(Source.of("bench.nas", text)),
        names={"space": "d", "dataset": "cifar10"}, parameters={}, changes={"epochs": "1"}, seed=0,
    )  # fmt: skip
    x = x[: 2 * steps * int(made.recipe.get("batch"))]
    y = np.arange(len(x), dtype=np.int64) % 10
    images = Images.put(x, y, CHANNELS)
    half = len(x) // 2
    inputs = Inputs(
        name="bench", shape=made.space().supernet.inp, classes=10, train=images, test=images,
        parts=Splits(
            search_train=np.arange(half), search_valid=np.arange(half, len(x)),
            retrain_train=np.arange(len(x)),
        ),
    )  # fmt: skip
    spent = {"data": 0.0, "log": 0.0, "checkpoints": 0.0}

    def timed(what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def inner(*args: Any) -> Any:
            began = time.process_time()
            made = call(*args)
            spent[what] += time.process_time() - began
            return made

        return inner

    with ExitStack() as patches, tempfile.TemporaryDirectory() as folder:
        for what, owner, name in (
            ("data", Stream, "next_batch"), ("log", Meter, "add"), ("log", Meter, "read"),
            ("log", Kept, "add"), ("checkpoints", Kept, "save"),
        ):  # fmt: skip
            patches.enter_context(patch.object(owner, name, timed(what, getattr(owner, name))))
        task = Search(made.space(), made.recipe, inputs, seed=0, device="cpu", profile="balanced")
        started = [0.0]

        def watch(moment: Moment) -> None:
            if moment.step == 1:  # the first one prepares
                spent.update(dict.fromkeys(spent, 0.0))
                started[0] = time.process_time()

        drive(task, folder=Path(folder), watch=watch)
        took = time.process_time() - started[0]
    count = task.train.batches_per_pass - 1
    return 1000 * took / count, {what: 1000 * each / count for what, each in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4, help="for each path")
    parser.add_argument("--step", action="store_true", help="time a search step, too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    x = draw.integers(0, 256, (given.images, 3, given.size, given.size), dtype=np.uint8)
    paths = {
        "one by one": one_by_one(x, given.batch),
        "in batches": in_batches(x, given.batch),
        "without kernel": in_batches(x, given.batch, kernel=False),
    }
    found = rates(paths, given.batch, given.seconds)
    base = found["one by one"]
    for name, rate in found.items():
        print(f"{name:14} {rate:12,.0f} images/s {rate / base:8.1f} x")
    if given.step:
        step, parts = share(x, 12)
        print(f"search step    {step:12.1f} ms")
        for what, each in parts.items():
            print(f"  {what:12} {each:12.2f} ms {100 * each / step:8.1f} %")


if __name__ == "__main__":
    main()
