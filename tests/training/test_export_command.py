"""`nasdsl export` of networks: from a run, from a space, with a supernet's weights."""

import importlib.util
import json
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from small_runs import TEXT

from nasdsl import driver
from nasdsl.cli.main import cli
from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.part import Part
from nasdsl.codegen.program import samples
from nasdsl.codegen.supernet import Supernet
from nasdsl.ir.genotype import loads
from nasdsl.training.archive import reopen
from nasdsl.training.record import RunFolder


def nasdsl(*args):
    return CliRunner().invoke(cli, [str(a) for a in args])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the images, the space and a finished run of it."""
    folder = tmp_path_factory.mktemp("export")
    draw = np.random.default_rng(0)
    np.savez(
        folder / "dots.npz",
        x_train=draw.integers(0, 256, (64, 3, 8, 8), dtype=np.uint8),
        y_train=np.arange(64) % 4,
        x_test=draw.integers(0, 256, (16, 3, 8, 8), dtype=np.uint8),
        y_test=np.arange(16) % 4,
    )
    (folder / "small.nas").write_text(TEXT)
    made = nasdsl(
        "-q", "run", folder / "small.nas", "--space", "bench", "--recipe", "soft", "--split",
        "few", "--train", "short", "--data", "dots", "--data-dir", folder, "-o", folder / "run",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    return folder


def load(folder):
    """The network of an exported model."""
    spec = importlib.util.spec_from_file_location("exported_model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["exported_model"] = module
    spec.loader.exec_module(module)
    return module.load()


def retrained(run):
    folder = RunFolder(run)
    genotype = loads(json.dumps(folder.read("genotype.json")))
    net = Discrete(reopen(folder).space(genotype).target)
    net.load_state_dict(load_file(run / "retrain" / "network.safetensors"))
    return net.eval(), genotype


def test_a_run_gives_its_retrained_network(home, tmp_path):
    done = nasdsl("export", home / "run", "--as", "model", "-o", tmp_path / "m")
    assert done.exit_code == 0, done.output
    assert "retrained weights" in done.output
    net, _ = retrained(home / "run")
    x = samples(net.inp, 3)
    torch.testing.assert_close(load(tmp_path / "m")(x), net(x), rtol=0, atol=1e-6)
    info = json.loads((tmp_path / "m" / "space.json").read_text())
    assert info["weights"]["from"] == "retrained"
    assert info["input"] == {"kind": "image", "dims": [3, 8, 8]}


def test_a_run_as_a_program_and_as_onnx(home, tmp_path):
    net, _ = retrained(home / "run")
    x = samples(net.inp, 5)
    done = nasdsl("export", home / "run", "--as", "torch", "-o", tmp_path / "n.pt2")
    assert done.exit_code == 0, done.output
    found = torch.export.load(tmp_path / "n.pt2").module()(x)
    torch.testing.assert_close(found, net(x), rtol=0, atol=1e-5)
    done = nasdsl("export", home / "run", "--as", "onnx", "-o", tmp_path / "n.onnx")
    assert done.exit_code == 0, done.output
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "n.onnx"))
    found = torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
    torch.testing.assert_close(found, net(x), rtol=0, atol=1e-4)
    assert not list(tmp_path.glob("*.new"))


def supernet(run):
    net = Supernet(reopen(RunFolder(run)).space())
    net.load_state_dict(load_file(run / "supernet.safetensors"))
    return net


def test_a_network_inherits_the_weights_of_a_supernet(home, tmp_path):
    """NAS-Bench-201: exactly, though its convolutions have no bias."""
    _, genotype = retrained(home / "run")
    part = Part(supernet(home / "run"), genotype).eval()
    x = samples(part.inp, 3)
    for size in ("target", "supernet"):
        done = nasdsl("export", home / "run", "--inherit", home / "run", "--as", "model",
                      "--size", size, "-o", tmp_path / size)  # fmt: skip
        assert done.exit_code == 0, done.output
        assert "not inherited" not in done.output
        torch.testing.assert_close(load(tmp_path / size)(x), part(x), rtol=1e-5, atol=1e-5)


def test_statistics_are_measured_on_the_images_of_the_search(home, tmp_path):
    args = ["export", home / "run", "--inherit", home / "run", "--as", "model", "--size",
            "supernet", "--reestimate", 2, "--data-dir", home, "-o"]  # fmt: skip
    done = nasdsl(*args, tmp_path / "m")
    assert done.exit_code == 0, done.output
    assert "measured on 2 batches of search.train" in done.output
    with np.load(home / "dots.npz") as found:
        images = torch.from_numpy(found["x_train"][:16]).float() / 255
    mean, std = images.mean((0, 2, 3), keepdim=True), images.std((0, 2, 3), keepdim=True)
    net = load(tmp_path / "m")
    hidden = net.stem.conv((images - mean) / std)
    # Two batches of eight are all sixteen images: the mean of their means is the mean.
    torch.testing.assert_close(net.stem.bn.running_mean, hidden.mean((0, 2, 3)), atol=1e-2, rtol=0)
    assert json.loads((tmp_path / "m/space.json").read_text())["weights"]["reestimated"] == 2


def test_a_space_and_a_genotype_give_fresh_weights_of_a_seed(home, tmp_path):
    cell = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    for name, args in (
        ("a", ["nasbench201", "--genotype", cell, "--seed", 4]),
        ("b", [cell, "--space", "nasbench201", "--seed", 4]),
        ("c", [cell, "--space", "nasbench201", "--seed", 5]),
    ):
        done = nasdsl("export", *args, "-P", "C=4", "-P", "n=1", "--as", "model",
                      "-o", tmp_path / name)  # fmt: skip
        assert done.exit_code == 0, done.output
    x = samples(driver.space(driver.load("nasbench201"), "nasbench201").supernet.inp, 2)
    a, b, c = (load(tmp_path / name)(x) for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


V1 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], normal_concat=[2], "
    "reduce=[('max_pool_3x3', 0), ('skip_connect', 1)], reduce_concat=[2])"
)


def test_what_a_larger_network_cannot_inherit_is_said(home, tmp_path):
    made = nasdsl(
        "-q", "run", home / "small.nas", "--space", "tiny", "--recipe", "soft", "--split", "few",
        "--data", "dots", "--data-dir", home, "--no-retrain", "-o", tmp_path / "run",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    run, spec = tmp_path / "run", home / "small.nas"
    done = nasdsl("export", run, "--as", "model", "-o", tmp_path / "m")
    assert done.exit_code == 1 and "has no retrained network" in done.output
    given = ["export", spec, "--space", "tiny", "--genotype", V1, "--inherit", run, "--as", "model"]
    done = nasdsl(*given, "--target", "C=8", "-o", tmp_path / "wide")
    assert done.exit_code == 1
    assert "takes no weight" in done.output and "--size supernet" in done.output
    done = nasdsl(*given, "--target", "layers=4", "-o", tmp_path / "deep")
    assert done.exit_code == 0, done.output
    assert "are not inherited but fresh" in done.output
    done = nasdsl(*given, "-o", tmp_path / "equal")
    assert done.exit_code == 0, done.output
    assert "does not compute the same" in done.output and "max_pool_3x3.bn" in done.output
    done = nasdsl(*given, "--size", "supernet", "-o", tmp_path / "part")
    assert done.exit_code == 0 and "note" not in done.output


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["RUN", "--as", "model"], 2, "needs -o"),
        (["RUN", "--as", "onnx", "-o", "HOME"], 2, "writes a file"),
        (["RUN", "--as", "torch", "-o", "HOME/dots.npz"], 2, "exists; --force overwrites"),
        (["RUN", "--as", "model", "-o", "HOME"], 2, "exists; --force overwrites"),
        (["RUN", "--inherit", "HOME", "--as", "model", "-o", "NEW"], 2, "is no run folder"),
        (["RUN", "--space", "bench", "--as", "model", "-o", "NEW"], 2, "a run has its space"),
        (["x", "--as", "model", "-o", "NEW"], 2, "which network"),
        (["RUN", "--seed", "3"], 2, "--seed speaks of a network"),
        (["RUN", "--reestimate", "3"], 2, "--reestimate speaks of a network"),
        (["x", "--space", "nasbench201", "--as", "model", "-o", "NEW"], 1, "is no genotype of"),
    ],
)
def test_what_is_refused(args, code, said, home, tmp_path):
    places = {"RUN": home / "run", "HOME": home, "NEW": tmp_path / "new"}
    args = [str(places.get(a, a)).replace("HOME", str(home)) for a in args]
    done = nasdsl("export", *args)
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert not (tmp_path / "new").exists()


def test_without_the_extra_the_command_to_install_it_is_said(home, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = nasdsl("export", home / "run", "--as", "onnx", "-o", tmp_path / "n.onnx")
    assert done.exit_code == 3
    assert "pip install 'nasdsl[onnx]'" in done.output
