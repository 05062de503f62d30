"""A part of a graph that keeps only its inputs and is run again in the backward pass.

A region is a pure function of tensors and modules: the modules it calls come in as arguments, so
that a copy of a network has regions over its own modules. What is run again sees the parameters
and modes of the first run, also where others have been put in since (`functional_call`), and moves
no running statistics.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils.checkpoint import checkpoint

from nasdsl.fusion.norms import resting


def applied(module: nn.Module, *args: Any) -> Any:
    """A module that came in as a value, called."""
    return module(*args)


class Region:
    """A callable `region(*values)`, values tensors, modules, or tuples of tensors."""

    def __init__(self, name: str, graph: fx.Graph) -> None:
        self.graph = graph
        self.run = fx.GraphModule(nn.Module(), graph).forward
        # What fx prints for it.
        self.__name__ = self.__qualname__ = f"region_{name}"
        self.__module__ = __name__

    def __deepcopy__(self, memo: Any) -> Region:
        return self

    def __call__(self, *values: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.run(*values)
        first = State.of([v for v in values if isinstance(v, nn.Module)])
        return checkpoint(
            self.run,
            *values,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (contextlib.nullcontext(), Again(first)),
        )


@dataclass(frozen=True, slots=True)
class State:
    """Parameters and modes of modules at one time."""

    modules: tuple[nn.Module, ...]
    parameters: tuple[dict[str, Tensor | None], ...]
    modes: tuple[bool, ...]

    @classmethod
    def of(cls, modules: list[nn.Module]) -> State:
        every = tuple(dict.fromkeys(m for module in modules for m in module.modules()))
        return cls(
            every, tuple(dict(m._parameters) for m in every), tuple(m.training for m in every)
        )

    def put(self) -> None:
        for module, parameters, mode in zip(self.modules, self.parameters, self.modes, strict=True):
            module.training = mode
            for name, value in parameters.items():
                module._parameters[name] = value  # type: ignore[assignment]


class Again:
    """While entered, modules are as they were at one time, and batch statistics rest.

    It may be entered more than once: a kept graph is run again for every backward pass.
    """

    def __init__(self, first: State) -> None:
        self.first = first
        self.inside: list[contextlib.ExitStack] = []

    def __enter__(self) -> None:
        stack = contextlib.ExitStack()
        now = State.of(list(self.first.modules))
        stack.callback(now.put)
        self.first.put()
        stack.enter_context(resting())
        self.inside.append(stack)

    def __exit__(self, *error: object) -> None:
        self.inside.pop().close()
