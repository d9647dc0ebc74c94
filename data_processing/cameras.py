"""Cameras of the raw data as `CameraParams`, and what they see. Camera frame x right, y down, z forward; mm, px."""

from __future__ import annotations

import numpy as np

from metrabs_acae.data.lens import Lens, distort_points
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError


def from_extrinsics(R, t_mm, K, *, distortion=None, world_up=(0.0, 0.0, 1.0)) -> CameraParams:
    """The camera for which x_camera = R x_world + t; [3, 3], [3] mm, [3, 3]; distortion as for `make_camera`."""
    R = nearest_rotation(R)
    center = -R.T @ np.asarray(t_mm, np.float64).reshape(3)
    return make_camera(R, center, K, distortion=distortion, world_up=world_up)


def make_camera(R, center_mm, K, *, distortion=None, world_up=(0.0, 0.0, 1.0)) -> CameraParams:
    """A camera from its rotation, position and intrinsics.

    Distortion is a `Lens`, or the coefficients of a Brown-Conrady lens in OpenCV's order, k1, k2, p1, p2[, k3...];
    fewer than five are filled up with zeros.
    """
    if distortion is not None and not isinstance(distortion, Lens):
        distortion = np.asarray(distortion, np.float64).ravel()
        distortion = np.pad(distortion, (0, max(0, 5 - len(distortion))))
    K = _three_by_three(K, "intrinsic matrix")
    return CameraParams(
        R=nearest_rotation(R),
        optical_center_mm=np.asarray(center_mm, np.float64).reshape(3),
        K=K / K[2, 2],
        lens=Lens.of(distortion),
        world_up=np.asarray(world_up, np.float64),
    )


def intrinsics(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def nearest_rotation(R) -> np.ndarray:
    """The rotation matrix nearest to R (text files round it); UserError where R is not of nine finite numbers."""
    R = _three_by_three(R, "rotation")
    U, _, V = np.linalg.svd(R)
    return U @ np.diag([1, 1, np.sign(np.linalg.det(U @ V))]) @ V


def _three_by_three(matrix, name: str) -> np.ndarray:
    """A copy of the matrix, without a fourth row and column; UserError where it is damaged."""
    matrix = np.array(matrix, np.float64)
    matrix = matrix[:3, :3] if matrix.ndim == 2 else matrix
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise UserError(f"The {name} of a camera is not 3 x 3 finite numbers: its file is damaged; fetch it again.")
    return matrix


def to_camera(camera: CameraParams, world_mm) -> np.ndarray:
    """World points [..., 3] in the camera's frame."""
    return (np.asarray(world_mm, np.float64) - camera.optical_center_mm) @ camera.R.T


def to_world(camera: CameraParams, points_mm) -> np.ndarray:
    """Points [..., 3] of the camera's frame in the world."""
    return np.asarray(points_mm, np.float64) @ camera.R + camera.optical_center_mm


def project(camera: CameraParams, world_mm) -> np.ndarray:
    """World points [..., 3] -> pixels [..., 2]; NaN for missing points and those behind the camera."""
    return project_camera_frame(camera, to_camera(camera, world_mm))


def project_camera_frame(camera: CameraParams, points_mm) -> np.ndarray:
    """Points [..., 3] of the camera's frame -> pixels [..., 2]; NaN where missing or behind the camera."""
    points = np.asarray(points_mm, np.float64)
    with np.errstate(invalid="ignore"):
        front = points[..., 2] > 1e-6
    flat = points[front]
    pixels = np.full((*points.shape[:-1], 2), np.nan)
    pixels[front] = distort_points(flat[:, :2] / flat[:, 2:], np.asarray(camera.K, np.float64), camera.lens)
    return pixels


def is_inside(points_px, image_size_wh) -> np.ndarray:
    """[...] which pixels [..., 2] lie in the image (width, height)."""
    points_px = np.asarray(points_px)
    width, height = image_size_wh
    with np.errstate(invalid="ignore"):
        x, y = points_px[..., 0], points_px[..., 1]
        return (x >= -0.5) & (y >= -0.5) & (x < width - 0.5) & (y < height - 0.5)


def roll_degrees(camera: CameraParams) -> float:
    """The angle between the camera's x axis and the horizon."""
    right = np.cross(camera.R[2], camera.world_up)
    right /= np.linalg.norm(right)
    return float(np.degrees(np.arccos(np.clip(right @ camera.R[0], -1, 1))))


def nearest_axis(direction) -> np.ndarray:
    """The world axis (with sign) nearest to a direction, for datasets that do not say which way is up."""
    direction = np.asarray(direction, np.float64)
    axis = np.zeros(3)
    i = int(np.argmax(np.abs(direction)))
    axis[i] = np.sign(direction[i])
    return axis
