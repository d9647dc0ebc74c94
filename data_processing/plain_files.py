"""The plain files of the small commands: named arrays (.npz, .json), cameras, boxes; written whole or not at all."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from metrabs_acae.data.lens import Lens
from metrabs_acae.data.records import CameraParams, check_camera
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json, replacing

MAX_BYTES = 4 << 30
CAMERA_FIELDS = ("K", "R", "position_mm")


def read_arrays(path, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """Numeric arrays by name from an .npz file, or from a .json file {name: nested lists} where null is NaN.

    Sizes are checked before anything is allocated, and nothing pickled is read.

    Raises:
        UserError: the file is missing, damaged or too large, or lacks a required array.
    """
    path, required = Path(path), tuple(required)
    wanted = (*required, *optional)
    arrays = _read_npz(path, wanted) if path.suffix == ".npz" else _read_json_arrays(path, wanted)
    missing = [name for name in required if name not in arrays]
    if missing:
        raise UserError(f"{path} lacks the array {', '.join(missing)}; it should hold {', '.join(required)}.")
    return arrays


def _read_npz(path: Path, wanted: Iterable[str]) -> dict[str, np.ndarray]:
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            for name in wanted:
                if f"{name}.npy" in names:
                    with archive.open(f"{name}.npy") as file:
                        arrays[name] = _read_npy(file)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise UserError(f"{path} is not a readable .npz file ({error}).") from None
    return arrays


def _read_npy(file) -> np.ndarray:
    """One member of an .npz file; ValueError where its header asks for too much or for something not numeric."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"array format {version} is unknown")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    if dtype.kind not in "biuf":
        raise ValueError(f"an array holds {dtype}, not numbers")
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        raise ValueError(f"an array of shape {shape} is more than {MAX_BYTES >> 30} GiB")
    data = file.read(size + 1)
    if len(data) != size:
        raise ValueError("an array is cut off or longer than it says")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _read_json_arrays(path: Path, wanted: Iterable[str]) -> dict[str, np.ndarray]:
    data = read_json(path, dict)
    arrays = {}
    for name in wanted:
        if name in data:
            try:
                arrays[name] = np.array(data[name], np.float64)  # None becomes NaN
            except (ValueError, TypeError):
                raise UserError(f"{path}: '{name}' is not an array of numbers (missing ones are null).") from None
    return arrays


def write_arrays(path, arrays: dict[str, np.ndarray]) -> None:
    """Writes named arrays as .npz, or as .json where the path ends so; the file appears when complete."""
    path = Path(path)
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_whole(path, buffer.getvalue())
    else:
        write_json(path, {name: np.asarray(value).tolist() for name, value in arrays.items()})


def write_json(path, data) -> None:
    """Writes JSON, with what JSON has no word for (NaN) refused; the file appears when complete."""
    write_whole(path, (json.dumps(data, allow_nan=False) + "\n").encode())


def write_whole(path, data: bytes) -> None:
    """Writes a file under a temporary name and renames it; UserError where the place cannot be written to."""
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}).") from None


def check_suffix(path, suffixes: tuple[str, ...] = (".npz", ".json")) -> None:
    """UserError for an output file of an ending that no command writes, before any work is done."""
    if Path(path).suffix not in suffixes:
        raise UserError(f"The output {path} should end in {' or '.join(suffixes)}.")


def camera_from_json(data, where: str) -> CameraParams:
    """The camera {"K", "R", "position_mm"[, "lens", "up"]}, in the form of docs/own-data.md; checked.

    `lens` is {"model", "coefficients"}; in its place `distortion` may stand, a list of Brown-Conrady coefficients.
    """
    if not isinstance(data, dict) or any(name not in data for name in CAMERA_FIELDS):
        raise UserError(f"{where}: a camera is an object with {', '.join(CAMERA_FIELDS)} (and lens, up).")
    try:
        up = data.get("up") or (0.0, 0.0, 1.0)
        lens = Lens.from_json(data.get("lens", data.get("distortion")))
        return check_camera(CameraParams(data["R"], data["position_mm"], data["K"], lens, up))
    except UserError as error:
        raise UserError(f"{where}: {error}.") from None
    except (ValueError, TypeError):
        raise UserError(f"{where}: the camera's {', '.join(CAMERA_FIELDS)} must be arrays of numbers.") from None


def camera_to_json(camera: CameraParams) -> dict:
    """What `camera_from_json` reads."""
    return {
        "K": np.asarray(camera.K, np.float64).tolist(),
        "R": np.asarray(camera.R, np.float64).tolist(),
        "position_mm": np.asarray(camera.optical_center_mm, np.float64).tolist(),
        "lens": camera.lens.to_json(),
        "up": np.asarray(camera.world_up, np.float64).tolist(),
    }


def check_box_list(data, where: str, columns: tuple[int, ...] = (4,)) -> np.ndarray:
    """[N, 4 or 5] boxes from nested lists; UserError unless they are that, finite and of positive size."""
    try:
        table = np.array(data, np.float64)
    except (ValueError, TypeError):
        table = np.zeros(1)
    if table.size == 0:
        return np.zeros((0, columns[0]))
    if table.ndim != 2 or table.shape[1] not in columns or not np.isfinite(table).all() or (table[:, 2:4] <= 0).any():
        expected = "left, top, width, height" + (", score" if 5 in columns else "")
        raise UserError(f"{where}: expected a list of boxes [{expected}] with positive sizes.")
    return table
