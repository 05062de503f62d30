"""Writes grammars/nas.tables.json, the parser tables of the grammar; --check says if it is stale."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nasdsl.syntax import tables  # noqa: E402

FILE = ROOT / "grammars" / "nas.tables.json"


def main() -> int:
    grammar = (ROOT / "grammars" / "nas.lark").read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        return 0 if FILE.exists() and tables.fits(grammar, FILE.read_text(encoding="utf-8")) else 1
    FILE.write_text(tables.dump(grammar), encoding="utf-8")
    print(f"wrote {FILE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
