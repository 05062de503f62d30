"""From a file or a bundled name to a checked program, a space, a supernet; the phases, once.

text -> tree -> checked program -> space (IR) -> fx graph -> supernet
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from nasdsl import resources
from nasdsl.diagnostics.model import CompileError, Diagnostic, Diagnostics
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.extension import Plugins
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.plugin_files import of_files
from nasdsl.ir.requirement import Requirement
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Network, Space
from nasdsl.lowering import program as programs
from nasdsl.lowering.modules import bundled
from nasdsl.lowering.program import Program
from nasdsl.lowering.value.kinds import Given
from nasdsl.source import Source, bytes_of

_DEFINITION = re.compile(r"^(space|recipe|dataset|split|train|suite)[ \t]+([A-Za-z_]\w*)", re.M)


class UnknownName(ValueError):
    """No file and no bundled definition has this name."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked program and its warnings; `asked` is the name it was asked for by."""

    program: Program
    warnings: tuple[Diagnostic, ...]
    asked: str = ""

    @property
    def source(self) -> Source:
        return self.program.module.source


def read(path: str | Path) -> tuple[str, Source]:
    """Key and source of a file, or of a bundled file or definition by name. Raises UnknownName."""
    place = Path(path)
    if place.is_file():
        text = bytes_of(place).decode("utf-8", "replace")
        return str(place.resolve()), Source.of(str(path), text)
    name = str(path)
    for candidate in (name, f"{name}.nas"):
        found = bundled(candidate) if not candidate.startswith((".", "/")) else None
        if found is not None:
            return found
    file = where_bundled(name)
    if file is not None:
        found = bundled(file)
        if found is not None:
            return found
    names = [
        *index("space"),
        *(n.removesuffix(".nas") for n in resources.listing("spaces", ".nas")),
    ]
    advice = did_you_mean(name, names, limit=0)
    raise UnknownName(
        f"there is no file and no bundled space `{name}`" + (f"; {advice}" if advice else "")
    )


def index(kind: str) -> dict[str, str]:
    """Bundled definitions of a kind: name -> file. A quick look that reads no tree."""
    found: dict[str, str] = {}
    for file in resources.listing("spaces", ".nas"):
        text = resources.read("spaces", file) or ""
        for match in _DEFINITION.finditer(text):
            if match.group(1) == kind:
                found.setdefault(match.group(2), file)
    return found


def where_bundled(name: str, kind: str | None = None) -> str | None:
    """The bundled file that defines a name."""
    for each in (kind,) if kind else ("space", "recipe", "dataset", "split", "train", "suite"):
        file = index(each).get(name)
        if file is not None:
            return file
    return None


def load(
    path: str | Path | Source,
    *,
    key: str | None = None,
    paths: Sequence[Path] = (),
    check: bool = True,
    plugins: Plugins | None = None,
) -> Loaded:
    """Load and check a `.nas` file, a bundled one by name, or a Source.

    `plugins` are components in Python that it may use; without, those of installed packages.
    Raises CompileError with all diagnostics, UnknownName.
    """
    if isinstance(path, Source):
        source, found_key = path, key or path.name
    else:
        found_key, source = read(path)
    diags = Diagnostics()
    program = programs.load(
        source, key or found_key, paths=paths, diags=diags, plugins=plugins or of_files(())
    )
    if program is None:
        raise CompileError(tuple(diags))
    if check:
        programs.check(program)
    diags.check()
    asked = "" if isinstance(path, Source) else str(path)
    return Loaded(program, tuple(diags), asked)


def main_space(loaded: Loaded, name: str | None) -> str:
    """The space asked for, else the only or first one of the file. Raises UnknownName."""
    names = loaded.program.names("space")
    if name is not None:
        if loaded.program.find("space", name) is None:
            advice = did_you_mean(name, names)
            raise UnknownName(
                f"{loaded.source.name} has no space `{name}`" + (f"; {advice}" if advice else "")
            )
        return name
    # `nasdsl run wide` names a space of a bundled file, `nasdsl run darts.nas` the file.
    for likely in (loaded.asked, Path(loaded.source.name).stem):
        if likely in names:
            return likely
    if not names:
        raise UnknownName(f"{loaded.source.name} defines no space")
    return names[0]


def value(text: Any) -> Any:
    """A parameter given from outside: numbers become exact, `true` and `false` booleans."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return text
    if isinstance(text, int | float):
        return Fraction(str(text))
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return {"true": True, "false": False}.get(text, text)


def data(loaded: Loaded, name: str) -> Given:
    """A data set by name, of the file or bundled, as far as a space asks for it.

    Raises UnknownName, CompileError.
    """
    program = loaded.program
    if program.find("dataset", name) is None:
        file = where_bundled(name, "dataset")
        if file is None:
            names = [*program.names("dataset"), *index("dataset")]
            advice = did_you_mean(name, names)
            raise UnknownName(f"there is no data set `{name}`" + (f"; {advice}" if advice else ""))
        program = load(file, check=False).program
    settings = program.settings("dataset", name)
    shape = settings.get("shape") if settings is not None else None
    if settings is None or not isinstance(shape, Shape):
        raise CompileError(tuple(program.diags))
    classes = settings.get("classes")
    return Given(name, shape, int(classes) if classes is not None else 0)


def space(
    loaded: Loaded,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    **options: Any,
) -> Space:
    """A space of a loaded file with parameters. Raises CompileError, UnknownName."""
    chosen = main_space(loaded, name)
    before = len(loaded.program.diags)
    given = _given(loaded, parameters)
    made = loaded.program.space(chosen, given, **options)
    found = loaded.program.diags.items[before:]
    if made is None or any(d.severity == "error" for d in found):
        raise CompileError(tuple(found or loaded.program.diags))
    return made


def _given(loaded: Loaded, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Parameters from outside as values of the language."""
    given = {k: value(v) for k, v in (parameters or {}).items()}
    if isinstance(given.get("data"), str):
        given["data"] = data(loaded, given["data"])
    return given


def targets(
    loaded: Loaded, name: str | None = None, parameters: Mapping[str, Any] | None = None
) -> Callable[[Genotype], Network]:
    """Builds the discrete networks of a space, one genotype at a time, without the supernet.

    What is returned raises CompileError where a genotype makes no network.
    """
    chosen = main_space(loaded, name)
    given = _given(loaded, parameters)

    def build(genotype: Genotype) -> Network:
        before = len(loaded.program.diags)
        made = loaded.program.target(chosen, given, genotype)
        if made is None:
            raise CompileError(tuple(loaded.program.diags.items[before:] or loaded.program.diags))
        return made

    return build


def requirement(
    loaded: Loaded,
    text: str,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Requirement:
    """A condition on the architectures of a space, `params <= 1M`, given from outside its file.

    Raises CompileError, UnknownName.
    """
    chosen = main_space(loaded, name)
    before = len(loaded.program.diags)
    made = loaded.program.requirement(chosen, _given(loaded, parameters), text)
    if made is None:
        raise CompileError(tuple(loaded.program.diags.items[before:]))
    return made
