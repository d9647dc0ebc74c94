"""Cameras from pairs of 3D points and their pixels, for datasets that come without (all of) them."""

from __future__ import annotations

import numpy as np

from data_processing.cameras import from_extrinsics, intrinsics, project
from metrabs_acae.data.records import CameraParams

MIN_POINTS = 6


def fit_intrinsics(points_camera_mm, points_px) -> np.ndarray:
    """[3, 3] intrinsics without skew that best project points of the camera's frame [N, 3] to pixels [N, 2].

    Linear least squares for fx, cx and fy, cy; NaN rows are left out. ValueError with fewer than two usable points.
    """
    points, pixels = _finite(points_camera_mm, points_px)
    if len(points) < 2:
        raise ValueError("fewer than two pairs of points")
    normalized = points[:, :2] / points[:, 2:]
    ones = np.ones(len(points))
    (fx, cx), (fy, cy) = (
        np.linalg.lstsq(np.stack([normalized[:, i], ones], 1), pixels[:, i], rcond=None)[0] for i in range(2)
    )
    return intrinsics(fx, fy, cx, cy)


def fit_lens(points_camera_mm, points_px, image_size_wh) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics [3, 3] and distortion [5] (k1, k2, p1, p2, k3) from points in the camera's frame."""
    from scipy.optimize import least_squares

    from data_processing.cameras import project_camera_frame

    points, pixels = _finite(points_camera_mm, points_px)
    K = fit_intrinsics(points, pixels)
    start = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2], 0, 0, 0, 0, 0])
    scale = np.array([1000, 1000, *image_size_wh, 0.1, 0.1, 0.01, 0.01, 0.1], np.float64)

    def camera_of(x):
        return CameraParams(np.eye(3), np.zeros(3), intrinsics(*x[:4]), x[4:])

    def residual(x):
        return (project_camera_frame(camera_of(x), points) - pixels).ravel()

    x = least_squares(residual, start, x_scale=scale).x
    return intrinsics(*x[:4]), x[4:]


def fit_pose(world_mm, points_px, K, *, distortion=None, world_up=(0.0, 0.0, 1.0)) -> CameraParams:
    """The camera of known intrinsics that best projects world points [N, 3] to pixels [N, 2] (least squares).

    ValueError with fewer than six usable points.
    """
    import cv2

    points, pixels = _finite(world_mm, points_px)
    if len(points) < MIN_POINTS:
        raise ValueError(f"fewer than {MIN_POINTS} pairs of points")
    K = np.asarray(K, np.float64)
    distortion = None if distortion is None else np.asarray(distortion, np.float64)
    middle = points.mean(0)
    done, rvec, tvec = cv2.solvePnP(points - middle, pixels, K, distortion, flags=cv2.SOLVEPNP_SQPNP)
    if not done:
        raise ValueError("no camera fits the points")
    rvec, tvec = cv2.solvePnPRefineLM(points - middle, pixels, K, distortion, rvec, tvec)
    R = cv2.Rodrigues(rvec)[0]
    return from_extrinsics(R, tvec[:, 0] - R @ middle, K, distortion=distortion, world_up=world_up)


def fit_pose_robust(
    world_mm,
    points_px,
    K,
    *,
    rng: np.random.Generator,
    inlier_px: float = 15.0,
    iterations: int = 100,
    world_up=(0.0, 0.0, 1.0),
) -> CameraParams | None:
    """As `fit_pose` where some pairs are wrong (RANSAC on six points, scored by closeness); None if nothing fits.

    A failed search is repeated once with twice the inlier distance.
    """
    import cv2

    points, pixels = _finite(world_mm, points_px)
    for threshold in (inlier_px, 2 * inlier_px):
        best, best_score = None, 0.0
        for _ in range(iterations if len(points) >= MIN_POINTS else 0):
            chosen = rng.choice(len(points), MIN_POINTS, replace=False)
            try:
                camera = fit_pose(points[chosen], pixels[chosen], K, world_up=world_up)
            except (ValueError, cv2.error):
                continue
            errors = reprojection_error(camera, points, pixels)
            score = np.maximum(0, 1 - errors / threshold).mean()
            if score > best_score:
                best, best_score = errors < threshold, score
            if (errors < threshold).all():
                break
        if best is not None and best.sum() >= MIN_POINTS:
            return fit_pose(points[best], pixels[best], K, world_up=world_up)
    return None


def fit_field_of_view(
    world_mm, points_px, image_size_wh, *, bounds_deg=(30.0, 100.0), world_up=(0.0, 0.0, 1.0)
) -> CameraParams:
    """A camera with square pixels and its principal point in the middle, whose horizontal field of view fits best."""
    from scipy.optimize import minimize_scalar

    points, pixels = _finite(world_mm, points_px)
    width, height = image_size_wh

    def camera_of(degrees: float) -> CameraParams:
        focal = width / 2 / np.tan(np.radians(degrees) / 2)
        return fit_pose(points, pixels, intrinsics(focal, focal, width / 2, height / 2), world_up=world_up)

    def cost(degrees: float) -> float:
        errors = reprojection_error(camera_of(degrees), points, pixels)
        return float(np.nan_to_num(errors**2, nan=1e12).mean())

    return camera_of(minimize_scalar(cost, bounds=bounds_deg, method="bounded", options={"xatol": 1e-4}).x)


def reprojection_error(camera: CameraParams, world_mm, points_px) -> np.ndarray:
    """[N] distance in pixels between projected world points and given pixels; inf behind the camera."""
    errors = np.linalg.norm(project(camera, world_mm) - points_px, axis=-1)
    return np.where(np.isnan(errors), np.inf, errors)


def _finite(points, pixels) -> tuple[np.ndarray, np.ndarray]:
    points, pixels = np.asarray(points, np.float64).reshape(-1, 3), np.asarray(pixels, np.float64).reshape(-1, 2)
    known = np.isfinite(points).all(1) & np.isfinite(pixels).all(1)
    return points[known], pixels[known]
