"""What kernels look up, on the device: made once for a layout, so that no step copies to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nasdsl.fusion.device.layout import Layout
from nasdsl.fusion.generated.region import Gather


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Vectors of one layout on one device, for normalisations in given modes."""

    #: Of normalised channels: what is added to the variance, the column among the moments.
    eps: Tensor
    source: Tensor
    #: Of normalised channels: the positions of an image, in double.
    positions: Tensor
    #: Of slots: where the normalisation begins or -1, whether by the batch, whether activated.
    facts: Tensor
    #: Of terms: the entries of the mix each is a product of, and the constant.
    index: Tensor
    constants: Tensor
    factors: int
    #: Of gathers that put channels of one map in another order: the order and its inverse.
    orders: dict[int, tuple[Tensor, Tensor]]


def tables(
    made: Layout,
    eps: Sequence[float],
    training: Sequence[bool],
    scalars: Sequence[tuple[int, ...]],
    device: torch.device,
) -> Tables:
    """`eps` and `training` by normalisation, `scalars` the shapes of the tensors of the mix."""
    region = made.region
    source, small, positions = [0] * made.normed, [0.0] * made.normed, [0.0] * made.normed
    for phase in made.groups:
        for group in phase:
            for k in group.norms:
                index = region.norms[k].map
                for c in range(region.maps[index].channels):
                    source[made.norm_at[k] + c] = group.columns[index] + c
                    small[made.norm_at[k] + c] = eps[k]
                    positions[made.norm_at[k] + c] = float(group.positions)
    facts = []
    for h in made.slots:
        head = region.heads[h]
        at = -1 if head.norm is None else made.norm_at[head.norm]
        batch = head.norm is not None and training[head.norm]
        facts.append([at, int(batch), int(head.act != "none")])
    begin, total = [], 0
    for shape in scalars:
        begin.append(total)
        total += torch.Size(shape).numel()
    terms = []
    for h in made.slots[: made.terms]:
        coef = region.heads[h].coef
        assert coef is not None
        terms.append(region.coefs[coef])
    factors = max((len(t.factors) for t in terms), default=0)
    entries = []
    for term in terms:
        row = []
        for q in term.factors:
            shape = scalars[q.scalar]
            row.append(begin[q.scalar] + (q.row * shape[-1] + q.column if shape else 0))
        entries.append(row + [-1] * (factors - len(row)))

    def whole(values: object) -> Tensor:
        return torch.tensor(values, dtype=torch.int32, device=device)

    def real(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=device)

    return Tables(
        eps=real(small),
        positions=real(positions),
        source=whole(source),
        facts=whole(facts),
        index=whole(entries),
        constants=real([t.constant for t in terms]),
        factors=factors,
        orders={
            k: (
                torch.tensor(order, device=device),
                torch.tensor(sorted(range(len(order)), key=order.__getitem__), device=device),
            )
            for k, order in orders(made).items()
        },
    )


def orders(made: Layout) -> dict[int, list[int]]:
    """Gathers, by index into the code, that put the channels of one map in another order."""
    found = {}
    for k, step in enumerate(made.plan.code):
        if not isinstance(step, Gather) or len(step.runs) < 4 or any(r.n != 1 for r in step.runs):
            continue
        order = [r.start for r in step.runs]
        (first, *others) = {r.map for r in step.runs}
        if first is None or others or [r.to for r in step.runs] != list(range(len(order))):
            continue
        if sorted(order) == list(range(made.region.maps[first].channels)):
            found[k] = order
    return found
