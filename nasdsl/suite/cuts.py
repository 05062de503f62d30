"""How the data of a suite were cut, for the statistics; and the same from a CSV table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from nasdsl.ir.config import Data, Settings
from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.outcome import reported_of
from nasdsl.suite.planning import run_plan
from nasdsl.suite.statistics.cuts import HALF, CutValue
from nasdsl.suite.statistics.results import StatisticsError
from nasdsl.suite.store import Stored
from nasdsl.suite.table import records

#: Columns of a CSV table that are read here only, in lower case.
COLUMNS: Mapping[str, Sequence[str]] = {
    "family": ("family", "cut"),
    "share": ("share", "ratio"),
    "order": ("order",),
    "split_seed": ("split_seed",),
}


def cut_of(split: Settings) -> tuple[str, Fraction, str, int] | None:
    """Family, share, order and seed of a split; None where its parts are of several orders.

    A split that cuts neither the search nor its halves evenly has no family of these two.
    """
    parts = [split.get(name) for name in ("search.train", "search.valid", "retrain.train")]
    if not all(isinstance(p, Data) for p in parts):
        return None
    if len({(p.order, p.seed, p.path) for p in parts}) > 1:
        return None
    train, valid, rest = (_amount(p) for p in parts)
    total = train + valid + rest
    if train + valid == 0 or (total > 1 and not parts[0].indices):
        return None  # the search and the retraining share images: nothing is cut between them
    search = (train + valid) / total
    weights = train / (train + valid)
    order = {"file": "as in the files", "shuffle": "shuffled", "stratify": "stratified"}.get(
        parts[0].order, parts[0].path
    )
    if weights == HALF:
        return "search", search, order, parts[0].seed
    if search == HALF:
        return "weights", weights, order, parts[0].seed
    return None


def _amount(part: Data) -> Fraction:
    """A share of the images or a number of them: only proportions count."""
    if part.indices:
        return part.high - part.low + 1
    inside = part.high - part.low
    return 1 - inside if part.outside else inside


def cuts_of(
    folder: SuiteFolder, about: Mapping[str, Any], stored: Sequence[Stored]
) -> list[CutValue]:
    """The values of a suite with their cuts; those of other splits are left out."""
    reported = reported_of(about, stored)
    if len({r.names["split"] for r in reported}) < 2:
        return []
    loaded = folder.loaded()
    known: dict[str, tuple[str, Fraction, str, int] | None] = {}
    for s in stored:
        label = s.cell.names.get("split")
        if label is not None and label not in known and s.cell.kind != "pick":
            known[label] = cut_of(run_plan(loaded, s.cell.order).split)
    found = []
    for r in reported:
        cut = known.get(r.names["split"])
        if cut is not None:
            family, share, order, seed = cut
            found.append(
                CutValue(
                    optimizer=r.names["optimizer"],
                    place=f"{r.names['space']} on {r.names['dataset']}",
                    family=family,
                    share=share,
                    order=order,
                    seed=str(seed),
                    value=r.value,
                )
            )
    return found


def read(path: Path, columns: Mapping[str, str]) -> tuple[list[CutValue], str, bool]:
    """The values of a CSV table with columns for the share and the seed of the split.

    The measure, and whether more of it is better, come with them. Raises StatisticsError, OSError.
    """
    found, measure, higher = records(path, columns, COLUMNS)
    values = []
    for number, row in enumerate(found, 2):
        if not row["share"]:
            raise StatisticsError(
                f"{path} has no column for the share of the split (--column share=NAME says which)"
            )
        try:
            share = Fraction(row["share"].rstrip("%")) / (100 if row["share"][-1] == "%" else 1)
        except (ValueError, ZeroDivisionError):
            raise StatisticsError(f"{path}, line {number}: `{row['share']}` is no share") from None
        if share > 1:
            share /= 100
        values.append(
            CutValue(
                optimizer=row["optimizer"],
                place=row["benchmark"],
                family=row["family"] or "search",
                share=share,
                order=row["order"] or "shuffled",
                seed=row["split_seed"],
                value=float(row["value"]),
            )
        )
    return values, measure, higher
