"""Reads the pickles of CIFAR without running any code that is stored in them."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

from nasdsl.training.data.arrays import DataError


class _PickledType:
    """Stands for a numpy dtype in a pickle: only its code, such as `u1`, is kept."""

    __slots__ = ("code",)

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code

    def __setstate__(self, state: object) -> None:
        pass  # byte order and fields do not matter for bytes


class PickledArray:
    """Stands for a numpy array in a pickle: its raw bytes, not yet trusted."""

    __slots__ = ("dtype", "fortran", "raw")

    def __init__(self, raw: object = None, dtype: object = None, fortran: bool = False) -> None:
        self.raw = raw
        self.dtype = dtype.code if isinstance(dtype, _PickledType) else None
        self.fortran = fortran

    def __setstate__(self, state: tuple[object, ...]) -> None:
        _version, _shape, dtype, fortran, raw = state
        self.__init__(raw, dtype, bool(fortran))  # type: ignore[misc]


def _reconstruct(*_: object) -> PickledArray:
    return PickledArray()


def _frombuffer(raw: object, dtype: object, _shape: object, order: object) -> PickledArray:
    return PickledArray(raw, dtype, order != "C")


def _encode(text: object, encoding: object = b"latin1") -> bytes:
    """How Python 3 writes bytes into an old-protocol pickle."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise DataError("text in an unexpected encoding; fetch the file again")
    return text.encode("latin1")


#: Opcodes that no CIFAR batch needs, or whose cost a few bytes can make unbounded.
_REFUSED = (
    pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.PERSID, pickle.BINPERSID,
    pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET,
    pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.LONG, pickle.INT,
)  # fmt: skip


def _refuse(unpickler: Any) -> None:
    raise DataError("the pickle has an instruction that no CIFAR batch needs; fetch it again")


def _item(unpickler: Any) -> None:
    _plain(unpickler.stack[-2:-1])
    pickle._Unpickler.dispatch[pickle.SETITEM[0]](unpickler)  # type: ignore[attr-defined]


def _items(unpickler: Any) -> None:
    _plain(unpickler.stack[::2])
    pickle._Unpickler.dispatch[pickle.SETITEMS[0]](unpickler)  # type: ignore[attr-defined]


def _dict(unpickler: Any) -> None:
    _plain(unpickler.stack[::2])
    pickle._Unpickler.dispatch[pickle.DICT[0]](unpickler)  # type: ignore[attr-defined]


def _plain(keys: list[Any]) -> None:
    """Refuse keys that are no names: the hash of tuples in tuples can take for ever."""
    if not all(isinstance(key, str | bytes | int) for key in keys):
        raise DataError("a key in the pickle is no name; fetch the file again")


class PlainUnpickler(pickle._Unpickler):  # type: ignore[name-defined,misc]
    """Reads dicts, lists, numbers, bytes and stand-ins for numpy arrays; refuses everything else.

    Not even numpy's own constructors run: a hostile array state can corrupt memory in some. It is
    the unpickler in Python: the one in C makes room for what a length or a place in its memo
    promises, before it looks whether there is anything.
    """

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,  # type: ignore[attr-defined]
        **{code[0]: _refuse for code in _REFUSED},
        pickle.SETITEM[0]: _item,
        pickle.SETITEMS[0]: _items,
        pickle.DICT[0]: _dict,
    }

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): PickledArray,
            ("numpy", "dtype"): _PickledType,
            ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
            ("numpy.core.numeric", "_frombuffer"): _frombuffer,
            ("numpy._core.numeric", "_frombuffer"): _frombuffer,
            ("_codecs", "encode"): _encode,
        }
        if (module, name) not in allowed:
            raise DataError(
                f"refused: the pickle asks for {module}.{name}, which no CIFAR batch needs; "
                "do not trust this file, fetch it again"
            )
        return allowed[module, name]
