"""Public bug reports about numbers of parameters and multiply-adds."""

import pytest
import torch
from spaces_for_tests import bundled_space, images
from torch.utils.flop_counter import FlopCounterMode

from nasdsl.codegen.discrete import Discrete
from nasdsl.ir import cost, memory
from nasdsl.ir.expression import evaluate
from nasdsl.ir.formats import forms
from nasdsl.report.columns import number, short
from nasdsl.report.genotype import genotype_report
from nasdsl.report.space import space_report, space_text

V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
V1 = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('skip_connect', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, "
    "5])"
)
SNAS = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('skip_connect', 0), "
    "('dil_conv_3x3', 1), ('skip_connect', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('sep_conv_3x3', 1)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 1), ('skip_connect', 2), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('dil_conv_5x5', 2)], reduce_concat=[2, 3, 4, "
    "5])"
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


@pytest.mark.parametrize(
    ("name", "params", "aux", "macs"),
    [
        ("V1", 3_169_414, 3_645_840, 500_987_520),
        ("SNAS", 2_661_382, 3_137_808, 422_218_368),
    ],
)
def test_tables_are_rounded_and_counts_are_exact(name, params, aux, macs):
    """C90: published as 3.3 M and 2.8 M, which no genotype of these names has."""
    darts = bundled_space("darts.nas", "darts", C=4, layers=3)
    genotype = forms.parse({"V1": V1, "SNAS": SNAS}[name], darts)
    net = bundled_space("darts.nas", "darts", C=4, layers=3, genotype=genotype).target
    assert cost.of_network(net).params == params
    assert cost.of_network(net, aux=True).params == aux
    assert cost.of_network(net).macs == macs
    # The expression over the choices has the same numbers.
    for measure, wanted in (("params", params), ("macs", macs)):
        assert evaluate(cost.expression(darts, measure), genotype) == wanted


def test_the_auxiliary_head_is_no_part_of_an_expression():
    """C87: a penalty and a limit speak of the network without it."""
    darts = bundled_space("darts.nas", "darts", C=4, layers=3)
    genotype = forms.parse(V2, darts)
    assert evaluate(cost.expression(darts, "params"), genotype) == 3_349_342


def test_bytes_are_bytes():
    """C88: memory is told in bytes, and thousands are thousands."""
    space = bundled_space("nasbench201.nas", "nasbench201")
    report = space_report(space)["supernet"]
    assert report["saved_bytes"] == sum(
        m.sample for m in memory.of_training(space.supernet, dense=True).values()
    )
    assert isinstance(report["saved_bytes"], int)
    text = space_text(space)
    assert "MiB" not in text and "MB" not in text
    assert f"keeps {number(report['saved_bytes'])} bytes" in text


def test_other_counters_count_other_things():
    """C89: with the pooled and normalised values the number is another; each says what it counts."""
    space = bundled_space("nasbench201.nas", "nasbench201")
    genotype = forms.parse(INDEX[0], space)
    net = bundled_space("nasbench201.nas", "nasbench201", genotype=genotype).target
    counter = FlopCounterMode(display=False)
    with torch.device("meta"):
        made, x = Discrete(net), torch.empty(1, 3, 32, 32)
    with counter, torch.no_grad():
        made.eval()(x)
    # Torch counts two operations per multiply-add and no bias; the table adds ten of those.
    assert counter.get_total_flops() == 2 * (15_647_370 - 10)


def test_flops_of_the_paper_network_on_imagenet():
    """C89: the same convention gives 529.9 M for DARTS_V2; published numbers use other counters."""
    darts = bundled_space("darts.nas", "darts", C=4, layers=3)
    genotype = forms.parse(V2, darts)
    net = bundled_space("darts.nas", "darts_imagenet", C=8, layers=1, genotype=genotype).target
    assert cost.of_network(net).macs == 529_911_552
