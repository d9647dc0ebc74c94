"""The motion of one person, from poses that were estimated frame by frame with one camera."""

from __future__ import annotations

import numpy as np

from metrabs_acae.inference.trajectories import smooth_path

# Errors of the person's place, as shares of the distance, and of a joint's place in the pose, mm. Along the line of
# sight both are larger; all last for about as long. As measured on real people, see docs/demo.md.
PLACE_ALONG, PLACE_ACROSS = 0.05, 0.006
JOINT_ALONG, JOINT_ACROSS = 1.6, 0.8
USUAL_ERROR_MM, LEAST_ERROR_MM = 60.0, 10.0
ERRORS_LAST_S = 0.15
# Spectral densities of the acceleration, mm^2 / s^3, of the whole person and of a joint beside it.
PLACE_ACCELERATION, JOINT_ACCELERATION = 4e5, 1e7


def refine_motion(
    times_s: np.ndarray, poses3d_mm: np.ndarray, uncertainty_mm: np.ndarray, joint_names, edges
) -> np.ndarray:
    """Poses [N, J, 3] of a person at the times [N], camera frame, from those of the single frames.

    Args:
        poses3d_mm: [N, J, 3]. uncertainty_mm: [N, J], 0 or NaN where it is not known.
        joint_names, edges: of the skeleton.
    """
    poses = np.asarray(poses3d_mm, np.float64)
    sigma = np.where(uncertainty_mm > 0, np.maximum(uncertainty_mm, LEAST_ERROR_MM), USUAL_ERROR_MM)
    return _smooth(times_s, poses, sigma).astype(poses3d_mm.dtype)


def _smooth(times_s, poses, sigma) -> np.ndarray:
    place = poses.mean(axis=1)
    distance = np.linalg.norm(place, axis=1, keepdims=True)
    sight = place / np.maximum(distance, 1.0)
    across = PLACE_ACROSS * distance[:, 0]
    precisions = precisions_about(sight, PLACE_ALONG * distance[:, 0], across)
    settings = {"correlation_s": ERRORS_LAST_S}
    smooth = np.empty_like(poses)
    smooth[:] = smooth_path(times_s, place, precisions, acceleration=PLACE_ACCELERATION, **settings)[0][:, np.newaxis]
    for j in range(poses.shape[1]):
        precisions = precisions_about(sight, JOINT_ALONG * sigma[:, j], JOINT_ACROSS * sigma[:, j])
        beside = poses[:, j] - place
        smooth[:, j] += smooth_path(times_s, beside, precisions, acceleration=JOINT_ACCELERATION, **settings)[0]
    return smooth


def precisions_about(directions, along, across) -> np.ndarray:
    """[N, 3, 3] inverse covariances with standard deviations `along` the directions [N, 3] and `across` them."""
    outer = directions[:, :, np.newaxis] * directions[:, np.newaxis]
    along, across = (1 / np.square(s)[:, np.newaxis, np.newaxis] for s in (along, across))
    return np.eye(3) * across + outer * (along - across)
