"""Runs that are killed again and again: what they end with is what an undisturbed run ends with.

    python tools/kill_runs.py gdas drnas oles --kills 50

For each recipe a small run is made once undisturbed. Then the same command is given again and again
in one folder and its process is killed (`kill -9`), until so many kills are done; a run that comes to
its end is compared with the undisturbed one, and another is begun. Moments are drawn over the whole
life of a run: while it starts, at any later time, and before a drawn file operation in its folder
(such as a rename or a removal), which is where checkpoints are written.

Compared bit for bit: the names of all files, tensors, results, and every line of the logs; times of
the clock are left out. A leftover of a write, a difference, or a run that fails ends the status at 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

#: Three recipes with state of their own: noise and temperature, phases and pruning, frozen weights.
TEXT = """nas 1

from "darts.nas" import darts, darts8
from "data/images.nas" import fashion16
import "recipes/samplers.nas" as samplers
import "recipes/robust.nas" as robust

space small extends darts {
  C      = 4
  layers = 3
  nodes  = 1
  data   = fashion16
  candidates = {none, max_pool_3x3, skip_connect, sep_conv_3x3}
  cell normal {
    out x[1]
  }
  target {}
}

recipe gdas extends samplers.gdas {
  epochs = EPOCHS
  batch  = 32
}
recipe drnas extends samplers.drnas {
  batch = 32
  phase narrow {
    epochs  = HALF
    partial = channels(1/4)
  }
  phase wide extends narrow {
    partial = channels(1/2)
    prune   = top(2)
  }
}
recipe oles extends robust.oles {
  epochs = EPOCHS
  batch  = 32
  freeze = alignment(every = 2, below = 0.4)
}

split few {
  search.train  = data[0..IMAGES]
  search.valid  = data[2000..2000 + IMAGES]
  retrain.train = data[4000..4000 + IMAGES]
  retrain.valid = data[6000..6000 + 63]
}

train short {
  epochs    = EPOCHS
  batch     = 32
  weights   = sgd(lr = cosine(0.05 -> 0), momentum = 0.9)
  drop_path = linear(0 -> 0.2)
}
"""
RECIPES = ("gdas", "drnas", "oles")
#: What says when something was done, and digests of texts that hold such times.
TIMES = frozenset({"seconds", "health_seconds", "started", "ended", "argv", "log", "digest"})
#: The command, which kills itself before a file operation in its folder; 0 counts them.
COUNTED = """
import os, signal, sys
folder, last, to = os.path.abspath(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
count = 0
def watch(event, given):
    global count
    if event not in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"):
        return
    place = given[0] if given else None
    inside = isinstance(place, (str, bytes)) and os.fsdecode(place).startswith(folder)
    # What is removed with a tree is named from its folder.
    if inside or (event in ("os.remove", "os.rmdir") and given[-1] != -1):
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
sys.argv[1:] = sys.argv[4:]
from nasdsl.cli.start import main
try:
    main()
finally:
    if last == 0:
        with open(to, "w") as file:
            file.write(str(count))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What an undisturbed run took: processor seconds until it searches and in all, operations."""

    start: float
    end: float
    operations: int


@dataclass(slots=True)
class Tally:
    """What was done to the runs of a recipe, and what was found."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    torn: int = 0
    wrong: list[str] = field(default_factory=list)


def command(spec: Path, recipe: str, folder: Path) -> list[str]:
    """The arguments of `nasdsl`: the same at the beginning and every time it goes on."""
    return ["-q", "run", str(spec), "--recipe", recipe, "-o", str(folder), "--threads", "1"]


class Forked:
    """A process that is a copy of this one, as far as a Popen is asked: its imports are done."""

    def __init__(self, code: str, given: list[str], said: Path) -> None:
        self.said = said
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            ended = 1
            try:
                out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(out, 1), os.dup2(out, 2)
                torch.set_num_threads(1)
                sys.argv = ["nasdsl", *given]
                exec(compile(code, "<command>", "exec"), {"__name__": "__main__"})
                ended = 0
            except SystemExit as end:
                ended = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:  # noqa: BLE001 - whatever it is, this process is not the tool's
                traceback.print_exc()
            finally:
                sys.stdout.flush(), sys.stderr.flush()
                os._exit(ended)

    def poll(self) -> int | None:
        """The exit status, if it has ended."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self) -> None:
        """Until it has ended."""
        while self.poll() is None:
            time.sleep(0.002)

    def send_signal(self, number: int) -> None:
        """As Popen."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self) -> tuple[None, bytes]:
        """What it said, once it has ended."""
        self.wait()
        return None, self.said.read_bytes() if self.said.is_file() else b""


def begun(
    spec: Path, recipe: str, folder: Path, last: int, to: Path, fork: bool
) -> subprocess.Popen[bytes] | Forked:
    """The command as a process."""
    given = [str(folder), str(last), str(to), *command(spec, recipe, folder)]
    if fork:
        return Forked(COUNTED, given, folder.with_suffix(".said"))
    return subprocess.Popen(
        [sys.executable, "-c", COUNTED, *given],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def undisturbed(spec: Path, recipe: str, folder: Path, fork: bool) -> Life:
    """A run to its end. Raises SystemExit where it fails."""
    to = folder.with_suffix(".count")
    process = begun(spec, recipe, folder, 0, to, fork)
    start, end = None, 0.0
    while process.poll() is None:
        end = max(end, used(process.pid))
        if start is None and (folder / "checkpoint" / "latest").is_file():
            start = end
        time.sleep(0.01)
    _, said = process.communicate()
    if process.returncode or start is None:
        raise SystemExit(f"the undisturbed run of {recipe} failed: {said.decode()[-2000:]}")
    return Life(start=start, end=end, operations=int(to.read_text()))


def attempt(
    spec: Path, recipe: str, folder: Path, life: Life, draw: random.Random, tally: Tally, fork: bool
) -> bool:
    """The command once more, killed at a drawn moment; whether it came to its end before."""
    kind = draw.choices(("start", "later", "write"), (2, 4, 4))[0]
    # Not so late that most attempts end before.
    last = draw.randrange(1, max(2, life.operations // 3)) if kind == "write" else -1
    moment = draw.uniform(0, life.start)
    if kind == "later":
        moment = life.start + draw.uniform(0, (life.end - life.start) / 3)
    process = begun(spec, recipe, folder, last, folder, fork)
    if kind == "write":
        process.wait()
    else:
        while process.poll() is None and used(process.pid) < moment:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    if process.returncode == 0:
        return True
    if process.returncode != -signal.SIGKILL:
        tally.wrong.append(f"status {process.returncode}: {said.decode()[-2000:]}")
        return True
    tally.kills[where(folder, kind)] += 1
    tally.torn += bool(leftovers(folder))
    return False


def used(pid: int) -> float:
    """Processor seconds of a process so far: they do not depend on what else the machine does."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def where(folder: Path, kind: str) -> str:
    """What a run was at when it was killed."""
    if kind == "start" or not (folder / "checkpoint" / "latest").is_file():
        return "starting"
    stage = "retraining" if (folder / "result.json").is_file() else "searching"
    return f"writing in {stage}" if kind == "write" else stage


def leftovers(folder: Path) -> list[str]:
    """What a write that was not finished left."""
    return [
        str(p.relative_to(folder))
        for p in (folder.rglob("*") if folder.is_dir() else ())
        if p.suffix in (".new", ".partial")
    ]


def differences(whole: Path, other: Path) -> Iterator[str]:
    """What of two finished runs is not the same, bit for bit; times are left out."""
    names = [{str(p.relative_to(at)) for p in at.rglob("*")} for at in (whole, other)]
    yield from (f"{name} is missing" for name in sorted(names[0] - names[1]))
    yield from (f"{name} is an orphan" for name in sorted(names[1] - names[0]))
    for name in sorted(names[0] & names[1]):
        if (whole / name).is_file() and (what := _different(whole / name, other / name)):
            yield f"{name}: {what}"


def _different(a: Path, b: Path) -> str | None:
    if a.suffix == ".safetensors":
        left, right = load_file(a), load_file(b)
        if left.keys() != right.keys():
            return "other tensors"
        wrong = [n for n, t in left.items() if not _equal(t, right[n])]
        return f"{len(wrong)} tensors differ, such as {wrong[0]}" if wrong else None
    if a.suffix == ".jsonl":
        lines = [[_timeless(json.loads(x)) for x in p.read_text().splitlines()] for p in (a, b)]
        if len(lines[0]) != len(lines[1]):
            return f"{len(lines[1])} lines in place of {len(lines[0])}"
        wrong_lines = [i + 1 for i, (x, y) in enumerate(zip(*lines, strict=True)) if x != y]
        return f"line {wrong_lines[0]} differs" if wrong_lines else None
    if a.suffix == ".json":
        values = [json.loads(p.read_text()) for p in (a, b)]
        if a.name == "digests.json":
            values = [sorted(v) for v in values]
        return None if _timeless(values[0]) == _timeless(values[1]) else "it differs"
    return None if a.read_bytes() == b.read_bytes() else "it differs"


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    """To the last bit: a NaN is equal to itself, and 0 not to -0."""
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and a.contiguous()
        .view(-1)
        .view(torch.uint8)
        .equal(b.contiguous().view(-1).view(torch.uint8))
    )


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in TIMES}
    if isinstance(value, list):
        return [_timeless(v) for v in value]
    return value


def killed(
    recipe: str, kills: int, seed: int, place: Path, *, epochs: int, images: int, fork: bool
) -> Tally:
    """Runs of a recipe with so many kills in all; the last of them is let go on to its end."""
    spec = place / "small.nas"
    text = TEXT.replace("EPOCHS", str(epochs)).replace("HALF", str(max(1, epochs // 2)))
    spec.write_text(text.replace("IMAGES", str(images - 1)))
    life = undisturbed(spec, recipe, place / f"{recipe}-whole", fork)
    print(
        f"{recipe}: undisturbed {life.end:.1f} processor seconds, {life.start:.1f} until it searches; "
        f"{life.operations} file operations",
        flush=True,
    )
    draw = random.Random(f"{recipe}:{seed}")
    tally = Tally()
    while not tally.runs or sum(tally.kills.values()) < kills:
        folder = place / f"{recipe}-{tally.runs}"
        while sum(tally.kills.values()) < kills:
            if attempt(spec, recipe, folder, life, draw, tally, fork):
                break
        else:
            last = begun(spec, recipe, folder, -1, folder, fork)
            _, said = last.communicate()
            if last.returncode:
                tally.wrong.append(f"status {last.returncode}: {said.decode()[-2000:]}")
        tally.runs += 1
        if not tally.wrong:
            tally.wrong += differences(place / f"{recipe}-whole", folder)
        if tally.wrong:
            break
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipes", nargs="*", choices=[[], *RECIPES], help="all without any")
    parser.add_argument("--kills", type=int, default=50, help="kills of each recipe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10, help="of the search, and of retraining")
    parser.add_argument(
        "--images", type=int, default=512, help="in each part of the data, up to 2000"
    )
    parser.add_argument(
        "--fork",
        action="store_true",
        help="fork every run after the imports: "
        "several times faster; a kill then never falls into the imports",
    )
    parser.add_argument("--keep", type=Path, help="folder for the runs, which then stay")
    given = parser.parse_args()
    if given.fork:
        import nasdsl.training.run  # noqa: F401 - what every run would import
    failed = False
    for recipe in given.recipes or RECIPES:
        with tempfile.TemporaryDirectory() as temporary:
            place = given.keep or Path(temporary)
            place.mkdir(parents=True, exist_ok=True)
            tally = killed(
                recipe,
                given.kills,
                given.seed,
                place,
                epochs=given.epochs,
                images=given.images,
                fork=given.fork,
            )
        where = ", ".join(f"{n} {what}" for what, n in sorted(tally.kills.items()))
        print(
            f"{recipe}: {sum(tally.kills.values())} kills ({where}), {tally.torn} of them left "
            f"half-written files; {tally.runs} runs, "
            f"{'DIFFERENT' if tally.wrong else 'all the same bit for bit'}",
            flush=True,
        )
        for line in tally.wrong:
            print(f"    {line}")
        failed = failed or bool(tally.wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
