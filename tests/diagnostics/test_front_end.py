"""The bundled library checks clean, and checking starts fast because it imports little."""

import subprocess
import sys

import pytest
from checking import checked
from mutations import BUNDLED


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_files_check_without_a_word(name):
    assert checked(BUNDLED[name], name, key=f"bundled:{name}") == []


def test_checking_imports_neither_torch_nor_numpy_nor_networkx():
    program = (
        "import sys, nasdsl.lowering.program as p\n"
        "from nasdsl.diagnostics.model import Diagnostics\n"
        "from nasdsl.lowering.modules import bundled\n"
        "key, source = bundled('darts.nas')\n"
        "diags = Diagnostics()\n"
        "p.check(p.load(source, key, diags=diags))\n"
        "assert not diags.items, diags.items\n"
        "print(*sorted({'torch', 'numpy', 'networkx', 'click', 'rich'} & set(sys.modules)))\n"
        "import resource\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_utime)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    heavy, seconds = run.stdout.split("\n")[:2]
    assert heavy == ""
    assert float(seconds) < 3  # 0.4 on a quiet machine


def test_diagnostics_come_in_the_order_of_the_text():
    found = checked("nas 1\nrecipe r {\n  epoch = 3\n  batch = = 4\n  lr = 5\n}\nlet a = {}\n")
    assert [d.span.line for d in found] == [3, 4, 5, 7]
