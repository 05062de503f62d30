"""A search that trains networks one by one, as a command: what it says, shows and draws."""

import json

import pytest
from click.testing import CliRunner

from nasdsl.cli.main import cli

TEXT = """nas 1

from "nasbench201.nas" import nasbench201
from "recipes/single_path.nas" import random_search

space s extends nasbench201 {
  C = 2
  n = 1
}
recipe r extends random_search {
  select.samples = 3
  step.epochs    = 1
}
dataset dots {
  source  = synthetic(count = 240, size = 16)
  shape   = image(3, 16, 16)
  classes = 2
}
train one {
  epochs  = 1
  batch   = 8
  weights = sgd(lr = 0.1)
}
"""


def nasdsl(*args):
    result = CliRunner().invoke(cli, [*map(str, args)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The folder of a run, and what the command said at its end, as text and as JSON."""
    base = tmp_path_factory.mktemp("black_box")
    (base / "s.nas").write_text(TEXT)
    order = ["run", base / "s.nas", "--space", "s", "--recipe", "r", "--data", "dots"]
    order += ["--train", "one", "--profile", "reference"]
    text = nasdsl(*order, "-o", base / "a")
    told = nasdsl(*order, "-o", base / "b", "--no-retrain", "--format", "json")
    return base / "a", text, json.loads(told[told.index("{") :])


def test_the_command_says_what_the_search_came_to(found):
    _, text, told = found
    assert "the best of 3 trained networks" in text and "one-hot" not in text
    assert "1 epoch)" in text
    assert told["valid"] is None and told["discretization_gap"] is None and told["retrain"] is None


def test_reports_show_every_network_and_its_cost(found):
    folder, _, _ = found
    assert "best of 3 trained" in nasdsl("inspect", folder)
    tried = json.loads((folder / "result.json").read_text())["tried"]
    assert len(tried) == 3 and all(t["params"] > 0 < t["macs"] for t in tried)
    page = folder.with_suffix(".html")
    nasdsl("report", folder, "-o", page)
    text = page.read_text()
    for said in ("What was tried", "3 networks on the validation images", "multiply-adds", "in the search, validation"):  # fmt: skip
        assert said in text
    assert "one-hot supernet" not in text
