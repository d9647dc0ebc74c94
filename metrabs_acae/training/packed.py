"""Packed checkpoints: only a model's weights, small enough to be kept with a program's source.

Beside `packed.json` there are `weights-1.npz`, ...: kernels in 16 bits, as multiples of a step for each output channel
(the first packs have half precision, which is as large and coarser), vectors (biases, statistics) as they are. An array
that equals one of this project's own backbone weights is not stored again: `packed.json` says which it is.
`checkpoints.read` reads such a folder like any other checkpoint, in single precision.
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
STEP = ":step"
"""Ending of the names of the sizes of steps."""
STEPS = 2**15 - 1


def write(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes the arrays of a checkpoint, by variable name, into a new folder."""
    known = _assets()
    of_asset = {name: known[key] for name, a in arrays.items() if (key := _content(a)) in known}
    parts, size = [{}], 0
    for name, array in arrays.items():
        if name in of_asset:
            continue
        stored = _smaller(array)
        n_bytes = sum(a.nbytes + 512 for a in stored.values())  # the header of an array in a file
        size += n_bytes
        if size > PART_BYTES and parts[-1]:
            parts.append({})
            size = n_bytes
        parts[-1].update({name + ending: a for ending, a in stored.items()})
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
            steps = {name.removesuffix(STEP): part[name] for name in part.files if name.endswith(STEP)}
            names = [name for name in part.files if not name.endswith(STEP)]
            arrays.update({name: _single(part[name], steps.get(name)) for name in names})
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


def _smaller(array: np.ndarray) -> dict[str, np.ndarray]:
    """What stands for an array, by what is added to its name: kernels as 16-bit steps, and the steps' sizes."""
    if array.ndim < 2 or array.dtype != np.float32:
        return {"": array}
    if not np.isfinite(array).all():
        raise UserError("The model has weights that are not finite.")
    channels = array.ndim - (2 if array.shape[-1] == 1 else 1)  # of depthwise kernels the last axis is 1
    others = tuple(axis for axis in range(array.ndim) if axis != channels)
    step = np.maximum(np.abs(array).max(axis=others, keepdims=True) / STEPS, np.finfo(np.float32).tiny)
    return {"": np.round(array / step).clip(-STEPS, STEPS).astype(np.int16), STEP: step}


def _single(array: np.ndarray, step: np.ndarray | None = None) -> np.ndarray:
    if step is not None:
        return array.astype(np.float32) * step
    return array.astype(np.float32) if array.dtype == np.float16 else array
