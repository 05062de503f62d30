"""Small spaces with decisions among values and depths, and how to pick in them."""

import random

import torch
from spaces_for_tests import bundled_space, images, space_of

from nasdsl.ir.genotype import Genotype
from nasdsl.ir.shape import Shape
from nasdsl.lowering.value.kinds import Given

MOBILE = """nas 1
from "mobile.nas" import expand, shortcut
space mobile {
  let w = one_of {0.5, 1, 1.5}
  op block = shortcut(expand(one_of {3, 5}, one_of {1, 2, 3}, hswish)
                      >> squeeze_excite(one_of {2, 4}) >> conv(1) >> bn)
  width = 8 * w
  input image(3, 12, 12)
  stem  conv(3, stride = 2) >> bn >> hswish
  repeat int 1..3 { stage block }
  stage block { stride = 2  width = round_to(12 * w, 4) }
  repeat int 0..2 { stage block }
  head  conv(1, out = 2 * width) >> bn >> global_avg_pool >> linear(5)
}
"""
SEQUENCE = """nas 1
op residual(f) = identity + f
space sequence {
  let dim = one_of {8, 12, 16}
  width = dim
  input image(3, 8, 8)
  stem  patch_embed(4) >> class_token >> position
  repeat int 1..2 {
    let h = one_of {2, 4}
    stage residual(layer_norm >> attention(heads = one_of {1, 3}, head_dim = 4))
    stage residual(layer_norm >> attention(heads = h, causal = true, window = one_of {2, 4}))
    stage residual(layer_norm >> linear(one_of {1.5, 2} * c_in) >> gelu >> linear(c_in))
  }
  head  layer_norm >> token(0) >> linear(5)
}
"""
CELLS = """nas 1
ops few {
  none
  skip = identity
  wide = conv(one_of {1, 3}) >> bn
  two  = concat(conv(1, out = half) >> bn, conv(3, out = width - half) >> bn) >> relu
}
let half = one_of {2, 3}
space cells {
  let w = one_of {6, 8}
  cell c {
    in   a : conv(1) >> bn
    node x[2]
    edge {a, x[<]} -> x : one_of few
    keep all per node
    out  concat(x)
  }
  width = w
  input image(3, 8, 8)
  stem  conv(3) >> bn
  stage c
  stage one_of {conv(3, out = c_in, groups = one_of {1, 2}), avg_pool(one_of {3, 5}), max_pool(3)}
  head  bn >> global_avg_pool >> linear(5)
}
"""
#: An operation that is another one where widths agree; halves joined; strides that stay.
FORMS = """nas 1
space forms {
  let a = one_of {4, 6, 8}
  let b = one_of {4, 8}
  op skip = identity if c_in == width else conv(1) >> bn
  width = a
  input image(3, 8, 8)
  stem  conv(3) >> bn >> relu
  stage skip + (conv(3) >> bn) { width = b }
  stage factorized_reduce { stride = 2  width = a }
  stage skip { width = b }
  head  deconv(2, stride = 2) >> bn >> relu >> global_avg_pool >> linear(5)
}
"""
TEXTS = {"mobile": MOBILE, "sequence": SEQUENCE, "cells": CELLS, "forms": FORMS}
BUNDLED = {
    "nats_size": ("nasbench201.nas", images(3, 8, 10)),
    "conv1d": ("small.nas", Given("data", Shape("series", (9, 32)), 6)),
    "tabular": ("small.nas", Given("data", Shape("features", (54,)), 7)),
    "vit_tiny": ("transformers.nas", images(3, 32, 10)),
    "gpt_small": ("transformers.nas", Given("data", Shape("tokens", (24,)), 11)),
    "ofa_mobilenet_v3": ("mobile.nas", images(3, 32, 10)),
}


def space_named(name, **options):
    if name in TEXTS:
        return space_of(TEXTS[name], name)
    file, data = BUNDLED[name]
    return bundled_space(file, name, data=data, **options)


def picked(space, rng):
    """A random genotype; domains without options stay as they are."""
    picks = {}

    def go(decisions):
        for decision in decisions:
            if decision.count is not None:
                continue
            label = picks.setdefault(decision.id, rng.choice(decision.labels))
            if decision.nested:
                go(decision.nested[decision.labels.index(label)])

    go(space.decisions)
    return Genotype(space=space.name, picks=tuple(picks.items()))


def several(space, count, seed=0):
    rng = random.Random(seed)
    return [picked(space, rng) for _ in range(count)]


def one_hot(net, genotype, dtype=torch.float64):
    """Mix and picks of a genotype; what it leaves open takes its first option."""
    mix, pick = {}, {}
    for name, table in net.tables.items():
        rows = torch.zeros(table.shape, dtype=dtype)
        chosen = []
        for i, (decision, labels) in enumerate(zip(table.decisions, table.labels, strict=True)):
            label = genotype.of(decision)
            chosen.append(labels.index(label[0]) if label else 0)
            rows[i, chosen[-1]] = 1
        mix[name], pick[name] = rows, chosen
    return mix, pick


def batch_for(space, count=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = space.supernet.inp
    if shape.kind == "tokens":
        return torch.randint(0, 11, (count, *shape.dims), generator=generator)
    return torch.randn(count, *shape.dims, generator=generator, dtype=torch.float64)


def without_noise(module):
    """Dropout draws differently on narrow and wide tensors; here it drops nothing."""
    for each in module.modules():
        for one in (each, *getattr(each, "skeletons", ()), getattr(each, "held", each)):
            if isinstance(one, torch.nn.Dropout):
                one.p = 0.0
    return module
