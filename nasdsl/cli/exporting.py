"""`export` of networks: a model.py, an ONNX file, a `torch.export` program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from nasdsl.cli import given, plugged
from nasdsl.cli.boundary import MISSING, USAGE, Failure, say
from nasdsl.cli.export_order import Order, Subject, is_run
from nasdsl.cli.export_weights import measure_statistics, weighted
from nasdsl.version import VERSION

#: Values of `--as` that write a network, not the text of a genotype.
FORMS = ("model", "onnx", "torch")


def export_network(order: Order) -> None:
    """Build the network that is asked for, write it, and check what was written."""
    out = _free(order)
    if order.form == "onnx":
        _need_onnx()
    subject = _subject(order)
    net, weights = weighted(order, subject)
    graph, shape = net.plain, subject.space.supernet.inp
    if order.reestimate:
        count = measure_statistics(order, subject, graph)
        weights["reestimated"] = count
    net.eval()
    if order.fold:
        net = _folded(net, weights)
        graph = net.plain
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


def _folded(net: Any, weights: dict[str, Any]) -> Any:
    """The network with its batch-norms in its convolutions, and how far that is from it."""
    import torch

    from nasdsl.codegen.fold import fold
    from nasdsl.codegen.program import BATCH, samples

    made = fold(net)
    weights["folded"] = len(made.folded)
    x = samples(net.inp, BATCH)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        wanted = net(x)
        torch.manual_seed(0)
        apart = float((made(x) - wanted).abs().max() / wanted.abs().max().clamp_min(1e-30))
    say(
        f"folded: {len(made.folded)} batch-norms are in their convolutions, "
        f"{apart:.1g} from the network on random inputs"
    )
    for one in made.refused:
        say(f"note: the batch-norm `{one.place}` stays: {one.reason}")
    return made


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


def _subject(order: Order) -> Subject:
    from nasdsl import driver
    from nasdsl.ir.formats import forms
    from nasdsl.ir.genotype import loads
    from nasdsl.training.archive import reopen
    from nasdsl.training.record import RunFolder

    run = None
    if is_run(order.source):
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
        return Subject(
            space=made, resolved=plan.space(genotype), genotype=genotype, run=folder, plan=plan,
            own=own, file=plan.items["space"].loaded.source.name,
        )  # fmt: skip
    if order.genotype is not None:
        # As `compile`: SOURCE is the space.
        loaded, name, text = plugged.load(order.source), order.space, order.genotype
    elif (space := order.space or given.space_of(order.source)) is not None:
        loaded, text = plugged.load(space), order.source
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
    return Subject(space=made, resolved=resolved, genotype=genotype, file=loaded.source.name)


# ---- writing


def _write(order: Order, subject: Subject, net: Any, out: Path, weights: dict[str, Any]) -> None:
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
