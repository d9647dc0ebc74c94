"""Reads pickles (also those of Python 2) without running what is in them.

A pickle is a program: loading it the usual way lets it call any function. Here it may only build NumPy arrays and plain
containers; anything else is an error, or becomes a `StandIn` where the caller expects objects of some library: what the
pickle says of the object, without the library and its code. The interpreter is Python's own one in Python: the C one
allocates what a hostile file asks for.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError

MAX_BYTES = 4 << 30
FORGOTTEN_BYTES = 1 << 14


class StandIn:
    """In place of an object of a library that is not imported.

    Attributes:
        kind: the full name of its class, or of the function that would make it.
        args: what that would be called with.
        state: what the object would be given afterwards (mostly its attributes as a dict), or None.
    """

    kind = ""

    def __new__(cls, *args):
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __init__(self, *args):
        pass


def load_pickle(path, *, stand_ins: tuple[str, ...] = (), skip_array: Callable[[tuple], bool] | None = None):
    """The contents of a pickle file that holds NumPy arrays and plain Python values; UserError for anything else.

    Args:
        stand_ins: libraries (with all of their modules) whose objects become a `StandIn`.
        skip_array: arrays for whose shape this is true are read over and become empty: what is not wanted takes no
            memory.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES >> 30} GiB and is not read.")
        with open(path, "rb") as file:
            return Unpickler(file, path, stand_ins, skip_array).load()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the raw folder.") from None
    except UserError:
        raise
    except Exception as error:
        # A damaged file makes the interpreter fail in any place.
        raise UserError(f"{path} is not a readable pickle ({type(error).__name__}: {error}); fetch it again.") from None


def loads(data: bytes, name: str = "the pickle"):
    """As `load_pickle`, from memory."""
    return Unpickler(io.BytesIO(data), name).load()


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


def _reconstruct(cls, base, state):
    """How Python 2 makes an object of a class without a constructor."""
    if not (isinstance(cls, type) and issubclass(cls, StandIn)) or base is not object or state is not None:
        raise pickle.UnpicklingError("an object of unusual type")
    return cls()


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
    **{(m, "_reconstructor"): _reconstruct for m in ("copyreg", "copy_reg")},
    **{(m, "object"): object for m in ("builtins", "__builtin__")},
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): lambda *args: defaultdict(None),
    **{(m, t): _bytes for m in ("builtins", "__builtin__") for t in ("bytes", "bytearray")},
    **{
        (m, t.__name__): t
        for m in ("builtins", "__builtin__")
        for t in (set, frozenset, complex, list, dict, tuple, slice)
    },
}


class Unpickler(pickle._Unpickler):
    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, file, name, stand_ins: tuple[str, ...] = (), skip_array: Callable[[tuple], bool] | None = None):
        super().__init__(file, encoding="latin1")
        self._name = name
        self._stand_ins = stand_ins
        self._skip_array = skip_array
        self._made: dict[str, type] = {}

    def find_class(self, module: str, name: str):
        if (module, name) in _ADMITTED:
            found = _ADMITTED[module, name]
            return self._from_buffer if found is _from_buffer else found
        if any(module == m or module.startswith(m + ".") for m in self._stand_ins):
            kind = f"{module}.{name}"
            return self._made.setdefault(kind, type(name, (StandIn,), {"kind": kind}))
        raise UserError(f"{self._name} holds a {module}.{name}, but only NumPy arrays and plain values are admitted.")

    def _from_buffer(self, buffer, dtype, shape, order):
        if self._skip_array and self._skip_array(shape):
            return np.empty(0, dtype)
        return _from_buffer(buffer, dtype, shape, order)

    def load_build(self):
        # Only arrays and their types have a state to set; never a class or function.
        instance, state = self.stack[-2:]
        if isinstance(instance, StandIn):
            instance.state = self.stack.pop()
        elif isinstance(instance, np.ndarray) and self._skip_array and self._skip_array(state[1]):
            self.stack.pop()
        elif isinstance(instance, np.ndarray | np.dtype):
            super().load_build()
        else:
            raise pickle.UnpicklingError("an object with a state of its own")

    # The bytes of an array that is skipped must not stay in the memory of things to refer to.

    def load_memoize(self):
        self.memo[len(self.memo)] = self._remembered()

    def load_put(self):
        self.memo[int(self.readline()[:-1])] = self._remembered()

    def load_binput(self):
        self.memo[self.read(1)[0]] = self._remembered()

    def load_long_binput(self):
        self.memo[int.from_bytes(self.read(4), "little")] = self._remembered()

    def _remembered(self):
        value = self.stack[-1]
        parts = value if isinstance(value, tuple) else (value,)
        if self._skip_array and any(isinstance(v, bytes | str | bytearray) and len(v) > FORGOTTEN_BYTES for v in parts):
            return None
        return value

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.MEMOIZE[0]] = load_memoize
    dispatch[pickle.PUT[0]] = load_put
    dispatch[pickle.BINPUT[0]] = load_binput
    dispatch[pickle.LONG_BINPUT[0]] = load_long_binput
