"""The numbers of the log as TensorBoard event files, where TensorBoard is installed.

The log is the record; event files are a copy for looking at (`tensorboard --logdir RUN`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nasdsl.ir.config import Settings
from nasdsl.training.loop import Moment, Watcher

MISSING = (
    "TensorBoard is not installed, so no event files are written: pip install 'nasdsl[tensorboard]'"
)


def wanted(recipe: Settings) -> bool:
    """Whether a recipe measures its search, and so has more to show than a log."""
    parts = (recipe, *(phase for _, phase in recipe.phases))
    return any(part.get("measure") is not None for part in parts)


def available() -> bool:
    return find_spec("tensorboard") is not None


def scalars(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a record by tag: `train/loss`, `entropy/normal`, `health/gap`, `lr`."""
    for group in ("train", "valid", "entropy", "health"):
        for name, value in (record.get(group) or {}).items():
            if value is not None:
                yield f"{group}/{name}", float(value)
    if "lr" in record:
        yield "lr", float(record["lr"])


def events(folder: Path, watch: Watcher | None) -> Watcher:
    """A watcher that writes event files into `folder`, and tells `watch` too."""
    from torch.utils.tensorboard import SummaryWriter

    writers: list[Any] = []

    def tell(moment: Moment) -> None:
        if moment.record is not None and moment.task == "search":
            step = int(moment.record["epoch"])
            if not writers:
                # A resumed run repeats what its checkpoint does not know.
                writers.append(SummaryWriter(str(folder), purge_step=step))  # type: ignore[no-untyped-call]
            for tag, value in scalars(moment.record):
                writers[0].add_scalar(tag, value, step)
            writers[0].flush()
        if watch is not None:
            watch(moment)

    return tell
