"""The motion of one person, from poses that were estimated frame by frame with one camera that stands still."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d

from metrabs_acae.inference.bone_lengths import mean_lengths, with_lengths, without_scale_jitter
from metrabs_acae.inference.foot_contacts import feet_of, standing
from metrabs_acae.inference.trajectories import smooth_path
from metrabs_acae.motion.fit import fill_gaps

# Errors of the person's place, as shares of the distance, and of a joint's place in the pose, as shares of its
# uncertainty. Along the line of sight both are larger; all last for about as long. As measured on real people, see
# docs/demo.md.
PLACE_ALONG, PLACE_ACROSS = 0.05, 0.006
JOINT_ALONG, JOINT_ACROSS = 1.6, 0.8
USUAL_ERROR_MM, LEAST_ERROR_MM = 60.0, 10.0
ERRORS_LAST_S = 0.15
# Spectral densities of the acceleration, mm^2 / s^3, of the whole person and of a joint beside it.
PLACE_ACCELERATION, JOINT_ACCELERATION = 1e6, 2e7
STANDING_STILL_MM_S = 10.0
FOOT_ERROR_MM = 2.0
"""Of a foot that stands, for the bones: others move."""
GRADUALLY_S = 0.05


def refine_motion(
    times_s: np.ndarray,
    poses3d_mm: np.ndarray,
    uncertainty_mm: np.ndarray,
    joint_names: Sequence[str],
    edges: Sequence[tuple[int, int]],
) -> np.ndarray:
    """Poses [N, J, 3] of a person at the times [N], camera frame, from those of the single frames.

    Sizes are evened out (a pose that is too large was taken for one too far away), places and joints are smoothed in
    time, feet that stand stay where they are, and bones have one length each.

    Args:
        poses3d_mm: [N, J, 3]. uncertainty_mm: [N, J], 0 or NaN where it is not known.
        joint_names, edges: of the skeleton.
    """
    poses = np.asarray(poses3d_mm, np.float64)
    edges = np.asarray(edges, int).reshape(-1, 2)
    known = np.isfinite(poses).all(axis=(1, 2))
    if known.sum() < 2:
        return poses3d_mm
    lengths = mean_lengths(poses[known], edges, joint_names)
    sigma = np.where(uncertainty_mm > 0, np.maximum(uncertainty_mm, LEAST_ERROR_MM), USUAL_ERROR_MM)
    motion = _Motion(times_s, without_scale_jitter(poses, edges), sigma)
    motion.plant_feet(feet_of(joint_names))
    return with_lengths(motion.poses, edges, lengths, motion.sigma).astype(poses3d_mm.dtype)


class _Motion:
    """Smoothed poses.

    Attributes:
        poses: [N, J, 3]. sigma: [N, J] how far a joint may move once more.
    """

    def __init__(self, times_s: np.ndarray, measured: np.ndarray, sigma: np.ndarray):
        self._times_s, self._measured, self.sigma = times_s, measured, sigma.copy()
        self._raw_place = measured.mean(axis=1)
        about = fill_gaps(times_s, self._raw_place[:, np.newaxis])[:, 0]
        distance = np.maximum(np.linalg.norm(about, axis=1, keepdims=True), 1.0)
        self._sight = about / distance
        self._place_precisions = precisions_about(
            self._sight, PLACE_ALONG * distance[:, 0], PLACE_ACROSS * distance[:, 0]
        )
        self._place, place_velocity = self._path(self._raw_place, self._place_precisions, PLACE_ACCELERATION)
        paths = [self._joint_path(j) for j in range(measured.shape[1])]
        self.poses = self._place[:, np.newaxis] + np.stack([p for p, _ in paths], axis=1)
        self._velocities = place_velocity[:, np.newaxis] + np.stack([v for _, v in paths], axis=1)

    def _path(self, places, precisions, acceleration, stillness=None):
        found = smooth_path(
            self._times_s, places, precisions, acceleration=acceleration, correlation_s=ERRORS_LAST_S,
            stillness=stillness,
        )  # fmt: skip
        return found[:2]

    def _joint_path(self, j: int, start=0.0, stillness=None):
        """Of a joint beside the person's place, or beside `start`."""
        sigma = self.sigma[:, j]
        precisions = precisions_about(self._sight, JOINT_ALONG * sigma, JOINT_ACROSS * sigma)
        beside = self._measured[:, j] - self._raw_place + start
        return self._path(beside, precisions, JOINT_ACCELERATION, stillness)

    def plant_feet(self, feet: Sequence[Sequence[int]]) -> None:
        """Holds the joints of feet that stand, and moves the person along with them."""
        stands = np.zeros(self.poses.shape[:2], bool)
        for joints in feet:
            for j in joints:
                stands[:, j] = standing(self._times_s, self._velocities[:, j], self._sight)
        if not stands.any():
            return
        joints = np.flatnonzero(stands.any(axis=0))
        for _ in range(2):
            planted = self.poses.copy()
            for j in joints:
                planted[:, j] = self._joint_path(j, self._place, stands[:, j] / STANDING_STILL_MM_S**2)[0]
            # What the feet move, the person moves with; where none stands, towards no such correction.
            n_standing = np.maximum(stands.sum(axis=1, keepdims=True), 1)
            moved = ((planted - self.poses) * stands[..., np.newaxis]).sum(axis=1) / n_standing
            certain = np.where(stands.any(axis=1), 10.0, 0.1)[:, np.newaxis, np.newaxis]
            shift = self._path(moved, self._place_precisions * certain, PLACE_ACCELERATION)[0]
            self._place = self._place + shift
            self.poses += shift[:, np.newaxis]
        self.poses[:, joints] = planted[:, joints]
        # Bones may move other joints before those that stand; gradually more, so that nothing jumps.
        step_s = max(float(np.median(np.diff(self._times_s))), 1e-3)
        share = gaussian_filter1d(stands.astype(float), GRADUALLY_S / step_s, axis=0, mode="nearest")
        self.sigma = self.sigma * (FOOT_ERROR_MM / self.sigma) ** share


def precisions_about(directions, along, across) -> np.ndarray:
    """[N, 3, 3] inverse covariances with standard deviations `along` the directions [N, 3] and `across` them."""
    outer = directions[:, :, np.newaxis] * directions[:, np.newaxis]
    along, across = (1 / np.square(s)[:, np.newaxis, np.newaxis] for s in (along, across))
    return np.eye(3) * across + outer * (along - across)
