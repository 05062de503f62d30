"""A small file and how to run it, for tests of whole runs."""

import json
import os
import subprocess
import sys

from click.testing import CliRunner

from nasdsl.cli.main import cli

TEXT = """nas 1

from "darts.nas" import darts, darts8
from "data/images.nas" import fashion16
import "recipes/samplers.nas" as samplers
import "recipes/darts.nas" as base

space tiny extends darts {
  C      = 4
  layers = 3
  nodes  = 1
  data   = fashion16
  candidates = {none, max_pool_3x3, skip_connect, sep_conv_3x3}
  cell normal {
    out x[1]
  }
  target {}
}

recipe soft extends base.darts {
  epochs  = 3
  batch   = 32
  arch.lr = 0.01
}
recipe hard extends samplers.gdas {
  epochs = 3
  batch  = 32
}
recipe drawn extends samplers.drnas {
  epochs = 3
  batch  = 32
}

split few {
  search.train  = data[0..95]
  search.valid  = data[96..191]
  retrain.train = data[192..255]
}

train short {
  epochs    = 2
  batch     = 32
  weights   = sgd(lr = cosine(0.05 -> 0), momentum = 0.9)
  drop_path = linear(0 -> 0.2)
}
"""


def run(*args, code=0):
    """`nasdsl run` in this process."""
    given = ["-q", "run", *map(str, args), "--threads", "1"]
    result = CliRunner().invoke(cli, given, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def start(*args):
    """`nasdsl run` as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "nasdsl", "-q", "run", *map(str, args), "--threads", "1"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def wait(process):
    _, error = process.communicate(timeout=300)
    return process.returncode, error.decode()


def same(a, b):
    """Two finished runs are one, bit for bit, but for the time they took."""
    for name in ("supernet.safetensors", "alphas.safetensors", "genotype.json"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    for name in ("result.json", "retrain/result.json"):
        if (a / name).is_file() and (b / name).is_file():
            left, right = (json.loads((p / name).read_text()) for p in (a, b))
            left.pop("seconds"), right.pop("seconds")
            assert left == right, name
    name = "retrain/network.safetensors"
    if (a / name).is_file() and (b / name).is_file():
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
