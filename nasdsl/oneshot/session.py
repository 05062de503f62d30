"""What one stretch of a search acts on: supernet, parameters, optimizers, batches, time.

A step rule owns the whole update through a Session; every other part sees the same one. Nothing
here waits for the device, except a one-hot sampler for its picks.

With several ranks a batch is this rank's part of it, and so are logits. `loss` is that of the whole
batch, on every rank the same, and so are its gradients: rules need not know of ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasdsl.codegen.supernet import Supernet
from nasdsl.ir.config import Settings, Time, value_at
from nasdsl.ir.space import Space
from nasdsl.oneshot import optimizers
from nasdsl.oneshot.arch import ArchParameters
from nasdsl.oneshot.held import Held
from nasdsl.oneshot.metrics import Meter
from nasdsl.oneshot.parts import ARCH, WEIGHTS, Parts
from nasdsl.oneshot.precision import FLOAT32, PLAIN, Numerics, cast, single
from nasdsl.oneshot.ranks import pair, shards
from nasdsl.oneshot.ranks.batch_norm import synchronised
from nasdsl.oneshot.ranks.world import ALONE, World
from nasdsl.oneshot.samplers.sample import Sample
from nasdsl.oneshot.scaler import Scaler

Batch = tuple[Tensor, Tensor]


def _no_probe(part: str) -> Batch:
    raise ValueError("this session has no images to measure on")


@dataclass(frozen=True, slots=True)
class Clock:
    """Where a stretch stands: step `step` of `steps`, `steps_per_epoch` to an epoch."""

    step: int
    steps: int
    steps_per_epoch: int

    @property
    def epochs(self) -> int:
        return max(1, -(-self.steps // self.steps_per_epoch))

    @property
    def epoch(self) -> int:
        """The epoch of this step, from 0."""
        return self.step // self.steps_per_epoch

    def value(self, value: Any) -> float:
        """A number or schedule at this step."""
        return value_at(
            value, step=self.step, steps=self.steps, steps_per_epoch=self.steps_per_epoch
        )

    def reached(self, time: Time | None) -> bool:
        """Whether a time of the recipe (epochs, or a share of the run) has come."""
        if time is None:
            return True
        return self.step >= round(time.epochs(self.epochs) * self.steps_per_epoch)


@dataclass(slots=True)
class Session:
    """The state that the parts of a recipe act on."""

    space: Space
    recipe: Settings
    supernet: Supernet
    arch: ArchParameters
    parts: Parts
    weight_optimizer: torch.optim.Optimizer
    arch_optimizer: torch.optim.Optimizer | None
    #: Noise of samplers and perturbations.
    noise: torch.Generator
    next_train: Callable[[], Batch]
    next_valid: Callable[[], Batch]
    layout: torch.memory_format
    device: torch.device
    #: Time of this phase, and of the whole search; slots the phase itself writes follow the first.
    clock: Clock
    whole: Clock
    own: frozenset[str]
    train_meter: Meter
    valid_meter: Meter
    #: Parameters that move, by name.
    weights: dict[str, nn.Parameter] = field(default_factory=dict)
    alphas: dict[str, nn.Parameter] = field(default_factory=dict)
    #: What selection rules measure on; None in a session that is only stepped.
    held: Held | None = None
    #: Epochs of the search itself; what a selection rule adds comes behind.
    base: int = 0
    #: What the sampler's temperature is multiplied by, where the step rule couples it.
    heat: Tensor | None = None
    #: The first batch of `train` or `valid`, beside the streams, for measurements.
    probe: Callable[[str], Batch] = _no_probe
    #: The ranks that make the steps of this session together.
    world: World = ALONE
    numerics: Numerics = PLAIN
    #: Scales the loss under fp16.
    scaler: Scaler | None = None

    def step(self) -> None:
        """One step of the recipe's step rule."""
        self.parts.step.run(self)
        if self.scaler is not None:
            self.scaler.update()

    # ---- time

    def time(self, slot: str) -> Clock:
        """The clock of a slot: that of the block in which the slot is written."""
        return self.clock if slot in self.own else self.whole

    def now(self, value: Any, slot: str) -> float:
        """A number or schedule of a slot at this step."""
        return self.time(slot).value(value)

    def due(self, role: str) -> bool:
        """Whether the optimizer of `arch` or `weights` moves at this step."""
        component = self.recipe.get(role)
        return component is not None and self.time(role).reached(component.get("start"))

    # ---- forward

    def sample(
        self, role: str, alphas: Mapping[str, Tensor] | None = None, *, training: bool = True
    ) -> Sample:
        """The mix of one move: sampler, then the transforms of the recipe and drop-path masks.

        For the weight step no gradient flows to the alphas. Without `training`, for measurements,
        nothing is dropped.
        """
        if role == WEIGHTS:
            with torch.no_grad():
                return self._sample(
                    alphas or self.arch.detached(), self.parts.sampler.sample, training
                )
        # A sampler may draw otherwise for the move of the architecture.
        draw = getattr(self.parts.sampler, "arch_sample", self.parts.sampler.sample)
        return self._sample(alphas or self.arch.alphas(), draw, training)

    def weight_samples(self) -> list[Sample]:
        """The mixes of one weight step: one, or the paths that share an update."""
        several = getattr(self.parts.sampler, "samples", None)
        if several is None:
            return [self.sample(WEIGHTS)]
        with torch.no_grad():
            found: list[Sample] = several(self.arch.detached(), self.supernet.tables, self.noise)
            return [replace(sample, keep=self._keep()) for sample in found]

    def _sample(
        self, alphas: Mapping[str, Tensor], draw: Callable[..., Sample], training: bool
    ) -> Sample:
        sample = draw(self.arch.seen(alphas), self.supernet.tables, self.noise, self._argument)
        mix = sample.mix
        for transform in self.parts.transforms:
            # Measurements see what is decided, and nothing that is drawn for training.
            if training or transform is self.parts.select:
                mix = transform.apply(self, mix)
        return replace(sample, mix=mix, keep=self._keep() if training else sample.keep)

    def _argument(self, value: Any) -> Any:
        """An argument of the sampler at this step; a step rule may heat the temperature."""
        found = self.time("sampler").value(value)
        return found if self.heat is None else self.heat * found

    def _keep(self) -> Tensor | None:
        """Drop-path masks of one step: 0 with the recipe's probability p, else 1 / (1 - p).

        They belong to the sample: every forward pass of a step drops the same operations, for the
        n-th image of a batch those of column n. At p = 1 everything is dropped, never NaN.
        """
        drop = self.recipe.get("drop_path")
        p = self.now(drop, "drop_path") if drop is not None else 0.0
        if p <= 0:
            return None
        shape = len(self.supernet.droppable), int(self.recipe.get("batch"))
        keep = torch.rand(shape, generator=self.noise) < 1 - p
        # Drawn for the whole batch, so that they do not depend on the number of ranks.
        keep = keep[:, self.world.part(shape[1])]
        like = next(iter(self.weights.values()))
        return keep.to(like.device, like.dtype) * (1 / (1 - p) if p < 1 else 0.0)

    def probabilities(self, alphas: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The sampler's distribution over the options, without noise, with its gradient."""
        return self.parts.sampler.expected(self.arch.seen(alphas), self.supernet.tables)

    def expected(self) -> dict[str, Tensor]:
        """The mix without noise, for evaluation and selection."""
        with torch.no_grad():
            return self.probabilities(self.arch.alphas())

    def mix_by_decision(self) -> dict[str, dict[str, list[float]]]:
        """Table -> decision -> weights of its options, on the host."""
        found = {}
        for name, mix in self.expected().items():
            table = self.supernet.tables[name]
            rows = mix.cpu().tolist()
            found[name] = {
                d: row[: len(labels)]
                for d, row, labels in zip(table.decisions, rows, table.labels, strict=True)
            }
        return found

    def forward(
        self,
        x: Tensor,
        sample: Sample,
        weights: Mapping[str, Tensor] | None = None,
        *,
        exact: bool = False,
    ) -> Tensor:
        """Logits; with `weights` those stand in for the supernet's parameters.

        With `exact`, for measurements, nothing is cast to the precision of the steps.
        """
        if x.dim() == 4:
            x = x.contiguous(memory_format=self.layout)
        mix = sample.mix
        if self.world.several and torch.is_grad_enabled():
            mix, weights = self._enter(mix, weights)
        given = x, mix, sample.pick, sample.keep
        # What enters a rank's part is not cast yet: gradients are summed in float32.
        with (
            synchronised(self.world),
            cast(FLOAT32 if exact else self.numerics.precision, self.device),
        ):
            if weights is None:
                logits: Tensor = self.supernet(*given)
            else:
                logits = torch.func.functional_call(self.supernet, dict(weights), given)
        return single(logits)

    def _enter(
        self, mix: dict[str, Tensor], weights: Mapping[str, Tensor] | None
    ) -> tuple[dict[str, Tensor], Mapping[str, Tensor] | None]:
        """Mix and weights as this rank's part of the batch sees them.

        Those that are sharded enter cell by cell, where the cell is gathered.
        """
        if self.world.sharded:
            return pair.enter(mix), None
        if weights is None and any(w.requires_grad for w in self.weights.values()):
            weights = self.weights
        return pair.enter(mix), None if weights is None else pair.enter(weights)

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """The loss of the recipe over the whole batch, without penalties."""
        if not self.world.several:
            return self.own_loss(logits, y)
        total = F.cross_entropy(logits, y, reduction="sum", label_smoothing=self._smoothing)
        return pair.mean(total, len(y))

    def own_loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """The same loss over what this rank holds: for batches that every rank takes whole."""
        return F.cross_entropy(logits, y, label_smoothing=self._smoothing)

    @property
    def _smoothing(self) -> float:
        component = self.recipe.get("loss")
        return float(component.get("smoothing")) if component is not None else 0.0

    def penalized(
        self, loss: Tensor, sample: Sample, alphas: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """A loss with the penalties of the recipe on the architecture."""
        for penalty in self.parts.penalties:
            loss = loss + penalty.value(self, alphas or self.arch.alphas(), sample.mix)
        return loss

    # ---- moves

    def gradients(
        self, loss: Tensor, wanted: Mapping[str, Tensor], *, keep: bool = False
    ) -> dict[str, Tensor | None]:
        """Gradients of a loss as `optimizers.gradients`; under fp16 the loss is scaled for them."""
        take = optimizers.gradients
        if self.world.sharded and any(name in self.weights for name in wanted):
            take = shards.gradients
        if self.scaler is None:
            return take(loss, wanted, keep=keep)
        return self.scaler.unscaled(take(self.scaler.scaled(loss), wanted, keep=keep))

    def move_weights(self, gradients: Mapping[str, Tensor | None]) -> None:
        """One step of the weight optimizer along gradients by name."""
        self._move(WEIGHTS, self.weight_optimizer, self.weights, gradients)

    def move_arch(self, gradients: Mapping[str, Tensor | None]) -> None:
        """One step of the architecture optimizer along gradients by name."""
        if self.arch_optimizer is None:
            raise ValueError("this recipe has no `arch`")
        after = getattr(self.parts.sampler, "moved", None)
        before = {n: a.clone() for n, a in self.arch.detached().items()} if after else {}
        self._move(ARCH, self.arch_optimizer, self.alphas, gradients)
        if after is not None:
            after(before, self.arch.alphas())

    def _move(
        self,
        role: str,
        optimizer: torch.optim.Optimizer,
        parameters: Mapping[str, nn.Parameter],
        gradients: Mapping[str, Tensor | None],
    ) -> None:
        component = self.recipe.get(role)
        clip = component.get("clip")
        optimizers.move(
            optimizer,
            parameters,
            gradients,
            lr=self.now(component.get("lr"), role),
            decay=self.now(component.get("decay"), role),
            clip=float(clip) if clip is not None else None,
            bad=self.scaler.look(gradients) if self.scaler is not None else None,
        )
