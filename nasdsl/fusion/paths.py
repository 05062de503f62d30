"""The picked operations of one-path choices as chains of functions, and what they share.

A branch that is a straight line of modules runs without its container: batch-norms leave their
counting to one operator for the whole pass, and rectifiers that open branches of one state are
computed once. Modules keep parameters, buffers and modes; they are looked up when a chain runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasdsl.fusion.norms import counted, normalised, openable
from nasdsl.fusion.rewriting import hooked

#: Steps of a chain: what is done, and the module it is done with, by the names on its path.
Step = tuple[str, tuple[str, ...]]
Chain = tuple[Step, ...]


@dataclass(slots=True)
class State:
    """A value that several choices read, with its rectified form once one of them needs it."""

    x: Tensor
    _positive: Tensor | None = field(default=None)

    def positive(self) -> Tensor:
        if self._positive is None:
            self._positive = torch.relu(self.x)
        return self._positive


def chain(branch: nn.Module) -> Chain | None:
    """The steps of a branch; None where it is no straight line, or a hook sees its values."""
    if not isinstance(branch, fx.GraphModule) or any(hooked(m) for m in branch.modules()):
        return None
    steps: list[Step] = []
    last: Any = None
    for node in branch.graph.nodes:
        if node.op == "placeholder":
            if last is not None:
                return None
        elif node.op == "output":
            return tuple(steps) if node.args[0] is last and _once(steps) else None
        elif node.op != "call_module" or node.args != (last,) or node.kwargs:
            return None
        else:
            module = branch.get_submodule(str(node.target))
            steps.append((_kind(module), tuple(str(node.target).split("."))))
        last = node
    return None


def _once(steps: Sequence[Step]) -> bool:
    return len({names for _, names in steps}) == len(steps)


def _kind(module: nn.Module) -> str:
    if type(module) is nn.ReLU and not module.inplace:
        return "relu"
    if isinstance(module, _BatchNorm) and openable(module):
        return "norm"
    return "call"


def run(branch: nn.Module, steps: Chain, state: State) -> Tensor:
    """What a branch makes of a state, without counting batches."""
    x = state.x
    for i, (kind, names) in enumerate(steps):
        if kind == "relu":
            x = torch.relu(x) if i else state.positive()
        elif kind == "norm":
            x = normalised(x, _module(branch, names))
        else:
            x = _module(branch, names)(x)
    return x


def count(taken: Sequence[tuple[nn.Module, Chain]]) -> None:
    """Count one batch in every batch-norm of chains that run, with one operator."""
    counted(*(_module(b, names) for b, steps in taken for kind, names in steps if kind == "norm"))


def _module(branch: nn.Module, names: tuple[str, ...]) -> Any:
    module: Any = branch
    for name in names:
        module = module._modules[name]
    return module


def plain(picks: Sequence[int]) -> bool:
    """Whether one operation of every edge runs, not two."""
    return all(type(p) is int for p in picks)
