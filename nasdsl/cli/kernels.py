"""Kernels are built before a run begins, so that nobody waits for them without knowing."""

from __future__ import annotations

from typing import Any

from nasdsl.cli.boundary import say


def prepare_kernels(plan: Any, options: Any) -> None:
    """Build what batches and generated cells need, with a line of progress; or say what is lost without."""
    import torch

    from nasdsl.fusion.compiled_cells import CompiledCells, unavailable
    from nasdsl.fusion.generated_cells import GeneratedCells
    from nasdsl.fusion.profile import profile
    from nasdsl.kernels.batches import batches
    from nasdsl.kernels.device.launch import available
    from nasdsl.kernels.library import library
    from nasdsl.kernels.toolchain import Missing
    from nasdsl.training import run as runs

    if options.search.casts and options.profile != runs.EMITTED:
        say(
            f"note: under {options.precision} cells run operator by operator, as profile "
            f"{runs.EMITTED} has them"
        )
    passes = profile(options.runs_as).passes
    device = torch.device(options.device).type
    for each in passes:
        reason = unavailable(each.backend, {device}) if isinstance(each, CompiledCells) else None
        if reason is not None:
            say(f"note: {reason}; cells run operator by operator")
    if device == "cpu" and plan.space().supernet.inp.kind == "image":
        batches(progress=say)  # without it batches are made by tensor operations
    wanted = any(isinstance(each, GeneratedCells) for each in passes)
    if not wanted or plan.space().supernet.inp.kind != "image":
        return
    if device == "cpu":
        found: object = library(torch.float32, progress=say)
    else:
        # Kernels for CUDA are compiled as they are first launched.
        found = available() if device == "cuda" else None
    if isinstance(found, Missing):
        say(f"note: {found.reason}; cells run operator by operator, slower and in more memory")
