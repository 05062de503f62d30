"""Kernels are built once, kept by digest, and nothing breaks where they cannot be built."""

import ctypes
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from generated_pairs import assert_same, needs_compiler, pair
from spaces_for_tests import bundled_space, images

from nasdsl.kernels import level as levels
from nasdsl.kernels.build import Unit, build
from nasdsl.kernels.cache import folder
from nasdsl.kernels.library import COMMON, library, unit
from nasdsl.kernels.memory import Memory
from nasdsl.kernels.toolchain import Missing, Toolchain, toolchain

SEVEN = Unit(files={"seven.cpp": 'extern "C" int seven() { return N; }\n'}, main="seven.cpp",
             defines=("N=7",))  # fmt: skip


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NASDSL_CACHE", str(tmp_path))
    return tmp_path


def tiny():
    return bundled_space("darts.nas", "darts", C=2, layers=1, data=images(size=6))


def test_the_folder_is_where_caches_are(monkeypatch, tmp_path):
    monkeypatch.delenv("NASDSL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder() == tmp_path / "nasdsl"
    monkeypatch.setenv("NASDSL_CACHE", str(tmp_path / "here"))
    assert folder() == tmp_path / "here"


@needs_compiler
def test_built_once(own_cache):
    said = []
    first = build(SEVEN, toolchain(), levels.LEVELS["portable"], progress=said.append)
    second = build(SEVEN, toolchain(), levels.LEVELS["portable"], progress=said.append)
    assert first == second
    assert len(said) == 1
    assert ctypes.CDLL(str(first)).seven() == 7
    left = sorted(p.name for p in first.parent.iterdir())
    assert left == ["kernels.sha256", "kernels.so", "lock"]


@needs_compiler
def test_two_builds_at_once(own_cache):
    said, made = [], []

    def one():
        made.append(build(SEVEN, toolchain(), levels.LEVELS["portable"], progress=said.append))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(made)) == 1
    assert len(said) == 1


TWO = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from nasdsl.kernels.build import Unit, build
from nasdsl.kernels.level import LEVELS
from nasdsl.kernels.toolchain import toolchain
unit = Unit(files={{"n.cpp": "extern \\"C\\" int n() {{ return 7; }}"}}, main="n.cpp", defines=())
Path(sys.argv[1]).touch()
while not Path(sys.argv[2]).exists():
    pass
build(unit, toolchain(), LEVELS["portable"], progress=lambda line: print("built"))
"""


@needs_compiler
def test_two_processes_build_once(own_cache):
    root = str(Path(__file__).parent.parent.parent)
    marks = [str(own_cache / name) for name in ("one", "two")]
    program = TWO.format(here=root)
    processes = [
        subprocess.Popen([sys.executable, "-c", program, *order], stdout=subprocess.PIPE, text=True)
        for order in (marks, marks[::-1])
    ]
    said = [p.communicate(timeout=300)[0] for p in processes]
    assert [p.returncode for p in processes] == [0, 0]
    assert sorted(said) == ["", "built\n"]


@needs_compiler
@pytest.mark.parametrize("damage", ["cut", "empty", "changed", "no sum", "other sum"])
def test_a_damaged_library_is_built_anew(own_cache, damage):
    said = []
    how = (SEVEN, toolchain(), levels.LEVELS["portable"])
    first = build(*how)
    good, total = first.read_bytes(), first.with_suffix(".sha256")
    first.unlink()  # whoever has loaded it keeps it
    match damage:
        case "cut":
            first.write_bytes(good[: len(good) // 2])
        case "empty":
            first.write_bytes(b"")
        case "changed":
            first.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        case "no sum":
            first.write_bytes(good)
            total.unlink()
        case "other sum":
            first.write_bytes(good)
            total.write_bytes(b"\xff")
    second = build(*how, progress=said.append)
    assert second == first and len(said) == 1
    assert second.read_bytes() == good
    assert ctypes.CDLL(str(second)).seven() == 7
    build(*how, progress=said.append)
    assert len(said) == 1


@needs_compiler
def test_a_build_that_was_killed_leaves_nothing_in_the_way(own_cache):
    """Its folder, its lock's file and half of what it wrote stay; the next build does not mind."""
    first = build(SEVEN, toolchain(), levels.LEVELS["portable"])
    first.unlink()
    half = first.parent / "tmpabc"
    half.mkdir()
    (half / "out.so").write_bytes(b"half")
    assert build(SEVEN, toolchain(), levels.LEVELS["portable"]) == first
    assert ctypes.CDLL(str(first)).seven() == 7


def test_the_digest_is_of_all_that_counts():
    one = unit(torch.float32, levels.LEVELS["avx2"], COMMON)
    assert one.digest(("-O3",), "g++ 12") == one.digest(("-O3",), "g++ 12")
    others = {
        one.digest(("-O2",), "g++ 12"),
        one.digest(("-O3",), "g++ 13"),
        unit(torch.float64, levels.LEVELS["avx2"], COMMON).digest(("-O3",), "g++ 12"),
        unit(torch.float32, levels.LEVELS["avx512"], COMMON).digest(("-O3",), "g++ 12"),
        unit(torch.float32, levels.LEVELS["avx2"], COMMON | {(9, 1, 1)}).digest(("-O3",), "g++ 12"),
    }
    assert len(others) == 5
    assert one.digest(("-O3",), "g++ 12") not in others


@needs_compiler
def test_what_the_compiler_says(own_cache):
    wrong = Unit(files={"w.cpp": "int f() { return nothing; }"}, main="w.cpp", defines=())
    found = build(wrong, toolchain(), levels.LEVELS["portable"])
    assert isinstance(found, Missing)
    assert "nothing" in found.reason


def test_a_compiler_that_does_not_run(own_cache):
    broken = Toolchain(command=("/nowhere/g++",), version="g++ 0", threads=True)
    found = build(SEVEN, broken, levels.LEVELS["portable"])
    assert isinstance(found, Missing)


@needs_compiler
def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NASDSL_CACHE", str(tmp_path / "file"))
    found = build(SEVEN, toolchain(), levels.LEVELS["portable"])
    assert isinstance(found, Missing)
    assert "cannot be kept" in found.reason


def test_no_compiler(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = toolchain()
    assert isinstance(found, Missing)
    assert "no C++ compiler" in found.reason


def test_a_compiler_that_is_not_there(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = toolchain()
    assert isinstance(found, Missing)
    assert "no-such-compiler" in found.reason


def test_without_a_compiler_the_reference_runs(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert isinstance(library(torch.float64), Missing)
    assert_same(*pair(tiny())[:2])


def test_types_without_kernels():
    assert isinstance(library(torch.bfloat16), Missing)
    plain, made, _ = pair(tiny(), torch.bfloat16)
    x = torch.randn(2, 3, 6, 6, dtype=torch.bfloat16)
    mix = plain.uniform()
    assert torch.equal(plain(x, mix), made(x, mix))


@needs_compiler
@pytest.mark.parametrize("name", ["avx2", "portable"])
def test_every_width_is_exact(name, monkeypatch):
    monkeypatch.setenv("NASDSL_CPU_LEVEL", name)
    if levels.level().name != name:
        pytest.skip(f"this machine has no {name}")
    plain, made, _ = pair(bundled_space("darts.nas", "darts", C=6, layers=2, data=images(size=7)))
    assert_same(plain, made, steps=2)


def test_memory_goes_back_when_nothing_holds_it():
    memory = Memory()
    first = memory.take(1000, torch.float32)
    assert first.data_ptr() % 64 == 0
    where, view = first.data_ptr(), first[10:20].view(2, 5)
    del first
    other = memory.take(1000, torch.float32)
    assert other.data_ptr() != where  # the view still holds it
    del view
    assert memory.take(1000, torch.float32).data_ptr() == where
    memory.clear()
    assert memory.held == 0


def test_blocks_are_shared_by_sizes_of_a_class_and_what_is_held_is_bounded():
    memory = Memory()
    where = memory.take(1000, torch.uint8).data_ptr()
    assert memory.take(980, torch.uint8).data_ptr() == where
    for count in range(1, 20000, 61):
        block = memory.take(count, torch.uint8)
        assert block.numel() == count == block.untyped_storage().nbytes()
        del block
    assert memory.held < 3 * 20000
    many = [memory.take(100, torch.uint8) for _ in range(2000)]
    assert len({b.data_ptr() for b in many}) == 2000
