"""A search as a task of the loop: phases, sessions, what is written down, and state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from nasdsl.codegen.emit import NotExecutable
from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.profile import Profile
from nasdsl.ir import discretize
from nasdsl.ir.config import Component, Schedule, Settings, Steps, value_at
from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.limits import Limits
from nasdsl.ir.resolve import resolve
from nasdsl.ir.space import Space
from nasdsl.oneshot import carry, edits, entangle, lora, optimizers, pruning
from nasdsl.oneshot.arch import ArchParameters
from nasdsl.oneshot.compose import compose
from nasdsl.oneshot.health import skips
from nasdsl.oneshot.health.checkup import checkup
from nasdsl.oneshot.held import Held
from nasdsl.oneshot.metrics import Meter, evaluate
from nasdsl.oneshot.parts import Parts, Stateful, Verdict
from nasdsl.oneshot.penalties.costs import CostPenalty
from nasdsl.oneshot.phases import Phase, carried, phase_at, phases_of
from nasdsl.oneshot.precision import PLAIN, Numerics, refused
from nasdsl.oneshot.ranks import shards
from nasdsl.oneshot.ranks.world import ALONE, World
from nasdsl.oneshot.samplers.sample import picks
from nasdsl.oneshot.scaler import Scaler
from nasdsl.oneshot.session import Batch, Clock, Session
from nasdsl.oneshot.transforms.table import attends
from nasdsl.passes.prune import every, prune
from nasdsl.training import checkpoint
from nasdsl.training.captured import Capture, Captured
from nasdsl.training.data.batches import Evaluation, Stream, derived_generator, derived_seed
from nasdsl.training.data.inputs import Inputs, pipeline
from nasdsl.training.data.sources import DataError
from nasdsl.training.layout import Laid, layout_for
from nasdsl.training.operations import reseed, seed_operations
from nasdsl.training.reestimate import reestimate
from nasdsl.training.task import State

#: What a meter reads.
_MEASURED = ("loss", "accuracy")


class Search:
    """A search: one session per phase, its steps owned by the recipe's step rule.

    `space_of` gives the space with other parameters of its supernet, for phases that change them.
    `profile` and `numerics` say how supernets run; with `capture` steps are recorded and replayed.
    The ranks of a `world` make every step together.
    """

    name = "search"
    setting = "batch"

    def __init__(
        self,
        space: Space,
        recipe: Settings,
        inputs: Inputs,
        *,
        seed: int,
        device: str,
        space_of: Callable[[Mapping[str, Any]], Space] | None = None,
        limits: Limits | None = None,
        profile: str | Profile = "reference",
        capture: Capture | None = None,
        world: World = ALONE,
        numerics: Numerics = PLAIN,
    ) -> None:
        self.space, self.recipe, self.inputs, self.world = space, recipe, inputs, world
        self.profile = profile
        self.captured = Captured(capture) if capture is not None else None
        self.seed, self.device = seed, torch.device(device)
        self.numerics = numerics
        self.scaler = Scaler(self.device) if numerics.scales else None
        self.space_of = space_of
        self.limits = limits or Limits(space, lambda g: resolve(space.target, g))
        self.phases = phases_of(recipe)
        self.epochs = sum(phase.epochs for phase in self.phases)
        #: Where the search itself ends, and how many epochs the selection adds.
        self.base, self.extra = self.epochs, 0
        self.finished = False
        #: Arguments that a rule has changed, by `slot.argument`.
        self.changed: dict[str, float] = {}
        #: Labels that are left of the decisions that were pruned.
        self.kept: dict[str, tuple[str, ...]] = {}
        #: Whether low-rank adapters are on.
        self.adapted = False
        #: What stayed fresh where the last phase began, for the log.
        self.fresh: dict[str, Any] = {}
        self.noise = derived_generator(seed, "sampler")
        self._enter(0)
        extra = getattr(self.session.parts.select, "extra_epochs", None)
        if extra is not None:
            self.extra = extra(self.session)
            self.epochs += self.extra
        # Operations that draw by themselves (dropout, noise) use torch's global generator.
        seed_operations(derived_seed(seed, "operations"), world)

    # ---- phases

    def _enter(self, index: int) -> None:
        """Build the session of a phase."""
        self.index = index
        phase = self.phases[index]
        self.train = self._stream(phase, "train")
        self.valid = self._stream(phase, "valid")
        self.session = self._session(self._space(phase), phase)

    def _space(self, phase: Phase) -> Space:
        """The space of a phase's supernet, edited as the recipe says. Raises PassError."""
        space = self.space
        if self.space_of is not None and phase.settings.network != self.recipe.network:
            space = self.space_of(dict(phase.settings.network))
        return edits.edited(space, phase.settings, self.kept)

    def _next(self, index: int) -> None:
        """Go on into a phase: prune, build its session, carry what its `carry` says.

        The optimizers are new; what they remember goes with weights and alphas that are carried.
        """
        old = self.session
        settings = self.phases[index].settings
        self._keep(settings.get("prune"))
        if self.adapted:
            lora.merge(old.supernet)
            self.adapted = False
        self._enter(index)
        new, what = self.session, carried(settings)
        selects = old.parts.select, new.parts.select
        if isinstance(selects[0], Stateful) and type(selects[0]) is type(selects[1]):
            # What was decided stays decided.
            selects[1].restore(*selects[0].state())  # type: ignore[attr-defined]
        self.fresh = {}
        if "weights" in what:
            fresh = carry.weights(new.supernet, old.supernet, widen=True)
            carry.optimizer_state(
                new.weight_optimizer, new.weights, old.weight_optimizer, old.weights
            )
            self.fresh = {"fresh": len(fresh)}
        # What never moved has nothing to hand on: `init` of this phase holds.
        if "arch" in what and old.arch_optimizer is not None:
            carry.alphas(new.arch, old.arch)
            carry.alpha_state(new.arch_optimizer, new.arch, old.arch_optimizer, old.arch)

    def _keep(self, component: Any) -> None:
        """Note which options a `prune` of a phase keeps, by the mix of now."""
        if not isinstance(component, Component):
            return
        self.kept |= pruning.keep_of(
            self.session.space, self.space, component, self.session.mix_by_decision()
        )

    def _stream(self, phase: Phase, part: str) -> Stream:
        """Batches of one half. Images that the architecture is trained on are never augmented."""
        parts = self.inputs.parts
        batch = int(_changed(phase.settings, self.changed).get("batch"))
        made = Stream(
            self.inputs.train,
            parts.search_train if part == "train" else parts.search_valid,
            batch_size=batch,
            seed=self.seed,
            name=_scoped(f"search.{part}", phase),
            augment=pipeline(phase.settings.get("augment")) if part == "train" else None,
            world=self.world,
        )
        if self.world.several and made.batch < batch and _drops(phase.settings.get("drop_path")):
            raise DataError(
                f"search.{part}: {made.batch} images are fewer than a batch of {batch}, whose "
                "drop-path masks several ranks share out; make the batch smaller"
            )
        return made

    def _session(self, space: Space, phase: Phase, parts: Parts | None = None) -> Session:
        recipe = _changed(phase.settings, self.changed)
        parts = parts or compose(recipe)
        layout = layout_for(space.supernet, self.device)
        mode = "one_path" if parts.sampler.one_hot else "dense"
        supernet = Supernet(
            space,
            mode=mode,
            seed=derived_seed(self.seed, _scoped("weights", phase)),
            drop_path=_drops(recipe.get("drop_path")),
            profile=self.profile,
        )
        if isinstance(shared := recipe.get("entangle"), Component):
            entangle.share(supernet, shared.name)
        if self.adapted:
            self._adapt(supernet, recipe, "fresh")
        # Rows of a tensor are shared out as they lie.
        laid = torch.contiguous_format if self.world.sharded else layout
        supernet.to(device=self.device, memory_format=laid)  # type: ignore[call-overload]
        if self.world.sharded:
            shards.shard(supernet, supernet.enclose(), self.world, self.device)
        component = recipe.get("arch")
        init = component.get("init") if component is not None else None
        arch = ArchParameters(
            supernet.tables,
            init,
            derived_generator(self.seed, _scoped("alphas", phase)),
            attention=attends(recipe),
        ).to(self.device)
        weights = lora.trained(supernet)
        alphas = dict(arch.named_parameters())
        session = Session(
            space=space,
            recipe=recipe,
            supernet=supernet,
            arch=arch,
            parts=parts,
            weight_optimizer=self._optimizer(recipe.get("weights"), weights),
            arch_optimizer=self._optimizer(component, alphas) if component is not None else None,
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
            base=self.base,
            held=self._held(self._part(recipe)),
            probe=self._probe,
            world=self.world,
            numerics=self.numerics,
            scaler=self.scaler,
        )
        for penalty in parts.penalties:
            # A cost that the space or a table does not tell is told before training.
            if isinstance(penalty, CostPenalty):
                penalty.prepare(session)
        return session

    def _optimizer(
        self, component: Component, parameters: Mapping[str, nn.Parameter]
    ) -> torch.optim.Optimizer:
        return optimizers.build(component, parameters, skips=self.numerics.scales)

    def _part(self, recipe: Settings) -> int:
        """Images that go through the supernet at a time, in steps and in measurements."""
        return max(1, int(recipe.get("batch")) // self.numerics.accumulate)

    def _held(self, batch: int) -> Held:
        """Held-out images for selection rules, and training images for statistics."""
        images, parts = self.inputs.train, self.inputs.parts

        def calibrate(net: nn.Module, count: int) -> None:
            chosen = parts.search_train[:count]
            reestimate(net, (x for x, _ in Evaluation(images, chosen, batch_size=batch)))

        return Held(
            valid=lambda: Evaluation(images, parts.search_valid, batch_size=batch),
            calibrate=calibrate,
            limits=self.limits,
        )

    # ---- graph edits

    def rebuild(self, keep: Mapping[str, Sequence[str]]) -> None:
        """Take every option out of the supernet that `keep` leaves out of its decision.

        Weights, alphas and what the optimizers remember of them are carried; parts, batches,
        noise and time go on as they are. The session stays the same object. Raises PruneError.
        """
        session, old = self.session, replace(self.session)
        space = prune(session.space, keep)
        self.kept |= {d: tuple(labels) for d, labels in keep.items()}
        self._structure(space)
        carry.weights(session.supernet, old.supernet)
        carry.alphas(session.arch, old.arch)
        carry.optimizer_state(
            session.weight_optimizer, session.weights, old.weight_optimizer, old.weights
        )
        carry.alpha_state(session.arch_optimizer, session.arch, old.arch_optimizer, old.arch)

    def _structure(self, space: Space) -> None:
        """Put a fresh supernet, alphas and optimizers of a space into the session."""
        session = self.session
        dtype = next(session.supernet.parameters()).dtype
        made = self._session(space, self.phases[self.index], session.parts)
        made.supernet.to(dtype)
        made.arch.to(dtype)
        session.space, session.supernet, session.arch = space, made.supernet, made.arch
        session.weight_optimizer = made.weight_optimizer
        session.arch_optimizer = made.arch_optimizer
        session.weights, session.alphas = made.weights, made.alphas

    def _probe(self, part: str) -> Batch:
        """The first images of a half as one batch, not augmented; no stream moves."""
        parts = self.inputs.parts
        chosen = parts.search_train if part == "train" else parts.search_valid
        size = self._part(self.phases[self.index].settings)
        return next(iter(Evaluation(self.inputs.train, chosen, batch_size=size)))

    # ---- steps

    def begin(self, epoch: int) -> int:
        index = phase_at(self.phases, epoch)
        if index != self.index:
            self._next(index)
        self._prune_at(epoch)
        self._adapt_at(epoch)
        return self.train.batches_per_pass

    def _prune_at(self, epoch: int) -> None:
        """`prune = steps({epoch: …})`: what is due when an epoch begins.

        Doing it twice changes nothing, so an epoch may begin again after a restore.
        """
        phase = self.phases[self.index]
        events = phase.settings.get("prune")
        if not isinstance(events, Steps):
            return
        first, total = self._block("prune")
        for time, component in events.entries:
            if round(time.epochs(total)) == epoch - first:
                found = pruning.keep_of(
                    self.session.space, self.space, component, self.session.mix_by_decision()
                )
                if found:
                    self.rebuild(found)

    def _block(self, slot: str) -> tuple[int, int]:
        """First epoch and number of epochs of the block in which a slot is written."""
        phase = self.phases[self.index]
        return (phase.first, phase.epochs) if slot in phase.own else (0, self.epochs)

    def _adapt_at(self, epoch: int) -> None:
        """Put adapters on or take them off, as `lora` says of this epoch."""
        session = self.session
        first, total = self._block("lora")
        wanted = lora.wanted(session.recipe.get("lora"), epoch - first, total)
        if wanted == self.adapted:
            return
        if wanted:
            self._adapt(session.supernet, session.recipe, str(epoch))
        else:
            lora.merge(session.supernet)
        self.adapted = wanted
        before, optimizer = session.weights, session.weight_optimizer
        session.weights = lora.trained(session.supernet)
        session.weight_optimizer = self._optimizer(session.recipe.get("weights"), session.weights)
        carry.optimizer_state(session.weight_optimizer, session.weights, optimizer, before)

    def _adapt(self, supernet: Supernet, recipe: Settings, name: str) -> None:
        rank = int(recipe.get("lora").get("rank"))
        lora.adapt(supernet, rank, derived_generator(self.seed, f"adapters.{name}"))

    def step(self, epoch: int, number: int) -> None:
        session, phase = self.session, self.phases[self.index]
        length = self.train.batches_per_pass
        session.clock = Clock(
            (epoch - phase.first) * length + number, phase.epochs * length, length
        )
        session.whole = Clock(epoch * length + number, self.base * length, length)
        if epoch >= self.base:
            self._tune((epoch - self.base) * length + number, length)
        if not session.supernet.training:  # thousands of modules to go through otherwise
            session.supernet.train()
        edits.follow(session)
        if self.captured is not None and epoch < self.base:
            self.captured.step(session)
        else:
            session.step()

    def _tune(self, step: int, length: int) -> None:
        """Set the clocks of the epochs that a selection adds: only the weights have a schedule.

        As DARTS-PT does: a tenth of the rate, along a cosine of its own, without momentum.
        """
        session, end = self.session, self.base * length
        session.clock = Clock(step, self.extra * length, length)
        session.whole = Clock(end - 1, end, length)
        session.own = frozenset({"weights"})
        if step == 0:
            session.weight_optimizer.state.clear()
        settings = _changed(self.phases[self.index].settings, self.changed)
        session.recipe = _tuned(settings, end, length)

    # ---- what is written down

    def genotype(self) -> Genotype:
        """The architecture the recipe selects. Raises DiscretizeError on NaN."""
        with shards.gathered(self.session.supernet):
            return self._genotype()

    def _genotype(self) -> Genotype:
        return self.session.parts.select.genotype(self.session)

    def epoch_record(self, epoch: int) -> dict[str, Any]:
        session = self.session
        self.world.level(session.supernet)
        read = {k: m.over(self.world) for k, m in self._meters().items()}
        # A recipe may have used only one half in this epoch.
        losses = {
            k: dict(zip(_MEASURED, m.read(), strict=True)) for k, m in read.items() if m.count
        }
        self._clear()
        # A rule may rebuild the supernet, and with it the optimizer.
        rate = float(session.weight_optimizer.param_groups[0]["lr"])
        searching = epoch < self.base
        verdict = None
        if session.parts.stop is not None and searching:
            with shards.gathered(session.supernet):  # it may ask for the architecture
                verdict = session.parts.stop.after_epoch(session, epoch)
        said = self._follow(verdict)
        if verdict is not None and verdict.stop and self.extra:
            # The selection has its own epochs behind the search.
            self.base, self.finished = epoch + 1, False
            session.base = self.base
        select = getattr(session.parts.select, "after_epoch", None)
        if select is not None:
            said |= {f"select.{k}": v for k, v in self._follow(select(session, epoch)).items()}
        if self.extra and epoch + 1 >= self.base + self.extra:
            self.finished = True
        mix = session.mix_by_decision()
        so_far = getattr(session.parts.select, "so_far", None)
        genotype = so_far(session) if so_far else discretize.argmax(session.space, mix)
        fresh, self.fresh = self.fresh, {}
        return {
            **losses,
            **fresh,
            **said,
            "lr": rate,
            "entropy": {
                t: sum(map(discretize.entropy, rows.values())) / max(1, len(rows))
                for t, rows in mix.items()
            },
            "mix": mix,
            **self._labels(),
            **self._checkup(epoch, mix),
            "genotype": forms.brief(genotype, self.limits.space if so_far else session.space),
        }

    def _checkup(self, epoch: int, mix: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
        """What the recipe measures after an epoch."""
        if self.session.recipe.get("measure") is None:
            return {}
        with shards.gathered(self.session.supernet):
            return checkup(self.session, epoch, mix, last=epoch + 1 == self.epochs)

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
        if verdict.keep:
            self.rebuild(dict(verdict.keep))
        self.changed |= dict(verdict.changes)
        self.session.recipe = _changed(self.phases[self.index].settings, self.changed)
        self.finished = self.finished or verdict.stop
        if "batch" in dict(verdict.changes):
            self._restream()
        return {"verdict": verdict.reason}

    def _restream(self) -> None:
        """Batches of another size: the next pass begins anew."""
        phase, session = self.phases[self.index], self.session
        passes = self.train.state()[0] + 1, self.valid.state()[0] + 1
        self.train, self.valid = self._stream(phase, "train"), self._stream(phase, "valid")
        self.train.restore((passes[0], 0))
        self.valid.restore((passes[1], 0))
        session.next_train, session.next_valid = self.train.next_batch, self.valid.next_batch

    def _meters(self) -> dict[str, Meter]:
        return {"train": self.session.train_meter, "valid": self.session.valid_meter}

    def _clear(self) -> None:
        for meter in self._meters().values():
            meter.clear()

    def result(self) -> dict[str, Any]:
        """The end of a search: genotype, mix, and what discretization costs on validation data.

        Running statistics belong to the mixture, so all three accuracies use batch statistics;
        they are measured on copies of the buffers, which stay as they are.
        """
        with shards.gathered(self.session.supernet):
            return self._result()

    def _result(self) -> dict[str, Any]:
        session = self.session
        mix = session.mix_by_decision()
        genotype = self._genotype()
        batches = Evaluation(
            self.inputs.train,
            self.inputs.parts.search_valid,
            batch_size=self._part(session.recipe),
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
            **self._labels(),
            "structure": {
                "phase": self.index,
                "kept": {d: list(labels) for d, labels in self.kept.items()},
            },
            "warnings": [said] if (said := skips.warning(genotype, session.space)) else [],
        }

    def _labels(self) -> dict[str, dict[str, list[str]]]:
        """Labels of the rows of the mix that are not those of the whole space."""
        whole = {d.id: d.labels for d in every(self.space.decisions)}
        found = {
            d: list(labels)
            for table in self.session.supernet.tables.values()
            for d, labels in zip(table.decisions, table.labels, strict=True)
            if whole.get(d) != labels
        }
        return {"labels": found} if found else {}

    def _one_hot(self, genotype: Genotype) -> dict[str, Tensor]:
        """The genotype as a mix; edges that are not kept weigh nothing."""
        found = {}
        betas = {d.id for d in self.session.space.decisions if d.kind == "beta"}
        for name, table in self.session.supernet.tables.items():
            mix = torch.zeros(table.shape, device=self.device)
            for row, (decision, labels) in enumerate(
                zip(table.decisions, table.labels, strict=True)
            ):
                if decision in betas:
                    # Every edge that is kept has weight one.
                    mix[row, : len(labels)] = 1.0
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
        edits.follow(self.session)
        edits.calm(model)
        try:
            laid = Laid(model, self.session.layout)
            return evaluate(laid, batches, mix, *pick, world=self.world)
        finally:
            with torch.no_grad():
                for n, b in model.named_buffers():
                    b.copy_(buffers[n])
            edits.follow(self.session)

    # ---- what the loop asks where something goes wrong

    @property
    def on_cpu(self) -> bool:
        return self.device.type == "cpu"

    @property
    def splits(self) -> bool:
        return refused(self.session.recipe, Numerics(accumulate=2)) is None

    @property
    def batch(self) -> int:
        return int(self.session.recipe.get("batch"))

    def broken(self) -> bool:
        return not all(bool(torch.isfinite(m.sums).all()) for m in self._meters().values())

    def networks(self) -> dict[str, nn.Module]:
        return {"supernet": self.session.supernet}

    def late(self) -> None:
        """Set the clocks to the end, when everything that a recipe begins later has begun."""
        length = self.train.batches_per_pass
        end = self.base * length
        self.session.clock = self.session.whole = Clock(end - 1, end, length)
        self.session.supernet.train()

    def trial(self, batch: int) -> None:
        images = self.inputs.train
        given = images.take((torch.arange(batch) % len(images)).to(images.device))
        self.session.next_train = self.session.next_valid = lambda: given
        # Drop-path masks are as many as a batch has images.
        self.session.recipe = _changed(self.session.recipe, {"batch": batch})
        self.session.step()

    # ---- state

    def state(self) -> State:
        session = self.session
        self.world.level(session.supernet)
        meters = {k: m.over(self.world) for k, m in self._meters().items()}
        tensors = {
            "supernet": shards.wholes(session.supernet.state_dict()),
            "alphas": dict(session.arch.state_dict()),
            "weight_optimizer": optimizers.state(session.weight_optimizer, session.weights),
            "generators": {"sampler": self.noise.get_state(), "global": torch.get_rng_state()},
            "meters": {k: m.sums for k, m in meters.items()},
        }
        if session.arch_optimizer is not None:
            tensors["arch_optimizer"] = optimizers.state(session.arch_optimizer, session.alphas)
        if self.scaler is not None:
            tensors["scaler"] = self.scaler.state()
        values: dict[str, Any] = {
            "phase": self.index,
            "finished": self.finished,
            "base": self.base,
            "changed": self.changed,
            "clocks": [
                [c.step, c.steps, c.steps_per_epoch] for c in (session.clock, session.whole)
            ],
            "adapted": self.adapted,
            "fresh": self.fresh,
            "kept": {d: list(labels) for d, labels in self.kept.items()},
            "train": self.train.state(),
            "valid": self.valid.state(),
            "meters": [meters["train"].count, meters["valid"].count],
            "parts": {},
        }
        for slot, part in session.parts.named.items():
            if isinstance(part, Stateful):
                tensors[f"part.{slot}"], values["parts"][slot] = part.state()
        return tensors, values

    def restore(self, tensors: dict[str, dict[str, Tensor]], values: dict[str, Any]) -> None:
        self.finished = bool(values["finished"])
        # The structure first: only then everything has a place.
        self.kept = {d: tuple(labels) for d, labels in values.get("kept", {}).items()}
        self.adapted = bool(values.get("adapted", False))
        if values["phase"] != self.index:
            self._enter(int(values["phase"]))
        elif self.kept or self.adapted:
            self._structure(self._space(self.phases[self.index]))
        session = self.session
        self.base = session.base = int(values["base"])
        self.fresh = dict(values.get("fresh", {}))
        session.clock, session.whole = (Clock(*c) for c in values["clocks"])
        self.changed = dict(values["changed"])
        if "batch" in self.changed:
            self._restream()
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
        if self.scaler is not None:
            self.scaler.restore(tensors["scaler"])
        self.train.restore(values["train"])
        self.valid.restore(values["valid"])
        counts = values["meters"]
        session.train_meter = Meter(tensors["meters"]["train"].to(self.device), counts[0])
        session.valid_meter = Meter(tensors["meters"]["valid"].to(self.device), counts[1])
        if not self.world.writes:
            self._clear()  # what all ranks recorded is counted once
        for slot, part in session.parts.named.items():
            if isinstance(part, Stateful):
                part.restore(tensors.get(f"part.{slot}", {}), values["parts"].get(slot, {}))
        self.noise.set_state(tensors["generators"]["sampler"])
        reseed(tensors["generators"]["global"], self.world)


def _drops(drop_path: Any) -> bool:
    """Whether drop-path ever drops anything: `linear(0 -> 0)` does not."""
    if isinstance(drop_path, Schedule):
        return bool(drop_path.start or drop_path.end)
    return bool(drop_path)


def _changed(recipe: Settings, changes: Mapping[str, float]) -> Settings:
    """A recipe with arguments of its components changed."""
    for name, value in changes.items():
        slot, _, argument = name.partition(".")
        if not argument:
            values = tuple((s, Fraction(value) if s == slot else v) for s, v in recipe.values)
            recipe = replace(recipe, values=values)
            continue
        values = tuple(
            (s, v.with_arg(argument, value) if s == slot and isinstance(v, Component) else v)
            for s, v in recipe.values
        )
        recipe = replace(recipe, values=values)
    return recipe


def _tuned(recipe: Settings, steps: int, length: int) -> Settings:
    """The recipe with the learning rate of the epochs behind the search."""
    weights = recipe.get("weights")
    lr = weights.get("lr")
    start = Fraction(value_at(lr, step=0, steps=steps, steps_per_epoch=length)) / 10
    # A schedule held per epoch never reaches its end, which is the lowest rate of the search.
    last = (
        lr.end
        if isinstance(lr, Schedule)
        else Fraction(value_at(lr, step=steps - 1, steps=steps, steps_per_epoch=length))
    )
    rate = Schedule("cosine", start, min(start, last), per_epoch=True)
    values = tuple((s, v.with_arg("lr", rate) if s == "weights" else v) for s, v in recipe.values)
    return replace(recipe, values=values)


def _scoped(name: str, phase: Phase) -> str:
    """The name of a random stream: that of a recipe without phases has no suffix."""
    return f"{name}.{phase.name}" if phase.name else name
