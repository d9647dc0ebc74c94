"""Cameras as people write them down: K with R and the position, with R and t, or a 3 x 4 projection matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_processing.json_files import read_json
from data_processing.plain_files import camera_from_json
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

WAYS = '"K", "R" and "position_mm"; "K", "R" and "t"; or "P"'


def read_cameras(path, *, mm_per_unit: float = 1.0) -> dict[str, CameraParams]:
    """Cameras by name from JSON {name: camera}; one camera alone counts for all pictures, under the name "".

    A camera is {"K", "R", "position_mm"} (world to camera, mm), {"K", "R", "t"} with x_camera = R x_world + t, or
    {"P"} with a 3 x 4 matrix from world to pixels; with "lens" or "distortion" and "up" as in docs/own-data.md.

    Args:
        mm_per_unit: of `t` and `P`, millimetres in a unit of their lengths.
    """
    data = read_json(Path(path), dict)
    if data and not any(isinstance(value, dict) for value in data.values()):
        data = {"": data}
    elif {"K", "P"} & data.keys():
        data = {"": data}
    return {str(name): _camera(value, f"{path}, camera '{name}'", mm_per_unit) for name, value in data.items()}


def _camera(data, where: str, mm_per_unit: float) -> CameraParams:
    if not isinstance(data, dict):
        raise UserError(f"{where}: a camera is an object with {WAYS}.")
    rest = {name: data[name] for name in ("lens", "distortion", "up") if name in data}
    if "P" in data:
        K, R, position = decompose(_array(data["P"], (3, 4), where, "P"), where)
        return camera_from_json({"K": K, "R": R, "position_mm": position * mm_per_unit, **rest}, where)
    if "t" in data and "position_mm" not in data and "R" in data and "K" in data:
        R = _array(data["R"], (3, 3), where, "R")
        t = _array(data["t"], (3,), where, "t")
        return camera_from_json({"K": data["K"], "R": R, "position_mm": -R.T @ t * mm_per_unit, **rest}, where)
    if not {"K", "R", "position_mm"} <= data.keys():
        raise UserError(f"{where}: a camera is an object with {WAYS}.")
    return camera_from_json(data, where)


def decompose(P: np.ndarray, where: str = "P") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K [3, 3], R [3, 3] and the position [3] of a projection matrix [3, 4] (Hartley and Zisserman, 6.2.4)."""
    from scipy.linalg import rq

    M = P[:, :3]
    if abs(np.linalg.det(M)) <= 1e-12 * np.abs(M).max() ** 3 or not np.isfinite(P).all():
        raise UserError(f"{where}: P has no camera in it, its left 3 x 3 part is singular.")
    if np.linalg.det(M) < 0:  # the same projection, with what is seen in front
        P, M = -P, -M
    K, R = rq(M)
    signs = np.diag(np.sign(np.diag(K)))
    K, R = K @ signs, signs @ R
    K = K / K[2, 2]
    K[np.abs(K) < 1e-9 * K[0, 0]] = 0
    return K, R, -np.linalg.solve(M, P[:, 3])


def _array(value, shape: tuple[int, ...], where: str, name: str) -> np.ndarray:
    try:
        array = np.array(value, np.float64)
        array = array.reshape(shape) if array.size == np.prod(shape) else array
    except (ValueError, TypeError):
        array = np.zeros(0)
    if array.shape != shape or not np.isfinite(array).all():
        raise UserError(f"{where}: {name} must be {' x '.join(map(str, shape))} numbers.")
    return array
