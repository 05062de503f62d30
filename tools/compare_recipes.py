"""Recipes against random architectures: the same space, data, retraining and seeds.

    python tools/compare_recipes.py --space quickstart --recipes darts gdas drnas --seeds 5

For every seed each recipe searches, and what it finds is retrained; `random` retrains a uniformly
drawn architecture instead. A recipe may have parameters of its own, in place of what `--set` says
of the others: `"random_search(samples=4, budget=3)"`. One line per method: mean test accuracy over
seeds with the 95 % interval of Student's t, the difference from `random` paired by seed with its
interval, and the seconds of a search. With few seeds intervals are wide; nothing is called
significant.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from pathlib import Path

from nasdsl import driver
from nasdsl.ir.sampling import sample
from nasdsl.training import plan as plans
from nasdsl.training import run as runs
from nasdsl.training.data import inputs

#: Two-sided 95 % quantiles of Student's t by degrees of freedom.
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval; infinite for one value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, math.inf
    t = T95.get(len(values) - 1, 1.96)
    return mean, t * statistics.stdev(values) / math.sqrt(len(values))


def one(args: argparse.Namespace, method: str, seed: int) -> tuple[float, float]:
    """Test accuracy in percent, and the seconds of the search."""
    loaded = driver.load(args.space)
    name, _, given = method.partition("(")
    recipe = None if name == "random" else name
    changes = dict(pair.split("=", 1) for pair in args.set)
    if given:
        # What a recipe is given itself stands for the lengths that all others have.
        changes = {k: v for k, v in changes.items() if k.startswith("train.")}
        changes |= dict(pair.strip().split("=", 1) for pair in given.rstrip(")").split(","))
    plan = plans.make(
        loaded,
        names={"space": None, "recipe": recipe, "dataset": args.data, "train": args.train},
        parameters=dict(pair.split("=", 1) for pair in args.parameter),
        changes=changes,
        seed=seed,
    )
    prepared = inputs.prepare(plan.dataset, plan.split, data_dir=args.data_dir, device="cpu")
    began = time.perf_counter()
    if method == "random":
        genotype = sample(plan.space(), random.Random(seed))
    else:
        options = runs.Options(retrain=False)
        genotype = runs.execute(plan, prepared, None, options).genotype
    seconds = time.perf_counter() - began
    found = runs.retrain(plan, prepared, genotype, None, runs.Options())
    return float(found["test"]["accuracy"]), seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--space", default="quickstart")
    parser.add_argument("--recipes", nargs="+", default=["darts", "gdas", "drnas"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", default="fashion16")
    parser.add_argument("--train", default="quick")
    parser.add_argument("--set", action="append", default=[], metavar="SLOT=N")
    parser.add_argument("-P", dest="parameter", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, help="Every result as JSON lines; goes on where it is.")
    args = parser.parse_args()
    done: dict[tuple[str, int], tuple[float, float]] = {}
    if args.out is not None and args.out.exists():
        for line in args.out.read_text().splitlines():
            row = json.loads(line)
            done[row["method"], row["seed"]] = (row["accuracy"], row["seconds"])
    methods = ["random", *args.recipes]
    for seed in range(args.seeds):
        for method in methods:
            if (method, seed) in done:
                continue
            accuracy, seconds = done[method, seed] = one(args, method, seed)
            print(f"{method:16} seed {seed}  {accuracy:.2f} %  {seconds:.0f} s", file=sys.stderr)
            if args.out is not None:
                row = {"method": method, "seed": seed, "accuracy": accuracy, "seconds": seconds}
                with args.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    base = [done["random", seed][0] for seed in range(args.seeds)]
    print("| method | test accuracy | minus random | search seconds |")
    print("|---|---:|---:|---:|")
    for method in methods:
        values = [done[method, seed][0] for seed in range(args.seeds)]
        mean, half = interval(values)
        gap = ""
        if method != "random":
            difference = interval([v - b for v, b in zip(values, base, strict=True)])
            gap = f"{difference[0]:+.2f} ± {difference[1]:.2f}"
        seconds = statistics.fmean(done[method, seed][1] for seed in range(args.seeds))
        print(f"| `{method}` | {mean:.2f} ± {half:.2f} | {gap} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
