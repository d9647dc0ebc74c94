"""The floor that people stand on, from where their feet are lowest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metrabs_acae.joint_names import code

CAMERA_UP = np.diag([1.0, -1.0, -1.0])
"""Rows: x right, y up, z back, of a camera that is taken to be level, in its own axes x right, y down, z forward."""
ANKLE_HEIGHT_MM = 70.0
"""0.039 of a height of 1.8 m (Drillis and Contini 1966, in Winter: Biomechanics and Motor Control)."""
_FEET = (("toe", "foo", "hee", "to2", "to3"), ("ank",))
_NOISE_MM = 30.0
_SLOPE = 0.2
_QUANTILE = 0.1
_REACH_MM = np.geomspace(1000, 100, 50)
"""By iteration: how far from the plane points count for about half."""


def feet(joint_names: Sequence[str]) -> tuple[list[int], float]:
    """(joints of the feet, their height over the sole in mm): toes, heels and mid-feet, else ankles, else none."""
    parts = [code(n)[1:] for n in joint_names]
    for beginnings, height in zip(_FEET, (0.0, ANKLE_HEIGHT_MM), strict=True):
        found = [i for i, part in enumerate(parts) if part.startswith(beginnings)]
        if found:
            return found, height
    return [], 0.0


def floor_frame(
    joint_names: Sequence[str], poses_mm: np.ndarray, *, level: bool = False
) -> tuple[np.ndarray, np.ndarray] | None:
    """(rotation [3, 3], translation [3] mm) from the camera to axes on the floor, x right, y up, z towards the camera,
    with their origin on the floor under the camera; None for a skeleton without feet.

    The plane y = a x + b z + c, y up of a level camera, has a tenth of the lowest points of the feet below it: by
    reweighted least squares it minimizes the pinball loss over 30 mm, where points far from it count less and less,
    plus the squares of a and b over 0.2^2. That tilts the floor only as far as the people's ways over it tell.

    Args:
        poses_mm: [N, J, 3] of all people and frames, in the camera's frame; NaN where there is none.
        level: whether y is known to be upwards; then a = b = 0.
    """
    joints, height = feet(joint_names)
    points = poses_mm[:, joints] @ CAMERA_UP.T
    points = points[np.isfinite(points).all(axis=(1, 2))]
    if not points.size:
        return None
    points = points[np.arange(len(points)), np.argmin(points[..., 1], axis=1)].astype(np.float64)
    center = np.median(points, axis=0)
    x, y, z = (points - center).T
    terms = np.stack([x, z, np.ones_like(x)], axis=1) * ([0, 0, 1] if level else 1)
    ridge = np.diag([1, 1, 0]) / _SLOPE**2
    plane = np.array([0, 0, np.quantile(y, _QUANTILE)])
    for reach in _REACH_MM:
        error = y - terms @ plane
        # |error| is flattened within 1 mm of 0.
        weights = np.where(error > 0, _QUANTILE, 1 - _QUANTILE) / np.maximum(np.abs(error), 1.0) / _NOISE_MM
        weights /= 1 + (error / reach) ** 2
        plane = np.linalg.solve(terms.T @ (weights[:, np.newaxis] * terms) + ridge, terms.T @ (weights * y))
    a, b, c = plane
    up = np.array([-a, 1, -b]) / np.sqrt(1 + a**2 + b**2)
    back = np.array([0, 0, 1]) - up[2] * up
    back /= np.linalg.norm(back)
    axes = np.stack([np.cross(up, back), up, back])
    foot_height = up @ (center + [0, c, 0]) - height
    return axes @ CAMERA_UP, np.array([0, -foot_height, 0])
