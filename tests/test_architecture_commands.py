"""`nasdsl sample` and `nasdsl diff` from outside: output, formats, messages, exit codes."""

import json

import pytest
from click.testing import CliRunner
from spaces_for_tests import bundled_space

from nasdsl.cli.main import cli
from nasdsl.ir.canonical import Canonical
from nasdsl.ir.formats import forms


def run(*args, text=None):
    return CliRunner().invoke(cli, list(args), input=text)


def test_samples_are_lines_that_can_be_read_back():
    result = run("sample", "darts", "-n", "4", "--seed", "2", "-P", "C=4", "-P", "layers=3")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 4 == len(set(lines))
    space = bundled_space("darts.nas", "darts", C=4, layers=3)
    for line in lines:
        assert forms.dumps(forms.parse(line, space), space).strip() == line
    again = run("sample", "darts", "-n", "4", "--seed", "2", "-P", "C=4", "-P", "layers=3")
    assert again.stdout == result.stdout
    assert run("sample", "darts", "-n", "4", "-P", "C=4", "-P", "layers=3").stdout != result.stdout


def test_formats_of_samples():
    plain = run("sample", "nasbench201", "-n", "3", "--seed", "1").stdout.splitlines()
    neutral = run("sample", "nasbench201", "-n", "3", "--seed", "1", "--format", "nas")
    report = run("sample", "nasbench201", "-n", "3", "--seed", "1", "--format", "json")
    space = bundled_space("nasbench201.nas", "nasbench201")
    picks = [forms.parse(line, space) for line in plain]
    assert [forms.parse(line, space) for line in neutral.stdout.splitlines()] == picks
    data = json.loads(report.stdout)
    assert (data["schema"], data["space"], data["seed"]) == (1, "nasbench201", 1)
    assert [a["text"] for a in data["architectures"]] == plain
    identity = Canonical(space)
    assert [a["identity"] for a in data["architectures"]] == [identity(g) for g in picks]
    assert [forms.parse(json.dumps(a["genotype"]), space) for a in data["architectures"]] == picks


def test_unique_samples_are_different_networks():
    result = run("sample", "nasbench101", "-P", "vertices=4", "-n", "91", "--unique")
    assert result.exit_code == 0, result.output
    space = bundled_space("nasbench101.nas", "nasbench101", vertices=4)
    found = [forms.parse(line, space) for line in result.stdout.splitlines()]
    assert len({Canonical(space)(g) for g in found}) == 91
    small = run("sample", "one_edge", "-n", "5", "--unique")
    assert small.exit_code == 1
    assert len(small.stdout.splitlines()) == 3
    assert "no more than 3 different architectures" in small.stderr


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("nasbench201", "--require", "params <= 1k", "--tries", "9"), 1, "in 9 tries"),
        (("nasbench201", "--require", "parms <= 1k"), 1, "unknown measure `parms`"),
        (("nasbench201", "--format", "poem"), 1, "poem"),
        (("nasbench2001",), 2, "nasbench201"),
        (("nasbench201", "-n", "0"), 2, "-n"),
        (("nasbench201", "--unique", "--notion", "exact"), 2, "exact"),
    ],
)
def test_mistakes_are_said(args, code, said):
    result = run("sample", *args)
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stdout == ""


A = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
B = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|skip_connect~2|"


def test_what_differs_between_two(tmp_path):
    result = run("diff", "nasbench201", A, B)
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "distance   2\n"
        "same       no\n"
        "c/x[2]<-a  nor_conv_3x3(a) -> nor_conv_1x1(a)\n"
        "c/x[3]<-a  skip_connect(a) -> none(a)\n"
    )
    file = tmp_path / "a.txt"
    file.write_text(A)
    assert run("diff", "nasbench201", str(file), "-", text=B).stdout == result.stdout
    data = json.loads(run("diff", "nasbench201", A, B, "--format", "json").stdout)
    assert data["distance"] == 2
    assert data["same"] == {"network": False, "function": False, "zero": False, "skip": False}
    assert data["changes"][1] == {
        "place": "c/x[3]<-a",
        "distance": 1,
        "a": [["c/x[3]<-a", "skip_connect"]],
        "b": [["c/x[3]<-a", "none"]],
    }


def test_the_same_network_written_differently():
    one = "|none~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|"
    two = "|none~0|+|none~0|avg_pool_3x3~1|+|nor_conv_3x3~0|none~1|avg_pool_3x3~2|"
    result = run("diff", "nasbench201", one, two)
    assert "same       yes: isomorphic networks, written differently\n" in result.stdout
    assert (
        run("diff", "nasbench201", A, A).stdout == "distance   0\nsame       yes, to the letter\n"
    )


def test_long_differences_stay_within_eighty_columns():
    pair = run("sample", "darts", "-n", "2", "-P", "C=4", "-P", "layers=3").stdout.splitlines()
    result = run("diff", "darts", "-P", "C=4", "-P", "layers=3", *pair)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and len(lines) > 5
    assert max(map(len, lines)) <= 80
    wrong = run("diff", "nasbench201", A, A.replace("avg_pool_3x3", "pool"))
    assert wrong.exit_code == 1 and "unknown operation `pool`" in wrong.stderr
    assert run("diff", "nasbench201", "-", "-").exit_code == 2
