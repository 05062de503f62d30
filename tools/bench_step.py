"""One training step of a supernet, measured: CPU time, dispatched kernels, saved bytes.

    python tools/bench_step.py                      DARTS, C=16, 8 cells, batch 16, 32x32
    python tools/bench_step.py --space nasbench201 --batch 32 --json

A step is one forward and backward pass of all weights and alphas. Counting rules: kernels are
dispatched operators without views and allocations; saved bytes are unique storages kept for the
backward pass, parameters excluded. Times are the minimum and median of interleaved repeats,
because other work on the machine only ever adds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter

import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from nasdsl import driver
from nasdsl.codegen.supernet import Supernet

#: Operators that move no data: views, allocations, bookkeeping.
FREE = frozenset(
    "view _unsafe_view reshape expand slice select unbind split detach alias permute transpose t "
    "unsqueeze squeeze as_strided empty empty_like empty_strided new_empty new_empty_strided "
    "zeros zeros_like new_zeros ones_like lift_fresh _local_scalar_dense is_same_size".split()
)


class Kernels(TorchDispatchMode):
    """Counts operators that do work."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.overloadpacket.__name__
        if name not in FREE:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def step(net: Supernet, x, y, alphas) -> None:  # type: ignore[no-untyped-def]
    mix = {name: F.softmax(alpha, dim=-1) for name, alpha in alphas.items()}
    F.cross_entropy(net(x, mix), y).backward()


def saved_bytes(net: Supernet, x, y, alphas) -> int:  # type: ignore[no-untyped-def]
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    mix = {name: F.softmax(alpha, dim=-1) for name, alpha in alphas.items()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = F.cross_entropy(net(x, mix), y)
    total = sum(seen.values())
    del loss
    return total


def measure(args: argparse.Namespace) -> list[dict[str, object]]:
    torch.set_num_threads(args.threads)
    loaded = driver.load(args.space)
    parameters = dict(p.split("=", 1) for p in args.P)
    began = time.perf_counter()
    space = driver.space(loaded, None, parameters)
    net = Supernet(space)
    compiled = time.perf_counter() - began
    inp = space.supernet.inp
    torch.manual_seed(0)
    data = torch.randn(args.batch, *inp.dims)
    y = torch.arange(args.batch) % space.supernet.out.channels
    variants = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
    rows = []
    for name, layout in variants.items():
        net.to(memory_format=layout)
        x = data.contiguous(memory_format=layout)
        alphas = {n: torch.zeros(t.shape, requires_grad=True) for n, t in net.tables.items()}
        with Kernels() as kernels:
            step(net, x, y, alphas)
        rows.append(
            {
                "layout": name,
                "kernels": sum(kernels.counts.values()),
                "saved_MB": round(saved_bytes(net, x, y, alphas) / 1e6, 1),
                "cpu": [],
                "wall": [],
            }
        )
    for _ in range(args.repeats):
        for row, layout in zip(rows, variants.values(), strict=True):
            net.to(memory_format=layout)
            x = data.contiguous(memory_format=layout)
            alphas = {n: torch.zeros(t.shape, requires_grad=True) for n, t in net.tables.items()}
            wall, cpu = time.perf_counter(), time.process_time()
            step(net, x, y, alphas)
            row["cpu"].append(time.process_time() - cpu)
            row["wall"].append(time.perf_counter() - wall)
    for row in rows:
        for kind in ("cpu", "wall"):
            times = row.pop(kind)
            row[f"{kind}_min_s"] = round(min(times), 3)
            row[f"{kind}_median_s"] = round(statistics.median(times), 3)
        row["compile_s"] = round(compiled, 2)
        row["space"] = space.name
        row["batch"] = args.batch
        row["threads"] = args.threads
        row["torch"] = torch.__version__
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--space", default="darts")
    parser.add_argument("-P", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = measure(args)
    if args.json:
        print(json.dumps({"schema": 1, "rows": rows}, indent=1))
        return
    first = rows[0]
    print(f"{first['space']}, batch {args.batch}, {args.threads} thread(s), torch {first['torch']}, "
          f"compiled in {first['compile_s']} s")  # fmt: skip
    print(
        f"{'layout':14} {'cpu s min':>10} {'median':>8} {'wall s min':>11} {'kernels':>9} {'saved MB':>9}"
    )
    for row in rows:
        print(f"{row['layout']:14} {row['cpu_min_s']:10.2f} {row['cpu_median_s']:8.2f} "
              f"{row['wall_min_s']:11.2f} {row['kernels']:9,} {row['saved_MB']:9.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
