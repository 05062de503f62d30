"""What a cell is expected to cost before it is run: parameters, multiply-adds, memory.

Upper estimates: all options of a supernet count as run in every step, a step of weights and one of
the architecture each cost three forward passes, and a retrained network is the largest of its
space.
"""

from __future__ import annotations

from fractions import Fraction

from nasdsl.ir import cost, memory
from nasdsl.ir.config import Component, Data, Settings
from nasdsl.ir.expression import CostError
from nasdsl.ir.extremes import extreme
from nasdsl.ir.space import Space
from nasdsl.oneshot.phases import phases_of
from nasdsl.training.plan import Plan

#: Training images of sources whose size is known without reading them.
IMAGES = {
    "fashion16": 10_000,
    "fashion_mnist": 60_000,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "CIFAR10": 50_000,
    "CIFAR100": 50_000,
    "SVHN": 73_257,
    "digits": 1_437,
    "imagenet16": 151_700,
    "imagenet": 1_281_167,
}
#: Multiply-adds per second of one core where nothing was measured: a DARTS supernet in README.
RATE = 12e9
#: A forward pass, and the gradients of inputs and weights.
PASSES = 3


class Estimator:
    """Estimates of the cells of a suite; spaces are looked at once."""

    def __init__(self) -> None:
        #: Amounts by digest of the space, and bytes by digest and batch.
        self.spaces: dict[str, dict[str, int | None]] = {}
        self.bytes: dict[tuple[str, int], int | None] = {}

    def search(self, plan: Plan, digest: str) -> dict[str, int | None]:
        """`params`, `macs` of an image, `work` in multiply-adds, `bytes` of activations at most."""
        space = plan.space()
        found = self._space(space, digest)
        step = plan.recipe.get("step")
        alone = isinstance(step, Component) and step.name == "stand_alone"
        images = _part(plan, "search.train")
        epochs, batch = (None, None) if alone else _length(plan.recipe)
        work = None
        if images is not None and epochs is not None and found["macs"] is not None:
            if plan.recipe.get("arch") is not None:
                images += _part(plan, "search.valid") or 0
            work = PASSES * images * epochs * found["macs"]
        return {
            "params": found["params"],
            "macs": found["macs"],
            "work": work,
            "bytes": None if batch is None else self._bytes(space, digest, batch),
        }

    def retrain(self, plan: Plan, train: Settings, digest: str) -> dict[str, int | None]:
        """The same of the largest network of the space; its memory is not estimated."""
        found = self._space(plan.space(), digest)
        images, epochs, macs = _part(plan, "retrain.train"), train.get("epochs"), found["most_macs"]
        work = None
        if images is not None and macs is not None and isinstance(epochs, Fraction):
            work = PASSES * images * int(epochs) * macs
        return {"params": found["most_params"], "macs": macs, "work": work, "bytes": None}

    def _space(self, space: Space, digest: str) -> dict[str, int | None]:
        if digest not in self.spaces:
            supernet = cost.of_network(space.supernet)
            found: dict[str, int | None] = {"params": supernet.params, "macs": supernet.macs}
            for measure in ("params", "macs"):
                try:
                    most = extreme(cost.expression(space, measure), space, largest=True)
                    found[f"most_{measure}"] = most.amount
                except CostError:
                    found[f"most_{measure}"] = None
            self.spaces[digest] = found
        return self.spaces[digest]

    def _bytes(self, space: Space, digest: str, batch: int) -> int | None:
        if (digest, batch) not in self.bytes:
            try:
                self.bytes[digest, batch] = memory.training(space.supernet, dense=True).of(batch)
            except CostError:
                self.bytes[digest, batch] = None
        return self.bytes[digest, batch]


def _length(recipe: Settings) -> tuple[int | None, int | None]:
    """Epochs of all phases, and the largest batch."""
    epochs, batches = 0, []
    for phase in phases_of(recipe):
        found, batch = phase.settings.get("epochs"), phase.settings.get("batch")
        if not isinstance(found, Fraction):
            return None, None
        epochs += int(found)
        if isinstance(batch, Fraction):
            batches.append(int(batch))
    return epochs, max(batches, default=None)


def _part(plan: Plan, name: str) -> int | None:
    """How many images a part of the split has, where the size of the data is known."""
    part = plan.split.get(name)
    if not isinstance(part, Data):
        return None
    if part.indices:
        return int(part.high - part.low) + 1
    source = plan.dataset.get("source")
    if not isinstance(source, Component):
        return None
    words = [source.name, *(str(v) for _, v in source.args)]
    total = next((IMAGES[w] for w in words if w in IMAGES), None)
    return None if total is None else round(part.high * total) - round(part.low * total)
