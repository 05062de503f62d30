"""`compile`, `export`, `doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from nasdsl.cli import exporting, given, plugged
from nasdsl.cli.boundary import MISSING, OK, Failure, guarded, is_file, say
from nasdsl.cli.export_order import Order
from nasdsl.cli.running import PROFILES, pairs
from nasdsl.version import VERSION

#: Forms that `export` offers; those of `nasdsl.ir.formats.forms`, which is not loaded for `--help`.
FORMS = (
    "auto", "darts", "nasbench201", "nasbench201_integers", "nasbench101", "nasbench1shot1",
    "nasbench301", "transnasbench101", "nats_size", "digits", "naslib", "nas",
)  # fmt: skip


@click.command("compile")
@click.argument("target")
@click.option("--space", help="Space of the file [default: the one named like it, else the first].")
@click.option("-P", "parameters", multiple=True, callback=pairs, metavar="NAME=VALUE",
              help="Parameter of the space.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path),
              help="Write a package that needs torch alone.")  # fmt: skip
@click.option(
    "--genotype",
    "text",
    help="Compile this architecture instead of the supernet: text, file, or published name.",
)
@click.option("--mode", type=click.Choice(["dense", "one_path"]), default="dense", show_default=True,
              help="All options weighed, or only the picked one run.")  # fmt: skip
@click.option("--emit", "what", type=click.Choice(["summary", "ir", "code", "graph"]),
              default="summary", show_default=True, help="What is printed.")  # fmt: skip
@click.option("--profile", type=click.Choice(PROFILES), default=PROFILES[0], show_default=True,
              help="How the supernet runs, never what it computes; +bf16 stores what cells keep in "
              "half the bits, which --explain states the gradient error of.")  # fmt: skip
@click.option("--compile", "profile", flag_value="compiled",
              help="The same as --profile compiled: torch.compile for each distinct cell.")  # fmt: skip
@click.option("--explain", is_flag=True,
              help="Say what every pass of the profile gains, and what it refuses.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True, help="How --explain is shown.")  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the weights."
)
@click.option("--force", is_flag=True, help="Overwrite what lies in --out.")
@plugged.option
@guarded
def compile_(
    target: str,
    space: str | None,
    parameters: dict[str, str],
    out: Path | None,
    text: str | None,
    mode: str,
    what: str,
    profile: str,
    explain: bool,
    form: str,
    seed: int,
    force: bool,
) -> None:
    """Compile TARGET (a .nas file or a bundled name) to a supernet, or to one architecture."""
    from nasdsl import driver
    from nasdsl.ir.formats import forms

    loaded = plugged.load(target)
    made = driver.space(loaded, space, parameters)
    genotype = None
    if text is not None:
        genotype = forms.parse(given.text_of(text), made)
        made = driver.space(loaded, space, parameters, genotype=genotype)
    if what == "ir":
        from nasdsl.ir.printer import print_space

        click.echo(print_space(made), nl=False)
        return
    if out is not None and out.exists() and any(out.iterdir()) and not force:
        raise Failure(f"{out} is not empty; --force overwrites", 2)
    from nasdsl.codegen import package
    from nasdsl.codegen.discrete import Discrete
    from nasdsl.codegen.supernet import Supernet

    net: Any
    if genotype is not None:
        net = Discrete(made.target, seed=seed)
    else:
        net = Supernet(made, mode=mode, seed=seed, profile=profile)
    if explain:
        _explain(net, genotype, profile, form)
    elif what == "code":
        click.echo(net.code, nl=False)
    elif what == "graph":
        graph = net.plain.graph if genotype is not None else net.graph.graph
        click.echo(str(graph))
    else:
        count = sum(p.numel() for p in net.parameters())
        kind = "network" if genotype is not None else f"supernet, {mode}"
        click.echo(f"{made.name}: {kind}, {count:,} parameters")
    if out is None:
        return
    if genotype is not None:
        found = forms.native(genotype, made) or genotype.dumps()
        package.write_network(
            net,
            out,
            name=made.name,
            genotype=found.strip(),
            source=loaded.source.name,
            version=VERSION,
        )
    elif mode == "dense":
        package.write_supernet(net, out, source=loaded.source.name, version=VERSION)
    else:
        raise Failure("a package holds the dense supernet; leave --mode out", 2)
    say(f"wrote {out}: import it with torch alone, `load()` gives the module")


def _explain(net: Any, genotype: Any, profile: str, form: str) -> None:
    from nasdsl.codegen.explain import explain, rounding
    from nasdsl.report.passes import passes_report, passes_text

    if genotype is not None:
        raise Failure("--explain is about supernets; leave --genotype out", 2)
    found, rounded = explain(net), rounding(net)
    if form == "json":
        click.echo(json.dumps(passes_report(profile, found, rounded), indent=1))
    else:
        click.echo(passes_text(profile, found, rounded), nl=False)


@click.command()
@click.argument("source")
@click.option("--as", "form", type=click.Choice([*FORMS, *exporting.FORMS]), default="auto",
              show_default=True,
              help="auto: the space's own, else nas, the neutral JSON; "
                   "model, onnx and torch write the network.")  # fmt: skip
@click.option("--space", help="Space the genotype belongs to, when SOURCE is no run.")
@click.option("-P", "parameters", multiple=True, callback=pairs, metavar="NAME=VALUE",
              help="Parameter of the space.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path),
              help="File [default: stdout]; a folder for a model.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite what lies in --out.")
@click.option("--genotype", "text",
              help="Of a network: its architecture, text or a file; SOURCE is then a space or run.")  # fmt: skip
@click.option("--target", multiple=True, callback=pairs, metavar="NAME=VALUE",
              help="Of a network: parameter that differs from the supernet's "
              "[default: as the space's `target` says].")  # fmt: skip
@click.option("--inherit", type=click.Path(exists=True, file_okay=False, path_type=Path),
              metavar="RUN", help="Of a network: weights of the supernet of this run.")  # fmt: skip
@click.option("--size", type=click.Choice(["target", "supernet"]), default="target",
              show_default=True, help="Of a network: as it is retrained, or the part of the "
              "supernet, with its size and batch-norms.")  # fmt: skip
@click.option("--reestimate", type=click.IntRange(0), default=0, metavar="N",
              help="Of a network: measure its batch-norm statistics on N batches of training "
              "images of the run [default: those saved with the weights].")  # fmt: skip
@click.option("--fold", is_flag=True,
              help="Of a network: put its batch-norms into the convolutions in front of them, "
              "for inference.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, help="Of a network: of fresh weights.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where data sets lie.")
@plugged.option
@guarded
def export(
    source: str,
    form: str,
    space: str | None,
    parameters: dict[str, str],
    out: Path | None,
    force: bool,
    text: str | None,
    target: dict[str, str],
    inherit: Path | None,
    size: str,
    reestimate: int,
    fold: bool,
    seed: int,
    data_dir: Path | None,
) -> None:
    """Write the genotype of SOURCE in a form, or its network.

    SOURCE is a run folder, an architecture as text, a file with one, `-`, or a published name.

    \b
    --as model   a folder with model.py and its weights, which needs torch alone
    --as onnx    an ONNX file, compared with the network in onnxruntime
    --as torch   a program of torch.export (.pt2)

    The network of a run has its retrained weights, any other fresh ones of --seed, or with
    --inherit those of a supernet.
    """
    order = Order(
        source=source, form=form, out=out, space=space, parameters=parameters, target=target,
        genotype=text, inherit=inherit, size=size, reestimate=reestimate, seed=seed,
        data_dir=data_dir, force=force, fold=fold, read=given.text_of,
    )  # fmt: skip
    if form in exporting.FORMS:
        exporting.export_network(order)
        return
    if order.changed():
        raise Failure(f"{order.changed()[0]} speaks of a network: --as model, onnx or torch", 2)
    from nasdsl import disk, driver
    from nasdsl.ir.formats import forms
    from nasdsl.ir.genotype import loads

    if is_file(Path(source) / "run.json"):
        from nasdsl.training.archive import reopen
        from nasdsl.training.record import RunFolder

        folder = RunFolder(Path(source))
        if not folder.has("genotype.json"):
            raise Failure(f"{source} has no genotype yet; go on with: nasdsl run {source} --resume")
        made = reopen(folder).space()
        genotype = loads(json.dumps(folder.read("genotype.json")))
    else:
        space = space or given.space_of(source)
        if space is None:
            raise Failure("--space says which space the genotype belongs to", 2)
        loaded = plugged.load(space)
        made = driver.space(
            loaded, space if loaded.program.find("space", space) else None, parameters
        )
        genotype = forms.parse(given.text_of(source), made)
    if genotype.digest is None:
        from dataclasses import replace

        from nasdsl.ir.printer import digest

        genotype = replace(genotype, digest=digest(made))
    if form == "auto":
        native = forms.native(genotype, made)
        written = native + "\n" if native is not None else genotype.dumps()
    else:
        written = forms.dumps(genotype, made, form)
    if out is None or str(out) == "-":
        click.echo(written, nl=False)
        return
    if out.exists() and not force:
        raise Failure(f"{out} exists; --force overwrites", 2)
    disk.write_text(out, written)
    say(f"wrote {out}")


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True)  # fmt: skip
@guarded
def doctor(form: str) -> None:
    """Say what is installed, which devices there are, and whether the package is whole."""
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from nasdsl import resources

    found: dict[str, Any] = {"nasdsl": VERSION, "python": platform.python_version()}
    needed = ("torch", "numpy", "networkx", "lark", "click", "rich", "safetensors")
    optional = ("scikit-learn", "pillow", "torchvision", "onnx", "onnxscript", "onnxruntime",
                "triton", "pyarrow", "psycopg", "submitit", "ray")  # fmt: skip
    missing = []
    for name in (*needed, *optional):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed" + ("" if name in needed else " (optional)")
            if name in needed:
                missing.append(name)
    found["cores"] = os.cpu_count() or 1
    if "torch" not in missing:
        import torch

        from nasdsl.training.environment import devices, environment

        found["cuda"] = "; ".join(devices()) or "none"
        found["threads"] = torch.get_num_threads()
        around = environment("cpu")
        found |= {name: around[name] for name in ("cpu", "compiler", "kernels")}
    found["bundled files"] = len(resources.listing("spaces", ".nas"))
    whole = resources.read("grammars", "nas.lark") is not None and found["bundled files"] > 0
    found["grammar"] = "found" if whole else "missing"
    if form == "json":
        click.echo(json.dumps({"schema": 1, **found}, indent=1))
    else:
        for name, value in found.items():
            click.echo(f"{name:14} {value}")
    if missing or not whole:
        say(f"missing: {', '.join(missing) or 'bundled files'}")
        raise SystemExit(MISSING)
    raise SystemExit(OK)
