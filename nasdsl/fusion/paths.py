"""The picked operations of one-path choices as chains of functions or as kernels.

A branch that is a straight line of modules runs without its container: batch-norms leave their
counting to one operator for the whole pass, and rectifiers that open branches of one state are
computed once. Or it is one call of generated kernels, which do both themselves; equal branches of
all edges share a program. Modules keep parameters, buffers and modes; they are looked up when a
branch runs, and what is not picked has no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasdsl.fusion.generated.generate import Options, generate
from nasdsl.fusion.generated.generated import Generated
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


@dataclass(frozen=True, slots=True)
class Kernel:
    """A branch as one call of generated kernels over the modules of these names."""

    call: Generated
    owners: tuple[str, ...]

    def run(self, branch: nn.Module, state: State) -> Tensor:
        owners = [branch.get_submodule(name) for name in self.owners]
        return self.call(owners, (state.x,), ())[0]


#: How a branch runs; None as the module it is.
Way = Chain | Kernel | None


def kernel(branch: nn.Module, options: Options) -> Kernel | None:
    """A branch as one call; None where no template covers all of it, or a hook sees its values."""
    if not isinstance(branch, fx.GraphModule) or any(hooked(m) for m in branch.modules()):
        return None
    whole = fx.Graph()
    whole.output(whole.graph_copy(branch.graph, {}))
    for node in whole.nodes:
        # Regions are looked for cell by cell: a branch is one.
        node.meta["at"] = ("branch",)
    graph = generate(fx.GraphModule(branch, whole), options=options).graph.graph
    calls = [n for n in graph.nodes if n.op in ("call_function", "call_module", "call_method")]
    if len(calls) != 2 or not isinstance(calls[0].target, Generated):
        return None
    owners, inputs, scalars = calls[0].args
    if inputs != (next(iter(graph.nodes)),) or scalars:
        return None
    return Kernel(calls[0].target, tuple(str(owner.target) for owner in owners))


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


def run(branch: nn.Module, way: Way, state: State) -> Tensor:
    """What a branch makes of a state; a chain does not count batches."""
    if way is None:
        return branch(state.x)  # type: ignore[no-any-return]
    if isinstance(way, Kernel):
        return way.run(branch, state)
    return _chained(branch, way, state)


def _chained(branch: nn.Module, steps: Chain, state: State) -> Tensor:
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
