"""Triton kernels: exact under the interpreter, and every variant compiles for a GPU of today."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import torch
from generated_pairs import assert_same, batch, mixes, pair, step
from small_networks import small
from spaces_for_tests import bundled_space, images

from nasdsl.cli.kernels import prepare_kernels
from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.device.job import TritonKernels
from nasdsl.fusion.generated.region import ACTS
from nasdsl.fusion.generated_cells import GeneratedCells
from nasdsl.fusion.rewriting import Work
from nasdsl.kernels.device.launch import available
from nasdsl.training.run import Options

HERE = Path(__file__).parent
needs_triton = pytest.mark.skipif(available() is not None, reason="Triton is not installed")


def alone(file, **environment):
    """Runs tests in a process of their own; all of them have to pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0",
         str(HERE / file)],
        env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout


@needs_triton
def test_cells_are_exact_under_the_interpreter():
    alone("interpreted_cells.py", TRITON_INTERPRET="1")


@needs_triton
def test_triton_takes_the_arguments_as_they_are_launched(tmp_path):
    alone("bound_cells.py", TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path))


TYPES = {
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int32: "*i32",
    torch.int8: "*i8",
}


def signature(value):
    """The type of an argument of a kernel."""
    if isinstance(value, torch.Tensor):
        return TYPES[value.dtype]
    if isinstance(value, tuple):
        return tuple(signature(v) for v in value)
    assert type(value) is int
    return "i32"


def launched(space, dtype):
    """The variants of kernels that a step of a space launches, by what they are compiled for."""
    found = {}

    def keep(launch):
        types = tuple((k, signature(v)) for k, v in launch.arguments.items())
        found[(launch.kernel, types, tuple(launch.constants.items()), launch.warps)] = launch

    _, made, result = pair(space, dtype, emitters=(TritonKernels(device="cpu", launch=keep),))
    assert result.regions
    step(made, batch(made, 2, dtype=dtype), mixes(made, dtype=dtype))
    return found


def compiled(kernel, types, constants, warps=4):
    """The machine code of a variant for a GPU that need not be there."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    whole = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    source = ASTSource(kernel, whole, constexprs=constants)
    target = GPUTarget("cuda", 90, 32)
    return triton.compile(source, target=target, options={"num_warps": warps}).asm["cubin"]


@needs_triton
@pytest.mark.parametrize("real", ["*fp32", "*fp64"])
def test_every_activation_compiles_for_sm_90(real, tmp_path, monkeypatch):
    from nasdsl.kernels.device.head import sink_head

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    types = dict.fromkeys(("g", "x", "norm", "to", "sums"), real)
    types |= dict.fromkeys(("ld", "stride", "P", "C"), "i32")
    how = {"NORMED": True, "SLOPE": 0.2, "FIRST": True, "BP": 64, "BC": 16}
    for act in ACTS.values():
        assert compiled(sink_head, types, {**how, "ACT": act}), act


@needs_triton
@pytest.mark.parametrize(
    ("space", "dtype"),
    [
        ("darts", torch.float32),
        pytest.param("darts", torch.float64, marks=pytest.mark.slow),
        pytest.param("nasbench201", torch.float32, marks=pytest.mark.slow),
    ],
)
def test_every_variant_compiles_for_sm_90(space, dtype, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    parameters = {"layers": 1} if space == "darts" else {"n": 1}
    variants = launched(
        bundled_space(f"{space}.nas", space, C=4, data=images(size=8), **parameters), dtype
    )
    for kernel, types, constants, warps in variants:
        assert compiled(kernel, dict(types), dict(constants), warps)
    kinds = {kernel.__name__ for kernel, *_ in variants}
    assert space != "darts" or kinds == {
        "coefficients", "coefficients_back", "depthwise", "depthwise_data", "depthwise_weights",
        "map_gradient", "moments", "pointwise", "pool", "pool_back", "read_head", "settle",
        "settle_gradient", "sink_head", "weighted_sum", "weighted_sum_back",
    }  # fmt: skip


@needs_triton
@pytest.mark.cuda
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-2)])
def test_cells_are_exact_on_a_gpu(dtype, tolerance):
    space = bundled_space("darts.nas", "darts", C=6, layers=3, data=images(size=9))
    plain, made, result = pair(space, dtype, emitters=(TritonKernels(),))
    assert result.regions
    found = []
    for net in (plain, made):
        net.cuda()
        mix = {k: w.detach().cuda().requires_grad_() for k, w in mixes(net, dtype=dtype).items()}
        loss = net(batch(net, 4, dtype=dtype).cuda(), mix).square().sum()
        wanted = [*mix.values(), *net.parameters()]
        grads = torch.autograd.grad(loss, wanted, allow_unused=True)
        found.append([loss.detach(), *(g for g in grads if g is not None), *net.buffers()])
    one, two = found
    assert len(one) == len(two)
    largest = max(float(t.abs().max()) for t in one)
    for a, b in zip(one, two, strict=True):
        assert (a - b).abs().max() <= tolerance * max(a.abs().max(), 1e-3 * largest)


# ---- what is said where there are none


@pytest.fixture
def without_triton(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "triton" else found(name, *a)
    )


def test_without_triton_the_pass_says_what_to_install(without_triton):
    kernels = GeneratedCells(emitters=(TritonKernels(device="cpu"),))
    assert "pip install 'nasdsl[triton]'" in kernels.lacking({"cpu"})
    net = Supernet(small("nasbench201"))
    ran = kernels.run(Work(net.graph.graph, net.graph))
    assert ran.changes == 0
    assert [r.reason for r in ran.refusals] == [kernels.lacking({"cpu"})]


def test_without_triton_regions_go_through_the_reference(without_triton):
    space = bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, data=images(size=8))
    plain, made, result = pair(space, emitters=(TritonKernels(device="cpu", launch=None),))
    assert result.regions
    assert_same(plain, made)


def test_without_triton_a_run_on_cuda_says_what_is_lost(without_triton, capsys):
    network = SimpleNamespace(supernet=SimpleNamespace(inp=SimpleNamespace(kind="image")))
    plan = SimpleNamespace(space=lambda: network)
    with click.Context(click.Command("run")):
        prepare_kernels(plan, Options(profile="balanced", device="cuda:1"))
    said = capsys.readouterr().err
    assert "no Triton" in said and "slower and in more memory" in said
    with click.Context(click.Command("run")):
        prepare_kernels(plan, Options(profile="reference", device="cuda:1"))
    assert not capsys.readouterr().err


def test_weights_in_several_places():
    kernels = GeneratedCells()
    assert kernels.lacking({"mps"}) == "the kernels run on cpu and cuda, the weights are on mps"
    assert "cpu and cuda" in kernels.lacking({"cpu", "cuda"})
