"""Random small search spaces as `.nas` text."""

import random

OPS = """
op skip    = identity if stride == 1 else factorized_reduce
op two     = conv(1, stride = stride) + (avg_pool(3, stride = stride) >> conv(1))
op wide    = concat(conv(1, out = width / 2, stride = stride), conv(3, out = width / 2, stride = stride))
ops many {
  none
  skip_connect = skip
  conv_1x1 = relu >> conv(1, stride = stride) >> bn
  conv_3x3 = conv(3, stride = stride, bias = true) >> bn >> tanh
  conv_1x3 = silu >> conv([1, 3], stride = stride) >> bn
  sep_3x3  = relu >> dwconv(3, stride = stride) >> conv(1) >> bn >> relu >> dwconv(3) >> conv(1) >> bn
  dil_3x3  = relu >> dwconv(3, stride = stride, dilation = 2) >> conv(1) >> bn
  group    = conv(3, stride = stride, groups = 2) >> bn
  max_3x3  = max_pool(3, stride = stride) >> bn
  avg_3x3  = avg_pool(3, stride = stride)
  excite   = conv(1, stride = stride) >> squeeze_excite(2)
  branches = two
  joined   = wide
}
"""
LABELS = [
    "skip_connect",
    "conv_1x1",
    "conv_3x3",
    "conv_1x3",
    "sep_3x3",
    "dil_3x3",
    "group",
    "max_3x3",
    "avg_3x3",
    "excite",
    "branches",
    "joined",
]


def random_text(seed):
    """One or two inputs, one to three nodes, ragged rows, strides 1 and 2."""
    draw = random.Random(seed)
    count, size = draw.randint(1, 3), draw.choice([7, 8, 9])
    inputs = ["a"] if draw.random() < 0.5 else ["a", "b"]
    lines = []
    prepare = "relu >> conv(1) >> bn"
    if inputs == ["a"]:
        lines.append(f"in   a : {prepare}")
    else:
        # The older input of a cell behind a reduction has another extent and another width.
        lines.append(f"in   a : factorized_reduce if stride == 2 else {prepare}, b : {prepare}")
    lines.append(f"node x[{count}]" + draw.choice(["", "", " : mean", " : sum >> relu"]))
    for n in range(1, count + 1):
        for source in [*inputs, *(f"x[{i}]" for i in range(1, n))]:
            labels = draw.sample(LABELS, draw.randint(1, 4))
            if len(labels) > 1 and draw.random() < 0.5:
                labels.insert(draw.randint(0, len(labels)), "none")
            if len(labels) == 1:
                labels.append("none" if labels != ["skip_connect"] else "conv_1x1")
            lines.append(f"edge {source} -> x[{n}] : one_of {{{', '.join(labels)}}}")
    lines.append(draw.choice(["", "keep 2 per node except {none}"]))
    lines.append(draw.choice(["out  concat(x)", f"out  x[{count}]"]))
    body = "\n    ".join(line for line in lines if line)
    return f"""nas 1
{OPS}
space s {{
  cell plain {{
    {body}
  }}
  cell strided extends plain {{
    stride = 2
    width  = 2 * width
  }}
  width = 4
  input image(3, {size}, {size})
  stem  conv(3) >> bn
  stage plain
  stage strided
  stage plain
  head  bn >> relu >> global_avg_pool >> linear(5)
}}
"""
