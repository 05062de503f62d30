"""Supernets compiled from `.nas` files equal an independent implementation, in float64.

The fixtures hold formulas for inputs and weights and the numbers that must come out: logits,
loss, gradients of alphas, norm of all weight gradients. See `fixtures/README.md`. Where a fixture
differs from the published space, the difference is a small space here that extends the bundled one.
"""

from independent import agree, fixture, supernet, ways
from spaces_for_tests import bundled_space, images, space_of

SPACES = {
    "darts_c4_l3": ("darts.nas", "darts", {"C": 4, "layers": 3}),
    "darts_wide_like_c6_l4": ("darts.nas", "darts", {"C": 6, "layers": 4}),
    "darts_single_cell_c4_l1_s8": ("darts.nas", "darts", {"C": 4, "layers": 1, "nodes": 8}),
    "nb201_c4_n1": ("nasbench201.nas", "nasbench201", {"C": 4, "n": 1}),
    "robust_s1_c4_l3": ("robust_darts.nas", "robust_s1", {"C": 4, "layers": 3}),
    "robust_s2_c4_l3": ("robust_darts.nas", "robust_s2", {"C": 4, "layers": 3}),
    "darts_all_skip_c4_l3": ("", "all_skip", {"C": 4, "layers": 3}),
    "tnb101_c4": ("", "plain_stem", {"C": 4}),
}
VARIANTS = """nas 1
from "darts.nas" import darts, skip
from "transbench101.nas" import block, tnb101_micro

# an unweighted skip beside every edge
space all_skip extends darts {
  op link = one_of candidates + skip
}

op biased_skip = identity if stride == 1 and c_in == width else factorized_reduce(bias = true)

ops biased_ops {
  none
  skip_connect = biased_skip
  nor_conv_1x1 = block(1)
  nor_conv_3x3 = block(3)
}

# one convolution of stride 1 as stem, factorized reductions with bias
space plain_stem extends tnb101_micro {
  cell c {
    edge {a, x[<]} -> x : one_of biased_ops
  }
  stem conv(3) >> bn
}
"""


def fixture_path(stages, name):
    """The fixture's name of one of our convolutions or linear maps, without its number."""
    stage, *rest = name.split(".")
    if stage in ("stem", "head"):
        return stage
    c = [s for s in stages if s not in ("stem", "head")].index(stage)
    if stage.startswith("resblock"):
        return f"cell{c}/resblock"
    place = rest[0]
    states = {"prev2": 0, "prev": 1, "x1": 2} if "normal" in stage or "reduce" in stage else {}
    offset = 2 if states else 1
    if place in ("prev2", "prev"):
        return f"cell{c}/pre{states[place]}"
    target, source = place.split("_", 1)

    def number(node):
        return {"prev2": 0, "prev": 1, "a": 0}.get(
            node, offset - 1 + int(node[1:]) if node[0] == "x" else 0
        )

    # Where a skip stands beside the choice, the choice has a scope of its own.
    op = {"choice": rest[2] if len(rest) > 2 else "", "factorized_reduce": "aux_skip"}.get(
        rest[1], rest[1]
    )
    return f"cell{c}/edge{number(source)}-{number(target)}/{op}"


def case(name):
    """The space of a fixture, its numbers, how it names weights, the mix from its alphas."""
    data = fixture(name)
    file, space_name, parameters = SPACES[name]
    shape = data["input_shape"]
    given = {**parameters, "data": images(shape[1], shape[2], data["classes"])}
    space = (
        bundled_space(file, space_name, **given)
        if file
        else space_of(VARIANTS, space_name, **given)
    )
    stages = [s.name for s in space.supernet.stages]

    def mix_of(weights):
        names = ["normal", "reduce"] if len(weights) == 2 else ["c"]
        return dict(zip(names, weights, strict=True))

    return space, data, lambda n: fixture_path(stages, n), mix_of


@ways(SPACES, every=("darts_c4_l3", "nb201_c4_n1"))
def test_supernet_equals_the_independent_implementation(name, profile, mode, compiler, monkeypatch):
    space, *numbers = case(name)
    agree(supernet(space, profile, compiler, monkeypatch), *numbers, mode)
