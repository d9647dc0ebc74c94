"""Which feet stand, in the motion of a person that a camera sees which stands still."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_closing, binary_opening

from metrabs_acae.joint_names import code

STANDING_MM_S = 300.0
"""Speed across the line of sight; along it, where speeds are less certain, twice as much is allowed."""
SHORTEST_S = 0.1
FOOT_JOINTS = ("ank", "hee", "foo", "toe")


def feet_of(joint_names: Sequence[str]) -> list[list[int]]:
    """The joints of the left and of the right foot, as far as the skeleton has them."""
    codes = [code(name) for name in joint_names]
    return [[i for i, found in enumerate(codes) if found in {side + f for f in FOOT_JOINTS}] for side in "lr"]


def standing(times_s: np.ndarray, velocities: np.ndarray, sight: np.ndarray) -> np.ndarray:
    """[N] bool, whether a joint stands.

    Args:
        velocities: [N, 3] mm / s, smooth. sight: [N, 3] unit vectors from the camera.
    """
    along = np.abs((velocities * sight).sum(axis=1))
    across = np.linalg.norm(velocities - (velocities * sight).sum(axis=1, keepdims=True) * sight, axis=1)
    slow = (across < STANDING_MM_S) & (along < 2 * STANDING_MM_S)
    width = max(1, round(SHORTEST_S / max(np.median(np.diff(times_s)), 1e-3))) if len(times_s) > 1 else 1
    window = np.ones(width, bool)
    closed = binary_closing(np.pad(slow, width, mode="edge"), window)
    return binary_opening(closed, window)[width:-width]
