"""Graph edits against networks written by hand, in float64."""

import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent.parent / "oneshot"))

from spaces_for_tests import space_of  # noqa: E402

from nasdsl.codegen.supernet import Supernet  # noqa: E402
from nasdsl.ir import discretize  # noqa: E402
from nasdsl.ir.verify import verify  # noqa: E402
from nasdsl.ops.edits import ChannelsFrom, ChannelShuffle, Dropped, Scaled  # noqa: E402
from nasdsl.passes.aux_skip import aux_skip  # noqa: E402
from nasdsl.passes.drop_op import drop_op  # noqa: E402
from nasdsl.passes.edge_norm import edge_norm  # noqa: E402
from nasdsl.passes.edges import PassError  # noqa: E402
from nasdsl.passes.partial import partial  # noqa: E402

SMALL = """nas 1

op skip = identity if stride == 1 else factorized_reduce

ops some {
  none
  pool = max_pool(3, stride = stride) >> bn
  jump = skip
  mapped = relu >> conv(3, stride = stride) >> bn
}

space line(size = 8) {
  cell c {
    in   a
    node x[2]
    edge {a, x[<]} -> x : one_of some
    out  x[2]
  }
  width = 8
  input image(3, size, size)
  stem  conv(3) >> bn
  stage c { stride = 2 }
  stage c
  head  global_avg_pool >> linear(4)
}
"""


shuffled = ChannelShuffle.sources


def line(**changes):
    return space_of(SMALL, "line", **changes)


def randomly(net, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return {
        n: torch.rand(t.shape, generator=draw, dtype=torch.float64) for n, t in net.tables.items()
    }


def test_the_shuffle_has_the_published_order():
    """The worked example of yuhuixu1993/PC-DARTS, thread 28, and padded ones."""
    assert [c + 1 for c in shuffled(8, 4)] == [1, 3, 5, 7, 2, 4, 6, 8]
    assert shuffled(16, 4) == [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]
    assert shuffled(6, 4) == [0, 2, 4, 1, 3, 5]
    assert shuffled(10, 4) == [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]


@pytest.mark.parametrize(("channels", "groups"), [(8, 4), (16, 4), (6, 4), (10, 4), (9, 2)])
def test_channels_come_in_that_order(channels, groups):
    x = torch.arange(channels, dtype=torch.float64).reshape(1, channels, 1, 1)
    y = ChannelShuffle(channels, groups)(x).flatten().tolist()
    assert y == shuffled(channels, groups)


@pytest.mark.parametrize("size", [32, 33, 7, 1])
def test_what_passes_by_a_stride_has_the_size_of_a_strided_operation(size):
    x = torch.randn(2, 16, size, size)
    y = ChannelsFrom(4, 2)(x)
    assert y.shape[2] == -(-size // 2) == F.conv2d(x, torch.ones(1, 16, 3, 3), None, 2, 1).shape[2]
    if size % 2 == 0:
        assert torch.equal(y, F.max_pool2d(x[:, 4:], 2, 2))


@pytest.mark.parametrize("size", [8, 9])
def test_partial_channels_by_hand(size):
    """Of every mixed edge: the first quarter mixed, the rest pooled past, joined, shuffled."""
    space = partial(line(size=size), 4)
    assert verify(space) == []
    net = Supernet(space).double().train()
    mix = randomly(net)
    x = torch.randn(3, 3, size, size, dtype=torch.float64)
    graph = net.graph
    rows = dict(zip(net.tables["c"].decisions, mix["c"], strict=True))

    def edge(cell, key, name, h, stride):
        part, rest = h[:, :2], h[:, 2:]
        at = graph.get_submodule(f"{cell}.{name}.branches.branch.choice")
        w = rows[f"c/{key}"]
        y = w[1] * at.pool.bn(F.max_pool2d(part, 3, stride, 1))
        skip = part if stride == 1 else at.jump.factorized_reduce(part)
        y = y + w[2] * skip
        conv = F.conv2d(F.relu(part), at.mapped.conv.weight, None, stride, 1)
        y = y + w[3] * at.mapped.bn(conv)
        if stride == 2:
            rest = F.max_pool2d(rest, 2, 2, ceil_mode=True)
        return torch.cat([y, rest], 1)[:, [0, 2, 4, 6, 1, 3, 5, 7]]

    def cell(name, h, stride):
        first = edge(name, "x[1]<-a", "x1_a", h, stride)
        return edge(name, "x[2]<-a", "x2_a", h, stride) + edge(
            name, "x[2]<-x[1]", "x2_x1", first, 1
        )

    names = [s.name for s in space.supernet.stages]
    h = graph.get_submodule(names[0])
    h = h.bn(h.conv(x))
    h = cell(names[2], cell(names[1], h, 2), 1)
    head = graph.get_submodule(names[3])
    wanted = head.linear(h.mean((2, 3)))
    torch.testing.assert_close(net(x, mix), wanted, rtol=1e-12, atol=1e-12)


def test_partial_says_what_it_cannot_split():
    with pytest.raises(PassError, match="8 channels have no 1/16"):
        partial(line(), 16)
    with pytest.raises(PassError, match="odd"):
        partial(line(), 8)


def test_edge_weights_multiply_edges():
    space = edge_norm(line())
    assert verify(space) == []
    net, plain = Supernet(space).double().train(), Supernet(line()).double().train()
    plain.load_state_dict(net.state_dict())
    mix = randomly(net)
    names = net.tables["c"].decisions
    assert names == (*plain.tables["c"].decisions, "c/x[2]<-+")
    scaled = mix["c"][:-1].clone()
    beta = mix["c"][-1]
    for i, source in enumerate(("a", "x[1]")):
        scaled[names.index(f"c/x[2]<-{source}")] *= beta[i]
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(net(x, mix), plain(x, {"c": scaled}), rtol=1e-12, atol=1e-12)
    assert space.size() == line().size()


KEPT = """nas 1

ops three {
  none
  sep = relu >> conv(3) >> bn
  skip = identity
}

space pc {
  cell c {
    in   a, b, d
    node x[1]
    edge {a, b, d} -> x : one_of three
    keep 2 per node except {none}
    out  x[1]
  }
  width = 8
  input image(3, 8, 8)
  stem  conv(3) >> bn
  stage c
  head  global_avg_pool >> linear(4)
}
"""


def test_the_strength_of_an_edge_is_beta_times_its_best_operation():
    space = edge_norm(space_of(KEPT, "pc"))
    (cell,) = space.tables()
    ops = [[0.2, 0.5, 0.3], [0.1, 0.3, 0.6], [0.1, 0.46, 0.44]]
    mix = {f"{cell}/x[1]<-{s}": row for s, row in zip("abd", ops, strict=True)}
    without = discretize.argmax(space_of(KEPT, "pc"), {cell: mix})
    assert [p[0][-1] + p[1] for p in without.picks] == ["bskip", "asep"]
    mix[f"{cell}/x[1]<-+"] = [0.2, 0.3, 0.5]
    found = discretize.argmax(space, {cell: mix})
    assert [p[0][-1] + p[1] for p in found.picks] == ["dsep", "bskip"]


def test_the_auxiliary_skip_adds_to_every_edge_and_fades():
    space = aux_skip(line())
    assert verify(space) == []
    net = Supernet(space).double().train()
    plain = Supernet(line()).double().train()
    own = {
        n.replace(".choice.", "."): t for n, t in net.state_dict().items() if ".branch." not in n
    }
    plain.load_state_dict(own)
    mix = randomly(net)
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    skips = [m for m in net.modules() if isinstance(m, Scaled)]
    assert len(skips) == 6
    for module in skips:
        module.by = 0.0
    torch.testing.assert_close(net(x, mix), plain(x, mix), rtol=1e-12, atol=1e-12)
    # On edges that do not stride an auxiliary skip is the skip that stands in the choice.
    for module in skips:
        module.by = 0.25
    names, more = plain.tables["c"].decisions, mix["c"].clone()
    for row in range(len(names)):
        more[row, 2] += 0.25
    for n, m in net.graph.named_modules():
        if n.endswith("branch.factorized_reduce"):
            choice = net.graph.get_submodule(n.replace("branch.", "choice.jump."))
            m.load_state_dict(choice.state_dict())
    torch.testing.assert_close(net(x, mix), plain(x, {"c": more}), rtol=1e-12, atol=1e-12)


def test_dropout_behind_an_option_alone():
    space = drop_op(line(), ("jump",))
    assert verify(space) == []
    net = Supernet(space).double().train()
    plain = Supernet(line()).double().train()
    plain.load_state_dict(net.state_dict())
    mix = randomly(net)
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    assert torch.equal(net(x, mix), plain(x, mix))
    drops = [m for m in net.modules() if isinstance(m, Dropped)]
    assert len(drops) == 6
    for module in drops:
        module.p = 1.0
    mix_without = {"c": mix["c"].clone()}
    mix_without["c"][:, 2] = 0
    torch.testing.assert_close(net(x, mix), plain(x, mix_without), rtol=1e-12, atol=1e-12)
    with pytest.raises(PassError, match="no choice"):
        drop_op(line(), ("nothing",))
