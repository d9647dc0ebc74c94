"""Errors to expect of a model's joints, mm, from how undecided their heatmaps are; fitted on people of known pose."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json, replacing

FILE = "error_map.json"
"""Its name in a run folder."""
COVERAGE = 0.68
"""The share of errors that are smaller than what is expected."""
OWN_SLOPE_FROM = 200
"""Joints with this many labels have half of their slope from their own, half from that of all joints."""
MAX_SLOPE = 12.0


@dataclass(frozen=True)
class ErrorMap:
    """expected error = level x exp(slope x (entropy - center)), for each joint.

    Attributes:
        joint_names: J. levels_mm, slopes, centers: [J].
        weights: fingerprint of the model's weights that it was fitted for, see `fingerprint`.
    """

    joint_names: tuple[str, ...]
    levels_mm: np.ndarray
    slopes: np.ndarray
    centers: np.ndarray
    weights: str = ""

    def __call__(self, entropy: np.ndarray) -> np.ndarray:
        """Expected errors [..., J] mm."""
        return self.levels_mm * np.exp(self.slopes * (entropy - self.centers))

    def save(self, path: str | Path) -> None:
        rounded = {name: np.round(getattr(self, name), 4).tolist() for name in ("levels_mm", "slopes", "centers")}
        with replacing(path) as temporary:
            text = json.dumps({"weights": self.weights, "joint_names": list(self.joint_names)} | rounded)
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> ErrorMap:
        data = read_json(path, dict)
        try:
            arrays = [np.array(data[name], np.float64) for name in ("levels_mm", "slopes", "centers")]
            names = tuple(map(str, data["joint_names"]))
            if any(a.shape != (len(names),) or not np.isfinite(a).all() for a in arrays):
                raise ValueError
            return cls(names, *arrays, str(data["weights"]))
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{path} is no error map; make it anew with python -m experiments.error_map.") from None


def fit(joint_names: Sequence[str], entropy: np.ndarray, errors_mm: np.ndarray, *, weights: str = "") -> ErrorMap:
    """The map for which `COVERAGE` of the errors [N, J] are smaller than expected; NaN: not known.

    The logarithms of the errors are fitted by lines that do not fall; a joint with few labels leans on all others.
    """
    known = np.isfinite(errors_mm)
    logs = np.log(np.maximum(np.where(known, errors_mm, 1.0), 0.1))
    n = np.maximum(known.sum(axis=0), 1)
    mean = lambda x: (x * known).sum(axis=0) / n  # noqa: E731
    centers = mean(entropy)
    off, log_off = (entropy - centers) * known, (logs - mean(logs)) * known
    variance, covariance = np.square(off).sum(axis=0), (off * log_off).sum(axis=0)
    common = covariance.sum() / max(variance.sum(), 1e-9)
    own = covariance / np.maximum(variance, 1e-9)
    trust = n / (n + OWN_SLOPE_FROM)
    slopes = np.clip(trust * own + (1 - trust) * common, 0, MAX_SLOPE)
    rest = np.where(known, logs - slopes * off, np.nan)
    levels = np.array(
        [np.nanquantile(r, COVERAGE) if k.any() else np.nan for r, k in zip(rest.T, known.T, strict=True)]
    )
    levels = np.where(np.isfinite(levels), levels, np.nanmedian(levels))
    return ErrorMap(tuple(joint_names), np.exp(levels), slopes, centers, weights)


def fingerprint(pose_model) -> str:
    """Eight hexadecimal digits that change with the weights of a model's head."""
    content = b"".join(np.ascontiguousarray(w).tobytes() for w in pose_model.head.conv.get_weights())
    return f"{zlib.crc32(content):08x}"


def of_run(folder: Path, pose_model) -> ErrorMap | None:
    """The map in a run folder; None where there is none, or one of other weights."""
    if not (folder / FILE).exists() or not hasattr(pose_model, "head"):
        return None
    found = ErrorMap.load(folder / FILE)
    fits = found.weights == fingerprint(pose_model) and found.joint_names == tuple(pose_model.skeleton.joint_names)
    return found if fits else None
