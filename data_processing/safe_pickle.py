"""Reads pickles of the datasets (also those of Python 2) without running what is in them.

A pickle is a program: loading it the usual way lets it call any function. Here it may only build NumPy arrays and plain
containers; anything else is an error. The interpreter is Python's own one in Python: the C one allocates what a hostile
file asks for.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError

MAX_BYTES = 4 << 30


def load_pickle(path):
    """The contents of a pickle file that holds NumPy arrays and plain Python values; UserError for anything else."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES >> 30} GiB and is not read.")
        with open(path, "rb") as file:
            return _Unpickler(file, path).load()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the raw folder.") from None
    except UserError:
        raise
    except Exception as error:
        # A damaged file makes the interpreter fail in any place.
        raise UserError(f"{path} is not a readable pickle ({type(error).__name__}: {error}); fetch it again.") from None


def loads(data: bytes, name: str = "the pickle"):
    """As `load_pickle`, from memory."""
    return _Unpickler(io.BytesIO(data), name).load()


class _ArrayType:
    """Stands for `numpy.ndarray`, which a pickle may name but not call."""


def _empty_array(subtype, shape, dtype):
    """NumPy's `_reconstruct`, which pickles call with an empty shape before they set the contents."""
    if subtype is not _ArrayType or tuple(shape) not in ((0,), ()):
        raise pickle.UnpicklingError("an array of unusual type or size")
    return np.ndarray(tuple(shape), dtype)


def _scalar(dtype, data=None):
    if not isinstance(dtype, np.dtype) or dtype.hasobject or not isinstance(data, bytes | str):
        raise pickle.UnpicklingError("an unusual NumPy scalar")
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, dtype, 1)[0]


def _dtype(*args):
    """A dtype from its code; those that NumPy would build from other objects are refused."""
    if not args or not isinstance(args[0], str) or len(args[0]) > 16:
        raise pickle.UnpicklingError("an unusual dtype")
    return np.dtype(*args)


def _bytes(data=b""):
    if not isinstance(data, bytes):
        raise pickle.UnpicklingError("bytes from something else")
    return data


def _encode(text, encoding):
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise pickle.UnpicklingError(f"text in {encoding}")
    return text.encode(encoding)


def _from_buffer(buffer, dtype, shape, order):
    return np.frombuffer(bytes(buffer), dtype).reshape(shape, order=order)


_NUMPY_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_ADMITTED = {
    **{(m, "_reconstruct"): _empty_array for m in _NUMPY_MULTIARRAY},
    **{(m, "scalar"): _scalar for m in _NUMPY_MULTIARRAY},
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _dtype,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): lambda *args: defaultdict(None),
    **{(m, t): _bytes for m in ("builtins", "__builtin__") for t in ("bytes", "bytearray")},
    **{
        (m, t.__name__): t
        for m in ("builtins", "__builtin__")
        for t in (set, frozenset, complex, list, dict, tuple, slice)
    },
}


class _Unpickler(pickle._Unpickler):
    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, file, name):
        super().__init__(file, encoding="latin1")
        self._name = name

    def find_class(self, module: str, name: str):
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise UserError(
                f"{self._name} holds a {module}.{name}, but only NumPy arrays and plain values are admitted."
            ) from None

    def load_build(self):
        # Only arrays and their types have a state to set; never a class or function.
        if not isinstance(self.stack[-2], np.ndarray | np.dtype):
            raise pickle.UnpicklingError("an object with a state of its own")
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build
