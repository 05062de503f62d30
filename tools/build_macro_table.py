"""Write nasdsl/data/nas_bench_macro.json from the authors' nas-bench-macro_cifar10.json.

Usage: python tools/build_macro_table.py nas-bench-macro_cifar10.json

Nothing is lost: rows are sorted by key, accuracies are written as the shortest decimals that are
unique in float32 (what the authors' values are), and mean and standard deviation are left out
because they follow. The script refuses to write if any value would not come back equal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from nasdsl.benchmarks.macro_table import parse

HEAD = (
    '{"table": "NAS-Bench-Macro", "source": "https://github.com/xiusu/NAS-Bench-Macro",\n'
    ' "license": "Apache-2.0", "dataset": "cifar10",\n'
    ' "row": "[test accuracies in percent (float32), parameters, FLOPs]",\n'
    ' "rows": {\n'
)


def main() -> int:
    published = json.loads(Path(sys.argv[1]).read_text())
    lines = []
    for key in sorted(published):
        row = published[key]
        accuracies = ",".join(str(np.float32(a)) for a in row["test_acc"])
        lines.append(f'"{key}":[[{accuracies}],{row["params"]},{row["flops"]}]')
    text = HEAD + ",\n".join(lines) + "\n}}\n"
    for key, row in parse(text).items():
        back = {
            "test_acc": list(row.test), "mean_acc": row.mean, "std": row.std,
            "params": row.params, "flops": row.flops,
        }  # fmt: skip
        if back != published[key]:
            print(f"{key}: {back} is not {published[key]}", file=sys.stderr)
            return 1
    place = Path(__file__).resolve().parent.parent / "nasdsl" / "data" / "nas_bench_macro.json"
    place.write_text(text)
    print(f"{len(lines)} rows, {len(text)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
