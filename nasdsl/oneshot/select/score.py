"""Scores of a recipe, `[accuracy(search.valid), -flops, params]`, as an objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nasdsl.ir import cost
from nasdsl.ir.config import Component, Word
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.limits import Limits
from nasdsl.ir.requirement import RequireError

#: What can be measured on held-out images, and what follows from the network alone.
MEASURED, COUNTED = ("accuracy", "loss"), ("flops", "params")


class ScoreError(ValueError):
    """A recipe's `score` is none that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One term: its name and sign; higher is better (`loss` counts as its negative)."""

    name: str
    sign: float = 1.0


def scores(value: Any) -> tuple[Score, ...]:
    """The terms of a recipe's `score`: one or a list. Raises ScoreError."""
    terms = value if isinstance(value, tuple | list) else (value,)
    found = tuple(_score(term) for term in terms)
    if not found:
        raise ScoreError("`score` names nothing")
    return found


def _score(term: Any) -> Score:
    if isinstance(term, Component) and term.name in MEASURED:
        where = term.args[0][1] if term.args else Word("search.valid")
        if str(where) != "search.valid":
            raise ScoreError(f"`{term.name}` is measured on search.valid, not on {where}")
        return Score(name=term.name, sign=-1.0 if term.name == "loss" else 1.0)
    text = str(term.name if isinstance(term, Component) else term)
    sign = -1.0 if text.startswith("-") else 1.0
    name = text.lstrip("-")
    if name not in COUNTED:
        raise ScoreError(
            f"unknown score `{text}`: one of accuracy(search.valid), loss(search.valid), "
            "flops, -flops, params, -params"
        )
    return Score(name=name, sign=sign)


def objective(
    terms: tuple[Score, ...],
    limits: Limits,
    measure: Callable[[Genotype], tuple[float, float]],
) -> Callable[[Genotype], tuple[float, ...]]:
    """The worth of a genotype by every term; `measure` gives loss and accuracy."""

    def worth(genotype: Genotype) -> tuple[float, ...]:
        found = []
        for term in terms:
            if term.name in MEASURED:
                loss, accuracy = measure(genotype)
                found.append(term.sign * (accuracy if term.name == "accuracy" else loss))
                continue
            if limits.network is None:
                raise RequireError(f"`{term.name}` needs the network of an architecture")
            counted = cost.of_network(limits.network(genotype))
            found.append(term.sign * (counted.macs if term.name == "flops" else counted.params))
        return tuple(found)

    return worth
