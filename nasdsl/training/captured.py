"""The steps of a search as one CUDA graph: no operator is launched by the host, nothing is waited for.

The first steps run as they are, on a stream beside, so that optimizers and libraries have what they
keep. One step is then recorded over batches that stay in their place, and from there on a step is:
copy the batches there, set the learning rates, replay. Where something changes that a recording
holds (a pruned supernet, new optimizers, an architecture that begins to move) it begins anew.

What is recorded and what is replayed is `Capture`'s; all else is the same for every device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from nasdsl.ir.config import Component, Schedule, Settings, components
from nasdsl.oneshot.edits import exploration
from nasdsl.oneshot.optimizers import HELD
from nasdsl.oneshot.parts import ARCH, WEIGHTS, Parts
from nasdsl.oneshot.samplers.sigmoid import Sigmoid
from nasdsl.oneshot.samplers.softmax import Softmax
from nasdsl.oneshot.session import Batch, Session
from nasdsl.oneshot.steps.first_order import FirstOrder
from nasdsl.oneshot.steps.joint import Joint
from nasdsl.training.plan import PlanError

#: Steps that run as they are before one is recorded.
WARMUP = 3


class Capture(Protocol):
    """How a step is recorded."""

    def beside(self) -> AbstractContextManager[None]:
        """Where the steps before a recording run."""
        ...

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Record a step without taking it; what is returned takes it. Raises CaptureError."""
        ...


class CaptureError(PlanError):
    """A step that cannot be recorded."""


class CudaCapture:
    """Recording as a `torch.cuda.CUDAGraph`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)

    @contextmanager
    def beside(self) -> Iterator[None]:
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            yield
        torch.cuda.current_stream(self.device).wait_stream(self.stream)

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self.device)
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                step()
        except RuntimeError as error:
            said = str(error).strip().splitlines()[0]
            raise CaptureError(
                f"the step cannot be recorded as a CUDA graph: {said}; leave --cuda-graph out"
            ) from error
        return graph.replay


def unfit(recipe: Settings, parts: Parts, device: torch.device | str) -> str | None:
    """Why the steps of a recipe cannot be recorded; None where they can."""
    if torch.device(device).type != "cuda":
        return f"CUDA graphs run on CUDA devices, this search on {torch.device(device).type}"
    return changing(recipe, parts)


def changing(recipe: Settings, parts: Parts) -> str | None:
    """What of a recipe the host decides at every step, so that a recording would hold it still."""
    if type(parts.step) not in (FirstOrder, Joint):
        return f"`step = {_name(recipe, 'step')}` looks at values on the host"
    if parts.sampler.one_hot:
        return f"`sampler = {_name(recipe, 'sampler')}` picks its paths on the host"
    if type(parts.sampler) not in (Softmax, Sigmoid):
        return f"`sampler = {_name(recipe, 'sampler')}` draws its noise on the host"
    if parts.perturb is not None:
        return f"`perturb = {_name(recipe, 'perturb')}` is made anew by the host at every step"
    for slot in ("freeze", "align"):
        if slot in parts.named:
            return f"`{slot} = {_name(recipe, slot)}` looks at gradients on the host"
    if parts.transforms:
        return "`mix`, or what `select` decides, changes the mix on the host at every step"
    if parts.penalties:
        first = components(recipe.get("regularize"))[0].name
        return f"`regularize = {first}` takes its weight from the host at every step"
    scheduled = {
        "drop_path": recipe.get("drop_path"),
        "aux_skip": recipe.get("aux_skip"),
        "drop_op": recipe.get("drop_op"),
        "mix": exploration(recipe),
    }
    for slot, value in scheduled.items():
        if value:
            return f"`{slot}` is set by the host at every step"
    for role in (WEIGHTS, ARCH):
        component = recipe.get(role)
        if isinstance(component, Component) and isinstance(component.get("decay"), Schedule):
            return f"`{role}.decay` follows a schedule, and only learning rates may"
    return None


def _name(recipe: Settings, slot: str) -> str:
    component = recipe.get(slot)
    return component.name if isinstance(component, Component) else "none"


class Captured:
    """Takes the steps of sessions; `step(session)` is what the session's step rule does."""

    def __init__(self, capture: Capture, warmup: int = WARMUP) -> None:
        self.capture = capture
        self.warmup = warmup
        #: What a recording holds, compared by identity.
        self.holds: tuple[Any, ...] = ()
        self.seen = 0
        self.replay: Callable[[], None] | None = None
        #: Halves in the order a step takes batches of them.
        self.order: tuple[str, ...] = ()
        self.inputs: tuple[Batch, ...] = ()

    def step(self, session: Session) -> None:
        holds = _holds(session)
        if len(holds) != len(self.holds) or any(
            a is not b for a, b in zip(holds, self.holds, strict=True)
        ):
            self.holds, self.seen, self.replay = holds, 0, None
            for optimizer in (session.weight_optimizer, session.arch_optimizer):
                if optimizer is not None:
                    prepare(optimizer, session.device)
        if self.seen < self.warmup:
            self._warm(session)
            return
        batches = tuple(_next(session, half) for half in self.order)
        if any(not _alike(a, b) for a, b in zip(batches, self.inputs, strict=True)):
            # A smaller batch at the end of a pass.
            with _feeding(session, self.order, batches):
                session.step()
            return
        if self.replay is None:
            self.replay = self._recorded(session)
        for (x, y), (x_, y_) in zip(self.inputs, batches, strict=True):
            x.copy_(x_)
            y.copy_(y_)
        _set_rates(session)
        counts = [
            _meter(session, half).count + y.shape[0]
            for half, (_, y) in zip(self.order, batches, strict=True)
        ]
        self.replay()
        for half, count in zip(self.order, counts, strict=True):
            _meter(session, half).count = count

    def _warm(self, session: Session) -> None:
        """A step as it is, and which batches it takes."""
        taken: list[tuple[str, Batch]] = []
        real = session.next_train, session.next_valid

        def noting(half: str, draw: Callable[[], Batch]) -> Callable[[], Batch]:
            def drawn() -> Batch:
                taken.append((half, draw()))
                return taken[-1][1]

            return drawn

        session.next_train = noting("train", real[0])
        session.next_valid = noting("valid", real[1])
        try:
            with self.capture.beside():
                session.step()
        finally:
            session.next_train, session.next_valid = real
        if not self.seen:
            self.order = tuple(half for half, _ in taken)
            self.inputs = tuple((x.clone(), y.clone()) for _, (x, y) in taken)
        self.seen += 1

    def _recorded(self, session: Session) -> Callable[[], None]:
        counts = session.train_meter.count, session.valid_meter.count
        optimizers = [o for o in (session.weight_optimizer, session.arch_optimizer) if o]
        for parameter in (*session.weights.values(), *session.alphas.values()):
            parameter.grad = None  # recorded ones lie in the memory of the recording

        def once() -> None:
            with _feeding(session, self.order, self.inputs), _held(optimizers):
                session.step()

        replay = self.capture.record(once)
        session.train_meter.count, session.valid_meter.count = counts
        return replay


def prepare(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Let an optimizer read its learning rate, and count its steps, on the device."""
    cuda = device.type == "cuda"
    for group in optimizer.param_groups:
        # Kernels for CUDA read it as float32.
        kind = torch.float32 if cuda else torch.float64
        group["lr"] = torch.zeros((), dtype=kind, device=device)
        if cuda and "capturable" in group:
            group["capturable"] = True
        elif cuda:
            group["fused"], group["foreach"] = True, False
        else:
            group["foreach"] = False  # lists do not go with a rate that is a tensor
    if cuda:
        for state in optimizer.state.values():
            if isinstance(step := state.get("step"), Tensor):
                state["step"] = step.to(device, torch.float32)


def _holds(session: Session) -> tuple[Any, ...]:
    return (
        session.supernet,
        session.supernet.planned().module,
        session.weight_optimizer,
        session.arch_optimizer,
        session.train_meter.sums,
        session.valid_meter.sums,
        session.due(ARCH),
        session.due(WEIGHTS),
    )


def _set_rates(session: Session) -> None:
    """The learning rates of this step, where the recording reads them."""
    for role, optimizer in ((WEIGHTS, session.weight_optimizer), (ARCH, session.arch_optimizer)):
        if optimizer is not None and session.due(role):
            lr = session.now(session.recipe.get(role).get("lr"), role)
            for group in optimizer.param_groups:
                group["lr"].fill_(lr)


@contextmanager
def _held(optimizers: list[torch.optim.Optimizer]) -> Iterator[None]:
    """Rates stay what they are: a recording would hold the number that is set."""
    groups = [g for o in optimizers for g in o.param_groups]
    for group in groups:
        group[HELD] = True
    try:
        yield
    finally:
        for group in groups:
            del group[HELD]


@contextmanager
def _feeding(
    session: Session, order: tuple[str, ...], batches: tuple[Batch, ...]
) -> Iterator[None]:
    """The session takes these batches instead of its own."""
    real = session.next_train, session.next_valid
    waiting = {h: iter([b for o, b in zip(order, batches, strict=True) if o == h]) for h in order}
    session.next_train = lambda: next(waiting["train"])
    session.next_valid = lambda: next(waiting["valid"])
    try:
        yield
    finally:
        session.next_train, session.next_valid = real


def _next(session: Session, half: str) -> Batch:
    return session.next_train() if half == "train" else session.next_valid()


def _meter(session: Session, half: str) -> Any:
    return session.train_meter if half == "train" else session.valid_meter


def _alike(a: Batch, b: Batch) -> bool:
    return all(s.shape == t.shape and s.dtype == t.dtype for s, t in zip(a, b, strict=True))
