"""A discrete network: what is retrained, evaluated and exported."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn

from nasdsl.codegen.emit import NotExecutable, emit
from nasdsl.fusion.enclosed import Enclosed, enclosable, enclosed
from nasdsl.fusion.plan import Plan, once
from nasdsl.fusion.profile import Profile
from nasdsl.fusion.profile import profile as profile_of
from nasdsl.ir.cost import choices
from nasdsl.ir.op import Varied
from nasdsl.ir.rewrite import held
from nasdsl.ir.space import Network


class Discrete(nn.Module):
    """A network without decisions: `net(x)` gives logits `(n, classes)`.

    For training `net.train_step(x, keep)` gives logits and auxiliary logits (or None): `keep`
    maps each name in `droppable` to a drop-path mask `(n, 1, 1, 1)`, see `drop_path_masks`.
    The auxiliary head exists only with `aux=True`. Weights are drawn from `seed` alone.

    `profile` says how it runs (see `nasdsl.fusion.profile`), never what it computes: the graphs of
    every profile are over the same modules, with the same names and weights.
    """

    plain: fx.GraphModule
    steps: fx.GraphModule

    def __init__(
        self,
        network: Network,
        *,
        aux: bool = False,
        seed: int = 0,
        profile: str | Profile = "reference",
    ) -> None:
        super().__init__()
        open_ = [c.decision for _, c in choices(network)]
        open_ += [op.decisions[0] for op in held(network) if isinstance(op, Varied)]
        open_ += [s.rounds[0][0] for s in network.stages if s.rounds]
        if open_:
            raise NotExecutable(f"decision `{open_[0]}` is not resolved")
        if aux and network.aux is None:
            raise NotExecutable("an auxiliary head (this network has none)")
        self.network = network
        self.inp = network.inp
        self.has_aux = aux
        self.profile = profile_of(profile)
        #: Plans by the graph they are for; made when first needed, not children.
        self._plans: dict[str, Plan] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            full = emit(network, "discrete", drop_path=True, aux=aux)
            plain = emit(network, "discrete", modules=full.module)
        self.training_graph = full.module
        # Not a child: its modules are those of the training graph, so modes and moves reach both.
        object.__setattr__(self, "plain", plain.module)
        #: What runs in training steps, over the modules of the training graph.
        object.__setattr__(self, "steps", full.module)
        self.droppable = full.droppable

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.planned("plain")(x)
        return result

    def train_step(self, x: Tensor, keep: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Logits and auxiliary logits under drop-path masks."""
        whole = self.steps is self.training_graph
        graph = self.planned("training_graph") if whole else self.steps
        if self.has_aux:
            logits, aux = graph(x, keep)
            return logits, aux
        return graph(x, keep), None

    def planned(self, which: str) -> fx.GraphModule:
        """The graph that runs under the profile, for `plain` or `training_graph`."""
        reference: fx.GraphModule = getattr(self, which)
        if not self.profile.passes:
            return reference
        return once(self._plans, which, reference, self.profile).module

    def enclose(self) -> list[nn.Module]:
        """Let every stage be a module that training steps call, for hooks; those modules.

        Names stay what they are, and `forward` calls the leaves as before.
        """
        stages = {}
        for name in enclosable([self.training_graph.graph]):
            stages[name] = Enclosed(self.training_graph.get_submodule(name))
            self.training_graph._modules[name] = stages[name]
        object.__setattr__(self, "steps", enclosed(self.training_graph, stages))
        return list(stages.values())

    def drop_path_masks(
        self, batch: int, probability: float, generator: torch.Generator, like: Tensor
    ) -> dict[str, Tensor]:
        """A mask per droppable operation: 0 with `probability`, else 1 / (1 - probability).

        At probability 1 everything is dropped: zeros, never NaN.
        """
        count = len(self.droppable)
        keep = 1.0 - probability
        drawn = torch.rand((count, batch), generator=generator) < keep
        scale = 1.0 / keep if keep > 0 else 0.0
        masks = (drawn.to(like.dtype) * scale).to(like.device)
        dims = (batch,) + (1,) * (like.dim() - 1)
        return {name: masks[i].reshape(dims) for i, name in enumerate(self.droppable)}

    @property
    def code(self) -> str:
        from nasdsl.codegen.supernet import annotated

        return annotated(self.plain)
