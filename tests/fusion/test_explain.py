"""`compile --explain` says what ran, what it gained, what was refused and why."""

import json

import pytest
from click.testing import CliRunner
from small_networks import small

from nasdsl.cli.main import cli
from nasdsl.codegen.explain import explain
from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.profile import PROFILES, UnknownProfile, profile
from nasdsl.report.passes import passes_text

SMALL = ["-P", "layers=1", "-P", "C=2"]


def test_what_a_profile_gains_and_refuses(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")  # with one whole cells are taken first
    found = CliRunner().invoke(
        cli, ["compile", "darts", *SMALL, "--profile", "memory", "--explain", "--format", "json"]
    )
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout[found.stdout.index("{") :])
    rows = {row["name"]: row for row in report["passes"]}
    assert list(rows)[1:] == [p.name for p in PROFILES["memory"].passes]
    kept = [row["kept_bytes_per_image"] for row in report["passes"]]
    assert kept[-1] < kept[0] / 4
    assert rows["common"]["operators"] < rows["reference"]["operators"]
    refused = rows["recompute_hidden"]["refused"]
    assert any("not pointwise" in r["reason"] and r["place"] for r in refused)


def test_the_text_fits_a_terminal_and_the_weights_stay():
    net = Supernet(small("nasbench201"), profile="balanced")
    before = {k: v.clone() for k, v in net.state_dict().items()}
    text = passes_text("balanced", explain(net))
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "refused by" in text and "fold_weights" in text
    assert all(v.equal(net.state_dict()[k]) for k, v in before.items())


def test_a_profile_that_is_not_there():
    with pytest.raises(UnknownProfile, match="did you mean"):
        profile("balancd")
