"""Two parents that change different parts of one cell: the child has both changes.

The child once took the cell of its first parent and lost what the second one changed.
"""

from spaces_for_tests import space_of

PARENTS = """nas 1
from "darts.nas" import darts, darts8
space a extends darts {
  cell normal { edge prev -> x[1] : one_of (darts8 - {none}) }
}
space b extends darts {
  cell normal { edge prev2 -> x[4] : one_of (darts8 - {skip_connect}) }
}
"""


def labels(space):
    return {d.id: len(d.labels) for d in space.decisions if d.table == "normal"}


def test_both_changes_are_in_the_child():
    found = labels(space_of(PARENTS + "space both extends a, b {}\n", "both"))
    assert found["normal/x[1]<-prev"] == 7
    assert found["normal/x[4]<-prev2"] == 7
    assert sorted(found.values()) == [7, 7] + [8] * 12


def test_a_child_that_changes_the_cell_keeps_both():
    child = "space both extends a, b {\n  cell normal { keep 1 per node except {none} }\n}\n"
    space = space_of(PARENTS + child, "both")
    assert labels(space)["normal/x[4]<-prev2"] == 7
    assert labels(space)["normal/x[1]<-prev"] == 7
    (rules,) = (r for r in space.rules if r.table == "normal")
    assert {k.count for k in rules.keeps} == {1}
