"""Which person of one frame is which of the frames before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

FORBIDDEN = 1e6


@dataclass
class _Track:
    person: int
    pose2d: np.ndarray
    depth_mm: float
    time_s: float


class PoseTracker:
    """Numbers people 1, 2, ... and keeps the numbers from frame to frame.

    The cost of taking a person for one seen before is the mean distance of their joints in the picture, in units of
    the larger side of the pose's bounding box, plus the absolute logarithm of the ratio of their mean depths: an
    estimated depth is too uncertain for distances in millimetres, but tells people apart who pass one behind the
    other. A pair is allowed while its cost is at most `max_cost` + `max_rate` x (seconds since that person was seen).
    The assignment (Hungarian) joins as many allowed pairs as possible at the lowest total cost. Who is left gets the
    next number; who is unseen for more than `max_gap_s` is forgotten. Looks and motion are not considered.
    """

    def __init__(self, *, max_cost: float = 0.35, max_rate: float = 1.0, max_gap_s: float = 1.0):
        self.max_cost, self.max_rate, self.max_gap_s = max_cost, max_rate, max_gap_s
        self._tracks: list[_Track] = []
        self._n_people = 0

    def update(self, time_s: float, poses3d_mm: np.ndarray, poses2d_px: np.ndarray) -> np.ndarray:
        """The numbers [P] int32 of the people of the next frame.

        Args:
            time_s: of the frame, growing from call to call.
            poses3d_mm: [P, J, 3] camera frame. poses2d_px: [P, J, 2].
        """
        self._tracks = [t for t in self._tracks if time_s - t.time_s <= self.max_gap_s]
        depths = np.maximum(poses3d_mm[..., 2].mean(axis=1), 1.0) if len(poses3d_mm) else np.zeros(0)
        costs = self._costs(poses2d_px, depths)
        limits = np.array([self.max_cost + self.max_rate * (time_s - t.time_s) for t in self._tracks])
        costs = np.where(costs <= limits[:, np.newaxis], costs, FORBIDDEN)

        numbers = np.zeros(len(poses2d_px), np.int32)
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, column] < FORBIDDEN:
                numbers[column] = self._tracks[row].person
        for i in np.flatnonzero(numbers == 0):
            self._n_people += 1
            numbers[i] = self._n_people

        seen = {int(n) for n in numbers}
        self._tracks = [t for t in self._tracks if t.person not in seen] + [
            _Track(int(n), pose, float(depth), time_s)
            for n, pose, depth in zip(numbers, poses2d_px, depths, strict=True)
        ]
        return numbers

    def _costs(self, poses2d_px, depths) -> np.ndarray:
        """[tracks, P]; not finite where a pose is not."""
        if not self._tracks or not len(poses2d_px):
            return np.zeros((len(self._tracks), len(poses2d_px)))
        before = np.stack([t.pose2d for t in self._tracks])
        sizes = np.maximum(np.ptp(before, axis=1).max(axis=1), 1.0)
        distances = np.linalg.norm(before[:, np.newaxis] - poses2d_px[np.newaxis], axis=-1).mean(axis=-1)
        depths_before = np.array([t.depth_mm for t in self._tracks])
        return distances / sizes[:, np.newaxis] + np.abs(np.log(depths[np.newaxis] / depths_before[:, np.newaxis]))
