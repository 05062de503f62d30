"""Options whose weight exceeds a value (FairDARTS, arXiv 1911.12126, section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass

from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Decision, TableRules
from nasdsl.oneshot.session import Session


@dataclass(frozen=True, slots=True)
class Threshold:
    """`threshold(value, at_most)`: every option above `value`, at most so many per node.

    An edge may get several options or none, a node fewer edges than its `keep` rule says. The
    strongest stay where there are too many. A node that would get nothing keeps its strongest
    option, so that the cell stays connected.
    """

    value: float
    at_most: int | None

    def genotype(self, session: Session) -> Genotype:
        space, mix = session.space, session.mix_by_decision()
        picks: list[tuple[str, str]] = []
        for table, decisions in space.tables().items():
            weights = mix.get(table, {})
            rows = {d.id: d for d in decisions if d.id in weights}
            rules = next((r for r in space.rules if r.table == table), None)
            groups: list[list[Decision]] = []
            excluded: list[tuple[str, ...]] = []
            for node, identities in rules.rows if rules is not None else ():
                here = [rows.pop(i) for i in identities if i in rows]
                if here:
                    groups.append(here)
                    excluded.append(_excluded(rules, node))
            groups.extend([d] for d in rows.values())
            excluded.extend(() for _ in rows)
            for here, barred in zip(groups, excluded, strict=True):
                picks.extend(self._node(here, weights, barred))
        return Genotype(space=space.name, picks=tuple(picks))

    def _node(
        self, here: list[Decision], weights: dict[str, list[float]], barred: tuple[str, ...]
    ) -> list[tuple[str, str]]:
        ranked = sorted(
            (-weight, i, k, decision.id, label)
            for i, decision in enumerate(here)
            for k, (label, weight) in enumerate(
                zip(decision.labels, weights[decision.id], strict=False)
            )
            if label not in barred
        )
        strong = [r for r in ranked if -r[0] > self.value][: self.at_most] or ranked[:1]
        return [(identity, label) for _, _, _, identity, label in strong]


def _excluded(rules: TableRules | None, node: str) -> tuple[str, ...]:
    """What may not be chosen at a node; a plain `none` never is."""
    keep = next((k for k in rules.keeps if node in k.targets), None) if rules else None
    return (*(keep.exclude if keep else ()), "none")
