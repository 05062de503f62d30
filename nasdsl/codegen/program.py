"""A network as a `torch.export` program: one graph of ATen operations, any batch size."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor, fx
from torch.export import Dim, ExportedProgram

from nasdsl import disk
from nasdsl.ir.shape import Shape

#: Batches on which a program is traced and compared; two, as one would be taken for a constant.
BATCH = 2


def samples(shape: Shape, batch: int, *, seed: int = 0) -> Tensor:
    """Random inputs `(batch, …)` of a shape: N(0, 1), of tokens zeros and ones, int64.

    Every vocabulary has the tokens 0 and 1.
    """
    draw = torch.Generator().manual_seed(seed)
    dims = (batch, *shape.dims)
    if shape.kind == "tokens":
        return torch.randint(0, 2, dims, generator=draw)
    return torch.randn(dims, generator=draw)


def program(graph: fx.GraphModule, shape: Shape) -> ExportedProgram:
    """The program of a network in evaluation mode; the first dimension of `x` is free."""
    was = graph.training
    graph.eval()
    try:
        return torch.export.export(
            graph, (samples(shape, BATCH),), dynamic_shapes=({0: Dim("batch")},)
        )
    finally:
        graph.train(was)


def write_program(graph: fx.GraphModule, shape: Shape, path: Path) -> ExportedProgram:
    """Write a `.pt2` file: `torch.export.load(path).module()(x)` gives what the network gives."""
    made = program(graph, shape)
    # A buffer, because the name of the file is the user's.
    buffer = io.BytesIO()
    torch.export.save(made, buffer)
    disk.write(path, buffer.getvalue())
    return made
