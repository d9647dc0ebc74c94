"""Predicted poses on disk and in memory: the file format that `--predict` writes and `--evaluate` reads.

A prediction file is an ``.npz`` archive of plain arrays (no pickled objects), one row per predicted person:

| key | shape, type | meaning |
|---|---|---|
| ``poses3d_mm`` | [P, J, 3] float | joints in the camera frame (x right, y down, z forward), millimetres |
| ``joint_names`` | [J] text | names of the joints, e.g. ``lhip_h36m``; without any suffix also understood |
| ``sequence`` | [P] text | the benchmark's name of the sequence (and camera, if it has several) |
| ``frame`` | [P] integer | the frame's number in the sequence, as the benchmark counts |
| ``person`` | [P] integer, optional | identity; absent: people of a frame are numbered in the order of the rows |
| ``poses2d_px`` | [P, J, 2] float, optional | joints in image pixels; benchmarks that match people in 2D need it |
| ``score`` | [P] float, optional | confidence; where a benchmark wants one person per frame, the highest counts |
| ``metadata`` | text, optional | a JSON object: model, detector, test-time augmentation, date, ... |

A frame without people has no rows.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import replacing
from metrabs_acae.geometry.body_size import require_mm
from metrabs_acae.joint_names import read_names, read_texts

REQUIRED = ("poses3d_mm", "joint_names", "sequence", "frame")
OPTIONAL = ("person", "poses2d_px", "score", "metadata")


@dataclass(frozen=True)
class Predictions:
    """Predicted people; the fields are the file's keys (see the module's text).

    Raises:
        UserError: arrays that do not fit together, identities that occur twice, poses whose size says another unit than
            millimetres, unless the metadata note ``"unit": "mm"`` (predictions may be of any size).
    """

    poses3d_mm: np.ndarray
    joint_names: tuple[str, ...]
    sequence: np.ndarray
    frame: np.ndarray
    person: np.ndarray | None = None
    poses2d_px: np.ndarray | None = None
    score: np.ndarray | None = None
    metadata: Mapping = field(default_factory=dict)

    def __post_init__(self):
        poses = numbers("poses3d_mm", self.poses3d_mm, (None, None, 3))
        n, n_joints = poses.shape[:2]
        names = read_names(texts("joint_names", self.joint_names, n_joints), "joint_names")
        if len(set(names)) != n_joints:
            raise UserError("joint_names names a joint twice; every joint needs a name of its own.")
        sequence, frame = texts("sequence", self.sequence, n), integers("frame", self.frame, n)
        if self.person is None:
            person = count_within_groups(sequence, frame)
        else:
            person = integers("person", self.person, n)
        twice = first_duplicate(sequence, frame, person)
        if twice is not None:
            raise UserError(
                f"Person {person[twice]} of frame {frame[twice]} of sequence '{sequence[twice]}' occurs twice; "
                "give every person of a frame a number of its own, or leave `person` out."
            )
        optional = {"poses2d_px": (n, n_joints, 2), "score": (n,)}
        for key, shape in optional.items():
            if getattr(self, key) is not None:
                object.__setattr__(self, key, numbers(key, getattr(self, key), shape))
        if not self._unit_is_noted():
            require_mm("poses3d_mm", poses, names)
        for key, value in {"poses3d_mm": poses, "sequence": sequence, "frame": frame, "person": person}.items():
            object.__setattr__(self, key, value)
        object.__setattr__(self, "joint_names", names)

    def _unit_is_noted(self) -> bool:
        """Whether the metadata say mm, or are of --predict from before it noted that; UserError for another unit."""
        unit = self.metadata.get("unit", "mm" if "antialias_factor" in self.metadata else "")
        if unit not in ("", "mm"):
            raise UserError(f"The metadata say that the unit is '{unit}'; millimetres (mm) are expected.")
        return bool(unit)

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, index) -> Predictions:
        """The people at `index` (integers or a mask)."""
        arrays = ("poses3d_mm", "sequence", "frame", "person", "poses2d_px", "score")
        taken = {k: getattr(self, k)[index] for k in arrays if getattr(self, k) is not None}
        return replace(self, **taken)

    def select_joints(self, names: Sequence[str]) -> Predictions:
        """The same people with the joints `names`, in that order.

        Other joints are left out. Names are compared exactly, or, if no joint of the predictions has a suffix,
        without the suffix.

        Raises:
            UserError: a joint is not predicted.
        """
        index = joint_positions(self.joint_names, names, "The predictions have")
        poses2d = None if self.poses2d_px is None else self.poses2d_px[:, index]
        return replace(self, poses3d_mm=self.poses3d_mm[:, index], joint_names=tuple(names), poses2d_px=poses2d)


def save_predictions(path: str | os.PathLike, predictions: Predictions) -> None:
    """Writes a prediction file; it appears under its name only when complete."""
    arrays = {k: getattr(predictions, k) for k in REQUIRED + OPTIONAL if getattr(predictions, k) is not None}
    arrays["joint_names"] = np.array(predictions.joint_names, str)
    arrays["metadata"] = np.array(json.dumps(dict(predictions.metadata)))
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def load_predictions(path: str | os.PathLike) -> Predictions:
    """Reads a prediction file, ours or others'. Keys that the format does not know are ignored.

    Raises:
        UserError: no such file, not an ``.npz`` archive, broken, pickled objects inside, keys missing, or contents that
            `Predictions` refuses.
    """
    arrays = load_arrays(path, REQUIRED, OPTIONAL, kind="prediction file")
    try:
        metadata = json.loads(str(arrays.pop("metadata", "{}"))) or {}
    except json.JSONDecodeError as e:
        raise UserError(f"The metadata of prediction file '{path}' are not JSON ({e}).") from None
    if not isinstance(metadata, dict):
        raise UserError(
            f"The metadata of prediction file '{path}' must be a JSON object, not {type(metadata).__name__}."
        )
    try:
        return Predictions(**arrays, metadata=metadata)
    except UserError as e:
        raise UserError(f"Prediction file '{path}': {e}") from None


def load_arrays(path, required: Sequence[str], optional: Sequence[str], *, kind: str) -> dict[str, np.ndarray]:
    """The named arrays of an ``.npz`` archive; UserError on everything that can be wrong with the file itself."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no {kind} '{path}'.")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"The {kind} '{path}' is a single array; an .npz archive is expected.")
        with archive:
            missing = [k for k in required if k not in archive.files]
            if missing:
                raise UserError(
                    f"The {kind} '{path}' lacks {', '.join(missing)}; it must hold {', '.join(required)} "
                    f"(found: {', '.join(archive.files[:10]) or 'nothing'})."
                )
            return {k: archive[k] for k in (*required, *optional) if k in archive.files}
    except UserError:
        raise
    except (ValueError, OSError, EOFError, KeyError, MemoryError, NotImplementedError, SyntaxError, RuntimeError) as e:
        raise UserError(f"The {kind} '{path}' cannot be read as .npz without pickled objects ({e}).") from None
    except (zipfile.BadZipFile, zlib.error, UnicodeError, TypeError) as e:
        raise UserError(f"The {kind} '{path}' is a broken archive ({e}); write or download it again.") from None


def joint_positions(have: Sequence[str], want: Sequence[str], subject: str) -> np.ndarray:
    """Index in `have` of every name in `want`; UserError names those missing."""
    index = {n: i for i, n in enumerate(have)}
    if not any("_" in n for n in have):
        want = [n.partition("_")[0] for n in want]
    missing = [n for n in want if n not in index]
    if missing:
        shown = ", ".join(missing[:6]) + (" ..." if len(missing) > 6 else "")
        raise UserError(
            f"{subject} {len(have)} joints ({', '.join(list(have)[:4])}, ...) but not {shown}; {len(want)} joints are "
            "scored by name, so name them as the protocol does."
        )
    return np.array([index[n] for n in want], np.int64)


def numbers(name: str, value, shape) -> np.ndarray:
    """`value` as float64 of the given shape (None = any size)."""
    value = np.asarray(value)
    if value.dtype.kind not in "fiu":
        raise UserError(f"{name} has type {value.dtype}, expected numbers.")
    fits = value.ndim == len(shape) and all(e is None or e == s for e, s in zip(shape, value.shape, strict=True))
    if not fits:
        expected = ", ".join("*" if e is None else str(e) for e in shape)
        raise UserError(f"{name} has shape {list(value.shape)}, expected [{expected}].")
    return value.astype(np.float64)


def integers(name: str, value, length: int) -> np.ndarray:
    value = np.asarray(value)
    if value.shape == (0,):
        value = value.astype(np.int64)
    if value.dtype.kind not in "iu" or value.shape != (length,):
        raise UserError(f"{name} is {value.dtype} {list(value.shape)}, expected {length} integers, one per person.")
    return value.astype(np.int64)


def texts(name: str, value, length: int) -> np.ndarray:
    if not (isinstance(value, np.ndarray) and value.dtype.kind == "U"):
        value = np.array(read_texts(value, name), str)
    if value.shape != (length,):
        raise UserError(f"{name} is {value.dtype} {list(value.shape)}, expected {length} texts.")
    return value


def row_codes(*columns: np.ndarray) -> np.ndarray:
    """[P] integers, equal where all columns are equal."""
    codes = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        _, inverse = np.unique(column, return_inverse=True)
        _, codes = np.unique(codes * (inverse.max(initial=0) + 1) + inverse, return_inverse=True)
    return codes


def count_within_groups(*columns: np.ndarray) -> np.ndarray:
    """[P] how many earlier rows have the same values."""
    codes = row_codes(*columns)
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(codes) else np.zeros(0, np.int64)
    position = np.arange(len(codes)) - np.repeat(starts, np.diff(np.r_[starts, len(codes)]))
    counted = np.empty(len(codes), np.int64)
    counted[order] = position
    return counted


def first_duplicate(*columns: np.ndarray) -> int | None:
    """Index of a row that occurred before, or None."""
    again = np.flatnonzero(count_within_groups(*columns) > 0)
    return int(again[0]) if len(again) else None
