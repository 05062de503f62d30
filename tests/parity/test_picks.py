"""NAS-Bench-1Shot1 supernets, which weigh input edges and outputs, equal an independent one."""

import torch
from independent import agree, fixture, supernet, ways
from spaces_for_tests import images, space_of

from nasdsl.ir.cell import Cell

# The fixtures have a batch-norm behind the pooling, which the published space lacks. Without output
# weights nothing is picked at `out`.
VARIANTS = """nas 1
from "nasbench101.nas" import conv_bn_relu, nb1shot1_s1, nb1shot1_s2, nb1shot1_s3

ops pooled {
  maxpool3x3      = max_pool(3) >> bn(affine = false)
  conv3x3_bn_relu = conv_bn_relu(3)
  conv1x1_bn_relu = conv_bn_relu(1)
}

space s1_ow extends nb1shot1_s1 {
  cell c { node x[nodes] : one_of pooled }
}
space s2_ow extends nb1shot1_s2 {
  cell c { node x[nodes] : one_of pooled }
}
space s3_ow extends nb1shot1_s3 {
  cell c { node x[nodes] : one_of pooled }
}
space s1 extends s1_ow {
  cell c { pick all per out }
}
space s2 extends s2_ow {
  cell c { pick all per out }
}
space s3 extends s3_ow {
  cell c { pick all per out }
}
"""


def fixture_path(cells, name):
    """The fixture's name of one of our convolutions or linear maps, without its number."""
    stage, *rest = name.split(".")
    if stage == "head":
        return "head" if rest[0] == "linear" else "postprocess"
    if stage == "stem":
        return "stem"
    c = cells.index(stage)
    target, edge, _ = rest[0].partition("_")
    if target == "out":
        return f"cell{c}/projout"
    node = int(target[1:]) - 1
    return f"cell{c}/proj{node}" if edge else f"cell{c}/node{node}/{rest[1].replace('_', '-')}"


@ways(("s1", "s1_ow", "s2", "s3", "s3_ow"), every=())
def test_edge_weights_equal_the_independent_implementation(
    name, profile, mode, compiler, monkeypatch
):
    which, _, weighted = name.partition("_")
    data = fixture(f"nb1shot1_{which}_c4_l3{'_ow' if weighted else ''}")
    assert data["output_weights"] == bool(weighted)
    space = space_of(VARIANTS, name, C=4, n=1, data=images(3, 16, data["classes"]))
    net = supernet(space, profile, compiler, monkeypatch)
    cells = [s.name for s in space.supernet.stages if isinstance(s.body, Cell)]
    table = net.tables["c"]

    def mix_of(weights):
        """Rows in the order of the fixture: operations, output, inputs of each node."""
        operations, output, *inputs = weights
        nodes = len(operations)
        rows = {f"c/x[{i + 1}]": row for i, row in enumerate(operations)}
        rows["c/out<-*"] = output[0]
        for i, row in enumerate(reversed(inputs)):
            rows[f"c/x[{nodes - i}]<-*"] = row[0]
        columns = table.shape[1]
        mix = [
            torch.nn.functional.pad(rows[d], (0, columns - len(rows[d]))) for d in table.decisions
        ]
        return {"c": torch.stack(mix)}

    agree(net, data, lambda n: fixture_path(cells, n), mix_of, mode)
