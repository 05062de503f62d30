"""A command as it was given, to show what to type next; and amounts of memory as people write them."""

from __future__ import annotations

import re
import shlex
from typing import Any

import click
from click.core import ParameterSource

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


def again(context: click.Context, *, without: tuple[str, ...], more: str) -> str:
    """The command of a context with other options: `nasdsl run X --seed 1 --set batch=64`."""
    words = [context.command_path]
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if name not in without and source is ParameterSource.COMMANDLINE:
            words += _words(parameter, context.params[name], more)
    return f"{shlex.join(_flat(words))} {more}"


def _words(parameter: click.Parameter, value: Any, more: str) -> list[str]:
    if isinstance(parameter, click.Argument):
        return [str(value)]
    option = next((o for o in parameter.opts if o.startswith("--")), parameter.opts[0])
    if getattr(parameter, "is_bool_flag", False):
        return [option]
    if isinstance(value, dict):
        pairs = [f"{k}={v}" for k, v in value.items() if f"{option} {k}=" not in more]
        return [word for pair in pairs for word in (option, pair)]
    values = value if isinstance(value, tuple) else (value,)
    return [word for v in values for word in (option, str(v))]


def _flat(words: list[str]) -> list[str]:
    """The path of the command is several words."""
    return [*words[0].split(), *words[1:]]


def amount(value: float) -> str:
    """Bytes in three digits or more: `1.23 MB`, `12.0 GB`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} bytes"


def memory(context: click.Context, option: click.Parameter, given: str | None) -> int | None:
    """`8GB`, `512MiB` or bytes, as bytes."""
    if given is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?I?)B?\s*", given.upper())
    if found is None or found[2] not in _UNITS:
        raise click.BadParameter(f"`{given}` is no amount of memory, such as 8GB or 512MiB")
    return int(float(found[1]) * _UNITS[found[2]])
