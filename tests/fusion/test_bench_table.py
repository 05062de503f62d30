"""The table of measurements in README.md is what the tool makes of what it measured."""

import json
import sys
from pathlib import Path

TOOLS = Path(__file__).parent.parent.parent / "tools"
sys.path.insert(0, str(TOOLS))

from bench_table import BEGIN, END, FOUND, README, block, placed  # noqa: E402


def row(profile, layout, seconds, kernels, saved):
    return {
        "profile": profile, "layout": layout, "time_min_s": seconds, "kernels": kernels,
        "saved_MB": saved, "predicted_s": seconds / 2, "faster_than_plain": 4 / seconds,
        "faster_than_channels_last": 2 / seconds, "syncs": 0, "error32_gradient": 1e-4 * seconds, "draws": 5,
        "gflop": 25.0,
    }  # fmt: skip


FIRST = {
    "schema": 3, "machine": "a machine, 100 GFLOP/s", "repeats": 5,
    "rows": [{"title": "DARTS, batch 16", "date": "2000-01-01", "rows": [
        row("reference", "NCHW", 4.0, 12317, 1946.7),
        row("reference", "channels_last", 2.0, 12317, 1946.7),
        row("balanced", "channels_last", 1.0, 700, 400.0),
        row("apart", "channels_last", 1.6, 2000, 900.0),
    ]}],
    "compile": {
        "cells_20": {"together": 1.5, "build": [12.0, 20.0]},
        "cells_8": {"together": 0.75, "recompile": 0.25},
    },
}  # fmt: skip


def test_a_block_says_what_was_measured():
    text = block(FIRST)
    assert text.startswith(BEGIN) and text.endswith(END)
    assert "| | `balanced` | 4.00 (2.00) | 4.87 | 700 | 0 | 0.50 | 0.50 |" in text
    assert "| | channels last | 2.00 | 1 | 12,317 | 0 | 1.00 | 0.50 |" in text
    assert "fusion gains a factor of 1.60, better kernels one of 1.25" in text
    assert "1.50 s for 20 cells" in text and "0.25 s" in text and "took 12 s" in text
    assert "`apart`" not in text
    assert "would take 0.25 s: 25% of" in text
    assert "a machine" in text


def test_a_block_takes_the_place_of_the_last_one():
    once = placed("# x\n\n## Speed\n\nmore\n", FIRST)
    assert once.count(BEGIN) == once.count(END) == 1 and once.endswith("more\n")
    assert placed(once, FIRST) == once


def test_the_readme_has_what_the_tool_measured():
    text = README.read_text(encoding="utf-8")
    assert (BEGIN in text) == FOUND.exists()
    if FOUND.exists():
        assert block(json.loads(FOUND.read_text(encoding="utf-8"))) in text
