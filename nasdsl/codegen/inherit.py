"""Weights of a supernet in the networks it holds: slices of decided sizes, names of the new place.

`subnetwork` builds what a genotype picks, as the supernet itself is defined, with its weights;
`copy_weights` gives them to any network of that structure, as far as shapes agree.
"""

from __future__ import annotations

import torch

from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.emit import emit
from nasdsl.codegen.entangle import Entangled
from nasdsl.codegen.supernet import Supernet, depths_of
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.resolve import Origin, resolve
from nasdsl.ir.rewrite import unshared


def subnetwork(supernet: Supernet, genotype: Genotype, *, seed: int = 0) -> Discrete:
    """The stand-alone network of a genotype, with the supernet's weights and running statistics.

    Edges that the genotype leaves out hold zeros. Raises GenotypeError, NotExecutable.
    """
    network = resolve(supernet.space.supernet, genotype)
    parameter = next(supernet.parameters(), None)
    made = Discrete(network, seed=seed)
    if parameter is not None:
        made.to(device=parameter.device, dtype=parameter.dtype)
    copy_weights(supernet, made, genotype)
    made.train(supernet.training)
    return made


def copy_weights(supernet: Supernet, discrete: Discrete, genotype: Genotype) -> tuple[str, ...]:
    """Copy what the genotype uses of the supernet into a network; names that got nothing.

    The network is one of this genotype: the supernet's own, or the target with other widths,
    where only weights of equal shape are copied. Raises GenotypeError.
    """
    whole = unshared(supernet.space.supernet)
    origin = Origin()
    picked = resolve(whole, genotype, origin)
    with torch.random.fork_rng(devices=[]):
        # Only the names of both are of interest; their modules exist already.
        depths = depths_of(supernet.space)
        before = emit(whole, "dense", modules=supernet.graph, depths=depths).paths
        after = emit(picked, "discrete", modules=discrete.training_graph).paths
    target = {**dict(discrete.named_parameters()), **dict(discrete.named_buffers())}
    prefix = "training_graph."
    missing = dict.fromkeys(target)
    with torch.no_grad():
        for made, path in after.items():
            if made not in origin.found:
                continue
            was, number = origin.found[made]
            source = supernet.graph.get_submodule(before[id(was)])
            for name, tensor in _tensors(source, number):
                full = f"{prefix}{path}.{name}"
                if full in target and target[full].shape == tensor.shape:
                    target[full].copy_(tensor)
                    missing.pop(full, None)
    return tuple(name.removeprefix(prefix) for name in missing)


def _tensors(source: torch.nn.Module, number: int | None) -> list[tuple[str, torch.Tensor]]:
    """The weights and running statistics of a module, of one setting where it has several."""
    if isinstance(source, Entangled) and number is not None:
        return source.pieces(number)
    persistent = source.state_dict(keep_vars=True)
    return list(persistent.items())
