"""Orders from files and folds: what is read, what is refused, what a search then runs on."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from small_trust import TEXT, run

from nasdsl import driver
from nasdsl.diagnostics.model import CompileError
from nasdsl.ir.config import Settings, show
from nasdsl.lowering.lists import Lists, Unusable, parse
from nasdsl.source import Source
from nasdsl.training.data.inputs import prepare, split_of
from nasdsl.training.data.sources import DataError
from nasdsl.training.data.splits import fingerprint


def npy(values: object, dtype: str = "<i8") -> bytes:
    made = io.BytesIO()
    np.save(made, np.array(values, dtype=dtype))
    return made.getvalue()


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("a.txt", b"5, 0\n# of class 3\n7 # the last"),
        ("a.txt", b"\xef\xbb\xbf5\r\n0\r\n7\r\n"),
        ("a.json", b" [5, 0,\n7]"),
        ("a.npy", npy([5, 0, 7])),
        ("a.npy", npy([5, 0, 7], ">u2")),
        ("a.npy", npy([5, 0, 7], "|u1")),
    ],
)
def test_every_form_holds_the_same_list(path: str, data: bytes) -> None:
    assert parse(path, data) == (5, 0, 7)


@pytest.mark.parametrize(
    ("path", "data", "words", "place"),
    [
        ("a.txt", b"", "holds no index", None),
        ("a.txt", b"# nothing", "holds no index", None),
        ("a.txt", b"1 2\n3 x4", "`x4` is no index", "a.txt:2:3"),
        ("a.txt", b"1\n-2", "`-2` is no index", "a.txt:2:1"),
        ("a.txt", b"1 2.0", "`2.0` is no index", "a.txt:1:3"),
        ("a.txt", "1 \u0662".encode(), "is no index", "a.txt:1:3"),
        ("a.txt", b"9" * 5000, "is no index", "a.txt:1:1"),
        ("a.txt", b"4 1\n4", "entry 3 of `a.txt` is 4 once more", "a.txt:2:1"),
        ("a.txt", b"\xff\xfe1", "byte 0 is not UTF-8", None),
        ("a.json", b"[1, x]", "is no JSON", "a.json:1:5"),
        ("a.json", b"[" * 100_000, "is no list of indices", None),
        ("a.json", b"[" + b"1" * 9000 + b"]", "", None),
        ("a.json", b'{"a": 1}', "is no list", None),
        ("a.json", b"[1, true]", "entry 2", None),
        ("a.json", b"[1, 2.0]", "entry 2", None),
        ("a.json", b"[1, NaN]", "entry 2", None),
        ("a.json", b"[3, 1, 3]", "entry 3 of `a.json` is 3 once more", None),
        ("a.npy", npy([[1, 2]]), "no flat `.npy`", None),
        ("a.npy", npy([1.0], "<f8"), "no flat `.npy`", None),
        ("a.npy", npy([1, -1]), "entry 2 of `a.npy` is -1", None),
        ("a.npy", npy([2**63], "<u8"), "entry 1", None),
        ("a.npy", npy([1, 2])[:-3], "promises 2 indices and holds 13 bytes", None),
        ("a.npy", npy([1, 2]).replace(b"(2,)", b"(9,)"), "promises 9 indices", None),
        ("a.npy", b"\x93NUMPY\x01\x00\xff\xff", "no flat `.npy`", None),
        ("a.npy", b"\x93NUMPY", "no flat `.npy`", None),
        ("a.npy", b"PK\x03\x04" + b"\0" * 40, "no flat `.npy`", None),
    ],
)  # fmt: skip
def test_what_is_no_list_is_refused_with_its_place(
    path: str, data: bytes, words: str, place: str | None
) -> None:
    with pytest.raises(Unusable) as caught:
        parse(path, data)
    assert words in str(caught.value) and len(str(caught.value)) < 200
    assert place is None or str(caught.value.where) == place


def test_an_array_of_objects_is_never_unpickled() -> None:
    made = io.BytesIO()
    np.save(made, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(Unusable, match="no flat"):
        parse("a.npy", made.getvalue())


def test_a_path_stays_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("1 2")
    inside = tmp_path / "inside"
    (inside / "lists").mkdir(parents=True)
    (inside / "lists" / "a.txt").write_text("1 2")
    (inside / "link.txt").symlink_to(tmp_path / "outside.txt")
    (inside / "fine.txt").symlink_to(inside / "lists" / "a.txt")
    module = str(inside / "my.nas")
    assert Lists().read(module, "lists/a.txt") == (1, 2) == Lists().read(module, "fine.txt")
    absolute = str(inside / "lists" / "a.txt")
    for path in (
        "../outside.txt",
        "lists/../../outside.txt",
        absolute,
        "C:x",
        "a\\b",
        "\0",
        "",
        ".",
    ):
        with pytest.raises(Unusable):
            Lists().read(module, path)
    with pytest.raises(Unusable, match="leaves the folder"):
        Lists().read(module, "link.txt")
    with pytest.raises(Unusable, match='no file "lists" beside `my.nas`'):
        Lists().read(module, "lists")
    os.mkfifo(inside / "pipe.txt")  # would wait for ever
    with pytest.raises(Unusable, match="no file"):
        Lists().read(module, "pipe.txt")


def test_a_list_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("1 " * 40)
    monkeypatch.setattr("nasdsl.lowering.lists.LARGEST", 64)
    with pytest.raises(Unusable, match="larger than"):
        Lists().read(str(tmp_path / "my.nas"), "a.txt")


# ---- in a split


class Found:
    train_y = np.arange(40) % 4


def split(body: str, folder: Path | None = None) -> Settings:
    text = f"nas 1\nsplit s(fold = 0) {{\n{body}\n}}\n"
    key = str(folder / "my.nas") if folder is not None else "my.nas"
    loaded = driver.load(Source.of("my.nas", text), key=key)
    made = loaded.program.settings("split", "s")
    assert made is not None
    return made


def refused(body: str, folder: Path | None = None) -> list[str]:
    with pytest.raises(CompileError) as caught:
        split(body, folder)
    return [f"{d.code} {d.span.line}:{d.span.column} {d.message}" for d in caught.value.diagnostics]


@pytest.mark.parametrize("order", ["data", "shuffle(data, seed = 2)", "stratify(data, seed = 1)"])
@pytest.mark.parametrize("k", [2, 3, 7])
def test_folds_are_disjoint_and_complete(order: str, k: int) -> None:
    seen: list[int] = []
    for fold in range(k):
        made = split(
            f"  let order = {order}\n"
            f"  search.train = kfold(order, k = {k}, without = {fold})\n"
            f"  search.valid = kfold(order, k = {k}, fold = {fold})\n"
            "  retrain.train = order"
        )
        parts = split_of(made, Found)  # type: ignore[arg-type]
        both = [*parts.search_train, *parts.search_valid]
        assert sorted(both) == list(range(40)) == sorted(parts.retrain_train)
        assert abs(len(parts.search_valid) - 40 / k) <= 1
        if order.startswith("stratify"):
            counts = np.bincount(Found.train_y[parts.search_valid], minlength=4)
            assert counts.max() - counts.min() <= 2
        seen.extend(parts.search_valid)
        assert show(made.get("search.valid")).endswith(f", k = {k}, fold = {fold})")
    assert sorted(seen) == list(range(40))


def test_lists_are_orders_and_have_ranges(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("9 3 7 1")
    (tmp_path / "b.json").write_text("[0, 2, 4, 6, 8]")
    made = split(
        '  search.train = files("a.txt")\n  search.valid = files("b.json")\n'
        '  retrain.train = files("b.json")[1..3]\n'
        '  retrain.valid = kfold(files("a.txt"), k = 2, fold = 1)',
        tmp_path,
    )
    parts = split_of(made, Found)  # type: ignore[arg-type]
    found = {name: part.tolist() for name, part in parts.parts().items()}
    assert found == {
        "search.train": [9, 3, 7, 1], "search.valid": [0, 2, 4, 6, 8],
        "retrain.train": [2, 4, 6], "retrain.valid": [7, 1],
    }  # fmt: skip
    assert show(made.get("search.train")) == 'files("a.txt")[0%..100%]'


def test_overlapping_lists_are_refused_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 2 3 4")
    (tmp_path / "b.txt").write_text("9 4 3")
    body = '  search.train = files("a.txt")\n  search.valid = files("b.txt")'
    (message,) = refused(body, tmp_path)
    assert message == "E402 4:3 `search.train` and `search.valid` share 2 images"
    (message,) = refused(body.replace("search", "retrain"), tmp_path)
    assert message.endswith("`retrain.train` and `retrain.valid` share 2 images")
    split('  search.train = files("a.txt")[0..1]\n  search.valid = files("b.txt")', tmp_path)


@pytest.mark.parametrize(
    ("train", "valid"),
    [
        ("kfold(data, k = 5, without = 1)", "kfold(data, k = 5, fold = 2)"),
        ("kfold(data, k = 5, without = 1)", "kfold(data, k = 5, without = 2)"),
        ("kfold(data, k = 4, without = 1)", "data[0%..10%]"),
        ("data", "kfold(data, k = 2, fold = 1)"),
    ],
)
def test_folds_that_overlap_are_refused(train: str, valid: str) -> None:
    (message,) = refused(f"  search.train = {train}\n  search.valid = {valid}")
    assert message.startswith("E402 4:3") and "% of the images" in message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("kfold(data, k = 1, fold = 0)", "E404 3:34 `k` is a whole number, 2 to"),
        ("kfold(data, k = 2.5, fold = 0)", "E404 3:34 `k` is a whole number"),
        ("kfold(data, k = 3, fold = 3)", "E404 3:44 `fold` is a whole number, 0 to 2"),
        ("kfold(data, k = 3, without = 0 - 1)", "E404 3:47 `without` is a whole number"),
        ("kfold(data, k = 3)", "E112 3:18 `kfold` takes `k` and one of"),
        ("kfold(data, k = 3, fold = 0, without = 1)", "E112 3:18 `kfold` takes `k`"),
        ("kfold(data, folds = 3)", "E303 3:30 `kfold` has no argument `folds`"),
        ("kfold(data[0%..50%], k = 3, fold = 0)", "E404 3:24 a part of an order has no parts"),
        ("kfold(data, k = 3, fold = 0)[0..1]", "E404 3:18 a part of an order has no parts"),
        ("data[0%..50%][0%..50%]", "E404 3:18 a part of an order has no parts"),
        ("shuffle(data[0%..50%])", "E404 3:26 a part of an order has no parts"),
        ("shuffle(stratify(data))", "E404 3:18 `shuffle` takes `data`, all of it"),
        ("kfold(7, k = 3, fold = 0)", "E213 3:24 an order of images is wanted"),
        ("files(7)", "E304 3:18 `files` takes a path in quotes"),
        ("files()", "E304 3:18 `files` takes a path in quotes"),
        ('files("a.txt", "b.txt")', "E303 3:33 `files` has no argument beside a path"),
        ('files("a.txt", seed = 1)', "E303 3:33 `files` has no argument `seed`"),
        ('files("none.txt")', 'E407 3:24 there is no file "none.txt" beside `my.nas`'),
    ],
)
def test_what_is_no_order_is_refused_where_it_stands(value: str, expected: str) -> None:
    (message,) = refused(f"  search.train = {value}")
    assert message.startswith(expected)


def test_the_line_of_a_list_is_shown(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1\n2\nthree\n")
    with pytest.raises(CompileError) as caught:
        split('  search.train = files("a.txt")', tmp_path)
    (found,) = caught.value.diagnostics
    assert [str(label.span) for label in found.labels] == ["a.txt:3:1"]


def test_an_index_outside_the_data_is_refused_with_its_entry(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 39 40")
    made = split('  search.train = files("a.txt")\n  search.valid = data[0..1]', tmp_path)
    with pytest.raises(DataError, match=r"entry 3 of a.txt is 40; the data has only .* 0\.\.39"):
        split_of(made, Found)  # type: ignore[arg-type]


def test_parts_of_different_orders_are_compared_when_a_run_begins(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 3 9")
    body = '  search.train = files("a.txt")\n  search.valid = data[3..9]\n  retrain.train = data'
    dataset = (
        "dataset d {\n  source = synthetic(count = 20, size = 16)\n  shape = image(3, 16, 16)\n}\n"
    )
    loaded = driver.load(Source.of("d.nas", f"nas 1\n{dataset}"))
    settings = loaded.program.settings("dataset", "d")
    assert settings is not None
    with pytest.raises(DataError, match="search.train and search.valid share 2 of 7 indices"):
        prepare(settings, split(body, tmp_path), data_dir=None, device="cpu")
    fine = body.replace("data[3..9]", "data[4..8]")
    given = prepare(settings, split(fine, tmp_path), data_dir=None, device="cpu")
    assert given.parts.search_train.tolist() == [0, 3, 9] and given.warnings


# ---- in runs


def test_a_search_on_a_fold_and_one_on_lists(tmp_path: Path) -> None:
    """The run folder alone repeats both; it holds what every part was."""
    head = TEXT[: TEXT.index("split ")]
    tail = TEXT[TEXT.index("}", TEXT.index("split ")) + 1 :]
    (tmp_path / "train.txt").write_text(" ".join(map(str, range(0, 96, 2))))
    (tmp_path / "valid.json").write_text(json.dumps(list(range(1, 96, 2))))
    bodies = {
        "fold": "  search.train = kfold(stratify(data), k = 6, fold = 1)\n"
        "  search.valid = kfold(stratify(data), k = 6, fold = 2)\n",
        "lists": '  search.train = files("train.txt")\n  search.valid = files("valid.json")\n',
    }
    for name, body in bodies.items():
        path = tmp_path / f"{name}.nas"
        path.write_text(f"{head}split few {{\n{body}  retrain.train = data\n}}\n{tail}")
        run(path, "--recipe", "soft", "--set", "epochs=1", "-o", tmp_path / name, "--no-retrain")
    for path in (tmp_path / "train.txt", tmp_path / "valid.json", tmp_path / "lists.nas"):
        path.unlink()
    run(tmp_path / "lists", "-o", tmp_path / "again", "--no-retrain")
    first, second = ((tmp_path / n / "alphas.safetensors").read_bytes() for n in ("lists", "again"))
    assert first == second
    order = json.loads((tmp_path / "fold" / "run.json").read_text())
    assert order["split"]["search.train"] == "kfold(stratify(data, seed = 0), k = 6, fold = 1)"
    order = json.loads((tmp_path / "again" / "run.json").read_text())
    assert order["fingerprints"]["search.train"] == fingerprint(range(0, 96, 2))
