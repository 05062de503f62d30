"""A search as a task of the loop: phases, sessions, what is written down, and state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nasdsl.codegen.emit import NotExecutable
from nasdsl.codegen.supernet import Supernet
from nasdsl.ir import discretize
from nasdsl.ir.config import Component, Schedule, Settings
from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Space
from nasdsl.oneshot import optimizers
from nasdsl.oneshot.arch import ArchParameters
from nasdsl.oneshot.compose import compose
from nasdsl.oneshot.metrics import Meter, evaluate
from nasdsl.oneshot.parts import Stateful, Verdict
from nasdsl.oneshot.penalties.costs import CostPenalty
from nasdsl.oneshot.phases import Phase, phase_at, phases_of
from nasdsl.oneshot.samplers.sample import picks
from nasdsl.oneshot.session import Clock, Session
from nasdsl.oneshot.transforms.table import attends
from nasdsl.training import checkpoint
from nasdsl.training.data.batches import Evaluation, Stream, derived_generator, derived_seed
from nasdsl.training.data.inputs import Inputs, pipeline
from nasdsl.training.layout import Laid, layout_for
from nasdsl.training.loop import State

#: What a meter reads.
_MEASURED = ("loss", "accuracy")


class Search:
    """A search: one session per phase, its steps owned by the recipe's step rule.

    `space_of` gives the space with other parameters of its supernet, for phases that change them.
    """

    name = "search"

    def __init__(
        self,
        space: Space,
        recipe: Settings,
        inputs: Inputs,
        *,
        seed: int,
        device: str,
        space_of: Callable[[Mapping[str, Any]], Space] | None = None,
    ) -> None:
        self.space, self.recipe, self.inputs = space, recipe, inputs
        self.seed, self.device = seed, torch.device(device)
        self.space_of = space_of
        self.phases = phases_of(recipe)
        self.epochs = sum(phase.epochs for phase in self.phases)
        self.finished = False
        #: Arguments that a rule has changed, by `slot.argument`.
        self.changed: dict[str, float] = {}
        self.noise = derived_generator(seed, "sampler")
        self._enter(0)
        # Operations that draw by themselves (dropout, noise) use torch's global generator.
        torch.manual_seed(derived_seed(seed, "operations"))

    # ---- phases

    def _enter(self, index: int) -> None:
        """Build the session of a phase."""
        phase = self.phases[index]
        self.index = index
        space = self.space
        if self.space_of is not None and phase.settings.network != self.recipe.network:
            space = self.space_of(dict(phase.settings.network))
        self.train = self._stream(phase, "train")
        self.valid = self._stream(phase, "valid")
        self.session = self._session(space, phase)

    def _stream(self, phase: Phase, part: str) -> Stream:
        """Batches of one half. Images that the architecture is trained on are never augmented."""
        parts = self.inputs.parts
        return Stream(
            self.inputs.train,
            parts.search_train if part == "train" else parts.search_valid,
            batch_size=int(phase.settings.get("batch")),
            seed=self.seed,
            name=_scoped(f"search.{part}", phase),
            augment=pipeline(phase.settings.get("augment")) if part == "train" else None,
        )

    def _session(self, space: Space, phase: Phase) -> Session:
        recipe = _changed(phase.settings, self.changed)
        parts = compose(recipe)
        layout = layout_for(space.supernet, self.device)
        mode = "one_path" if parts.sampler.one_hot else "dense"
        supernet = Supernet(
            space,
            mode=mode,
            seed=derived_seed(self.seed, _scoped("weights", phase)),
            drop_path=_drops(recipe.get("drop_path")),
        )
        supernet.to(device=self.device, memory_format=layout)  # type: ignore[call-overload]
        component = recipe.get("arch")
        init = component.get("init") if component is not None else None
        arch = ArchParameters(
            supernet.tables,
            init,
            derived_generator(self.seed, _scoped("alphas", phase)),
            attention=attends(recipe),
        ).to(self.device)
        weights = {n: p for n, p in supernet.named_parameters() if p.requires_grad}
        alphas = dict(arch.named_parameters())
        session = Session(
            space=space,
            recipe=recipe,
            supernet=supernet,
            arch=arch,
            parts=parts,
            weight_optimizer=optimizers.build(recipe.get("weights"), weights),
            arch_optimizer=optimizers.build(component, alphas) if component is not None else None,
            noise=self.noise,
            next_train=self.train.next_batch,
            next_valid=self.valid.next_batch,
            layout=layout,
            device=self.device,
            clock=Clock(0, 1, 1),
            whole=Clock(0, 1, 1),
            own=phase.own,
            train_meter=Meter.on(self.device),
            valid_meter=Meter.on(self.device),
            weights=weights,
            alphas=alphas,
        )
        for penalty in parts.penalties:
            # A cost that the space or a table does not tell is told before training.
            if isinstance(penalty, CostPenalty):
                penalty.prepare(session)
        return session

    # ---- steps

    def begin(self, epoch: int) -> int:
        index = phase_at(self.phases, epoch)
        if index != self.index:
            self._enter(index)
        return self.train.batches_per_pass

    def step(self, epoch: int, number: int) -> None:
        session, phase = self.session, self.phases[self.index]
        length = self.train.batches_per_pass
        session.clock = Clock(
            (epoch - phase.first) * length + number, phase.epochs * length, length
        )
        session.whole = Clock(epoch * length + number, self.epochs * length, length)
        session.supernet.train()
        session.parts.step.run(session)

    # ---- what is written down

    def genotype(self) -> Genotype:
        """The architecture the recipe selects. Raises DiscretizeError on NaN."""
        return self.session.parts.select.genotype(self.session)

    def epoch_record(self, epoch: int) -> dict[str, Any]:
        session = self.session
        read = {"train": session.train_meter, "valid": session.valid_meter}
        # A recipe may have used only one half in this epoch.
        losses = {
            k: dict(zip(_MEASURED, m.read(), strict=True)) for k, m in read.items() if m.count
        }
        self._clear()
        verdict = session.parts.stop.after_epoch(session, epoch) if session.parts.stop else None
        mix = session.mix_by_decision()
        return {
            **losses,
            **self._follow(verdict),
            "lr": session.weight_optimizer.param_groups[0]["lr"],
            "entropy": {
                t: sum(map(discretize.entropy, rows.values())) / max(1, len(rows))
                for t, rows in mix.items()
            },
            "mix": mix,
            "genotype": forms.brief(discretize.argmax(session.space, mix), session.space),
        }

    def _follow(self, verdict: Verdict | None) -> dict[str, Any]:
        """Do what a rule asks for after an epoch; what to write down of it."""
        if verdict is None:
            return {}
        if verdict.alphas is not None:
            with torch.no_grad():
                for name, alpha in self.session.arch.alphas().items():
                    alpha.copy_(verdict.alphas[name])
        if verdict.supernet is not None:
            self.session.supernet.load_state_dict(verdict.supernet)
            # Momentum belongs to the weights that are gone.
            self.session.weight_optimizer.state.clear()
        self.changed |= dict(verdict.changes)
        self.session.recipe = _changed(self.phases[self.index].settings, self.changed)
        self.finished = verdict.stop
        return {"verdict": verdict.reason}

    def _clear(self) -> None:
        session = self.session
        session.train_meter, session.valid_meter = Meter.on(self.device), Meter.on(self.device)

    def result(self) -> dict[str, Any]:
        """The end of a search: genotype, mix, and what discretization costs on validation data.

        Running statistics belong to the mixture, so all three accuracies use batch statistics;
        they are measured on copies of the buffers, which stay as they are.
        """
        session = self.session
        mix = session.mix_by_decision()
        genotype = self.genotype()
        batches = Evaluation(
            self.inputs.train,
            self.inputs.parts.search_valid,
            batch_size=int(session.recipe.get("batch")),
        )
        picked = self._one_hot(genotype)
        try:
            dense = session.supernet.in_mode("dense")
        except NotExecutable:
            # No one tensor holds the mixture, where extents are decided; there is only the pick.
            hard = soft = self._evaluated(session.supernet, picked, batches, picks(picked))
        else:
            soft = self._evaluated(dense, session.expected(), batches)
            hard = self._evaluated(dense, picked, batches)
        return {
            "genotype": genotype.as_json(),
            "text": forms.brief(genotype, session.space),
            "mix": mix,
            "valid": {"loss": soft[0], "accuracy": soft[1]},
            "valid_discrete": {"loss": hard[0], "accuracy": hard[1]},
            "discretization_gap": soft[1] - hard[1],
        }

    def _one_hot(self, genotype: Genotype) -> dict[str, Tensor]:
        """The genotype as a mix; edges that are not kept weigh nothing."""
        found = {}
        for name, table in self.session.supernet.tables.items():
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
            return evaluate(Laid(model, self.session.layout), batches, mix, *pick)
        finally:
            with torch.no_grad():
                for n, b in model.named_buffers():
                    b.copy_(buffers[n])

    # ---- state

    def state(self) -> State:
        session = self.session
        tensors = {
            "supernet": dict(session.supernet.state_dict()),
            "alphas": dict(session.arch.state_dict()),
            "weight_optimizer": optimizers.state(session.weight_optimizer, session.weights),
            "generators": {"sampler": self.noise.get_state(), "global": torch.get_rng_state()},
            "meters": {"train": session.train_meter.sums, "valid": session.valid_meter.sums},
        }
        if session.arch_optimizer is not None:
            tensors["arch_optimizer"] = optimizers.state(session.arch_optimizer, session.alphas)
        values: dict[str, Any] = {
            "phase": self.index,
            "finished": self.finished,
            "changed": self.changed,
            "train": self.train.state(),
            "valid": self.valid.state(),
            "meters": [session.train_meter.count, session.valid_meter.count],
            "parts": {},
        }
        for slot, part in session.parts.named.items():
            if isinstance(part, Stateful):
                tensors[f"part.{slot}"], values["parts"][slot] = part.state()
        return tensors, values

    def restore(self, tensors: dict[str, dict[str, Tensor]], values: dict[str, Any]) -> None:
        self.finished = bool(values["finished"])
        if values["phase"] != self.index:
            self._enter(int(values["phase"]))
        session = self.session
        self.changed = dict(values["changed"])
        session.recipe = _changed(self.phases[self.index].settings, self.changed)
        checkpoint.load_module(session.supernet, tensors.get("supernet", {}), "the supernet")
        checkpoint.load_module(session.arch, tensors.get("alphas", {}), "the alphas")
        optimizers.restore(
            session.weight_optimizer, session.weights, tensors.get("weight_optimizer", {})
        )
        if session.arch_optimizer is not None:
            optimizers.restore(
                session.arch_optimizer, session.alphas, tensors.get("arch_optimizer", {})
            )
        self.train.restore(values["train"])
        self.valid.restore(values["valid"])
        counts = values["meters"]
        session.train_meter = Meter(tensors["meters"]["train"].to(self.device), counts[0])
        session.valid_meter = Meter(tensors["meters"]["valid"].to(self.device), counts[1])
        for slot, part in session.parts.named.items():
            if isinstance(part, Stateful):
                part.restore(tensors.get(f"part.{slot}", {}), values["parts"].get(slot, {}))
        self.noise.set_state(tensors["generators"]["sampler"])
        torch.set_rng_state(tensors["generators"]["global"])


def _drops(drop_path: Any) -> bool:
    """Whether drop-path ever drops anything: `linear(0 -> 0)` does not."""
    if isinstance(drop_path, Schedule):
        return bool(drop_path.start or drop_path.end)
    return bool(drop_path)


def _changed(recipe: Settings, changes: Mapping[str, float]) -> Settings:
    """A recipe with arguments of its components changed."""
    for name, value in changes.items():
        slot, _, argument = name.partition(".")
        values = tuple(
            (s, v.with_arg(argument, value) if s == slot and isinstance(v, Component) else v)
            for s, v in recipe.values
        )
        recipe = replace(recipe, values=values)
    return recipe


def _scoped(name: str, phase: Phase) -> str:
    """The name of a random stream: that of a recipe without phases has no suffix."""
    return f"{name}.{phase.name}" if phase.name else name
