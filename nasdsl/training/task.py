"""Something that is trained step by step: what the loop asks of a search or a retraining."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn

from nasdsl.oneshot.precision import Numerics

State = tuple[dict[str, dict[str, Tensor]], dict[str, Any]]


class Task(Protocol):
    """Something that is trained step by step."""

    name: str
    epochs: int
    #: What sets the batch on the command line: `batch` or `train.batch`.
    setting: str

    def begin(self, epoch: int) -> int:
        """Get ready for an epoch (0-based), also after a restore in its midst; its steps."""
        ...

    def step(self, epoch: int, number: int) -> None:
        """Make step `number` of an epoch (both 0-based)."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the task wants no further epoch."""
        ...

    def epoch_record(self, epoch: int) -> dict[str, Any]:
        """What is worth writing down of the epoch just ended; clears its meters."""
        ...

    @property
    def on_cpu(self) -> bool:
        """Whether the host never waits for a device."""
        ...

    def broken(self) -> bool:
        """Whether a loss of this epoch was not finite; waits for the device."""
        ...

    def networks(self) -> dict[str, nn.Module]:
        """What is trained, by name: where a value that is not finite is looked for."""
        ...

    def trial(self, batch: int) -> None:
        """Make a step with so many images, whatever becomes of the state."""
        ...

    #: How its steps are computed.
    numerics: Numerics

    @property
    def splits(self) -> bool:
        """Whether a batch may be gone through in parts."""
        ...

    @property
    def batch(self) -> int:
        """Images in a step."""
        ...

    def state(self) -> State:
        """Everything that a resumed run needs."""
        ...

    def restore(self, tensors: dict[str, dict[str, Tensor]], values: dict[str, Any]) -> None:
        """Put back what `state` gave. Raises CheckpointError."""
        ...
