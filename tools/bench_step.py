"""One training step of a supernet under every profile, measured in one process.

    python tools/bench_step.py                      DARTS, C=16, 8 cells, batch 16, 32x32
    python tools/bench_step.py --space nasbench201 --batch 32 --json
    python tools/bench_step.py --space darts --recipe gdas
    python tools/bench_step.py --bilevel            the whole step of a search
    python tools/bench_step.py --no-kernels         as on a machine without a C++ compiler
    python tools/bench_step.py --write-readme       the table in README.md, all of its spaces
    python tools/bench_step.py --write-readme --row mobile      a row of it, again

A step is one forward and backward pass of all weights and alphas; with --bilevel it is a step of
the recipe: both passes, both optimizers, clipping, meters. With --recipe the mix is its sampler's.
Variants run in turn, so that other work on the machine falls on all of them; times are of this
process and one thread, minimum and median, with the spread (the middle half) beside it. `plain` is
the reference profile in the plain layout. Counts follow `nasdsl/fusion/counting.py`, predictions
`nasdsl/fusion/roofline.py`. Errors are relative norms: of a profile in float64 against the
reference, and in float32 against the reference in float64, of the output and of the worst gradient.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nasdsl import driver
from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.counting import count, kept
from nasdsl.fusion.generated_cells import GeneratedCells
from nasdsl.fusion.profile import PROFILES, Profile
from nasdsl.fusion.roofline import Machine, measured, now, synchronize
from nasdsl.ir.shape import Shape
from nasdsl.oneshot.compose import compose
from nasdsl.training import plan as plans
from nasdsl.training.data.batches import Images
from nasdsl.training.data.inputs import Inputs
from nasdsl.training.data.normalize import Channels
from nasdsl.training.data.splits import Splits
from nasdsl.training.search import Search

sys.path.insert(0, str(Path(__file__).parent))

#: Whose images a recipe's space takes; random ones stand in for them.
DATA = "cifar10"
#: Short steps are repeated for so many seconds, and not more often than this.
SECONDS, MOST = 10.0, 50
#: Networks, mixes and images that errors in float32 are the median of.
DRAWS = 5
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True, slots=True)
class Order:
    """What is measured."""

    space: str
    parameters: dict[str, str]
    batch: int = 16
    recipe: str | None = None
    bilevel: bool = False
    profiles: tuple[str, ...] = tuple(PROFILES)
    repeats: int = 5
    threads: int = 1
    device: str = "cpu"
    errors: bool = True
    #: Whether cells may run as generated kernels; else as where no compiler is.
    kernels: bool = True
    apart: bool = False
    #: Errors and nothing else.
    errors_only: bool = False


#: The generated kernels without fusion: every operation a call of its own.
APART = Profile(
    name="apart",
    use="what the kernels gain by themselves",
    passes=tuple(
        replace(p, apart=True) if isinstance(p, GeneratedCells) else p
        for p in PROFILES["balanced"].passes
    ),
)


@dataclass(slots=True)
class Variant:
    """One way to run the step."""

    profile: str
    layout: str
    step: Callable[[], Any]
    forward: Callable[[], Any]
    parameters: list[Tensor]
    compiled: float
    net: Supernet
    #: Tensors that stay on the host: the step numbers of optimizers.
    host: Callable[[], list[Tensor]] = list


# ---- what is run


def variants(order: Order) -> list[Variant]:
    plain = PROFILES["reference"]
    names = [(plain, "NCHW"), (plain, "channels_last")]
    names += [(PROFILES[p], "channels_last") for p in order.profiles if p != "reference"]
    if order.apart:
        names.append((APART, "channels_last"))
    make = _whole_steps if order.bilevel else _steps
    return [make(order, profile, layout) for profile, layout in names]


def _steps(order: Order, profile: Profile, layout: str) -> Variant:
    began = time.perf_counter()
    loaded = driver.load(order.space)
    space = driver.space(loaded, None, order.parameters)
    sampler = None
    if order.recipe is not None:
        names = {
            "space": None,
            "recipe": order.recipe,
            "dataset": DATA,
            "split": None,
            "train": None,
        }
        made = plans.make(loaded, names=names, parameters=order.parameters, changes={}, seed=0)
        sampler = compose(made.recipe).sampler
    mode = "one_path" if sampler is not None and sampler.one_hot else "dense"
    net = Supernet(space, profile=profile, mode=mode)
    net.planned()
    compiled = time.perf_counter() - began
    device = torch.device(order.device)
    net.to(device=device, memory_format=LAYOUTS[layout])
    data, y = _batch(space, order.batch, device)
    noise = torch.Generator()

    def forward() -> Tensor:
        alphas = {
            n: torch.zeros(t.shape, requires_grad=True, device=device)
            for n, t in net.tables.items()
        }
        x = data
        if x.dim() == 4:
            x = x.contiguous(memory_format=LAYOUTS[layout])
        if sampler is None:
            mix, pick = {name: F.softmax(a, dim=-1) for name, a in alphas.items()}, None
        else:
            noise.manual_seed(0)
            sample = sampler.sample(alphas, net.tables, noise, _start)
            mix, pick = sample.mix, sample.pick
        return _loss(net(x, mix, pick), y)

    parameters = list(net.parameters())

    def step() -> None:
        for p in parameters:
            p.grad = None  # as a step begins: gradients are put down, not added to old ones
        forward().backward()

    return Variant(profile.name, layout, step, forward, parameters, compiled, net)


def _start(value: Any) -> float:
    """The value of a schedule when it begins."""
    return float(getattr(value, "start", value))


def _loss(out: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(out, y) if out.dim() == 2 else out.square().mean()


def _batch(space: Any, batch: int, device: torch.device, seed: int = 0) -> tuple[Tensor, Tensor]:
    inp, draw = space.supernet.inp, torch.Generator().manual_seed(seed)
    if inp.kind == "tokens":
        x = torch.randint(0, 2, (batch, *inp.dims), generator=draw)
    else:
        x = torch.randn(batch, *inp.dims, generator=draw)
    y = torch.arange(batch) % space.supernet.out.channels
    return x.to(device), y.to(device)


def _whole_steps(order: Order, profile: Profile, layout: str) -> Variant:
    began = time.perf_counter()
    loaded = driver.load(order.space)
    names = {
        "space": None, "recipe": order.recipe or "darts", "dataset": DATA, "split": None,
        "train": None,
    }  # fmt: skip
    changes = {"batch": str(order.batch)}
    made = plans.make(loaded, names=names, parameters=order.parameters, changes=changes, seed=0)
    space = made.space()
    images = _images(space.supernet.inp, space.supernet.out.channels, order)
    task = Search(
        space, made.recipe, images, seed=0, device=order.device, profile=profile,
    )  # fmt: skip
    task.session.layout = LAYOUTS[layout]
    task.session.supernet.to(memory_format=LAYOUTS[layout])
    task.session.supernet.planned()
    compiled = time.perf_counter() - began
    task.begin(0)

    def step() -> None:
        task.step(0, 0)

    net = task.session.supernet

    def host() -> list[Tensor]:
        used = (task.session.weight_optimizer, task.session.arch_optimizer)
        states = [s for o in used if o is not None for s in o.state.values()]
        return [s["step"] for s in states if "step" in s]

    return Variant(profile.name, layout, step, step, list(net.parameters()), compiled, net, host)


def _images(inp: Shape, classes: int, order: Order) -> Inputs:
    draw, n = np.random.default_rng(0), 4 * order.batch

    def put(number: int) -> Images:
        x = draw.integers(0, 256, (number, *inp.dims), dtype=np.uint8)
        half = (0.5,) * inp.channels
        y = (np.arange(number) % classes).astype(np.int64)
        return Images.put(x, y, Channels(mean=half, std=half), order.device)

    parts = Splits(
        search_train=np.arange(n // 2),
        search_valid=np.arange(n // 2, n),
        retrain_train=np.arange(n),
    )
    return Inputs(name="random", shape=inp, classes=classes, train=put(n), test=put(8), parts=parts)


# ---- measuring


@contextlib.contextmanager
def _compiler(wanted: bool) -> Iterator[None]:
    """With the compiler of this machine, or as if it had none."""
    before = os.environ.get("CXX")
    if not wanted:
        os.environ["CXX"] = "no-compiler-wanted"
    try:
        yield
    finally:
        if before is not None:
            os.environ["CXX"] = before
        elif not wanted:
            del os.environ["CXX"]


def measure(order: Order) -> dict[str, Any]:
    """Rows of all variants, and what they were measured on."""
    with _compiler(order.kernels):
        return _measure(order)


def _measure(order: Order) -> dict[str, Any]:
    torch.set_num_threads(order.threads)
    device = torch.device(order.device)
    machine = measured(device)
    made = variants(order)
    if order.errors_only:
        found_rows = [{"profile": v.profile, "layout": v.layout} for v in made]
        for row, error in zip(found_rows, errors(order, made), strict=True):
            row |= error
        return {"rows": found_rows}
    rows = []
    for variant in made:
        variant.step()
        found = count(variant.step, variant.host())
        saved = None if order.bilevel else kept(variant.forward, variant.parameters)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            variant.step()
        rows.append(
            {
                "profile": variant.profile,
                "layout": variant.layout,
                "kernels": found.total,
                "saved_MB": None if saved is None else saved / 1e6,
                "traffic_MB": found.traffic / 1e6,
                "gflop": found.flops / 1e9,
                "syncs": found.syncs,
                "compile_s": variant.compiled,
                "predicted_s": machine.predict(found.each),
                "peak_MB": torch.cuda.max_memory_allocated(device) / 1e6
                if device.type == "cuda"
                else None,
            }
        )
    times: list[list[float]] = [[] for _ in made]
    rounds = order.repeats
    while len(times[0]) < rounds:
        for found_times, variant in zip(times, made, strict=True):
            synchronize(device)
            began = now(device)
            variant.step()
            synchronize(device)
            found_times.append(now(device) - began)
        # Short steps are measured more often: other work disturbs them more.
        rounds = max(order.repeats, min(MOST, int(SECONDS / sum(t[0] for t in times))))
    plain = min(times[0])
    for row, found_times in zip(rows, times, strict=True):
        middle = statistics.quantiles(found_times, n=4) if len(found_times) > 1 else [0, 0, 0]
        row["time_min_s"] = min(found_times)
        row["time_median_s"] = statistics.median(found_times)
        row["time_spread_s"] = middle[2] - middle[0]
        row["faster_than_plain"] = plain / min(found_times)
        row["faster_than_channels_last"] = min(times[1]) / min(found_times)
    if order.errors and not order.bilevel:
        for row, error in zip(rows, errors(order, made), strict=True):
            row |= error
    return {
        "space": order.space,
        "parameters": order.parameters,
        "recipe": order.recipe,
        "bilevel": order.bilevel,
        "kernels": order.kernels,
        "batch": order.batch,
        "repeats": rounds,
        "rows": rows,
    }


def errors(order: Order, made: list[Variant]) -> list[dict[str, float]]:
    """How far output and gradients are from the reference in float64, and in float32 from it.

    In float64 of one draw. In float32 the median of several: one rounding may turn a rectifier or
    a maximum over, in any of the variants.
    """
    exact = [_run(order, made[0], torch.float64, "NCHW", draw) for draw in range(DRAWS)]
    rows = []
    for variant in made:
        out, worst = _apart(_run(order, variant, torch.float64, variant.layout, 0), exact[0])
        single = [
            _apart(_run(order, variant, torch.float32, variant.layout, draw), exact[draw])
            for draw in range(DRAWS)
        ]
        rows.append(
            {
                "error64_output": out,
                "error64_gradient": worst,
                "error32_output": statistics.median(o for o, _ in single),
                "error32_gradient": statistics.median(g for _, g in single),
                "draws": DRAWS,
            }
        )
    return rows


def _run(
    order: Order, variant: Variant, kind: torch.dtype, layout: str, draw: int
) -> tuple[Tensor, list[Tensor]]:
    """Output and gradients of a step with other weights, mixes and images for every draw."""
    device = torch.device(order.device)
    data, y = _batch(variant.net.space, min(order.batch, 4), device, draw)
    net = copy.deepcopy(variant.net).double()
    noise = torch.Generator().manual_seed(1 + draw)
    with torch.no_grad():
        for p in net.parameters() if draw else ():
            p.mul_(1 + 0.1 * torch.randn(p.shape, generator=noise, dtype=torch.float64).to(device))
    net = net.to(kind)
    mix, pick = {}, {}
    for name, table in net.tables.items():
        rows = torch.rand(table.shape, generator=noise, dtype=torch.float64)
        mix[name] = rows.to(kind).to(device).requires_grad_()
        pick[name] = [0] * len(table.decisions)
    x = data.to(kind) if data.is_floating_point() else data
    if x.dim() == 4:
        x = x.contiguous(memory_format=LAYOUTS[layout])
    torch.manual_seed(3)
    out = net(x, mix, pick if net.mode == "one_path" else None)
    wanted = [*mix.values(), *net.parameters()]
    found = torch.autograd.grad(_loss(out, y), wanted, allow_unused=True)
    # What no path leads to has no gradient in one profile and one of zeros in another.
    grads = [
        (torch.zeros_like(w) if g is None else g).double()
        for w, g in zip(wanted, found, strict=True)
    ]
    return out.detach().double(), grads


def _apart(
    found: tuple[Tensor, list[Tensor]], exact: tuple[Tensor, list[Tensor]]
) -> tuple[float, float]:
    """Relative errors of the output and of the worst gradient."""
    scale = max(float(g.norm()) for g in exact[1]) * 1e-3
    worst = max(
        float((a - b).norm()) / max(float(b.norm()), scale)
        for a, b in zip(found[1], exact[1], strict=True)
    )
    return _relative(found[0], exact[0]), worst


def _relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def machine_text(order: Order, machine: Machine) -> str:
    """The machine, in words."""
    return (
        f"{_processor(order.device)}, {order.threads} thread{'s' * (order.threads > 1)}, "
        f"torch {torch.__version__}, python {platform.python_version()}; "
        f"{machine.rate / 1e9:.0f} GFLOP/s, {machine.bandwidth / 1e9:.0f} GB/s, "
        f"{machine.launch * 1e6:.1f} us an operator, as measured"
    )


def _processor(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{name}, {os.cpu_count()} cores, {capability}"


# ---- printing


HEAD = (
    f"{'profile':10} {'layout':13} {'min s':>7} {'median':>7} {'spread':>7} {'x plain':>7} "
    f"{'x cl':>5} {'model s':>7} {'kernels':>8} {'kept MB':>8} {'moved GB':>8} {'sync':>4} "
    f"{'compile':>7} {'err64':>8} {'err32 out':>9} {'grad':>8}"
)


def lines(found: dict[str, Any]) -> list[str]:
    what = "whole step" if found["bilevel"] else "forward and backward"
    given = "".join(f" {k}={v}" for k, v in found["parameters"].items())
    recipe = f", recipe {found['recipe']}" if found["recipe"] else ""
    bare = "" if found.get("kernels", True) else ", no generated kernels"
    made = [f"{found['space']}{given}{recipe}, batch {found['batch']}, {what}{bare}", HEAD]
    for row in found["rows"]:
        saved = f"{row['saved_MB']:8,.0f}" if row["saved_MB"] is not None else f"{'-':>8}"
        error = [f"{row[k]:.1e}" if k in row else "-" for k in
                 ("error64_gradient", "error32_output", "error32_gradient")]  # fmt: skip
        made.append(
            f"{row['profile']:10} {row['layout']:13} {row['time_min_s']:7.3f} "
            f"{row['time_median_s']:7.3f} {row['time_spread_s']:7.3f} "
            f"{row['faster_than_plain']:7.2f} {row['faster_than_channels_last']:5.2f} "
            f"{row['predicted_s']:7.3f} {row['kernels']:8,} {saved} "
            f"{row['traffic_MB'] / 1e3:8.2f} {row['syncs']:4} {row['compile_s']:7.2f} "
            f"{error[0]:>8} {error[1]:>9} {error[2]:>8}"
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--space", default="darts")
    parser.add_argument("-P", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--recipe")
    parser.add_argument("--bilevel", action="store_true")
    parser.add_argument("--profile", action="append", choices=list(PROFILES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-errors", action="store_true")
    parser.add_argument(
        "--errors-only", action="store_true", help="as JSON; with --write-readme times stay"
    )
    parser.add_argument("--apart", action="store_true", help="the kernels without fusion, too")
    parser.add_argument("--no-kernels", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write-readme", action="store_true")
    parser.add_argument(
        "--row", action="append", help="with --write-readme: only rows of this name, the rest stays"
    )
    args = parser.parse_args()
    order = Order(
        space=args.space,
        parameters=dict(p.split("=", 1) for p in args.P),
        batch=args.batch,
        recipe=args.recipe,
        bilevel=args.bilevel,
        profiles=tuple(args.profile or PROFILES),
        repeats=args.repeats,
        threads=args.threads,
        device=args.device,
        errors=not args.no_errors,
        apart=args.apart,
        errors_only=args.errors_only,
        kernels=not args.no_kernels,
    )
    if args.write_readme:
        from bench_table import errors_again, write

        if order.errors_only:
            errors_again(order, args.row)
        else:
            write(order, args.row)
        return
    found = measure(order)
    if order.errors_only:
        print(json.dumps(found, indent=1))
        return
    machine = machine_text(order, measured(torch.device(order.device)))
    if args.json:
        print(json.dumps({"schema": 2, "machine": machine, **found}, indent=1))
        return
    print(machine)
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
