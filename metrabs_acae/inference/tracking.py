"""Which person of one frame is which of the frames before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

FORBIDDEN = 1e6
VELOCITY_OVER_S = 0.3
SPEED_LASTS_S = 2.0
"""Somebody out of sight is taken to slow down with this time constant."""


@dataclass
class _Track:
    person: int
    pose2d: np.ndarray
    depth_mm: float
    time_s: float
    velocity: np.ndarray
    seen_s: float = 0.0

    def predicted(self, time_s: float) -> np.ndarray:
        """The pose [J, 2] px as it would be by now."""
        gone_s = SPEED_LASTS_S * (1 - np.exp((self.time_s - time_s) / SPEED_LASTS_S))
        return self.pose2d + self.velocity * gone_s

    def update(self, pose2d: np.ndarray, depth_mm: float, time_s: float) -> None:
        step_s = max(time_s - self.time_s, 1e-6)
        moved = (pose2d - self.pose2d).mean(axis=0) / step_s
        # A mean over the past, of all of it while that is short.
        self.seen_s += step_s
        share = max(1 - np.exp(-step_s / VELOCITY_OVER_S), step_s / self.seen_s)
        if np.isfinite(moved).all():
            self.velocity = self.velocity + share * (moved - self.velocity)
        self.pose2d, self.depth_mm, self.time_s = pose2d, depth_mm, time_s


class PoseTracker:
    """Numbers people 1, 2, ... and keeps the numbers from frame to frame.

    The cost of taking a person for one seen before is the mean distance of their joints in the picture from where
    those of the other were, or would be by now if that is nearer, in units of the larger side of the pose's bounding
    box, plus the absolute logarithm of the ratio of their mean depths: an estimated depth is too uncertain for
    distances in millimetres, but tells people apart who pass one behind the other. A pair is allowed while its cost is
    at most `max_cost` + `max_rate` x (seconds since that person was seen). The assignment (Hungarian) joins as many
    allowed pairs as possible at the lowest total cost, first with those who were in sight within `in_sight_s`, then
    with the others.
    Who is left gets the next number; who is unseen for more than `max_gap_s` is forgotten. Looks are not considered.
    """

    def __init__(
        self, *, max_cost: float = 0.5, max_rate: float = 0.6, max_gap_s: float = 2.5, in_sight_s: float = 0.2
    ):
        self.max_cost, self.max_rate, self.max_gap_s, self.in_sight_s = max_cost, max_rate, max_gap_s, in_sight_s
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
        in_sight = [t for t in self._tracks if time_s - t.time_s <= self.in_sight_s]
        hidden = [t for t in self._tracks if time_s - t.time_s > self.in_sight_s]
        numbers = np.zeros(len(poses2d_px), np.int32)
        for tracks in (in_sight, hidden):
            free = np.flatnonzero(numbers == 0)
            for track, i in self._pairs(tracks, time_s, poses2d_px[free], depths[free]):
                numbers[free[i]] = track.person
                track.update(poses2d_px[free[i]], float(depths[free[i]]), time_s)
        for i in np.flatnonzero(numbers == 0):
            self._n_people += 1
            numbers[i] = self._n_people
            self._tracks.append(_Track(self._n_people, poses2d_px[i], float(depths[i]), time_s, np.zeros(2)))
        return numbers

    def _pairs(self, tracks, time_s, poses2d_px, depths) -> list[tuple[_Track, int]]:
        """Tracks and which of the people they are."""
        if not tracks or not len(poses2d_px):
            return []
        costs = self._costs(tracks, time_s, poses2d_px, depths)
        limits = np.array([self.max_cost + self.max_rate * (time_s - t.time_s) for t in tracks])
        costs = np.where(costs <= limits[:, np.newaxis], costs, FORBIDDEN)
        rows, columns = linear_sum_assignment(costs)
        return [(tracks[r], int(c)) for r, c in zip(rows, columns, strict=True) if costs[r, c] < FORBIDDEN]

    def _costs(self, tracks, time_s, poses2d_px, depths) -> np.ndarray:
        """[tracks, P]; not finite where a pose is not."""
        sizes = np.maximum([np.ptp(t.pose2d, axis=0).max() for t in tracks], 1.0)
        places = ([t.predicted(time_s) for t in tracks], [t.pose2d for t in tracks])  # walked on, or stood still
        distances = np.minimum(
            *(np.linalg.norm(np.stack(p)[:, np.newaxis] - poses2d_px, axis=-1).mean(axis=-1) for p in places)
        )
        depths_before = np.array([t.depth_mm for t in tracks])
        return distances / sizes[:, np.newaxis] + np.abs(np.log(depths[np.newaxis] / depths_before[:, np.newaxis]))
