"""What of a machine a result may depend on in its last digits, and how to depend on it less.

Runs repeat bit for bit on one machine with one build of everything. Elsewhere sums are taken in
another order: another compiler or none, vectors of another width, another number of threads.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from nasdsl.kernels.level import level
from nasdsl.kernels.toolchain import Missing, toolchain
from nasdsl.oneshot.ranks.world import ALONE, World
from nasdsl.training.plan import PlanError
from nasdsl.version import VERSION

#: What cuBLAS needs to give the same result twice; read when it begins.
_CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def versions() -> dict[str, str]:
    """Versions that a result may depend on."""
    found = {"nasdsl": VERSION, "python": platform.python_version(), "torch": torch.__version__}
    for name in ("numpy", "lark", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def environment(device: str, *, deterministic: bool = False) -> dict[str, str]:
    """Processor, compiler and kernels of a run, and those of its device, by name."""
    compiler = toolchain()
    found = {
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu": processor(),
        "cores": str(os.cpu_count() or 1),
        "compiler": compiler.reason if isinstance(compiler, Missing) else compiler.version,
        "kernels": "none" if isinstance(compiler, Missing) else level().name,
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "deterministic": "yes" if deterministic else "no",
    }
    if torch.device(device).type == "cuda":
        found |= {
            "gpu": torch.cuda.get_device_name(device),
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),
            "triton": _version("triton"),
            "cublas workspace": os.environ.get(
                _CUBLAS[0], _CUBLAS[1] if deterministic else "not set"
            ),
        }
    return found


def processor() -> str:
    """The name of the processor, as far as the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Inside, operators give the same result twice, or refuse. Raises PlanError where one does.

    What was set before is set again behind it, except the workspace of cuBLAS.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault(*_CUBLAS)
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    cudnn = torch.backends.cudnn
    flags = cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    except RuntimeError as error:
        said = str(error)
        if "deterministic" not in said:
            raise
        raise PlanError(f"--deterministic: {said.splitlines()[0]}") from error
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.deterministic, cudnn.benchmark = flags


def devices() -> list[str]:
    """`cuda:0 NVIDIA H200, 139.8 GiB` for every CUDA device."""
    found = []
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(i)
        found.append(f"cuda:{i} {about.name}, {about.total_memory / 2**30:.1f} GiB")
    return found


def device_of(wanted: str, world: World = ALONE) -> str:
    """`auto` is CUDA where there is one. Raises PlanError for a device that is not there.

    Every rank has a CUDA device of its own.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise PlanError(f"unknown device `{wanted}`") from None
    if device.type != "cuda":
        return wanted
    if world.several and device.index is not None:
        raise PlanError(f"{world.size} ranks cannot share {wanted}; `--device cuda` gives each one")
    if not torch.cuda.is_available():
        raise PlanError("no CUDA device was found; `--device auto` takes the CPU")
    count = torch.cuda.device_count()
    if world.several:
        if world.local_size > count:
            raise PlanError(f"{world.local_size} ranks need as many CUDA devices, not {count}")
        return f"cuda:{world.local_rank}"
    if (device.index or 0) >= count:
        raise PlanError(
            f"there is no CUDA device `{wanted}`: this machine has "
            + ("cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}")
        )
    return wanted


@contextmanager
def on(device: str) -> Iterator[None]:
    """Inside, what names no device means this one where it is a CUDA device."""
    if torch.device(device).type != "cuda":
        yield
        return
    with torch.cuda.device(torch.device(device)):
        yield
