"""Rotations from points: of sets of points, and of a single bone, whose twist has to be chosen."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded
from scipy.spatial.transform import Rotation

PRIOR_WEIGHT = 1e-4
TWIST_TIME_S = 0.1


def rotations_between(points: np.ndarray, rotated: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """[F, 3, 3] rotations that take points to their images best (Kabsch 1976, by SVD).

    Args:
        points: [C, 3] or [F, C, 3]. rotated: [F, C, 3].
        prior: [F, 3, 3] rotations to stay near to, with a weight of 1e-4, which decides what the points leave open.
    """
    scale = np.maximum(np.linalg.norm(points, axis=-1) * np.linalg.norm(rotated, axis=-1), 1e-9).sum(-1)
    points = np.broadcast_to(points, rotated.shape)
    covariance = np.einsum("fci,fcj->fij", rotated, points) + PRIOR_WEIGHT * scale[:, None, None] * prior
    u, _, vt = np.linalg.svd(covariance)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, np.newaxis]
    return u @ vt


def shortest_rotations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[F, 3, 3] smallest rotations that take unit vectors to others, both [F, 3]; half a turn about any axis where
    they are opposite."""
    cross = np.cross(first, second)
    cosine = (first * second).sum(-1)[:, np.newaxis, np.newaxis]
    skew = np.zeros((len(cross), 3, 3))
    skew[:, [2, 0, 1], [1, 2, 0]] = cross
    skew[:, [1, 2, 0], [2, 0, 1]] = -cross
    rotations = np.eye(3) + skew + skew @ skew / np.maximum(1 + cosine, 1e-9)
    perpendicular = np.cross(first, np.eye(3)[np.argmin(np.abs(first), axis=-1)])
    perpendicular /= np.linalg.norm(perpendicular, axis=-1, keepdims=True)
    half_turn = 2 * perpendicular[:, :, np.newaxis] * perpendicular[:, np.newaxis] - np.eye(3)
    return np.where(cosine > -1 + 1e-8, rotations, half_turn)


def bone_rotations(rest: np.ndarray, directions: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """[F, 3, 3] rotations from the parent's axes that take a bone from its direction at rest [3] to others [F, 3].

    The twist about the bone is the one of the smallest rotation, which leaps where the bone points away from its rest.
    There it is smoothed: over time t it minimizes the integral of w twist^2 + (0.1 s)^2 (rate of twist)^2, where the
    rate is that of the whole rotation about the bone and w falls from 1 to 0 for opposite directions.
    """
    n = len(directions)
    rotations = shortest_rotations(np.broadcast_to(rest, (n, 3)), directions)
    if n == 1:
        return rotations
    carried = shortest_rotations(directions[:-1], directions[1:]) @ rotations[:-1]
    extra = (Rotation.from_matrix(carried).inv() * Rotation.from_matrix(rotations[1:])).as_rotvec() @ rest
    steps_s = np.maximum(np.diff(times_s), 1e-4)
    stiffness = TWIST_TIME_S**2 / steps_s
    weights = ((1 + directions @ rest) / 2) ** 2 * np.mean(steps_s) + 1e-9
    diagonal = weights.copy()
    diagonal[:-1] += stiffness
    diagonal[1:] += stiffness
    right = np.zeros(n)
    right[:-1] += stiffness * extra
    right[1:] -= stiffness * extra
    twist = solveh_banded(np.stack([diagonal, np.append(-stiffness, 0)]), right, lower=True)
    return rotations @ Rotation.from_rotvec(twist[:, np.newaxis] * rest).as_matrix()
