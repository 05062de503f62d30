"""NAS-Bench-101's cell as its authors' model builder computes it, in plain torch, by matrix.

Written from the published algorithm (arXiv 1902.09635, `model_builder.py`): channels of every
vertex, projections of the input, truncation of wider vertices, concatenation at the output.
"""

import torch
from torch.nn import functional as F

CHOICES = ("maxpool3x3", "conv3x3_bn_relu", "conv1x1_bn_relu")


def names(count):
    return ["a", *(f"x[{i}]" for i in range(1, count - 1)), "out"]


def picks(matrix, ops):
    """The picks of a genotype, for a matrix with all of its vertices."""
    vertices = names(len(matrix))
    found = [(f"c/{name}", op) for name, op in zip(vertices[1:-1], ops, strict=True)]
    for t in range(1, len(matrix)):
        found += [(f"c/{vertices[t]}<-*", vertices[s]) for s in range(t) if matrix[s][t]]
    return tuple(found)


def prune(matrix):
    """Vertices on a path from input to output; none where there is no path."""
    count = len(matrix)
    forth, back = {0}, {count - 1}
    for t in range(count):
        if any(matrix[s][t] and s in forth for s in range(t)):
            forth.add(t)
    for s in reversed(range(count)):
        if any(matrix[s][t] and t in back for t in range(s + 1, count)):
            back.add(s)
    return sorted(forth & back) if count - 1 in forth else []


def run_cell(state, path, x, matrix, ops, width):
    """A cell of `width` output channels on `x`, with batch statistics."""
    left = prune(matrix)
    last = len(matrix) - 1

    def conv_bn_relu(place, x):
        y = F.conv2d(x, state[f"{path}.{place}.conv.weight"], padding="same")
        weight, bias = state[f"{path}.{place}.bn.weight"], state[f"{path}.{place}.bn.bias"]
        return F.relu(F.batch_norm(y, None, None, weight, bias, training=True))

    outputs = [v for v in left if v not in (0, last) and matrix[v][last]]
    channels = {}
    for i, v in enumerate(outputs):
        channels[v] = width // len(outputs) + (i < width % len(outputs))
    for v in reversed([v for v in left if v not in (0, last)]):
        if v not in channels:
            channels[v] = max(channels[t] for t in left if matrix[v][t] and t != last)
    values = {}
    for v in (v for v in left if v not in (0, last)):
        arriving = []
        for s in (s for s in left if s < v and matrix[s][v]):
            if s == 0:
                arriving.append(conv_bn_relu(f"x{v}_a", x))
            else:
                arriving.append(values[s][:, : channels[v]])
        total = torch.stack(arriving).sum(0)
        if ops[v - 1] == "maxpool3x3":
            values[v] = F.max_pool2d(total, 3, 1, 1)
        else:
            values[v] = conv_bn_relu(f"x{v}", total)
        assert values[v].shape[1] == channels[v]
    made = torch.cat([values[v] for v in outputs], 1) if outputs else 0
    return made + conv_bn_relu("out_a", x) if matrix[0][last] else made
