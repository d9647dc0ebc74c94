"""Reads weights that `torch.save` wrote before version 1.6, without torch and without running what is in the file."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np

from metrabs_acae import safe_pickle
from metrabs_acae.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "LongStorage": "<i8"}


def read_torch_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Name -> array, of a state dict. UserError for a file of another format, or one that would do anything else.

    The file is five pickles (magic number, version, sizes of types, the state dict, the list of storages), then of each
    storage its count as int64 and its numbers.
    """
    try:
        with open(path, "rb") as file:
            magic, _, _, tensors, keys = (_Unpickler(file, path).load() for _ in range(5))
            if magic != MAGIC:
                raise UserError(f"{path} is not a torch file.")
            counts = {tensor.key: (tensor.dtype, tensor.count) for tensor in tensors.values()}
            storages = {}
            for key in keys:
                dtype, count = counts[key]
                if int(np.fromfile(file, "<i8", 1)[0]) != count:
                    raise UserError(f"{path} is damaged: a storage has another length than its tensor says.")
                storages[key] = np.fromfile(file, dtype, count)
        return {name: tensor.array(storages[tensor.key]) for name, tensor in tensors.items()}
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from None
    except UserError:
        raise
    except Exception as error:  # a damaged file fails in any place
        raise UserError(f"{path} is not a torch file of the old format ({type(error).__name__}: {error}).") from None


class _Tensor:
    """A tensor as the pickle has it: a view of a storage that comes later in the file."""

    def __init__(self, storage, offset, shape, strides, *_):
        _, kind, self.key, _, self.count, view = storage
        if view is not None:
            raise ValueError("a storage that is a part of another")
        self.dtype, self.offset, self.shape, self.strides = _DTYPES[kind], int(offset), shape, strides

    def array(self, storage):
        reach = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)) + 1
        if self.offset < 0 or min((0, *self.strides)) < 0 or (0 not in self.shape and reach > len(storage)):
            raise ValueError("a tensor reaches beyond its storage")
        strides = [s * storage.itemsize for s in self.strides]
        return np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, strides).copy()


class _Unpickler(safe_pickle.Unpickler):
    dispatch = dict(safe_pickle.Unpickler.dispatch)

    def find_class(self, module, name):
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _DTYPES:
            return name
        return super().find_class(module, name)

    def persistent_load(self, pid):
        return pid

    def load_build(self):
        if isinstance(self.stack[-2], OrderedDict):  # versions of modules, of no use here
            self.stack.pop()
        else:
            super().load_build()

    dispatch[b"b"[0]] = load_build
