"""The cell kernels under sanitizers: real calls have no report, and faults that are put in have."""

import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent.parent / "tools"
sys.path.insert(0, str(TOOLS))

import image_calls  # noqa: E402
from check_kernels import (  # noqa: E402
    CASES,
    IMAGES,
    SANITIZERS,
    check,
    checker,
    images_program,
    program,
    record,
)

from nasdsl.kernels import level as levels  # noqa: E402
from nasdsl.kernels.toolchain import Missing  # noqa: E402

pytestmark = pytest.mark.slow

#: A fault in the kernels, the file and what says it.
FAULTS = {
    "past a piece": ("address", "work.h", ("most(s.dy, out.nb * chunk)", "most(s.dy, 1)"),
                     "use-after-poison"),
    "no barrier": ("thread", "cell.cpp", ("      who.wait();\n      if (who.rank == 0)",
                                          "      if (who.rank == 0)"), "data race"),
    "an unwritten map": ("address", "forward.h", ("acc[p] = s.adds ? y[i + p] + bias : bias;",
                                                  "acc[p] = y[i + p] + bias;"), "differs by"),
}  # fmt: skip


def ready(sanitizer):
    found = checker(sanitizer)
    if isinstance(found, Missing):
        pytest.skip(found.reason)
    return found


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_real_calls_have_no_report(sanitizer):
    ready(sanitizer)
    names = [IMAGES, "darts_odd", "darts_memory", "nasbench201", "nb1shot1_s3"]
    for name, status, said in check(names, sanitizer, levels.level(), "float64", 3):
        assert status == 0, (name, said[:2000])


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_reported(fault, tmp_path):
    sanitizer, file, change, said = FAULTS[fault]
    found = ready(sanitizer)
    used = record(CASES["darts_odd"], "float64", 2, tmp_path / "calls")
    made = program(
        found, "float64", levels.level(), used, tmp_path / "source", changes={file: change}
    )
    status, text = found.run(made, str(tmp_path / "calls"))
    assert status != 0
    assert said in text


#: Faults in the kernel that makes batches: one byte too many, a row that is not written.
BATCH_FAULTS = {
    "past a row": (
        ("std::memcpy(bytes, from, n);", "std::memcpy(bytes, from, n + 1);"),
        "overflow",
    ),
    "an unwritten row": (("        zero(to, 0, size);\n", ""), "differs"),
}


@pytest.mark.parametrize("fault", BATCH_FAULTS)
def test_faults_in_batches_are_reported(fault, tmp_path):
    change, said = BATCH_FAULTS[fault]
    found = ready("address")
    image_calls.record(tmp_path / "calls")
    made = images_program(found, levels.level(), tmp_path / "source", change)
    status, text = found.run(made, str(tmp_path / "calls"))
    assert status != 0 and said in text
