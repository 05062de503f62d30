"""Hostile files for every reader: none may crash, hang, or take memory without bounds.

    python tools/fuzz.py                        every reader, for a minute
    python tools/fuzz.py npz idx --inputs 5000  two readers, so many inputs each
    python tools/fuzz.py --replay FILE          one input that failed, again
    python tools/fuzz.py --atheris genotype     guided by coverage (needs atheris)

Inputs are random changes to valid files, the same for the same seed. A reader may refuse an input
with an error of its own; anything else is a failure and is kept, with its traceback, under --keep.
Limits per input: one second of processor time, one gibibyte of address space.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import pickle
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import fuzz_texts
from fuzz_changes import Target, change, headed, nested, packed, zipped

SECONDS = 1.0
MEMORY = 2**30


class Hang(BaseException):
    """An input took longer than it may; no reader catches it."""


# --- readers ------------------------------------------------------------------------------------


def targets() -> dict[str, Target]:
    """Every reader."""
    made = [
        *_texts(), *_states(), *_arrays(), *fuzz_texts.targets(),
    ]  # fmt: skip
    return {t.name: t for t in made}


def _texts() -> list[Target]:
    from nasdsl import driver, resources
    from nasdsl.diagnostics.model import CompileError
    from nasdsl.ir import genotype
    from nasdsl.ir.formats import forms
    from nasdsl.ir.genotype import GenotypeError
    from nasdsl.source import Source

    names = resources.listing("spaces", ".nas")
    texts = [(resources.read("spaces", n) or "").encode() for n in names]
    words = sorted({w for t in texts for w in re.findall(rb"\w+|[^\w\s]+", t)})

    def nas(data: bytes, place: Path) -> object:
        return driver.load(Source.of("fuzz.nas", data.decode("utf-8", "replace")))

    spaces = {n: driver.space(driver.load(n), n) for n in ("nasbench201", "darts")}
    cells = b"|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    darts = next(
        p.encode()
        for p in [
            "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
            "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
            "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
            "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
            "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
            "reduce_concat=[2, 3, 4, 5])"
        ]
    )
    neutral = [
        forms.parse(c.decode(), s).dumps().encode()
        for c, s in ((cells, spaces["nasbench201"]), (darts, spaces["darts"]))
    ]

    def form(data: bytes, place: Path) -> object:
        text = data.decode("utf-8", "replace")
        return forms.parse(text, spaces["darts" if len(data) % 2 else "nasbench201"])

    def loads(data: bytes, place: Path) -> object:
        return genotype.loads(data.decode("utf-8", "replace"))

    # What a checker needs a tenth of a second for at most, as it stands.
    quick = ("darts", "samplers", "splits", "supernet_edits", "train", "images", "progressive",
             "robust", "quickstart", "nasnet")  # fmt: skip
    small = [t for n, t in zip(names, texts, strict=True) if Path(n).stem in quick and "/" in n]
    small += [resources.read("spaces", f"{n}.nas").encode() for n in ("quickstart", "nasnet")]
    return [
        Target(name="nas", seeds=small, read=nas, change=change, refuses=(CompileError,),
               words=tuple(words)),
        Target(name="genotype", seeds=neutral, read=loads, change=nested,
               refuses=(GenotypeError,)),
        Target(name="forms", seeds=[cells, darts, *neutral], read=form, change=change,
               refuses=(GenotypeError,), words=(b"range(2, 6)", b"__import__", b"('none', 0)")),
    ]  # fmt: skip


def _states() -> list[Target]:
    import torch
    from safetensors.torch import save

    from nasdsl import disk
    from nasdsl.report.run import run_text
    from nasdsl.training import checkpoint, record
    from nasdsl.training.checkpoint import CheckpointError
    from nasdsl.training.record import RunError, RunFolder

    tensors = save({"a|w": torch.ones(3, 4), "b|m": torch.arange(4), "c|empty": torch.ones(0)})
    values = {"epoch": 3, "step": 0, "task": {"phase": 0, "mix": [0.5, 1e-9], "kept": {}}}

    def folder(place: Path, texts: dict[str, bytes]) -> Path:
        shutil.rmtree(place / "f", ignore_errors=True)
        for name, data in texts.items():
            path = place / "f" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return place / "f"

    def sealed(tensors: bytes, text: bytes) -> dict[str, bytes]:
        return {"e-1/state.json": text, "e-1/state.safetensors": tensors}

    def state(data: bytes, place: Path) -> object:
        """Tensors of any content, with the digest that a forger would give them."""
        text = checkpoint._seal({"schema": 3, "tensors": disk.digest(data), **values})
        return checkpoint.read(folder(place, sealed(data, text)))

    def text(data: bytes, place: Path) -> object:
        try:
            body = json.loads(data)
            body["tensors"] = disk.digest(tensors)
            data = checkpoint._seal(body)
        except (ValueError, TypeError, RecursionError, AttributeError):
            pass
        return checkpoint.read(folder(place, sealed(tensors, data)))

    run = {
        "schema": 1, "status": "done", "seed": 0, "device": "cpu", "parameters": {"C": "4"},
        "changes": {}, "items": {"space": {"name": "tiny", "file": "tiny.nas"}},
        "data": {"name": "d", "shape": "1x16x16", "classes": 10}, "started": "2026",
    }  # fmt: skip
    result = {
        "genotype": {"schema": 1, "space": "tiny", "picks": [["normal/x1", "none"]]},
        "text": "g", "valid": {"loss": 1.0, "accuracy": 50.0}, "warnings": ["w"],
        "valid_discrete": {"loss": 1.0, "accuracy": 50.0}, "discretization_gap": 1.5,
        "mix": {"normal": {"normal/x1": [0.25, 0.75]}}, "labels": {"normal/x1": ["a", "b"]},
    }  # fmt: skip
    line = {
        "epoch": 1, "train": {"loss": 2.0, "accuracy": 10.0}, "lr": 0.1, "seconds": 1.0,
        "valid": {"loss": 2.0, "accuracy": 10.0}, "entropy": {"normal": 0.6}, "genotype": "g",
        "mix": {"normal": {"normal/x1": [0.25, 0.75]}}, "health": {"gap": 0.5},
    }  # fmt: skip
    order, found, log = (json.dumps(v).encode() for v in (run, result, line))

    def shown(**texts: bytes) -> Callable[[bytes, Path], object]:
        name = next(iter(texts))
        files = {"run.json": order, "result.json": found, "log.jsonl": log + b"\n"}

        def read(data: bytes, place: Path) -> object:
            return run_text(folder(place, files | {name.replace("_", "."): data + b"\n"}))

        return read

    def digests(data: bytes, place: Path) -> object:
        at = folder(place, {"run.json": order, "digests.json": data})
        return RunFolder(at).read("run.json"), record.read_log(at / "run.json")

    keys = json.dumps({"run.json": [disk.digest(order)], "result.json": ["00"]}).encode()
    return [
        Target(name="tensors", seeds=[tensors], read=state, change=headed,
               refuses=(CheckpointError,)),
        Target(name="checkpoint", seeds=[json.dumps({"schema": 3, **values}).encode()], read=text,
               change=nested, refuses=(CheckpointError,)),
        Target(name="digests", seeds=[keys], read=digests, change=nested, refuses=(RunError,)),
        Target(name="order", seeds=[order], read=shown(run_json=b""), change=nested,
               refuses=(RunError,)),
        Target(name="result", seeds=[found], read=shown(result_json=b""), change=nested,
               refuses=(RunError,)),
        Target(name="log", seeds=[log], read=shown(log_jsonl=b""), change=nested,
               refuses=(RunError,)),
    ]  # fmt: skip


def _arrays() -> list[Target]:
    import numpy as np

    from nasdsl.training.data import cifar, content, npz, sources
    from nasdsl.training.data.arrays import DataError

    content.LARGEST = npz.LARGEST = 2**28
    pixels = np.arange(4 * 3 * 8 * 8, dtype=np.uint8).reshape(4, 3, 8, 8)
    labels = np.array([0, 1, 1, 0])

    def archive(x: object) -> bytes:
        made = io.BytesIO()
        np.savez(made, x_train=x, y_train=labels, x_test=x, y_test=labels)
        return made.getvalue()

    def read_npz(data: bytes, place: Path) -> object:
        return npz.npz_arrays("fuzz", io.BytesIO(data), where="fuzz.npz", classes=None)

    def idx(x: np.ndarray) -> bytes:
        head = bytes((0, 0, 8, x.ndim))
        return head + b"".join(struct.pack(">I", n) for n in x.shape) + x.tobytes()

    images, numbers = idx(pixels[:, 0]), idx(labels.astype(np.uint8))

    def read_idx(data: bytes, place: Path) -> object:
        gz = data[:2] == b"\x1f\x8b"
        for name in ("train", "t10k"):
            for old in place.glob(f"{name}-images*"):
                old.unlink()
            end = ".gz" if gz and name == "train" else ""
            first = data if name == "train" else images
            (place / f"{name}-images-idx3-ubyte{end}").write_bytes(first)
            (place / f"{name}-labels-idx1-ubyte").write_bytes(numbers)
        return sources.read("idx", data_dir=place)

    layout = replace(cifar.CIFAR10, records=(4, 4), train_files=("data_batch_1",))
    row = b"".join(bytes([i]) + bytes(3072) for i in range(4))

    def batch(protocol: int) -> bytes:
        held = {b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 2, 3],
                b"filenames": [b"a", b"b"], b"batch_label": b"one"}  # fmt: skip
        return pickle.dumps(held, protocol)

    def read_batch(folder: str, suffix: str, test: bytes) -> Callable[[bytes, Path], object]:
        def read(data: bytes, place: Path) -> object:
            at = place / folder
            at.mkdir(exist_ok=True)
            (at / f"data_batch_1{suffix}").write_bytes(data)
            (at / f"test_batch{suffix}").write_bytes(test)
            return cifar.read_cifar(layout, place)

        return read

    pickles = [batch(2), batch(4), batch(5)]
    made = [
        Target(name="npz", seeds=[archive(pixels), archive(pixels.astype(np.float32))],
               read=read_npz, change=zipped, refuses=(DataError,),
               words=(b"'descr': '|O'", b"(99999999999, 9)", b"'<f8'", b"True", b"<U99999999")),
        Target(name="idx", seeds=[images], read=read_idx, change=change, refuses=(DataError,)),
        Target(name="idx_gz", seeds=[gzip.compress(images)], read=read_idx, change=packed,
               refuses=(DataError,)),
        Target(name="cifar_bin", seeds=[row], change=change, refuses=(DataError,),
               read=read_batch("cifar-10-batches-bin", ".bin", row)),
        Target(name="cifar_pickle", seeds=pickles, change=change, refuses=(DataError,),
               read=read_batch("cifar-10-batches-py", "", pickles[0]),
               words=(b"\x81", b"\x92", b"cos\nsystem\n", b"\x8d" + b"\xff" * 7 + b"\x7f",
                      b"r\xff\xff\xff\x7f", b"\x86", b"h\x00", b"\x94", b"}", b"(", b"u", b"R")),
    ]  # fmt: skip
    return [*made, *_pictures(), *_tables()]


def _pictures() -> list[Target]:
    import numpy as np

    try:
        from PIL import Image
    except ImportError:
        print("image folders are left out: pillow is not installed")
        return []
    from nasdsl.training.data import sources
    from nasdsl.training.data.arrays import DataError

    shown = Image.fromarray((np.arange(9 * 9 * 3) % 256).astype(np.uint8).reshape(9, 9, 3))

    def coded(form: str) -> bytes:
        made = io.BytesIO()
        shown.save(made, form)
        return made.getvalue()

    def read(end: str) -> Callable[[bytes, Path], object]:
        def of(data: bytes, place: Path) -> object:
            for part in ("train", "test"):
                (place / part / "a").mkdir(parents=True, exist_ok=True)
                (place / part / "a" / f"x.{end}").write_bytes(data)
            return sources.read("folder", (), {"size": 9}, data_dir=place)

        return of

    return [
        Target(name=end, seeds=[coded(form)], read=read(end), change=change, refuses=(DataError,))
        for end, form in (("png", "PNG"), ("jpg", "JPEG"), ("bmp", "BMP"))
    ]


def _tables() -> list[Target]:
    """Tables of numbers."""
    from nasdsl.training.data import sources
    from nasdsl.training.data.arrays import DataError

    def read(data: bytes, place: Path) -> object:
        (place / "t.csv").write_bytes(data)
        return sources.read("csv", ("t.csv",), data_dir=place, kind="features")

    rows = [b"a,b,kind\n1,2.5,cat\n-3,1e3,dog\n0,0,cat\n4,5,ant\n6,7,dog\n",
            b"y;x\n0;1\n1;2\n1;3\n0;4\n2;5\n"]  # fmt: skip
    return [
        Target(name="csv", seeds=rows, read=read, change=change, refuses=(DataError,),
               words=(b"\n", b",", b'"', b"\x00", b"\r", b"1e39", b"nan", b"9" * 30))
    ]  # fmt: skip


# --- running ------------------------------------------------------------------------------------


@contextmanager
def limited():
    """The limits of one input: processor time here, memory for the whole process."""

    def late(number: int, frame: object) -> None:
        raise Hang(f"took longer than {SECONDS} s of processor time")

    old = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)


def bound_memory() -> None:
    """From here on the process may take one gibibyte more than it has."""
    with Path("/proc/self/statm").open() as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def attempt(target: Target, data: bytes, place: Path) -> str | None:
    """Read an input; the traceback of a failure, or None."""
    try:
        with limited():
            target.read(data, place)
    except target.refuses as error:
        return None if str(error) else "an error without words"
    except (Exception, Hang):  # noqa: BLE001 - what nobody expects is what is looked for
        return traceback.format_exc(limit=-12)
    return None


def number(target: Target, seed: int, n: int) -> bytes:
    """The `n`-th input of a target: a function of its arguments alone."""
    draw = random.Random(f"{target.name}:{seed}:{n}")
    return target.change(draw.choice(target.seeds), draw, target)


def fuzz(
    target: Target, *, inputs: int, seconds: float, seed: int, keep: Path | None
) -> tuple[int, list[tuple[str, str]]]:
    """So many inputs, or as many as fit the time; their number, and failures by digest."""
    failures: dict[str, tuple[str, str]] = {}
    end, n = time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as t:
        place = Path(t)
        for valid in target.seeds:
            trouble = attempt(target, valid, place)
            if trouble:
                failures["seed"] = ("seed", trouble)
        while n < inputs and time.monotonic() < end:
            data = number(target, seed, n)
            trouble = attempt(target, data, place)
            n += 1
            if trouble is None:
                continue
            # One of a kind is enough: the last line and where it was raised.
            kind = "\n".join(trouble.strip().splitlines()[-3:])
            name = hashlib.sha256(kind.encode()).hexdigest()[:8]
            if name not in failures:
                failures[name] = (name, trouble)
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{target.name}-{name}.bin").write_bytes(data)
                    (keep / f"{target.name}-{name}.txt").write_text(trouble)
    return n, list(failures.values())


def replay(files: list[Path], known: dict[str, Target]) -> int:
    """Read inputs that once failed; how many fail still."""
    failed = 0
    for file in files:
        with tempfile.TemporaryDirectory() as place:
            target = known.get(file.name.split("-")[0])
            trouble = attempt(target, file.read_bytes(), Path(place)) if target else None
        print(f"{file.name}: {trouble or ('fine' if target else 'no such reader here')}")
        failed += trouble is not None
    return failed


def guided(name: str, seed: int, seconds: float) -> None:
    """Inputs that atheris makes, led by which code they reach; it ends at the first failure."""
    try:
        import atheris
    except ModuleNotFoundError:
        raise SystemExit("atheris is not installed: pip install atheris") from None
    with atheris.instrument_imports(include=["nasdsl"]):
        known = targets()
    if name not in known:
        raise SystemExit(f"no reader {name}; there are {', '.join(known)}")
    target = known[name]
    with tempfile.TemporaryDirectory() as temporary:
        place, corpus = Path(temporary) / "place", Path(temporary) / "corpus"
        place.mkdir(), corpus.mkdir()
        for i, valid in enumerate(target.seeds):
            (corpus / str(i)).write_bytes(valid)

        def one(data: bytes) -> None:
            trouble = attempt(target, data, place)
            if trouble is not None:
                raise AssertionError(trouble)

        options = [f"-seed={seed + 1}", f"-max_total_time={round(seconds)}", "-max_len=20000"]
        atheris.Setup([sys.argv[0], *options, str(corpus)], one)
        atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", help="readers [default: all]")
    parser.add_argument("--inputs", type=int, default=10**9, help="inputs for each reader")
    parser.add_argument("--seconds", type=float, default=60, help="time for all together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for inputs that failed")
    parser.add_argument("--replay", type=Path, help="READER-….bin, or a folder: read once more")
    parser.add_argument("--atheris", metavar="READER", help="one reader, guided by coverage")
    given = parser.parse_args()
    if given.atheris is not None:
        guided(given.atheris, given.seed, given.seconds)
        return
    known = targets()
    bound_memory()
    if given.replay is not None:
        files = sorted(given.replay.glob("*.bin")) if given.replay.is_dir() else [given.replay]
        raise SystemExit(replay(files, known))
    chosen = given.targets or list(known)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        parser.error(f"no reader {unknown[0]}; there are {', '.join(known)}")
    total, failed = 0, 0
    for name in chosen:
        began = time.monotonic()
        count, failures = fuzz(
            known[name],
            inputs=given.inputs,
            seconds=given.seconds / len(chosen),
            seed=given.seed,
            keep=given.keep,
        )
        took = time.monotonic() - began
        print(f"{name:14} {count:9,} inputs  {count / took:9,.0f}/s  {len(failures)} failures")
        for _, trouble in failures:
            print("    " + "\n    ".join(trouble.strip().splitlines()[-3:]))
        total, failed = total + count, failed + len(failures)
        sys.stdout.flush()
    print(f"{total:,} inputs, {failed} failures")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
