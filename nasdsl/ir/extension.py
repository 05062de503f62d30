"""Components that a user adds in Python: what a recipe may say of them, and who makes them.

An Extension is declared like a built-in component, so that a file is checked without running it;
its `make` is called when a search is built. A table of them is a value that is passed along: there
is no registry. Their names carry a prefix and a dot, so they never meet a built-in name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import MappingProxyType
from typing import Any

from nasdsl.ir.schema import SLOTS, Param, Spec

#: Slots that take components in Python, with what the result of `make` must have.
OPEN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sampler": ("one_hot", "sample", "expected"),
        "mix": ("apply",),
        "perturb": ("apply",),
        "regularize": ("value",),
        "step": ("run",),
        "select": ("genotype",),
        "stop": ("after_epoch",),
        "align": ("wants_validation_gradients", "on_arch", "on_weights"),
        "freeze": ("wants_validation_gradients", "on_arch", "on_weights"),
    }
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)+")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
#: Types of parameters, as the language checks them.
TYPES = frozenset(
    "int number fraction bool text pair word time schedule positive names name any".split()
)


class PluginError(ValueError):
    """A plugin cannot be read, or does not give what it declares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A component of a plugin: `sampler = acme.gumbel3(tau = 1)`.

    `make` takes the `Component` of a recipe (its arguments by `get`, defaults filled in) and gives
    the part at work (see `nasdsl.oneshot.parts`, for samplers `nasdsl.oneshot.samplers.sample`): a
    function, or the text `module:function`, imported when a search is built.
    """

    slot: str
    name: str
    make: Callable[[Any], Any] | str
    params: tuple[Param, ...] = ()
    doc: str = ""
    positional: int = 1
    #: The file or package it comes from, and the digest of its text; filled in when it is read.
    origin: str = field(default="", compare=False)
    digest: str = field(default="", compare=False)
    #: Whether its declaration is known; that of a run folder is not read to look at the folder.
    checks: bool = True

    @property
    def spec(self) -> Spec:
        """What the language checks."""
        return Spec(self.name, self.params, self.doc, True, self.positional)

    def from_(self, origin: str, digest: str) -> Extension:
        return replace(self, origin=origin, digest=digest)

    def build(self, component: Any) -> Any:
        """The part of a component. Raises PluginError."""
        make = self.make
        try:
            if isinstance(make, str):
                module, _, name = make.partition(":")
                make = getattr(import_module(module), name)
            part = make(component)
        except (ImportError, AttributeError, TypeError, ValueError, LookupError) as error:
            raise PluginError(
                f"{self.origin}: `{self.name}` cannot be made: {type(error).__name__}: {error}"
            ) from error
        lacking = [name for name in OPEN[self.slot] if not hasattr(part, name)]
        if lacking:
            raise PluginError(
                f"{self.origin}: what `{self.name}` makes is no {self.slot}: "
                f"it has no `{lacking[0]}`"
            )
        return part


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFile:
    """A plugin file: its name, its text, the digest of it, and what it declares."""

    name: str
    text: str
    digest: str
    components: tuple[Extension, ...]


def _closed(component: Any) -> Any:
    raise TypeError("its plugin was not read")


def _none(prefix: str) -> tuple[Extension, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugins:
    """The components in Python that a file may use: those of given files, and of packages.

    `installed` gives the components of a prefix from installed packages; it is asked for a dotted
    name alone. Without `trusted` names with a dot are taken as they stand, and nothing is run.
    """

    files: tuple[PluginFile, ...] = ()
    installed: Callable[[str], tuple[Extension, ...]] = _none
    trusted: bool = True

    def of(self, slot: str, name: str) -> Extension | None:
        """The component of a name in a slot. Raises PluginError."""
        if not self.trusted:
            return Extension(slot=slot, name=name, make=_closed, checks=False)
        return next((e for e in self.under(name) if (e.slot, e.name) == (slot, name)), None)

    def under(self, name: str) -> tuple[Extension, ...]:
        """Every component with the prefix of a name. Raises PluginError where two have one name."""
        if not self.trusted:
            return ()
        prefix = name.partition(".")[0]
        given = tuple(
            e for f in self.files for e in f.components if e.name.startswith(f"{prefix}.")
        )
        found = (*given, *self.installed(prefix))
        seen: dict[str, Extension] = {}
        for each in found:
            other = seen.setdefault(each.name, each)
            if other is not each:
                raise PluginError(
                    f"`{each.name}` is in {other.origin} and in {each.origin}; a name has one owner"
                )
        return found


#: No components in Python at all.
NO_PLUGINS = Plugins()
#: A run folder is looked at without running the code it holds.
CLOSED = Plugins(trusted=False)


def checked(found: Any, origin: str, digest: str) -> tuple[Extension, ...]:
    """The declared components of a plugin. Raises PluginError for what the language cannot use."""
    if not isinstance(found, tuple | list):
        raise PluginError(f"{origin}: `components` is a list of `Extension`s")
    for each in found:
        if not isinstance(each, Extension):
            raise PluginError(f"{origin}: `components` holds {each!r}, which is no `Extension`")
        _check(each, origin)
    names = [e.name for e in found]
    for name in names:
        if names.count(name) > 1:
            raise PluginError(f"{origin}: `{name}` is declared twice; a name has one owner")
    return tuple(e.from_(origin, digest) for e in found)


def _check(each: Extension, origin: str) -> None:
    where = f"{origin}: `{each.name}`"
    if not _NAME.fullmatch(each.name):
        raise PluginError(
            f"{where} has no prefix; write `mine.{each.name}`: names without a dot are built in"
        )
    if each.slot not in OPEN:
        known = "no slot" if each.slot not in SLOTS else "closed to plugins"
        raise PluginError(f"{where}: slot `{each.slot}` is {known}; there are {', '.join(OPEN)}")
    if not (callable(each.make) or (isinstance(each.make, str) and ":" in each.make)):
        raise PluginError(f"{where}: `make` is a function or the text `module:function`")
    names = [p.name for p in each.params]
    for param in each.params:
        kind, _, of = param.type.partition(":")
        if not (param.type in TYPES or (kind == "component" and of in SLOTS)):
            raise PluginError(
                f"{where}: parameter `{param.name}` has the unknown type `{param.type}`; "
                f"there are {', '.join(sorted(TYPES))}"
            )
        if not _PARAMETER.fullmatch(param.name) or names.count(param.name) > 1:
            raise PluginError(f"{where}: `{param.name}` is no name of one parameter")
        if param.type == "word" and not param.words:
            raise PluginError(f"{where}: parameter `{param.name}` is a word without `words`")
