"""Several seeds of one supernet: one batched program, or one after the other?

    python tools/bench_seeds.py                     DARTS, C=4, 8 cells, batch 64, 16x16, 3 seeds
    python tools/bench_seeds.py --space nasbench201 --seeds 4

A step is a forward and backward pass of every seed. Measured are the profiles `reference` and
`balanced`, seeds one after the other, and the reference as one program: parameters stacked, mapped
over with `torch.func.vmap`. All take turns; times are of this process and one thread, the minimum
and the median of the repeats, for a seed. The batched program is first compared with the others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from nasdsl import driver
from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.profile import PROFILES


def supernets(space: str, parameters: dict[str, str], profile: str, seeds: int) -> list[Supernet]:
    """Supernets of one space, each with the weights of its seed."""
    made = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        net = Supernet(
            driver.space(driver.load(space), None, parameters), profile=PROFILES[profile]
        )
        net.planned()
        made.append(net.to(memory_format=torch.channels_last))
    return made


class _Loss(torch.nn.Module):
    """The loss of a batch under an even mix."""

    def __init__(self, net: Supernet) -> None:
        super().__init__()
        self.net = net

    def forward(self, alphas: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        mix = {name: F.softmax(a, dim=-1) for name, a in alphas.items()}
        return F.cross_entropy(self.net(x, mix, None), y)


def _alphas(net: Supernet, lead: tuple[int, ...] = ()) -> dict[str, Tensor]:
    return {n: torch.zeros(*lead, *t.shape, requires_grad=True) for n, t in net.tables.items()}


def apart(nets: list[Supernet], x: Tensor, y: Tensor) -> Callable[[], list[Tensor]]:
    """A step of all seeds, one after the other; it gives their losses."""
    models = [_Loss(net) for net in nets]

    def step() -> list[Tensor]:
        losses = []
        for model, net in zip(models, nets, strict=True):
            for p in net.parameters():
                p.grad = None
            loss = model(_alphas(net), x, y)
            loss.backward()
            losses.append(loss.detach())
        return losses

    return step


def together(nets: list[Supernet], x: Tensor, y: Tensor) -> Callable[[], list[Tensor]]:
    """A step of all seeds as one program; it gives their losses."""
    models: list[torch.nn.Module] = [_Loss(net) for net in nets]
    parameters, buffers = stack_module_state(models)
    model = models[0]

    def one(p: Any, b: Any, alphas: Any) -> Any:
        return functional_call(model, (p, b), (alphas, x, y))

    mapped = vmap(one, randomness="different")

    def step() -> list[Tensor]:
        for p in parameters.values():
            p.grad = None
        losses = mapped(parameters, buffers, _alphas(nets[0], (len(nets),)))
        losses.sum().backward()
        return list(losses.detach())

    return step


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Times of every way for one seed and step, in seconds."""
    torch.set_num_threads(1)
    parameters = dict(p.split("=", 1) for p in args.parameters)
    draw = torch.Generator().manual_seed(0)
    x = y = None
    ways: dict[str, Callable[[], list[Tensor]]] = {}
    for name, profile, how in (
        ("reference, one by one", "reference", apart),
        ("reference, one program", "reference", together),
        ("balanced, one by one", "balanced", apart),
    ):
        nets = supernets(args.space, parameters, profile, args.seeds)
        if x is None or y is None:
            inp = nets[0].space.supernet.inp
            x = torch.randn(args.batch, *inp.dims, generator=draw)
            x = x.contiguous(memory_format=torch.channels_last)
            y = torch.arange(args.batch) % nets[0].space.supernet.out.channels
        ways[name] = how(nets, x, y)
    losses = {name: step() for name, step in ways.items()}
    first = losses["reference, one by one"]
    for name, found in losses.items():
        for a, b in zip(first, found, strict=True):
            if not torch.allclose(a, b, rtol=1e-3):
                raise SystemExit(f"{name}: {b.item():.6g} instead of {a.item():.6g}")
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, step in ways.items():
            began = time.process_time()
            step()
            times[name].append((time.process_time() - began) / args.seeds)
    return {name: {"min_s": min(t), "median_s": statistics.median(t)} for name, t in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="darts")
    parser.add_argument("-P", dest="parameters", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args)
    if args.json:
        json.dump(found, sys.stdout)
        return
    print(f"{args.space}, batch {args.batch}, {args.seeds} seeds, torch {torch.__version__}")
    print(f"{'way':<26}{'min s':>9}{'median s':>10}   for one seed and step")
    for name, t in found.items():
        print(f"{name:<26}{t['min_s']:>9.3f}{t['median_s']:>10.3f}")


if __name__ == "__main__":
    main()
