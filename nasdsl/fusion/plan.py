"""The passes of a profile, one after the other, each of them checked."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from torch import fx, nn

from nasdsl.fusion.collector import resting
from nasdsl.fusion.generated.known import Known
from nasdsl.fusion.profile import Profile
from nasdsl.fusion.rewriting import Rebuilding, Refusal, Work, impure
from nasdsl.fusion.verify import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One pass as it ran: changes, what it refused, nodes before and after, seconds."""

    name: str
    gain: str
    changes: int
    refusals: tuple[Refusal, ...]
    before: int
    after: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A graph under a profile, and how it came about."""

    profile: Profile
    module: fx.GraphModule
    steps: tuple[Step, ...]


def plan(reference: fx.GraphModule, profile: Profile, known: Known | None = None) -> Plan:
    """The reference under a profile: another graph over the same modules.

    The reference is not changed. Without passes it is what comes back. What of cells is `known`
    is not made again. Raises PassFault where a pass left no valid graph: a fault of the pass,
    not of the space.
    """
    if not profile.passes:
        return Plan(profile=profile, module=reference, steps=())
    work = Work(reference.graph, reference, known if known is not None else Known())
    steps = []
    for each in profile.passes:
        began, before = time.perf_counter(), len(work.graph.nodes)
        if isinstance(each, Rebuilding):
            ran, graph = each.rebuild(work)
        else:
            # The first pass that changes the graph in its place gets a copy.
            graph = copied(work.graph) if work.graph is reference.graph else work.graph
            ran = each.run(replace(work, graph=graph))
        work = replace(work, graph=graph)
        if ran.changes:
            graph.eliminate_dead_code(impure)
            verify(work, reference, each.name)
        steps.append(
            Step(
                name=each.name,
                gain=each.gain,
                changes=ran.changes,
                refusals=ran.refusals,
                before=before,
                after=len(work.graph.nodes),
                seconds=time.perf_counter() - began,
            )
        )
    if work.graph is reference.graph:
        return Plan(profile=profile, module=reference, steps=tuple(steps))
    module = over(reference, work.graph, profile.name)
    return Plan(profile=profile, module=module, steps=tuple(steps))


def once(
    plans: dict[str, Plan],
    which: str,
    reference: fx.GraphModule,
    profile: Profile,
    known: Known | None = None,
) -> Plan:
    """The plan of one of a network's graphs, from `plans` or made and put there."""
    found = plans.get(which)
    if found is None:
        with resting():
            found = plans[which] = plan(reference, profile, known)
    if found.module is not reference:
        # A copy of the network has modules of its own.
        share(found.module, reference)
    return found


def copied(graph: fx.Graph) -> fx.Graph:
    """The same nodes in a graph of their own."""
    made = fx.Graph()
    made.output(made.graph_copy(graph, {}))
    return made


def over(reference: nn.Module, graph: fx.Graph, name: str) -> fx.GraphModule:
    """A graph over the very modules of another: changes to their tree reach both."""
    called = f"{type(reference).__name__}_{name.replace('+', '_')}"
    made = fx.GraphModule(nn.Module(), fx.Graph(), class_name=called)
    share(made, reference)
    made.graph = graph
    return made


def share(made: fx.GraphModule, reference: nn.Module) -> None:
    """Let a graph look up its modules in the tree of the reference."""
    made.__dict__["_modules"] = reference.__dict__["_modules"]
