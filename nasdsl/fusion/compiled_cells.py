"""Cells compiled by `torch.compile`, each distinct shape once (regional compilation)."""

from __future__ import annotations

import contextlib
import importlib.util
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from nasdsl.fusion.generated.partition import draws
from nasdsl.fusion.rewriting import Ran, Refusal, Work, stamp
from nasdsl.kernels.toolchain import Missing, toolchain

#: Whether compiled code runs; false where gradients are differentiated again.
_COMPILED: ContextVar[bool] = ContextVar("compiled", default=True)


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Let cells run operator by operator: compiled code has no second derivatives."""
    token = _COMPILED.set(False)
    try:
        yield
    finally:
        _COMPILED.reset(token)


class Compiled:
    """A cell as a function `compiled(owner, *values)`: of the module that holds its weights.

    Cells of one shape share one, which is compiled when it is first called, and again where batch
    sizes or modes change. Where `torch.compile` fails the cell runs as it is, with a warning.
    """

    __name__ = "compiled"

    def __init__(
        self, graph: fx.Graph, owner: nn.Module, backend: str | Callable[..., Any]
    ) -> None:
        # A function of its module: any with these children will do.
        self.plain: Callable[..., Any] = type(fx.GraphModule(owner, graph)).forward
        self.run: Callable[..., Any] = torch.compile(self.plain, backend=backend)

    def __deepcopy__(self, memo: Any) -> Compiled:
        return self  # it holds nothing of a network

    def __call__(self, owner: nn.Module, *values: Any) -> Any:
        if not _COMPILED.get():
            return self.plain(owner, *values)
        from torch._dynamo.exc import TorchDynamoException

        try:
            return self.run(owner, *values)
        except TorchDynamoException as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            warnings.warn(
                f"torch.compile failed ({said[0]}); cells of this shape run operator by operator",
                stacklevel=2,
            )
            self.run = self.plain
            return self.plain(owner, *values)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledCells:
    """Every cell becomes a call of code that `torch.compile` makes, one for all of its shape.

    Before: the lines of a cell. After::

        normal_0 = compiled(self.normal_0, stem_bn, getitem)

    A cell that draws random numbers stays, as compiled code would draw others. In one-path mode
    every pick would be compiled anew, so nothing is done.
    """

    backend: str | Callable[..., Any] = "inductor"
    name: str = "compiled_cells"
    gain: str = "code of torch.compile for each distinct cell"
    #: Smaller parts of a network stay as they are.
    least: int = 4

    def run(self, work: Work) -> Ran:
        devices = {p.device.type for p in work.root.parameters()}
        reason = unavailable(self.backend, devices)
        if any(n.op == "placeholder" and n.target == "pick" for n in work.graph.nodes):
            reason = "one path runs, and every pick would be compiled anew"
        if reason is not None:
            return Ran(changes=0, refusals=(Refusal(place="cells", reason=reason),))
        made: dict[str, Compiled] = {}
        refusals = []
        changes = 0
        for place, nodes in _parts(work.graph):
            if sum(n.op == "call_module" for n in nodes) < self.least:
                continue
            refused = _refused(nodes)
            if refused is not None:
                refusals.append(Refusal(place=place, reason=refused))
                continue
            _replaced(work, nodes, made, self.backend)
            changes += 1
        return Ran(changes=changes, refusals=tuple(refusals))


def unavailable(backend: str | Callable[..., Any], devices: set[str]) -> str | None:
    """Why a backend makes no code for these devices."""
    if backend != "inductor":
        return None
    if "cuda" in devices:
        if importlib.util.find_spec("triton") is None:
            return "torch.compile needs triton on CUDA, which is not installed"
        return None
    compiler = toolchain()
    return f"torch.compile: {compiler.reason}" if isinstance(compiler, Missing) else None


def _free(node: fx.Node) -> bool:
    """Whether a node only looks something up in an input, so that it may stand anywhere."""
    source = node.args[0] if node.args else None
    return (
        node.op == "call_function"
        and node.target is operator.getitem
        and isinstance(source, fx.Node)
        and source.op == "placeholder"
    )


def _parts(graph: fx.Graph) -> list[tuple[str, list[fx.Node]]]:
    """Neighbouring nodes of one stage: whatever stands between inputs and results of a part."""
    found: list[tuple[str, list[fx.Node]]] = []
    for node in graph.nodes:
        if node.op in ("placeholder", "output", "get_attr") or _free(node):
            continue
        stage = node.meta.get("stage")
        if not found or (stage is not None and stage != found[-1][0]):
            found.append((str(stage), []))
        found[-1][1].append(node)
    return found


def _refused(nodes: Sequence[fx.Node]) -> str | None:
    if any(draws(n) for n in nodes):
        return "it draws random numbers, and compiled code draws others"
    if len({_owner(n)[0] for n in nodes if n.op == "call_module"}) != 1:
        return "its modules stand in several places"
    return None


def _owner(node: fx.Node) -> tuple[str, str]:
    """The stage a module stands in, and its path there."""
    owner, _, rest = str(node.target).partition(".")
    return owner, rest


def _replaced(work: Work, nodes: list[fx.Node], made: dict[str, Compiled], backend: Any) -> None:
    """Put one call in the place of the nodes of a part."""
    members = frozenset(nodes)
    given = tuple(dict.fromkeys(i for n in nodes for i in n.all_input_nodes if i not in members))
    left = [n for n in nodes if any(u not in members for u in n.users)]
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {n: graph.placeholder(f"v{k}") for k, n in enumerate(given)}
    lines = [str(len(given))]
    for node in nodes:
        copies[node] = copy = graph.node_copy(node, lambda n: copies[n])
        copy.name = f"n{len(lines)}"
        kind = ""
        if node.op == "call_module":
            copy.target = _owner(node)[1]
            kind = f"{work.module(node)} {node.meta.get('op')}"
        name = getattr(copy.target, "__name__", copy.target)
        lines.append(f"{copy.op} {name} {copy.args} {copy.kwargs} {kind}")
    graph.output(tuple(copies[n] for n in left))
    key = "\n".join([*lines, str([copies[n] for n in left])])
    owner = next(_owner(n)[0] for n in nodes if n.op == "call_module")
    if key not in made:
        made[key] = Compiled(graph, work.root.get_submodule(owner), backend)
    with work.graph.inserting_after(nodes[-1]):
        module = work.graph.get_attr(owner)
    with work.graph.inserting_after(module):
        call = work.graph.call_function(made[key], (module, *given))
    stamp(call, nodes[0])
    last = call
    for k, node in enumerate(left):
        with work.graph.inserting_after(last):
            last = work.graph.call_function(operator.getitem, (call, k))
        stamp(last, node)
        node.replace_all_uses_with(last, lambda user: user not in members)
    for node in reversed(nodes):
        work.graph.erase_node(node)
