"""Primitives whose sizes are decided: every setting runs on a slice of the same weights.

In dense mode every tensor has its largest number of channels. Under a one-hot mix exactly the
leading channels are alive and all others are zero; every module here keeps that. Let p be the
weights of the joint settings, products of the rows of the decisions. There are three ways:

- `masked`, for maps that are linear in their weights: the weights of all settings together are
  W * M, M = sum_j p_j (o_j x i_j x k_j), with 0/1 masks of outputs, inputs and kernel. As the map
  is linear, this is sum_j p_j f_j, with one evaluation for all settings. Attention and channel
  attention mix their weights in the same way.
- `batch_norm` and `layer_norm`: m = sum_j p_j o_j masks the output, and `layer_norm` takes its
  statistics over the channels weighted by m.
- `each`, where masks cannot say it (other strides, windows, head sizes): every setting by itself,
  on the leading channels of the input, filled up with zeros and summed with weights p_j.

In one-path mode tensors are as narrow as the picked setting says, and only it runs. Its output is
multiplied by its weight p_j, which is 1 in a one-hot mix, so that gradients reach the mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from nasdsl.codegen.slices import Slices, skeleton
from nasdsl.ir.entangling import hull, way
from nasdsl.ir.op import Forms, Prim, Varied
from nasdsl.ops.table import module


class Joint:
    """The weights of joint settings, and which of them are the same: `(settings,)` numbers."""

    def __init__(self, widths: Sequence[int], index: Sequence[int]) -> None:
        self.widths = tuple(widths)
        self.settings = tuple(index)
        self.count = max(index) + 1

    def weights(self, rows: Sequence[Tensor]) -> Tensor:
        """`(count,)`: products of the rows' weights, settings that are the same together."""
        p = rows[0][: self.widths[0]]
        for row, width in zip(rows[1:], self.widths[1:], strict=True):
            p = (p[:, None] * row[None, :width]).reshape(-1)
        if self.count == len(self.settings):
            return p
        index = torch.tensor(self.settings, device=p.device)
        return p.new_zeros(self.count).index_add(0, index, p)

    def place(self, picks: Sequence[int]) -> int:
        """The number of a picked setting."""
        at = 0
        for pick, width in zip(picks, self.widths, strict=True):
            at = at * width + int(pick)
        return self.settings[at]


def weight_of(rows: Sequence[Tensor], picks: Sequence[int]) -> Tensor:
    """The weight of one joint setting."""
    factor = rows[0][picks[0]]
    for row, pick in zip(rows[1:], picks[1:], strict=True):
        factor = factor * row[pick]
    return factor


class Entangled(nn.Module):
    """One primitive under every setting: `(x, rows)`, in one-path mode `(x, rows, picks)`.

    Weights have the names and, in the largest setting, the shapes they have without decisions.
    """

    #: The largest setting, which computes with weights that are lent to it; no child.
    held: Any
    #: Every setting, without memory for weights; no children.
    skeletons: tuple[nn.Module, ...]

    def __init__(self, op: Varied) -> None:
        super().__init__()
        distinct = list(dict.fromkeys(op.options))
        number = {o: i for i, o in enumerate(distinct)}
        self.options = tuple(distinct)
        self.way = way(op)
        self.channels = op.out.channels
        self.joint = Joint([len(names) for names in op.labels], [number[o] for o in op.options])
        whole = hull(distinct)
        held = module(whole)
        # Neither is a child: weights belong to this module, under the names they have in `held`.
        object.__setattr__(self, "held", held)
        object.__setattr__(self, "skeletons", tuple(skeleton(o) for o in distinct))
        self._parameters, self._buffers = held._parameters, held._buffers
        for name, child in held._modules.items():
            self.add_module(name, child)
        self.slices = self._slices(whole)
        if self.way in ("masked", "batch_norm", "layer_norm"):
            self._mask(whole)

    def _slices(self, whole: Prim) -> dict[str, Slices]:
        big = _tensors(skeleton(whole))
        small = [_tensors(s) for s in self.skeletons]
        found = {
            name: Slices(whole, self.options, name, [tensor, *(s[name] for s in small)])
            for name, tensor in big.items()
        }
        misfit = next((name for name, s in found.items() if not s.fits), None)
        if misfit is not None:
            raise ValueError(f"`{misfit}` of `{whole.kind}` has no largest setting")
        return found

    def _mask(self, whole: Prim) -> None:
        """Masks of weights: of their first axis that varies, and of all others together."""
        if self.way != "masked":
            out = torch.zeros(len(self.options), self.channels)
            for i, option in enumerate(self.options):
                out[i, : option.out.channels] = 1
            self._constant("_out", out)
            return
        for name, slices in self.slices.items():
            first, *rest = slices.varying() or (None,)
            if first is None:
                continue
            others = torch.ones(len(self.options), 1)
            for axis in rest:
                mask = slices.masks(axis)
                others = (others[:, :, None] * mask[:, None, :]).flatten(1)
            self._constant(f"_first_{_flat(name)}", slices.masks(first))
            self._constant(f"_rest_{_flat(name)}", others)

    def _constant(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    # ---- dense

    def forward(
        self, x: Tensor, rows: Sequence[Tensor], picks: Sequence[int] | None = None
    ) -> Tensor:
        if picks is not None:
            y = self.option(x, self.joint.place(picks))
            return weight_of(rows, picks) * y
        p = self.joint.weights(rows)
        if self.way == "masked":
            return self.mixed(x, p)
        if self.way == "each":
            return self.each(x, p)
        m = p @ self._buffers["_out"].to(p.dtype)  # type: ignore[union-attr]
        return self.batch_norm(x, m) if self.way == "batch_norm" else self.layer_norm(x, m)

    def mixed(self, x: Tensor, p: Tensor) -> Tensor:
        """The weights of all settings together, once."""
        weights = {}
        for name, weight in self.held.named_parameters():
            first = self._buffers.get(f"_first_{_flat(name)}")
            if first is None:
                continue
            rest = self._buffers[f"_rest_{_flat(name)}"]
            slices = self.slices[name]
            mask = (p[:, None] * first.to(p.dtype)).T @ rest.to(p.dtype)  # type: ignore[union-attr]
            varying = slices.varying()
            sizes = [n if a in varying else 1 for a, n in enumerate(slices.full)]
            weights[name] = (weight.view(slices.full) * mask.view(sizes)).view(weight.shape)
        self.held.train(self.training)
        result: Tensor = functional_call(self.held, weights, (x,))
        return result

    def batch_norm(self, x: Tensor, m_C: Tensor) -> Tensor:
        self.held.train(self.training)
        result: Tensor = self.held(x) * _spread(m_C, x)
        return result

    def layer_norm(self, x: Tensor, m_C: Tensor) -> Tensor:
        m = _spread(m_C, x)
        # Where no setting has weight, as in rounds that are not reached, the result is zero.
        total = m_C.sum().clamp(min=1e-12)
        centred = x - (x * m).sum(1, keepdim=True) / total
        variance = (m * centred**2).sum(1, keepdim=True) / total
        y = centred * torch.rsqrt(variance + self.held.eps)
        if self.held.weight is not None:
            y = y * _spread(self.held.weight, x) + _spread(self.held.bias, x)
        return y * m

    def each(self, x: Tensor, p: Tensor) -> Tensor:
        """Every setting by itself."""
        terms = []
        for i, option in enumerate(self.options):
            axis = 2 if option.inp.kind == "pieces" else 1
            if option.inp.kind != "tokens" and x.shape[axis] != option.inp.channels:
                y = self.option(x.narrow(axis, 0, option.inp.channels), i)
            else:
                y = self.option(x, i)
            terms.append(p[i] * widened(y, self.channels))
        return _sum(terms)

    # ---- one setting

    def option(self, x: Tensor, number: int) -> Tensor:
        """One setting on a narrow input, with its slice of the weights."""
        skeleton = self.skeletons[number]
        skeleton.train(self.training)
        lent, written = {}, []
        for name, whole in (*self.held.named_parameters(), *_own(self.held)):
            if name not in self.slices:
                continue
            piece = self.slices[name].of(whole, number)
            lent[name] = piece
            if not isinstance(whole, nn.Parameter) and whole.dim():
                written.append((name, whole, piece))
        result: Tensor = functional_call(skeleton, lent, (x,))
        if self.training:
            for name, whole, piece in written:
                if piece.data_ptr() != whole.data_ptr():
                    self.slices[name].put(whole, number, piece)
        return result

    def pieces(self, setting: int) -> list[tuple[str, Tensor]]:
        """Weights and running statistics of one joint setting."""
        number = self.joint.settings[setting]
        return [
            (name, self.slices[name].of(whole, number))
            for name, whole in (*self.held.named_parameters(), *_own(self.held))
            if name in self.slices
        ]


class Joined(nn.Module):
    """Parts of decided width joined: `(parts, rows)`; alive channels lead in the result."""

    def __init__(
        self,
        labels: Sequence[Sequence[str]],
        counts: Sequence[tuple[int, ...]],
        channels: int,
    ) -> None:
        super().__init__()
        distinct = list(dict.fromkeys(counts))
        self.counts = tuple(distinct)
        self.channels = channels
        self.joint = Joint([len(names) for names in labels], [distinct.index(c) for c in counts])

    def forward(self, parts: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
        p = self.joint.weights(rows)
        terms = []
        for i, counts in enumerate(self.counts):
            narrow = [x.narrow(1, 0, n) for x, n in zip(parts, counts, strict=True)]
            terms.append(p[i] * widened(torch.cat(narrow, 1), self.channels))
        return _sum(terms)


class Formed(nn.Module):
    """An operation in several forms: how much each counts, or only the picked one.

    In dense mode `(rows)` gives the weight of every form, the sum of those of its settings. In
    one-path mode `(x, rows, picks, *inside)` runs the form of the picked setting.
    """

    def __init__(self, op: Forms, branches: dict[str, nn.Module]) -> None:
        super().__init__()
        self.joint = Joint([len(names) for names in op.labels], op.form)
        self.names = tuple(branches)
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, *given: Any) -> Any:
        if len(given) == 1:
            return self.joint.weights(given[0])
        x, rows, picks, *inside = given
        branch = self.get_submodule(self.names[self.joint.place(picks)])
        return weight_of(rows, picks) * branch(x, *inside)


class Nothing(nn.Module):
    """Zeros of the picked width, in one-path mode."""

    def __init__(self, op: Varied) -> None:
        super().__init__()
        self.joint = Joint([len(names) for names in op.labels], range(len(op.options)))
        self.shapes = tuple(o.out.dims for o in op.options)

    def forward(self, x: Tensor, rows: Sequence[Tensor], picks: Sequence[int]) -> Tensor:
        return x.new_zeros((x.shape[0], *self.shapes[self.joint.place(picks)]))


def _sum(terms: Sequence[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def widened(x: Tensor, channels: int) -> Tensor:
    """A tensor filled up with zero channels."""
    missing = channels - x.shape[1]
    return F.pad(x, (0, 0) * (x.dim() - 2) + (0, missing)) if missing else x


def narrowed(x: Tensor, channels: int) -> Tensor:
    """The leading channels of a tensor."""
    return x if x.shape[1] == channels else x.narrow(1, 0, channels)


def _spread(m_C: Tensor, like: Tensor) -> Tensor:
    return m_C.reshape(1, -1, *([1] * (like.dim() - 2)))


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _tensors(of: nn.Module) -> dict[str, Tensor]:
    return {**dict(of.named_parameters()), **dict(of.named_buffers())}


def _own(of: nn.Module) -> list[tuple[str, Tensor]]:
    return list(of.named_buffers())
