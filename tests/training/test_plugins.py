"""Components in Python: found by a dotted name, checked like built-in ones, kept with the run."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import nasdsl
from nasdsl.cli.main import cli
from nasdsl.diagnostics.model import CompileError
from nasdsl.ir.extension import PluginError
from nasdsl.source import Source

PLUGIN = '''
from fractions import Fraction
from types import SimpleNamespace
from nasdsl import Extension, Param


def sampler(c):
    from nasdsl.oneshot.samplers.gumbel import Gumbel
    return Gumbel(c.get("tau"), bool(c.get("hard")))


class Norm:
    def __init__(self, weight):
        self.weight = weight

    def value(self, session, alphas, mix):
        weight = session.now(self.weight, "regularize")
        return weight * sum(a.square().sum() for a in alphas.values())


class Shift:
    def apply(self, session, x, y, sample):
        return sample


class Count:
    """Halves every mix and counts how often."""
    def __init__(self):
        self.calls = 0

    def apply(self, session, mix):
        self.calls += 1
        return {k: m / 2 for k, m in mix.items()}

    def state(self):
        return {}, {"calls": self.calls}

    def restore(self, tensors, values):
        self.calls = values["calls"]


def step(c):
    from nasdsl.oneshot.steps.first_order import FirstOrder
    return FirstOrder()


def select(c):
    from nasdsl.oneshot.select.argmax import Argmax
    return Argmax()


components = [
    Extension(slot="sampler", name="acme.gumbel", make=sampler, doc="relaxed",
              params=(Param("tau", "positive"), Param("hard", "bool", False))),
    Extension(slot="regularize", name="acme.norm", make=lambda c: Norm(c.get("weight")),
              params=(Param("weight", "schedule", Fraction(1, 100)),)),
    Extension(slot="perturb", name="acme.none", make=lambda c: Shift()),
    Extension(slot="mix", name="acme.half", make=lambda c: Count()),
    Extension(slot="step", name="acme.step", make=step),
    Extension(slot="select", name="acme.pick", make=select),
]
'''
HEAD = """nas 1

import "recipes/darts.nas" as base

recipe mine extends base.darts {
  epochs  = 2
  batch   = 8
"""


@pytest.fixture
def plugin(tmp_path):
    place = tmp_path / "acme.py"
    place.write_text(PLUGIN)
    return place


def wrong(body, plugins=()):
    with pytest.raises(CompileError) as error:
        nasdsl.load(Source.of("mine.nas", f"{HEAD}  {body}\n}}\n"), plugins=plugins)
    (found,) = error.value.diagnostics
    return found


@pytest.mark.parametrize(
    ("body", "code", "says", "at"),
    [
        ("sampler = acme.gumbl(tau = 1)", "E301", "acme.gumbel", "acme.gumbl"),
        ("sampler = acme.gumbel(tua = 1)", "E303", "tau", "tua = 1"),
        ("sampler = acme.gumbel", "E305", "relaxed", "acme.gumbel"),
        ("sampler = acme.gumbel(tau = 0)", "E322", None, "0"),
        ("sampler = acme.gumbel(tau = 1, hard = 2)", "E304", None, "2"),
        ("sampler = acme.norm", "E306", None, "acme.norm"),
        ("sampler = other.thing", "E301", "--plugin", "other.thing"),
        ("partial = acme.gumbel(tau = 1)", "E306", None, "acme.gumbel"),
        ("regularize = beta(weight = 1) + acme.norm(wieght = 1)", "E303", "weight", "wieght = 1"),
    ],
)
def test_it_is_checked_like_a_built_in_one(plugin, body, code, says, at):
    found = wrong(body, [plugin])
    assert found.code == code
    assert found.span.text == at
    assert says is None or says in (found.help or "") + found.message


def test_arguments_of_an_inherited_one_can_be_changed(plugin):
    text = f"{HEAD}  sampler = acme.gumbel(tau = 1)\n}}\n"
    more = "\nrecipe other extends mine {\n  sampler.hard = true\n}\n"
    loaded = nasdsl.load(Source.of("mine.nas", text + more), plugins=[plugin])
    made = loaded.program.settings("recipe", "other").get("sampler")
    assert made.get("hard") is True and made.extension.name == "acme.gumbel"
    bad = "\nrecipe other extends mine {\n  sampler.hrad = true\n}\n"
    with pytest.raises(CompileError, match="hrad"):
        nasdsl.load(Source.of("mine.nas", text + bad), plugins=[plugin])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "components"),
        ("components = 3", "list"),
        ("components = [3]", "no `Extension`"),
        ("import nothing_like_this", "ModuleNotFoundError"),
        ("components = [", "SyntaxError"),
        (
            "from nasdsl import Extension\n"
            "components = [Extension(slot='sampler', name='softmax', make=print)]",
            "no prefix",
        ),
        (
            "from nasdsl import Extension\n"
            "components = [Extension(slot='sampler', name='a.b', make=print)] * 2",
            "twice",
        ),
        (
            "from nasdsl import Extension\n"
            "components = [Extension(slot='loss', name='a.b', make=print)]",
            "closed to plugins",
        ),
        (
            "from nasdsl import Extension, Param\n"
            "components = [Extension(slot='step', name='a.b', make=print,"
            " params=(Param('x', 'intt'),))]",
            "unknown type `intt`",
        ),
    ],
)
def test_a_plugin_that_is_none_says_why(tmp_path, text, says):
    place = tmp_path / "bad.py"
    place.write_text(text)
    with pytest.raises(PluginError, match=says):
        nasdsl.load("darts", plugins=[place])
    result = CliRunner().invoke(cli, ["check", "darts.nas", "--plugin", str(place)])
    assert result.exit_code == 1 and result.output.startswith("error:")


def test_two_owners_of_a_name_are_an_error(plugin, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(PLUGIN)
    with pytest.raises(PluginError, match=r"acme\.gumbel.*acme\.py.*other\.py"):
        nasdsl.load("darts", plugins=[plugin, other])


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package whose entry point owns the prefix `acme`."""
    (tmp_path / "acme_nas.py").write_text(PLUGIN)
    info = tmp_path / "acme_nas-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-nas\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[nasdsl.components]\nacme = acme_nas:components\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("acme_nas", None)


def test_an_entry_point_is_read_when_its_prefix_is_used(package):
    nasdsl.load("darts")
    assert "acme_nas" not in sys.modules
    text = f"{HEAD}  sampler = acme.gumbel(tau = 1)\n}}\n"
    made = nasdsl.load(Source.of("mine.nas", text)).program.settings("recipe", "mine")
    assert made.get("sampler").extension.origin == "acme-nas 1.5"
    assert wrong("sampler = acme.gumbel(tua = 1)").code == "E303"


def test_a_file_and_a_package_may_not_claim_one_name(package, tmp_path):
    place = tmp_path / "acme.py"
    place.write_text(PLUGIN)
    found = wrong("sampler = acme.gumbel(tau = 1)", [place])
    assert found.code == "E301" and "acme-nas 1.5" in found.message


def test_files_without_plugins_are_checked_without_torch(plugin):
    code = (
        "import sys, nasdsl; nasdsl.load('darts'); assert 'torch' not in sys.modules;"
        f"nasdsl.load('darts', plugins=[{str(plugin)!r}]); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


RUN = """nas 1

from "darts.nas" import darts, darts8
import "recipes/darts.nas" as base

dataset dots {
  source  = npz("dots.npz")
  shape   = image(3, 8, 8)
  classes = 4
}

space tiny extends darts {
  C          = 4
  layers     = 3
  nodes      = 1
  data       = dots
  candidates = {none, skip_connect, sep_conv_3x3}
  cell normal {
    out x[1]
  }
  target {}
}

split few {
  search.train  = data[0..15]
  search.valid  = data[16..31]
  retrain.train = data[32..63]
}

recipe mine extends base.darts {
  epochs     = 2
  batch      = 8
  sampler    = compose(acme.gumbel(tau = linear(1 -> 0.1)), softmax)
  mix        = acme.half
  perturb    = acme.none
  regularize = acme.norm + beta(weight = 0.1)
  step       = acme.step
  select     = acme.pick
}
"""


@pytest.fixture
def files(tmp_path, plugin):
    draw = np.random.default_rng(0)
    images = {
        f"x_{part}": draw.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
        for part, n in (("train", 64), ("test", 8))
    }
    labels = {f"y_{part}": np.arange(n) % 4 for part, n in (("train", 64), ("test", 8))}
    np.savez(tmp_path / "dots.npz", **images, **labels)
    (tmp_path / "mine.nas").write_text(RUN)
    return tmp_path


def run(*args):
    result = CliRunner().invoke(cli, ["run", *map(str, args)])
    assert result.exit_code in (0, 130), result.output
    return result


def end(folder):
    return json.loads((folder / "result.json").read_text()), torch.tensor(
        list((folder / "alphas.safetensors").read_bytes())
    )


def test_a_run_keeps_its_plugins_and_goes_on_and_repeats_without_the_file(files, plugin):
    common = ("--data-dir", files, "--no-retrain", "--device", "cpu")
    whole, half, again = (files / n for n in ("whole", "half", "again"))
    run(files / "mine.nas", "--plugin", plugin, *common, "-o", whole)
    run(files / "mine.nas", "--plugin", plugin, *common, "-o", half, "--wall-limit", "0")
    plugin.unlink()
    run(half, "--resume", *common)
    run(whole, *common, "-o", again)
    wanted, alphas = end(whole)
    for other in (half, again):
        found, values = end(other)
        assert torch.equal(values, alphas)
        assert found["mix"] == wanted["mix"] and found["genotype"] == wanted["genotype"]
    order = json.loads((whole / "run.json").read_text())
    assert {u["name"] for u in order["plugins"]} == {
        "acme.gumbel", "acme.half", "acme.none", "acme.norm", "acme.step", "acme.pick",
    }  # fmt: skip
    stored = json.loads((whole / "sources.json").read_text())["plugins"]
    assert stored[0]["text"] == PLUGIN and order["plugins"][0]["digest"] == stored[0]["digest"]


def test_looking_at_a_run_runs_no_plugin(files, plugin):
    mark = files / "mark"
    plugin.write_text(PLUGIN + f"\nfrom pathlib import Path\nPath({str(mark)!r}).touch()\n")
    folder = files / "run"
    common = ("--data-dir", files, "--no-retrain", "--device", "cpu")
    run(files / "mine.nas", "--plugin", plugin, *common, "-o", folder)
    mark.unlink()
    result = CliRunner().invoke(cli, ["inspect", str(folder)])
    assert result.exit_code == 0 and "genotype" in result.output and not mark.exists()


def test_a_changed_text_of_a_run_folder_is_refused(files, plugin):
    folder = files / "run"
    common = ("--data-dir", files, "--no-retrain", "--device", "cpu")
    run(files / "mine.nas", "--plugin", plugin, *common, "-o", folder)
    place = folder / "sources.json"
    stored = json.loads(place.read_text())
    stored["plugins"][0]["text"] += "\n# changed\n"
    place.write_text(json.dumps(stored))
    command = ["run", str(folder), *map(str, common), "-o", str(files / "again")]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0 and "sources.json is damaged" in result.output
    # The text that runs is that of the copy, which is as it was written.
    again = json.loads((files / "again/sources.json").read_text())
    assert again["plugins"][0]["text"] == plugin.read_text()
    shutil.rmtree(folder / "copies")
    (folder / "digests.json").unlink()
    result = CliRunner().invoke(cli, ["run", str(folder), *map(str, common), "-o", "x"])
    assert result.exit_code == 1 and "was changed" in result.output


def test_what_a_maker_gives_must_fit_its_slot(files, plugin):
    plugin.write_text(PLUGIN.replace("return Argmax()", "return 3"))
    result = CliRunner().invoke(
        cli,
        ["run", str(files / "mine.nas"), "--plugin", str(plugin), "--data-dir", str(files)]
        + ["-o", str(files / "run")],
    )
    assert result.exit_code == 1 and "is no select: it has no `genotype`" in result.output
    assert not (files / "run").exists()


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("return {k: m / 2 for", "return {k: m / None for", "in <dictcomp>"),
        ("weight = session.now", "weight = session.then", "weight = session.then"),
        ("components = [", "components = [1 / 0,", "components = [1 / 0,"),
        ("def step(c):", "def step(c:", "def step(c:"),
    ],
)
def test_an_error_in_a_plugin_points_at_its_line(files, plugin, old, new, text):
    changed = PLUGIN.replace(old, new)
    plugin.write_text(changed)
    lines = changed.splitlines()
    number = 1 + next(i for i, line in enumerate(lines) if new in line)
    result = CliRunner().invoke(
        cli,
        ["run", str(files / "mine.nas"), "--plugin", str(plugin), "--data-dir", str(files)]
        + ["-o", str(files / "run"), "--no-retrain"],
    )
    assert result.exit_code == 1
    assert f"{plugin}:{number}: " in result.output and text in result.output
    assert "Traceback" not in result.output
