"""Writes `spaces/matrix.md`: every bundled recipe on every bundled space, found out by running it.

A cell searches a small form of the space for two steps on random images, selects an architecture,
and builds and runs the network that is retrained. It is `ok`, or refused with a message that names
the reason; anything else is a fault and is shown as one.

python tools/support_matrix.py                         write the file
python tools/support_matrix.py --check                 exit 1 where it is not up to date
python tools/support_matrix.py --recipes darts gdas    only these, printed and not written
python tools/support_matrix.py --log cells.jsonl       goes on where it was stopped
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import multiprocessing
import random
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import numpy as np  # noqa: E402
import torch  # noqa: E402

from nasdsl import driver  # noqa: E402
from nasdsl.codegen.discrete import Discrete  # noqa: E402
from nasdsl.codegen.emit import NotExecutable  # noqa: E402
from nasdsl.diagnostics.model import CompileError  # noqa: E402
from nasdsl.driver import Loaded  # noqa: E402
from nasdsl.ir.config import Component  # noqa: E402
from nasdsl.ir.discretize import DiscretizeError  # noqa: E402
from nasdsl.ir.expression import CostError  # noqa: E402
from nasdsl.ir.genotype import Genotype  # noqa: E402
from nasdsl.ir.sampling import NothingFound  # noqa: E402
from nasdsl.ir.shape import Shape  # noqa: E402
from nasdsl.ir.space import Space  # noqa: E402
from nasdsl.passes.edges import PassError  # noqa: E402
from nasdsl.source import Source  # noqa: E402
from nasdsl.training.data.batches import DataError, Images  # noqa: E402
from nasdsl.training.data.inputs import Inputs  # noqa: E402
from nasdsl.training.data.normalize import Channels  # noqa: E402
from nasdsl.training.data.splits import Splits  # noqa: E402
from nasdsl.training.plan import Item, Plan, PlanError, make_from_items  # noqa: E402
from nasdsl.training.run import check_fit, check_kind, stand_alone  # noqa: E402
from nasdsl.training.search import Search  # noqa: E402
from nasdsl.training.stand_alone import StandAlone  # noqa: E402

PAGE = ROOT / "spaces" / "matrix.md"
OK, FAULT = "ok", "FAULT"
STEPS, BATCH, CLASSES = 2, 2, 7
#: Errors that are messages to a user; a cell that raises another one is a fault.
REFUSALS = (
    CompileError, PlanError, NotExecutable, DiscretizeError, DataError, PassError, CostError,
    NothingFound,
)  # fmt: skip
#: What arrives, small; spaces that need more than 32 x 32 stand here.
IMAGES = Shape("image", (3, 32, 32))
INPUTS = {
    "darts_imagenet": Shape("image", (3, 128, 128)),
    "ofa_mobilenet_v3": Shape("image", (3, 64, 64)),
    "tnb101_jigsaw": Shape("pieces", (9, 3, 32, 32)),
    "tabular": Shape("features", (54,)),
    "conv1d": Shape("series", (9, 32)),
    "gpt_small": Shape("tokens", (16,)),
}
VOCABULARY = {"gpt_small": 65}
#: Architectures that a selection asks about, by the arguments that say so.
FEWER = {"samples": 2, "population": 3, "rounds": 1, "parents": 2, "crossover": 1, "mutation": 1}
#: Parameters that keep the shape of a network and shrink it; one layer stays one.
SMALLER = {"C": 8, "layers": 3, "n": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A cell: `ok`, or why it is refused (a code, a class of error), or a fault; and the message."""

    recipe: str
    space: str
    state: str
    message: str = ""


def spaces() -> list[tuple[str, str]]:
    """Name and file of every bundled space, those of suites left out: they are others, smaller."""
    return sorted(
        (name, file)
        for name, file in driver.index("space").items()
        if not file.startswith("suites/")
    )


def recipes() -> list[tuple[str, str]]:
    """Name and file of every bundled recipe, those of suites and single spaces left out."""
    return sorted(
        (name, file) for name, file in driver.index("recipe").items() if file.startswith("recipes/")
    )


def prepared(shape: Shape, classes: int) -> Inputs:
    """Random images: two batches for each half of a search."""
    draw = np.random.default_rng(0)
    n = 4 * BATCH * STEPS
    x = draw.integers(0, 256, (n, *shape.dims), dtype=np.uint8)
    y = (np.arange(n) % classes).astype(np.int64)
    half = Channels(mean=(0.5,) * shape.dims[0], std=(0.5,) * shape.dims[0])
    images = Images.put(x, y, half)
    part = BATCH * STEPS
    return Inputs(
        name="random",
        shape=shape,
        classes=classes,
        train=images,
        test=images,
        parts=Splits(
            search_train=np.arange(part),
            search_valid=np.arange(part, 2 * part),
            retrain_train=np.arange(2 * part, n),
        ),
    )


def planned(recipe: tuple[str, str], space: tuple[str, str]) -> Plan:
    """The plan of a cell: the recipe as it stands, two steps to an epoch, small."""
    name, file = space
    home = _loaded(file)
    parameters = _smaller(name, file)
    items = {
        "space": Item("space", name, home),
        "recipe": _recipe(*recipe),
        "dataset": Item("dataset", "matrix_data", _data(name)),
        "split": Item("split", "disjoint_halves", _of("split", "disjoint_halves")),
        "train": Item("train", "quick", _of("train", "quick")),
    }
    changes = {"batch": str(BATCH)}
    made = items["recipe"].loaded.program.settings("recipe", recipe[0])
    if made is None or not (made.phases or stand_alone(made)):
        changes["epochs"] = "1"
    return make_from_items(items, parameters=parameters, changes=changes, seed=0)


@cache
def _smaller(name: str, file: str) -> dict[str, str]:
    """Parameters that make a space small."""
    has = dict(driver.space(_loaded(file), name).parameters)
    return {k: str(v) for k, v in SMALLER.items() if has.get(k, "1") != "1"}


@cache
def _recipe(name: str, file: str) -> Item:
    """A bundled recipe, with as few architectures to look at as it takes."""
    loaded = _loaded(file)
    made = loaded.program.settings("recipe", name)
    if made is None:
        raise SystemExit(f"{file} has no recipe `{name}`")
    less = []
    select = made.get("select")
    for slot, count in FEWER.items():
        if isinstance(select, Component) and isinstance(select.get(slot), Fraction):
            less.append(f"  select.{slot} = {count}\n")
    if isinstance(select, Component) and select.name == "halving":
        less.append("  select.epochs = [1, 2]\n")
    if stand_alone(made):
        less.append("  step.epochs = 1\n")
    if not less:
        return Item("recipe", name, loaded)
    text = f'nas 1\n\nimport "{file}" as theirs\n\nrecipe {name} extends theirs.{name} {{\n'
    return Item("recipe", name, driver.load(Source.of(f"{name}.nas", text + "".join(less) + "}\n")))


def _of(kind: str, name: str) -> Loaded:
    file = driver.where_bundled(name, kind)
    if file is None:
        raise SystemExit(f"there is no bundled {kind} `{name}`")
    return _loaded(file)


@cache
def _loaded(name: str) -> Loaded:
    """A bundled file, read once for all cells."""
    return driver.load(name, check=False)


def _data(space: str) -> Loaded:
    shape = INPUTS.get(space, IMAGES)
    classes = VOCABULARY.get(space, CLASSES)
    text = (
        f'nas 1\n\ndataset matrix_data {{\n  source = npz("matrix.npz")\n'
        f"  shape = {shape_text(shape)}\n  classes = {classes}\n}}\n"
    )
    return driver.load(Source.of("matrix.nas", text))


def shape_text(shape: Shape) -> str:
    """A shape as the language writes it."""
    if shape.kind == "pieces":
        count, *dims = shape.dims
        return f"pieces({count}, image({', '.join(map(str, dims))}))"
    return f"{shape.kind}({', '.join(map(str, shape.dims))})"


def apart(recipe: tuple[str, str], spaces: Sequence[tuple[str, str]]) -> list[Outcome]:
    """Run cells of one recipe in a process of their own.

    One that takes its process down is a fault like others; those behind it run in another process.
    """
    context = multiprocessing.get_context("fork")
    found: list[Outcome] = []
    while len(found) < len(spaces):
        here, there = context.Pipe(duplex=False)

        def child(first: int = len(found), there: Connection = there) -> None:
            for space in spaces[first:]:
                there.send(cell(recipe, space))

        process = context.Process(target=child)
        process.start()
        there.close()
        try:
            while len(found) < len(spaces):
                found.append(here.recv())
            process.join()
        except EOFError:
            process.join()
            message = f"the process ended with {process.exitcode}"
            space = spaces[len(found)][0]
            found.append(Outcome(recipe=recipe[0], space=space, state=FAULT, message=message))
    return found


def cell(recipe: tuple[str, str], space: tuple[str, str]) -> Outcome:
    """Run a cell. Never raises: what goes wrong unexpectedly is a fault with its place."""
    names = {"recipe": recipe[0], "space": space[0]}
    torch.manual_seed(0)
    random.seed(0)
    try:
        _run(recipe, space)
    except REFUSALS as error:
        state, message = reason(error)
        return Outcome(**names, state=state, message=message)
    except Exception as error:  # noqa: BLE001  the point of the table is to find these
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        message = f"{type(error).__name__} at {where}: {str(error).splitlines()[:1]}"
        return Outcome(**names, state=FAULT, message=message)
    return Outcome(**names, state=OK)


def _run(recipe: tuple[str, str], space: tuple[str, str]) -> None:
    plan = planned(recipe, space)
    made = plan.space()
    network = made.supernet
    check_kind(made)
    inputs = prepared(network.inp, network.out.channels)
    check_fit(plan, inputs)
    genotype = _searched(plan, made, inputs)
    target = plan.space(genotype).target
    model = Discrete(target, seed=0)
    model.eval()
    x = torch.rand(BATCH, *network.inp.dims)
    with torch.no_grad():
        y = model(x)
    if not bool(torch.isfinite(y).all()):
        raise ValueError("the rebuilt network gives no finite numbers")


def _searched(plan: Plan, space: Space, inputs: Inputs) -> Genotype:
    """The architecture that two steps of a search give."""
    if stand_alone(plan.recipe):
        alone = StandAlone(
            space, plan.recipe, plan.train, inputs, seed=0, device="cpu", limits=plan.limits()
        )
        epoch = 0
        while not alone.finished:
            for number in range(min(STEPS, alone.begin(epoch))):
                alone.step(epoch, number)
            alone.epoch_record(epoch)
            epoch += 1
        return alone.genotype()
    task = Search(
        space,
        plan.recipe,
        inputs,
        seed=0,
        device="cpu",
        space_of=lambda changed: plan.space(network=changed),
        limits=plan.limits(),
    )
    for number in range(min(STEPS, task.begin(0))):
        task.step(0, number)
    task.epoch_record(0)
    return task.genotype()


def reason(error: BaseException) -> tuple[str, str]:
    """A short word for a refusal, and its message."""
    if isinstance(error, CompileError):
        first = error.diagnostics[0]
        return first.code, first.message
    text = str(error)
    if isinstance(error, PlanError) and "does not run it" in text:
        return "slot", text.split(": ", 1)[-1]
    words = {
        NotExecutable: "relax", DiscretizeError: "pick", PlanError: "plan", DataError: "data",
        PassError: "edit", CostError: "cost", NothingFound: "require",
    }  # fmt: skip
    return next(w for kind, w in words.items() if isinstance(error, kind)), text


def outcomes(
    chosen_recipes: Sequence[tuple[str, str]],
    chosen_spaces: Sequence[tuple[str, str]],
    jobs: int = 1,
    known: Mapping[tuple[str, str], Outcome] | None = None,
) -> Iterator[Outcome]:
    """Every cell of the table, row by row, `jobs` rows at a time; known ones are not run."""
    done = known or {}
    # What a cell's process has already when it begins.
    for recipe in chosen_recipes:
        _recipe(*recipe)
    for space in chosen_spaces:
        _smaller(*space)
    importlib.import_module("torch._dynamo")  # every optimizer asks for it, for seconds
    with ThreadPoolExecutor(jobs) as pool:

        def row(recipe: tuple[str, str]) -> list[Outcome]:
            missing = [s for s in chosen_spaces if (recipe[0], s[0]) not in done]
            ran = {o.space: o for o in apart(recipe, missing)}
            return [ran.get(s[0]) or done[recipe[0], s[0]] for s in chosen_spaces]

        for found in pool.map(row, chosen_recipes):
            yield from found


def page(found: Sequence[Outcome]) -> str:
    """The table as Markdown: a row per space, a column per recipe, reasons below."""
    rows = list(dict.fromkeys(o.space for o in found))
    columns = list(dict.fromkeys(o.recipe for o in found))
    state = {(o.recipe, o.space): o for o in found}
    notes: dict[str, str] = {}
    for o in found:
        if o.state != OK:
            notes.setdefault(f"{o.state}: {o.message}", f"{o.state}.{len(notes) + 1}")
    ran = sum(o.state == OK for o in found)
    faults = sum(o.state == FAULT for o in found)
    lines = [
        "# Recipes on spaces",
        "",
        "Made by `tools/support_matrix.py`, which runs every cell: two steps of the search on a small",
        "form of the space, selection, and the network that is retrained. `ok` ran; another word is the",
        "number of the reason below, the message that a run is refused with.",
        "",
        f"{len(columns)} recipes on {len(rows)} spaces: {ran} cells run, "
        f"{len(found) - ran - faults} are refused, {faults} fail.",
        "",
        "| Recipe | " + " | ".join(str(i + 1) for i in range(len(rows))) + " |",
        "| --- |" + " --- |" * len(rows),
    ]
    for column in columns:
        cells = [_word(state[column, row], notes) for row in rows]
        lines.append(f"| `{column}` | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Spaces: " + ", ".join(f"{i + 1} `{row}`" for i, row in enumerate(rows)) + ".",
        "",
    ]
    if notes:
        lines += ["| Word | Reason |", "| --- | --- |"]
        lines += [
            f"| {word} | {_escaped(text.split(': ', 1)[1])} |" for text, word in notes.items()
        ]
    return "\n".join(lines).rstrip() + "\n"


def _word(outcome: Outcome, notes: dict[str, str]) -> str:
    if outcome.state == OK:
        return OK
    return notes[f"{outcome.state}: {outcome.message}"]


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run every bundled recipe on every bundled space.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where stale")
    parser.add_argument("--recipes", nargs="*", help="only these; printed, not written")
    parser.add_argument("--spaces", nargs="*", help="only these; printed, not written")
    parser.add_argument("--jobs", type=int, default=1, help="rows at a time")
    parser.add_argument("--log", type=Path, help="cells as JSON lines; those in it are not run")
    options = parser.parse_args(arguments)
    known = {}
    if options.log is not None and options.log.exists():
        for line in options.log.read_text(encoding="utf-8").splitlines():
            one = Outcome(**json.loads(line))
            known[one.recipe, one.space] = one
    part = options.recipes is not None or options.spaces is not None
    mine = [r for r in recipes() if options.recipes is None or r[0] in options.recipes]
    theirs = [s for s in spaces() if options.spaces is None or s[0] in options.spaces]
    found = []
    for outcome in outcomes(mine, theirs, options.jobs, known):
        found.append(outcome)
        if options.log is not None and (outcome.recipe, outcome.space) not in known:
            with options.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
        with contextlib.suppress(BrokenPipeError):
            print(
                f"{outcome.recipe:20} {outcome.space:22} {outcome.state:6} {outcome.message[:150]}",
                file=sys.stderr,
                flush=True,
            )
    text = page(found)
    faults = [o for o in found if o.state == FAULT]
    if part:
        print(text, end="")
    elif options.check:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            print(f"{PAGE.name} is not up to date; run tools/support_matrix.py")
            return 1
    else:
        PAGE.write_text(text, encoding="utf-8")
        print(f"wrote {PAGE.name}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
