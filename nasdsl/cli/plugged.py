"""`--plugin FILE` of the commands that read `.nas` files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nasdsl.driver import Loaded
    from nasdsl.ir.extension import Plugins

_KEY = "nasdsl.plugins"


def _keep(context: click.Context, option: click.Parameter, paths: tuple[str, ...]) -> None:
    context.meta[_KEY] = paths


#: The option; what it was given stays with the command, for `load`.
option = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    expose_value=False,
    callback=_keep,
    help="Python file with components for recipes; it is run.",
)


def plugins() -> Plugins:
    """The plugins that the running command was given. Raises PluginError."""
    from nasdsl.ir.plugin_files import plugins

    return plugins(click.get_current_context().meta.get(_KEY, ()))


def load(path: str) -> Loaded:
    """A file or bundled name, with the plugins of the command. Raises CompileError, UnknownName."""
    from nasdsl import driver

    return driver.load(path, plugins=plugins())
