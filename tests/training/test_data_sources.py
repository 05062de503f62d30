"""Readers: right arrays from sound files, one clear line for every kind of damaged one."""

from __future__ import annotations

import gzip
import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nasdsl.training.data.cifar import CIFAR10, CIFAR100, read_cifar
from nasdsl.training.data.sources import Arrays, DataError, read

RNG = np.random.default_rng(0)


def refused(
    words: str, source: str, *args: object, data_dir: Path | None = None, **options: object
) -> None:
    with pytest.raises(DataError) as caught:
        read(source, args, options, data_dir=data_dir)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# --- embedded -----------------------------------------------------------------------------------


def test_fashion16_is_bundled_and_balanced() -> None:
    data = read("fashion16")
    assert (data.name, data.shape, data.classes) == ("fashion16", (1, 16, 16), 10)
    assert data.train_x.shape == (10_000, 1, 16, 16) and data.test_x.shape == (2_000, 1, 16, 16)
    assert data.train_x.dtype == np.uint8 and data.train_y.dtype == np.int64
    assert np.bincount(data.train_y).tolist() == [1000] * 10
    assert np.bincount(data.test_y).tolist() == [200] * 10


def test_digits_splits_off_the_last_fifth() -> None:
    pytest.importorskip("sklearn")
    data = read("digits")
    assert (len(data.train_x), len(data.test_x), data.shape) == (1437, 360, (1, 8, 8))
    assert (data.train_x.dtype, data.train_x.min(), data.train_x.max()) == (np.uint8, 0, 255)
    assert data.train_x[0, 0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]


def test_digits_without_scikit_learn_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    refused("pip install 'nasdsl[data]'", "digits")


def test_unknown_sources_arguments_and_options_are_refused(tmp_path: Path) -> None:
    refused("unknown data source `openml`; known: cifar10", "openml", 1596)
    refused("takes no arguments", "fashion16", "x")
    refused("unknown option `size`; it takes no options", "digits", size=3)
    refused("unknown option `sise`; it takes size, classes", "folder", "x", sise=3)
    refused("at most one path", "idx", "a", "b")
    refused("torchvision('SVHN'): not read here", "torchvision", "SVHN")
    for value in (0, 1.5, "3", True, [3]):
        refused("expected a positive integer", "folder", "x", size=value)


# --- IDX ----------------------------------------------------------------------------------------


def idx_bytes(array: np.ndarray) -> bytes:
    lengths = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes((0, 0, 8, array.ndim)) + lengths + array.tobytes()


def write_idx(folder: Path, zipped: bool = False) -> tuple[np.ndarray, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    x, y = RNG.integers(0, 256, (12, 5, 4), dtype=np.uint8), np.arange(12, dtype=np.uint8) % 10
    for prefix, part in (("train", slice(0, 10)), ("t10k", slice(10, 12))):
        for kind, array in (("images-idx3", x[part]), ("labels-idx1", y[part])):
            raw = idx_bytes(array)
            name = f"{prefix}-{kind}-ubyte"
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(raw))
            else:
                (folder / name).write_bytes(raw)
    return x, y


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_folders_plain_and_zipped(tmp_path: Path, zipped: bool) -> None:
    x, y = write_idx(tmp_path / "mine", zipped)
    data = read("idx", ("mine",), data_dir=tmp_path)
    assert (data.train_x[:, 0] == x[:10]).all() and (data.test_y == y[10:]).all()
    assert (data.shape, data.classes) == ((1, 5, 4), 10)
    assert read("fashion_mnist", data_dir=tmp_path / "mine").name == "fashion_mnist"


def test_mnist_is_found_where_torchvision_keeps_it(tmp_path: Path) -> None:
    x, _ = write_idx(tmp_path / "MNIST" / "raw")
    data = read("torchvision", ("MNIST",), data_dir=tmp_path)
    assert (data.train_x[:, 0] == x[:10]).all()
    refused("put the four IDX files there", "mnist", data_dir=tmp_path / "MNIST")


def test_truncated_and_foreign_idx_files(tmp_path: Path) -> None:
    write_idx(tmp_path)
    images = tmp_path / "train-images-idx3-ubyte"
    sound = images.read_bytes()
    images.write_bytes(sound[:-1])
    refused("200 bytes of data expected for shape (10, 5, 4), 199 found", "idx", data_dir=tmp_path)
    images.write_bytes(sound + b"x")
    refused("201 found", "idx", data_dir=tmp_path)
    images.write_bytes(b"")
    refused("it begins empty", "idx", data_dir=tmp_path)
    images.write_bytes(b"PK\3\4" + sound)
    refused("not an IDX file", "idx", data_dir=tmp_path)
    images.write_bytes(sound)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    refused("lacks t10k-labels-idx1-ubyte[.gz]", "idx", data_dir=tmp_path)


def test_truncated_gzip(tmp_path: Path) -> None:
    write_idx(tmp_path, zipped=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    refused("cannot be read", "idx", data_dir=tmp_path)
    path.write_bytes(b"not gzip")
    refused("cannot be read", "idx", data_dir=tmp_path)


def test_as_many_labels_as_images(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(9, np.uint8)))
    refused("10 train images but 9 labels", "idx", data_dir=tmp_path)


def test_labels_outside_the_classes(tmp_path: Path) -> None:
    write_idx(tmp_path)
    refused("label 5 of train image 5 is outside 0..4", "idx", data_dir=tmp_path, classes=5)
    assert read("idx", (), {"classes": 11}, data_dir=tmp_path).classes == 11


# --- npz ----------------------------------------------------------------------------------------


def npz(path: Path, **changes: object) -> Path:
    arrays = {
        "x_train": RNG.integers(0, 256, (6, 3, 4, 5), dtype=np.uint8),
        "y_train": np.arange(6) % 3,
        "x_test": RNG.integers(0, 256, (2, 3, 4, 5), dtype=np.uint8),
        "y_test": np.arange(2),
    }
    np.savez(path, **{**arrays, **changes})  # type: ignore[arg-type]
    return path


def load(tmp_path: Path, **changes: object) -> Arrays:
    npz(tmp_path / "a.npz", **changes)
    return read("npz", ("a.npz",), data_dir=tmp_path)


def test_npz_layouts_and_types(tmp_path: Path) -> None:
    assert load(tmp_path).shape == (3, 4, 5)
    last = RNG.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    data = load(tmp_path, x_train=last, x_test=last[:2], y_train=np.arange(6)[:, None])
    assert (data.train_x == last.transpose(0, 3, 1, 2)).all() and data.train_y.shape == (6,)
    assert data.train_x.flags.c_contiguous
    grey = RNG.random((6, 4, 5))
    data = load(tmp_path, x_train=grey, x_test=grey[:2])
    assert (data.shape, data.train_x.dtype) == ((1, 4, 5), np.float32)
    whole = last.astype(np.int64)
    assert load(tmp_path, x_train=whole, x_test=whole[:2]).train_x.dtype == np.uint8
    narrow = RNG.random((6, 3, 4, 3))
    assert load(tmp_path, x_train=narrow, x_test=narrow[:2]).shape == (3, 4, 3)


def test_npz_with_short_keys(tmp_path: Path) -> None:
    x, y = np.zeros((3, 2, 2), np.uint8), np.array([0, 1, 1])
    np.savez(tmp_path / "b.npz", xtr=x, ytr=y, xte=x, yte=y)
    assert read("npz", (str(tmp_path / "b.npz"),)).classes == 2


class Trap:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_npz_with_object_arrays_is_refused_and_not_unpickled(tmp_path: Path) -> None:
    trap = np.array([Trap(tmp_path / "sprung")] * 6, dtype=object)
    npz(tmp_path / "a.npz", y_train=trap)
    refused("not a sound .npz of plain arrays", "npz", "a.npz", data_dir=tmp_path)
    (tmp_path / "a.npz").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    refused("not a sound .npz", "npz", "a.npz", data_dir=tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_damaged_npz_files(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz")
    sound = path.read_bytes()
    for raw in (b"", sound[: len(sound) // 2], b"x" * 300, sound[:-30]):
        path.write_bytes(raw)
        refused("not a sound .npz", "npz", "a.npz", data_dir=tmp_path)
    path.write_bytes(sound.replace(b"descr", b"dxscr"))
    refused("not a sound .npz", "npz", "a.npz", data_dir=tmp_path)
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    refused("holds a single array", "npz", "a.npz", data_dir=tmp_path)
    np.savez(path, x=np.zeros(3))
    refused(
        "needs arrays x_train, y_train, x_test, y_test; found x", "npz", "a.npz", data_dir=tmp_path
    )
    refused("cannot be opened (No such file or directory)", "npz", "no.npz", data_dir=tmp_path)
    refused("needs the path of a file", "npz", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_train": np.arange(5)}, "6 train images but 5 labels"),
        ({"y_train": np.arange(6) - 1}, "label -1 of train image 0 is outside"),
        ({"y_train": np.arange(6) / 2}, "train labels are float64"),
        ({"y_train": np.zeros((6, 2), int)}, "train labels are int64 of shape (6, 2)"),
        ({"x_test": np.zeros((0, 3, 4, 5), np.uint8), "y_test": np.arange(0)}, "test part has no"),
        ({"x_test": np.zeros((2, 3, 4, 4), np.uint8)}, "make them alike"),
        ({"x_test": np.zeros((2, 3, 4, 5))}, "make them alike"),
        ({"x_train": np.full((6, 3, 4, 5), np.nan)}, "train image 0 has a value that is not"),
        ({"x_train": np.full((6, 3, 4, 5), 1e300)}, "not finite as float32"),
        ({"x_train": np.full((6, 3, 4, 5), 256)}, "values 256..256; integers must be 0..255"),
        ({"x_train": np.zeros((6, 3, 4, 5), bool)}, "train images are bool"),
        ({"x_train": np.zeros((6, 60), np.uint8)}, "train images have shape (6, 60)"),
    ],
)  # fmt: skip
def test_unfit_arrays_are_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    npz(tmp_path / "a.npz", **changes)
    refused(words, "npz", "a.npz", data_dir=tmp_path)


# --- CIFAR --------------------------------------------------------------------------------------

SMALL10 = replace(CIFAR10, records=(3, 2))
SMALL100 = replace(CIFAR100, records=(7, 2))


def cifar_batch(count: int, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    x = RNG.integers(0, 256, (count, 3072), dtype=np.uint8)
    return x, RNG.integers(0, classes, count)


def write_cifar10(root: Path, form: str) -> tuple[np.ndarray, np.ndarray]:
    xs, ys = [], []
    names = [*CIFAR10.train_files, "test_batch"]
    folder = root / ("cifar-10-batches-bin" if form == "binary" else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    for name in names:
        x, y = cifar_batch(2 if name == "test_batch" else 3)
        if form == "binary":
            raw = np.concatenate([y[:, None].astype(np.uint8), x], axis=1).tobytes()
            (folder / f"{name}.bin").write_bytes(raw)
        elif form == "python 2":
            (folder / name).write_bytes(python2_pickle(x, y))
        else:
            batch = {"data": x, "labels": [int(v) for v in y], "batch_label": "of 5"}
            (folder / name).write_bytes(pickle.dumps(batch, protocol=int(form)))
        xs.append(x)
        ys.append(y)
    return np.concatenate(xs).reshape(-1, 3, 32, 32), np.concatenate(ys)


def python2_pickle(x: np.ndarray, y: np.ndarray) -> bytes:
    """A batch as Python 2 and the numpy of 2009 wrote it, opcode by opcode."""
    raw = x.tobytes()
    return (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87R(K\x01K" + bytes((len(x),)) + b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + len(raw).to_bytes(4, "little") + raw
        + b"tbU\x06labels](" + b"".join(b"K" + bytes((v,)) for v in y) + b"eu."
    )  # fmt: skip


@pytest.mark.parametrize("form", ["binary", "python 2", "2", "4", "5"])
def test_cifar10_in_every_form(tmp_path: Path, form: str) -> None:
    x, y = write_cifar10(tmp_path / "below" / "here", form)
    data = read_cifar(SMALL10, tmp_path)
    assert (data.train_x == x[:15]).all() and (data.test_x == x[15:]).all()
    assert data.train_y.tolist() == y[:15].tolist() and data.test_y.tolist() == y[15:].tolist()
    assert (data.name, data.classes, data.shape) == ("cifar10", 10, (3, 32, 32))
    inside = next((tmp_path / "below" / "here").iterdir())
    assert (read_cifar(SMALL10, inside).train_x == data.train_x).all()


@pytest.mark.parametrize("form", ["binary", "pickle"])
def test_cifar100_takes_the_fine_labels(tmp_path: Path, form: str) -> None:
    folder = tmp_path / ("cifar-100-binary" if form == "binary" else "cifar-100-python")
    folder.mkdir()
    fine = {}
    for name, count in (("train", 7), ("test", 2)):
        x, y = cifar_batch(count, 100)
        coarse = y % 20
        if form == "binary":
            raw = np.concatenate([coarse[:, None], y[:, None], x], axis=1).astype(np.uint8)
            (folder / f"{name}.bin").write_bytes(raw.tobytes())
        else:
            batch = {"data": x, "fine_labels": y.tolist(), "coarse_labels": coarse.tolist()}
            (folder / name).write_bytes(pickle.dumps(batch))
        fine[name] = y.tolist()
    data = read_cifar(SMALL100, tmp_path)
    assert (data.train_y.tolist(), data.test_y.tolist()) == (fine["train"], fine["test"])
    assert data.classes == 100


def test_truncated_and_missing_cifar_files(tmp_path: Path) -> None:
    write_cifar10(tmp_path, "binary")
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin"
    sound = path.read_bytes()
    for raw in (sound[:-1], sound[:3073], sound + sound, b""):  # also at the end of a record
        path.write_bytes(raw)
        with pytest.raises(DataError, match=rf"data_batch_3.bin: 9219 bytes .* {len(raw)} found"):
            read_cifar(SMALL10, tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"data_batch_3\.bin: cannot be read"):
        read_cifar(SMALL10, tmp_path)
    refused("30730000 bytes expected (10000 images)", "torchvision", "CIFAR10", data_dir=tmp_path)
    refused("put cifar-100-binary/", "cifar100", data_dir=tmp_path)
    refused("is not a folder", "cifar10", data_dir=tmp_path / "none")


def test_truncated_cifar_pickles(tmp_path: Path) -> None:
    write_cifar10(tmp_path, "4")
    path = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    sound = path.read_bytes()
    for end in (0, 1, 50, len(sound) // 2, len(sound) - 1):
        path.write_bytes(sound[:end])
        with pytest.raises(DataError, match=r"data_batch_1: not a sound pickle"):
            read_cifar(SMALL10, tmp_path)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ([1, 2], "holds a list"),
        ({"labels": [0, 1, 2]}, "`data` is not 3 x 3072 bytes"),
        ({"data": b"x" * 9216, "labels": [0, 1, 2]}, "`data` is not"),
        ({"data": np.zeros((3, 3072)), "labels": [0, 1, 2]}, "`data` is not"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1, 2]}, "`data` is not"),
        ({"data": np.zeros((3, 3072), np.uint8, order="F"), "labels": [0, 1, 2]}, "`data` is not"),
        ({"data": np.zeros((3, 3072), np.uint8), "labels": [0, 1]}, "`labels` is not 3 integers"),
        ({"data": np.zeros((3, 3072), np.uint8), "labels": [0, 1, 10]}, "integers 0..9"),
        ({"data": np.zeros((3, 3072), np.uint8), "labels": [0, 1, "2"]}, "integers 0..9"),
    ],
)
def test_cifar_pickles_of_other_things(tmp_path: Path, batch: object, words: str) -> None:
    write_cifar10(tmp_path, "4")
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps(batch))
    with pytest.raises(DataError) as caught:
        read_cifar(SMALL10, tmp_path)
    assert words in str(caught.value)


def test_a_malicious_cifar_pickle_is_not_executed(tmp_path: Path) -> None:
    write_cifar10(tmp_path, "4")
    path = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    sprung = tmp_path / "sprung"
    hidden = np.array([Trap(sprung)], dtype=object)
    for bomb in (Trap(sprung), {"data": Trap(sprung)}, {"data": hidden}):
        path.write_bytes(pickle.dumps(bomb))
        with pytest.raises(DataError, match=r"refused: the pickle asks for \w+\.mkdir"):
            read_cifar(SMALL10, tmp_path)
    for name in ("builtins\neval", "builtins\ngetattr", "numpy\nload", "_codecs\ndecode"):
        path.write_bytes(b"c" + name.encode() + b"\nU\x041+1 \x85R.")
        with pytest.raises(DataError, match="refused: the pickle asks for"):
            read_cifar(SMALL10, tmp_path)
    path.write_bytes(
        b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.shape\x93."
    )  # dotted names are not walked
    with pytest.raises(DataError, match="refused"):
        read_cifar(SMALL10, tmp_path)
    assert not sprung.exists()


def test_cifar10_from_an_npz(tmp_path: Path) -> None:
    x, y = RNG.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8), np.arange(4)
    (tmp_path / "sub").mkdir()
    np.savez(tmp_path / "sub" / "cifar10.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    data = read("cifar10", data_dir=tmp_path)
    assert (data.shape, data.classes) == ((3, 32, 32), 10)
    np.savez(
        tmp_path / "sub" / "cifar10.npz", x_train=x[:, 1:], y_train=y, x_test=x[:, 1:], y_test=y
    )
    refused("expected (3, 32, 32) in 10", "cifar10", data_dir=tmp_path)


# --- folders ------------------------------------------------------------------------------------

Image = pytest.importorskip("PIL.Image")


def write_image(
    path: Path, value: int | tuple[int, int, int], size: tuple[int, int] = (6, 6)
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(value, int) else "RGB", size, value).save(path)


def write_tree(root: Path, test: str = "test", names: tuple[str, ...] = ("b", "a", "c")) -> None:
    for name in names:
        for part, count in (("train", 3), (test, 1)):
            for i in range(count):
                write_image(root / part / name / f"{i}.png", (10 * i, 0, ord(name[0])))


def test_folder_sorts_classes_by_name_and_takes_turns_among_them(tmp_path: Path) -> None:
    write_tree(tmp_path / "pets", "val")
    (tmp_path / "pets" / "train" / ".hidden").mkdir()
    (tmp_path / "pets" / "train" / "a" / "notes.txt").write_text("not an image")
    data = read("folder", ("pets",), data_dir=tmp_path)
    assert data.train_y.tolist() == [0, 1, 2] * 3  # so a half in file order has every class
    assert data.train_x[:, 2, 0, 0].tolist() == [ord("a"), ord("b"), ord("c")] * 3
    assert data.train_x[:, 0, 0, 0].tolist() == [0, 0, 0, 10, 10, 10, 20, 20, 20]
    assert (data.name, data.shape, data.classes, len(data.test_x)) == ("pets", (3, 6, 6), 3, 3)
    first = read("folder", ("pets",), {"classes": 2}, data_dir=tmp_path)
    assert (first.classes, first.train_y.tolist()) == (2, [0, 1] * 3)


def test_folder_resizes_on_request_only(tmp_path: Path) -> None:
    write_tree(tmp_path)
    write_image(tmp_path / "train" / "b" / "9.png", (0, 0, 0), size=(8, 5))
    refused("9.png: is 8x5 pixels, others are 6x6", "folder", data_dir=tmp_path)
    assert read("folder", (), {"size": 3}, data_dir=tmp_path).shape == (3, 3, 3)
    assert read("folder", (), {"size": 9}, data_dir=tmp_path).shape == (3, 9, 9)


def test_grey_folders_have_one_channel_and_grey_among_colour_is_promoted(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_image(tmp_path / part / "a" / "0.png", 77)
    assert read("folder", data_dir=tmp_path).shape == (1, 6, 6)
    for part in ("train", "test"):
        write_image(tmp_path / part / "b" / "0.bmp", (1, 2, 3))
    data = read("folder", data_dir=tmp_path)
    assert data.train_x[:, :, 0, 0].tolist() == [[77, 77, 77], [1, 2, 3]]


def test_unfit_folders_are_refused(tmp_path: Path) -> None:
    refused("needs the folders train/ and test/", "folder", data_dir=tmp_path)
    write_tree(tmp_path)
    refused("has 3 class folders; `classes` asks for 4", "folder", data_dir=tmp_path, classes=4)
    (tmp_path / "train" / "d").mkdir()
    refused("lacks the class folder d", "folder", data_dir=tmp_path)
    (tmp_path / "test" / "d").mkdir()
    refused("has no .png/.jpg/.jpeg/.bmp images", "folder", data_dir=tmp_path)
    for part in ("train", "test"):
        (tmp_path / part / "d").rmdir()
    broken = tmp_path / "train" / "a" / "1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    refused("1.png: not a sound image", "folder", data_dir=tmp_path)
    broken.write_bytes(b"no image")
    refused("1.png: not a sound image", "folder", data_dir=tmp_path)


def test_cifar10_from_a_tree_of_images(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in CIFAR10.class_names:
            write_image(tmp_path / "raw" / part / name / "0000.jpg", (9, 9, 9), size=(32, 32))
    data = read("torchvision", ("CIFAR10",), data_dir=tmp_path)
    assert data.train_y.tolist() == list(range(10))
    (tmp_path / "raw" / "train" / "cat").rename(tmp_path / "raw" / "train" / "cow")
    refused("nothing found", "cifar10", data_dir=tmp_path)
