"""Generated cells of the bundled spaces and of spaces that edits have changed, in float64."""

import pytest
from generated_pairs import assert_same, needs_compiler, pair
from spaces_for_tests import bundled_space, images

from nasdsl.fusion.generated.cover import refusal
from nasdsl.passes.aux_skip import aux_skip
from nasdsl.passes.drop_op import drop_op
from nasdsl.passes.edge_norm import edge_norm
from nasdsl.passes.partial import partial
from nasdsl.passes.prune import prune

pytestmark = needs_compiler

SPACES = [
    ("nasbench201.nas", "nasbench201", {"C": 6, "n": 1}, 8),
    ("nasbench101.nas", "nb1shot1_s1", {"C": 4, "n": 1}, 8),
    ("nasbench101.nas", "nb1shot1_s2", {"C": 4, "n": 1}, 9),
    ("nasbench101.nas", "nb1shot1_s3", {"C": 4, "n": 1}, 8),
    ("nasbench101.nas", "nasbench101", {"C": 8, "n": 1}, 8),
    ("robust_darts.nas", "robust_s1", {"C": 4, "layers": 3}, 8),
    ("robust_darts.nas", "robust_s2", {"C": 4, "layers": 3}, 8),
    ("robust_darts.nas", "robust_s3", {"C": 4, "layers": 3}, 7),
    ("robust_darts.nas", "robust_s4", {"C": 4, "layers": 3}, 8),
    ("nasnet.nas", "nasnet", {"C": 4, "layers": 2}, 12),
    ("mobile.nas", "nasbench_macro", {"C": 4}, 16),
]


@pytest.mark.parametrize(("file", "name", "parameters", "size"), SPACES)
def test_bundled_spaces(file, name, parameters, size):
    space = bundled_space(file, name, data=images(size=size), **parameters)
    plain, made, result = pair(space)
    assert result.regions
    left = [n for n in made.graph.graph.nodes if n.op == "call_module"]
    # Everything that could be taken was: what is left has a reason.
    assert all(refusal(n) is not None for n in left)
    assert {str(n.target) for n in left} == {r.place for r in result.refused}
    assert_same(plain, made, steps=2)


def darts():
    return bundled_space("darts.nas", "darts", C=8, layers=3, data=images(size=8))


EDITS = {
    "partial": lambda s: partial(s, 4),
    "partial_normalised": lambda s: edge_norm(partial(s, 4)),
    "auxiliary": aux_skip,
    "without": lambda s: drop_op(s, ("skip_connect", "sep_conv_5x5")),
    "pruned": lambda s: prune(s, {"normal/x[2]<-prev": ("sep_conv_3x3", "max_pool_3x3")}),
}


OUTSIDE = {"auxiliary": {"Scaled", "FactorizedReduce"}, "without": {"Dropped"}}


@pytest.mark.parametrize("edit", sorted(EDITS))
def test_edited_spaces(edit):
    plain, made, result = pair(EDITS[edit](darts()))
    nodes = [n for n in made.graph.graph.nodes if n.op == "call_module"]
    inside = [n for n in nodes if str(n.target).startswith(("normal", "reduce"))]
    # A number that a search sets, and noise, stay outside; nothing else does.
    left = {type(made.graph.get_submodule(str(n.target))).__name__ for n in inside}
    assert left <= OUTSIDE.get(edit, set()), left
    assert_same(plain, made, steps=2)
