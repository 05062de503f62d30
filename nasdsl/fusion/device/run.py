"""Both directions of a call, from tensors to tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nasdsl.fusion.device import forward as ahead
from nasdsl.fusion.device.back import Back
from nasdsl.fusion.device.backward import backward as go_back
from nasdsl.fusion.device.frame import Frame, affine, images, named, rows
from nasdsl.fusion.generated.emitter import Forwarded, Given
from nasdsl.kernels.device import coefficients
from nasdsl.kernels.device.launch import Launch, tiles

if TYPE_CHECKING:
    from nasdsl.fusion.device.job import DeviceJob


def _frame(
    job: DeviceJob, given: Given, training: tuple[bool, ...], statistics: Tensor | None
) -> Frame:
    like, made = given.inputs[0], job.layout
    table = job.engine.tables(job, given, training)
    parameters = named(made, given)
    if statistics is None:
        statistics = like.new_empty((2, made.normed), dtype=torch.float64)
    return Frame(
        layout=made,
        tables=table,
        launch=job.engine.launch,
        n=int(like.shape[0]),
        dtype=like.dtype,
        device=like.device,
        parameters=parameters,
        affine=affine(made, parameters, like),
        weights=ahead.weights(made, table, job.engine.launch, given),
        statistics=statistics,
        norm=like.new_empty((3, made.normed)),
    )


def forward(
    job: DeviceJob,
    given: Given,
    training: tuple[bool, ...],
    outputs: tuple[Tensor, ...] | None,
) -> Forwarded:
    """A pass; with `outputs`, those of an earlier one, running statistics stay as they are."""
    made = job.layout
    places = [k for k, one in enumerate(made.region.maps) if one.place == "output"]
    with torch.cuda.device_of(given.inputs[0]):
        frame = _frame(job, given, training, None)
        if not all(training):
            frame.statistics = ahead.running(made, job.bound, given.inputs[0])
            ahead.settle(frame, 0, made.normed, None, frame.statistics)
        # Never into the outputs of an earlier pass: others have them.
        flat = [frame.like(k) for k in places]
        ahead.forward(frame, given, flat, training)
        if outputs is None:
            if any(training):
                ahead.move(frame, job.bound, training)
            outputs = tuple(
                images(t, frame.n, made.extents[k]) for k, t in zip(places, flat, strict=True)
            )
    kept = [frame.values[k] for k, one in enumerate(made.region.maps) if one.place == "kept"]
    return Forwarded(outputs=outputs, statistics=frame.statistics, kept=tuple(kept))


def backward(
    job: DeviceJob,
    given: Given,
    forwarded: Forwarded,
    grads: Sequence[Tensor],
    asked: Sequence[bool],
    training: tuple[bool, ...],
) -> list[Tensor | None]:
    """Gradients of inputs, scalars and parameters where asked."""
    made = job.layout
    region = made.region
    with torch.cuda.device_of(given.inputs[0]):
        frame = _frame(job, given, training, forwarded.statistics)
        ahead.settle(frame, 0, made.normed, None, frame.statistics)
        arrays = {
            "input": iter([rows(t) for t in given.inputs]),
            "output": iter([rows(t) for t in forwarded.outputs]),
            "kept": iter(forwarded.kept),
        }
        leaving = iter(grads)
        state = Back(
            frame=frame,
            wanted=job.engine.wanted(tuple(asked)),
            factors=frame.empty(3, made.slotted),
            own=frame.zeros(2, made.slotted),
            of_weights=frame.zeros(made.terms, dtype=torch.float64),
        )
        for k, one in enumerate(region.maps):
            if one.place in arrays:
                frame.values[k] = next(arrays[one.place])
            if one.place == "output":
                state.maps[k] = rows(next(leaving)).contiguous()
        go_back(state)
        found = [*_of_inputs(state), *_of_scalars(state, given), *_of_parameters(state)]
    return [g if yes else None for g, yes in zip(found, asked, strict=True)]


def _of_inputs(state: Back) -> list[Tensor]:
    made = state.frame.layout
    return [
        images(state.of_map(k), state.frame.n, made.extents[k])
        for k, one in enumerate(made.region.maps)
        if one.place == "input"
    ]


def _of_scalars(state: Back, given: Given) -> list[Tensor]:
    frame = state.frame
    table = frame.tables
    if not given.scalars:
        return []
    entries = ahead.entries(given)
    found = torch.empty_like(entries)
    frame.launch(
        Launch(
            kernel=coefficients.coefficients_back,
            grid=(tiles(entries.numel(), 32),),
            arguments={
                "entries": entries,
                "index": table.index,
                "constants": table.constants,
                "g": state.of_weights,
                "to": found,
                "count": frame.layout.terms,
                "size": entries.numel(),
            },
            constants={"FACTORS": table.factors, "BE": 32, "BK": 32},
        )
    )
    sizes = [s.numel() for s in given.scalars]
    parts = zip(found.split(sizes), given.scalars, strict=True)
    return [part.view(scalar.shape) for part, scalar in parts]


def _of_parameters(state: Back) -> list[Tensor]:
    """Gradients of weights, and of scales and shifts: what their heads have given."""
    frame = state.frame
    made = frame.layout
    found = dict(state.parameters)
    for head in made.slots:
        norm = made.region.heads[head].norm
        if norm is None or not made.region.norms[norm].affine:
            continue
        first = made.slot_at[head]
        for row, name in zip(state.own, ("weight", "bias"), strict=True):
            key = (made.region.norms[norm].path, name)
            part = row[first : first + made.channels(head)]
            found[key] = found[key] + part if key in found else part
    return [
        found[key] if key in found else torch.zeros_like(frame.parameters[key])
        for key in made.region.parameters
    ]
