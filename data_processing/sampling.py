"""Adaptive motion sampling: keep a frame only when the person has moved since the frames kept before."""

from __future__ import annotations

import numpy as np


class MotionSampler:
    """Keeps a pose if any joint moved by `threshold` or more since the pose kept last.

    The first pose with any labelled joint is kept.

    Args:
        threshold: in the units of the poses (mm, or px for 2D labels).
        nan_is_motion: a joint that is missing now or was missing then counts as moved; otherwise as unmoved.
        check_validity: a joint that is labelled now and was not then counts as moved.
        min_joints: how many joints must have moved.
    """

    def __init__(
        self, threshold: float, *, nan_is_motion: bool = True, check_validity: bool = False, min_joints: int = 1
    ):
        self.threshold = threshold
        self.nan_is_motion = nan_is_motion
        self.check_validity = check_validity
        self.min_joints = min_joints
        self._last: np.ndarray | None = None

    def keep(self, pose: np.ndarray) -> bool:
        """Whether to keep `pose` [J, D] (NaN = missing); remembers it if so."""
        pose = np.asarray(pose, np.float64)
        if self._last is None:
            kept = not np.isnan(pose).any(axis=-1).all()
        else:
            kept = self._moved(pose).sum() >= self.min_joints
        if kept:
            self._last = pose.copy()
        return bool(kept)

    def _moved(self, pose: np.ndarray) -> np.ndarray:
        distance = np.linalg.norm(pose - self._last, axis=-1)
        missing = np.isnan(distance)
        moved = np.where(missing, self.nan_is_motion and not self.check_validity, distance >= self.threshold)
        if self.check_validity:
            appeared = ~np.isnan(pose).any(-1) & np.isnan(self._last).any(-1)
            moved = moved | appeared
        return moved.astype(bool)


class BufferedMotionSampler:
    """Keeps a pose if it differs from every one of the last `buffer_size` kept poses by `threshold` in some joint.

    Args:
        nan_is_unchanged: missing joints take no part in the comparison, and a kept pose passes on its predecessor's
            value for a joint that it lacks.
        check_validity: a joint labelled now that no kept pose had counts as a difference.
    """

    def __init__(
        self, threshold: float, buffer_size: int, *, nan_is_unchanged: bool = True, check_validity: bool = False
    ):
        self.threshold = threshold
        self.buffer_size = buffer_size
        self.nan_is_unchanged = nan_is_unchanged
        self.check_validity = check_validity
        self._kept: np.ndarray | None = None
        self._count = 0

    def keep(self, pose: np.ndarray) -> bool:
        """Whether to keep `pose` [J, D] (NaN = missing); remembers it if so."""
        pose = np.asarray(pose, np.float64)
        valid = ~np.isnan(pose).any(-1)
        if not valid.any():
            return False
        if self._count == 0:
            self._remember(pose)
            return True
        kept = self._kept[: min(self._count, self.buffer_size)]
        distance = np.linalg.norm(kept - pose, axis=-1)
        if self.nan_is_unchanged:
            different = np.nan_to_num(distance, nan=0.0)
        else:
            different = np.nan_to_num(distance, nan=np.inf)
        differs = different.max(axis=1) >= self.threshold
        if self.check_validity:
            differs |= (valid & np.isnan(kept).any(-1)).any(axis=1)
        if not differs.all():
            return False
        self._remember(pose)
        return True

    def _remember(self, pose: np.ndarray) -> None:
        if self._kept is None:
            self._kept = np.full((1, *pose.shape), np.nan)
        if self._count >= len(self._kept) and len(self._kept) < self.buffer_size:
            grown = np.full((min(2 * len(self._kept), self.buffer_size), *pose.shape), np.nan)
            grown[: len(self._kept)] = self._kept
            self._kept = grown
        if self.nan_is_unchanged and self._count:
            previous = self._kept[(self._count - 1) % self.buffer_size]
            pose = np.where(np.isnan(pose), previous, pose)
        self._kept[self._count % self.buffer_size] = pose
        self._count += 1
