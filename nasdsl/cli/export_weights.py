"""Weights of an exported network: fresh, retrained, or a supernet's; its batch-norm statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nasdsl.cli.boundary import USAGE, Failure, say
from nasdsl.cli.export_order import Order, Subject, is_run


def weighted(order: Order, subject: Subject) -> tuple[Any, dict[str, Any]]:
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


def _retrained(subject: Subject) -> tuple[Any, dict[str, Any]]:
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


def _inherited(order: Order, subject: Subject) -> tuple[Any, dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from nasdsl.codegen.discrete import Discrete
    from nasdsl.codegen.part import Part
    from nasdsl.codegen.supernet import Supernet
    from nasdsl.codegen.transfer import inherit
    from nasdsl.ir.member import check
    from nasdsl.training import checkpoint
    from nasdsl.training.run import searched

    folder, plan = _parent(order)
    place = folder.path / "supernet.safetensors"
    if not place.is_file():
        raise Failure(f"{folder.path} has no supernet yet: its search has not ended")
    space = searched(plan, folder.read("result.json"))
    # Weights of edges are no decisions of an architecture.
    decided = replace(space, decisions=tuple(d for d in space.decisions if d.kind != "beta"))
    genotype = check(replace(subject.genotype, space=space.name), decided)
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

    if order.inherit is None or not is_run(order.inherit):
        raise Failure(f"--inherit {order.inherit}: it is no run folder", USAGE)
    folder = RunFolder(order.inherit)
    return folder, reopen(folder)


def measure_statistics(order: Order, subject: Subject, graph: Any) -> int:
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
