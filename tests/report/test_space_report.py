"""What `inspect` tells of a space and of an architecture."""

import json

import pytest
from spaces_for_tests import bundled_space, space_of

from nasdsl.ir import cost
from nasdsl.ir.formats import forms
from nasdsl.report.columns import number, power, short, table
from nasdsl.report.genotype import connected, connected_cell, genotype_report, genotype_text
from nasdsl.report.space import space_report, space_text

SPACES = [
    ("darts.nas", "darts"),
    ("darts.nas", "darts_imagenet"),
    ("robust_darts.nas", "robust_s1"),
    ("nasbench201.nas", "nasbench201"),
    ("nasbench201.nas", "nats_size"),
    ("nasbench101.nas", "nasbench101"),
    ("nasbench101.nas", "nb1shot1_s3"),
    ("small.nas", "one_edge"),
    ("small.nas", "tabular"),
    ("small.nas", "conv1d"),
    ("small.nas", "hierarchical"),
    ("mobile.nas", "ofa_mobilenet_v3"),
    ("transformers.nas", "gpt_small"),
    ("transbench101.nas", "tnb101_jigsaw"),
]


def test_numbers_read_well():
    assert number(1930618) == "1 930 618"
    assert [short(n) for n in (0, 999, 1000, 999_600, 1_930_618, 10**10)] == [
        "0", "999", "1 k", "1 M", "1.93 M", "10 G",
    ]  # fmt: skip
    assert power(1076746950455072400) == "1.08e18"
    assert power(9_999_999) == "1.00e7"
    assert power(10**400) == "1.00e400"
    assert table([["a", "1"], ["bb", "22"]], header=["x", "n"], right=(1,)) == [
        "x    n", "a    1", "bb  22",
    ]  # fmt: skip


@pytest.mark.parametrize(("file", "name"), SPACES)
def test_reports_are_json_and_fit_eighty_columns(file, name):
    space = bundled_space(file, name)
    report = json.loads(json.dumps(space_report(space)))
    assert report["size"] == space.size()
    assert report["supernet"]["params"] == cost.of_network(space.supernet).params
    assert (
        sum(o["decisions"] for o in report["decisions"]["owners"]) == (report["decisions"]["count"])
    )
    text = space_text(space)
    assert text.endswith("\n") and not text.endswith("\n\n")
    for line in text.splitlines():
        assert len(line) <= 80, line
        assert line == line.rstrip()
    count = report["decisions"]["count"]
    assert f"{count} decision" in text


def test_the_darts_report():
    report = space_report(bundled_space("darts.nas", "darts"))
    assert report["decisions"] == {
        "count": 28,
        "owners": [
            {"owner": "cell normal", "table": "normal", "decisions": 14},
            {"owner": "cell reduce", "table": "reduce", "decisions": 14},
        ],
    }
    normal = report["tables"][0]
    assert normal["settings"] == 1_037_664_180
    assert normal["keep"][0] == {
        "nodes": ["x[1]", "x[2]", "x[3]", "x[4]"],
        "count": 2,
        "except": ["none"],
    }
    assert report["input"] == "3x32x32" and report["classes"] == 10
    assert len(report["target"]["stages"]) == 22
    assert report["target"]["aux"]["from"] == ["reduce_13"]
    assert report["target"]["min"]["params"] < report["target"]["max"]["params"]
    assert report["supernet"]["stages"][2]["from"] == ["stem", "normal_0"]


def test_the_darts_text():
    text = space_text(bundled_space("darts.nas", "darts"))
    assert "28 decisions, owned by 2 tables" in text
    assert "cell normal         14        8  1 037 664 180" in text
    assert "architectures  1 076 746 950 455 072 400  (1.08e18)" in text
    assert "x[2]  prev2, prev, x[1]  (keep 2 except none)" in text
    assert "auxiliary head  after reduce_13" in text


def test_owners_are_told_apart():
    report = space_report(bundled_space("small.nas", "hierarchical"))
    owners = [o["owner"] for o in report["decisions"]["owners"]]
    assert "cell motif_a" in owners
    assert "cell outer, fresh at body[1].round[1].2" in owners
    report = space_report(bundled_space("nasbench201.nas", "nats_size"))
    assert [o["owner"] for o in report["decisions"]["owners"]][0] == "let c1"
    report = space_report(bundled_space("small.nas", "one_edge"))
    assert report["decisions"]["owners"][0]["owner"] == "in place at body[1]"


def test_a_space_without_decisions():
    space = space_of(
        "nas 1 space s { width = 4 input image(3, 8, 8) stage conv(3) "
        "head global_avg_pool >> linear(2) }",
        "s",
    )
    assert "no decisions: the space holds one architecture" in space_text(space)
    assert space_report(space)["size"] == 1


# ---- architectures

V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


def resolved_darts():
    space = bundled_space("darts.nas", "darts", C=4, layers=3)
    gene = forms.parse(V2, space)
    return gene, bundled_space("darts.nas", "darts", C=4, layers=3, genotype=gene)


def nasbench201(text):
    space = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1)
    gene = forms.parse(text, space)
    return gene, bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, genotype=gene)


def test_the_report_of_darts_v2():
    gene, space = resolved_darts()
    report = json.loads(json.dumps(genotype_report(gene, space)))
    assert report["params"] == 3_349_342
    assert report["params_with_aux"] == 3_349_342 + 476_426
    assert report["macs"] == 528_359_040
    assert report["bias_additions"] == 10
    assert report["connected"] is True
    assert report["counts"]["normal"] == {"sep_conv_3x3": 5, "skip_connect": 2, "dil_conv_3x3": 1}
    assert report["total"]["skip_connect"] == 5
    assert report["cells"]["normal"][3] == {
        "node": "x[4]",
        "edges": [{"from": "prev2", "op": "skip_connect"}, {"from": "x[1]", "op": "dil_conv_3x3"}],
    }
    assert report["depth"] == {"normal": 2, "reduce": 2}
    text = genotype_text(gene, space)
    assert "3 349 342 (3 825 768 with aux)" in text
    assert "connected      yes" in text


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", False),
        ("|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_3x3~1|nor_conv_3x3~2|", False),
        ("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|none~2|", False),
        ("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|", True),
        ("|nor_conv_1x1~0|+|none~0|avg_pool_3x3~1|+|none~0|none~1|skip_connect~2|", True),
    ],
)
def test_whether_anything_flows_through_a_cell(text, joined):
    gene, space = nasbench201(text)
    assert connected(space.target) is joined
    cell = next(c for _, _, c in space.target.cells())
    assert connected_cell(cell) is joined
    report = genotype_report(gene, space)
    assert report["connected"] is joined
    if not joined:
        assert "no: nothing of the input reaches the output" in genotype_text(gene, space)


def test_noise_carries_nothing_on():
    space = bundled_space("robust_darts.nas", "robust_s4", C=4, layers=3)
    picks = {}
    for rules in space.rules:
        for _, identities in rules.rows:
            for identity in identities[:2]:
                picks[identity] = "noise"
    from nasdsl.ir.genotype import Genotype

    gene = Genotype(space=space.name, picks=tuple(picks.items()))
    made = bundled_space("robust_darts.nas", "robust_s4", C=4, layers=3, genotype=gene)
    assert connected(made.target) is False
    assert connected(made.supernet) is True
