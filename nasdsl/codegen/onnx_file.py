"""A network as an ONNX file, checked with onnxruntime. Needs the extra `onnx`."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch import fx
from torch.export import ExportedProgram

from nasdsl.codegen.program import program, samples
from nasdsl.ir.shape import Shape
from nasdsl.ops.plain import Noise

#: What the extra `onnx` installs.
NEEDED = ("onnx", "onnxscript", "onnxruntime")

#: How far onnxruntime may be from the network, in float32: |a - b| <= TOLERANCE * (1 + |b|).
TOLERANCE = 1e-4


class MissingExtra(ImportError):
    """A package of the extra `onnx` is not installed."""


class Disagreement(ValueError):
    """The file does not give what the network gives."""


def require() -> None:
    """Raise MissingExtra, which names the command that installs what is missing."""
    from importlib import import_module

    for name in NEEDED:
        try:
            import_module(name)
        except ImportError:
            raise MissingExtra(
                f"{name} is not installed, ONNX needs it: pip install 'nasdsl[onnx]'"
            ) from None


def write_onnx(
    graph: fx.GraphModule, shape: Shape, path: Path, *, made: ExportedProgram | None = None
) -> None:
    """Write a network in evaluation mode: input `x (batch, …)`, output `y`, any batch size.

    `made` saves the work of making its program anew. The exporter by `torch.export` is taken: the
    older one by tracing writes wrong permutations for dimensions that count from the end. Raises
    MissingExtra.
    """
    require()
    # The exporter tells on stdout how far it is, and in its log that torchvision is missing.
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.onnx.export(
                made or program(graph, shape), input_names=["x"], output_names=["y"], verbose=False
            )
            if found is None:
                raise Disagreement("torch.onnx.export gave no program")
            found.save(str(path), external_data=False)
    finally:
        log.setLevel(level)


def is_random(graph: fx.GraphModule) -> bool:
    """Whether a network draws numbers in evaluation mode too (`noise`)."""
    return any(isinstance(m, Noise) and m.std != 0 for m in graph.modules())


def compare(graph: fx.GraphModule, shape: Shape, path: Path) -> float:
    """Run the file with onnxruntime on two batch sizes; the largest difference.

    Raises Disagreement above TOLERANCE, MissingExtra.
    """
    require()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    worst = 0.0
    was = graph.training
    graph.eval()
    try:
        for batch in (1, 3):
            x = samples(shape, batch, seed=batch)
            with torch.no_grad():
                wanted = graph(x)
            found = torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
            if found.shape != wanted.shape:
                raise Disagreement(
                    f"{path}: onnxruntime gives {tuple(found.shape)}, "
                    f"the network {tuple(wanted.shape)}"
                )
            apart = (found - wanted).abs()
            worst = max(worst, float(apart.max()))
            if not bool((apart <= TOLERANCE * (1 + wanted.abs())).all()):
                raise Disagreement(f"{path}: onnxruntime is {worst:.2g} from the network")
    finally:
        graph.train(was)
    return worst
