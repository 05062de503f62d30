"""How long it takes from the text of a space to a supernet that runs, measured in one process.

    python tools/bench_compile.py                       DARTS, 20 cells, profile balanced
    python tools/bench_compile.py --cells 8 --prune 3   and again with three operations an edge
    python tools/bench_compile.py --profile launch --json
    python tools/bench_compile.py --build               with the kernels of an empty cache built

Each line is what one step takes: parse (read and check the file), lower (to the network of the
parameters), emit (modules and graph), passes (those of the profile), kernels (built ones opened),
first call (of two images, forward alone). Times are of this process, one thread, so that other
work on the machine adds little; the minimum of `--repeats`, of `kernels` the first. The build of
kernels is work of the compiler: seconds of a clock, and of a processor in brackets. `recompile` is a search whose decisions keep `--prune` options:
the pruned space, its supernet, its plan.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch

from nasdsl import driver
from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.profile import PROFILES
from nasdsl.kernels.library import library
from nasdsl.kernels.toolchain import Missing
from nasdsl.passes.prune import every, prune


def compiled(space: str, parameters: dict[str, str], profile: str) -> tuple[dict[str, float], Any]:
    """Seconds of every step, and the supernet."""
    clock = Clock()
    loaded = clock.of("parse", lambda: driver.load(space))
    lowered = clock.of("lower", lambda: driver.space(loaded, None, parameters))
    net = clock.of("emit", lambda: Supernet(lowered, profile=profile))
    clock.of("passes", net.planned)
    clock.of("kernels", lambda: library(torch.float32))
    clock.found["together"] = sum(clock.found.values())
    x, mix = torch.randn(2, *lowered.supernet.inp.dims), net.uniform()
    with torch.no_grad():
        clock.of("first call", lambda: net(x, mix))
    return clock.found, net


def recompiled(net: Any, stay: int) -> float:
    """Seconds of pruning a supernet to the first options of every decision, and planning it."""
    began = time.process_time()
    keep = {
        d.id: d.labels[:stay]
        for d in every(net.space.decisions)
        if d.kind == "op" and d.count is None and len(d.labels) > stay
    }
    Supernet(prune(net.space, keep), profile=net.profile).planned()
    return time.process_time() - began


def built() -> tuple[float, float] | str:
    """Seconds until the kernels for float32 are there, with nothing in the cache; and of its
    processes."""
    before = os.environ.get("NASDSL_CACHE")
    with tempfile.TemporaryDirectory() as empty:
        os.environ["NASDSL_CACHE"] = empty
        try:
            began, before_ = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            found = library(torch.float32, progress=lambda line: print(line, file=sys.stderr))
            took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        finally:
            os.environ.pop("NASDSL_CACHE")
            if before is not None:
                os.environ["NASDSL_CACHE"] = before
    if isinstance(found, Missing):
        return found.reason
    return took, after.ru_utime + after.ru_stime - before_.ru_utime - before_.ru_stime


class Clock:
    """Seconds of this process by name."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}

    def of(self, name: str, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        made = work()
        self.found[name] = time.process_time() - began
        return made


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:8.2f} ({value[1]:.2f})"
    return value if isinstance(value, str) else f"{value:8.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="darts")
    parser.add_argument("-P", dest="parameters", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--cells", type=int, default=20, help="the parameter `layers` of DARTS")
    parser.add_argument("--profile", default="balanced", choices=list(PROFILES))
    parser.add_argument("--prune", type=int, default=0, help="options that stay; 0 for no pruning")
    parser.add_argument("--build", action="store_true", help="also build kernels in an empty cache")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    parameters = dict(p.split("=", 1) for p in args.parameters)
    if args.space == "darts":
        parameters.setdefault("layers", str(args.cells))
    report: dict[str, Any] = {}
    if args.build:
        # First: what is loaded once stays loaded.
        report["build"] = built()
    runs = []
    for _ in range(args.repeats):
        found, net = compiled(args.space, parameters, args.profile)
        if args.prune:
            found["recompile"] = recompiled(net, args.prune)
        runs.append(found)
        del net
    report.update({name: min(run[name] for run in runs) for name in runs[0]})
    report["kernels"] = runs[0]["kernels"]
    if args.json:
        print(json.dumps({"space": args.space, "parameters": parameters, **report}))
        return
    print(f"{args.space} {parameters} under {args.profile}, {args.repeats} times, seconds")
    for name, value in report.items():
        print(f"  {name:<12}{_said(value)}")


if __name__ == "__main__":
    main()
