"""The 567 published results of DARTS-Bench-Suite give the published and re-analysed numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nasdsl.cli.main import cli
from nasdsl.suite import table
from nasdsl.suite.statistics import agreement, pairwise
from nasdsl.suite.statistics.friedman import cliques, critical_difference, friedman
from nasdsl.suite.statistics.ranks import average_ranks, block_ranks, win_rates
from nasdsl.suite.statistics.study import study
from nasdsl.suite.statistics.variance import decomposition

FILE = Path(__file__).parent / "data" / "darts_bench_suite.csv"
ORDER = ("darts", "drnas", "fairdarts", "gdas", "oles", "pcdarts", "sdarts")
#: Mean, standard deviation over nine settings, best of the nine; optimizers as in ORDER.
PUBLISHED = """
wide / regular: 87.63 2.32 90.41, 87.91 2.50 90.94, 87.35 2.53 90.73, 88.30 2.16 91.30, 87.77 2.31 90.63, 87.58 2.53 90.93, 86.51 2.48 89.80
wide / no_skip: 87.74 2.52 91.05, 88.20 2.53 91.20, 87.61 2.53 91.01, 88.69 2.38 91.88, 87.81 2.68 91.16, 88.33 2.43 91.44, 87.85 2.50 90.99
wide / all_skip: 83.54 3.07 87.02, 86.31 2.84 89.76, 86.32 3.09 90.08, 88.35 2.65 91.76, 87.51 2.81 90.61, 88.40 2.71 91.66, 87.47 2.80 90.60
deep / regular: 84.92 2.90 88.49, 85.75 3.29 89.75, 83.73 6.59 90.85, 85.30 3.70 89.68, 86.45 2.99 90.71, 83.15 5.52 90.03, 83.37 3.42 87.73
deep / no_skip: 81.19 6.03 87.35, 83.04 6.36 89.49, 79.19 8.80 88.15, 78.48 6.63 86.54, 81.25 7.23 88.85, 75.37 9.16 86.02, 77.87 8.74 87.06
deep / all_skip: 81.44 6.21 88.34, 80.86 6.79 88.02, 79.56 7.02 87.05, 81.03 5.38 87.33, 79.16 6.17 85.70, 81.38 6.86 88.84, 74.96 5.86 81.72
single_cell / regular: 76.04 2.05 78.35, 85.20 2.14 88.16, 86.08 2.21 88.68, 85.18 2.13 87.72, 81.20 2.19 84.09, 86.84 2.36 89.54, 80.62 2.53 83.25
single_cell / no_skip: 72.00 1.45 73.93, 86.39 1.98 88.95, 83.19 2.47 85.98, 84.03 2.22 87.01, 78.10 1.87 80.30, 85.90 2.37 89.16, 82.98 2.52 86.01
single_cell / all_skip: 83.74 2.67 87.00, 85.58 2.82 89.23, 84.76 2.50 87.28, 84.89 2.49 87.63, 84.83 2.77 88.42, 85.60 2.78 89.25, 81.27 2.83 84.50
"""
RANKS = {
    "wide / regular": (4, 2, 6, 1, 3, 5, 7),
    "wide / no_skip": (6, 3, 7, 1, 5, 2, 4),
    "wide / all_skip": (7, 6, 5, 2, 3, 1, 4),
    "deep / regular": (4, 2, 5, 3, 1, 7, 6),
    "deep / no_skip": (3, 1, 4, 5, 2, 7, 6),
    "deep / all_skip": (1, 4, 5, 3, 6, 2, 7),
    "single_cell / regular": (7, 3, 2, 4, 5, 1, 6),
    "single_cell / no_skip": (7, 1, 4, 3, 6, 2, 5),
    "single_cell / all_skip": (6, 2, 5, 3, 4, 1, 7),
}
#: Kendall's tau between benchmarks by the best of nine; the paper's heat-map, upper half.
TAU_BLOCKS = tuple(RANKS)
TAU = """
.71 .33 .14 .05 .33 .43 .43 .52
.43 .05 -.05 .43 .33 .33 .62
.05 -.43 -.14 .33 .33 .24
.14 .05 .52 .14 .43
-.24 -.14 -.33 .14
.33 .33 .43
.62 .52
.52
"""


@pytest.fixture(scope="module")
def results():
    return table.read(FILE)


def test_the_table_is_whole(results):
    assert len(results.rows) == 567 == 7 * 9 * 9
    assert results.optimizers == ORDER
    assert set(results.benchmarks) == set(RANKS)
    assert (len(results.settings), len(results.seeds), results.higher) == (9, 1, True)


def test_every_mean_spread_and_best(results):
    found = study(results)
    lines = PUBLISHED.split("\n")[1:-1]
    assert len(lines) == 9
    for line in lines:
        benchmark, _, rest = line.partition(": ")
        for optimizer, numbers in zip(ORDER, rest.split(", "), strict=True):
            cell = found.cell(optimizer, benchmark)
            shown = f"{cell.mean:.2f} {cell.std:.2f} {cell.best:.2f}"
            assert shown == numbers, (benchmark, optimizer)
            assert cell.interval.low < cell.mean < cell.interval.high


@pytest.mark.parametrize(
    ("summary", "ranks", "chi2", "p", "w"),
    [
        ("mean", (5.00, 2.67, 4.78, 2.78, 3.89, 3.11, 5.78), 17.05, 0.0091, 0.316),
        ("best", (5.56, 2.89, 4.00, 3.22, 4.00, 2.33, 6.00), 21.29, 0.0016, 0.394),
    ],
)
def test_ranks_friedman_and_concordance(results, summary, ranks, chi2, p, w):
    layout = results.blocked("benchmark", summary)
    assert tuple(round(float(r), 2) for r in average_ranks(layout)) == ranks
    found = friedman(layout)
    assert (found.k, found.n) == (7, 9)
    assert (round(found.chi2, 2), round(found.p, 4)) == (chi2, p)
    assert round(agreement.concordance(layout), 3) == w


def test_ranks_of_every_benchmark(results):
    layout = results.blocked()
    found = dict(zip(layout.blocks, block_ranks(layout), strict=True))
    assert {b: tuple(map(int, r)) for b, r in found.items()} == RANKS


def test_mean_ranks_of_the_three_sizes(results):
    layout = results.blocked()
    ranked = dict(zip(layout.blocks, block_ranks(layout), strict=True))
    expected = {
        "wide": (5.67, 3.67, 6.00, 1.33, 3.67, 2.67, 5.00),
        "deep": (2.67, 2.33, 4.67, 3.67, 3.00, 5.33, 6.33),
        "single_cell": (6.67, 2.00, 3.67, 3.33, 5.00, 1.33, 6.00),
    }
    for size, numbers in expected.items():
        rows = [r for b, r in ranked.items() if b.startswith(size)]
        assert tuple(round(float(sum(c) / 3), 2) for c in zip(*rows, strict=True)) == numbers


def test_nemenyi(results):
    assert round(critical_difference(7, 9), 3) == pytest.approx(3.002, abs=1e-9)
    told = {}
    for summary in ("mean", "best"):
        layout = results.blocked("benchmark", summary)
        ranks = average_ranks(layout)
        told[summary] = {
            (a, b): round(abs(float(ranks[i] - ranks[j])), 2)
            for i, a in enumerate(ORDER)
            for j, b in enumerate(ORDER)
            if i < j and abs(ranks[i] - ranks[j]) > critical_difference(7, 9)
        }
        groups = cliques(layout, friedman(layout))
        assert groups is not None
        for pair in told[summary]:
            assert not any(set(pair) <= set(g) for g in groups)
    assert told["mean"] == {("drnas", "sdarts"): 3.11}
    assert told["best"] == {
        ("darts", "pcdarts"): 3.22,
        ("pcdarts", "sdarts"): 3.67,
        ("drnas", "sdarts"): 3.11,
    }


@pytest.mark.parametrize(("summary", "raw"), [("mean", 3), ("best", 6)])
def test_no_pair_is_left_after_holm(results, summary, raw):
    found = pairwise.pairs(results.blocked("benchmark", summary))
    assert len(found) == 21
    assert sum(p.wilcoxon.p < 0.05 for p in found) == raw
    assert sum(p.holm < 0.05 for p in found) == 0
    assert pairwise.least_p(9) == 2 / 2**9
    assert round(pairwise.least_p(9), 4) == 0.0039


def test_kendall_matrix_by_best(results):
    layout = results.blocked("benchmark", "best")
    for i, line in enumerate(TAU.split("\n")[1:-1]):
        for j, text in enumerate(line.split(), i + 1):
            tau = agreement.tau(layout.at(TAU_BLOCKS[i]), layout.at(TAU_BLOCKS[j]))
            assert round(tau, 2) == float(text), (TAU_BLOCKS[i], TAU_BLOCKS[j])
    between = agreement.between(layout)
    off = [between[i, j] for i in range(9) for j in range(i + 1, 9)]
    assert round(sum(off) / 36, 2) == 0.25


@pytest.mark.parametrize(("summary", "tau", "p"), [("mean", -0.52, 0.136), ("best", -0.43, 0.239)])
def test_the_rankings_that_seem_opposite(results, summary, tau, p):
    layout = results.blocked("benchmark", summary)
    found = agreement.kendall(layout.at("wide / all_skip"), layout.at("deep / no_skip"))
    assert (round(found.coefficient, 2), round(found.p, 3)) == (tau, p)
    assert found.how == "exact"


def test_agreement_by_mean(results):
    found = study(results).agreement
    assert len(found) == 36
    by = {(a.a, a.b): a for a in found}
    assert round(by["deep / no_skip", "deep / regular"].tau.coefficient, 2) == 0.71
    assert round(sum(a.tau.coefficient for a in found) / 36, 2) == 0.19
    assert sum(a.tau.p < 0.05 for a in found) == 1
    assert sum(a.holm < 0.05 for a in found) == 0
    opposite = by["deep / no_skip", "wide / all_skip"].interval
    assert (round(opposite.low, 2), round(opposite.high, 2)) == (-0.71, -0.33)


def test_shares_of_the_spread(results):
    found = {s.source: round(s.percent, 1) for s in decomposition(results)}
    assert found == {
        "setting": 38.6,
        "benchmark": 30.2,
        "benchmark x optimizer": 14.5,
        "benchmark x setting": 10.4,
        "optimizer": 4.6,
        "residual": 1.8,
    }
    assert sum(s.percent for s in decomposition(results)) == pytest.approx(100)
    assert sum(s.df for s in decomposition(results)) == 566


def test_settings_as_blocks_test_optimizers_too(results):
    """A published notebook had rows and columns exchanged here and tested the settings."""
    expected = {
        "wide / regular": 42.4,
        "wide / no_skip": 43.0,
        "wide / all_skip": 51.1,
        "deep / regular": 29.1,
        "deep / no_skip": 45.8,
        "deep / all_skip": 38.8,
        "single_cell / regular": 52.4,
        "single_cell / no_skip": 52.5,
        "single_cell / all_skip": 48.3,
    }
    for benchmark, chi2 in expected.items():
        part = results.where(lambda r, b=benchmark: r.benchmark == b)
        found = friedman(part.blocked("setting"))
        assert (found.k, found.n) == (7, 9)
        assert round(found.chi2, 1) == chi2, benchmark
        assert found.p < 1e-4


def test_ranks_hold_in_every_setting(results):
    ps = [
        friedman(results.where(lambda r, s=s: r.setting == s).blocked()).p for s in results.settings
    ]
    assert (round(min(ps), 4), round(max(ps), 4)) == (0.001, 0.0401)
    assert all(p < 0.05 for p in ps)


def test_win_rates_by_best(results):
    rates = win_rates(results.blocked("benchmark", "best"))
    won = {
        o: [round(float(r), 2) for j, r in enumerate(rates[i]) if j != i]
        for i, o in enumerate(ORDER)
    }
    assert won["pcdarts"] == [0.89, 0.78, 0.78, 0.56, 0.78, 0.89]


def test_one_command_prints_it():
    run = CliRunner().invoke(cli, ["suite", "report", str(FILE)])
    assert run.exit_code == 0, run.output
    assert max(map(len, run.output.splitlines())) <= 80
    for text in (
        "5.00   2.67       4.78  2.78  3.89     3.11    5.78",
        "chi2(6) = 17.05, p .0091",
        "Kendall's W     0.316",
        "3 of 21 pairs have p <= 0.05 before correction, 0 of 21 after Holm",
        "-.52   .14  [-.71, -.33]",
        "setting                38.6 %",
        "one seed per cell",
    ):
        assert text in run.output
    best = CliRunner().invoke(cli, ["suite", "report", str(FILE), "--best"])
    assert "BEST OF THE SETTINGS" in best.output
    assert "chi2(6) = 21.29, p .0016" in best.output
    assert "-.43   .24" in best.output
    assert "BEST OF" not in run.output
