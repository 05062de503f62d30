"""Which of several processes (ranks) this one is, and what they tell each other.

Ranks hold the same networks and move them alike; each computes on its part of every batch. A world
of one process is the default everywhere, and uses nothing of `torch.distributed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

#: What batch-norms of a training step see: the batch over all ranks, or the rank's part of it.
SYNCHRONISED, LOCAL = "synchronised", "local"
POLICIES = (SYNCHRONISED, LOCAL)

#: So long the ranks wait for each other before they take one for lost.
PATIENCE = timedelta(minutes=10)


class WorldError(ValueError):
    """The ranks cannot work together as they were asked to."""


class RankLost(WorldError):
    """Another rank does not answer any more."""


class Elsewhere(WorldError):
    """Another rank failed and says why itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Rank `rank` of `size`, the `local_rank`-th of `local_size` on its machine.

    Its methods that talk have to be called by all ranks, in the same order. They raise RankLost.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    batch_norm: str = SYNCHRONISED
    #: Whether parameters are shared out over the ranks, see `nasdsl.oneshot.ranks.shards`.
    sharded: bool = False
    #: How often the ranks were started again.
    attempt: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size or not 0 <= self.local_rank < self.local_size:
            raise WorldError(f"there is no rank {self.rank} in a world of {self.size}")
        if self.batch_norm not in POLICIES:
            raise WorldError(f"batch-norms are {' or '.join(POLICIES)}, not {self.batch_norm}")
        if self.sharded and not self.several:
            raise WorldError(
                "there is one process, which has all parameters; --shard needs --nproc"
            )

    @property
    def several(self) -> bool:
        return self.size > 1

    @property
    def writes(self) -> bool:
        """Whether this rank is the one that writes the run and talks."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This rank's part of `count` images in a row; parts differ by one image at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    # ---- what the ranks know together

    def sum(self, values: Tensor) -> Tensor:
        """The sum over ranks of a tensor, the same bits on all of them."""
        if not self.several:
            return values
        total = values.detach().clone()
        with reaching():
            dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether a flag is set on any rank."""
        return self.first(flag) is not None

    def first(self, flag: bool) -> int | None:
        """The first rank on which a flag is set."""
        if not self.several:
            return 0 if flag else None
        lowest = torch.tensor([self.rank if flag else self.size])
        with reaching():
            dist.all_reduce(lowest, dist.ReduceOp.MIN)
        return None if int(lowest) == self.size else int(lowest)

    def told(self, make: Callable[[], bytes]) -> bytes:
        """What `make` gives on rank 0, on every rank. Where it fails, the others raise Elsewhere."""
        if not self.several:
            return make()
        with self.together():
            data = make() if self.writes else b""
        size = torch.tensor([len(data)])
        with reaching():
            dist.broadcast(size, 0)
            room = torch.zeros(int(size), dtype=torch.uint8)
            if self.writes and data:
                room.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
            dist.broadcast(room, 0)
        return room.numpy().tobytes()

    def differing(self, digests: Mapping[str, bytes]) -> tuple[str, int] | None:
        """The first of the named digests that is not the same on all ranks, and on which rank.

        Digests are of one length, their names the same on every rank.
        """
        if not self.several or not digests:
            return None
        own = torch.frombuffer(bytearray(b"".join(digests.values())), dtype=torch.uint8)
        found = [torch.zeros_like(own) for _ in range(self.size)]
        with reaching():
            dist.all_gather(found, own)
        rows = [f.view(len(digests), -1) for f in found]
        for place, name in enumerate(digests):
            for rank, row in enumerate(rows):
                if not torch.equal(row[place], rows[0][place]):
                    return name, rank
        return None

    @contextmanager
    def together(self) -> Iterator[None]:
        """What every rank does alike: an error of any of them ends it on all.

        The first rank that failed raises what went wrong, the others Elsewhere.
        """
        if not self.several:
            yield
            return
        failed: Exception | None = None
        try:
            yield
        except RankLost:
            raise
        except Exception as error:  # noqa: BLE001 - raised again below, on one rank
            failed = error
        first = self.first(failed is not None)
        if first is None:
            return
        if first == self.rank and failed is not None:
            raise failed
        raise Elsewhere(f"rank {first} failed") from failed

    @torch.no_grad()
    def level(self, module: nn.Module) -> None:
        """Put the mean over ranks in the place of buffers that each rank moved by itself.

        Those are the running statistics of batch-norms that see the rank's images alone. They are
        linear in what they saw, so it does not matter when they are averaged.
        """
        if not self.several or self.batch_norm != LOCAL:
            return
        buffers = [b for b in module.buffers() if b.is_floating_point()]
        if not buffers:
            return
        flat = self.sum(torch.cat([b.double().reshape(-1) for b in buffers])) / self.size
        for buffer, mean in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
            buffer.copy_(mean.view(buffer.shape))


#: One process, the default.
ALONE = World()

#: Messages of gloo, which raises errors of no class of its own.
_OF_A_BACKEND = re.compile(r"\bgloo\b|Connection (closed|reset|refused)|Timed out waiting")


@contextmanager
def reaching() -> Iterator[None]:
    """Turn what the backend says of a lost rank into RankLost."""
    try:
        yield
    except RuntimeError as error:
        raise _lost(error) from error


@contextmanager
def amid() -> Iterator[None]:
    """The same in the midst of other work, whose own errors stay what they are."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or _OF_A_BACKEND.search(str(error)):
            raise _lost(error) from error
        raise


def _lost(error: RuntimeError) -> RankLost:
    # The backend begins with a place in its sources and ends with advice.
    said = re.sub(r"^\[[^]]*\] *", "", str(error).strip()).split(". ")[0].splitlines()
    return RankLost(
        f"another rank does not answer any more ({said[0][:160] if said else 'no reason'})"
    )


def from_environment(given: Mapping[str, str]) -> World | None:
    """The world that `torchrun` describes; None where it started nothing. Raises WorldError."""
    if "RANK" not in given or "WORLD_SIZE" not in given:
        return None
    try:
        rank, size = int(given["RANK"]), int(given["WORLD_SIZE"])
        return World(
            rank=rank,
            size=size,
            local_rank=int(given.get("LOCAL_RANK", rank)),
            local_size=int(given.get("LOCAL_WORLD_SIZE", size)),
            attempt=int(given.get("TORCHELASTIC_RESTART_COUNT", 0)),
        )
    except ValueError as error:
        raise WorldError(f"RANK and WORLD_SIZE do not describe a world: {error}") from None


@contextmanager
def joined(world: World, device: str, init: str = "env://") -> Iterator[None]:
    """Inside, the ranks of a world reach each other; alone, nothing is done. Raises RankLost.

    Tensors of the host go through gloo, those of CUDA devices through nccl. `init` says where the
    ranks meet, as `torch.distributed` has it.
    """
    if not world.several:
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.device(device).type == "cuda" else "gloo"
    with reaching():
        found = rendezvous(init, world.rank, world.size, timeout=PATIENCE)
        # Ranks that are started again may find the same store, with addresses of the last ones.
        store = dist.PrefixStore(f"attempt-{world.attempt}", next(found)[0])
        dist.init_process_group(
            backend, store=store, rank=world.rank, world_size=world.size, timeout=PATIENCE
        )
    try:
        yield
    finally:
        dist.destroy_process_group()


def under(world: World, batch_norm: str, sharded: bool = False) -> World:
    """The world with a policy for batch-norms and parameters. Raises WorldError for an unknown."""
    return replace(world, batch_norm=batch_norm, sharded=sharded)
