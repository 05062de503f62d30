"""What measuring the health of a search costs: the same search with every measurement and with none.

    python tools/bench_diagnostics.py --epochs 100

Both go on in turn, an epoch each, so that what else the machine does falls on both; processor seconds
are compared. Measurements are taken at the intervals that they have by default. Where TensorBoard is
not installed, no event files are written, here as in a run.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch

from nasdsl import driver
from nasdsl.ir import schema
from nasdsl.source import Source
from nasdsl.training import plan as plans
from nasdsl.training import run as runs
from nasdsl.training.data import inputs

TEXT = """nas 1
from "darts.nas" import darts
from "data/images.nas" import fashion16
import "recipes/{file}.nas" as theirs

space small extends darts {{
  C      = {channels}
  layers = {layers}
  data   = fashion16
  target {{}}
}}
recipe none extends theirs.{recipe} {{
  epochs = {epochs}
  batch  = 64
}}
recipe all extends none {{
  measure = {measures}
}}
split few {{
  search.train  = data[0..{last}]
  search.valid  = data[4000..4000 + {last}]
  retrain.train = data[8000..8063]
}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--images", type=int, default=1024, help="in each half, up to 4000")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument(
        "--recipe", default="darts/darts", help="file and name, such as robust/oles"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = sorted(schema.SLOTS["measure"])
    file, recipe = given.recipe.split("/")
    text = TEXT.format(
        file=file, recipe=recipe, channels=given.channels, layers=given.layers,
        epochs=given.epochs, last=given.images - 1, measures=" + ".join(names),
    )  # fmt: skip
    loaded = driver.load(Source.of("small.nas", text))
    tasks, seconds = {}, {"none": 0.0, "all": 0.0}
    for which in seconds:
        made = plans.make(
            loaded, names={"recipe": which, "split": "few"}, parameters={}, changes={}, seed=0
        )
        prepared = inputs.prepare(made.dataset, made.split, data_dir=None, device="cpu")
        tasks[which] = runs.searching(made, prepared, runs.Options())
    for epoch in range(given.epochs):
        # The one that goes first changes: it may find the caches of the other.
        for which in list(tasks) if epoch % 2 else list(reversed(tasks)):
            task, began = tasks[which], time.process_time()
            for number in range(task.begin(epoch)):
                task.step(epoch, number)
            task.epoch_record(epoch)
            seconds[which] += time.process_time() - began
        if (epoch + 1) % 10 == 0 or epoch + 1 == given.epochs:
            more = 100 * (seconds["all"] / seconds["none"] - 1)
            print(
                f"{epoch + 1} epochs: {seconds['none']:.1f} s with none, {seconds['all']:.1f} s with "
                f"{', '.join(names)}: {more:+.1f} %",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
