"""Parts of a supernet, and networks that take over its weights; float64, evaluation mode."""

import pytest
import torch
from small_networks import architectures, network, shaken, small
from spaces_for_tests import space_of

from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.emit import NotExecutable
from nasdsl.codegen.part import Part
from nasdsl.codegen.program import samples
from nasdsl.codegen.supernet import Supernet
from nasdsl.codegen.transfer import inherit
from nasdsl.ir.genotype import Genotype

#: Spaces whose decisions choose operations or edges.
PARTS = [
    "darts", "nasbench201", "nasbench_macro", "tnb101_segment", "hierarchical", "one_edge",
    "nasnet", "robust_s1", "robust_s3", "single_cell_no_skip", "nb1shot1_s1", "nb1shot1_s3",
]  # fmt: skip

#: Spaces whose supernet has no operation that its networks lack.
EXACT = ["nasbench201", "nasbench_macro", "tnb101_segment", "hierarchical", "one_edge", "robust_s2"]


def one_hot(supernet, genotype):
    mix = {}
    for name, table in supernet.tables.items():
        mix[name] = torch.zeros(table.shape, dtype=torch.float64)
        for row, decision in enumerate(table.decisions):
            for label in genotype.of(decision):
                mix[name][row, table.labels[row].index(label)] = 1
    return mix


def supernet_of(space, mode="dense"):
    return shaken(Supernet(space, mode=mode, seed=3).double(), 3).eval()


def inputs(space):
    return samples(space.supernet.inp, 3, seed=1).double()


def same(a, b):
    torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_the_supernet_under_the_one_hot_mix(name):
    space = small(name)
    supernet = supernet_of(space)
    x = inputs(space)
    values = []
    for genotype in architectures(name, 3):
        part = Part(supernet, genotype).eval()
        values.append(part(x))
        same(values[-1], supernet(x, one_hot(supernet, genotype)))
        assert float(values[-1].std()) > 1e-3
        kept = set(part.plain.state_dict())
        assert kept < set(supernet.graph.state_dict())


def test_the_part_of_a_one_path_supernet_is_that_of_the_dense_one():
    space, genotype = small("darts"), architectures("darts", 1)[0]
    x = inputs(space)
    same(
        Part(supernet_of(space, "one_path"), genotype).eval()(x),
        Part(supernet_of(space), genotype).eval()(x),
    )


@pytest.mark.parametrize("name", EXACT)
def test_a_network_with_inherited_weights_equals_the_supernet(name):
    """Biases that the network lacks move into the batch-norm behind (NAS-Bench-201)."""
    space = small(name)
    supernet = supernet_of(space)
    x = inputs(space)
    for genotype in architectures(name, 3):
        net = network(name, genotype, seed=9).double()
        part = Part(supernet, genotype)
        found = inherit(net.plain, part.plain)
        assert found.exact and found.taken
        assert set(found.taken) == {
            n.target
            for n in net.plain.graph.nodes
            if n.op == "call_module" and net.plain.get_submodule(n.target).state_dict()
        }
        same(net(x), supernet(x, one_hot(supernet, genotype)))


def test_the_bias_of_a_convolution_without_a_batch_norm_behind_has_no_place():
    text = """nas 1
op mix(k) = conv(k, bias = supernet) >> relu
space s {
  width = 4
  input image(3, 8, 8)
  stage one_of {mix(1), mix(3)}
  head  global_avg_pool >> linear(5)
}
"""
    space = space_of(text, "s")
    genotype = Genotype(space="s", picks=((space.decisions[0].id, space.decisions[0].labels[1]),))
    supernet = supernet_of(space)
    part = Part(supernet, genotype)
    assert [n for n in part.plain.state_dict() if n.endswith("conv.bias")]
    resolved = space_of(text, "s", genotype=genotype)
    found = inherit(Discrete(resolved.target).double().plain, part.plain)
    assert [reason for _, reason in found.fresh] == ["its bias has no place here"]
    assert not found.exact


def pools(genotype):
    return sum("pool" in label for _, label in genotype.picks)


def test_batch_norms_behind_pooling_are_named_and_are_all_that_differs():
    """DARTS: the supernet normalises pooled values, its networks do not."""
    space = small("darts")
    supernet = supernet_of(space)
    x = inputs(space)
    genotypes = [g for g in architectures("darts", 12) if pools(g)][:4]
    assert len(genotypes) == 4
    for genotype in genotypes:
        net = network("darts", genotype, seed=9).double()
        part = Part(supernet, genotype).eval()
        found = inherit(net.plain, part.plain)
        assert not found.fresh and not found.exact
        assert all("_pool_3x3.bn" in path for path in found.left)
        assert found.left
        assert not torch.allclose(net(x), part(x))
        for path in found.left:
            norm = part.plain.get_submodule(path)
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
        same(net(x), part(x))


def test_without_pooling_a_network_of_darts_is_exact():
    space = small("robust_s3")
    supernet = supernet_of(space)
    x = inputs(space)
    for genotype in architectures("robust_s3", 3):
        net = network("robust_s3", genotype, seed=9).double()
        assert inherit(net.plain, Part(supernet, genotype).plain).exact
        same(net(x), supernet(x, one_hot(supernet, genotype)))


CHAIN = """nas 1
op step(k) = conv(k) >> bn
space s(C = 4, n = 2) {
  width = C
  input image(3, 8, 8)
  stem  conv(3) >> bn
  stage one_of {step(1), step(3)}
  repeat n { stage step(3) }
  head  global_avg_pool >> linear(5)
  target {
    n = 3
  }
}
"""


def test_what_a_longer_network_has_on_top_stays_fresh():
    space = space_of(CHAIN, "s", target={"n": 2})
    longer = space_of(CHAIN, "s")
    decisions = [d.id for d in longer.decisions]
    label = longer.decisions[0].labels[1]
    genotype = Genotype(space="s", picks=tuple((d, label) for d in decisions))
    part = Part(supernet_of(space), genotype)
    net = Discrete(space_of(CHAIN, "s", genotype=genotype).target, seed=9).double()
    before = {n: v.clone() for n, v in net.plain.state_dict().items()}
    found = inherit(net.plain, part.plain)
    after = net.plain.state_dict()
    changed = {n.rpartition(".")[0] for n in before if not torch.equal(before[n], after[n])}
    assert changed <= set(found.taken)
    assert {reason for _, reason in found.fresh} == {"the supernet has no such operation here"}
    assert len({path.partition(".")[0] for path, _ in found.fresh}) == 1


def test_nothing_is_taken_where_no_shape_agrees():
    genotype = architectures("darts", 1)[0]
    part = Part(supernet_of(small("darts")), genotype)
    wide = Discrete(small("darts", genotype, target={"C": 6}).target, seed=9).double()
    before = {n: v.clone() for n, v in wide.plain.state_dict().items()}
    found = inherit(wide.plain, part.plain)
    assert not found.taken
    assert ("stem.conv", "weight is 18x3x3x3, the supernet's 12x3x3x3") in found.fresh
    after = wide.plain.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_a_fit_may_take_slices():
    """The leading channels of every tensor, as shared weights are cut."""
    genotype = architectures("nasbench201", 1)[0]
    part = Part(supernet_of(small("nasbench201")), genotype)
    net = Discrete(small("nasbench201", genotype, target={"C": 2}).target, seed=9).double()

    def leading(source, target, name, value, wanted):
        return value[tuple(slice(n) for n in wanted)]

    found = inherit(net.plain, part.plain, fit=leading)
    assert found.exact
    stem = part.plain.get_submodule("stem.conv").weight
    assert torch.equal(net.plain.get_submodule("stem.conv").weight, stem[:2])


def test_weights_of_a_part_are_copies():
    space, genotype = small("nasbench201"), architectures("nasbench201", 1)[0]
    supernet = supernet_of(space)
    before = {n: v.clone() for n, v in supernet.state_dict().items()}
    part = Part(supernet, genotype)
    part.train()(inputs(space)).sum().backward()
    assert all(torch.equal(before[n], v) for n, v in supernet.state_dict().items())
    assert all(p.grad is None for p in supernet.parameters())


def test_a_genotype_that_joins_other_nodes_has_no_part():
    space, genotype = small("darts"), architectures("darts", 1)[0]
    odd = Genotype(
        space=genotype.space, picks=genotype.picks, outputs=(("normal", ("x[1]", "x[2]")),)
    )
    with pytest.raises(NotExecutable, match="joins other nodes"):
        Part(supernet_of(space), odd)
