"""Files and what they import: every module is read once, nothing in it is executed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nasdsl import resources
from nasdsl.diagnostics.model import Diagnostics, Label
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.optable import OPS
from nasdsl.source import Source, Span, bytes_of
from nasdsl.syntax import ast
from nasdsl.syntax.parser import parse

LANGUAGE = 1
#: How many files may import one another in a row.
MAX_FILES = 50
_WORD = re.compile(r"\w+")

#: Reads `name` for the file `importer`; returns the key of the module and its source.
Finder = Callable[[str, str], tuple[str, Source] | None]


@dataclass(eq=False, slots=True)
class Def:
    """A definition: what it is called, its syntax, and the module it was written in."""

    kind: str
    name: str
    node: ast.Definition | ast.Candidate
    module: Module
    #: Of a candidate: the set that defines it.
    owner: ast.Ops | None = None

    @property
    def span(self) -> Span:
        return self.node.name.span


@dataclass(eq=False, slots=True)
class Module:
    """A file: its own definitions, and names it imports."""

    key: str
    source: Source
    tree: ast.Module
    names: dict[str, Def] = field(default_factory=dict)
    files: dict[str, Module] = field(default_factory=dict)
    own: list[Def] = field(default_factory=list)
    #: What was imported: the path as written, and the module it led to.
    imported: list[tuple[str, Module]] = field(default_factory=list)
    #: Words of text given up after mistakes: unknown names among them are not reported again.
    lost: set[str] = field(default_factory=set)
    #: The ranges of that text.
    gaps: tuple[tuple[int, int], ...] = ()

    def damaged(self, span: Span) -> bool:
        """Whether a part of this text was given up, so that something may be missing in it."""
        return any(a < span.end and span.start < b for a, b in self.gaps)

    def defined(self, kind: str) -> list[Def]:
        """Own definitions of a kind, in order."""
        return [d for d in self.own if d.kind == kind]


def bundled(name: str) -> tuple[str, Source] | None:
    """A file of the bundled library, by its relative name."""
    try:
        text = resources.read("spaces", name)
    except (OSError, ValueError):
        return None
    return None if text is None else (f"bundled:{name}", Source.of(f"spaces/{name}", text))


def library(paths: Sequence[Path] = ()) -> Finder:
    """A finder that looks beside the importer for `./x`, else in `paths`, else in the library."""

    def find(importer: str, name: str) -> tuple[str, Source] | None:
        if name.startswith("./"):
            relative = name[2:]
            if importer.startswith("bundled:"):
                folder = importer.removeprefix("bundled:").rpartition("/")[0]
                return bundled(f"{folder}/{relative}" if folder else relative)
            return _file(Path(importer).parent / relative)
        for folder_path in paths:
            found = _file(folder_path / name)
            if found is not None:
                return found
        return bundled(name)

    return find


def _file(path: Path) -> tuple[str, Source] | None:
    try:
        if not path.is_file():
            return None
        key = path.resolve()
        with path.open("rb"):
            pass
    except (OSError, ValueError):  # names too long or with odd characters, files without access
        return None
    data = bytes_of(path)
    here = Path.cwd()
    shown = key.relative_to(here) if key.is_relative_to(here) else path
    return str(key), Source.of(shown.as_posix(), data.decode("utf-8", "replace"))


class Loader:
    """Reads modules and their imports; each file once, circles reported."""

    def __init__(self, find: Finder, diags: Diagnostics) -> None:
        self.find = find
        self.diags = diags
        self.modules: dict[str, Module | None] = {}
        self.stack: list[tuple[str, str]] = []

    def load(self, key: str, source: Source) -> Module | None:
        """The module of a source with its imports resolved; None where it has no tree."""
        if key in self.modules:
            return self.modules[key]
        parsed = parse(source, self.diags)
        if parsed is None:
            self.modules[key] = None
            return None
        module = Module(key, source, parsed.module)
        module.gaps = parsed.skipped
        for a, b in parsed.skipped:
            module.lost.update(_WORD.findall(source.text[a:b]))
        self.diags.mute(source, parsed.skipped)
        self.modules[key] = module
        version = parsed.module.version
        if version.value != LANGUAGE:
            self.diags.add(
                "E002",
                version.span,
                f"unknown language version {version.text}; this nasdsl reads {LANGUAGE}",
                help="upgrade nasdsl, or write `nas 1`",
            )
        self.stack.append((key, source.name))
        for item in parsed.module.items:
            if isinstance(item, ast.ImportFile | ast.ImportNames):
                self._import(module, item)
        for item in parsed.module.items:
            if not isinstance(item, ast.ImportFile | ast.ImportNames):
                self._define(module, item)
        self.stack.pop()
        return module

    def _define(self, module: Module, node: ast.Definition) -> None:
        kind = node.kind if isinstance(node, ast.Config) else type(node).__name__.lower()
        definition = Def(kind, node.name.text, node, module)
        earlier = module.names.get(definition.name)
        if earlier is not None and (earlier.module is module or earlier.kind != "candidate"):
            if earlier.module is not module and not isinstance(node, ast.Ops):
                self._twice(definition, earlier, "imported")
                return
            if not _same_op(earlier, definition):
                self._twice(definition, earlier, "defined")
            return
        module.names[definition.name] = definition
        module.own.append(definition)
        hides(definition.name, node, self.diags)
        if isinstance(node, ast.Ops):
            for candidate in candidates(definition):
                known = module.names.get(candidate.name)
                if known is None:
                    module.names[candidate.name] = candidate
                elif candidate.node.value is not None and not _same_op(known, candidate):  # type: ignore[union-attr]
                    self.diags.add(
                        "E113",
                        candidate.span,
                        f"candidate `{candidate.name}` has another body here",
                        help="two bodies need two names",
                        labels=(Label(known.span, "first defined here"),),
                    )

    def _twice(self, definition: Def, earlier: Def, how: str) -> None:
        self.diags.add(
            "E102",
            definition.span,
            f"`{definition.name}` is defined twice",
            help=f"first {how} at {earlier.span}; keep one",
            labels=(Label(earlier.span, f"first {how} here"),),
        )

    def _import(self, module: Module, item: ast.Import) -> None:
        target = self._target(module, item)
        if target is not None:
            module.imported.append((item.path.value, target))
        if isinstance(item, ast.ImportFile):
            if target is None:
                module.lost.add(item.alias.text)
            else:
                module.files[item.alias.text] = target
            return
        for name in item.names:
            if target is None:
                module.lost.add(name.text)
            else:
                self._take(module, target, name, item.path.value)

    def _target(self, module: Module, item: ast.Import) -> Module | None:
        """The module an import names; None where it cannot be had."""
        path = item.path.value
        if ".." in path.split("/") or path.startswith("/") or ":" in path or "\\" in path:
            self.diags.add(
                "E105",
                item.path.span,
                "imports may not leave their folder",
                help="use `./` for a file beside this one, or `--path`",
            )
            return None
        found = self.find(module.key, path)
        if found is None:
            library = resources.listing("spaces", ".nas")
            if path.startswith("./"):
                library = tuple(n for n in library if n.rpartition("/")[2] == path[2:])
                advice = f"did you mean `{library[0]}`?" if library else None
            else:
                advice = did_you_mean(path, library, limit=0)
            self.diags.add(
                "E109",
                item.path.span,
                f'there is no file "{path}"',
                help=advice or "`./` for a file beside this one; `--path` adds folders",
            )
            return None
        key, source = found
        keys = [k for k, _ in self.stack]
        if key in keys:
            ring = [name for _, name in self.stack[keys.index(key) :]] + [source.name]
            self.diags.add("E106", item.path.span, "circular import", help=" -> ".join(ring))
            return None
        if len(self.stack) >= MAX_FILES:
            self.diags.add(
                "E116",
                item.path.span,
                f"more than {MAX_FILES} files import one another in a row",
                help="import the file that defines the name",
            )
            return None
        return self.load(key, source)

    def _take(self, module: Module, target: Module, name: ast.Ident, path: str) -> None:
        """One imported name."""
        definition = target.names.get(name.text)
        if definition is None:
            module.lost.add(name.text)
            if name.text not in target.lost:
                self.diags.add(
                    "E110",
                    name.span,
                    f"`{path}` defines no `{name.text}`",
                    help=did_you_mean(name.text, target.names),
                )
            return
        earlier = module.names.get(name.text)
        if earlier is not None and earlier is not definition and earlier.kind != "candidate":
            self.diags.add(
                "E102",
                name.span,
                f"`{name.text}` is defined twice",
                help=f"first defined at {earlier.span}; import one as a file: `import … as`",
                labels=(Label(earlier.span, "first defined here"),),
            )
            return
        module.names[name.text] = definition
        if definition.kind == "ops":
            for candidate in all_candidates(definition):
                module.names.setdefault(candidate.name, candidate)


def hides(name: str, node: ast.Node, diags: Diagnostics) -> None:
    """W101 where an operation gets the name of a built-in one."""
    if isinstance(node, ast.Ops):
        for candidate in node.candidates:
            if candidate.value is not None:
                hides(candidate.name.text, candidate, diags)
    elif isinstance(node, ast.Op | ast.Cell | ast.Let | ast.Candidate) and name in OPS:
        diags.add(
            "W101",
            node.name.span,
            f"`{name}` hides the built-in operation",
            help="take another name, unless that is what you want",
        )


def candidates(definition: Def) -> list[Def]:
    """The candidates an op set writes, each an op of the set's scope."""
    node = definition.node
    if not isinstance(node, ast.Ops):
        return []
    return [
        Def("candidate", c.name.text, c, definition.module, owner=node) for c in node.candidates
    ]


def all_candidates(definition: Def, active: frozenset[int] = frozenset()) -> list[Def]:
    """Candidates of a set and of the sets it extends."""
    node = definition.node
    found: list[Def] = []
    if isinstance(node, ast.Ops):
        inside = active | {id(node)}
        for parent in node.parents:
            above = definition.module.names.get(parent.text)
            if above is not None and id(above.node) not in inside:
                found.extend(all_candidates(above, inside))
    return found + candidates(definition)


def _same_op(a: Def, b: Def) -> bool:
    if a.kind != b.kind or a.module is not b.module:
        return False
    left, right = a.node, b.node
    if isinstance(left, ast.Candidate) and isinstance(right, ast.Candidate):
        return right.value is None or left.value == right.value
    return False
