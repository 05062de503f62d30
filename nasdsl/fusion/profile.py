"""Profiles: which passes run, in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.fusion.checkpoint_stages import CheckpointStages
from nasdsl.fusion.common import Common
from nasdsl.fusion.count_together import CountTogether
from nasdsl.fusion.depthwise_backward import DepthwiseBackward
from nasdsl.fusion.drop_none import DropNone
from nasdsl.fusion.fold_weights import FoldWeights
from nasdsl.fusion.generated_cells import GeneratedCells
from nasdsl.fusion.gram_fold import GramFold
from nasdsl.fusion.horizontal import Horizontal
from nasdsl.fusion.join_sums import JoinSums
from nasdsl.fusion.layout import ChannelsLast
from nasdsl.fusion.open_modules import OpenModules
from nasdsl.fusion.pick_together import PickTogether
from nasdsl.fusion.recompute_hidden import RecomputeHidden
from nasdsl.fusion.rewriting import Pass


class UnknownProfile(ValueError):
    """No profile has this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A name, what it is for, and the passes in their order."""

    name: str
    use: str
    passes: tuple[Pass, ...]


_SMALL: tuple[Pass, ...] = (
    OpenModules(),  # what follows compares functions
    Common(),  # before weights go into norms: then equal norms would differ
    FoldWeights(),  # before sums are joined: what is folded is no product any more
    JoinSums(),  # after both
    GramFold(),  # sums are known, weights are folded
    RecomputeHidden(),  # before convolutions are no modules any more
    DepthwiseBackward(),  # behind what looks for convolutions
)

_HEAD: tuple[Pass, ...] = (
    CountTogether(),  # when it is known which batch-norms are opened
    ChannelsLast(),  # in front of all
)

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "balanced": Profile(
            name="balanced",
            use="the fastest step, and less memory",
            passes=(
                GeneratedCells(),  # what no template covers is left to the others
                DropNone(),  # zeros first: nothing else has to look at them
                PickTogether(kernels=True),  # one path, before sums of other values are joined
                *_SMALL,
                *_HEAD,
            ),
        ),
        "memory": Profile(
            name="memory",
            use="the least memory, at the cost of a second forward pass of the cells",
            passes=(
                GeneratedCells(recompute=True),
                DropNone(),
                PickTogether(kernels=True, recompute=True),
                *_SMALL,
                CheckpointStages(),  # around all that is inside a stage
                *_HEAD,
            ),
        ),
        "launch": Profile(
            name="launch",
            use="the fewest operators",
            passes=(
                DropNone(),
                PickTogether(),
                OpenModules(),
                Common(norms=False),  # pools are normalised with all else of their wave
                FoldWeights(),
                JoinSums(),
                Horizontal(),  # when sums are known
                *_HEAD,
            ),
        ),
        "reference": Profile(name="reference", use="the graph as it is emitted", passes=()),
    }
)


def profile(name: str | Profile) -> Profile:
    """A profile by its name. Raises UnknownProfile."""
    if isinstance(name, Profile):
        return name
    found = PROFILES.get(name)
    if found is None:
        advice = did_you_mean(name, list(PROFILES), limit=0)
        raise UnknownProfile(f"there is no profile `{name}`" + (f"; {advice}" if advice else ""))
    return found
