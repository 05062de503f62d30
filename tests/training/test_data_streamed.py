"""Images that stay on disk: the same batches as from memory, decoded by other processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_trust import TEXT, run

from nasdsl.training.data.augment import Crop, Cutout, Flip, Pipeline
from nasdsl.training.data.batches import Evaluation, Stream
from nasdsl.training.data.colour import ColorJitter
from nasdsl.training.data.filed import Filed
from nasdsl.training.data.files import Files
from nasdsl.training.data.images import Images
from nasdsl.training.data.normalize import measure
from nasdsl.training.data.sources import Arrays, DataError, read

AUGMENT = Pipeline((Crop(10, 2), Flip(), Cutout(3)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of PNGs of 12 x 12 to 14 x 14 pixels, one of them grey."""
    place = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for part, count in (("train", 16), ("test", 4)):
        for name in ("ant", "bee", "cat"):
            folder = place / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                side = 12 + i % 3
                pixels = draw.integers(0, 256, (side, side, 3), dtype=np.uint8)
                grey = part == "train" and name == "bee" and i == 5
                Image.fromarray(pixels[:, :, 0] if grey else pixels).save(folder / f"{i:02}.png")
    return place


def loaded(root: Path, memory: float, workers: int = 2) -> Arrays:
    options = {"size": 12, "memory": memory, "workers": workers}
    return read("folder", (root.name,), options, data_dir=root.parent)


def both(root: Path, workers: int = 2) -> tuple[Images, Filed]:
    """The training images in memory and on disk."""
    held, kept = loaded(root, 1), loaded(root, 0, workers)
    assert isinstance(held.train_x, np.ndarray) and isinstance(kept.train_x, Files)
    assert isinstance(kept.test_x, Files) and kept.shape == held.shape == (3, 12, 12)
    assert (held.train_y == kept.train_y).all() and (held.test_y == kept.test_y).all()
    chosen = np.arange(0, 40, 3)
    channels = measure(held.train_x, chosen)
    assert measure(kept.train_x, chosen) == channels
    return (
        Images.put(held.train_x, held.train_y, channels),
        Filed.put(kept.train_x, kept.train_y, channels),
    )


def stream(images: Images | Filed, augment: Pipeline | None = AUGMENT) -> Stream:
    return Stream(images, range(1, 41), batch_size=6, seed=4, name="train", augment=augment)


def taken(source: Stream, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [source.next_batch() for _ in range(count)]


def equal(
    a: list[tuple[torch.Tensor, torch.Tensor]], b: list[tuple[torch.Tensor, torch.Tensor]]
) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, v) and torch.equal(y, w) and x.stride() == v.stride()
        for (x, y), (v, w) in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_are_those_from_memory_for_any_number_of_processes(
    root: Path, workers: int
) -> None:
    held, kept = both(root, workers)
    before = torch.get_rng_state()
    assert equal(taken(stream(held), 14), taken(stream(kept), 14))  # more than two passes
    first, second = (list(Evaluation(i, range(40, 0, -1), batch_size=9)) for i in (held, kept))
    assert equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


def test_steps_on_pixels_are_the_same_too(root: Path) -> None:
    held, kept = both(root, 0)
    jitter = Pipeline((ColorJitter(0.4, hue=0.1), Flip()))
    assert equal(taken(stream(held, jitter), 3), taken(stream(kept, jitter), 3))


@pytest.mark.parametrize("stop", [0, 4, 6, 9])
def test_a_stream_goes_on_in_the_midst_of_a_pass(root: Path, stop: int) -> None:
    _, kept = both(root, 1)
    whole = stream(kept)
    taken(whole, stop)
    state, rest = whole.state(), taken(whole, 5)
    resumed = stream(kept)
    resumed.next_batch()  # what was decoded ahead is dropped
    resumed.restore(state)
    assert equal(rest, taken(resumed, 5))


def test_a_damaged_image_is_one_line_that_names_it(root: Path, tmp_path: Path) -> None:
    _, kept = both(root, 2)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG nothing")
    paths = (*kept.files.paths[:7], str(bad), *kept.files.paths[8:])
    files = Files(paths=paths, shape=kept.files.shape, size=12, workers=2)
    broken = Filed(files=files, y=kept.y, mean=kept.mean, std=kept.std)
    with pytest.raises(DataError, match=r"bad\.png: not a sound image") as caught:
        taken(stream(broken), 6)
    assert "\n" not in str(caught.value)


def test_sizes_and_colours_that_differ_are_refused_when_they_are_met(root: Path) -> None:
    kept = loaded(root, 0).train_x
    assert isinstance(kept, Files)
    plain = Files(paths=kept.paths, shape=(48, 3, 12, 12), size=None, workers=0)
    with pytest.raises(DataError, match=r"01\.png: is 13x13 pixels, others are 12x12"):
        plain[[0, 3]]
    grey = Files(paths=kept.paths, shape=(48, 1, 12, 12), size=12, workers=0)
    with pytest.raises(DataError, match="has colours, others are grey"):
        grey[[0]]


def test_a_process_that_is_killed_is_said_in_a_line_and_nothing_is_lost(root: Path) -> None:
    _, kept = both(root, 1)
    source = stream(kept)
    taken(source, 2)
    state = source.state()
    with pytest.raises(DataError, match="process that decodes images ended") as caught:
        (worker,) = (c for c in multiprocessing.active_children() if c.name == "nasdsl images")
        assert worker.pid is not None
        for asked in (signal.SIGINT, signal.SIGTERM):  # as for a whole group of processes
            os.kill(worker.pid, asked)
        taken(source, 9)
        os.kill(worker.pid, signal.SIGKILL)
        taken(source, 200)
    assert "\n" not in str(caught.value)
    source.restore(state)
    expected = stream(kept)
    taken(expected, 2)
    assert equal(taken(expected, 4), taken(source, 4))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory": -1}, "`memory` is -1; expected GiB, from 0"),
        ({"workers": 1.5}, "`workers` is 1.5; expected a whole number"),
        ({"workers": 1000}, "`workers` is 1000"),
        ({"memory": "much"}, "expected a number"),
    ],
)
def test_options_are_checked(root: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read("folder", (root.name,), {"size": 12, **options}, data_dir=root.parent)


def test_a_run_from_disk_is_the_run_from_memory_also_after_a_process_died(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spec(name: str, memory: float) -> Path:
        path = tmp_path / f"{name}.nas"
        dataset = (
            "dataset pictures {\n"
            f'  source = folder("{root.name}", size = 12, memory = {memory}, workers = 1)\n'
            "  shape = image(3, 12, 12)\n  classes = 3\n  augment = crop(12, pad = 2) >> flip\n}\n"
        )
        text = TEXT.replace("= fashion16\n", "= pictures\n").replace(
            "\nspace tiny", f"\n{dataset}\nspace tiny"
        )
        for old, new in (("0..95", "0..15"), ("96..191", "16..31"), ("192..255", "32..47")):
            text = text.replace(old, new)
        path.write_text(text.replace("batch   = 32", "batch   = 4"))
        return path

    given = ["--recipe", "soft", "--no-retrain", "--data-dir", root.parent, "--data", "pictures"]
    run(spec("memory", 1), *given, "-o", tmp_path / "memory")
    decode, begun = Files.decode, tmp_path / "begun"

    def dying(self: Files, indices: list[int], x: np.ndarray) -> None:
        # Once, in another process, in the second epoch of a search of three.
        if len(indices) == 4 and multiprocessing.parent_process() is not None:
            with begun.open("a") as file:
                file.write("x")
            if begun.stat().st_size == 14:
                os.kill(os.getpid(), signal.SIGKILL)
        decode(self, indices, x)

    monkeypatch.setattr(Files, "decode", dying)
    failed = run(spec("disk", 0), *given, "-o", tmp_path / "disk", code=1)
    assert "process that decodes images ended" in failed.output
    run(tmp_path / "disk", "--resume", "--no-retrain", "--data-dir", root.parent)
    for name in ("alphas.safetensors", "supernet.safetensors"):
        held, kept = ((tmp_path / n / name).read_bytes() for n in ("memory", "disk"))
        assert held == kept, name
