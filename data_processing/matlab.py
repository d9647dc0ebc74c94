"""Reads MATLAB's files, version 5 (scipy) and 7.3 (HDF5), with checks on size before anything is loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError

MAX_BYTES = 4 << 30


def load_mat5(path, names: list[str] | None = None) -> dict:
    """The variables of a file of version 4 to 7, structures as objects with fields (scipy's squeezed form)."""
    import scipy.io

    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES >> 30} GiB and is not read.")
        for name, shape, kind in scipy.io.whosmat(path):
            if kind not in ("cell", "struct", "object") and np.prod(shape, dtype=float) * 8 > MAX_BYTES:
                raise UserError(f"{path} claims a variable '{name}' of size {shape}; that much is not read.")
        return scipy.io.loadmat(path, variable_names=names, struct_as_record=False, squeeze_me=True)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; check the raw folder.") from None
    except NotImplementedError:
        raise UserError(f"{path} is a MATLAB 7.3 file, but this dataset has files of version 5 here.") from None
    except UserError:
        raise
    except Exception as error:
        # scipy fails in many ways on damaged files.
        raise UserError(f"{path} is not a readable MATLAB file ({error}); fetch it again.") from None


@contextlib.contextmanager
def open_mat73(path) -> Iterator:
    """A file of version 7.3 as an `h5py.File` (axes in reverse order); UserError where it is missing or damaged."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"{path} is missing; check the raw folder.") from None
    except (OSError, KeyError) as error:
        raise UserError(f"{path} is not a readable MATLAB 7.3 file ({error}); fetch it again.") from None


def read_array(dataset) -> np.ndarray:
    """A numeric array of a 7.3 file in MATLAB's order of axes."""
    if dataset.size * dataset.dtype.itemsize > MAX_BYTES:
        raise UserError(f"{dataset.file.filename} claims an array of size {dataset.shape}; that much is not read.")
    return np.asarray(dataset).T


def field(struct, name: str, path):
    """A field of a structure; UserError if the file's format is another one."""
    value = struct.get(name) if isinstance(struct, dict) else getattr(struct, name, None)
    if value is None:
        raise UserError(f"{path} has no '{name}': its format is not the one expected; is it the right file?")
    return value
