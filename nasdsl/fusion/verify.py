"""What holds of a graph after every pass."""

from __future__ import annotations

from collections import Counter

from torch import fx

from nasdsl.fusion.count_together import opened
from nasdsl.fusion.norms import counted
from nasdsl.fusion.rewriting import Work


class PassFault(RuntimeError):
    """A pass left a graph that is not valid."""


def verify(work: Work, reference: fx.GraphModule, name: str) -> None:
    """Raise PassFault unless the graph has the inputs of the reference, valid nodes, and moves
    the statistics of every batch-norm once."""
    try:
        work.graph.lint()
    except RuntimeError as error:
        raise PassFault(f"pass `{name}`: {error}") from error
    if _inputs(work.graph) != _inputs(reference.graph):
        raise PassFault(f"pass `{name}` has changed the inputs")
    for node in work.graph.nodes:
        if node.op in ("call_module", "get_attr"):
            try:
                work.module(node)
            except AttributeError:
                raise PassFault(f"pass `{name}`: there is no module {node.target}") from None
    twice = [path for path, n in Counter(opened(work)).items() if n > 1]
    if twice:
        raise PassFault(f"pass `{name}`: {twice[0]} would move its statistics twice")
    for node in work.functions(counted):
        if sorted(str(a.target) for a in node.all_input_nodes) != sorted(opened(work)):
            raise PassFault(f"pass `{name}`: batches are not counted where they are normalised")


def _inputs(graph: fx.Graph) -> list[str]:
    return [str(n.target) for n in graph.nodes if n.op == "placeholder"]
