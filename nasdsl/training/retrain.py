"""Retraining: the discrete network from scratch, on its own part of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasdsl.codegen.discrete import Discrete
from nasdsl.fusion.profile import Profile
from nasdsl.ir.config import Settings
from nasdsl.ir.space import Network
from nasdsl.oneshot import optimizers
from nasdsl.oneshot.accumulate import Gradients, Passed, in_parts
from nasdsl.oneshot.metrics import Meter, evaluate
from nasdsl.oneshot.precision import PLAIN, Numerics, cast, single
from nasdsl.oneshot.ranks import pair, shards
from nasdsl.oneshot.ranks.batch_norm import synchronised
from nasdsl.oneshot.ranks.world import ALONE, World
from nasdsl.oneshot.scaler import Scaler
from nasdsl.oneshot.session import Clock
from nasdsl.training import checkpoint
from nasdsl.training.data.batches import Evaluation, Stream, derived_generator, derived_seed
from nasdsl.training.data.inputs import Inputs, pipeline
from nasdsl.training.fused import trains_under
from nasdsl.training.layout import Laid, layout_for
from nasdsl.training.operations import reseed, seed_operations
from nasdsl.training.task import State


class Retrain:
    """The training of a discrete network as a task of the loop.

    The auxiliary head is built when the settings have `aux` and the network has a place for it.
    `profile` is asked for; `trains_under` says what the network runs under.
    """

    name = "retrain"
    setting = "train.batch"

    def __init__(
        self,
        network: Network,
        settings: Settings,
        inputs: Inputs,
        *,
        seed: int,
        device: str,
        world: World = ALONE,
        numerics: Numerics = PLAIN,
        profile: str | Profile = "reference",
    ) -> None:
        self.settings, self.inputs, self.world = settings, inputs, world
        self.device = torch.device(device)
        self.numerics = numerics
        self.scaler = Scaler(self.device) if numerics.scales else None
        self.aux = float(settings.get("aux") or 0)
        self.epochs = int(settings.get("epochs"))
        self.net = Discrete(
            network,
            aux=self.aux > 0 and network.aux is not None,
            seed=derived_seed(seed, "retrain.weights"),
            profile=trains_under(
                profile,
                network,
                self.epochs * len(inputs.parts.retrain_train),
                device=self.device,
                numerics=numerics,
                world=world,
            ),
        )
        self.layout = layout_for(network, self.device)
        # Rows of a tensor are shared out as they lie.
        laid = torch.contiguous_format if world.sharded else self.layout
        self.net.to(device=self.device, memory_format=laid)  # type: ignore[call-overload]
        if world.sharded:
            shards.shard(self.net, self.net.enclose(), world, self.device, "train_step")
        self.masks = derived_generator(seed, "drop_path")
        self.train = Stream(
            inputs.train,
            inputs.parts.retrain_train,
            batch_size=int(settings.get("batch")),
            seed=seed,
            name="retrain.train",
            augment=pipeline(settings.get("augment")),
            world=world,
        )
        self.finished = False
        self.weights = dict(self.net.named_parameters())
        self.optimizer = optimizers.build(
            settings.get("weights"), self.weights, skips=numerics.scales
        )
        loss = settings.get("loss")
        self.smoothing = float(loss.get("smoothing")) if loss is not None else 0.0
        self.meter = Meter.on(self.device)
        seed_operations(derived_seed(seed, "retrain.operations"), world)

    def begin(self, epoch: int) -> int:
        return self.train.batches_per_pass

    def step(self, epoch: int, number: int) -> None:
        length = self.train.batches_per_pass
        now = Clock(epoch * length + number, self.epochs * length, length).value
        if not self.net.training:
            self.net.train()
        x, y = self.train.next_batch()
        if x.dim() == 4:
            x = x.contiguous(memory_format=self.layout)
        drop = self.settings.get("drop_path")
        probability = now(drop) if drop is not None else 0.0
        # Drawn for the whole batch, so that they do not depend on the number of ranks.
        keep = self.net.drop_path_masks(self.train.batch, probability, self.masks, x)
        if self.world.several:
            keep = {n: mask[self.world.part(self.train.batch)] for n, mask in keep.items()}
        made = self._passed(x, y, keep)
        component = self.settings.get("weights")
        clip = component.get("clip")
        optimizers.move(
            self.optimizer,
            self.weights,
            made.gradients,
            lr=now(component.get("lr")),
            decay=now(component.get("decay")),
            clip=float(clip) if clip is not None else None,
            bad=self.scaler.look(made.gradients) if self.scaler is not None else None,
        )
        if self.scaler is not None:
            self.scaler.update()
        self.meter.add(made.loss, made.logits, y)

    def _passed(self, x: Tensor, y: Tensor, keep: Mapping[str, Tensor]) -> Passed:
        """A forward and backward pass, in the parts that the batch is accumulated from."""
        auxiliary: list[Tensor] = []

        def forward(part: slice) -> tuple[Tensor, Tensor]:
            whole = part.stop - part.start == len(y)
            masks = keep if whole else {n: k[part] for n, k in keep.items()}
            with synchronised(self.world), cast(self.numerics.precision, self.device):
                logits, aux = self.net.train_step(x if whole else x[part], masks)
            logits, labels = single(logits), y[part]
            auxiliary[:] = []
            if aux is not None:
                loss = self._loss(single(aux), labels)
                auxiliary.append(loss * (len(labels) / len(y)))
            return self._loss(logits, labels), logits

        def backward(share: Tensor, keeping: bool) -> Gradients:
            total = share + self.aux * auxiliary[0] if auxiliary else share
            scaled = total if self.scaler is None else self.scaler.scaled(total)
            if self.world.sharded:
                found = shards.gradients(scaled, self.weights)
            else:
                found = optimizers.gradients(scaled, self.weights)
                if self.world.several:
                    found = pair.summed(found)
            return found if self.scaler is None else self.scaler.unscaled(found)

        return in_parts(len(y), self.numerics.accumulate, forward, backward)

    def _loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """The loss over the whole batch, of which a rank holds its part."""
        if not self.world.several:
            return F.cross_entropy(logits, y, label_smoothing=self.smoothing)
        total = F.cross_entropy(logits, y, reduction="sum", label_smoothing=self.smoothing)
        return pair.mean(total, len(y))

    def epoch_record(self, epoch: int) -> dict[str, Any]:
        self.world.level(self.net)
        loss, accuracy = self.meter.over(self.world).read()
        self.meter = Meter.on(self.device)
        record: dict[str, Any] = {
            "train": {"loss": loss, "accuracy": accuracy},
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        if self.inputs.parts.retrain_valid is not None:
            found = self.measure("valid")
            record["valid"] = {"loss": found[0], "accuracy": found[1]}
        return record

    def measure(self, part: str) -> tuple[float, float]:
        """Loss and accuracy on `valid` or `test`, in evaluation mode."""
        batch = max(256, int(self.settings.get("batch")))
        if part == "test":
            batches = Evaluation(
                self.inputs.test, range(len(self.inputs.test)), batch_size=batch, name="test"
            )
        else:
            indices = self.inputs.parts.retrain_valid
            if indices is None:
                raise ValueError("the split has no `retrain.valid`")
            batches = Evaluation(self.inputs.train, indices, batch_size=batch)
        self.net.eval()
        with shards.gathered(self.net):
            return evaluate(Laid(self.net, self.layout), batches, world=self.world)

    @property
    def on_cpu(self) -> bool:
        return self.device.type == "cpu"

    @property
    def splits(self) -> bool:
        return True

    @property
    def batch(self) -> int:
        return int(self.settings.get("batch"))

    def broken(self) -> bool:
        return not bool(torch.isfinite(self.meter.sums).all())

    def networks(self) -> dict[str, nn.Module]:
        return {"network": self.net}

    def trial(self, batch: int) -> None:
        indices = torch.arange(batch) % len(self.inputs.train)
        given = self.inputs.train.take(indices.to(self.inputs.train.device))
        self.train = Repeated(given)  # type: ignore[assignment]
        self.step(0, 0)

    def state(self) -> State:
        self.world.level(self.net)
        meter = self.meter.over(self.world)
        tensors = {
            "network": shards.wholes(self.net.state_dict()),
            "optimizer": optimizers.state(self.optimizer, self.weights),
            "generators": {"masks": self.masks.get_state(), "global": torch.get_rng_state()},
            "meters": {"train": meter.sums},
        }
        if self.scaler is not None:
            tensors["scaler"] = self.scaler.state()
        return tensors, {"train": self.train.state(), "meters": [meter.count]}

    def restore(self, tensors: dict[str, dict[str, Tensor]], values: dict[str, Any]) -> None:
        checkpoint.load_module(self.net, tensors.get("network", {}), "the network")
        optimizers.restore(self.optimizer, self.weights, tensors.get("optimizer", {}))
        if self.scaler is not None:
            self.scaler.restore(tensors["scaler"])
        self.masks.set_state(tensors["generators"]["masks"])
        reseed(tensors["generators"]["global"], self.world)
        self.train.restore(values["train"])
        meter = Meter(tensors["meters"]["train"].to(self.device), values["meters"][0])
        self.meter = meter if self.world.writes else Meter.on(self.device)


class Repeated:
    """One batch for ever, in place of a stream."""

    batches_per_pass = 1

    def __init__(self, given: tuple[Tensor, Tensor]) -> None:
        self.given, self.batch = given, len(given[1])

    def next_batch(self) -> tuple[Tensor, Tensor]:
        return self.given
