"""Rankings from level to level of a factor, and how results move with the cut of the data."""

import csv
import json
import math
from fractions import Fraction

import numpy as np
import pytest
import tiny
from click.testing import CliRunner

from nasdsl import driver
from nasdsl.cli.main import cli
from nasdsl.diagnostics.model import CompileError
from nasdsl.report.cuts_text import cuts_text
from nasdsl.report.factors_text import factors_text
from nasdsl.source import Source
from nasdsl.suite import declaration, planning
from nasdsl.suite.cuts import cut_of
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.folder import create
from nasdsl.suite.outcome import _changes
from nasdsl.suite.statistics.cuts import CutValue, cuts
from nasdsl.suite.statistics.factors import Reported, factors
from nasdsl.suite.statistics.results import StatisticsError


def row(value, *, optimizer="a", space="s", split="cut", setting="t", seed="0", **changes):
    names = {
        "optimizer": optimizer, "space": space, "dataset": "d", "split": split,
        "setting": setting, "seed": seed,
    }  # fmt: skip
    return Reported(names=names, changes=changes, value=value)


def by_split(table):
    """`table[split][optimizer]`, two search seeds around each value."""
    return [
        row(v + off, optimizer=o, split=s, seed=str(k))
        for s, values in table.items()
        for o, v in values.items()
        for k, off in enumerate((-0.5, 0.5))
    ]


def test_optimizers_are_ranked_at_every_split_and_seeds_averaged():
    rows = by_split(
        {
            "x": {"a": 10, "b": 20, "c": 30, "d": 40},
            "y": {"a": 1, "b": 2, "c": 3, "d": 4},
            "z": {"a": 4, "b": 3, "c": 2, "d": 1},
        }
    )
    (found,) = factors(rows, "split")
    assert found.levels == ("x", "y", "z") and found.means["c"] == (30, 3, 2)
    taus = {(p.a, p.b): p.tau for p in found.pairs}
    assert taus == {("x", "y"): 1, ("x", "z"): -1, ("y", "z"): -1}
    assert found.pairs[0].items == 4 and found.pairs[0].blocks == 1
    assert found.pairs[0].p == pytest.approx(2 / math.factorial(4))


def test_blocks_are_what_else_differs():
    """Two spaces: in one the order holds, in the other it turns round; the mean is 0."""
    rows = [
        row(v if s == "x" or space == "p" else -v, optimizer=o, split=s, space=space)
        for space in "pq"
        for s in "xy"
        for o, v in zip("abc", (1, 2, 3), strict=True)
    ]
    (found,) = factors(rows, "split")
    (pair,) = found.pairs
    assert pair.blocks == 2 and pair.tau == 0 and pair.p is None


def test_a_parameter_is_found_in_every_dimension_that_gives_it_several_values():
    rows = [
        row(
            float(10 * search + train + i),
            optimizer=f"darts(epochs = {search})",
            setting=f"short(epochs = {train})",
            seed=str(seed),
            optimizer_=None,
        )
        for i, (search, train, seed) in enumerate(
            (s, t, k) for s in (5, 50) for t in (12, 200) for k in range(2)
        )
    ]
    rows = [
        Reported(
            names=r.names,
            changes={
                "optimizer": {"epochs": r.names["optimizer"][15:-1]},
                "setting": {"epochs": r.names["setting"][15:-1]},
            },
            value=r.value,
        )
        for r in rows
    ]
    searched, trained = factors(rows, "epochs", k=2)
    assert searched.title == "epochs of recipes" and searched.levels == ("5", "50")
    # One recipe: nothing to rank, and it is said.
    assert not searched.pairs and "1 item" in searched.notes[0]
    # Architectures, four of them: two lengths of the search, two seeds.
    assert trained.title == "epochs of retraining" and trained.pairs[0].items == 4
    assert trained.pairs[0].tau == 1 and trained.pairs[0].overlap == 1


def test_the_best_at_one_level_among_the_best_at_another():
    values = {"x": (1, 2, 3, 4, 5), "y": (1, 5, 2, 3, 4)}
    rows = [
        row(v, optimizer=o, split=s)
        for s, vs in values.items()
        for o, v in zip("abcde", vs, strict=True)
    ]
    (found,) = factors(rows, "split", k=2)
    assert found.pairs[0].overlap == 0.5  # {d, e} and {b, e}
    (found,) = factors(rows, "split", k=2, higher=False)
    assert found.pairs[0].overlap == 0.5  # {a, b} and {a, c}
    (found,) = factors(rows, "split", k=5)
    assert found.pairs[0].overlap is None and "more than 5 items" in found.notes[0]


def test_levels_are_said_in_few_columns():
    rows = by_split(
        {f"cut(seed = {i})": dict(zip("abc", (1, 2, 3), strict=True)) for i in range(9)}
    )
    text = factors_text(factors(rows, "split"))
    assert "9 levels" in text and "36 pairs of levels +1.00" in text
    assert max(map(len, text.splitlines())) <= 80


# ---- what a suite may ask for


def suite(report, **slots):
    """A suite whose `report` is given."""
    given = {"splits": "[few]", "retrain": "[short]", **slots}
    body = "\n".join(f"  {k} = {v}" for k, v in given.items())
    text = f"{tiny.TEXT}\nsuite asked extends both {{\n{body}\n  report = {report}\n}}\n"
    loaded = driver.load(Source.of("asked.nas", text))
    return declaration.declared(loaded, "asked")


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ("[meen(test.accuracy)]", "unknown report `meen`"),
        ("[mean(test.acuracy)]", "did you mean `test.accuracy`"),
        ("[mean(3)]", "what is measured"),
        ("[precision_at]", "`precision_at` needs `k`"),
        ("[friedman(by = split)]", "`friedman` has no argument `by`"),
        ("[rank(worst)]", "`of` is one of mean, best"),
        ("[mean(test.accuracy), std(test.error)]", "a suite reports one measure"),
        ("[mean(test.accuracy), rank(best)]", "`mean` and `best` are two ways"),
        ("mean(test.accuracy)", "`report` is a list"),
    ],
)
def test_an_entry_that_would_be_ignored_is_refused(report, said):
    with pytest.raises(CompileError) as error:
        suite(report)
    told = [f"{d.message} {d.help or ''}" for d in error.value.diagnostics]
    assert any(said in t for t in told), told


def test_entries_are_read():
    found = suite("[mean(test.error), kendall_tau(by = split), precision_at(3, by = lr)]",
                  retrain="grid(short, lr = [0.05, 0.1])")  # fmt: skip
    assert found.measure == "test.error" and not found.best
    assert found.by == (("split", None), ("lr", 3))
    assert suite("[rank(best)]").best and suite("[best(test.accuracy)]").best
    assert suite("[precision_at(2)]").by == (("retrain", 2),)


def test_a_factor_with_one_level_is_refused():
    with pytest.raises(SuiteError, match="no calls in it give `lr` different values"):
        suite("[kendall_tau(by = lr)]")
    with pytest.raises(SuiteError, match="did you mean `split`"):
        suite("[kendall_tau(by = spilt)]")


# ---- cuts of the data


def test_bundled_cuts_are_what_they_say():
    loaded = driver.load(driver.where_bundled("split_ratios", "suite"))
    made = planning.run_plan(loaded, {
        "items": {"space": "single_cell", "recipe": "small_darts", "split": "stratified_cut",
                  "dataset": "digits", "train": "small_train"},
        "parameters": {"C": "4"}, "changes": {"split.weights": "7/10", "split.seed": "2"}, "seed": 0,
    })  # fmt: skip
    assert cut_of(made.split) == ("weights", Fraction(7, 10), "stratified", 2)
    share = {k: (v.low, v.high) for k, v in made.split.values}
    assert share["search.train"] == (0, Fraction(7, 20))
    assert share["search.valid"] == (Fraction(7, 20), Fraction(1, 2))


def test_changes_of_an_order_by_dimension():
    order = {
        "parameters": {"C": "4"},
        "changes": {"epochs": "5", "split.seed": "1", "train.lr": "1/40"},
    }
    assert _changes(order) == {
        "space": {"C": "4"}, "optimizer": {"epochs": "5"}, "split": {"seed": "1"},
        "setting": {"lr": "0.025"},
    }  # fmt: skip


def planted(slope=10.0, noise=0.1, seeds=4, *, turn=None):
    """Accuracy that grows by `slope` per whole; at share `turn` the order turns round."""
    draw = np.random.default_rng(0)
    return [
        CutValue(
            optimizer=o, place=p, family="search", share=Fraction(share, 10), order=order,
            seed=str(seed),
            value=70 + slope * share / 10 + (-1 if share == turn else 1) * 2 * i + noise * draw.normal(),
        )
        for share in (5, 6, 7, 8)
        for order in ("shuffled", "stratified")
        for seed in range(seeds)
        for p in ("wide", "deep")
        for i, o in enumerate("abcd")
    ]  # fmt: skip


def test_a_planted_trend_and_a_planted_change_of_ranks_are_found():
    found = cuts(planted(turn=8), measure="accuracy", higher=True)
    assert [(s.family, s.order, s.seeds) for s in found.series] == [
        ("search", "shuffled", 4), ("search", "stratified", 4),
    ]  # fmt: skip
    by = {c.share: c for c in found.series[0].cuts}
    assert by[Fraction(6, 10)].tau.mean == 1 and by[Fraction(8, 10)].tau.mean == -1
    assert all(c.noise == 1 for c in by.values())
    assert by[Fraction(1, 2)].change is None and by[Fraction(1, 2)].tau is None
    change = by[Fraction(6, 10)].change
    assert change.bounds.low < 1 < change.bounds.high and change.bounds.high - change.bounds.low < 1
    (orders,) = found.orders
    assert [s for s, *_ in orders.cuts] == [Fraction(k, 10) for k in (5, 6, 7, 8)]
    flat = cuts(planted(), measure="accuracy", higher=True).series[0].slope
    assert flat.bounds.low < 1.0 < flat.bounds.high  # ten points per whole, one for 10 %
    text = cuts_text(found)
    assert "50/50" in text and "80/20" in text and max(map(len, text.splitlines())) <= 80


def test_what_cuts_do_not_allow_is_said():
    few = cuts(planted(seeds=1), measure="accuracy", higher=True)
    assert few.series[0].cuts[0].mean.bounds is None
    assert any("1 seed of an order: 3 are needed" in n for n in few.notes)
    one = [v for v in planted() if v.share == Fraction(1, 2) and v.order == "shuffled"]
    with pytest.raises(StatisticsError, match="one cut of the data"):
        cuts(one, measure="accuracy", higher=True)
    holes = [v for v in planted() if not (v.seed == "0" and v.optimizer == "a")]
    made = cuts(holes, measure="accuracy", higher=True)
    assert made.series[0].seeds == 3 and any("left out" in n for n in made.notes)


def test_the_half_cut_belongs_to_both_families():
    rows = planted()
    rows += [
        CutValue(optimizer=v.optimizer, place=v.place, family="weights", share=v.share,
                 order=v.order, seed=v.seed, value=v.value)
        for v in rows if v.share != Fraction(1, 2)
    ]  # fmt: skip
    found = cuts(rows, measure="accuracy", higher=True)
    assert {(s.family, len(s.cuts)) for s in found.series} == {("search", 4), ("weights", 4)}


def test_cuts_of_a_table(tmp_path):
    file = tmp_path / "cuts.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["recipe", "space", "share", "split_seed", "order", "accuracy"])
        for v in planted():
            writer.writerow(
                [v.optimizer, v.place, f"{float(100 * v.share):g}%", v.seed, v.order, v.value]
            )
    made = CliRunner().invoke(cli, ["validate", "splits", str(file)])
    assert made.exit_code == 0, made.output
    assert "60/40" in made.output and "stratified" in made.output
    made = CliRunner().invoke(cli, ["validate", "splits", str(file), "--format", "json"])
    report = json.loads(made.output)
    assert report["series"][0]["cuts"][0]["share"] == 0.5
    file.write_text(file.read_text().replace("share", "part", 1))
    wrong = CliRunner().invoke(cli, ["validate", "splits", str(file)])
    assert wrong.exit_code == 1 and "no column for the share" in wrong.output


CUTS = """
split halves(share = 50%, seed = 0) {
  let order     = shuffle(data, seed = seed)
  search.train  = order[0%..share / 2]
  search.valid  = order[share / 2..share]
  retrain.train = order[share..100%]
}
suite cut extends every {
  recipes = [soft, hard, soft(rate = 0.1)]
  splits  = grid(halves, share = [50%, 60%, 80%], seed = [0..2])
  seeds   = [0]
  report  = [mean(test.accuracy), kendall_tau(by = share)]
}
"""


def test_cuts_of_a_suite(tmp_path):
    """Results are put into the store of a planned suite: better by 1 point for 10 % more."""
    file = tmp_path / "cut.nas"
    file.write_text(tiny.TEXT + CUTS)
    loaded = driver.load(file)
    made = planning.plan(loaded, declaration.declared(loaded, "cut"))
    folder = create(tmp_path / "out", loaded, made)
    store = folder.open()
    worth = {"soft": 0, "hard": 1, "soft(rate = 0.1)": 2}
    while (taken := store.claim("test")) is not None:
        cell = taken.cell
        accuracy = 60 + worth[cell.names["optimizer"]]
        accuracy += 10 * float(Fraction(cell.order["changes"].get("split.share", "1/2")))
        store.finish(cell.digest, "test", {"test": {"accuracy": accuracy}}, 1.0)
    store.close()
    run = CliRunner().invoke(cli, ["validate", "splits", str(folder.path)])
    assert run.exit_code == 0, run.output
    text = " ".join(run.output.split())
    assert "images for the search : for retraining, shuffled, 3 seeds" in text
    assert "80/20 69.00 +-0.00 +3.00 +-0.00 +1.00" in text
    assert "trend +1.00 for 10 % more" in text
    told = CliRunner().invoke(cli, ["suite", "report", str(folder.path)])
    assert told.exit_code == 0 and "by share of splits: 3 levels" in told.output, told.output
