"""What survives when a supernet is rebuilt: weights by name, alphas by decision and label.

A weight or running statistic is carried where the new supernet has one of its name and shape;
what is gone is gone, what is new keeps its fresh values. Alphas go with their decision and
label, so columns may move. Optimizer state goes with its parameter, of alphas column by column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nasdsl.codegen.supernet import Supernet, Table
from nasdsl.oneshot import entangle
from nasdsl.oneshot.arch import ArchParameters


@torch.no_grad()
def weights(new: Supernet, old: Supernet, *, widen: bool = False) -> list[str]:
    """Copy what both have; the names of what stays fresh.

    With `widen` a larger operation computes on its first channels what the smaller one did
    (Net2Net, arXiv 1511.05641): the old weights lead, old outputs do not read new inputs, and
    weights of new outputs are fresh. That holds operation by operation, as where `partial`
    grows; where the whole network gets wider, channels of joined parts move and those
    operations learn anew.
    """
    before = {**old.state_dict(), **entangle.kernels(old)}
    fresh = []
    for name, value in new.state_dict().items():
        found = before.get(name)
        if found is not None and found.shape == value.shape:
            value.copy_(found)
        elif found is None or not widen or not _widened(name, value, found):
            fresh.append(name)
    return fresh


def _widened(name: str, value: Tensor, found: Tensor) -> bool:
    """Put a smaller weight into a larger one of an operation; whether it fits."""
    if value.dim() != found.dim() or any(
        a < b for a, b in zip(value.shape, found.shape, strict=True)
    ):
        return False
    if value.shape[2:] != found.shape[2:]:
        return False
    rows = found.shape[0]
    if value.dim() > 1:
        value[:rows, found.shape[1] :] = 0
        value[:rows, : found.shape[1]] = found
    elif "factorized_reduce.bn." in name:
        # Channels of a halving are (half, channel).
        value.view(2, -1)[:, : rows // 2] = found.view(2, -1)
    else:
        value[:rows] = found
    return True


def columns(
    new: Tensor, table: Table, old: Mapping[str, Tensor], tables: Mapping[str, Table]
) -> Tensor:
    """`new (rows, columns)` of a table with the values that the old tables have for its options."""
    place = {
        (d, label): (t.name, i, k)
        for t in tables.values()
        for i, (d, labels) in enumerate(zip(t.decisions, t.labels, strict=True))
        for k, label in enumerate(labels)
    }
    result = new.clone()
    for i, (decision, labels) in enumerate(zip(table.decisions, table.labels, strict=True)):
        for k, label in enumerate(labels):
            found = place.get((decision, label))
            if found is not None and found[0] in old:
                result[i, k] = old[found[0]][found[1], found[2]].to(result)
    return result


@torch.no_grad()
def alphas(new: ArchParameters, old: ArchParameters) -> None:
    """The old values of every option that both have."""
    before = old.detached()
    for name, alpha in new.alphas().items():
        alpha.copy_(columns(alpha.detach(), new.tables[name], before, old.tables))


def optimizer_state(
    new: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    old: torch.optim.Optimizer,
    before: Mapping[str, nn.Parameter],
) -> None:
    """Optimizer state of parameters that have the same name and shape."""
    if type(new) is not type(old):
        return
    for name, parameter in parameters.items():
        source = before.get(name)
        if source is not None and source.shape == parameter.shape and old.state.get(source):
            new.state[parameter] = _copied(old.state[source])


def alpha_state(
    new: torch.optim.Optimizer | None,
    arch: ArchParameters,
    old: torch.optim.Optimizer | None,
    before: ArchParameters,
) -> None:
    """Optimizer state of alphas, column by column."""
    if new is None or old is None or type(new) is not type(old):
        return
    held = {name: old.state.get(alpha, {}) for name, alpha in before.alphas().items()}
    for name, alpha in arch.alphas().items():
        fields: dict[str, Any] = {}
        for state in held.values():
            for key, value in state.items():
                if isinstance(value, Tensor) and value.dim() == 2:
                    rows = {n: s[key] for n, s in held.items() if key in s}
                    zero = torch.zeros_like(alpha)
                    fields[key] = columns(zero, arch.tables[name], rows, before.tables)
                else:
                    fields.setdefault(key, _one(value))
        if fields:
            new.state[alpha] = fields


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _one(value) for key, value in state.items()}


def _one(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
