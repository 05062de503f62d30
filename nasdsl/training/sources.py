"""Readers of image data sets: from a source's name and arguments to arrays in memory.

Nothing is downloaded and no code stored in a data file is ever run: `.npz` files are read with
`allow_pickle=False`, and the pickled CIFAR batches by an unpickler that knows only inert stand-ins.
"""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray


class DataError(ValueError):
    """A user's data, or what they asked of it, is wrong; one line that says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrays:
    """A data set in memory, in the order of its files.

    `train_x` and `test_x` are NCHW: uint8 with values 0..255, or float32 as the file gave them.
    `train_y` and `test_y` are int64 labels 0..classes-1, one per image.
    """

    name: str
    train_x: NDArray[Any]
    train_y: NDArray[np.int64]
    test_x: NDArray[Any]
    test_y: NDArray[np.int64]
    classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image, in pixels."""
        _, channels, height, width = self.train_x.shape
        return channels, height, width


def read(
    source: str,
    args: tuple[object, ...] = (),
    options: Mapping[str, object] | None = None,
    *,
    data_dir: Path | None = None,
) -> Arrays:
    """The data set that `source(*args, **options)` names, checked.

    Relative paths are taken from `data_dir`, or from the working directory where it is None.
    Raises DataError if the source or an option is unknown, or a file is missing or damaged.
    """
    reader = READERS.get(source)
    if reader is None:
        raise DataError(
            f"unknown data source `{source}`; known: {', '.join(sorted(READERS))} "
            "(convert other data to an .npz file and use npz)"
        )
    return reader(args, dict(options or {}), data_dir)


# --- what every reader shares -------------------------------------------------------------------


def _checked(
    name: str,
    train: tuple[NDArray[Any], NDArray[Any]],
    test: tuple[NDArray[Any], NDArray[Any]],
    *,
    where: object,
    classes: int | None = None,
) -> Arrays:
    """Arrays after all checks; `classes` None means the largest label of both parts plus one."""
    parts = []
    for part, (x, y) in (("train", train), ("test", test)):
        if len(x) == 0:
            raise DataError(f"{where}: the {part} part has no images; give it at least one")
        if len(x) != len(y):
            raise DataError(
                f"{where}: {len(x)} {part} images but {len(y)} labels; one label per image expected"
            )
        if x.ndim != 4 or 0 in x.shape:
            raise DataError(
                f"{where}: {part} images have shape {x.shape}; expected (count, channels, h, w)"
            )
        if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
            raise DataError(
                f"{where}: {part} labels are {y.dtype} of shape {y.shape}; "
                "expected a flat array of integers"
            )
        parts.append((_pixels(x, part, where), y.astype(np.int64)))
    (train_x, train_y), (test_x, test_y) = parts
    if train_x.shape[1:] != test_x.shape[1:] or train_x.dtype != test_x.dtype:
        raise DataError(
            f"{where}: train images are {train_x.dtype} {train_x.shape[1:]} but test images "
            f"{test_x.dtype} {test_x.shape[1:]}; make them alike"
        )
    count = int(max(train_y.max(), test_y.max())) + 1 if classes is None else classes
    for part, y in (("train", train_y), ("test", test_y)):
        bad = np.flatnonzero((y < 0) | (y >= count))
        if len(bad):
            raise DataError(
                f"{where}: label {y[bad[0]]} of {part} image {bad[0]} is outside 0..{count - 1}; "
                "relabel from 0, or correct `classes`"
            )
    return Arrays(
        name=name, train_x=train_x, train_y=train_y, test_x=test_x, test_y=test_y, classes=count
    )


def _pixels(x: NDArray[Any], part: str, where: object) -> NDArray[Any]:
    """Images as contiguous uint8 or finite float32."""
    if np.issubdtype(x.dtype, np.floating):
        with np.errstate(over="ignore"):
            x = np.ascontiguousarray(x, dtype=np.float32)
        finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
        if not finite.all():
            raise DataError(
                f"{where}: {part} image {int(np.argmin(finite))} has a value that is not finite "
                "as float32; clean the file"
            )
        return x
    if not np.issubdtype(x.dtype, np.integer):
        raise DataError(f"{where}: {part} images are {x.dtype}; expected uint8 or float")
    if x.dtype != np.uint8 and (x.min() < 0 or x.max() > 255):
        raise DataError(
            f"{where}: {part} images have values {x.min()}..{x.max()}; integers must be 0..255"
        )
    return np.ascontiguousarray(x, dtype=np.uint8)


def _options(source: str, options: Mapping[str, object], known: Sequence[str]) -> None:
    for name in options:
        if name not in known:
            takes = ", ".join(known) if known else "no options"
            raise DataError(f"{source}: unknown option `{name}`; it takes {takes}")


def _positive(source: str, name: str, value: object) -> int | None:
    """The option's value as a positive integer, or None where it is not given."""
    if value is None:
        return None
    number = 0
    # The language's numbers are exact fractions, so a whole number need not be an `int`.
    if isinstance(value, int | float | Fraction | Decimal) and value % 1 == 0:
        number = 0 if isinstance(value, bool) else int(value)
    if number < 1:
        raise DataError(f"{source}: `{name}` is {value!r}; expected a positive integer")
    return number


def _path(source: str, args: tuple[object, ...], data_dir: Path | None) -> Path | None:
    """The one optional path argument, against `data_dir`."""
    if len(args) > 1 or (args and not isinstance(args[0], str)):
        raise DataError(f"{source}: takes at most one path, in quotes; found {args!r}")
    return _base(data_dir) / str(args[0]) if args else None


def _base(data_dir: Path | None) -> Path:
    return Path() if data_dir is None else Path(data_dir)


def _bytes(path: Path) -> bytes:
    """A file's content, uncompressed if its name ends in `.gz`."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                return stream.read()
        return path.read_bytes()
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f"{path}: cannot be read ({problem}); fetch the file again") from problem


# --- embedded sets ------------------------------------------------------------------------------


def _fashion16(
    args: tuple[object, ...], options: dict[str, object], data_dir: Path | None
) -> Arrays:
    """The bundled subset of Fashion-MNIST: 10,000 + 2,000 grey images of 16x16."""
    _none("fashion16", args, options)
    place = files("nasdsl") / "data" / "fashion16.npz"
    with place.open("rb") as stream:
        return _npz_arrays("fashion16", stream, where=place, classes=10)


def _digits(args: tuple[object, ...], options: dict[str, object], data_dir: Path | None) -> Arrays:
    """scikit-learn's 1,797 grey 8x8 digits; the last fifth, in file order, is the test part."""
    _none("digits", args, options)
    try:
        from sklearn.datasets import load_digits
    except ImportError as problem:
        raise DataError(
            "digits: needs scikit-learn; install it with: pip install 'nasdsl[data]'"
        ) from problem
    bunch = load_digits()
    x = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    y = np.asarray(bunch.target)
    cut = len(x) * 4 // 5
    return _checked("digits", (x[:cut], y[:cut]), (x[cut:], y[cut:]), where="digits", classes=10)


def _none(source: str, args: tuple[object, ...], options: Mapping[str, object]) -> None:
    if args:
        raise DataError(f"{source}: takes no arguments; found {args!r}")
    _options(source, options, ())


# --- IDX files (MNIST and its kin) --------------------------------------------------------------


def _idx(args: tuple[object, ...], options: dict[str, object], data_dir: Path | None) -> Arrays:
    """Any folder of four IDX files."""
    _options("idx", options, ("classes",))
    classes = _positive("idx", "classes", options.get("classes"))
    return _idx_folder("idx", (_path("idx", args, data_dir) or _base(data_dir),), classes)


def _mnist(args: tuple[object, ...], options: dict[str, object], data_dir: Path | None) -> Arrays:
    _options("mnist", options, ())
    base = _base(data_dir)
    given = _path("mnist", args, data_dir)
    places = (given,) if given else (base / "MNIST" / "raw", base / "mnist", base)
    return _idx_folder("mnist", places, 10)


def _fashion_mnist(
    args: tuple[object, ...], options: dict[str, object], data_dir: Path | None
) -> Arrays:
    _options("fashion_mnist", options, ())
    base = _base(data_dir)
    given = _path("fashion_mnist", args, data_dir)
    places = (
        (given,)
        if given
        else (
            base / "FashionMNIST" / "raw",
            base / "fashion-mnist",
            base / "fashion_mnist",
            base,
            Path("/usr/share/datasets/fashion-mnist"),  # Debian's dataset-fashion-mnist
        )
    )
    return _idx_folder("fashion_mnist", places, 10)


def _idx_folder(name: str, places: Sequence[Path], classes: int | None) -> Arrays:
    first = "train-images-idx3-ubyte"
    folder = next((p for p in places if _idx_file(p, first) is not None), None)
    if folder is None:
        raise DataError(
            f"{name}: no {first}[.gz] in {', '.join(map(str, places))}; "
            "put the four IDX files there or pass the right data directory"
        )
    parts = []
    for prefix in ("train", "t10k"):
        pair = []
        for kind, dims in (("images-idx3", 3), ("labels-idx1", 1)):
            path = _idx_file(folder, f"{prefix}-{kind}-ubyte")
            if path is None:
                raise DataError(f"{name}: {folder} lacks {prefix}-{kind}-ubyte[.gz]; add it")
            pair.append(_idx_array(path, dims))
        parts.append((pair[0][:, None], pair[1]))
    return _checked(name, parts[0], parts[1], where=folder, classes=classes)


def _idx_file(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _idx_array(path: Path, dims: int) -> NDArray[np.uint8]:
    """One IDX file of unsigned bytes (format: http://yann.lecun.com/exdb/mnist)."""
    raw = _bytes(path)
    header = 4 + 4 * dims
    if len(raw) < header or raw[:4] != bytes((0, 0, 8, dims)):
        raise DataError(
            f"{path}: not an IDX file of bytes with {dims} dimension(s) "
            f"(it begins {raw[:4].hex(' ') or 'empty'}); fetch the file again"
        )
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, header, 4))
    expected = 1
    for length in shape:
        expected *= length
    if len(raw) - header != expected:
        raise DataError(
            f"{path}: {expected} bytes of data expected for shape {shape}, "
            f"{len(raw) - header} found; fetch the file again"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


# --- npz ----------------------------------------------------------------------------------------

_NPZ_KEYS = (("x_train", "y_train", "x_test", "y_test"), ("xtr", "ytr", "xte", "yte"))


def _npz(args: tuple[object, ...], options: dict[str, object], data_dir: Path | None) -> Arrays:
    """One .npz file; see `_npz_arrays`."""
    _options("npz", options, ("classes",))
    classes = _positive("npz", "classes", options.get("classes"))
    path = _path("npz", args, data_dir)
    if path is None:
        raise DataError('npz: needs the path of a file, as in npz("images.npz")')
    return _npz_file(path.stem, path, classes)


def _npz_file(name: str, path: Path, classes: int | None) -> Arrays:
    try:
        stream = path.open("rb")
    except OSError as problem:
        raise DataError(
            f"{path}: cannot be opened ({problem.strerror}); check the path and data directory"
        ) from problem
    with stream:
        return _npz_arrays(name, stream, where=path, classes=classes)


def _npz_arrays(name: str, stream: IO[bytes], *, where: object, classes: int | None) -> Arrays:
    """Four arrays out of an .npz stream, images brought to NCHW; never unpickles."""
    try:
        loaded = np.load(stream, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise DataError(f"{where}: holds a single array; save four with numpy.savez")
        found = sorted(loaded.files)
        keys = next((k for k in _NPZ_KEYS if set(k) <= set(found)), None)
        if keys is None:
            raise DataError(
                f"{where}: needs arrays {', '.join(_NPZ_KEYS[0])}; found {', '.join(found)}"
            )
        x_train, y_train, x_test, y_test = (loaded[key] for key in keys)
    except DataError:
        raise
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise DataError(
            f"{where}: not a sound .npz of plain arrays ({reason}); save it again with numpy.savez"
        ) from problem
    return _checked(
        name,
        (_nchw(x_train), _flat(y_train)),
        (_nchw(x_test), _flat(y_test)),
        where=where,
        classes=classes,
    )


def _nchw(x: NDArray[Any]) -> NDArray[Any]:
    """NHW gets a channel axis; NHWC is recognised by 1 or 3 in the last place only."""
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        return x.transpose(0, 3, 1, 2)
    return x


def _flat(y: NDArray[Any]) -> NDArray[Any]:
    """Labels of shape (N, 1), as Keras saves them, become (N,)."""
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


# --- CIFAR --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CifarLayout:
    """How one CIFAR distribution lies on disk (https://www.cs.toronto.edu/~kriz/cifar.html).

    `label_bytes` precede the 3,072 pixel bytes of a binary record; the last of them is the label.
    `records` is the number of images in each training file and in the test file.
    """

    name: str
    classes: int
    binary_folder: str
    pickle_folder: str
    train_files: tuple[str, ...]
    test_file: str
    label_bytes: int
    label_key: str
    records: tuple[int, int]
    npz: str
    class_names: tuple[str, ...] = ()


CIFAR10 = CifarLayout(
    name="cifar10",
    classes=10,
    binary_folder="cifar-10-batches-bin",
    pickle_folder="cifar-10-batches-py",
    train_files=("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
    test_file="test_batch",
    label_bytes=1,
    label_key="labels",
    records=(10_000, 10_000),
    npz="cifar10.npz",
    class_names=(
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
)  # fmt: skip

CIFAR100 = CifarLayout(
    name="cifar100",
    classes=100,
    binary_folder="cifar-100-binary",
    pickle_folder="cifar-100-python",
    train_files=("train",),
    test_file="test",
    label_bytes=2,  # the coarse label comes first; the fine one is meant
    label_key="fine_labels",
    records=(50_000, 10_000),
    npz="cifar100.npz",
)


def _cifar10(args: tuple[object, ...], options: dict[str, object], data_dir: Path | None) -> Arrays:
    _options("cifar10", options, ())
    return read_cifar(CIFAR10, _path("cifar10", args, data_dir) or _base(data_dir))


def _cifar100(
    args: tuple[object, ...], options: dict[str, object], data_dir: Path | None
) -> Arrays:
    _options("cifar100", options, ())
    return read_cifar(CIFAR100, _path("cifar100", args, data_dir) or _base(data_dir))


def read_cifar(layout: CifarLayout, root: Path) -> Arrays:
    """CIFAR from `root` or a folder up to two levels below it, in whichever form is there.

    Looks for the binary files, the Python batches, an .npz and a tree of images, in this order.
    Raises DataError where there is none, or its files are damaged.
    """
    if not root.is_dir():
        raise DataError(f"{layout.name}: {root} is not a folder; pass the right data directory")
    places = tuple(_folders(root, depth=2))
    for place in places:
        if place.name == layout.binary_folder or (place / layout.binary_folder).is_dir():
            folder = place if place.name == layout.binary_folder else place / layout.binary_folder
            return _cifar_files(layout, folder, ".bin", _cifar_binary)
        if place.name == layout.pickle_folder or (place / layout.pickle_folder).is_dir():
            folder = place if place.name == layout.pickle_folder else place / layout.pickle_folder
            return _cifar_files(layout, folder, "", _cifar_pickle)
    for place in places:
        if (place / layout.npz).is_file():
            return _fitting(layout, _npz_file(layout.name, place / layout.npz, layout.classes))
    for place in places:
        if _is_cifar_tree(layout, place):
            return _fitting(layout, _tree(layout.name, place, size=None, classes=None))
    raise DataError(
        f"{layout.name}: nothing found in {root}; put {layout.binary_folder}/, "
        f"{layout.pickle_folder}/, {layout.npz} or train/ and test/ folders of images there"
    )


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """`root` and the folders below it, nearest level first, each level in the order of names."""
    level = [root]
    for _ in range(depth + 1):
        yield from level
        level = [below for place in level for below in _subfolders(place)]


def _subfolders(place: Path) -> list[Path]:
    """Folders directly inside `place` by name, without hidden ones and archive debris."""
    try:
        entries = sorted(place.iterdir())
    except OSError:
        return []  # not ours to read: it cannot hold the data set
    return [e for e in entries if e.is_dir() and not e.name.startswith((".", "__MACOSX"))]


def _is_cifar_tree(layout: CifarLayout, place: Path) -> bool:
    train, test = place / "train", place / "test"
    if not (train.is_dir() and test.is_dir()):
        return False
    names = {folder.name for folder in _subfolders(train)}
    numbers = {str(i) for i in range(layout.classes)}
    if layout.class_names:
        return names == set(layout.class_names) or names == numbers
    return len(names) == layout.classes


def _fitting(layout: CifarLayout, arrays: Arrays) -> Arrays:
    if arrays.shape != (3, 32, 32) or arrays.classes != layout.classes:
        raise DataError(
            f"{layout.name}: found images of shape {arrays.shape} in {arrays.classes} classes; "
            f"expected (3, 32, 32) in {layout.classes}"
        )
    return arrays


def _cifar_files(
    layout: CifarLayout,
    folder: Path,
    suffix: str,
    parse: Callable[[CifarLayout, Path, int], tuple[NDArray[Any], NDArray[Any]]],
) -> Arrays:
    def load(name: str, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
        return parse(layout, folder / f"{name}{suffix}", count)

    batches = [load(name, layout.records[0]) for name in layout.train_files]
    train = (np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches]))
    test = load(layout.test_file, layout.records[1])
    return _checked(layout.name, train, test, where=folder, classes=layout.classes)


def _cifar_binary(layout: CifarLayout, path: Path, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    raw = _bytes(path)
    record = layout.label_bytes + 3072
    if len(raw) != count * record:
        raise DataError(
            f"{path}: {count * record} bytes expected ({count} images), {len(raw)} found; "
            "fetch the file again"
        )
    table = np.frombuffer(raw, np.uint8).reshape(count, record)
    labels = table[:, layout.label_bytes - 1]
    return table[:, layout.label_bytes :].reshape(count, 3, 32, 32), labels


def _cifar_pickle(layout: CifarLayout, path: Path, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        batch = _PlainUnpickler(io.BytesIO(_bytes(path)), encoding="bytes").load()
    except DataError as problem:
        raise DataError(f"{path}: {problem}") from problem
    except Exception as problem:  # noqa: BLE001 - a damaged pickle may raise anything at all
        raise DataError(
            f"{path}: not a sound pickle ({type(problem).__name__}); fetch the file again"
        ) from problem
    if not isinstance(batch, dict):
        raise DataError(f"{path}: holds a {type(batch).__name__}; expected a dict of data, labels")
    data = batch.get(b"data", batch.get("data"))
    labels = batch.get(layout.label_key.encode(), batch.get(layout.label_key))
    if not (
        isinstance(data, _PickledArray)
        and data.dtype in ("u1", "|u1")
        and isinstance(data.raw, bytes | bytearray)
        and len(data.raw) == count * 3072
        and not data.fortran
    ):
        raise DataError(f"{path}: `data` is not {count} x 3072 bytes; fetch the file again")
    if not (
        isinstance(labels, list)
        and len(labels) == count
        and all(type(label) is int and 0 <= label < layout.classes for label in labels)
    ):
        raise DataError(
            f"{path}: `{layout.label_key}` is not {count} integers 0..{layout.classes - 1}; "
            "fetch the file again"
        )
    images = np.frombuffer(data.raw, np.uint8).reshape(count, 3, 32, 32)
    return images, np.asarray(labels, np.int64)


class _PickledType:
    """Stands for a numpy dtype in a pickle: only its code, such as `u1`, is kept."""

    __slots__ = ("code",)

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code

    def __setstate__(self, state: object) -> None:
        pass  # byte order and fields do not matter for bytes


class _PickledArray:
    """Stands for a numpy array in a pickle: its raw bytes, not yet trusted."""

    __slots__ = ("dtype", "fortran", "raw")

    def __init__(self, raw: object = None, dtype: object = None, fortran: bool = False) -> None:
        self.raw = raw
        self.dtype = dtype.code if isinstance(dtype, _PickledType) else None
        self.fortran = fortran

    def __setstate__(self, state: tuple[object, ...]) -> None:
        _version, _shape, dtype, fortran, raw = state
        self.__init__(raw, dtype, bool(fortran))  # type: ignore[misc]


def _pickled_reconstruct(*_: object) -> _PickledArray:
    return _PickledArray()


def _pickled_frombuffer(raw: object, dtype: object, _shape: object, order: object) -> _PickledArray:
    return _PickledArray(raw, dtype, order != "C")


def _pickled_encode(text: object, encoding: object = b"latin1") -> bytes:
    """How Python 3 writes bytes into an old-protocol pickle."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise DataError("text in an unexpected encoding; fetch the file again")
    return text.encode("latin1")


class _PlainUnpickler(pickle.Unpickler):
    """Reads dicts, lists, numbers, bytes and stand-ins for numpy arrays; refuses everything else.

    Not even numpy's own constructors run: a hostile array state can corrupt memory in some.
    """

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): _PickledArray,
            ("numpy", "dtype"): _PickledType,
            ("numpy.core.multiarray", "_reconstruct"): _pickled_reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): _pickled_reconstruct,
            ("numpy.core.numeric", "_frombuffer"): _pickled_frombuffer,
            ("numpy._core.numeric", "_frombuffer"): _pickled_frombuffer,
            ("_codecs", "encode"): _pickled_encode,
        }
        if (module, name) not in allowed:
            raise DataError(
                f"refused: the pickle asks for {module}.{name}, which no CIFAR batch needs; "
                "do not trust this file, fetch it again"
            )
        return allowed[module, name]


# --- folders of images --------------------------------------------------------------------------

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


def _folder(args: tuple[object, ...], options: dict[str, object], data_dir: Path | None) -> Arrays:
    """root/train/<class>/*.png and root/test (or val)/<class>/*.

    Options: `size`, to which every image is resized (pixels, square); `classes`, to keep only the
    first that many classes by name.
    """
    _options("folder", options, ("size", "classes"))
    root = _path("folder", args, data_dir) or _base(data_dir)
    size = _positive("folder", "size", options.get("size"))
    classes = _positive("folder", "classes", options.get("classes"))
    return _tree(root.name or "folder", root, size=size, classes=classes)


def _tree(name: str, root: Path, *, size: int | None, classes: int | None) -> Arrays:
    train = root / "train"
    test = next((root / n for n in ("test", "val") if (root / n).is_dir()), None)
    if not train.is_dir() or test is None:
        raise DataError(
            f"{root}: needs the folders train/ and test/ (or val/), each with a folder per class"
        )
    names = [folder.name for folder in _subfolders(train)]
    if not names:
        raise DataError(f"{train}: has no class folders; put the images of each class in its own")
    if classes is not None and classes > len(names):
        raise DataError(f"{train}: has {len(names)} class folders; `classes` asks for {classes}")
    names = names[:classes]
    missing = [n for n in names if not (test / n).is_dir()]
    extra = [f.name for f in _subfolders(test) if f.name not in names] if classes is None else []
    if missing or extra:
        where, which = (test, missing) if missing else (train, extra)
        raise DataError(f"{where}: lacks the class folder {which[0]}; train and test must agree")
    return _checked(
        name, _images(train, names, size), _images(test, names, size), where=root,
        classes=len(names),
    )  # fmt: skip


def _images(
    part: Path, names: Sequence[str], size: int | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """All images of one part: the first of every class, then the second of every class, ...

    Whole classes one after another would leave classes out of a split in file order.
    """
    listed: list[tuple[int, int, Path]] = []
    for label, name in enumerate(names):
        found = sorted(p for p in (part / name).iterdir() if p.suffix.lower() in _SUFFIXES)
        if not found:
            raise DataError(f"{part / name}: has no {'/'.join(_SUFFIXES)} images; add some")
        listed.extend((place, label, path) for place, path in enumerate(found))
    listed.sort(key=lambda entry: entry[:2])
    pictures = [_picture(path, size) for _, _, path in listed]
    height, width = pictures[0].shape[:2]
    for (_, _, path), picture in zip(listed, pictures, strict=True):
        if picture.shape[:2] != (height, width):
            raise DataError(
                f"{path}: is {picture.shape[1]}x{picture.shape[0]} pixels, others are "
                f"{width}x{height}; resize them, or say folder(..., size = {min(height, width)})"
            )
    channels = max(picture.shape[2] for picture in pictures)
    x = np.empty((len(pictures), channels, height, width), np.uint8)
    for i, picture in enumerate(pictures):
        x[i] = picture.transpose(2, 0, 1)  # a grey picture among colour ones is broadcast
    return x, np.asarray([label for _, label, _ in listed], np.int64)


def _picture(path: Path, size: int | None) -> NDArray[np.uint8]:
    """One image as (height, width, 1 or 3) bytes."""
    try:
        from PIL import Image
    except ImportError as problem:
        raise DataError(
            "folder: needs pillow; install it with: pip install 'nasdsl[data]'"
        ) from problem
    try:
        with Image.open(path) as opened:
            image = opened.convert("L" if opened.mode in ("1", "L") else "RGB")
            if size is not None and image.size != (size, size):
                shrinks = min(image.size) >= size
                filter_ = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
                image = image.resize((size, size), filter_)
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise DataError(f"{path}: not a sound image ({problem}); replace or remove it") from problem
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


# --- torchvision's names ------------------------------------------------------------------------


def _torchvision(
    args: tuple[object, ...], options: dict[str, object], data_dir: Path | None
) -> Arrays:
    """torchvision's name for a set that this module reads itself, from the same files."""
    readers: dict[object, Reader] = {
        "CIFAR10": _cifar10,
        "CIFAR100": _cifar100,
        "MNIST": _mnist,
        "FashionMNIST": _fashion_mnist,
    }
    name = args[0] if args else None
    if name not in readers:
        raise DataError(
            f"torchvision({name!r}): not read here; known: {', '.join(map(str, readers))} "
            "(convert other data to an .npz file and use npz)"
        )
    return readers[name](args[1:], options, data_dir)


Reader = Callable[[tuple[object, ...], dict[str, object], Path | None], Arrays]

READERS: Mapping[str, Reader] = {
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "digits": _digits,
    "fashion16": _fashion16,
    "fashion_mnist": _fashion_mnist,
    "folder": _folder,
    "idx": _idx,
    "mnist": _mnist,
    "npz": _npz,
    "torchvision": _torchvision,
}
