"""A compiled search space: the pure function `f(x, mix)` and its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasdsl.codegen.emit import Emitted, NotExecutable, Slot, emit
from nasdsl.fusion.collector import resting
from nasdsl.fusion.enclosed import Enclosed, enclosable, enclosed
from nasdsl.fusion.generated.known import Known
from nasdsl.fusion.plan import Plan, once
from nasdsl.fusion.profile import Profile
from nasdsl.fusion.profile import profile as profile_of
from nasdsl.ir.cost import choices
from nasdsl.ir.entangling import same_extents
from nasdsl.ir.op import Varied
from nasdsl.ir.rewrite import held
from nasdsl.ir.space import Decision, Space


@dataclass(frozen=True, slots=True)
class Table:
    """One table of architecture parameters: a row per decision, a column per option.

    Rows with fewer options than the widest are padded; `widths` says how many columns count.
    """

    name: str
    decisions: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(len(row) for row in self.labels)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.labels), max(self.widths)

    def mask(self, device: torch.device | None = None) -> Tensor | None:
        """`(rows, columns)` booleans, true where an option stands; None where all do."""
        rows, columns = self.shape
        if all(w == columns for w in self.widths):
            return None
        widths = torch.tensor(self.widths, device=device)
        return torch.arange(columns, device=device)[None, :] < widths[:, None]


def tables_of(space: Space) -> dict[str, Table]:
    """The tables of decisions that stand in the supernet, in the space's order.

    Decisions between operations that no place holds any more have no row; those among numbers
    of a domain without options are not relaxed and have none either.
    """
    standing: dict[str, tuple[str, ...]] = {}
    for _, choice in choices(space.supernet):
        standing.setdefault(choice.decision, choice.labels)
    # A row of `pick` has one column per incoming edge.
    standing.update((d.id, d.labels) for d in space.decisions if d.kind in ("subset", "beta"))
    order: dict[str, dict[str, tuple[str, ...]]] = {}
    for decision in _all(space.decisions):
        labels = standing.get(decision.id)
        if labels is None and decision.kind in ("value", "depth") and decision.count is None:
            labels = decision.labels
        if labels is not None:
            order.setdefault(decision.table or decision.id, {}).setdefault(decision.id, labels)
    return {name: Table(name, tuple(rows), tuple(rows.values())) for name, rows in order.items()}


def _all(decisions: Sequence[Decision]) -> list[Decision]:
    found = []
    for decision in decisions:
        found.append(decision)
        for below in decision.nested:
            found.extend(_all(below))
    return found


def depths_of(space: Space) -> dict[str, tuple[str, ...]]:
    """The labels of decisions among depths."""
    return {d.id: d.labels for d in _all(space.decisions) if d.kind == "depth"}


def check_executable(space: Space, *, one_hot: bool = False) -> None:
    """Raise NotExecutable for decisions that one-shot training cannot relax.

    `one_hot`: the sampler takes one option per decision, so of `pick` only `pick 1`.
    """
    for rules in space.rules if one_hot else ():
        for pick in rules.picks:
            if pick.count != 1:
                raise NotExecutable(
                    f"`pick {pick.count or 'any'}` at {', '.join(pick.targets)} takes several "
                    "edges, the sampler of this recipe one option of a decision; samplers that "
                    "weigh all options (softmax, dirichlet) search it"
                )


def check_dense(space: Space) -> None:
    """Raise NotExecutable for values that change more than channels: no one tensor holds that."""
    for op in held(space.supernet):
        if isinstance(op, Varied) and op.options[0].kind != "none" and not same_extents(op):
            extents = " and ".join(dict.fromkeys(str(o.out) for o in op.options[:2]))
            raise NotExecutable(
                f"decision `{op.decisions[0]}` changes extents ({op.options[0].kind}: {extents}), "
                "which only one-path mode runs"
            )


class Supernet(nn.Module):
    """A supernet: `supernet(x, mix)` with `x (n, c, h, w)` gives logits `(n, classes)`.

    `mix` maps a table (`normal`) to its weights `(rows, columns)`, shared by all instances, or
    an instance (`normal_3`) to weights of its own. In one-path mode `pick` gives one option per
    row as whole numbers, by table or instance. Weights are drawn from `seed` alone.

    With `drop_path` the supernet also takes `keep`, a mask `(operations, batch)`: one row for each
    operation in `droppable`, which it multiplies image by image.

    `profile` says how it runs (see `nasdsl.fusion.profile`), never what it computes: `graph` is
    the reference, whose modules, names and weights every profile shares.
    """

    masked: torch.fx.GraphModule | None

    def __init__(
        self,
        space: Space,
        *,
        mode: str = "dense",
        seed: int = 0,
        drop_path: bool = False,
        profile: str | Profile = "reference",
    ) -> None:
        super().__init__()
        check_executable(space)
        if mode == "dense":
            check_dense(space)
        self.space = space
        self.mode = mode
        self.profile = profile_of(profile)
        with resting(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            emitted = emit(space.supernet, mode, depths=depths_of(space))
            masked = None
            if drop_path:
                masked = emit(
                    space.supernet,
                    mode,
                    modules=emitted.module,
                    drop_path=True,
                    depths=depths_of(space),
                )
        if masked is not None and not masked.droppable:
            raise NotExecutable("drop-path, which acts on the edges of cells; this space has none")
        self._take(emitted, masked)

    def _take(self, emitted: Emitted, masked: Emitted | None = None) -> None:
        self.graph = emitted.module
        #: Plans by the graph they are for; made when first needed, not children.
        self._plans: dict[str, Plan] = {}
        #: What of cells need not be planned again.
        self._known = Known()
        #: Stages that are called as modules.
        self._stages: dict[str, Enclosed] = {}
        # Not a child: its modules are those of the graph, so modes and moves reach both.
        object.__setattr__(self, "masked", masked.module if masked is not None else None)
        #: Operations that drop-path may drop, in the order of the masks.
        self.droppable: tuple[str, ...] = masked.droppable if masked is not None else ()
        self.slots: tuple[Slot, ...] = emitted.slots
        #: Decision and label of every option, by the prefix of its parameters' names.
        self.options: dict[str, tuple[str, str]] = {
            f"graph.{place}": found for place, found in emitted.options.items()
        }
        self.tables = tables_of(self.space)
        self._row = {
            d: (t.name, i) for t in self.tables.values() for i, d in enumerate(t.decisions)
        }
        self.slots = tuple(replace(s, table=self._row[s.decisions[0]][0]) for s in self.slots)

    def in_mode(self, mode: str) -> Supernet:
        """The same supernet, with the same weights, in another emission mode."""
        if mode == self.mode:
            return self
        if mode == "dense":
            check_dense(self.space)
        other = Supernet.__new__(Supernet)
        nn.Module.__init__(other)
        other.space, other.mode, other.profile = self.space, mode, self.profile
        # What has to be built anew has no weights that matter; no noise is taken for it.
        with resting(), torch.random.fork_rng(devices=[]):
            other._take(
                emit(
                    self.space.supernet,
                    mode,
                    modules=self.graph,
                    depths=depths_of(self.space),
                )
            )
        return other

    def forward(
        self,
        x: Tensor,
        mix: Mapping[str, Tensor],
        pick: Mapping[str, Sequence[int]] | None = None,
        keep: Tensor | None = None,
    ) -> Tensor:
        arguments: list[Any] = [x, self.spread(mix)]
        if self.mode == "one_path":
            if pick is None:
                raise ValueError("one-path mode needs `pick`: an option per row")
            arguments.append(self._picks(pick))
        if keep is None:
            result: Tensor = self.planned().module(*arguments)
            return result
        masks = {n: keep[i, : x.shape[0]] for i, n in enumerate(self.droppable)}
        dropped: Tensor = self.planned("masked").module(*arguments, masks)
        return dropped

    def planned(self, which: str = "graph") -> Plan:
        """The graph that runs under the profile, for `graph` or `masked`, and how it was made."""
        reference = self.graph if which == "graph" else self.masked
        if reference is None:
            raise ValueError("this supernet was made without drop-path")
        if which not in self._plans and self._stages:
            with resting():
                made = enclosed(reference, self._stages, self.profile)
            self._plans[which] = Plan(profile=self.profile, module=made, steps=())
        return once(self._plans, which, reference, self.profile, self._known)

    def enclose(self) -> list[nn.Module]:
        """Let every stage be a module that is called, for hooks; those modules.

        Names stay what they are, and other modes call the leaves as before. A stage that is too
        small, or of whose modules others read, stays as it is.
        """
        whole = [made for made in (self.graph, self.masked) if made is not None]
        for name in enclosable(made.graph for made in whole):
            self._stages[name] = stage = Enclosed(self.graph.get_submodule(name))
            self.graph._modules[name] = stage
        self._plans.clear()
        return list(self._stages.values())

    def replan(self) -> None:
        """Plan anew when next used: modules have been put in the place of others."""
        self._plans.clear()

    def under(self, profile: str | Profile) -> Supernet:
        """The same supernet, with the same weights, under another profile."""
        other = Supernet.__new__(Supernet)
        nn.Module.__init__(other)
        for name, value in self.__dict__.items():
            if not name.startswith("_"):
                object.__setattr__(other, name, value)
        other._row = self._row
        other.graph = self.graph
        other.profile = profile_of(profile)
        other._plans = {}
        other._known = self._known
        other._stages = {}
        other.training = self.training
        return other

    def _apply(self, fn: Any, recurse: bool = True) -> Supernet:
        super()._apply(fn, recurse)
        if self.masked is not None:
            self.masked._apply(fn, recurse)
        return self

    def spread(self, mix: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The mix of every instance: its own where given, else its table's."""
        found = {}
        for slot in self.slots:
            own = self._own(slot, mix)
            found[slot.instance] = own if own is not None else self._shared(slot, mix)
        return found

    def _own(self, slot: Slot, given: Mapping[str, Any]) -> Any:
        """What is given for an instance alone; a table may have the name of a stem or head."""
        return given.get(slot.instance) if slot.instance not in self.tables else None

    def _shared(self, slot: Slot, mix: Mapping[str, Tensor]) -> Tensor:
        places = [self._row[d] for d in slot.decisions]
        first = places[0][0]
        if slot.decisions == self.tables[first].decisions:
            return mix[first]
        rows = [mix[t][i, : len(self.tables[t].labels[i])] for t, i in places]
        columns = max(len(row) for row in rows)
        return torch.stack([F.pad(row, (0, columns - len(row))) for row in rows])

    def _picks(self, pick: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
        found = {}
        for slot in self.slots:
            own = self._own(slot, pick)
            found[slot.instance] = (
                list(own)
                if own is not None
                else [pick[t][i] for t, i in (self._row[d] for d in slot.decisions)]
            )
        return found

    def uniform(self, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """A mix that weighs all options of a row equally."""
        parameter = next(self.parameters())
        found = {}
        for name, table in self.tables.items():
            mix = torch.zeros(table.shape, dtype=dtype or parameter.dtype, device=parameter.device)
            for i, width in enumerate(table.widths):
                mix[i, :width] = 1 / width
            found[name] = mix
        return found

    @property
    def code(self) -> str:
        """The generated Python code, with the `.nas` line of every call."""
        return annotated(self.graph)


def annotated(graph: torch.fx.GraphModule) -> str:
    """Generated code with a comment where the `.nas` line changes."""
    lines = []
    places = {n.name: n.meta.get("nas") for n in graph.graph.nodes}
    last = None
    for line in graph.code.strip().splitlines():
        name = line.strip().split(" ", 1)[0].rstrip(":;")
        place = places.get(name)
        if place and place != last:
            lines.append(f"    # {place}")
            last = place
        lines.append(line.split(";", 1)[0] if "= None" in line else line)
    return "\n".join(lines) + "\n"
