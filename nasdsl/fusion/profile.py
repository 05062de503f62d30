"""Profiles: which passes run, in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.fusion.checkpoint_stages import CheckpointStages
from nasdsl.fusion.common import Common
from nasdsl.fusion.compiled_cells import CompiledCells
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


#: Never taken by itself: compiling takes minutes.
COMPILED = Profile(
    name="compiled",
    use="cells compiled by torch.compile, after minutes of compiling",
    passes=(CompiledCells(), ChannelsLast()),
)

#: Behind the name of a profile: what cells keep for the backward pass is stored as bfloat16.
ROUNDED = "+bf16"


def profile(name: str | Profile) -> Profile:
    """A profile by its name, `balanced+bf16` among them. Raises UnknownProfile."""
    if isinstance(name, Profile):
        return name
    offered = {**PROFILES, COMPILED.name: COMPILED}
    found = offered.get(name.removesuffix(ROUNDED))
    if found is None:
        known = [*offered, *(n + ROUNDED for n, p in PROFILES.items() if _keeps(p))]
        advice = did_you_mean(name, known, limit=0)
        raise UnknownProfile(f"there is no profile `{name}`" + (f"; {advice}" if advice else ""))
    return rounded(found) if name.endswith(ROUNDED) else found


def rounded(found: Profile) -> Profile:
    """A profile that stores what cells keep as bfloat16. Raises UnknownProfile where none do."""
    if not _keeps(found):
        raise UnknownProfile(
            f"profile `{found.name}` has no cells that keep anything, so nothing of it is "
            f"stored as bfloat16; `balanced{ROUNDED}` has"
        )
    return replace(
        found,
        name=found.name + ROUNDED,
        use=f"{found.use}; half of what cells keep, at the cost of inexact gradients",
        passes=tuple(
            replace(p, rounded=True) if isinstance(p, GeneratedCells) else p for p in found.passes
        ),
    )


def exact(found: Profile) -> Profile | None:
    """The profile that a rounded one stands beside; None for one that rounds nothing."""
    return PROFILES[found.name.removesuffix(ROUNDED)] if found.name.endswith(ROUNDED) else None


def _keeps(found: Profile) -> bool:
    return any(isinstance(p, GeneratedCells) and not p.recompute for p in found.passes)
