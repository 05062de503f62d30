"""Batch-norms folded into the convolutions in front of them, for inference.

With running statistics a batch-norm is an affine map per channel, s (y - mean) + shift with
s = scale / sqrt(var + eps), so that with y = W x + b it is (s W) x + s (b - mean) + shift: one
convolution with a bias (Jacob et al., arXiv 1712.05877, section 3.2). Computed in float64 and
rounded once.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.entangle import Entangled
from nasdsl.codegen.part import Part
from nasdsl.codegen.rounds import Rounds
from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.rewriting import Refusal, hooked
from nasdsl.ir.op import Prim
from nasdsl.ir.shape import Shape
from nasdsl.ops.conv import FactorizedReduce, FoldedReduce, Linear, Thinned

_DENSE = (nn.Conv1d, nn.Conv2d, Thinned, nn.Conv3d, Linear)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class NotFoldable(ValueError):
    """A network that takes the statistics of the batch."""


class Folded(nn.Module):
    """A network for inference: `folded(*args)` is what the network gives in evaluation mode.

    It has weights of its own, which take no gradients. `folded` are the paths of the convolutions,
    one for each batch-norm that went into it; `refused` the batch-norms that stay behind one, and
    why. Training it, which would need the batch-norms, raises NotFoldable.
    """

    def __init__(self, net: nn.Module, shape: Shape) -> None:
        super().__init__()
        self.net = net
        self.inp = shape
        graph = net.graph if isinstance(net, Supernet) else net
        assert isinstance(graph, fx.GraphModule)
        self.folded, self.refused = _fold(graph)
        self.training = False
        self.requires_grad_(False)

    @property
    def plain(self) -> fx.GraphModule:
        """The graph that is written to files."""
        found = self.net.graph if isinstance(self.net, Supernet) else self.net
        assert isinstance(found, fx.GraphModule)
        return found

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        result: Tensor = self.net(*args, **kwargs)
        return result

    def train(self, mode: bool = True) -> Folded:
        if mode:
            raise NotFoldable("a folded network is for inference: it has no batch-norms to train")
        super().train(False)
        return self


def fold(net: Discrete | Part | Supernet) -> Folded:
    """A copy of a network in evaluation mode with its batch-norms in its convolutions.

    A folded supernet takes `(x, mix)`, in one-path mode `(x, mix, pick)`, and has its profile.
    Raises NotFoldable for a network in training mode.
    """
    if net.training:
        raise NotFoldable(
            "batch-norms in training mode take the statistics of the batch, which no weights hold; "
            "call `eval()` first"
        )
    if isinstance(net, Supernet):
        # Its graph with drop-path would still call the batch-norms.
        made = copy.deepcopy(net)
        object.__setattr__(made, "masked", None)
        made.droppable = ()
        made.replan()
        return Folded(made, net.space.supernet.inp)
    return Folded(copy.deepcopy(net.plain), net.inp)


@dataclass(frozen=True, slots=True)
class _Call:
    graph: fx.GraphModule
    node: fx.Node
    module: nn.Module

    @property
    def path(self) -> str:
        return str(self.node.target)


@torch.no_grad()
def _fold(top: fx.GraphModule) -> tuple[tuple[str, ...], tuple[Refusal, ...]]:
    """Fold all graphs of a network in place; the convolutions changed, and what was refused."""
    graphs = list(_graphs(top))
    calls = [c for graph in graphs for c in _calls(graph)]
    times = Counter(id(c.module) for c in calls)
    by_node = {c.node: c for c in calls}
    folded: list[str] = []
    refused: list[Refusal] = []
    gone: set[int] = set()
    for call in calls:
        if type(call.module) is FactorizedReduce:
            if (reason := _unfit(call, times)) is not None:
                refused.append(Refusal(place=call.path, reason=reason))
                continue
            _replace(call, _reduced(call.module), norm=False)
            folded.append(call.path)
        elif type(call.module) in _NORMS:
            before = by_node.get(call.node.args[0])  # type: ignore[arg-type]
            if before is not None and isinstance(before.module, Entangled):
                reason = "the convolution in front of it has sizes that are decided"
                refused.append(Refusal(place=call.path, reason=reason))
                continue
            if before is None or type(before.module) not in (*_DENSE, *_TRANSPOSED):
                continue
            reason = _unfit(call, times) or _held(before, times)
            if reason is not None:
                refused.append(Refusal(place=call.path, reason=reason))
                continue
            _into(before.module, call.module)  # type: ignore[arg-type]
            _note(before.node, bias=True)
            call.node.replace_all_uses_with(before.node)
            call.graph.graph.erase_node(call.node)
            gone.add(id(call.module))
            folded.append(before.path)
    for graph in graphs:
        _drop(graph, gone)
        graph.recompile()
    return tuple(folded), tuple(refused)


def _graphs(top: fx.GraphModule) -> Iterator[fx.GraphModule]:
    """A graph and those of what it calls: branches of choices, rounds of repeats."""
    for module in top.modules():
        if isinstance(module, fx.GraphModule):
            yield module
        if isinstance(module, Rounds):
            for one in module.rounds:
                yield from _graphs(one)


def _calls(graph: fx.GraphModule) -> Iterator[_Call]:
    for node in graph.graph.nodes:
        if node.op == "call_module":
            yield _Call(graph, node, graph.get_submodule(str(node.target)))


def _unfit(call: _Call, times: Counter[int]) -> str | None:
    """Why a batch-norm, or a module with one, stays."""
    norms = [m for m in call.module.modules() if isinstance(m, _BatchNorm)]
    if any(n.training or n.running_mean is None for n in norms):
        return "it takes the statistics of the batch"
    if times[id(call.module)] > 1:
        return "it is called more than once"
    return "hooks look at it" if any(map(hooked, call.module.modules())) else None


def _held(before: _Call, times: Counter[int]) -> str | None:
    """Why a convolution cannot change what it gives."""
    if times[id(before.module)] > 1:
        return f"`{before.path}` in front of it is called more than once"
    if len(before.node.users) > 1:
        return f"something else reads what `{before.path}` gives"
    return f"hooks look at `{before.path}`" if hooked(before.module) else None


def affine(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift `(channels,)` of a batch-norm with running statistics, in float64."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    return scale, shift


def _into(conv: Any, norm: _BatchNorm) -> None:
    """Scale and shift what a convolution gives, in place."""
    scale, shift = affine(norm)
    weight = conv.weight.double()
    if isinstance(conv, _TRANSPOSED):
        # (in, out / groups, ...), a block of `in` for every group.
        groups = conv.groups
        blocks = weight.reshape(groups, -1, *weight.shape[1:])
        by = scale.reshape(groups, 1, -1, *(1,) * (weight.dim() - 2))
        scaled = (blocks * by).reshape(weight.shape)
    else:
        scaled = weight * scale.reshape(-1, *(1,) * (weight.dim() - 1))
    _weights(conv, scaled, shift if conv.bias is None else shift + conv.bias.double() * scale)


def _weights(conv: Any, weight: Tensor, bias: Tensor) -> None:
    conv.weight = nn.Parameter(weight.to(conv.weight.dtype))
    conv.bias = nn.Parameter(bias.to(conv.weight.dtype))


def _reduced(module: FactorizedReduce) -> FoldedReduce:
    """A factorized reduction without its batch-norm."""
    convs = module.conv1, module.conv2
    made = FoldedReduce(convs[0].in_channels, module.bn.num_features, module.pad)
    scale, shift = affine(module.bn)
    at = 0
    for theirs, ours in zip(convs, (made.conv1, made.conv2), strict=True):
        s, b = (one[at : at + theirs.out_channels] for one in (scale, shift))
        at += theirs.out_channels
        if theirs.bias is not None:
            b = b + theirs.bias.double() * s
        ours.to(theirs.weight.dtype)
        _weights(ours, theirs.weight.double() * s.reshape(-1, 1, 1, 1), b)
    return made.to(module.conv1.weight.device).eval()


def _replace(call: _Call, module: nn.Module, **attrs: Any) -> None:
    owner, _, name = call.path.rpartition(".")
    call.graph.get_submodule(owner)._modules[name] = module
    _note(call.node, bias=True, **attrs)


def _note(node: fx.Node, **attrs: Any) -> None:
    """What passes read about a module says what it is now."""
    prim = node.meta.get("op")
    if isinstance(prim, Prim):
        kept = tuple((k, v) for k, v in prim.attrs if k not in attrs)
        node.meta["op"] = replace(prim, attrs=(*kept, *attrs.items()))


def _drop(graph: fx.GraphModule, gone: set[int]) -> None:
    """Take modules that nothing calls any more out of the tree."""
    for owner in list(graph.modules()):
        for name, child in list(owner._modules.items()):
            if id(child) in gone:
                del owner._modules[name]
