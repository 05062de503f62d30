"""Two groups of benchmarks against each other, and paired differences one by one."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from nasdsl.cli.main import cli
from nasdsl.suite import table
from nasdsl.suite.statistics.groups import compare
from nasdsl.suite.statistics.paired import paired
from nasdsl.suite.statistics.results import Result, Results, StatisticsError

FILE = Path(__file__).parent / "data" / "darts_bench_suite.csv"


def results(values, optimizers="abcdefg"):
    """Values by benchmark, an optimizer each."""
    rows = [
        Result(optimizer=o, benchmark=b, value=v)
        for b, row in values.items()
        for o, v in zip(optimizers, row, strict=True)
    ]
    return Results(rows=tuple(rows))


# ---- pairs of values


def test_the_test_follows_the_differences():
    zero = np.zeros(12)
    normal = paired(np.linspace(-1, 3, 12), zero, unit="seed")
    assert normal.test == "paired t" and normal.p == normal.t.p
    skewed = paired(np.r_[np.full(11, 0.1) + np.arange(11) * 1e-3, 40.0], zero, unit="seed")
    assert skewed.normal_p < 0.05
    assert skewed.test == "Wilcoxon" and skewed.p == skewed.wilcoxon.p == pytest.approx(2 / 2**12)


def test_the_interval_is_students():
    found = paired([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], unit="seed")
    half = 4.302652729749464 / math.sqrt(3)  # t(.975, 2)
    assert (found.bounds.low, found.bounds.high) == pytest.approx((2 - half, 2 + half))
    assert paired([1.0], [0.0], unit="seed").bounds is None


@pytest.mark.parametrize("n", [3, 5])
def test_few_pairs_are_never_significant(n):
    """However small the p of the t test: whether it may be used cannot be seen either."""
    found = paired(np.linspace(10, 10.1, n), np.zeros(n), unit="pair")
    assert found.t.p < 1e-5
    assert found.said.startswith("cannot be significant") and "needs n >= 6" in found.said
    enough = paired(np.linspace(10, 10.1, 6), np.zeros(6), unit="pair")
    assert enough.said == "significant"


def test_no_difference_has_no_power_to_speak_of():
    found = paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], unit="seed")
    assert math.isnan(found.power) and found.needed is None and found.p == 1.0
    with pytest.raises(StatisticsError, match="nothing is paired by seed"):
        paired([], [], unit="seed")


# ---- groups


def means_of(found):
    """Means of optimizers, in one order, by benchmark."""
    values = {}
    for row in found.rows:
        values.setdefault(row.benchmark, {}).setdefault(row.optimizer, []).append(row.value)
    return {b: [np.mean(v) for _, v in sorted(by.items())] for b, by in values.items()}


def agreement(a, b):
    """Kendall's tau, pair by pair; there are no ties."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    return sum(np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in pairs) / len(pairs)


def test_published_results_by_width():
    """Means and ranks as published: wide and deep rank the seven methods unrelated."""
    found = compare(table.read(FILE), "wide*", "deep*")
    assert found.pairs == (
        ("wide / all_skip", "deep / all_skip"),
        ("wide / no_skip", "deep / no_skip"),
        ("wide / regular", "deep / regular"),
    )
    by = {o.name: o for o in found.optimizers}
    ranks = {n: (round(o.rank_first, 2), round(o.rank_second, 2)) for n, o in by.items()}
    assert ranks["gdas"] == (1.33, 3.67) and ranks["pcdarts"] == (2.67, 5.33)
    assert by["sdarts"].first == pytest.approx((87.47 + 87.85 + 86.51) / 3, abs=0.01)
    assert found.level.n == 7 and found.level.said == "significant"
    assert found.level.mean == pytest.approx(6.18, abs=0.01)
    assert all(o.difference.said.startswith("cannot") for o in found.optimizers)
    r = found.rankings
    assert r.tau.coefficient == pytest.approx(0, abs=1e-12)
    # Three and three benchmarks can be told apart in ten ways.
    assert r.least == pytest.approx(0.1) and r.said.startswith("cannot be significant")
    means = means_of(table.read(FILE))
    wide, deep = ([b for b in means if b.startswith(kind)] for kind in ("wide", "deep"))
    taus = [agreement(means[a], means[b]) for a in wide for b in deep]
    assert len(taus) == 9 and r.across == pytest.approx(np.mean(taus), abs=1e-12)


def test_groups_that_rank_the_other_way_round_are_told_apart():
    up, down = list(range(7)), list(range(7, 0, -1))
    values = {f"wide_{i}": up for i in range(4)} | {f"deep_{i}": down for i in range(4)}
    r = compare(results(values), "wide*", "deep*").rankings
    assert r.tau.coefficient == -1 and r.inside_first == r.inside_second == 1 and r.across == -1
    # 2 of 70 ways to choose four of eight have as large a gap.
    assert r.p == pytest.approx(2 / 70) and r.said == "significant"


def test_groups_of_one_kind_are_not():
    draw = np.random.default_rng(0)
    values = {f"{g}_{i}": draw.random(7).tolist() for g in ("wide", "deep") for i in range(4)}
    r = compare(results(values), "wide*", "deep*").rankings
    assert r.p > 0.05 and r.said == "not significant"


def test_benchmarks_are_paired_by_the_rest_of_their_names():
    row = list(range(7))
    names = (
        "wide(C = 4)",
        "deep(C = 4, layers = 9)",
        "wide_no_skip(C = 4)",
        "deep_all_skip(C = 4)",
    )
    found = compare(results(dict.fromkeys(names, row)), "wide*", "deep*")
    assert found.pairs == (("wide(C = 4)", "deep(C = 4, layers = 9)"),)
    assert set(found.alone) == {"wide_no_skip(C = 4)", "deep_all_skip(C = 4)"}


@pytest.mark.parametrize(
    ("names", "first", "second", "said"),
    [
        (("wide", "deep"), "wide*", "narrow*", "no benchmark is called `narrow*`"),
        (("wide_a", "deep_b"), "wide*", "deep*", "no benchmark of `wide*` has its like"),
        (("wide", "deep"), "*", "deep*", "`deep` is in both groups"),
    ],
)
def test_groups_that_cannot_be_compared_are_said(names, first, second, said):
    with pytest.raises(StatisticsError) as error:
        compare(results(dict.fromkeys(names, range(7))), first, second)
    assert said in str(error.value)


def test_the_command_says_it_in_words_and_in_json():
    made = CliRunner().invoke(cli, ["validate", "groups", str(FILE)])
    assert made.exit_code == 0, made.output
    text = " ".join(made.output.split())
    for said in (
        "wide against deep: TestAcc1",
        "n = 7 (optimizers), p .0001: significant",
        "no optimizer's difference can be significant (6 pairs are needed)",
        "cannot be significant (n = 3 gives p >= .25; needs n >= 6)",
        "labels exchanged: p .20: cannot be significant",
    ):
        assert said in text, said
    assert max(map(len, made.output.splitlines())) <= 80
    made = CliRunner().invoke(cli, ["validate", "groups", str(FILE), "--format", "json"])
    assert json.loads(made.output)["level"]["n"] == 7
    wrong = CliRunner().invoke(cli, ["validate", "groups", str(FILE), "--second", "broad*"])
    assert wrong.exit_code == 1 and "no benchmark is called `broad*`" in wrong.output
