"""NAS-Bench-101's cells: pruning, hash, channels, and what its matrices are in our spaces."""

import itertools
import json

import pytest
import random_texts as texts
from spaces_for_tests import bundled_space

from nasdsl.ir.formats import forms, nasbench101
from nasdsl.ir.formats.modelspec import OPERATIONS, Spec
from nasdsl.ir.formats.nasbench101 import fingerprint, prune, vertex_channels
from nasdsl.ir.genotype import GenotypeError

CONV3, CONV1, POOL = OPERATIONS


def spec(matrix, ops=None):
    inner = ops if ops is not None else [CONV3] * (len(matrix) - 2)
    return Spec(matrix=tuple(map(tuple, matrix)), ops=("input", *inner, "output"))


@pytest.fixture(scope="module")
def nb101():
    return bundled_space("nasbench101.nas", "nasbench101", C=20, n=1)


def test_the_hash_of_a_record_of_the_benchmark():
    """The first record of its table, whose hash many tools quote."""
    matrix = [
        [0, 1, 0, 0, 1, 1, 0],
        [0, 0, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 1],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    found = spec(matrix, [CONV3, POOL, CONV3, CONV3, CONV1])
    assert fingerprint(found) == "00005c142e6f48ac74fdcf73e3439874"


LINE = [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
DIAMOND = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
TWO_BRANCHES = (
    ([[0, 1, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0] * 5], "abc"),
    ([[0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0] * 5], "bca"),
    ([[0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0] * 5], "bac"),
)


def test_isomorphic_cells_have_one_hash_and_others_have_not():
    """The benchmark's own examples."""
    op = {"a": CONV3, "b": CONV1, "c": POOL}
    assert fingerprint(spec(DIAMOND, [CONV3, POOL])) == fingerprint(spec(DIAMOND, [POOL, CONV3]))
    found = {fingerprint(spec(m, [op[c] for c in ops])) for m, ops in TWO_BRANCHES}
    assert len(found) == 1
    first = TWO_BRANCHES[0][0]
    assert fingerprint(spec(first, [CONV1, POOL, CONV3])) not in found
    assert fingerprint(spec(first, [CONV1, CONV3, POOL])) not in found
    assert fingerprint(spec(LINE, [CONV1, CONV3, CONV3])) != fingerprint(
        spec(LINE, [CONV3, CONV3, CONV1])
    )
    skip = [[0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert fingerprint(spec(skip, [CONV1, CONV3])) != fingerprint(spec(skip, [CONV3, CONV1]))


def test_a_permutation_of_the_vertices_does_not_change_the_hash():
    rng = texts.generator(20)
    moved = 0
    for _ in range(1_000):
        matrix, ops = texts.nb101_cell(rng)
        order = [0, *rng.sample(range(1, 6), 5), 6]
        other = [[matrix[i][j] for j in order] for i in order]
        if any(other[i][j] for i in range(7) for j in range(i + 1)):
            continue  # no upper triangular matrix
        moved += order != list(range(7))
        a = Spec(matrix=tuple(map(tuple, matrix)), ops=tuple(ops))
        b = Spec(matrix=tuple(map(tuple, other)), ops=tuple(ops[i] for i in order))
        assert fingerprint(a) == fingerprint(b)
    assert moved > 20


@pytest.mark.parametrize(("vertices", "number"), [(2, 1), (3, 6), (4, 84), (5, 2_441)])
def test_distinct_cells_of_the_benchmark_by_vertices(vertices, number):
    """Every cell without loose vertices and with at most nine edges, counted by its hash."""
    places = list(itertools.combinations(range(vertices), 2))
    found = set()
    for bits in itertools.product((0, 1), repeat=len(places)):
        if sum(bits) > 9:
            continue
        matrix = [[0] * vertices for _ in range(vertices)]
        for (i, j), bit in zip(places, bits, strict=True):
            matrix[i][j] = bit
        if prune(spec(matrix)) != spec(matrix):
            continue
        for ops in itertools.product(OPERATIONS, repeat=vertices - 2):
            found.add(fingerprint(spec(matrix, ops)))
    assert len(found) == number


PRUNED = [
    ([[0, 1, 0, 0], [0, 0, 0, 1], [0] * 4, [0] * 4], [0, 1, 3]),
    ([[0, 1, 1, 0], [0] * 4, [0, 0, 0, 1], [0] * 4], [0, 2, 3]),
    ([[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0] * 4], [0, 2, 3]),
]


@pytest.mark.parametrize(("matrix", "kept"), PRUNED)
def test_pruning(matrix, kept):
    """The benchmark's unit tests."""
    ops = (CONV3, CONV1)
    found = prune(spec(matrix, ops))
    assert found.matrix == ((0, 1, 0), (0, 0, 1), (0, 0, 0))
    assert found.ops == tuple(("input", *ops, "output")[i] for i in kept)


INVALID = [
    [[0, 0], [0, 0]],
    [[0, 1, 0, 0], [0] * 4, [0, 0, 0, 1], [0] * 4],
    [[0] * 4, [0, 0, 1, 0], [0] * 4, [0] * 4],
    [[0, 0, 0], [0, 0, 1], [0, 0, 0]],
]


@pytest.mark.parametrize("matrix", INVALID)
def test_cells_without_a_path_are_none(matrix, nb101):
    """C24, and the benchmark's unit tests."""
    assert prune(spec(matrix)) is None
    with pytest.raises(GenotypeError, match="no path"):
        fingerprint(spec(matrix))
    with pytest.raises(GenotypeError, match="no path"):
        forms.parse(spec(matrix).text(), nb101)


def test_a_cell_of_loose_ends_is_valid(nb101):
    """C24: only the edge from input to output is left."""
    matrix = [[0] * 7 for _ in range(7)]
    matrix[0] = [0, 1, 1, 1, 1, 1, 1]
    matrix[1] = [0, 0, 1, 1, 1, 0, 0]
    assert prune(spec(matrix)) == spec([[0, 1], [0, 0]])
    found = forms.parse(spec(matrix).text(), nb101)
    assert nasbench101.spec(found, nb101) == spec(matrix)


def test_none_is_no_operation_but_a_missing_edge(nb101):
    """C23."""
    given = Spec(matrix=tuple(map(tuple, DIAMOND)), ops=("input", "none", CONV3, "output"))
    found = nasbench101.without_none(given)
    assert found == spec([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    with pytest.raises(GenotypeError, match="`none` is no operation"):
        forms.parse(given.text(), nb101)


CHANNELS = [
    ([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0] * 4],
     [(8, 8, [8, 8, 8, 8]), (8, 16, [8, 16, 16, 16]), (16, 8, [16, 8, 8, 8])]),
    ([[0, 1], [0, 0]], [(1, 1, [1, 1]), (1, 5, [1, 5]), (5, 1, [5, 1])]),
    ([[0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0] * 5],
     [(8, 8, [8, 8, 8, 8, 8]), (8, 16, [8, 16, 16, 16, 16]), (16, 8, [16, 8, 8, 8, 8])]),
    ([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0] * 4],
     [(8, 8, [8, 4, 4, 8]), (8, 16, [8, 8, 8, 16]), (16, 8, [16, 4, 4, 8]),
      (8, 15, [8, 8, 7, 15])]),
    ([[0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0] * 5],
     [(8, 8, [8, 3, 3, 2, 8]), (8, 15, [8, 5, 5, 5, 15])]),
    ([[0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0] * 5],
     [(8, 8, [8, 4, 4, 4, 8]), (8, 9, [8, 5, 5, 4, 9])]),
    ([[0, 1, 0, 1, 0], [0, 0, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0] * 5],
     [(8, 8, [8, 4, 4, 4, 8]), (8, 15, [8, 8, 7, 7, 15])]),
]  # fmt: skip


@pytest.mark.parametrize(("matrix", "cases"), CHANNELS)
def test_channels_of_the_vertices(matrix, cases):
    """C25: the remainder goes to the first vertices, the input's edge does not count."""
    for inp, out, wanted in cases:
        assert vertex_channels(inp, out, tuple(map(tuple, matrix))) == wanted


@pytest.mark.parametrize(
    ("name", "free", "fixed", "number"),
    [
        ("nb1shot1_s1", {3: 2, 4: 2, 5: 2}, {1: (0,), 2: (0, 1)}, 2_685),
        ("nb1shot1_s2", {2: 1, 3: 2, 4: 2, 5: 3}, {1: (0,)}, 7_773),
    ],
)
def test_distinct_cells_of_nasbench1shot1(name, free, fixed, number):
    """C22: 180 and 360 patterns, with operations 14,580 and 29,160; hashes of those with a path."""
    patterns = list(
        itertools.product(*(itertools.combinations(range(v), count) for v, count in free.items()))
    )
    assert len(patterns) == {"nb1shot1_s1": 180, "nb1shot1_s2": 360}[name]
    space = bundled_space("nasbench101.nas", name, C=20, n=1)
    assert space.size() == len(patterns) * 3**4
    cells = set()
    for pattern in patterns:
        parents = {**fixed, **dict(zip(free, pattern, strict=True))}
        matrix = [[int(j > 0 and i in parents[j]) for j in range(6)] for i in range(6)]
        for ops in itertools.product(OPERATIONS, repeat=4):
            cells.add(prune(spec(matrix, ops)))
    assert len({fingerprint(cell) for cell in cells if cell is not None}) == number


PARENTS = {
    "nb1shot1_s1": ({3: 2, 4: 2, 5: 2}, {1: (0,), 2: (0, 1)}, 180, 38),
    "nb1shot1_s2": ({2: 1, 3: 2, 4: 2, 5: 3}, {1: (0,)}, 360, 138),
    "nb1shot1_s3": ({2: 1, 3: 1, 4: 2, 5: 2, 6: 2}, {1: (0,)}, 5_400, 445),
}


@pytest.mark.parametrize("name", PARENTS)
def test_patterns_of_nasbench1shot1(name):
    """C22: all patterns, and those in which every vertex is on a path."""
    free, fixed, number, whole = PARENTS[name]
    chosen = itertools.product(*(itertools.combinations(range(v), n) for v, n in free.items()))
    cells = []
    for pattern in chosen:
        parents = {0: (), **fixed, **dict(zip(free, pattern, strict=True))}
        count = len(parents)
        cells.append(spec([[int(i in parents[j]) for j in range(count)] for i in range(count)]))
    space = bundled_space("nasbench101.nas", name, C=20, n=1)
    assert len(cells) == number == space.size() // 3 ** (len(cells[0].ops) - 2)
    assert sum(prune(cell) == cell for cell in cells) == whole


def test_pruned_matrices_are_read_and_stay_the_same_cell(nb101):
    """A smaller matrix gets vertices without edges; hash and pruned matrix stay."""
    rng = texts.generator(21)
    for _ in range(300):
        matrix, ops = texts.nb101_cell(rng)
        whole = Spec(matrix=tuple(map(tuple, matrix)), ops=tuple(ops))
        small = prune(whole)
        found = forms.parse(small.text(), nb101)
        made = nasbench101.spec(found, nb101)
        assert len(made.ops) == 7
        assert prune(made) == small
        assert fingerprint(made) == fingerprint(whole)


def test_parents_that_a_space_fixes_must_be_those(nb101):
    """A cell of NAS-Bench-101 that is none of 1Shot1's space 1."""
    space = bundled_space("nasbench101.nas", "nb1shot1_s1", C=20, n=1)
    text = spec([[0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0], *[[0] * 6] * 2, [0] * 5 + [1], [0] * 6])
    with pytest.raises(GenotypeError, match="vertex 2 reads nothing"):
        forms.parse(text.text(), space)
    assert forms.parse(text.text(), nb101).of("c/x[2]<-*") == ()


def test_more_vertices_than_the_space_has_are_refused():
    space = bundled_space("nasbench101.nas", "nb1shot1_s2", C=20, n=1)
    line = [[int(j == i + 1) for j in range(7)] for i in range(7)]
    with pytest.raises(GenotypeError, match="7 vertices"):
        forms.parse(spec(line).text(), space)


def test_the_benchmarks_own_way_to_write_a_cell(nb101):
    text = """ModelSpec(
      # comments are none of the form
    """
    with pytest.raises(GenotypeError, match="`#`"):
        forms.parse(text, nb101)
    text = (
        "api.ModelSpec(matrix=[[0, 1, 1], [0, 0, 1], [0, 0, 0]],\n   ops=[INPUT, CONV3X3, OUTPUT])"
    )
    found = nasbench101.spec(forms.parse(text, nb101), nb101)
    assert prune(found) == spec([[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    assert forms.parse(text.replace("[[", "np.array([[").replace("]],", "]]),"), nb101) == (
        forms.parse(text, nb101)
    )


WRONG = {
    "not_square": ({"matrix": [[0, 1]], "ops": ["input", "output"]}, "1 rows"),
    "short_row": ({"matrix": [[0, 1], [0]], "ops": ["input", "output"]}, "row 1"),
    "two": ({"matrix": [[0, 2], [0, 0]], "ops": ["input", "output"]}, r"matrix\[0\]\[1\]"),
    "below": ({"matrix": [[0, 1], [1, 0]], "ops": ["input", "output"]}, "later vertices"),
    "self": ({"matrix": [[1, 1], [0, 0]], "ops": ["input", "output"]}, "later vertices"),
    "bool": ({"matrix": [[False, True], [0, 0]], "ops": ["input", "output"]}, "False"),
    "no_input": ({"matrix": [[0, 1], [0, 0]], "ops": ["output", "output"]}, "begins with"),
    "misspelt": (
        {"matrix": DIAMOND, "ops": ["input", "conv3x3-bn-rleu", POOL, "output"]},
        "did you mean `conv3x3-bn-relu`",
    ),
    "no_ops": ({"matrix": DIAMOND}, "`ops` is missing"),
    "ops_no_list": ({"matrix": DIAMOND, "ops": "input"}, "`ops` is a list"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_cells_are_named(name, nb101):
    data, message = WRONG[name]
    with pytest.raises(GenotypeError, match=message):
        forms.parse(json.dumps(data), nb101)
