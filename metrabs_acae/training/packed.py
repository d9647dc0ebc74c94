"""Packed checkpoints: only a model's weights, small enough to be kept with a program's source.

Beside `packed.json` there are `weights-1.npz`, ...: kernels in half precision, vectors (biases, statistics) as they
are. An array that equals one of this project's own backbone weights is not stored again: `packed.json` says which it
is. `checkpoints.read` reads such a folder like any other checkpoint, in single precision.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json, write_npz
from metrabs_acae.models.backbones.record import asset

INDEX = "packed.json"
PART_BYTES = 15_000_000
"""Largest size of a file, unless a single array is larger."""


def write(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes the arrays of a checkpoint, by variable name, into a new folder."""
    known = _assets()
    of_asset = {name: known[key] for name, a in arrays.items() if (key := _content(a)) in known}
    parts, size = [{}], 0
    for name, array in arrays.items():
        if name in of_asset:
            continue
        array = _smaller(array)
        size += array.nbytes + 512  # the header of an array in a file
        if size > PART_BYTES and parts[-1]:
            parts.append({})
            size = array.nbytes + 512
        parts[-1][name] = array
    files = {f"weights-{i}.npz": part for i, part in enumerate(parts, 1)}
    folder.mkdir(parents=True)
    for file, part in files.items():
        write_npz(folder / file, part)
    (folder / INDEX).write_text(json.dumps({"parts": list(files), "of_asset": of_asset}, indent=1) + "\n")


def read(folder: Path) -> dict[str, np.ndarray]:
    """What `write` was given, kernels rounded; OSError, ValueError, KeyError, BadZipFile or UserError if damaged."""
    index, arrays, sources = load_json(folder / INDEX), {}, {}
    for file in index["parts"]:
        with np.load(folder / file, allow_pickle=False) as part:
            arrays.update({name: _single(part[name]) for name in part.files})
    for name, (file, key) in index["of_asset"].items():
        if file not in sources:
            sources[file] = np.load(asset(file), allow_pickle=False)
        arrays[name] = _single(sources[file][key])
    return arrays


def _assets() -> dict[tuple, tuple[str, str]]:
    """Contents of all arrays in the project's backbone weights -> (file, name)."""
    found = {}
    for path in sorted(asset("blazepose_full.npz").parent.glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            found.update({_content(_single(arrays[name])): (path.name, name) for name in arrays.files})
    return found


def _content(array: np.ndarray) -> tuple:
    return array.shape, array.dtype.str, array.tobytes()


def _smaller(array: np.ndarray) -> np.ndarray:
    if array.ndim < 2 or array.dtype != np.float32:
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        raise UserError("The model has weights above 65504 or not finite, which half precision cannot hold.")
    return half


def _single(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float16 else array
