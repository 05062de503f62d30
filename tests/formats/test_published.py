"""Published architectures by name: each is one of its space, with the published numbers."""

import json
import re

import pytest
from click.testing import CliRunner
from spaces_for_tests import bundled_space

from nasdsl import driver
from nasdsl.cli import artifacts
from nasdsl.cli.main import cli
from nasdsl.ir import cost, published
from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import GenotypeError

CATALOGUE = published.catalogue()


@pytest.fixture(scope="module")
def spaces():
    return {
        name: driver.space(driver.load(name), name, {})
        for name in dict.fromkeys(e.space for e in CATALOGUE)
    }


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.name)
def test_the_text_is_the_text_of_its_space(entry, spaces):
    space = spaces[entry.space]
    found = forms.parse(entry.name, space)
    assert forms.dumps(found, space).strip() == entry.text
    assert re.search(r"arXiv \d{4}\.\d{5}$|20\d\d$", entry.paper)
    for alias in entry.aliases:
        assert forms.parse(alias, space) == found


def test_names_are_names_and_each_means_one_thing():
    names = [n for e in CATALOGUE for n in (e.name, *e.aliases)]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z_][\w.+-]*", n) for n in names)
    bundled = driver.index("space")
    assert [n for n in names if n in bundled] == []


#: Parameters at C = 36, 20 cells, CIFAR-10; at C = 48, 14 cells, ImageNet; multiply-adds at both.
#: Computed with the reference network of DARTS.
SIZES = {
    "SNAS": (2_661_382, 422_218_368, 3_939_328, 438_042_432),
    "c10_s5_random": (3_606_166, 562_393_728, 5_120_320, 566_762_688),
    "c10_s5_pgd": (3_344_806, 526_755_456, 4_768_864, 531_567_360),
    "c10_s1_pgd": (3_377_206, 526_368_384, 4_845_856, 535_085_952),
    "c10_s3_pgd": (4_341_862, 656_922_240, 6_131_680, 663_919_104),
    "svhn_s2_pcdarts": (1_736_038, 264_763_008, 3_064_864, 315_409_152),
    "GDAS_V1": (3_368_782, None, 4_969_216, None),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_that_no_other_test_has(name, spaces):
    """C19: those of RobustDARTS' spaces are in the vocabulary of DARTS, too."""
    params, macs, larger, larger_macs = SIZES[name]
    genotype = forms.parse(name, spaces["darts"])
    net = bundled_space("darts.nas", "darts", C=4, layers=1, genotype=genotype).target
    assert cost.of_network(net).params == params
    assert macs in (None, cost.of_network(net).macs)
    net = bundled_space("darts.nas", "darts_imagenet", C=8, layers=1, genotype=genotype).target
    assert cost.of_network(net).params == larger
    assert larger_macs in (None, cost.of_network(net).macs)


def test_an_operation_that_is_not_in_the_vocabulary_of_darts(spaces):
    """C19: `noise` is one of RobustDARTS' space 4 and of no other."""
    assert forms.parse("c10_s4_pcdarts", spaces["robust_s4"])
    with pytest.raises(GenotypeError, match="no option `noise`"):
        forms.parse("c10_s4_pcdarts", spaces["darts"])


def test_unknown_names_and_names_of_other_spaces(spaces):
    """C17: a name is looked up, never evaluated."""
    with pytest.raises(GenotypeError, match="did you mean `DARTS_V2`"):
        forms.parse("DARTS_V3", spaces["darts"])
    with pytest.raises(GenotypeError, match="nasdsl inspect published"):
        forms.parse("os.system", spaces["darts"])
    with pytest.raises(GenotypeError, match="looks like `nasbench201`"):
        forms.parse("nb201_GDAS", spaces["darts"])


# ---- on the command line


def run(*args):
    return CliRunner().invoke(cli, list(args))


def test_a_name_is_inspected_in_its_space():
    done = run("inspect", "DARTS_V2")
    assert done.exit_code == 0, done.output
    assert "architecture of darts" in done.output
    assert "3 349 342 (3 825 768 with aux)" in done.output
    report = json.loads(run("inspect", "DARTS", "--format", "json").output)
    assert report["published"] == ["DARTS_V2"]
    assert list(report["forms"]) == ["darts", "nasbench301", "naslib"]
    assert report["params"] == 3_349_342


def test_a_name_is_inspected_in_another_space():
    done = run("inspect", "GDAS_V1", "--space", "darts_imagenet")
    assert "4 969 216" in done.output


def test_a_cell_of_nasbench101_shows_its_hash():
    report = json.loads(run("inspect", "nb101_00005c14", "--format", "json").output)
    assert report["nasbench101"]["hash"] == "00005c142e6f48ac74fdcf73e3439874"
    assert report["cells"]["c"][0]["reads"] == ["a"]
    assert report["total"] == {"conv3x3_bn_relu": 3, "maxpool3x3": 1, "conv1x1_bn_relu": 1}
    text = run("inspect", "nb101_00005c14").output
    assert "conv1x1_bn_relu(a + x[3] + x[4])" in text
    assert "x[2] + x[5]" in text


def test_all_names_are_listed():
    done = run("inspect", "published")
    assert done.exit_code == 0
    for entry in CATALOGUE:
        assert f"\n  {entry.name} " in done.output
    report = json.loads(run("inspect", "published", "--format", "json").output)
    assert [a["name"] for a in report["architectures"]] == [e.name for e in CATALOGUE]


def test_unknown_targets_are_compared_with_names():
    done = run("inspect", "DARTS_V3")
    assert done.exit_code == 2
    assert "did you mean `DARTS_V2`" in done.output


@pytest.mark.parametrize("target", ["robust_drts", "missing.nas"])
def test_a_mistyped_file_is_not_taken_for_an_architecture(target):
    done = run("inspect", target, "--space", "robust_s1")
    assert done.exit_code == 2
    assert f"no file and no bundled space `{target}`" in done.output


@pytest.mark.parametrize(
    ("text", "space", "shown"),
    [
        ("64-41414-1_02_333", "tnb101_micro", "nor_conv_3x3(a)"),
        ("02012100", "nasbench_macro", "ir_5x5_t6"),
        ("64:64:8:8:16", "nats_size", "c5  16"),
        ("naslib: (4, 0, 3, 1, 4, 3)", "nasbench201", "avg_pool_3x3(a)"),
        ("[4, 0, 3, 1, 4, 3]", "nasbench201", "avg_pool_3x3(a)"),
    ],
)
def test_texts_of_each_form_are_inspected(text, space, shown):
    done = run("inspect", text, "--space", space)
    assert done.exit_code == 0, done.output
    assert shown in done.output
    done = run("inspect", text)
    assert done.exit_code == 2


def test_a_file_and_stdin_hold_an_architecture(tmp_path):
    file = tmp_path / "found.txt"
    file.write_text("64-41414-1_02_333\n")
    done = run("inspect", str(file), "--space", "tnb101_micro")
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(
        cli, ["export", "-", "--space", "darts", "--as", "naslib"], input="DARTS_V1\n"
    )
    assert done.output.startswith("(((1, 3), (0, 3),")
    file.write_bytes(b"\xff\xfe\x00Genotype")
    done = run("inspect", str(file), "--space", "darts")
    assert done.exit_code == 1
    assert "internal" not in done.output


def test_export_writes_every_form():
    assert set(artifacts.FORMS) == {"auto", *forms.NAMES}
    config = json.loads(run("export", "PC_DARTS_cifar", "--as", "nasbench301").output)
    assert config["NetworkSelectorDatasetInfo:darts:edge_normal_0"] == "skip_connect"
    assert config["NetworkSelectorDatasetInfo:darts:inputs_node_reduce_4"] == "0_3"
    neutral = run("export", "nb101_Inception", "--as", "nas").output
    own = run("export", neutral, "--space", "nasbench101").output
    assert own.strip() == published.find("nb101_Inception").text
    done = run("export", "DARTS_V2", "--as", "nasbench201")
    assert done.exit_code == 1
    assert "`darts` cannot be written as `nasbench201`; it can as darts, nasbench301" in done.output


def test_a_name_is_compiled(tmp_path):
    args = ("-P", "C=4", "-P", "layers=3", "--genotype", "PC_DARTS_cifar")
    done = run("compile", "darts", *args, "-o", str(tmp_path / "net"))
    assert done.exit_code == 0, done.output
    assert "3,634,678 parameters" in done.output


@pytest.mark.parametrize("command", ["inspect", "export"])
def test_hostile_texts_on_the_command_line(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in (
        "__import__('pathlib').Path('x').touch()",
        "Genotype(" + "(" * 300,
        "x" * 300,
        "\0",
    ):
        done = run(command, text, "--space", "darts")
        assert done.exit_code == 1, (text, done.output)
        assert "internal" not in done.output
    assert list(tmp_path.iterdir()) == []
