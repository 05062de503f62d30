"""Weights of a supernet for the network of a genotype, as far as they fit.

Modules are matched by place (stage, edge, node) and there in order by operation. What a supernet
has and a network has not, or the other way round, is settled exactly where that is possible:

- a batch-norm without affine parameters becomes one with scale 1 and shift 0;
- a missing bias becomes a bias of 0;
- a bias b that the network lacks moves into the batch-norm behind it, whose running mean m
  becomes m - b: (x + b) - m = x - (m - b).

Everything else is said: modules of the network that stay fresh, and modules of the supernet that
are left out though they change values (a batch-norm behind a pooling).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasdsl.ir.op import Prim

#: A tensor of the supernet as the network's operation wants it (name, value, shape wanted), or
#: None where it cannot be had. Slicing of shared weights is such a function.
Fit = Callable[[Prim, Prim, str, Tensor, torch.Size], Tensor | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """What a network took over: paths of its modules; `fresh` with the reason why not.

    `left` are modules of the supernet that have no counterpart and change values.
    """

    taken: tuple[str, ...]
    fresh: tuple[tuple[str, str], ...]
    left: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether the network equals the part of the supernet, in evaluation mode."""
        return not self.fresh and not self.left


@dataclass(frozen=True, slots=True)
class _Call:
    node: fx.Node
    path: str
    op: Prim
    module: nn.Module


_Pair = tuple[_Call, _Call | None]


def same_shape(
    source: Prim, target: Prim, name: str, value: Tensor, wanted: torch.Size
) -> Tensor | None:
    """The tensor itself where the shapes are equal."""
    return value if value.shape == wanted else None


@torch.no_grad()
def inherit(target: fx.GraphModule, source: fx.GraphModule, *, fit: Fit = same_shape) -> Inherited:
    """Copy weights and running statistics from the part of a supernet into a network, in place.

    `source` and `target` are graphs of `nasdsl.codegen.emit` for the same genotype.
    """
    theirs = _places(source)
    taken: list[str] = []
    fresh: list[tuple[str, str]] = []
    left: list[str] = []
    for place, ours in _places(target).items():
        pairs, unmatched = _align(ours, theirs.pop(place, []))
        left.extend(c.path for c in unmatched)
        moved: dict[str, Tensor] = {}
        for call, other in pairs:
            if other is None:
                fresh.append((call.path, "the supernet has no such operation here"))
                continue
            bias = _spare_bias(call.module, other.module)
            norm = _behind(call, other, pairs) if bias is not None else None
            if bias is not None and norm is None:
                reason: str | None = "its bias has no place here"
            else:
                reason = _copy(call, other, fit, without_bias=bias is not None)
            if reason is not None:
                fresh.append((call.path, reason))
                continue
            if bias is not None and norm is not None:
                wanted = torch.Size([call.op.out.channels])
                fitted = fit(other.op, call.op, "bias", bias, wanted)
                if fitted is None:
                    fresh.append((call.path, "its bias has no place here"))
                    continue
                moved[norm] = fitted
            if call.path in moved:
                call.module.state_dict()["running_mean"].sub_(moved[call.path])
            if call.module.state_dict():
                taken.append(call.path)
    left.extend(c.path for calls in theirs.values() for c in calls)
    return Inherited(taken=tuple(taken), fresh=tuple(fresh), left=tuple(left))


def _places(graph: fx.GraphModule) -> dict[tuple[str, ...], list[_Call]]:
    """Calls of modules by place, in order; a module called twice counts once."""
    found: dict[tuple[str, ...], list[_Call]] = {}
    seen: set[str] = set()
    for node in graph.graph.nodes:
        if node.op == "call_module" and "op" in node.meta and node.target not in seen:
            path = str(node.target)
            seen.add(path)
            call = _Call(node, path, node.meta["op"], graph.get_submodule(path))
            found.setdefault(node.meta["at"], []).append(call)
    return found


def _align(ours: list[_Call], theirs: list[_Call]) -> tuple[list[_Pair], list[_Call]]:
    """Longest common subsequence of equal operations; what of `theirs` is in none."""
    a, b = [_key(c.op) for c in ours], [_key(c.op) for c in theirs]
    longest = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in reversed(range(len(a))):
        for j in reversed(range(len(b))):
            longest[i][j] = (
                1 + longest[i + 1][j + 1]
                if a[i] == b[j]
                else max(longest[i + 1][j], longest[i][j + 1])
            )
    pairs: list[_Pair] = []
    unmatched: list[_Call] = []
    i = j = 0
    while i < len(a) or j < len(b):
        if i < len(a) and j < len(b) and a[i] == b[j]:
            pairs.append((ours[i], theirs[j]))
            i, j = i + 1, j + 1
        elif j < len(b) and (i == len(a) or longest[i][j + 1] >= longest[i + 1][j]):
            unmatched.append(theirs[j])
            j += 1
        else:
            pairs.append((ours[i], None))
            i += 1
    return pairs, unmatched


def _key(op: Prim) -> tuple[Any, ...]:
    """What two operations have in common that are one, whatever their width."""
    free = ("affine", "bias", "out")
    return (op.kind, *((k, v) for k, v in op.attrs if k not in free))


def _spare_bias(ours: nn.Module, theirs: nn.Module) -> Tensor | None:
    """The bias of a convolution whose counterpart has none."""
    mine, other = getattr(ours, "bias", None), getattr(theirs, "bias", None)
    same = type(ours) is type(theirs) and not isinstance(ours, _BatchNorm)
    return other if same and mine is None and isinstance(other, Tensor) else None


def _behind(call: _Call, other: _Call, pairs: list[_Pair]) -> str | None:
    """The batch-norm that directly follows a convolution in both graphs."""
    for after, theirs in pairs:
        if theirs is None or not isinstance(after.module, _BatchNorm):
            continue
        if after.node.args[0] is call.node and theirs.node.args[0] is other.node:
            alone = len(call.node.users) == 1 and len(other.node.users) == 1
            return after.path if alone and after.module.running_mean is not None else None
    return None


def _copy(call: _Call, other: _Call, fit: Fit, *, without_bias: bool) -> str | None:
    """Copy all of a module, or nothing; the reason where it does not fit."""
    ours, theirs = call.module.state_dict(), other.module.state_dict()
    found: dict[str, Tensor] = {}
    for name, value in ours.items():
        if name in theirs:
            fitted = fit(other.op, call.op, name, theirs[name], value.shape)
            if fitted is None:
                return f"{name} is {_shape(value)}, the supernet's {_shape(theirs[name])}"
            found[name] = fitted
            continue
        owner = call.module.get_submodule(name.rpartition(".")[0])
        neutral = _neutral(owner, name.rpartition(".")[2])
        if neutral is None:
            return f"the supernet has no {name}"
        found[name] = torch.full_like(value, neutral)
    spare = [n for n in theirs if n not in ours and not (without_bias and n == "bias")]
    if spare:
        return f"its {spare[0]} has no place here"
    for name, value in ours.items():
        value.copy_(found[name])
    return None


def _neutral(owner: nn.Module, name: str) -> float | None:
    """The value with which a parameter changes nothing."""
    if isinstance(owner, _BatchNorm):
        return {"weight": 1.0, "bias": 0.0}.get(name)
    return 0.0 if name == "bias" else None


def _shape(value: Tensor) -> str:
    return "x".join(str(n) for n in value.shape) or "a number"
