"""Which edges stay when weights become an architecture: `pick N`, `pick any`, limits of the cell."""

import math
import random

import pytest
from spaces_for_tests import bundled_space, space_of

from nasdsl.ir import discretize
from nasdsl.ir.discretize import DiscretizeError
from nasdsl.ir.printer import print_space
from nasdsl.ir.reader import read_space


def cell(rules, *, node="node x[3]", edge=""):
    return f"""nas 1
space s {{
  cell c {{
    in   a
    {node}
    edge {{a, x[<]}} -> x {edge}
    edge {{a, x}} -> out
    {rules}
    out  sum(x) + a
  }}
  width = 4
  input image(3, 8, 8)
  stem  conv(3)
  stage c
  head  global_avg_pool >> linear(5)
}}
"""


def argmax(space, rows):
    """Discretized with the rows given, all others uniform."""
    mix = {
        table: {d.id: rows.get(d.id, [1 / len(d.labels)] * len(d.labels)) for d in found}
        for table, found in space.tables().items()
    }
    return discretize.argmax(space, mix)


def sources(genotype):
    """Picked sources by node."""
    found = {}
    for identity, label in genotype.picks:
        if identity.endswith("<-*"):
            found.setdefault(identity.removeprefix("c/").removesuffix("<-*"), []).append(label)
    return found


def test_the_strongest_edges_stay_in_the_order_of_their_sources():
    space = bundled_space("nasbench101.nas", "nb1shot1_s1")
    rows = {
        "c/x[3]<-*": [0.2, 0.1, 0.7],
        "c/x[4]<-*": [0.1, 0.3, 0.3, 0.3],
        "c/out<-*": [0.1, 0.1, 0.2, 0.1, 0.5],
    }
    genotype = argmax(space, rows)
    # Equal weights: the lower source first.
    wanted = {"x[3]": ["a", "x[2]"], "x[4]": ["x[1]", "x[2]"], "out": ["x[2]", "x[4]"]}
    assert sources(genotype) == wanted
    assert len([p for p in genotype.picks if not p[0].endswith("<-*")]) == 4


def test_any_subset_is_what_weighs_at_least_as_much_as_without_preference():
    space = space_of(cell("pick any per {x, out}"), "s")
    rows = {
        "c/x[1]<-*": [1.0],
        "c/x[2]<-*": [0.4, 0.6],
        "c/x[3]<-*": [0.34, 0.33, 0.33],
        "c/out<-*": [0.25, 0.2, 0.25, 0.3],
    }
    assert sources(argmax(space, rows)) == {
        "x[1]": ["a"],
        "x[2]": ["x[1]"],
        "x[3]": ["a"],
        "out": ["a", "x[2]", "x[3]"],
    }


@pytest.mark.parametrize("count", [3, 5, 6, 7])
def test_rounding_does_not_decide_where_nothing_is_preferred(count):
    space = space_of(cell("pick any per {x, out}", node=f"node x[{count}]"), "s")
    third = 1 / (count + 1)
    row = [math.nextafter(third, 0)] * (count + 1)
    assert len(sources(argmax(space, {"c/out<-*": row}))["out"]) == count + 1


def test_a_cell_without_a_path_gets_the_strongest_edges():
    """Sigmoid weights may all lie below 1 / n."""
    space = space_of(cell("pick any per {x, out}"), "s")
    rows = {
        "c/x[1]<-*": [0.2],
        "c/x[2]<-*": [0.1, 0.2],
        "c/x[3]<-*": [0.1, 0.2, 0.1],
        "c/out<-*": [0.1, 0.1, 0.1, 0.2],
    }
    found = sources(argmax(space, rows))
    assert found == {"x[1]": ["a"], "x[2]": ["x[1]"], "x[3]": ["x[1]"], "out": ["x[3]"]}


def live(found):
    """Edges on a path from `a` to `out`."""
    edges = [(s, t) for t, names in found.items() for s in names]
    forth, back = {"a"}, {"out"}
    for _ in edges:
        forth |= {t for s, t in edges if s in forth}
        back |= {s for s, t in edges if t in back}
    return [(s, t) for s, t in edges if s in forth and t in back]


@pytest.mark.parametrize("limit", [4, 5, 9])
def test_the_weakest_edges_go_until_the_limit_holds_and_a_path_stays(limit):
    space = space_of(cell(f"pick any per {{x, out}}\n    require edges <= {limit}"), "s")
    draw = random.Random(limit)
    for _ in range(40):
        rows = {
            d.id: [draw.random() for _ in d.labels] for d in space.decisions if d.kind == "subset"
        }
        rows = {k: [w / sum(row) for w in row] for k, row in rows.items()}
        assert 1 <= len(live(sources(argmax(space, rows)))) <= limit


def test_rows_of_different_length_are_compared_by_weight_times_edges():
    """0.35 of three edges is more than 0.5 of two; of equal ones the later goes."""
    text = cell("pick any per {x, out}\n    require edges < 5", node="node x[2]")
    rows = {"c/x[2]<-*": [0.5, 0.5], "c/out<-*": [0.2, 0.35, 0.45]}
    wanted = {"x[1]": ["a"], "x[2]": ["a"], "out": ["x[1]", "x[2]"]}
    assert sources(argmax(space_of(text, "s"), rows)) == wanted


def test_nasbench101_keeps_to_nine_edges():
    space = bundled_space("nasbench101.nas", "nasbench101")
    draw = random.Random(0)
    for _ in range(20):
        rows = {}
        for decision in space.decisions:
            row = [math.exp(draw.gauss(0, 0.2)) for _ in decision.labels]
            rows[decision.id] = [w / sum(row) for w in row]
        assert 1 <= len(live(sources(argmax(space, rows)))) <= 9


def test_operations_of_edges_that_are_not_picked_are_left_out():
    text = cell("pick 1 per x[3]", edge=": one_of {conv(1, out = 4), conv(3, out = 4)}")
    genotype = argmax(space_of(text, "s"), {"c/x[3]<-*": [0.2, 0.5, 0.3]})
    here = [k for k, _ in genotype.picks if k.startswith("c/x[3]<-")]
    assert here == ["c/x[3]<-x[1]", "c/x[3]<-*"]


def test_weights_that_name_nothing_are_errors():
    space = bundled_space("nasbench101.nas", "nb1shot1_s1")
    with pytest.raises(DiscretizeError, match="NaN"):
        argmax(space, {"c/out<-*": [0.1, math.nan, 0.2, 0.1, 0.5]})
    with pytest.raises(DiscretizeError, match="5 edges and 2 weights"):
        argmax(space, {"c/out<-*": [0.1, 0.2]})
    with pytest.raises(DiscretizeError, match="no weights for `c/out<-\\*`"):
        discretize.argmax(
            space, {"c": {d.id: [0.5] * 5 for d in space.decisions if d.id != "c/out<-*"}}
        )


def test_a_limit_below_the_path_that_is_left_is_an_error():
    space = space_of(cell("pick any per {x, out}\n    require edges <= 1"), "s")
    with pytest.raises(DiscretizeError, match="no path to the output of `c` with at most 1 edge"):
        argmax(space, {"c/out<-*": [0.0, 0.0, 0.0, 1.0]})


def test_limits_of_a_cell_are_part_of_the_space():
    text = cell("pick any per {x, out}\n    let most = 3\n    require edges <= most and connected")
    space = space_of(text, "s")
    (limit,) = space.requires
    assert limit.table == "c"
    assert argmax(space, {"c/out<-*": [1.0] * 4}) is not None
    assert read_space(print_space(space)) == space
