"""The part of a supernet that a genotype names, as a network of its own."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, fx, nn

from nasdsl.codegen.emit import NotExecutable, emit
from nasdsl.codegen.supernet import Supernet, annotated
from nasdsl.ir.genotype import Genotype


class Part(nn.Module):
    """`part(x)` is `supernet(x, mix)` with the one-hot mix of a genotype, in evaluation mode.

    It has the supernet's shapes and normalisation (batch-norms without affine parameters, those
    behind pooling), copies of its weights, and the names its modules have there. Where an edge
    that the genotype drops holds more than its choice (`one_of … + skip`), or a node takes a mean
    or a product of the edges that stay, a mix of zeros and ones says something else; there the part
    is what the genotype says. Nodes that it does not use stay, as zeros. Raises NotExecutable for a genotype whose cells join other
    nodes than the supernet's.
    """

    plain: fx.GraphModule

    def __init__(self, supernet: Supernet, genotype: Genotype) -> None:
        super().__init__()
        if genotype.outputs:
            raise NotExecutable(
                f"cell `{genotype.outputs[0][0]}` of this genotype joins other nodes than the "
                "supernet's, which has no weights for that"
            )
        picks: dict[str, tuple[str, ...]] = {}
        for decision, label in genotype.picks:
            picks[decision] = (*picks.get(decision, ()), label)
        with torch.random.fork_rng(devices=[]):
            emitted = emit(
                supernet.space.supernet, "discrete", modules=supernet.in_mode("dense").graph,
                picks=picks,
            )  # fmt: skip
        self.inp = supernet.space.supernet.inp
        # Copies: measuring statistics for a part must not move those of the supernet.
        self.plain = copy.deepcopy(emitted.module)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.plain(x)
        return result

    @property
    def code(self) -> str:
        return annotated(self.plain)
