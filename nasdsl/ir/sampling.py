"""Random architectures of a space.

The law is uniform over the architectures that `Space.size` counts: an option is as likely as there
are architectures below it, so that in a network of decided depth most samples are deep. A number
from a domain without options (`float a..b`) counts as one and is uniform in its domain, on a
logarithmic scale where it says `log`. With `uniform = False` every decision is uniform over its own
options instead, whatever follows from them.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from fractions import Fraction

from nasdsl.ir.genotype import Genotype
from nasdsl.ir.limits import Limits
from nasdsl.ir.member import ordered
from nasdsl.ir.requirement import Requirement
from nasdsl.ir.space import Decision, Group, Space, below, options, settings, subsets

#: Labels by decision.
Picks = dict[str, tuple[str, ...]]


def sample(space: Space, rng: random.Random, *, uniform: bool = True) -> Genotype:
    """A random architecture, `require` left out; picks in the order of `member.ordered`.

    `keep N` nodes keep N of their edges, none with an excluded label; `pick` gives one pick per
    chosen edge; decisions that stand below an option are made only where it is taken.
    """
    made: Picks = {}
    settle(space.groups(), rng, made, uniform=uniform)
    picks = tuple((identity, label) for identity, labels in made.items() for label in labels)
    return ordered(Genotype(space=space.name, picks=picks), space)


def settle(
    found: tuple[Group, ...], rng: random.Random, into: Picks, *, uniform: bool = True
) -> None:
    """Decide independent groups and everything that is conditional on what they take."""
    for group in found:
        if group.subset is not None:
            into[group.subset.id] = subset(group, rng)
            continue
        for decision in staying(group, rng, uniform=uniform):
            pick(decision, group, rng, into, uniform=uniform)


def subset(group: Group, rng: random.Random) -> tuple[str, ...]:
    """Which labels of a subset are taken, in their order; uniform over the legal subsets."""
    labels = group.decisions[0].labels
    if group.count is not None:
        chosen = set(rng.sample(range(len(labels)), group.count))
        return tuple(label for i, label in enumerate(labels) if i in chosen)
    mask = rng.randrange(group.least, 2 ** len(labels))
    return tuple(label for i, label in enumerate(labels) if mask >> i & 1)


def staying(group: Group, rng: random.Random, *, uniform: bool = True) -> list[Decision]:
    """Which decisions of a group stay; a set is as likely as it has settings."""
    stay = len(group.decisions)
    if group.count is None or group.count >= stay:
        return list(group.decisions)
    stay = group.count
    counts = [options(d, group, 1) or 0 if uniform else 1 for d in group.decisions]
    rows = subsets(counts, stay)
    found = []
    for i, decision in enumerate(group.decisions):
        # Of the settings that are left, those with this one among what stays.
        taken = counts[i] * rows[i + 1][stay - 1] if stay else 0
        if taken and rng.randrange(rows[i][stay]) < taken:
            found.append(decision)
            stay -= 1
    return found


def pick(
    decision: Decision, group: Group, rng: random.Random, into: Picks, *, uniform: bool = True
) -> None:
    """Take a label of a decision, and settle what is conditional on it."""
    if decision.id in into:
        return  # conditional on two options that are both taken
    if decision.low is not None and decision.high is not None:
        into[decision.id] = (number(decision.low, decision.high, decision.log, rng),)
        return
    labels = group.labels(decision)
    conditional = [below(decision, label, group.rules) for label in labels]
    weights = [settings(found, 1) or 0 if uniform else 1 for found in conditional]
    at = rng.randrange(sum(weights))
    for label, found, weight in zip(labels, conditional, weights, strict=True):
        if at < weight:
            into[decision.id] = (label,)
            settle(found, rng, into, uniform=uniform)
            return
        at -= weight


def number(low: Fraction, high: Fraction, log: bool, rng: random.Random) -> str:
    """A number of a domain as a decimal text, six digits behind the first."""
    a, b = float(low), float(high)
    value = math.exp(rng.uniform(math.log(a), math.log(b))) if log else rng.uniform(a, b)
    text = f"{value:.6g}"
    # Rounding may leave the domain at its ends.
    return repr(min(max(float(text), a), b)) if not low <= Fraction(text) <= high else text


# ---- under requirements


class NothingFound(ValueError):
    """No architecture was found that meets what is required."""


def sample_within(
    limits: Limits, rng: random.Random, *, uniform: bool = True, tries: int = 1000
) -> Genotype:
    """A random architecture that meets every requirement; the law is that of `sample` among these.

    Draws and rejects. Raises NothingFound after `tries` draws, with what failed most.
    """
    failed: Counter[Requirement] = Counter()
    last: dict[Requirement, Genotype] = {}
    for _ in range(tries):
        genotype = sample(limits.space, rng, uniform=uniform)
        violated = limits.first_violation(genotype)
        if violated is None:
            return genotype
        failed[violated] += 1
        last[violated] = genotype
    raise NothingFound(_nothing(limits, failed, last))


def _nothing(
    limits: Limits, failed: Counter[Requirement], last: dict[Requirement, Genotype]
) -> str:
    tries = sum(failed.values())
    if not tries:
        return f"no architecture of `{limits.space.name}`: no try was allowed"
    worst, times = failed.most_common(1)[0]
    found = dict(limits.violations(last[worst]))
    return (
        f"no architecture of `{limits.space.name}` that meets what is required in {tries:,} tries; "
        f"`{worst}` failed {times:,} times, the last with {found[worst]}"
    )
