"""All architectures of a space in a fixed order, and the number of each in it.

Decisions stand in the order of the space, the first changing slowest; options in their order. Of a
node that keeps some of its edges, choices with earlier edges come first; the architectures that
`Space.size` counts are exactly those listed, each once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.member import ordered
from nasdsl.ir.slot import Picks
from nasdsl.ir.space import Decision, Group, Space, below, subsets
from nasdsl.ir.wiring import picks_of


class NotEnumerable(ValueError):
    """A space has decisions whose options cannot be listed."""


class Enumeration:
    """The architectures of a space as a sequence: `len`, `[i]`, iteration, `index`.

    Raises NotEnumerable for a space with a number from a domain without options.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._groups = _counted(space.groups())
        self.size = _product(self._groups)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Genotype:
        """The architecture with a number. Raises IndexError."""
        if not 0 <= index < self.size:
            raise IndexError(f"architecture {index:,} of {self.size:,}")
        picks: list[tuple[str, str]] = []
        _settle(self._groups, index, picks)
        return ordered(Genotype(space=self.space.name, picks=tuple(picks)), self.space)

    def __iter__(self) -> Iterator[Genotype]:
        return (self[i] for i in range(self.size))

    def index(self, genotype: Genotype) -> int:
        """The number of an architecture.

        Raises GenotypeError for one that is not listed, as one with two operations on an edge.
        """
        return _number(self._groups, picks_of(genotype))


@dataclass(frozen=True, slots=True)
class _Options:
    """A decision with its labels, and what each brings with it."""

    decision: Decision
    labels: tuple[str, ...]
    below: tuple[tuple[_Counted, ...], ...]
    sizes: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True)
class _Counted:
    """A group with the number of its settings; `rows` as `subsets` gives them."""

    group: Group
    options: tuple[_Options, ...]
    stay: int
    rows: list[list[int]]
    size: int


def _counted(groups: tuple[Group, ...]) -> tuple[_Counted, ...]:
    return tuple(_count(group) for group in groups)


def _count(group: Group) -> _Counted:
    subset = group.subset
    if subset is not None:
        n = len(subset.labels)
        if group.count is None:
            return _Counted(group, (), 0, [], 2**n - group.least)
        rows = subsets([1] * n, group.count)
        return _Counted(group, (), group.count, rows, rows[0][group.count])
    options = tuple(_options(decision, group) for decision in group.decisions)
    stay = len(options) if group.count is None else min(group.count, len(options))
    rows = subsets([o.size for o in options], stay)
    return _Counted(group, options, stay, rows, rows[0][stay])


def _options(decision: Decision, group: Group) -> _Options:
    if decision.low is not None or (decision.count is not None and decision.count < 0):
        raise NotEnumerable(f"`{decision.id}` takes any number of a range; it cannot be listed")
    labels = group.labels(decision)
    inner = tuple(_counted(below(decision, label, group.rules)) for label in labels)
    sizes = tuple(_product(found) for found in inner)
    return _Options(decision, labels, inner, sizes, sum(sizes))


def _product(found: tuple[_Counted, ...]) -> int:
    total = 1
    for group in found:
        total *= group.size
    return total


# ---- from a number to an architecture


def _settle(found: tuple[_Counted, ...], index: int, into: list[tuple[str, str]]) -> None:
    rest = _product(found)
    for group in found:
        rest //= group.size
        here, index = divmod(index, rest)
        _settle_group(group, here, into)


def _settle_group(counted: _Counted, index: int, into: list[tuple[str, str]]) -> None:
    subset = counted.group.subset
    if subset is not None and counted.group.count is None:
        mask = index + counted.group.least
        into.extend((subset.id, s) for i, s in enumerate(subset.labels) if mask >> i & 1)
        return
    stay = counted.stay
    sizes = [1] * len(subset.labels) if subset is not None else [o.size for o in counted.options]
    for i, size in enumerate(sizes):
        if not stay:
            return
        after = counted.rows[i + 1][stay - 1]
        if index >= size * after:
            index -= size * after
            continue
        stay -= 1
        here, index = divmod(index, after)
        if subset is not None:
            into.append((subset.id, subset.labels[i]))
        else:
            _settle_options(counted.options[i], here, into)


def _settle_options(options: _Options, index: int, into: list[tuple[str, str]]) -> None:
    for label, inner, size in zip(options.labels, options.below, options.sizes, strict=True):
        if index < size:
            into.append((options.decision.id, label))
            _settle(inner, index, into)
            return
        index -= size


# ---- from an architecture to its number


def _number(found: tuple[_Counted, ...], picks: Picks) -> int:
    index = 0
    for group in found:
        index = index * group.size + _number_group(group, picks)
    return index


def _number_group(counted: _Counted, picks: Picks) -> int:
    subset = counted.group.subset
    if subset is not None:
        chosen = [source in picks.get(subset.id, ()) for source in subset.labels]
        if counted.group.count is None:
            return sum(1 << i for i, taken in enumerate(chosen) if taken) - counted.group.least
        numbers: list[int | None] = [0 if taken else None for taken in chosen]
        sizes = [1] * len(chosen)
        name = subset.id
    else:
        numbers = [_number_options(o, picks) for o in counted.options]
        sizes = [o.size for o in counted.options]
        name = counted.options[0].decision.id
    stay = counted.stay
    if sum(n is not None for n in numbers) != stay:
        raise GenotypeError(f"{stay} picks are wanted where `{name}` stands")
    index = 0
    for i, (number, size) in enumerate(zip(numbers, sizes, strict=True)):
        if not stay:
            break
        after = counted.rows[i + 1][stay - 1]
        if number is None:
            index += size * after
        else:
            stay -= 1
            index += number * after
    return index


def _number_options(options: _Options, picks: Picks) -> int | None:
    labels = picks.get(options.decision.id)
    if labels is None:
        return None
    if len(labels) != 1 or labels[0] not in options.labels:
        raise GenotypeError(f"`{options.decision.id}` takes one of its options, not {labels}")
    at = options.labels.index(labels[0])
    return sum(options.sizes[:at]) + _number(options.below[at], picks)
