"""Random texts of each form, made from the definitions of the benchmarks and not by the product."""

import json
import random

DARTS_OPS = (
    "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5",
    "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip
NB201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NB101_OPS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
PREFIX = "NetworkSelectorDatasetInfo:darts:"


def darts_cells(rng):
    """Per cell four nodes of two (operation, state) pairs, states ascending."""
    return {
        cell: [
            [(rng.choice(DARTS_OPS), state) for state in sorted(rng.sample(range(node), 2))]
            for node in range(2, 6)
        ]
        for cell in ("normal", "reduce")
    }


def darts(cells):
    parts = [
        f"{cell}={[pair for node in nodes for pair in node]!r}, {cell}_concat=[2, 3, 4, 5]"
        for cell, nodes in cells.items()
    ]
    return f"Genotype({', '.join(parts)})"


def nasbench301(cells):
    config = {}
    for cell, nodes in cells.items():
        edge = 0
        inputs = {}
        for node, pairs in enumerate(nodes, 2):
            for operation, state in pairs:
                config[f"{PREFIX}edge_{cell}_{edge + state}"] = operation
            if node > 2:
                inputs[f"{PREFIX}inputs_node_{cell}_{node}"] = f"{pairs[0][1]}_{pairs[1][1]}"
            edge += node
        config.update(inputs)
    return json.dumps(config)


def naslib_darts(cells):
    return str(
        tuple(
            tuple((state, DARTS_OPS.index(op)) for node in nodes for op, state in node)
            for nodes in cells.values()
        )
    )


def nb201_cell(rng):
    """Operation by (source, node)."""
    return {(s, n): rng.choice(NB201_OPS) for n in range(1, 4) for s in range(n)}


def nasbench201(cell):
    return "+".join(
        "|" + "|".join(f"{cell[s, n]}~{s}" for s in range(n)) + "|" for n in range(1, 4)
    )


def nb201_integers(cell):
    return str([NB201_OPS.index(cell[s, n]) for n in range(1, 4) for s in range(n)])


def naslib_nb201(cell):
    order = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
    return str(tuple(order.index(cell[s, n]) for s in range(3) for n in range(s + 1, 4)))


def transnasbench101(rng):
    digits = ["".join(rng.choice("0123") for _ in range(n)) for n in (1, 2, 3)]
    return "64-41414-" + "_".join(digits)


def nats_size(rng):
    return ":".join(str(rng.choice(range(8, 65, 8))) for _ in range(5))


def digits(rng):
    return "".join(rng.choice("012") for _ in range(8))


def connected(matrix):
    """Whether a path leads from the first vertex to the last."""
    reached = {0}
    for i, row in enumerate(matrix):
        if i in reached:
            reached.update(j for j, edge in enumerate(row) if edge)
    return len(matrix) - 1 in reached


def nb101_cell(rng, vertices=7):
    """A random upper triangular matrix with a path, and operations."""
    while True:
        matrix = [
            [int(j > i and rng.random() < 0.4) for j in range(vertices)] for i in range(vertices)
        ]
        if connected(matrix):
            ops = [rng.choice(NB101_OPS) for _ in range(vertices - 2)]
            return matrix, ["input", *ops, "output"]


def nasbench101(matrix, ops):
    return json.dumps({"matrix": matrix, "ops": ops})


def naslib_nb101(matrix, ops):
    order = ("input", "output", "maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu")
    return str((*(n for row in matrix for n in row), *(order.index(op) for op in ops)))


def choice_blocks(rng, parents):
    """A configuration of NAS-Bench-1Shot1; `parents[v - 1]` is how many vertex v has."""
    while True:
        chosen = [sorted(rng.sample(range(v), count)) for v, count in enumerate(parents, 1)]
        last = len(parents)
        matrix = [
            [int(v > 0 and p in chosen[v - 1]) for v in range(last + 1)] for p in range(last + 1)
        ]
        if connected(matrix):
            break
    config = {f"choice_block_{v}_op": rng.choice(NB101_OPS) for v in range(1, last)}
    config |= {f"choice_block_{v}_parents": p for v, p in enumerate(chosen, 1)}
    ops = ["input", *(config[f"choice_block_{v}_op"] for v in range(1, last)), "output"]
    return config, matrix, ops


def generator(seed):
    return random.Random(seed)
