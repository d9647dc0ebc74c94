"""Labels that cannot be right: joints far from the box, bones of impossible length (the paper's filter)."""

from __future__ import annotations

import numpy as np

from data_processing.cameras import project
from data_processing.rows import Row
from metrabs_acae.skeletons import Skeleton

MIN_JOINTS_IN_BOX = 4
MIN_RATIO, MAX_RATIO, MIN_DIFFERENCE_MM = 0.1, 3.0, 150.0


class BoneCheck:
    """Learns the mean bone lengths of a dataset in a first pass, then judges its examples.

    A bone is at fault if its length is below 0.1 or above 3 times the mean and differs from it by more than 150 mm.
    """

    def __init__(self, skeleton: Skeleton, *, enabled: bool = True):
        self.enabled = enabled and bool(skeleton.edges)
        self.edges = np.array(skeleton.edges, np.int64).reshape(-1, 2)
        self._sum = np.zeros(len(self.edges))
        self._count = np.zeros(len(self.edges))

    def learn(self, row: Row) -> None:
        lengths = self.lengths(row.coords)
        known = np.isfinite(lengths)
        self._sum[known] += lengths[known]
        self._count[known] += 1

    @property
    def mean_mm(self) -> np.ndarray:
        """[E] mean length of each edge; NaN where never seen."""
        return np.divide(self._sum, self._count, out=np.full(len(self.edges), np.nan), where=self._count > 0)

    def lengths(self, coords: np.ndarray) -> np.ndarray:
        """[..., E] lengths of the edges of poses [..., J, 3]."""
        return np.linalg.norm(coords[..., self.edges[:, 0], :] - coords[..., self.edges[:, 1], :], axis=-1)

    def is_fault(self, coords: np.ndarray) -> np.ndarray:
        """[..., E] which bones have an impossible length."""
        lengths = self.lengths(coords)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = lengths / self.mean_mm
            strange = (ratio < MIN_RATIO) | (ratio > MAX_RATIO)
            return strange & (np.abs(lengths - self.mean_mm) > MIN_DIFFERENCE_MM)

    def fault(self, row: Row) -> str | None:
        """Why the example should be left out, or None."""
        if not self.enabled:
            return None
        inside = joints_in_box(project(row.camera, row.coords), row.box_ltwh_px)
        if inside < MIN_JOINTS_IN_BOX:
            return f"fewer than {MIN_JOINTS_IN_BOX} joints in the box"
        if self.is_fault(row.coords).any():
            return "impossible bone length"
        return None


def joints_in_box(points_px: np.ndarray, box_ltwh_px) -> int:
    """How many of the points [J, 2] lie in the box."""
    box = np.asarray(box_ltwh_px, np.float64)
    with np.errstate(invalid="ignore"):
        return int(((points_px >= box[:2]) & (points_px <= box[:2] + box[2:])).all(-1).sum())
