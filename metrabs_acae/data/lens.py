"""Lens distortion of points, in OpenCV's two models: radial, tangential and prism coefficients, and fisheye."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from metrabs_acae.data.records import FISHEYE_LENGTH

_ZERO = np.zeros(3)
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)


def undistort_points(points_px: np.ndarray, K: np.ndarray, distortion: np.ndarray | None) -> np.ndarray:
    """Pixels [N, 2] -> homogeneous normalized coordinates [N, 3] (third coordinate 1) without lens distortion."""
    points_px = np.asarray(points_px, np.float64)
    result = np.ones((len(points_px), 3))
    if distortion is None:
        result[:, 1] = (points_px[:, 1] - K[1, 2]) / K[1, 1]
        result[:, 0] = (points_px[:, 0] - K[0, 2] - K[0, 1] * result[:, 1]) / K[0, 0]
        return result
    # OpenCV's K has no skew: undo it first.
    plain = points_px.copy()
    plain[:, 0] -= K[0, 1] * (points_px[:, 1] - K[1, 2]) / K[1, 1]
    K = K * np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1.0]])
    if len(distortion) == FISHEYE_LENGTH:
        undistorted = cv2.fisheye.undistortPoints(plain[:, None], K, distortion, criteria=_CRITERIA)
    else:
        undistorted = cv2.undistortPoints(plain[:, None], K, distortion, criteria=_CRITERIA)
    result[:, :2] = undistorted[:, 0]
    return result


def distort_points(normalized: np.ndarray, K: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """Undistorted normalized coordinates [N, 2] -> pixels [N, 2] of a lens; skew is ignored, as OpenCV does."""
    if len(distortion) == FISHEYE_LENGTH:
        return cv2.fisheye.distortPoints(normalized[:, None], K, distortion)[:, 0]
    rays = np.concatenate([normalized, np.ones((len(normalized), 1))], axis=1)
    return cv2.projectPoints(rays, _ZERO, _ZERO, K, distortion)[0][:, 0]


@functools.lru_cache(256)
def valid_radius(distortion: bytes) -> float:
    """Largest undistorted radius (normalized) up to which the radial lens function grows; inf if it always does."""
    k = np.zeros(14)
    coefficients = np.frombuffer(distortion)
    k[: len(coefficients)] = coefficients
    if len(coefficients) == FISHEYE_LENGTH:
        theta = np.linspace(0, np.pi / 2, 2000)[:-1]
        radius = np.tan(theta)
        distorted = theta * (1 + k[0] * theta**2 + k[1] * theta**4 + k[2] * theta**6 + k[3] * theta**8)
    else:
        radius = np.linspace(0, 5, 2000)
        r2 = radius**2
        numerator = 1 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))
        denominator = 1 + r2 * (k[5] + r2 * (k[6] + r2 * k[7]))
        distorted = radius * numerator / denominator
    folds = np.flatnonzero(np.diff(distorted) <= 0)
    return float(radius[folds[0]]) if len(folds) else np.inf
