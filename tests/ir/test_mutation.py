"""One step changes one decision, and the distance counts steps."""

import random

import pytest
from spaces_for_tests import bundled_space, space_of

from nasdsl.ir.distance import changes, distance
from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.member import check
from nasdsl.ir.mutation import NoNeighbour, mutate, neighbours
from nasdsl.ir.sampling import sample

SPACES = (
    ("darts.nas", "darts"),
    ("nasbench201.nas", "nasbench201"),
    ("nasbench101.nas", "nasbench101"),
    ("nasbench101.nas", "nb1shot1_s2"),
    ("mobile.nas", "ofa_mobilenet_v3"),
    ("transformers.nas", "vit_tiny"),
    ("small.nas", "tabular"),
    ("small.nas", "conv1d"),
    ("small.nas", "hierarchical"),
)


@pytest.mark.parametrize(("file", "name"), SPACES, ids=[s[1] for s in SPACES])
def test_steps_stay_in_the_space_and_are_one_apart(file, name):
    space = bundled_space(file, name)
    rng = random.Random(0)
    genotype = sample(space, rng)
    for _ in range(30):
        other = mutate(space, genotype, rng)
        assert check(other, space) == other
        assert distance(space, genotype, other) == distance(space, other, genotype) == 1
        genotype = other
    around = list(neighbours(space, genotype))
    assert len({g.picks for g in around}) == len(around)
    for other in around:
        assert check(other, space) == other
        assert distance(space, genotype, other) == 1


def test_how_many_neighbours_there_are():
    nb201 = bundled_space("nasbench201.nas", "nasbench201")
    assert len(list(neighbours(nb201, sample(nb201, random.Random(0))))) == 6 * 4
    darts = bundled_space("darts.nas", "darts", C=4, layers=3)
    # Two kept edges a node: six other labels each, and each may move to the edges that are free.
    one = 4 * 2 * 6 + 2 * (0 + 1 + 2 + 3)
    assert len(list(neighbours(darts, sample(darts, random.Random(0))))) == 2 * one
    s1 = bundled_space("nasbench101.nas", "nb1shot1_s1")
    # Four vertices of three operations; pick 2 of 3, of 4 and of 5.
    assert len(list(neighbours(s1, sample(s1, random.Random(0))))) == 4 * 2 + 2 * 1 + 2 * 2 + 2 * 3


def test_every_step_of_a_small_space_leads_everywhere():
    space = bundled_space("nasbench101.nas", "nasbench101", vertices=4)
    start = sample(space, random.Random(0))
    seen, todo = {start.picks}, [start]
    while todo:
        for other in neighbours(space, todo.pop()):
            if other.picks not in seen:
                seen.add(other.picks)
                todo.append(other)
    assert len(seen) == space.size() == 504


DEPTH = """nas 1
space s {
  width = 4
  input image(3, 8, 8)
  stem conv(3)
  repeat int 1..3 { stage conv(one_of {1, 3}) }
  stage one_of { identity, conv(one_of {3, 5, 7}) }
  head global_avg_pool >> linear(10)
}
"""


def test_what_an_option_brings_and_takes_away():
    space = space_of(DEPTH, "s")
    rounds = [d.id for d in space.decisions[0].nested[2]]
    three = Genotype(
        space="s",
        picks=(
            ("body[1]", "3"),
            *((r, label) for r, label in zip(rounds, "313", strict=True)),
            ("body[2]", "identity"),
        ),
    )
    around = list(neighbours(space, three))
    assert len(around) == 2 + 3 + 1
    two = next(g for g in around if g.of("body[1]") == ("2",))
    assert [g for g, _ in two.picks] == ["body[1]", *rounds[:2], "body[2]"]
    assert [two.of(r)[0] for r in rounds[:2]] == ["3", "1"]
    # Back to three rounds: the two that were there stay, the third is new.
    back = [g for g in neighbours(space, two) if g.of("body[1]") == ("3",)]
    assert [g.of(r)[0] for g in back for r in rounds] == ["3", "1", "1"]
    drawn = {mutate(space, two, random.Random(i)).of(rounds[2]) for i in range(60)}
    assert drawn == {(), ("1",), ("3",)}
    wide = next(g for g in around if g.of("body[2]") != ("identity",))
    assert len(wide.picks) == len(three.picks) + 1
    # What only one of them has counts nothing; it is listed.
    found = changes(space, three, wide)
    assert [c.distance for c in found] == [1, 0]
    assert distance(space, two, three) == 1


def test_distances_by_hand():
    darts = bundled_space("darts.nas", "darts", C=4, layers=3)

    def of(last):
        nodes = [("sep_conv_3x3", 0), ("sep_conv_3x3", 1)] * 3
        text = f"Genotype(normal={nodes + last!r}, reduce={nodes + nodes[:2]!r})"
        return forms.parse(text, darts)

    start = of([("skip_connect", 0), ("max_pool_3x3", 2)])
    for last, steps in (
        ([("skip_connect", 0), ("max_pool_3x3", 2)], 0),
        ([("max_pool_3x3", 2), ("skip_connect", 0)], 0),  # the order of edges is nothing
        ([("skip_connect", 0), ("max_pool_3x3", 3)], 1),  # moved
        ([("sep_conv_3x3", 0), ("max_pool_3x3", 2)], 1),  # changed
        ([("max_pool_3x3", 0), ("skip_connect", 2)], 2),  # exchanged
        ([("skip_connect", 2), ("max_pool_3x3", 0)], 2),
        ([("skip_connect", 1), ("max_pool_3x3", 3)], 2),
        ([("sep_conv_3x3", 1), ("dil_conv_3x3", 3)], 4),
    ):
        assert distance(darts, start, of(last)) == steps, last
    other = forms.parse(
        forms.dumps(start, darts).replace("normal_concat=[2, 3, 4, 5]", "normal_concat=[4, 5]"),
        darts,
    )
    assert distance(darts, start, other) == 1
    assert [c.place for c in changes(darts, start, other)] == ["normal/out"]


def test_a_space_without_a_choice_has_no_neighbour():
    text = """nas 1
space s {
  width = 4
  input image(3, 8, 8)
  stem conv(3)
  head global_avg_pool >> linear(10)
}
"""
    space = space_of(text, "s")
    assert list(neighbours(space, sample(space, random.Random(0)))) == []
    with pytest.raises(NoNeighbour, match="nothing of this architecture"):
        mutate(space, sample(space, random.Random(0)), random.Random(0))
