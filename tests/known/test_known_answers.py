"""Published architectures have the published numbers of parameters and multiply-adds, exactly."""

from pathlib import Path

import pytest
from spaces_for_tests import bundled_space, images

from nasdsl.ir import cost
from nasdsl.ir.formats import forms

HERE = Path(__file__).parent
DARTS = [
    line.split("\t") for line in (HERE / "known_answers_darts_space.tsv").read_text().splitlines()
]
NB201 = [line.split("\t") for line in (HERE / "known_answers_nb201.tsv").read_text().splitlines()]


def column(row, name):
    return row[DARTS[0].index(name)]


@pytest.fixture(scope="module")
def darts():
    return bundled_space("darts.nas", "darts", C=4, layers=3)


@pytest.mark.parametrize("row", DARTS[1:], ids=lambda r: r[0])
def test_darts_genotypes_on_cifar(row, darts):
    genotype = forms.parse(column(row, "genotype"), darts)
    assert forms.parse(forms.dumps(genotype, darts), darts) == genotype
    net = bundled_space("darts.nas", "darts", C=4, layers=1, genotype=genotype).target
    assert cost.of_network(net).params == int(column(row, "cifar10_params_noaux_C36_L20"))
    assert cost.of_network(net, aux=True).params == int(column(row, "cifar10_params_with_aux"))
    assert cost.of_network(net).macs == int(column(row, "cifar10_MACs_conv_linear_32x32"))
    data = images(3, 32, 100)
    net = bundled_space("darts.nas", "darts", C=4, layers=1, data=data, genotype=genotype).target
    assert cost.of_network(net).params == int(column(row, "cifar100_params_noaux_model"))
    target = {"C": 16, "layers": 8}
    net = bundled_space(
        "darts.nas", "darts", C=4, layers=1, target=target, genotype=genotype
    ).target
    assert cost.of_network(net).params == int(column(row, "cifar10_params_C16_L8_noaux"))


@pytest.mark.parametrize("row", DARTS[1:], ids=lambda r: r[0])
def test_darts_genotypes_on_imagenet(row, darts):
    genotype = forms.parse(column(row, "genotype"), darts)
    net = bundled_space("darts.nas", "darts_imagenet", C=8, layers=1, genotype=genotype).target
    assert cost.of_network(net).params == int(column(row, "imagenet_params_noaux_C48_L14"))
    assert cost.of_network(net, aux=True).params == int(column(row, "imagenet_params_with_aux"))
    assert cost.of_network(net).macs == int(column(row, "imagenet_MACs_conv_linear_224"))


@pytest.mark.parametrize("row", NB201, ids=lambda r: r[0])
def test_nasbench201_cells(row):
    sets = (images(3, 32, 10), images(3, 32, 100), images(3, 16, 120))
    space = bundled_space("nasbench201.nas", "nasbench201")
    genotype = forms.parse(row[2], space)
    assert forms.dumps(genotype, space).strip() == row[2]
    for data, wanted in zip(sets, row[3:6], strict=True):
        net = bundled_space("nasbench201.nas", "nasbench201", data=data, genotype=genotype).target
        params, flops = (int(n) for n in wanted.split("/"))
        found = cost.of_network(net)
        assert found.params == params
        # The benchmark counts the additions of the classifier's bias as well.
        assert found.macs + found.bias == flops


def test_counts_of_architectures():
    darts = bundled_space("darts.nas", "darts")
    assert darts.table_size("normal") == darts.table_size("reduce") == 1_037_664_180
    assert darts.size() == 1_076_746_950_455_072_400
    assert bundled_space("nasbench201.nas", "nasbench201").size() == 15_625


NASNET = (
    "Genotype(normal=[('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), "
    "('sep_conv_3x3', 0), ('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), "
    "('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('skip_connect', 1)], "
    "normal_concat=[2, 3, 4, 5, 6], reduce=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), "
    "('max_pool_3x3', 1), ('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('sep_conv_5x5', 0), "
    "('skip_connect', 3), ('avg_pool_3x3', 2), ('sep_conv_3x3', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[4, 5, 6])"
)
AMOEBANET = (
    "Genotype(normal=[('avg_pool_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_5x5', 2), ('sep_conv_3x3', 0), ('avg_pool_3x3', 3), ('sep_conv_3x3', 1), "
    "('skip_connect', 1), ('skip_connect', 0), ('avg_pool_3x3', 1)], normal_concat=[4, 5, 6], "
    "reduce=[('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('sep_conv_7x7', 2), "
    "('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), "
    "('conv_7x1_1x7', 0), ('sep_conv_3x3', 5)], reduce_concat=[3, 4, 6])"
)


@pytest.mark.parametrize(
    ("text", "params", "macs"),
    [(NASNET, 3_830_950, 603_452_448), (AMOEBANET, 3_145_078, 488_931_552)],
    ids=["nasnet", "amoebanet"],
)
def test_hand_designed_cells_keep_both_edges_from_one_state_and_their_concat(text, params, macs):
    """C14, C15: a second operation on the same pair of states is not lost; other concat lists."""
    space = bundled_space("nasnet.nas", "nasnet", C=4, layers=3)
    genotype = forms.parse(text, space)
    assert forms.parse(forms.dumps(genotype, space), space) == genotype
    net = bundled_space("nasnet.nas", "nasnet", C=4, layers=3, genotype=genotype).target
    assert cost.of_network(net).params == params
    assert cost.of_network(net).macs == macs
