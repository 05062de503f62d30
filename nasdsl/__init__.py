"""A declarative graph-compiler toolkit for gradient-based one-shot neural architecture search.

    loaded = nasdsl.load("my_space.nas")            checked; raises CompileError
    net = nasdsl.compile("darts", C=8, layers=4)    a supernet: net(x, mix)
    found = nasdsl.search("quickstart")             genotype, measurements

`import nasdsl` loads neither torch nor numpy; the names below are found when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nasdsl.version import VERSION as __version__

__all__ = [
    "CompileError",
    "Extension",
    "Param",
    "PluginError",
    "__version__",
    "compile",
    "fold",
    "load",
    "network",
    "search",
]

if TYPE_CHECKING:
    from nasdsl.api import compile, fold, load, network, search
    from nasdsl.diagnostics.model import CompileError
    from nasdsl.ir.extension import Extension, PluginError
    from nasdsl.ir.schema import Param


def __getattr__(name: str) -> Any:
    if name == "CompileError":
        from nasdsl.diagnostics.model import CompileError

        return CompileError
    if name in ("Extension", "PluginError"):
        from nasdsl.ir import extension

        return getattr(extension, name)
    if name == "Param":
        from nasdsl.ir.schema import Param

        return Param
    if name in __all__:
        from nasdsl import api

        return getattr(api, name)
    raise AttributeError(f"module 'nasdsl' has no attribute {name!r}")
