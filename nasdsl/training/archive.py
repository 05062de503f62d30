"""The texts a run was compiled from, and the plan read back from them."""

from __future__ import annotations

from typing import Any

from nasdsl.diagnostics.model import CompileError, Diagnostics
from nasdsl.driver import Loaded
from nasdsl.lowering import program as programs
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.modules import Loader, Module
from nasdsl.source import Source
from nasdsl.training.plan import Item, Plan, make_from_items
from nasdsl.training.record import RunError, RunFolder


def archive(plan: Plan) -> dict[str, Any]:
    """Every module of the plan by key, with its text, and which import leads where."""
    modules: dict[str, Any] = {}
    imports: list[list[str]] = []
    for item in plan.items.values():
        for module, edges in item.loaded.program.imports():
            modules[module.key] = {"name": module.source.name, "text": module.source.text}
            imports.extend([module.key, path, key] for path, key in edges)
    return {
        "schema": 1,
        "modules": modules,
        "imports": sorted({tuple(i) for i in imports}),
        "items": {
            k: {"name": i.name, "module": i.loaded.program.module.key}
            for k, i in plan.items.items()
        },
    }


def reopen(folder: RunFolder) -> Plan:
    """The plan of a run, from its folder alone. Raises RunError, CompileError."""
    order, stored = folder.read("run.json"), folder.read("sources.json")
    try:
        modules = stored["modules"]
        edges = {(a, path): key for a, path, key in stored["imports"]}
        wanted = stored["items"]
        parameters, changes, seed = order["parameters"], order["changes"], order["seed"]
    except (KeyError, TypeError, ValueError):
        raise RunError(f"{folder.path}: run.json or sources.json is incomplete") from None

    def find(importer: str, path: str) -> tuple[str, Source] | None:
        key = edges.get((importer, path))
        if key is None or key not in modules:
            return None
        return key, Source.of(modules[key]["name"], modules[key]["text"])

    loaded: dict[str, Loaded] = {}
    items = {}
    for kind, item in wanted.items():
        key = item["module"]
        if key not in loaded:
            loaded[key] = _load(key, modules, find)
        items[kind] = Item(kind, item["name"], loaded[key])
    return make_from_items(items, parameters=parameters, changes=changes, seed=seed)


def _load(key: str, modules: dict[str, Any], find: Any) -> Loaded:
    diags = Diagnostics()
    loader = Loader(find, diags)
    module: Module | None = loader.load(key, Source.of(modules[key]["name"], modules[key]["text"]))
    if module is None:
        raise CompileError(tuple(diags))
    diags.check()
    sources = tuple(m.source for m in loader.modules.values() if m is not None)
    program = programs.Program(module, diags, Flattener(diags), sources)
    return Loaded(program, ())
