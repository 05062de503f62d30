"""Runs whose supernet is edited, from the command line: they end, resume and are exported."""

import json

import pytest
import torch
from safetensors.torch import load_file
from small_runs import TEXT
from test_export_command import home, load, nasdsl  # noqa: F401

from nasdsl.codegen.part import Part
from nasdsl.codegen.program import samples
from nasdsl.codegen.supernet import Supernet
from nasdsl.ir.genotype import loads
from nasdsl.training.archive import reopen
from nasdsl.training.record import RunFolder
from nasdsl.training.run import searched

EDITED = """
recipe edited extends base.darts {
  batch    = 8
  aux_skip = linear(1 -> 0)
  drop_op  = {skip_connect: 0.5}
  phase one {
    epochs  = 1
    partial = channels(1/4, edge_norm = true)
  }
  phase two extends one {
    partial = channels(1/2, edge_norm = true)
    prune   = top(2)
  }
}
recipe strange extends base.darts {
  batch   = 8
  drop_op = {nowhere: 0.5}
}
recipe divided extends base.darts {
  batch   = 8
  partial = channels(2/3)
}
recipe early extends base.darts {
  batch = 8
  prune = top(2)
}
recipe carrying extends base.darts {
  batch = 8
  carry = {feelings}
}
"""


def order(home, *more):  # noqa: F811
    (home / "edited.nas").write_text(TEXT + EDITED)
    return ["-q", "run", home / "edited.nas", "--space", "bench", "--split", "few", "--data",
            "dots", "--data-dir", home, "--no-retrain", *more]  # fmt: skip


def test_an_edited_supernet_is_exported_as_it_was_searched(home, tmp_path):  # noqa: F811
    run = tmp_path / "run"
    made = nasdsl(*order(home, "--recipe", "edited", "-o", run))
    assert made.exit_code == 0, made.output
    folder = RunFolder(run)
    found = folder.read("result.json")
    assert found["structure"]["phase"] == 1
    assert {len(v) for v in found["structure"]["kept"].values()} == {2}
    seen = nasdsl("inspect", run).output
    assert "skip_connect" in seen and "option 1" not in seen
    net = Supernet(searched(reopen(folder), found))
    net.load_state_dict(load_file(run / "supernet.safetensors"))
    part = Part(net, loads(json.dumps(folder.read("genotype.json")))).eval()
    x = samples(part.inp, 3)
    done = nasdsl("export", run, "--inherit", run, "--as", "model", "--size", "supernet",
                  "-o", tmp_path / "part")  # fmt: skip
    assert done.exit_code == 0, done.output
    torch.testing.assert_close(load(tmp_path / "part")(x), part(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("strange", "no choice of `bench` has an option `nowhere`"),
        ("divided", "the fraction is 1/k"),
        ("early", "acts at the start of a phase"),
        ("carrying", "not `feelings`"),
    ],
)
def test_what_does_not_fit_is_said(home, tmp_path, recipe, said):  # noqa: F811
    done = nasdsl(*order(home, "--recipe", recipe, "-o", tmp_path / "run"))
    assert done.exit_code != 0
    assert said in done.output
    assert "Traceback" not in done.output
