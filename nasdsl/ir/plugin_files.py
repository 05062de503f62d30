"""Reads plugins: Python files that a user names, and entry points of installed packages.

A file that is named is run, as with `python FILE`. An entry point of the group
`nasdsl.components` is imported when a `.nas` file uses its name as a prefix, not before.
"""

from __future__ import annotations

import hashlib
import importlib.util
import linecache
from collections.abc import Sequence
from importlib.abc import SourceLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from nasdsl.ir.extension import Extension, PluginError, PluginFile, Plugins, checked
from nasdsl.ir.faults import line_of

GROUP = "nasdsl.components"


class _Text(SourceLoader):
    """A module from a text, which may be that of a file or of a run folder."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text

    def get_filename(self, fullname: str) -> str:
        return self.name

    def get_data(self, path: str | bytes) -> bytes:
        if path != self.name:
            raise OSError("there is no compiled file")  # nothing is cached on disk
        return self.text.encode()


def digest(text: str) -> str:
    """SHA-256 of a plugin's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def from_text(name: str, text: str) -> PluginFile:
    """The plugin of a text. Runs it. Raises PluginError."""
    spec = importlib.util.spec_from_loader(f"nasdsl_plugin_{digest(text)[:12]}", _Text(name, text))
    if spec is None or spec.loader is None:
        raise PluginError(f"{name}: this is no Python module")
    module = importlib.util.module_from_spec(spec)
    # A run folder has the text of a plugin, not its file: errors show its lines all the same.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        where = line_of(error, (name,)) or name
        raise PluginError(f"{where}: {type(error).__name__}: {error}") from error
    found = getattr(module, "components", None)
    if found is None:
        raise PluginError(f"{name}: a plugin names its `components`: a list of `Extension`s")
    sha = digest(text)
    return PluginFile(name=name, text=text, digest=sha, components=checked(found, name, sha))


def from_file(path: str | Path) -> PluginFile:
    """The plugin of a file. Runs it. Raises PluginError."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise PluginError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise PluginError(f"{path}: a plugin is a text in UTF-8") from None
    return from_text(str(path), text)


def plugins(paths: Sequence[str | Path] = ()) -> Plugins:
    """The plugins of given files and of installed packages. Raises PluginError."""
    return of_files([from_file(path) for path in paths])


def of_files(files: Sequence[PluginFile]) -> Plugins:
    """The plugins of files that are read, and of installed packages. Raises PluginError."""
    seen: dict[str, str] = {}
    for file in files:
        for each in file.components:
            other = seen.setdefault(each.name, file.name)
            if other != file.name:
                raise PluginError(f"`{each.name}` is in {other} and in {file.name}")
    return Plugins(files=tuple(files), installed=installed)


def installed(prefix: str) -> tuple[Extension, ...]:
    """The components of the installed package of a prefix. Raises PluginError."""
    found = tuple(entry_points(group=GROUP, name=prefix))
    if not found:
        return ()
    if len(found) > 1:
        owners = ", ".join(sorted(_origin(e) for e in found))
        raise PluginError(f"several packages own the prefix `{prefix}`: {owners}")
    return _entry(found[0], prefix)


def _origin(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value


def _entry(entry: EntryPoint, prefix: str) -> tuple[Extension, ...]:
    origin = _origin(entry)
    try:
        loaded: Any = entry.load()
        module = importlib.import_module(entry.module)
    except (ImportError, AttributeError, SyntaxError, NameError, TypeError, ValueError) as error:
        raise PluginError(f"{origin}: {type(error).__name__}: {error}") from error
    found = loaded.components if isinstance(loaded, ModuleType) else loaded
    made = checked(found, origin, digest(_text(module)))
    for each in made:
        if not each.name.startswith(f"{prefix}."):
            raise PluginError(f"{origin}: `{each.name}` is not under its prefix `{prefix}`")
    return made


def _text(module: ModuleType) -> str:
    place = getattr(module, "__file__", None)
    return Path(place).read_text(encoding="utf-8") if place is not None else ""
