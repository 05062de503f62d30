"""A small real disk (tmpfs) for tests of what happens where it fills up."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

#: Marks of a test that takes the fixture `disk`.
NEEDED = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root"),
]


@dataclass(frozen=True)
class Disk:
    """A mounted file system of 64 MiB."""

    place: Path

    def leave(self, size):
        """Fill it up until so many bytes are free."""
        now = os.statvfs(self.place)
        (self.place / "filler").write_bytes(bytes(max(0, now.f_bavail * now.f_frsize - size)))

    def empty(self):
        (self.place / "filler").unlink()


@pytest.fixture
def disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], capture_output=True
    )
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted: {done.stderr.decode().strip()}")
    yield Disk(place)
    subprocess.run(["umount", str(place)], check=True)


def size(folder):
    """Bytes on a disk of blocks of 4 KiB."""
    return sum(-(-p.stat().st_size // 4096) * 4096 for p in folder.rglob("*") if p.is_file())


def leftovers(folder):
    return [p.name for p in folder.rglob("*") if p.suffix in (".new", ".partial")]
