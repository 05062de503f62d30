"""Which options stay, and the limit of `argmax`, against cases worked out by hand."""

import sys
from fractions import Fraction
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "regressions"))

from small_runs import TEXT, plan  # noqa: E402

from nasdsl.ir.compatibility import conflicts  # noqa: E402
from nasdsl.ir.config import Component, Settings, Steps, Time  # noqa: E402
from nasdsl.oneshot.pruning import keep_of, stay  # noqa: E402
from nasdsl.oneshot.select.argmax import limited, names  # noqa: E402
from nasdsl.passes.prune import prune  # noqa: E402

TOP = Component("top", (("n", Fraction(2)),))


def drop(fraction):
    return Component("drop", (("fraction", Fraction(fraction)),))


@pytest.mark.parametrize(
    ("component", "count", "left"),
    [(TOP, 8, 2), (TOP, 1, 1), (drop("1/4"), 8, 6), (drop("1/4"), 7, 5), (drop("9/10"), 8, 1)],
)
def test_how_many_stay(component, count, left):
    assert stay(component, count) == left


def mix_of(space, rows):
    """A mix: by default the options in falling order."""
    found = {}
    for d in space.decisions:
        row = rows.get(d.id, [0.4, 0.3, 0.2, 0.1][: len(d.labels)])
        found.setdefault(d.table, {})[d.id] = row
    return found


def test_the_best_stay_in_their_order_and_one_that_may_be_chosen():
    space = plan().space()
    first, second = space.decisions[0], space.decisions[1]
    assert first.labels == ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3")
    mix = mix_of(space, {first.id: [0.1, 0.2, 0.3, 0.4]})
    keep = keep_of(space, space, TOP, mix)
    assert keep[first.id] == ("skip_connect", "sep_conv_3x3")
    assert keep[second.id] == ("none", "max_pool_3x3")
    # `none` may not be chosen, so where one stays it is the next.
    one = Component("top", (("n", Fraction(1)),))
    assert keep_of(space, space, one, mix)[second.id] == ("max_pool_3x3",)
    # Fractions are of the options there were, so a second time nothing goes.
    small = plan(text=TEXT).space()
    half = keep_of(small, small, drop("1/2"), mix)
    pruned = prune(small, half)
    assert keep_of(pruned, small, drop("1/2"), mix_of(pruned, {})) == {}


WIDE = TEXT.replace("nodes  = 1", "nodes  = 2").replace("out x[1]", "out concat(x[1..2])")


def test_the_weakest_of_too_many_loses_its_place():
    space = plan(text=WIDE).space()
    skip = {
        "normal/x[1]<-prev2": [0, 0.1, 0.9, 0.0],
        "normal/x[1]<-prev": [0, 0.1, 0.8, 0.1],
        "normal/x[2]<-prev2": [0, 0.3, 0.5, 0.2],
        "normal/x[2]<-prev": [0, 0.1, 0.6, 0.3],
        "normal/x[2]<-x[1]": [0, 0.25, 0.4, 0.35],
    }
    mix = mix_of(space, skip)
    free = limited(space, mix, {}, None)
    assert sum(p[1] == "skip_connect" for p in free.picks if p[0].startswith("normal")) == 4
    held = limited(space, mix, {"skip_connect": 2}, frozenset({"normal"}))
    assert [p for p in held.picks if p[0].startswith("normal")] == [
        ("normal/x[1]<-prev2", "skip_connect"),
        ("normal/x[1]<-prev", "skip_connect"),
        # Without its skip each edge of this node is worth its next best operation.
        ("normal/x[2]<-x[1]", "sep_conv_3x3"),
        ("normal/x[2]<-prev2", "max_pool_3x3"),
    ]
    assert [p for p in held.picks if p[0].startswith("reduce")] == [
        p for p in free.picks if p[0].startswith("reduce")
    ]
    assert names(None) is None and names(("normal",)) == {"normal"}


@pytest.mark.parametrize(
    ("sampler", "other", "slot"),
    [
        ("reinmax", Component("channels", (("edge_norm", True),)), "partial"),
        ("sigmoid", Component("channels", (("edge_norm", True),)), "partial"),
        ("uniform_path", TOP, "prune"),
        ("uniform_path", Steps(((Time(Fraction(1), False), TOP),)), "prune"),
    ],
)
def test_edits_that_do_not_go_together(sampler, other, slot):
    values = (("sampler", Component(sampler)), (slot, other))
    recipe = Settings(kind="recipe", name="r", values=values)
    found = [c for c in conflicts(recipe) if c.slot == slot]
    assert [c.other for c in found] == ["sampler"]
