"""Statistics against small hand-made answers, planted effects, and scipy where it is installed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nasdsl.report.suite_text import study_text
from nasdsl.suite import table
from nasdsl.suite.statistics import agreement, distributions, pairwise, power
from nasdsl.suite.statistics.bootstrap import interval
from nasdsl.suite.statistics.friedman import cliques, friedman
from nasdsl.suite.statistics.ranks import average_ranks, ranks
from nasdsl.suite.statistics.results import Layout, Result, Results, StatisticsError
from nasdsl.suite.statistics.study import study
from nasdsl.suite.statistics.variance import decomposition
from nasdsl.suite.statistics.verdict import verdict


def made(values, *, seeds=1, settings=1, higher=True, noise=0.0):
    """Results of a (optimizers, benchmarks) array of true values."""
    rng = np.random.default_rng(3)
    return Results(
        rows=tuple(
            Result(
                optimizer=f"o{i}",
                benchmark=f"b{j}",
                setting=f"s{s}" if settings > 1 else "",
                seed=str(r),
                value=float(value + s + noise * rng.normal()),
            )
            for i, row in enumerate(values)
            for j, value in enumerate(row)
            for s in range(settings)
            for r in range(seeds)
        ),
        higher=higher,
    )


# ---- the layout


def test_a_layout_cannot_be_made_by_hand():
    with pytest.raises(TypeError, match="blocked"):
        Layout(optimizers=("a",), blocks=("b",), values=np.zeros((1, 1)))
    layout = made([[1, 2], [3, 4]]).blocked()
    with pytest.raises(ValueError, match="read-only"):
        layout.values[0, 0] = 9
    with pytest.raises(AttributeError):
        layout.optimizers = ("x",)


@pytest.mark.parametrize("by", ["benchmark", "setting", "seed"])
def test_optimizers_are_the_treatments_whatever_the_blocks_are(by):
    results = made(np.arange(12.0).reshape(3, 4), seeds=2, settings=5)
    layout = results.blocked(by)
    assert layout.optimizers == ("o0", "o1", "o2")
    assert layout.values.shape == (layout.n, 3)
    assert layout.n == {"benchmark": 4, "setting": 5, "seed": 2}[by]
    assert tuple(average_ranks(layout)) == (3, 2, 1)


def test_incomplete_blocks_are_left_out_and_named():
    results = made(np.arange(12.0).reshape(3, 4))
    partial = results.where(lambda r: (r.optimizer, r.benchmark) != ("o1", "b2"))
    layout = partial.blocked()
    assert layout.blocks == ("b0", "b1", "b3")
    assert layout.dropped == ("b2",)
    assert any("b2" in n for n in study(partial).notes)


def test_a_combination_twice_is_refused():
    row = Result(optimizer="a", benchmark="b", value=1.0)
    with pytest.raises(StatisticsError, match="two values for a / b"):
        Results(rows=(row, row))
    with pytest.raises(StatisticsError, match="no number"):
        Results(rows=(Result(optimizer="a", benchmark="b", value=math.nan),))


def test_seeds_are_averaged_before_settings_and_never_counted_as_blocks():
    rows = [("s0", "0", 10.0), ("s0", "1", 20.0), ("s0", "2", 30.0), ("s1", "0", 40.0)]
    results = Results(
        rows=tuple(
            Result(optimizer="a", benchmark="b", setting=s, seed=r, value=v) for s, r, v in rows
        )
    )
    assert results.one("a", "b", "mean") == 30.0  # (20 + 40) / 2
    assert results.one("a", "b", "best") == 40.0
    assert results.blocked().n == 1


def test_less_can_be_better():
    results = made([[5, 6, 7], [1, 2, 3]], higher=False)
    assert tuple(average_ranks(results.blocked())) == (2, 1)
    assert study(made([[5.0], [1.0]], settings=2, higher=False)).cell("o0", "b0").best == 5.0


# ---- planted effects


def test_planted_order_is_found():
    order = np.array([3.0, 1.0, 2.0, 0.0])
    values = order[:, None] * 5 + np.arange(8)[None, :]
    found = study(made(values, seeds=3, noise=0.01))
    assert dict(found.ranks) == {"o0": 1.0, "o2": 2.0, "o1": 3.0, "o3": 4.0}
    assert found.concordance == pytest.approx(1.0)
    assert found.friedman.chi2 == pytest.approx(8 * 3)
    assert found.friedman.f_p == 0.0 or found.friedman.f_p < 1e-10
    assert all(p.wilcoxon.p == 2 / 2**8 for p in found.pairs)
    assert all(p.holm == pytest.approx(6 * 2 / 2**8) for p in found.pairs)
    assert all(a.tau.coefficient == 1 for a in found.agreement)
    assert all(a.tau.p == pytest.approx(2 / math.factorial(4)) for a in found.agreement)
    assert all(abs(p.effect.biserial) == 1 for p in found.pairs)
    shares = {s.source: s.percent for s in found.shares}
    assert shares["seed"] < 0.01 and shares["optimizer"] > shares["benchmark"]


def test_planted_disagreement_is_found():
    up = np.arange(6.0)
    found = study(made(np.stack([up, up[::-1]], axis=1)))
    (only,) = found.agreement
    assert only.tau.coefficient == -1
    assert only.tau.p == pytest.approx(2 / math.factorial(6))
    assert found.concordance == pytest.approx(0)
    assert found.friedman.p == pytest.approx(1)


def test_planted_variance_is_recovered():
    rng = np.random.default_rng(0)
    o, b, s = rng.normal(size=6) * 2, rng.normal(size=7) * 3, rng.normal(size=5) * 1
    rows = [
        Result(optimizer=f"o{i}", benchmark=f"b{j}", setting=f"s{k}", seed="0", value=x + y + z)
        for i, x in enumerate(o)
        for j, y in enumerate(b)
        for k, z in enumerate(s)
    ]
    found = {x.source: x.percent for x in decomposition(Results(rows=tuple(rows)))}
    total = o.var() + b.var() + s.var()
    for name, part in (("optimizer", o), ("benchmark", b), ("setting", s)):
        assert found[name] == pytest.approx(100 * part.var() / total)
    assert found["residual"] == pytest.approx(0, abs=1e-9)


def test_no_cliques_without_a_significant_friedman_test():
    rng = np.random.default_rng(5)
    layout = made(rng.normal(size=(4, 6))).blocked()
    test = friedman(layout)
    assert test.p > 0.05
    assert cliques(layout, test) is None
    assert "no groups are formed" in study_text(study(made(rng.normal(size=(4, 6)))))


def test_one_seed_is_warned_about():
    one, three = made(np.eye(3)), made(np.eye(3), seeds=3, noise=0.1)
    assert any("one seed per cell" in n for n in study(one).notes)
    assert not any("one seed per cell" in n for n in study(three).notes)
    assert "every seed" in study_text(study(three))


def test_long_names_fit_into_eighty_columns():
    rows = [
        Result(optimizer=f"an_optimizer_with_a_name({o})", benchmark=f"b{b}", seed=s, value=float(o * b + int(s)))
        for o in range(3)
        for b in range(7)
        for s in "012"
    ]  # fmt: skip
    text = study_text(study(Results(rows=tuple(rows))))
    assert max(map(len, text.splitlines())) <= 80
    assert "mean +- standard deviation over seeds, and 95 % bootstrap" in text
    assert "c an_optimizer_with_a_name(2)" in text


def test_significant_is_not_said_where_n_forbids_it():
    text = study_text(study(made([[9, 9, 9, 9, 9], [1, 2, 3, 1, 2]], seeds=2, noise=0.1)))
    assert "cannot be significant (n = 5 gives p >= .062; needs n >= 6)" in " ".join(text.split())
    assert verdict(0.01, n=6, least=2 / 2**6) == "significant"
    assert verdict(0.2, n=6, least=2 / 2**6) == "not significant"
    assert [pairwise.least_p(n) for n in (3, 5, 6, 9)] == [0.25, 0.0625, 0.03125, 2 / 512]
    assert power.smallest_n() == 6 and power.smallest_n(0.01) == 8


def test_power_is_that_of_simulated_tests():
    rng = np.random.default_rng(2)
    for effect, n in ((0.5, 12), (1.0, 9), (2.0, 5)):
        d = rng.normal(effect, 1, size=(20_000, n))
        t = d.mean(1) / (d.std(1, ddof=1) / math.sqrt(n))
        hits = (abs(t) > distributions.t_quantile(0.975, n - 1)).mean()
        assert power.power(effect, n) == pytest.approx(hits, abs=0.012)
    assert power.power(0.0, 10) == pytest.approx(0.05, abs=1e-6)
    assert power.needed(10.0) == 6
    assert power.needed(1e-6) is None


# ---- hand-made answers


def test_ties_share_ranks():
    assert list(ranks([3, 1, 3, 2])) == [3.5, 1, 3.5, 2]


def test_wilcoxon_counts_all_signs():
    found = pairwise.wilcoxon([1, 2, 3, -4, 5, 6])
    # W- = 4: of 64 sign patterns 1+1+1+2+2 = 7 have a sum of at most 4.
    assert (found.statistic, found.p, found.n) == (4, 2 * 7 / 64, 6)
    assert pairwise.wilcoxon([0, 0]).p == 1
    with pytest.raises(StatisticsError):
        pairwise.wilcoxon([])


def test_holm_by_hand():
    assert pairwise.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_effects_by_hand():
    found = pairwise.effect([3, 4, 8], [1, 2, 3])
    assert found.mean == 3
    assert found.cliff == pytest.approx((1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 0) / 9, abs=0.12)
    assert found.biserial == 1
    assert pairwise.effect([1, 1], [1, 1]).hedges == 0


def test_correlations_of_equal_values_are_undefined_not_wrong():
    found = agreement.kendall([1, 1, 1], [1, 2, 3])
    assert math.isnan(found.coefficient) and found.p == 1
    with pytest.raises(StatisticsError):
        agreement.kendall([1], [1])


def test_an_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for i in range(200):
        found = interval(
            rng.normal(size=20), lambda x: float(x.mean()), over="values", times=400, seed=i
        )
        hits += found.low <= 0 <= found.high
    assert 0.88 <= hits / 200 <= 0.985
    assert interval([1.0], lambda x: float(x.mean()), over="values") is None


def test_shares_need_a_balanced_table():
    results = made(np.eye(3), seeds=2, noise=1).where(
        lambda r: (r.optimizer, r.seed) != ("o0", "1")
    )
    with pytest.raises(StatisticsError, match="same number"):
        decomposition(results)
    assert any("cannot be divided" in n for n in study(results).notes)


# ---- scipy


def test_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(7)
    for n in (4, 7, 9, 12):
        x, y = rng.normal(size=n), rng.normal(size=n)
        ours = agreement.kendall(x, y)
        theirs = stats.kendalltau(x, y, method="exact")
        assert ours.coefficient == pytest.approx(theirs.statistic)
        assert ours.p == pytest.approx(theirs.pvalue)
        d = x - y
        theirs = stats.wilcoxon(d, method="exact")
        assert pairwise.wilcoxon(d).p == pytest.approx(theirs.pvalue)
        t = pairwise.paired_t(d)
        assert t.p == pytest.approx(stats.ttest_rel(x, y).pvalue)
        assert t.normal_p == pytest.approx(stats.shapiro(d).pvalue, rel=1e-6)
        assert agreement.spearman(x, y).coefficient == pytest.approx(stats.spearmanr(x, y)[0])
    tied = [1, 2, 2, 3, 3, 3], [2, 1, 3, 3, 2, 4]
    assert agreement.tau(*tied) == pytest.approx(stats.kendalltau(*tied).statistic)
    values = rng.integers(0, 4, size=(5, 8)).astype(float)
    ours = friedman(made(values).blocked())
    theirs = stats.friedmanchisquare(*values)
    assert (ours.chi2, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    for k in (3, 7, 12):
        ours = distributions.range_quantile(0.95, k)
        assert ours == pytest.approx(stats.studentized_range.ppf(0.95, k, np.inf), rel=1e-7)
    for x in (0.1, 1.0, 7.5, 60.0):
        assert distributions.chi2_tail(x, 6) == pytest.approx(stats.chi2.sf(x, 6), rel=1e-9)
        assert distributions.f_tail(x, 6, 48) == pytest.approx(stats.f.sf(x, 6, 48), rel=1e-9)
        assert distributions.t_two_sided(x, 8) == pytest.approx(2 * stats.t.sf(x, 8), rel=1e-9)


# ---- tables


def test_a_table_goes_to_a_file_and_back(tmp_path):
    results = made(np.eye(3), seeds=2, settings=2, noise=1)
    table.write(results, tmp_path / "t.csv")
    back = table.read(tmp_path / "t.csv")
    assert {(r.optimizer, r.benchmark, r.setting, r.seed, r.value) for r in back.rows} == {
        (r.optimizer, r.benchmark, r.setting, r.seed, r.value) for r in results.rows
    }


def test_what_is_wrong_with_a_table_is_said(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("who,where,test_error\na,b,1\na,c,x\n")
    with pytest.raises(StatisticsError, match="no column for the optimizer; it has who, where"):
        table.read(file)
    names = {"optimizer": "who", "benchmark": "where", "value": "test_error"}
    with pytest.raises(StatisticsError, match="line 3: `x` is no number"):
        table.read(file, names)
    with pytest.raises(StatisticsError, match="no column `what`"):
        table.read(file, {**names, "optimizer": "what"})
    file.write_text("who,where,test_error\na,b,1\na,c,2\n")
    assert not table.read(file, names).higher
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StatisticsError):
        table.read(file)
