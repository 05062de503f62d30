"""The texts a run was compiled from, and the plan read back from them."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from nasdsl.diagnostics.model import CompileError, Diagnostics
from nasdsl.driver import Loaded
from nasdsl.ir.config import Component, components
from nasdsl.ir.extension import CLOSED, Plugins
from nasdsl.ir.plugin_files import digest, from_text, of_files
from nasdsl.lowering import program as programs
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.lists import LARGEST, Lists
from nasdsl.lowering.modules import Loader, Module
from nasdsl.source import Source
from nasdsl.training.plan import KINDS, Item, Plan, make_from_items
from nasdsl.training.record import RunError, RunFolder


def archive(plan: Plan) -> dict[str, Any]:
    """Every module of the plan by key, with its text, and which import leads where."""
    return archived(plan.items)


def archived(items: Mapping[str, Item]) -> dict[str, Any]:
    """The modules of some definitions, as `restored` reads them."""
    modules: dict[str, Any] = {}
    imports: list[list[str]] = []
    for item in items.values():
        for module, edges in item.loaded.program.imports():
            modules[module.key] = {"name": module.source.name, "text": module.source.text}
            imports.extend([module.key, path, key] for path, key in edges)
    files = {f.name: f for i in items.values() for f in i.loaded.program.flat.plugins.files}
    lists = {k: d for i in items.values() for k, d in i.loaded.program.flat.lists.used.items()}
    return {
        "schema": 1,
        "modules": modules,
        "plugins": [{"name": f.name, "text": f.text, "digest": f.digest} for f in files.values()],
        "lists": [{"module": m, "path": p, "data": packed(d)} for (m, p), d in lists.items()],
        "imports": sorted({tuple(i) for i in imports}),
        "items": {
            k: {"name": i.name, "module": i.loaded.program.module.key} for k, i in items.items()
        },
    }


def used(plan: Plan) -> list[dict[str, str]]:
    """The components of plugins that a recipe names, each with where it is from and its digest."""
    parts = [plan.recipe, *(phase for _, phase in plan.recipe.phases)]
    found = {
        c.extension.name: c.extension
        for part in parts
        for _, value in part.values
        for c in _nested(value)
        if c.extension is not None
    }
    return [{"name": e.name, "origin": e.origin, "digest": e.digest} for e in found.values()]


def plugin_files(plan: Plan) -> set[str]:
    """The files of the plugins that a plan was made with."""
    found = {f.name for i in plan.items.values() for f in i.loaded.program.flat.plugins.files}
    parts = [plan.recipe, *(phase for _, phase in plan.recipe.phases)]
    for part in parts:
        for _, value in part.values:
            for component in _nested(value):
                made = component.extension.make if component.extension is not None else None
                code = getattr(made, "__code__", None)
                if code is not None:
                    found.add(code.co_filename)
    return found


def _nested(value: Any) -> Iterator[Component]:
    for component in components(value):
        yield component
        for _, argument in component.args:
            yield from _nested(argument)


def reopen(folder: RunFolder, *, run_plugins: bool = False) -> Plan:
    """The plan of a run, from its folder alone.

    The plugins that the folder holds are code; they are run only where the run is to go on or to
    be repeated (`run_plugins`), not to look at it. Raises RunError, CompileError, PluginError.
    """
    order, stored = folder.read("run.json"), folder.read("sources.json")
    try:
        parameters, changes, seed = order["parameters"], order["changes"], order["seed"]
    except (KeyError, TypeError, ValueError):
        raise RunError(f"{folder.path}: run.json is incomplete") from None
    items = restored(folder, stored, run_plugins=run_plugins)
    if not items.keys() >= set(KINDS):
        raise RunError(f"{folder.path}: sources.json is incomplete")
    plan = make_from_items(items, parameters=parameters, changes=changes, seed=seed)
    if run_plugins and used(plan) != order.get("plugins", []):
        names = ", ".join(f"{u['name']} of {u['origin']}" for u in order.get("plugins", []))
        raise RunError(f"{folder.path}: the run began with another text of its plugins ({names})")
    return plan


def restored(folder: RunFolder, stored: Any, *, run_plugins: bool = False) -> dict[str, Item]:
    """The definitions that `archived` wrote, by kind. Raises RunError, CompileError, PluginError."""
    try:
        modules = stored["modules"]
        edges = {(a, path): key for a, path, key in stored["imports"]}
        wanted = stored["items"]
    except (KeyError, TypeError, ValueError):
        raise RunError(f"{folder.path}: sources.json is incomplete") from None

    def find(importer: str, path: str) -> tuple[str, Source] | None:
        key = edges.get((importer, path))
        if key is None or key not in modules:
            return None
        return key, Source.of(modules[key]["name"], modules[key]["text"])

    plugins = _plugins(folder, stored.get("plugins", [])) if run_plugins else CLOSED
    lists = Lists(stored=_lists(folder, stored.get("lists", [])))
    loaded: dict[str, Loaded] = {}
    items = {}
    for kind, item in wanted.items():
        key = item["module"]
        if key not in modules:
            raise RunError(f"{folder.path}: sources.json is incomplete")
        if key not in loaded:
            loaded[key] = _load(key, modules, find, plugins, lists)
        items[kind] = Item(kind, item["name"], loaded[key])
    return items


def _plugins(folder: RunFolder, stored: Any) -> Plugins:
    try:
        given = [(str(p["name"]), str(p["text"]), str(p["digest"])) for p in stored]
    except (KeyError, TypeError):
        raise RunError(f"{folder.path}: sources.json is incomplete") from None
    for name, text, sha in given:
        if digest(text) != sha:
            raise RunError(f"{folder.path}: the text of plugin {name} was changed")
    return of_files([from_text(name, text) for name, text, _ in given])


def packed(data: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(zlib.compress(data)).decode("ascii")


def _lists(folder: RunFolder, stored: Any) -> dict[tuple[str, str], bytes]:
    """The lists of indices that splits name. Raises RunError."""
    found = {}
    try:
        for each in stored:
            unpack = zlib.decompressobj()
            raw = base64.b64decode(each["data"], validate=True)
            data = unpack.decompress(raw, LARGEST + 1)
            if len(data) > LARGEST or not unpack.eof:
                raise ValueError
            found[str(each["module"]), str(each["path"])] = data
    except (KeyError, TypeError, ValueError, zlib.error):
        raise RunError(f"{folder.path}: a list of indices in sources.json is damaged") from None
    return found


def _load(key: str, modules: dict[str, Any], find: Any, plugins: Plugins, lists: Lists) -> Loaded:
    diags = Diagnostics()
    loader = Loader(find, diags)
    module: Module | None = loader.load(key, Source.of(modules[key]["name"], modules[key]["text"]))
    if module is None:
        raise CompileError(tuple(diags))
    diags.check()
    sources = tuple(m.source for m in loader.modules.values() if m is not None)
    program = programs.Program(module, diags, Flattener(diags, plugins, lists), sources)
    return Loaded(program, ())
