"""Where the spread of results comes from: optimizer, benchmark, setting, seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nasdsl.suite.statistics.results import Results, StatisticsError, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of the total sum of squares, in percent, with its degrees of freedom."""

    source: str
    percent: float
    df: int


def decomposition(results: Results) -> tuple[Share, ...]:
    """Sums of squares of the balanced layout optimizer x benchmark x setting x seed.

    The three-way part and optimizer x setting are the residual; `seed` is what differs between
    seeds inside a cell. Without several seeds it cannot be told and is left out.
    Raises StatisticsError where a combination is missing.
    """
    x = _balanced(results)
    grand = x.mean()
    total = float(((x - grand) ** 2).sum())
    if not total:
        raise StatisticsError("all values are equal; there is no spread to divide")
    o, b, s, r = x.shape
    cell = x.mean(axis=3)
    by_o, by_b, by_s = cell.mean((1, 2)), cell.mean((0, 2)), cell.mean((0, 1))

    def squares(d: Values, copies: int) -> float:
        return float((d**2).sum()) * copies

    ob = cell.mean(2) - by_o[:, None] - by_b[None, :] + grand
    bs = cell.mean(0) - by_b[:, None] - by_s[None, :] + grand
    found = [
        ("optimizer", squares(by_o - grand, b * s * r), o - 1),
        ("benchmark", squares(by_b - grand, o * s * r), b - 1),
        ("setting", squares(by_s - grand, o * b * r), s - 1),
        ("benchmark x optimizer", squares(ob, s * r), (o - 1) * (b - 1)),
        ("benchmark x setting", squares(bs, o * r), (b - 1) * (s - 1)),
        ("seed", squares(x - cell[..., None], 1), o * b * s * (r - 1)),
    ]
    known = sum(v for _, v, _ in found)
    rest = o * b * s * r - 1 - sum(d for *_, d in found)
    found.append(("residual", max(0.0, total - known), rest))
    return tuple(Share(source=n, percent=100 * v / total, df=df) for n, v, df in found if df > 0)


def _balanced(results: Results) -> Values:
    cells = {(o, b): results.cell(o, b) for o in results.optimizers for b in results.benchmarks}
    settings = results.settings
    counts = {len(cell.get(s, ())) for cell in cells.values() for s in settings}
    if len(counts) != 1 or 0 in counts:
        raise StatisticsError(
            "the spread cannot be divided: not every optimizer has the same number of values on "
            "every benchmark and setting"
        )
    return np.array(
        [
            [[cells[o, b][s] for s in settings] for b in results.benchmarks]
            for o in results.optimizers
        ]
    )
