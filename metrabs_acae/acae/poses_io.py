"""Sets of poses to fit an autoencoder to: checking arrays, reading files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import map_npz_array
from metrabs_acae.joint_names import read_names

_CHUNK_VALUES = 16_000_000
NEAREST_MM = 100.0
"""Joints closer to the camera plane than this have no useful image position."""


@dataclass(frozen=True)
class PoseSet:
    """K poses of J joints, mm, camera frame.

    Attributes:
        poses_mm: [K, J, 3]; memory-mapped where the file allows.
        joint_names: J names.
        provenance: where the poses come from; plain types.
    """

    poses_mm: np.ndarray
    joint_names: tuple[str, ...]
    provenance: dict = field(default_factory=dict)

    @property
    def unit_is_known(self) -> bool:
        """Whether the poses are in mm, whatever their size: pseudo-labels, and files that say so (``"unit": "mm"``)."""
        return self.provenance.get("unit") == "mm" or "mirrored" in self.provenance


def load_poses(path: str | Path) -> PoseSet:
    """Reads `poses` [K, J, 3] and `joint_names` [J] (and `provenance`, JSON text) from an .npz or HDF5 file.

    Uncompressed .npz files and contiguous HDF5 datasets are memory-mapped, so any size will do.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no pose file {path}; expected an .npz or .h5 with arrays 'poses' and 'joint_names'.")
    try:
        names, poses, joint_names, provenance = (_read_hdf5 if path.suffix in (".h5", ".hdf5") else _read_npz)(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{path} cannot be read as an .npz or HDF5 file of plain arrays.") from None
    if poses is None or joint_names is None:
        raise UserError(
            f"{path} must hold arrays 'poses' [K, J, 3] and 'joint_names' [J]; it holds {', '.join(names)}."
        )
    names = read_names(joint_names, f"joint_names of {path}")
    try:
        return PoseSet(poses, names, json.loads(provenance) if provenance else {})
    except ValueError:
        raise UserError(f"The provenance in {path} is not JSON; leave it out or mend it.") from None


def check_poses(poses_mm: np.ndarray, joint_names: Sequence[str]) -> None:
    """Raises UserError for arrays that are not finite poses [K, J, 3]. Reads them once, in pieces."""
    shape = np.shape(poses_mm)
    if len(shape) != 3 or shape[2] != 3 or shape[1] != len(joint_names):
        raise UserError(
            f"Poses must be an array [K, {len(joint_names)}, 3] for {len(joint_names)} joint names, got {list(shape)}."
        )
    if not shape[0]:
        raise UserError("There is no pose in the array; the autoencoder needs some thousands.")
    if poses_mm.dtype.kind not in "fiu":
        raise UserError(f"Poses must be numbers, got the type {poses_mm.dtype}.")
    for start, chunk in chunks(poses_mm):
        finite = np.isfinite(chunk).all(axis=(1, 2))
        if not finite.all():
            raise UserError(
                f"Pose {start + int(np.argmin(finite))} has a coordinate that is NaN or infinite; leave such poses out."
            )


def usable_rows(poses_mm: np.ndarray, loss_space: str) -> np.ndarray:
    """Rows whose joints all lie in front of the camera, if the loss compares image positions; else all rows.

    Raises:
        UserError: if that is less than half of them.
    """
    if loss_space != "image":
        return np.arange(len(poses_mm))
    front = np.concatenate([(chunk[..., 2] > NEAREST_MM).all(axis=1) for _, chunk in chunks(poses_mm)])
    if front.mean() < 0.5:
        raise UserError(
            f"Only {front.sum()} of {len(front)} poses lie wholly in front of the camera (z > {NEAREST_MM:g} mm), "
            "which the image loss needs; give absolute camera-frame poses or set loss_space='3d'."
        )
    return np.flatnonzero(front)


def sample_poses(poses_mm: np.ndarray, count: int, rows: np.ndarray | None = None) -> np.ndarray:
    """At most `count` poses spread evenly over `rows` (default: all), float64."""
    rows = np.arange(len(poses_mm)) if rows is None else rows
    if len(rows) > count:
        rows = rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]
    return np.asarray(poses_mm[rows], np.float64)


def chunks(poses_mm: np.ndarray):
    """(first row, rows) pieces of an array, each at most about 64 MB of float32."""
    size = max(1, _CHUNK_VALUES // max(1, int(np.prod(poses_mm.shape[1:]))))
    for start in range(0, len(poses_mm), size):
        yield start, np.asarray(poses_mm[start : start + size])


def _read_npz(path: Path):
    with np.load(path, allow_pickle=False) as arrays:
        names = list(arrays)
        joint_names = arrays["joint_names"] if "joint_names" in names else None
        provenance = str(arrays["provenance"]) if "provenance" in names else ""
    return names, map_npz_array(path, "poses") if "poses" in names else None, joint_names, provenance


def _read_hdf5(path: Path):
    import h5py

    with h5py.File(path, "r") as file:
        names = list(file)
        joint_names = file["joint_names"][()] if "joint_names" in names else None
        provenance = file["provenance"][()].decode() if "provenance" in names else ""
        poses = None
        if "poses" in names:
            dataset = file["poses"]
            offset = dataset.id.get_offset()
            if offset is not None and dataset.shape[0]:
                poses = np.memmap(path, dtype=dataset.dtype, mode="r", offset=offset, shape=dataset.shape)
            else:
                poses = dataset[()]
    return names, poses, joint_names, provenance
