"""Search: alternating first-order bilevel training of a supernet (DARTS, arXiv 1806.09055).

Each step first moves the architecture parameters along the gradient of the validation loss, then
the weights along the gradient of the training loss. The weight step never touches an alpha, the
architecture step never touches a weight, and neither computes gradients that the other would need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasdsl.codegen.emit import NotExecutable
from nasdsl.codegen.supernet import Supernet
from nasdsl.ir import discretize
from nasdsl.ir.config import Settings, Time, value_at
from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Space
from nasdsl.oneshot.arch import ArchParameters
from nasdsl.oneshot.samplers import SAMPLERS, Sample, picks
from nasdsl.training import checkpoint, optimizers
from nasdsl.training.data.batches import Evaluation, Stream, derived_generator, derived_seed
from nasdsl.training.data.inputs import Inputs, pipeline
from nasdsl.training.layout import layout_for
from nasdsl.training.loop import State
from nasdsl.training.metrics import Meter, evaluate


class Search:
    """A search as a task of the loop."""

    name = "search"

    def __init__(
        self, space: Space, recipe: Settings, inputs: Inputs, *, seed: int, device: str
    ) -> None:
        self.space, self.recipe, self.inputs = space, recipe, inputs
        self.device = torch.device(device)
        self.sampler = SAMPLERS[recipe.get("sampler").name](recipe.get("sampler"))
        mode = "one_path" if self.sampler.one_hot else "dense"
        self.layout = layout_for(space.supernet, self.device)
        self.supernet = Supernet(space, mode=mode, seed=derived_seed(seed, "weights"))
        self.supernet.to(device=self.device, memory_format=self.layout)  # type: ignore[call-overload]
        arch = recipe.get("arch")
        self.arch = ArchParameters(
            self.supernet.tables, arch.get("init"), derived_generator(seed, "alphas")
        ).to(self.device)
        self.noise = derived_generator(seed, "sampler")
        batch = int(recipe.get("batch"))
        self.train = Stream(
            inputs.train,
            inputs.parts.search_train,
            batch_size=batch,
            seed=seed,
            name="search.train",
            augment=pipeline(recipe.get("augment")),
        )
        # Validation images are never augmented, also where they drive the architecture.
        self.valid = Stream(
            inputs.train,
            inputs.parts.search_valid,
            batch_size=batch,
            seed=seed,
            name="search.valid",
        )
        self.epochs = int(recipe.get("epochs"))
        self.steps_per_epoch = self.train.batches_per_pass
        self.weights = {n: p for n, p in self.supernet.named_parameters() if p.requires_grad}
        self.alphas = dict(self.arch.named_parameters())
        self.weight_optimizer = optimizers.build(recipe.get("weights"), self.weights)
        self.arch_optimizer = optimizers.build(arch, self.alphas)
        smoothing = recipe.get("loss")
        self.smoothing = float(smoothing.get("smoothing")) if smoothing is not None else 0.0
        self.arch_start = self._start(arch.get("start"))
        self.weight_start = self._start(recipe.get("weights").get("start"))
        self._clear()
        # Operations that draw by themselves (dropout, noise) use torch's global generator.
        torch.manual_seed(derived_seed(seed, "operations"))

    def _start(self, start: Time | None) -> int:
        """The first step at which an optimizer moves."""
        epochs = start.epochs(self.epochs) if start is not None else 0
        return round(epochs * self.steps_per_epoch)

    def _clear(self) -> None:
        self.train_meter, self.valid_meter = Meter.on(self.device), Meter.on(self.device)

    # ---- one step

    def step(self, number: int) -> None:
        def now(value: Any) -> float:
            return value_at(
                value,
                step=number,
                steps=self.epochs * self.steps_per_epoch,
                steps_per_epoch=self.steps_per_epoch,
            )

        self.supernet.train()
        if number >= self.arch_start:
            self._arch_step(now)
        if number >= self.weight_start:
            self._weight_step(now)

    def _arch_step(self, now: Any) -> None:
        x, y = self.valid.next_batch()
        sample = self.sampler.sample(self.arch.alphas(), self.supernet.tables, self.noise, now)
        logits = self._forward(x, sample)
        loss = self._loss(logits, y)
        component = self.recipe.get("arch")
        _assign(loss, self.alphas)
        _clip(self.alphas, component.get("clip"))
        optimizers.set_rates(
            self.arch_optimizer, now(component.get("lr")), now(component.get("decay"))
        )
        self.arch_optimizer.step()
        self.valid_meter.add(loss, logits, y)

    def _weight_step(self, now: Any) -> None:
        x, y = self.train.next_batch()
        with torch.no_grad():
            sample = self.sampler.sample(
                self.arch.detached(), self.supernet.tables, self.noise, now
            )
        logits = self._forward(x, sample)
        loss = self._loss(logits, y)
        component = self.recipe.get("weights")
        _assign(loss, self.weights)
        _clip(self.weights, component.get("clip"))
        optimizers.set_rates(
            self.weight_optimizer, now(component.get("lr")), now(component.get("decay"))
        )
        self.weight_optimizer.step()
        self.train_meter.add(loss, logits, y)

    def _forward(self, x: Tensor, sample: Sample) -> Tensor:
        if x.dim() == 4:
            x = x.contiguous(memory_format=self.layout)
        logits: Tensor = self.supernet(x, sample.mix, sample.pick)
        return logits

    def _loss(self, logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits, y, label_smoothing=self.smoothing)

    # ---- what is written down

    def expected_mix(self) -> dict[str, Tensor]:
        """The mix without noise."""
        with torch.no_grad():
            return self.sampler.expected(self.arch.alphas(), self.supernet.tables)

    def mix_by_decision(self) -> dict[str, dict[str, list[float]]]:
        """Table -> decision -> weights of its options, on the host."""
        found = {}
        for name, mix in self.expected_mix().items():
            table = self.supernet.tables[name]
            rows = mix.cpu().tolist()
            found[name] = {
                d: row[: len(labels)]
                for d, row, labels in zip(table.decisions, rows, table.labels, strict=True)
            }
        return found

    def genotype(self) -> Genotype:
        """The architecture the recipe selects. Raises DiscretizeError on NaN."""
        return discretize.argmax(self.space, self.mix_by_decision())

    def epoch_record(self, epoch: int) -> dict[str, Any]:
        train_loss, train_accuracy = self.train_meter.read()
        valid_loss, valid_accuracy = self.valid_meter.read()
        self._clear()
        mix = self.mix_by_decision()
        return {
            "train": {"loss": train_loss, "accuracy": train_accuracy},
            "valid": {"loss": valid_loss, "accuracy": valid_accuracy},
            "lr": self.weight_optimizer.param_groups[0]["lr"],
            "entropy": {
                t: sum(map(discretize.entropy, rows.values())) / max(1, len(rows))
                for t, rows in mix.items()
            },
            "mix": mix,
            "genotype": forms.brief(discretize.argmax(self.space, mix), self.space),
        }

    def result(self) -> dict[str, Any]:
        """The end of a search: genotype, mix, and what discretization costs on validation data.

        Running statistics belong to the mixture, so all three accuracies use batch statistics;
        they are measured on copies of the buffers, which stay as they are.
        """
        mix = self.mix_by_decision()
        genotype = discretize.argmax(self.space, mix)
        batches = Evaluation(
            self.inputs.train,
            self.inputs.parts.search_valid,
            batch_size=int(self.recipe.get("batch")),
        )
        picked = self._one_hot(genotype)
        try:
            dense = self.supernet.in_mode("dense")
        except NotExecutable:
            # No one tensor holds the mixture, where extents are decided; there is only the pick.
            hard = soft = self._evaluated(self.supernet, picked, batches, picks(picked))
        else:
            soft = self._evaluated(dense, self.expected_mix(), batches)
            hard = self._evaluated(dense, picked, batches)
        return {
            "genotype": genotype.as_json(),
            "text": forms.brief(genotype, self.space),
            "mix": mix,
            "valid": {"loss": soft[0], "accuracy": soft[1]},
            "valid_discrete": {"loss": hard[0], "accuracy": hard[1]},
            "discretization_gap": soft[1] - hard[1],
        }

    def _one_hot(self, genotype: Genotype) -> dict[str, Tensor]:
        """The genotype as a mix; edges that are not kept weigh nothing."""
        found = {}
        for name, table in self.supernet.tables.items():
            mix = torch.zeros(table.shape, device=self.device)
            for row, (decision, labels) in enumerate(
                zip(table.decisions, table.labels, strict=True)
            ):
                for label in genotype.of(decision):
                    mix[row, labels.index(label)] = 1.0
            found[name] = mix
        return found

    def _evaluated(
        self,
        model: Supernet,
        mix: Mapping[str, Tensor],
        batches: Evaluation,
        *pick: Mapping[str, Sequence[int]],
    ) -> tuple[float, float]:
        buffers = {n: b.clone() for n, b in model.named_buffers()}
        model.train()
        try:
            return evaluate(_Laid(model, self.layout), batches, mix, *pick)
        finally:
            with torch.no_grad():
                for n, b in model.named_buffers():
                    b.copy_(buffers[n])

    # ---- state

    def state(self) -> State:
        tensors = {
            "supernet": dict(self.supernet.state_dict()),
            "alphas": dict(self.arch.state_dict()),
            "weight_optimizer": optimizers.state(self.weight_optimizer, self.weights),
            "arch_optimizer": optimizers.state(self.arch_optimizer, self.alphas),
            "generators": {"sampler": self.noise.get_state(), "global": torch.get_rng_state()},
            "meters": {"train": self.train_meter.sums, "valid": self.valid_meter.sums},
        }
        values = {
            "train": self.train.state(),
            "valid": self.valid.state(),
            "meters": [self.train_meter.count, self.valid_meter.count],
        }
        return tensors, values

    def restore(self, tensors: dict[str, dict[str, Tensor]], values: dict[str, Any]) -> None:
        checkpoint.load_module(self.supernet, tensors.get("supernet", {}), "the supernet")
        checkpoint.load_module(self.arch, tensors.get("alphas", {}), "the alphas")
        optimizers.restore(self.weight_optimizer, self.weights, tensors.get("weight_optimizer", {}))
        optimizers.restore(self.arch_optimizer, self.alphas, tensors.get("arch_optimizer", {}))
        self.noise.set_state(tensors["generators"]["sampler"])
        torch.set_rng_state(tensors["generators"]["global"])
        self.train.restore(values["train"])
        self.valid.restore(values["valid"])
        counts = values["meters"]
        self.train_meter = Meter(tensors["meters"]["train"].to(self.device), counts[0])
        self.valid_meter = Meter(tensors["meters"]["valid"].to(self.device), counts[1])


class _Laid(nn.Module):
    """A model behind the memory layout it runs fastest in."""

    def __init__(self, model: nn.Module, layout: torch.memory_format) -> None:
        super().__init__()
        self.model, self.layout = model, layout

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        if x.dim() == 4:
            x = x.contiguous(memory_format=self.layout)
        logits: Tensor = self.model(x, *args)
        return logits


def _assign(loss: Tensor, parameters: Mapping[str, nn.Parameter]) -> None:
    """Gradients of the named parameters and of nothing else; None where the loss ignores one."""
    values = list(parameters.values())
    for parameter, grad in zip(
        values, torch.autograd.grad(loss, values, allow_unused=True), strict=True
    ):
        parameter.grad = grad


def _clip(parameters: Mapping[str, nn.Parameter], limit: Any) -> None:
    if limit is not None:
        nn.utils.clip_grad_norm_(parameters.values(), float(limit))
