"""Who a worker is, and whether it is gone.

A name says on which machine a process runs and when it began. Processes are looked up only where
their numbers mean the same: the same host since the same start, and the same namespace, as
containers that share a host name have one each.
"""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

#: Seconds without a sign of life after which a worker on another machine counts as gone.
LEASE = 120.0
#: Seconds between two signs of life.
BEAT = 10.0


def worker_name() -> str:
    """This process among all that may share a store: where, process, when the process began."""
    return f"{where()}:{os.getpid()}:{_began(os.getpid())}"


def where() -> str:
    """Host name, and a digest of what its process numbers are valid for."""
    parts = []
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:  # no such files on this system: the host name has to do
        pass
    digest = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]
    return f"{socket.gethostname().replace(':', '-')}/{digest}"


def _began(pid: int) -> str:
    """When a process of this machine began, as the system counts; empty where it cannot be told."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        return text.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def gone(worker: str | None, silent: float | None) -> bool:
    """Whether a worker has ended, or was silent (in seconds) for longer than the lease."""
    place, _, rest = (worker or "").rpartition(":")[0].rpartition(":")
    began = (worker or "").rpartition(":")[2]
    if place == where() and rest.isdigit():
        try:
            os.kill(int(rest), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return bool(began) and _began(int(rest)) != began
    return silent is None or silent > LEASE
