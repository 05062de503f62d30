"""Values as pieces of packed tensors: what has to be copied, split and repeated, and what not.

A value is a list of atoms; an atom is one piece of the packed result of one operation. Operations
ask for lists of atoms in any order. First all of them say what they will ask for; then every
result is split once, where somebody needs a part of it, and what stands together already is taken
as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from nasdsl.fusion.joined import repeated
from nasdsl.fusion.rewriting import stamp


@dataclass(frozen=True, slots=True)
class Atom:
    """A piece of the result of an operation: the number of the operation and of the piece."""

    owner: int
    index: int


@dataclass(slots=True)
class Packing:
    """Results by their operation, and what is asked of them."""

    graph: fx.Graph
    #: Channels of the pieces of every result; one of None where it is no image.
    sizes: dict[int, tuple[int | None, ...]] = field(default_factory=dict)
    #: Where results have to be split, by operation.
    breaks: dict[int, set[int]] = field(default_factory=dict)
    results: dict[int, fx.Node] = field(default_factory=dict)
    _parts: dict[tuple[int, int], tuple[fx.Node, int]] = field(default_factory=dict)
    _made: dict[tuple[Atom, ...], fx.Node] = field(default_factory=dict)

    def result(self, owner: int, sizes: Sequence[int | None]) -> tuple[Atom, ...]:
        """An operation whose result has pieces of these sizes."""
        self.sizes[owner] = tuple(sizes)
        self.breaks[owner] = set()
        return tuple(Atom(owner, i) for i in range(len(sizes)))

    def ask(self, atoms: Sequence[Atom]) -> None:
        """Say that these atoms will be wanted, in this order."""
        for owner, start, end in _runs(_once(atoms)[0]):
            if (start, end) != (0, len(self.sizes[owner])):
                self.breaks[owner] |= {start, end}

    def take(self, atoms: Sequence[Atom], like: fx.Node) -> fx.Node:
        """The node that has these atoms packed."""
        key = tuple(atoms)
        if key not in self._made:
            distinct, times = _once(key)
            if times > 1:
                made = self.call(like, repeated, self.take(distinct, like), times)
            else:
                parts = [p for run in _runs(key) for p in self._run(*run, like)]
                made = parts[0] if len(parts) == 1 else self.call(like, torch.cat, parts, 1)
            self._made[key] = made
        return self._made[key]

    def _run(self, owner: int, start: int, end: int, like: fx.Node) -> list[fx.Node]:
        whole = self.results[owner]
        if (start, end) == (0, len(self.sizes[owner])):
            return [whole]
        if (owner, 0) not in self._parts:
            self._split(owner, like)
        found = []
        while start < end:
            part, start = self._parts[owner, start]
            found.append(part)
        return found

    def _split(self, owner: int, like: fx.Node) -> None:
        sizes: Any = self.sizes[owner]
        cuts = sorted({0, len(sizes)} | self.breaks[owner])
        channels = [sum(sizes[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
        split = self.call(like, torch.split, self.results[owner], channels, 1)
        for i, (a, b) in enumerate(zip(cuts, cuts[1:], strict=False)):
            self._parts[owner, a] = self.call(like, _item, split, i), b

    def call(self, like: fx.Node, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """A new call, which has the place of an old node in the source."""
        made = self.graph.call_function(target, args, kwargs)
        stamp(made, like)
        return made


def _item(values: tuple[Any, ...], i: int) -> Any:
    return values[i]


def _once(atoms: Sequence[Atom]) -> tuple[tuple[Atom, ...], int]:
    """Atoms that are a shorter list several times over: that list, and how many times."""
    distinct = tuple(dict.fromkeys(atoms))
    times, left = divmod(len(atoms), len(distinct))
    if times > 1 and not left and tuple(atoms) == distinct * times:
        return distinct, times
    return tuple(atoms), 1


def _runs(atoms: Sequence[Atom]) -> list[tuple[int, int, int]]:
    """Stretches of one result that stand together: operation, first piece, end."""
    runs: list[tuple[int, int, int]] = []
    for atom in atoms:
        if runs and runs[-1][0] == atom.owner and runs[-1][2] == atom.index:
            runs[-1] = (atom.owner, runs[-1][1], atom.index + 1)
        else:
            runs.append((atom.owner, atom.index, atom.index + 1))
    return runs
