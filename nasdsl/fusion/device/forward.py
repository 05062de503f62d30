"""The forward pass of a call: phase by phase, moments settled behind each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from nasdsl.fusion.device.frame import Frame, rows
from nasdsl.fusion.device.layout import Group, Layout
from nasdsl.fusion.device.steps import Moments, step
from nasdsl.fusion.device.tables import Tables
from nasdsl.fusion.generated.binding import Bound
from nasdsl.fusion.generated.emitter import Given
from nasdsl.kernels.device import coefficients, moments
from nasdsl.kernels.device.launch import POSITIONS, Launch, Launcher, tiles


def entries(given: Given) -> Tensor:
    """All entries of the mix, one tensor behind the other."""
    return torch.cat([s.reshape(-1) for s in given.scalars])


def weights(made: Layout, table: Tables, launch: Launcher, given: Given) -> Tensor:
    """The weights of the terms of sums, in double."""
    if not table.factors:
        return table.constants
    found = torch.empty_like(table.constants)
    launch(
        Launch(
            kernel=coefficients.coefficients,
            grid=(tiles(made.terms, 128),),
            arguments={
                "entries": entries(given),
                "index": table.index,
                "constants": table.constants,
                "to": found,
                "count": made.terms,
            },
            constants={"FACTORS": table.factors, "BK": 128},
        )
    )
    return found


def settle(frame: Frame, first: int, count: int, group: Group | None, partial: Tensor) -> None:
    """Centre, scale and shift of some channels; from tiles of a group, or from statistics."""
    if not count:
        return
    positions = 0 if group is None else frame.n * group.positions
    gamma, beta = frame.affine or (frame.norm, frame.norm)
    frame.launch(
        Launch(
            kernel=moments.settle,
            grid=(tiles(count, 32),),
            arguments={
                "partial": partial,
                "source": frame.tables.source,
                "width": 0 if group is None else group.width,
                "tiles": tiles(positions),
                "P": positions,
                "statistics": frame.statistics,
                "gamma": gamma,
                "beta": beta,
                "eps": frame.tables.eps,
                "norm": frame.norm,
                "first": first,
                "count": count,
                "total": frame.layout.normed,
            },
            constants={
                "BATCH": group is not None,
                "AFFINE": frame.affine is not None,
                "BP": POSITIONS,
                "BT": 32,
                "BC": 32,
            },
        )
    )


def forward(
    frame: Frame, given: Given, outputs: Sequence[Tensor], training: Sequence[bool]
) -> None:
    """Fills `outputs`, matrices, and the values that are kept."""
    region = frame.layout.region
    arrived, leaving = iter(given.inputs), iter(outputs)
    for k, one in enumerate(region.maps):
        if one.place == "input":
            frame.values[k] = rows(next(arrived))
        elif one.place == "output":
            frame.values[k] = next(leaving)
    for phase, groups in zip(frame.layout.forward, frame.layout.groups, strict=True):
        partials, wanted = [], {}
        for group in groups:
            size = tiles(frame.n * group.positions) * 2 * group.width
            partial = frame.empty(size, dtype=torch.float64)
            partials.append(partial)
            asked = {region.norms[k].map for k in group.norms if training[k]}
            for index, column in group.columns.items():
                if index in asked:
                    wanted[index] = Moments(partial[column:], group.width)
        for bundle in phase:
            step(frame, bundle, wanted)
            for k in bundle:
                frame.drop(frame.layout.unread_forward.get(k, ()))
        for group, partial in zip(groups, partials, strict=True):
            for first, count in _spans(frame.layout, group, training):
                settle(frame, first, count, group, partial)


def _spans(made: Layout, group: Group, training: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Neighbouring channels of a group that take the moments of the batch."""
    for mode, norms in itertools.groupby(group.norms, key=lambda k: training[k]):
        if mode:
            spans = [made.channels_of(k) for k in norms]
            yield spans[0][0], spans[-1][1] - spans[0][0]


def running(made: Layout, bound: Bound, like: Tensor) -> Tensor:
    """Running mean and variance of all normalised channels `(2, channels)`, in double."""
    held = dict(zip(made.region.buffers, bound.buffers, strict=True))
    found = like.new_empty((2, made.normed), dtype=torch.float64)
    for row, name in enumerate(("running_mean", "running_var")):
        parts = [held[(made.region.norms[k].path, name)] for k in made.norms]
        if parts:
            found[row].copy_(torch.cat(parts))
    return found


def move(frame: Frame, bound: Bound, training: Sequence[bool]) -> None:
    """Moves running statistics by those of the batch, all tensors of one pace at once."""
    made = frame.layout
    held = dict(zip(made.region.buffers, bound.buffers, strict=True))
    count = frame.tables.positions * frame.n
    # The variance of a sample, not of the batch.
    sample = frame.statistics[1] * (count / (count - 1))
    moved = torch.stack((frame.statistics[0], sample)).to(frame.dtype)
    paces: dict[float, list[int]] = {}
    for k in made.norms:
        if training[k]:
            paces.setdefault(float(bound.norms[k].momentum), []).append(k)
    for pace, norms in paces.items():
        spans = [made.channels_of(k) for k in norms]
        for row, name in zip(moved, ("running_mean", "running_var"), strict=True):
            old = [held[(made.region.norms[k].path, name)] for k in norms]
            torch._foreach_lerp_(old, [row[first:last] for first, last in spans], pace)
        counted = [held[(made.region.norms[k].path, "num_batches_tracked")] for k in norms]
        torch._foreach_add_(counted, 1)
