"""Where the results of a suite are: in its folder, or in a database by its URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nasdsl.suite.store import Store


class _Url(click.ParamType[str]):
    name = "url"

    def convert(
        self, value: str, param: click.Parameter | None, context: click.Context | None
    ) -> str:
        from nasdsl.suite.postgres import is_url

        if not is_url(value):
            self.fail("it is the URL of a PostgreSQL database: postgresql://user@host/db")
        return value


#: A database that many suites may be in.
store = click.option(
    "--store", "url", type=_Url(), metavar="URL",
    help="PostgreSQL that has the results: postgresql://user@host/db.",
)  # fmt: skip
#: Which of them.
which = click.option(
    "--suite", "name", metavar="NAME", help="With --store: its name or the start of its digest."
)


def opened(folder: Path | None, url: str | None, name: str | None) -> tuple[dict[str, Any], Store]:
    """What a suite says about itself, and its store. Raises SuiteError, UsageError."""
    from nasdsl.suite import kept
    from nasdsl.suite.folder import SuiteFolder
    from nasdsl.suite.postgres import Postgres
    from nasdsl.suite.store import Store

    if folder is not None:
        if name is not None:
            raise click.UsageError("--suite is for --store: a folder has one suite")
        held = SuiteFolder(folder)
        return held.about(), held.open(url)
    if url is None:
        raise click.UsageError("which suite? Its folder, or --store with --suite, says so")
    database = Postgres(url)
    found = kept.find(database, name)
    about, _ = kept.texts(database, found.suite)
    return about, Store(database, found.suite)
