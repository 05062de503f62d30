"""`export` of networks: a model.py, an ONNX file, a `torch.export` program."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from nasdsl.cli import given
from nasdsl.cli.boundary import MISSING, USAGE, Failure, say
from nasdsl.version import VERSION

#: Values of `--as` that write a network, not the text of a genotype.
FORMS = ("model", "onnx", "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be exported, as the command line says it.

    `read` gives the text of a genotype that is given as text, as a file, or as `-`.
    """

    source: str
    form: str
    out: Path | None
    space: str | None
    parameters: dict[str, str]
    target: dict[str, str]
    genotype: str | None
    inherit: Path | None
    size: str
    reestimate: int
    seed: int
    data_dir: Path | None
    force: bool
    read: Callable[[str], str]

    def changed(self) -> list[str]:
        """Options given that speak of networks alone."""
        given = {
            "--target": self.target, "--genotype": self.genotype, "--inherit": self.inherit,
            "--size": self.size != "target", "--reestimate": self.reestimate, "--seed": self.seed,
            "--data-dir": self.data_dir,
        }  # fmt: skip
        return [name for name, value in given.items() if value]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """The space, the genotype in it, the run and file they come from."""

    space: Any
    resolved: Any
    genotype: Any
    file: str
    run: Any = None
    plan: Any = None
    #: Whether the genotype is the one the run found.
    own: bool = False


def export_network(order: Order) -> None:
    """Build the network that is asked for, write it, and check what was written."""
    out = _free(order)
    if order.form == "onnx":
        _need_onnx()
    subject = _subject(order)
    net, weights = _weighted(order, subject)
    graph, shape = net.plain, subject.space.supernet.inp
    if order.reestimate:
        count = _reestimate(order, subject, graph)
        weights["reestimated"] = count
    net.eval()
    _write(order, subject, net, out, weights)
    params = sum(p.numel() for p in graph.parameters())
    click.echo(f"{subject.space.name}: network, {params:,} parameters, {weights['text']}")
    inputs = "x".join(str(n) for n in shape.dims)
    how = {
        "model": "import it with torch alone, `load()` gives the network",
        "onnx": f"x (batch, {inputs}) to y, agrees with the network in onnxruntime",
        "torch": "`torch.export.load(…).module()` gives the network",
    }
    say(f"wrote {out}: {how[order.form]}")


# ---- what


def _free(order: Order) -> Path:
    if order.out is None:
        raise Failure(f"--as {order.form} needs -o, where it is written to", USAGE)
    if order.form == "model":
        taken = order.out.is_file() or (order.out.is_dir() and any(order.out.iterdir()))
    else:
        if order.out.is_dir():
            raise Failure(f"{order.out} is a folder; --as {order.form} writes a file", USAGE)
        taken = order.out.exists()
    if taken and not order.force:
        raise Failure(f"{order.out} exists; --force overwrites", USAGE)
    if order.form == "model" and order.out.is_file():
        raise Failure(f"{order.out} is a file; --as model writes a folder", USAGE)
    return order.out


def _need_onnx() -> None:
    from nasdsl.codegen.onnx_file import MissingExtra, require

    try:
        require()
    except MissingExtra as error:
        raise Failure(str(error), MISSING) from None


def _is_run(place: str | Path) -> bool:
    return (Path(place) / "run.json").is_file()


def _subject(order: Order) -> _Subject:
    from nasdsl import driver
    from nasdsl.ir.formats import forms
    from nasdsl.ir.genotype import loads
    from nasdsl.training.archive import reopen
    from nasdsl.training.record import RunFolder

    run = None
    if _is_run(order.source):
        run = order.source
    elif order.space is None and order.genotype is None and order.inherit is not None:
        run = str(order.inherit)
    if run is not None:
        if order.space or order.parameters or order.target:
            raise Failure("a run has its space: leave --space, -P and --target out", USAGE)
        folder = RunFolder(Path(run))
        plan = reopen(folder)
        made = plan.space()
        own = False
        if order.genotype is not None:
            genotype = forms.parse(order.read(order.genotype), made)
        elif run != order.source:
            genotype = forms.parse(order.read(order.source), made)
        elif folder.has("genotype.json"):
            genotype, own = loads(json.dumps(folder.read("genotype.json"))), True
        else:
            raise Failure(f"{run} has no genotype yet; go on with: nasdsl run {run} --resume")
        return _Subject(
            space=made, resolved=plan.space(genotype), genotype=genotype, run=folder, plan=plan,
            own=own, file=plan.items["space"].loaded.source.name,
        )  # fmt: skip
    if order.genotype is not None:
        # As `compile`: SOURCE is the space.
        loaded, name, text = driver.load(order.source), order.space, order.genotype
    elif (space := order.space or given.space_of(order.source)) is not None:
        loaded, text = driver.load(space), order.source
        name = space if loaded.program.find("space", space) else None
    else:
        raise Failure(
            "which network: a run folder; a space, with --genotype; or a genotype, with --space",
            USAGE,
        )
    target = {k: driver.value(v) for k, v in order.target.items()}
    made = driver.space(loaded, name, order.parameters, target=target)
    genotype = forms.parse(order.read(text), made)
    resolved = driver.space(loaded, name, order.parameters, target=target, genotype=genotype)
    return _Subject(space=made, resolved=resolved, genotype=genotype, file=loaded.source.name)


# ---- weights


def _weighted(order: Order, subject: _Subject) -> tuple[Any, dict[str, Any]]:
    """The network with its weights, and what is to be said of them."""
    from nasdsl.codegen.discrete import Discrete
    from nasdsl.codegen.part import Part
    from nasdsl.codegen.supernet import Supernet

    if order.inherit is not None:
        return _inherited(order, subject)
    if order.size == "supernet":
        net: Any = Part(Supernet(subject.space, seed=order.seed), subject.genotype)
    elif subject.own:
        return _retrained(subject)
    else:
        net = Discrete(subject.resolved.target, seed=order.seed)
    return net, {"from": "seed", "seed": order.seed, "text": f"fresh weights of seed {order.seed}"}


def _retrained(subject: _Subject) -> tuple[Any, dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from nasdsl.codegen.discrete import Discrete
    from nasdsl.training import checkpoint

    place = subject.run.path / "retrain" / "network.safetensors"
    if not place.is_file():
        raise Failure(
            f"{subject.run.path} has no retrained network; `--inherit {subject.run.path}` takes "
            f"the supernet's weights, `nasdsl run {subject.run.path} --resume` retrains it"
        )
    try:
        tensors = load_file(place)
    except (SafetensorError, OSError) as error:
        raise Failure(f"{place} is damaged: {error}") from None
    target = subject.resolved.target
    aux = any(name.startswith("training_graph.aux.") for name in tensors)
    net = Discrete(target, aux=aux)
    checkpoint.load_module(net, tensors, "the retrained network")
    return net, {"from": "retrained", "run": str(subject.run.path), "text": "retrained weights"}


def _inherited(order: Order, subject: _Subject) -> tuple[Any, dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from nasdsl.codegen.discrete import Discrete
    from nasdsl.codegen.inherit import inherit
    from nasdsl.codegen.part import Part
    from nasdsl.codegen.supernet import Supernet
    from nasdsl.ir.member import check
    from nasdsl.training import checkpoint

    folder, plan = _parent(order)
    place = folder.path / "supernet.safetensors"
    if not place.is_file():
        raise Failure(f"{folder.path} has no supernet yet: its search has not ended")
    space = plan.space()
    genotype = check(replace(subject.genotype, space=space.name), space)
    supernet = Supernet(space)
    try:
        tensors = load_file(place)
    except (SafetensorError, OSError) as error:
        raise Failure(f"{place} is damaged: {error}") from None
    checkpoint.load_module(supernet, tensors, "the supernet")
    part = Part(supernet, genotype)
    weights = {"from": "supernet", "run": str(folder.path), "text": "weights of the supernet"}
    if order.size == "supernet":
        return part, weights
    net = Discrete(subject.resolved.target, seed=order.seed)
    found = inherit(net.plain, part.plain)
    if not found.taken:
        path, reason = found.fresh[0]
        raise Failure(
            f"the network takes no weight of the supernet of {folder.path}: at `{path}`, {reason}. "
            "`--size supernet` builds it at the supernet's own size"
        )
    if found.fresh:
        path, reason = found.fresh[0]
        say(
            f"note: {len(found.fresh)} of {len(found.fresh) + len(found.taken)} operations are not "
            f"inherited but fresh, of seed {order.seed}: the first is `{path}`, {reason}; "
            "`--size supernet` builds the network at the supernet's own size"
        )
    if found.left:
        say(
            f"note: {len(found.left)} operations of the supernet are not in the network, the first "
            f"is `{found.left[0]}`, so it does not compute the same; `--size supernet` keeps them"
        )
    return net, {
        **weights,
        "inherited": len(found.taken),
        "fresh": [list(f) for f in found.fresh],
        "left": list(found.left),
    }


def _parent(order: Order) -> tuple[Any, Any]:
    from nasdsl.training.archive import reopen
    from nasdsl.training.record import RunFolder

    if order.inherit is None or not _is_run(order.inherit):
        raise Failure(f"--inherit {order.inherit}: it is no run folder", USAGE)
    folder = RunFolder(order.inherit)
    return folder, reopen(folder)


def _reestimate(order: Order, subject: _Subject, graph: Any) -> int:
    """Batch-norm statistics from training images of the run the weights come from."""
    from nasdsl.training.data import inputs
    from nasdsl.training.data.batches import Stream
    from nasdsl.training.record import RunError
    from nasdsl.training.reestimate import reestimate

    if order.inherit is not None:
        (folder, plan), name = _parent(order), "search.train"
    elif subject.run is not None:
        folder, plan, name = subject.run, subject.plan, "retrain.train"
    else:
        raise Failure("--reestimate needs the images of a run: a run folder, or --inherit", USAGE)
    found = inputs.prepare(plan.dataset, plan.split, data_dir=order.data_dir, device="cpu")
    if folder.read("run.json").get("fingerprints") != found.parts.fingerprints():
        raise RunError(f"{folder.path}: the data or the split has changed since it began")
    settings = plan.recipe if name == "search.train" else plan.train
    part = found.parts.search_train if name == "search.train" else found.parts.retrain_train
    # Not augmented: the statistics are those of the images the network will see.
    stream = Stream(
        found.train, part, batch_size=int(settings.get("batch")), seed=plan.seed, name="reestimate"
    )
    count = reestimate(graph, (stream.next_batch()[0] for _ in range(order.reestimate)))
    say(f"batch-norm statistics: measured on {count} batches of {name} of {folder.path}")
    return count


# ---- writing


def _write(order: Order, subject: _Subject, net: Any, out: Path, weights: dict[str, Any]) -> None:
    from nasdsl.ir.formats import forms

    graph, shape = net.plain, subject.space.supernet.inp
    out.parent.mkdir(parents=True, exist_ok=True)
    if order.form == "model":
        from nasdsl.codegen import package

        package.write_network(
            net,
            out,
            name=subject.space.name,
            genotype=forms.brief(subject.genotype, subject.space),
            source=subject.file,
            version=VERSION,
            weights={k: v for k, v in weights.items() if k != "text"},
        )
        return
    # Beside the file, and renamed once it is known to be right.
    beside = out.with_name(out.name + ".new")
    try:
        if order.form == "onnx":
            from nasdsl.codegen import onnx_file

            onnx_file.write_onnx(graph, shape, beside)
            if onnx_file.is_random(graph):
                say("note: the network draws noise, so its file is not compared with it")
            else:
                onnx_file.compare(graph, shape, beside)
        else:
            from nasdsl.codegen import program

            program.write_program(graph, shape, beside)
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
