"""A graph module that writes its Python code when it is first called or read.

A supernet of twenty cells has 14 000 nodes. Under most profiles another graph runs in its place,
so the code of this one is often never needed.
"""

from __future__ import annotations

from typing import Any

from torch import fx, nn


class Deferred(fx.GraphModule):
    """As `fx.GraphModule`, but `recompile` only notes that there is code to write.

    It takes the modules of `root` that the graph calls, in the order of the calls, without a search
    for each.
    """

    def __init__(self, root: nn.Module, graph: fx.Graph, class_name: str = "Deferred") -> None:
        super().__init__(nn.Module(), fx.Graph(), class_name)
        self.training = root.training
        called(self, root, graph)
        self.graph = graph

    def recompile(self) -> Any:
        # The class belongs to this module alone, see `fx.GraphModule.__new__`.
        type(self).forward = Deferred._nas_first  # type: ignore[method-assign]

    def _nas_first(self, *args: Any, **kwargs: Any) -> Any:
        self._nas_write()
        return self.forward(*args, **kwargs)

    def _nas_write(self) -> Any:
        """Write the code where that has not been done; None where it has."""
        if type(self).forward is not Deferred._nas_first:
            return None
        return super().recompile()

    @property
    def code(self) -> str:
        self._nas_write()
        return str(super().code)

    def __reduce__(self) -> Any:
        return fx.GraphModule(self, self.graph, type(self).__name__).__reduce__()


def called(into: nn.Module, root: nn.Module, graph: fx.Graph) -> None:
    """Give a module the modules of `root` that a graph calls or names, in its order."""
    scopes: dict[str, tuple[nn.Module, nn.Module]] = {"": (into, root)}

    def scope(path: str) -> tuple[nn.Module, nn.Module]:
        found = scopes.get(path)
        if found is None:
            above, _, name = path.rpartition(".")
            ours, theirs = scope(above)
            there = theirs.get_submodule(name)
            made = ours._modules.get(name)
            if made is None:
                made = ours._modules[name] = nn.Module()
            found = scopes[path] = (made, there)
        return found

    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            path, _, name = str(node.target).rpartition(".")
            ours, theirs = scope(path)
            ours._modules[name] = theirs._modules[name]
