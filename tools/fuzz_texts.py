"""Readers of `fuzz.py` that take programs, lists, tables and the files of suites."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_changes import Target, change, nested


def targets() -> list[Target]:
    """All of them."""
    return [*_programs(), *_lists(), *_tables(), *_suites()]


def _programs() -> list[Target]:
    """`.nas` texts down to the IR, and the text of the IR itself."""
    from nasdsl import driver
    from nasdsl.diagnostics.model import CompileError
    from nasdsl.ir.printer import print_space
    from nasdsl.ir.reader import ReadError, read_space
    from nasdsl.source import Source

    small = b"""nas 1
op sep(k) = relu >> conv(k, stride = stride) >> conv(1) >> bn
space a(C = 4, n = 2) {
  cell c {
    in   a
    node x[n]
    edge {a, x[<]} -> x : one_of {none, identity, sep(3), max_pool(3) >> bn}
    keep 1 per node
    out  concat(x)
  }
  width = C
  input image(3, 8, 8)
  stem  conv(3) >> bn
  repeat 2 {
    stage c
    stage conv(3, stride = stride) >> bn { stride = 2 }
  }
  head  global_avg_pool >> linear(10)
  require params <= 1M
}
"""
    words = (b"one_of", b"repeat", b"99999999", b"stage", b"{", b"}", b"..", b"%", b"let ", b"-> x",
             b"depth", b"fresh ", b" per node", b"when ", b"0", b"*", b"concat(", b"x[<]")  # fmt: skip

    def lowered(data: bytes, place: Path) -> object:
        loaded = driver.load(Source.of("fuzz.nas", data.decode("utf-8", "replace")))
        return [driver.space(loaded, name) for name in loaded.program.names("space")]

    text = print_space(driver.space(driver.load(Source.of("a.nas", small.decode())), "a")).encode()

    def ir(data: bytes, place: Path) -> object:
        return read_space(data.decode("utf-8", "replace"))

    return [
        Target(name="lower", seeds=[small], read=lowered, change=change, refuses=(CompileError,),
               words=words),
        Target(name="ir", seeds=[text], read=ir, change=change, refuses=(ReadError,), words=words),
    ]  # fmt: skip


def _lists() -> list[Target]:
    """Lists of indices: those that a split names, and those of a run folder."""
    from nasdsl.lowering.lists import Unusable, parse
    from nasdsl.training import index_lists
    from nasdsl.training.data.splits import Splits
    from nasdsl.training.record import RunError, RunFolder

    made = io.BytesIO()
    np.save(made, np.array([5, 0, 7], dtype="<i8"))

    def listed(end: str) -> Callable[[bytes, Path], object]:
        return lambda data, place: parse(f"a.{end}", data)

    splits = index_lists.as_json(
        Splits(search_train=np.arange(9), search_valid=np.array([12, 11, 40]),
               retrain_train=np.arange(5, 8))
    )  # fmt: skip

    def kept(data: bytes, place: Path) -> object:
        (place / "splits.json").write_bytes(data)
        return index_lists.lists(RunFolder(place))

    digits = (b"0..9", b"..", b", ", b"9" * 12, b"1..999999999999")
    return [
        *(Target(name=f"list_{end}", seeds=[data], read=listed(end), change=change,
                 refuses=(Unusable,), words=(b"#", b" ", b"\n", b"[", b"'descr': '|O'"))
          for end, data in (("txt", b"5, 0\n# of class 3\n7"), ("json", b"[5, 0, 7]"),
                            ("npy", made.getvalue()))),
        Target(name="splits", seeds=[json.dumps(splits).encode()], read=kept, change=nested,
               refuses=(RunError,), words=digits),
    ]  # fmt: skip


def _tables() -> list[Target]:
    """Tables of results, and the table of a benchmark."""
    from nasdsl import resources
    from nasdsl.benchmarks import macro_table
    from nasdsl.suite import table
    from nasdsl.suite.statistics.results import StatisticsError

    rows = [b"optimizer,benchmark,setting,seed,accuracy\na,x,s,0,90.5\nb,x,s,1,1e2\n",
            b"recipe,space,dataset,error\n\"a, b\",x,y,0.5\nb,x,y,nan\n"]  # fmt: skip

    def results(data: bytes, place: Path) -> object:
        (place / "r.csv").write_bytes(data)
        return table.read(place / "r.csv")

    whole = json.loads(resources.read("data", "nas_bench_macro.json") or "{}")
    some = json.dumps(dict(list(whole.items())[:3])).encode() if isinstance(whole, dict) else b"{}"

    def macro(data: bytes, place: Path) -> object:
        return macro_table.parse(data.decode("utf-8", "replace"))

    return [
        Target(name="results", seeds=rows, read=results, change=change,
               refuses=(StatisticsError,), words=(b"\n", b",", b'"', b"\x00", b"\r", b"inf")),
        Target(name="macro", seeds=[some], read=macro, change=nested,
               refuses=(macro_table.TableError,)),
    ]  # fmt: skip


def _suites() -> list[Target]:
    """The store of a suite, a task of it, and the texts that a folder was compiled from."""
    from nasdsl.diagnostics.model import CompileError
    from nasdsl.suite.cell import Cell, Task
    from nasdsl.suite.errors import SuiteError
    from nasdsl.suite.folder import SuiteFolder
    from nasdsl.suite.sqlite import Sqlite
    from nasdsl.suite.store import Store
    from nasdsl.training.record import RunError

    cells = [
        Cell(digest=d, kind="search", order={"seed": 0}, needs=n,
             names={"optimizer": "o", "benchmark": d, "setting": "", "seed": "0"})
        for d, n in (("a1", ()), ("b2", ("a1",)))
    ]  # fmt: skip

    def stored() -> bytes:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            store = Store(Sqlite(Path(folder) / "s"))
            store.add(cells)
            store.recall("a1", {"test": {"accuracy": 1.5}})
            store.close()
            return (Path(folder) / "s").read_bytes()

    def opened(data: bytes, place: Path) -> object:
        for old in place.glob("s*"):
            old.unlink()
        (place / "s").write_bytes(data)
        store = Store(Sqlite(place / "s"))
        try:
            store.check()
            return store.all(), store.events(), store.idle()
        finally:
            store.close()

    task = {"cell": cells[1].plain(), "attempt": 1, "before": {"a1": {"genotype": {}}}}

    def begun(data: bytes, place: Path) -> Task:
        (place / "tasks").mkdir(exist_ok=True)
        (place / "tasks" / "a1.json").write_bytes(data)
        return SuiteFolder(place).read_task("a1")

    sources: dict[str, Any] = {
        "schema": 1,
        "modules": {"m.nas": {"name": "m.nas", "text": "nas 1\nrecipe r {\n  epochs = 1\n}\n"}},
        "plugins": [], "lists": [{"module": "m.nas", "path": "a.txt", "data": "eJwzBAAAMgAy"}],
        "imports": [], "items": {"suite": {"name": "r", "module": "m.nas"}},
    }  # fmt: skip

    def restored(data: bytes, place: Path) -> object:
        shutil.rmtree(place / "f", ignore_errors=True)
        (place / "f").mkdir()
        (place / "f" / "sources.json").write_bytes(data)
        return SuiteFolder(place / "f").loaded()

    return [
        Target(name="store", seeds=[stored()], read=opened, change=change, refuses=(SuiteError,)),
        Target(name="task", seeds=[json.dumps(task).encode()], read=begun, change=nested,
               refuses=(SuiteError,)),
        Target(name="sources", seeds=[json.dumps(sources).encode()], read=restored, change=nested,
               refuses=(RunError, SuiteError, CompileError)),
    ]  # fmt: skip
