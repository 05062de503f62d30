"""Public bug reports about numbers of parameters and multiply-adds."""

import pytest
import torch
from spaces_for_tests import bundled_space, images

from nasdsl.codegen.discrete import Discrete
from nasdsl.ir import cost
from nasdsl.ir.formats import forms
from nasdsl.report.columns import short
from nasdsl.report.genotype import genotype_report

V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"
INDEX = {
    0: "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    1: "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
}


def test_the_auxiliary_head_is_counted_only_when_asked_for():
    """C87: DARTS_V2 has 3,349,342 parameters, 476,426 more with the head."""
    darts = bundled_space("darts.nas", "darts", C=4, layers=3)
    genotype = forms.parse(V2, darts)
    space = bundled_space("darts.nas", "darts", C=4, layers=3, genotype=genotype)
    assert cost.of_network(space.target).params == 3_349_342
    assert cost.of_network(space.target, aux=True).params == 3_825_768
    report = genotype_report(genotype, space)
    assert (report["params"], report["params_with_aux"]) == (3_349_342, 3_825_768)
    with torch.device("meta"):
        plain, full = Discrete(space.target), Discrete(space.target, aux=True)
    counts = [sum(p.numel() for p in n.parameters()) for n in (plain, full)]
    assert counts == [3_349_342, 3_825_768]
    heads = [n for n, _ in full.named_parameters() if n.startswith("training_graph.aux")]
    assert sum(full.get_parameter(n).numel() for n in heads) == 476_426


def test_a_million_is_a_million():
    """C88: 73,306 parameters are 0.0733 M, not 0.0699."""
    space = bundled_space("nasbench201.nas", "nasbench201")
    genotype = forms.parse(SKIPS, space)
    net = bundled_space("nasbench201.nas", "nasbench201", genotype=genotype).target
    assert cost.of_network(net).params == 73_306
    assert short(73_306) == "73.3 k"
    assert short(1_930_618) == "1.93 M"


@pytest.mark.parametrize(
    ("index", "wanted"),
    [(0, (15_647_370, 15_653_220, 3_919_480)), (1, (113_951_370, 113_957_220, 28_495_480))],
)
def test_flops_of_the_benchmark_are_multiply_adds_and_bias_additions(index, wanted):
    """C89: convolutions and the classifier; neither pools nor normalisation."""
    for (size, classes), flops in zip(((32, 10), (32, 100), (16, 120)), wanted, strict=True):
        data = images(3, size, classes)
        space = bundled_space("nasbench201.nas", "nasbench201", data=data)
        genotype = forms.parse(INDEX[index], space)
        net = bundled_space("nasbench201.nas", "nasbench201", data=data, genotype=genotype).target
        found = cost.of_network(net)
        assert found.macs + found.bias == flops


def test_flops_of_the_paper_network_on_imagenet():
    """C89: the same convention gives 529.9 M for DARTS_V2; published numbers use other counters."""
    darts = bundled_space("darts.nas", "darts", C=4, layers=3)
    genotype = forms.parse(V2, darts)
    net = bundled_space("darts.nas", "darts_imagenet", C=8, layers=1, genotype=genotype).target
    assert cost.of_network(net).macs == 529_911_552
