"""Crop cameras: the virtual camera that looks at a person's box, and the image that it sees.

The crop camera stands where the example's camera stands, looks at the box centre, keeps the horizon level, has square
pixels and no lens distortion. Flip, roll and zoom of a `GeometricDraw` are properties of this camera, so image, mask
and joints follow from it alike. All functions here are pure; pixel (0, 0) is the centre of the top-left pixel.
Own code rather than `deltacamera` because of its cost per example; the tests hold both to the same results.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np

from metrabs_acae.data.augmentation.geometric import GeometricDraw, box_part
from metrabs_acae.data.records import FISHEYE_LENGTH, CameraParams

FOV_2D_DEG = 8.0
"""Field of view of the pseudo camera of 2D examples without a camera (MeTRAbs): nearly a parallel projection."""

_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)


@dataclass(frozen=True)
class Crop:
    """A crop camera and where it gets its pixels from.

    Attributes:
        K: [3, 3] its intrinsics.
        R: [3, 3] rotation world -> crop camera; of determinant -1 where the crop is flipped.
        source: the camera of the stored image.
        flip: True if left and right of the person are swapped.
    """

    K: np.ndarray
    R: np.ndarray
    source: CameraParams
    flip: bool

    def to_camera(self, world_mm: np.ndarray) -> np.ndarray:
        """World points [..., 3] in the crop camera's frame (mm)."""
        return (world_mm - self.source.optical_center_mm) @ self.R.T

    def from_image(self, points_px: np.ndarray) -> np.ndarray:
        """Pixels of the stored image [N, 2] -> pixels of the crop [N, 2]."""
        normalized = undistort_points(points_px, self.source.K, self.source.distortion)
        directions = normalized @ self.source.R @ self.R.T
        image = directions @ self.K.T
        return image[:, :2] / image[:, 2:]


def crop_camera(
    camera: CameraParams,
    box_ltwh_px: np.ndarray,
    image_size: int,
    draw: GeometricDraw = GeometricDraw(),  # noqa: B008 (frozen)
    *,
    principal_point: float | None = None,
) -> Crop:
    """The crop camera of a box seen by a calibrated camera.

    Args:
        image_size: side of the crop.
        principal_point: both coordinates of the crop's principal point; None is the centre, (image_size - 1) / 2.

    Raises:
        ValueError: the box cannot be turned to (degenerate camera or box).
    """
    camera = _double(camera)
    center, side_points = _box_points(box_ltwh_px, draw)
    normalized = undistort_points(np.concatenate([center[None], side_points]), camera.K, camera.distortion)
    directions = normalized @ camera.R
    R = looking_rotation(directions[0], camera.world_up)
    seen = directions[1:] @ R.T
    if np.any(seen[:, 2] <= 1e-6):
        raise ValueError("the box spans more than the half space in front of the crop camera")
    focal = (camera.K[0, 0] + camera.K[1, 1]) / 2
    extent = np.linalg.norm(seen[0, :2] / seen[0, 2] - seen[1, :2] / seen[1, 2]) * focal
    if not extent > 1e-6:
        raise ValueError("the box has no extent")
    focal *= image_size / extent * draw.zoom
    middle = (image_size - 1) / 2 if principal_point is None else principal_point
    K = np.array([[focal, camera.K[0, 1] / camera.K[1, 1] * focal, middle], [0, focal, middle], [0, 0, 1]])
    return Crop(K, _roll_and_flip(R, draw), camera, draw.flip)


def crop_camera_2d(
    image_size_wh: np.ndarray,
    box_ltwh_px: np.ndarray,
    image_size: int,
    draw: GeometricDraw = GeometricDraw(),  # noqa: B008 (frozen)
    *,
    principal_point: float | None = None,
) -> Crop:
    """The crop camera of an image of unknown camera: zoom, roll and flip about the image centre, then a shift that
    brings the box centre to the crop's centre. The principal point stays the image centre's place."""
    width, height = (float(v) for v in image_size_wh)
    focal = max(width, height) / 2 / np.tan(np.deg2rad(FOV_2D_DEG / 2))
    K_source = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    source = CameraParams(np.eye(3), np.zeros(3), K_source, None, np.array([0.0, -1.0, 0.0]))
    center, side_points = _box_points(box_ltwh_px, draw)
    extent = np.linalg.norm(side_points[0] - side_points[1])
    if not extent > 1e-6:
        raise ValueError("the box has no extent")
    focal *= image_size / extent * draw.zoom
    R = _roll_and_flip(np.eye(3), draw)
    middle = (image_size - 1) / 2 if principal_point is None else principal_point
    direction = R @ np.linalg.solve(K_source, [*center, 1])
    shift = middle - focal * direction[:2] / direction[2]
    K = np.array([[focal, 0, shift[0]], [0, focal, shift[1]], [0, 0, 1]])
    return Crop(K, R, source, draw.flip)


def render(
    image: np.ndarray,
    crop: Crop,
    image_size: int,
    *,
    reduction: int = 1,
    interpolation: int = cv2.INTER_LINEAR,
    antialias: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """What the crop camera sees, black outside the stored image.

    Args:
        image: [H, W] or [H, W, 3]; the stored image, or it reduced by an integer factor in both directions.
        reduction: that factor.
        antialias: renders the crop this many times larger and averages.

    Returns:
        [image_size, image_size(, 3)]; `out` where given.
    """
    if antialias > 1:
        K = _scaled(crop.K, 1 / antialias)
        big = Crop(K, crop.R, crop.source, crop.flip)
        size = image_size * antialias
        large = render(image, big, size, reduction=reduction, interpolation=interpolation)
        return cv2.resize(large, (image_size, image_size), dst=out, interpolation=cv2.INTER_AREA)
    size = (image_size, image_size)
    source = crop.source
    relative = crop.R @ source.R.T
    K_image = _scaled(source.K, reduction)
    if source.distortion is None:
        to_image = K_image @ np.linalg.solve(relative, np.linalg.inv(crop.K))
        flags = interpolation | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(image, to_image, size, dst=out, flags=flags)
    if len(source.distortion) == FISHEYE_LENGTH:
        maps = cv2.fisheye.initUndistortRectifyMap(K_image, source.distortion, relative, crop.K, size, cv2.CV_32FC1)
    else:
        maps = cv2.initUndistortRectifyMap(K_image, source.distortion, relative, crop.K, size, cv2.CV_32FC1)
    _hide_folded(maps[0], crop, relative)
    return cv2.remap(image, *maps, interpolation, dst=out)


def pixels_per_source_pixel(crop: Crop, box_ltwh_px: np.ndarray) -> float:
    """How many crop pixels one pixel of the stored image covers (length ratio), at the box centre."""
    center = box_ltwh_px[:2] + box_ltwh_px[2:] / 2
    points = crop.from_image(center + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    steps = points[1:] - points[0]
    return float(np.sqrt(abs(np.linalg.det(steps))))


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


def looking_rotation(direction: np.ndarray, up: np.ndarray) -> np.ndarray:
    """[3, 3] rotation world -> camera of an upright camera that looks along `direction`.

    Looking straight up or down, where upright means nothing, the x axis is the direction's product with world x.
    """
    forward = direction / math.sqrt(direction @ direction)
    for axis in (up / math.sqrt(up @ up), np.array([1.0, 0, 0]), np.array([0, 1.0, 0])):
        right = cross(forward, axis)
        length = math.sqrt(right @ right)
        if length > 1e-6:
            right /= length
            return np.array([right, cross(forward, right), forward])
    raise ValueError("the viewing direction is not finite")


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Vector product of two [3] vectors; NumPy's own costs twenty times as much for one pair."""
    (a0, a1, a2), (b0, b1, b2) = a.tolist(), b.tolist()
    return np.array([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0])


def _box_points(box_ltwh_px: np.ndarray, draw: GeometricDraw) -> tuple[np.ndarray, np.ndarray]:
    """Centre [2] of the drawn box and the mid-points [2, 2] of its short sides."""
    box = np.asarray(box_ltwh_px, np.float64)
    if draw.part is not None:
        box = box_part(box, draw.part)
    width, height = box[2:]
    center = box[:2] + box[2:] / 2 + np.asarray(draw.shift) * max(width, height)
    half = np.array([0, height / 2]) if width < height else np.array([width / 2, 0])
    return center, np.stack([center - half, center + half])


def _roll_and_flip(R: np.ndarray, draw: GeometricDraw) -> np.ndarray:
    c, s = np.cos(draw.roll_rad), np.sin(draw.roll_rad)
    R = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ R
    return R * np.array([[-1.0], [1], [1]]) if draw.flip else R


def _scaled(K: np.ndarray, factor: float) -> np.ndarray:
    """Intrinsics of an image whose pixels are `factor` times as wide and high."""
    K = K / factor
    K[:2, 2] += 0.5 / factor - 0.5
    K[2, 2] = 1
    return K


def _hide_folded(map_x: np.ndarray, crop: Crop, relative: np.ndarray) -> None:
    """Sends crop pixels to nowhere that lie beyond the radius where the lens polynomial folds back on itself."""
    limit = valid_radius(crop.source.distortion.tobytes())
    size = map_x.shape[0]
    if not np.isfinite(limit):
        return
    to_source = relative.T @ np.linalg.inv(crop.K)
    corners = to_source @ np.array([[0, 0, 1], [size - 1, 0, 1], [0, size - 1, 1], [size - 1, size - 1, 1.0]]).T
    if np.all(corners[2] > 0) and np.hypot(*(corners[:2] / corners[2])).max() < limit:
        return
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    rays = np.tensordot(to_source.astype(np.float32), np.stack([x, y, np.ones_like(x)]), axes=1)
    map_x[(rays[2] <= 0) | (np.hypot(rays[0], rays[1]) > limit * rays[2])] = -1e6


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


def _double(camera: CameraParams) -> CameraParams:
    distortion = camera.distortion
    return CameraParams(
        R=np.asarray(camera.R, np.float64),
        optical_center_mm=np.asarray(camera.optical_center_mm, np.float64),
        K=np.asarray(camera.K, np.float64),
        distortion=None if distortion is None else np.ascontiguousarray(distortion, np.float64),
        world_up=np.asarray(camera.world_up, np.float64),
    )
