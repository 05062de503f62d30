"""A PostgreSQL server for tests: in a folder of its own, on a socket in it, ended afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Where packages put the programs of a server that are not in PATH.
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`, the newest of several."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("postgres") is not None:
        return Path(found).resolve().parent
    folders = [f for place in PLACES for f in Path("/").glob(place.lstrip("/"))]
    whole = [f for f in folders if (f / "initdb").is_file() and (f / "postgres").is_file()]
    return max(whole, key=lambda f: [int(n) for n in f.parent.name.split(".") if n.isdigit()], default=None)  # fmt: skip


def other_user() -> dict[str, object]:
    """The server refuses root: whom to be instead, as `subprocess` takes it."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")


class Server:
    """A server that can be ended and started again; `url` is that of its database."""

    def __init__(self, folder: Path, bin_: Path) -> None:
        self.folder, self.bin, self.who = folder, bin_, other_user()
        self.url = f"postgresql://nasdsl@/postgres?host={folder}"
        if self.who:
            os.chown(folder, self.who["user"], self.who["group"])
        self.data = folder / "data"
        subprocess.run(
            [bin_ / "initdb", "-D", self.data, "-U", "nasdsl", "-A", "trust", "--no-sync",
             "-E", "UTF8", "--no-locale"],
            check=True, capture_output=True, cwd=folder, **self.who,
        )  # fmt: skip

    def start(self) -> None:
        import psycopg

        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.data, "-k", self.folder,
                 "-c", "listen_addresses=", "-c", "fsync=off"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder, **self.who,
            )  # fmt: skip
        end = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # without waiting for clients
            self.process.wait(60)

    def database(self, name: str) -> str:
        """The URL of a new, empty database."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as db:
            db.execute(f"create database {name}".encode())
        return self.url.replace("/postgres?", f"/{name}?")


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server that runs; skips where there is none to run, or no psycopg."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    bin_ = programs()
    if bin_ is None:
        pytest.skip("no PostgreSQL server is installed: no initdb and postgres")
    # Not in pytest's folder, which only its user may enter; a socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="nasdsl-pg-"))
    try:
        server = Server(folder, bin_)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
