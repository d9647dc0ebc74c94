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

from metrabs_acae.data.geometric_draw import GeometricDraw, box_part
from metrabs_acae.data.lens import PINHOLE, distort_points, undistort_points
from metrabs_acae.data.records import CameraParams
from metrabs_acae.data.vectors import (
    Matrix,
    Vector,
    apply,
    cross,
    dot,
    inverse_intrinsics,
    product,
    transposed,
)

FOV_2D_DEG = 8.0
"""Field of view of the pseudo camera of 2D examples without a camera (MeTRAbs): nearly a parallel projection."""


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

    @functools.cached_property
    def to_source(self) -> list[list[float]]:
        """[3, 3] crop pixels (homogeneous) -> rays in the frame of the stored image's camera."""
        rotation = product(self.source.R.tolist(), transposed(self.R.tolist()))
        return product(rotation, inverse_intrinsics(self.K.tolist()))

    def to_camera(self, world_mm: np.ndarray) -> np.ndarray:
        """World points [..., 3] in the crop camera's frame (mm)."""
        return (world_mm - self.source.optical_center_mm) @ self.R.T

    def from_image(self, points_px: np.ndarray) -> np.ndarray:
        """Pixels of the stored image [N, 2] -> pixels of the crop [N, 2]."""
        normalized = undistort_points(points_px, self.source.K, self.source.lens)
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
    points = _box_points(box_ltwh_px, draw)
    axes = transposed(camera.R.tolist())
    directions = [apply(axes, ray) for ray in _rays(points, camera)]
    R = _looking_rotation(directions[0], camera.world_up.tolist())
    (x0, y0, z0), (x1, y1, z1) = (apply(R, direction) for direction in directions[1:])
    if not (z0 > 1e-6 and z1 > 1e-6):
        raise ValueError("the box spans more than the half space in front of the crop camera")
    (fx, skew, _), (_, fy, _), _ = camera.K.tolist()
    focal = (fx + fy) / 2
    extent = math.hypot(x0 / z0 - x1 / z1, y0 / z0 - y1 / z1) * focal
    if not extent > 1e-6:
        raise ValueError("the box has no extent")
    focal *= image_size / extent * draw.zoom
    middle = (image_size - 1) / 2 if principal_point is None else principal_point
    K = np.array([[focal, skew / fy * focal, middle], [0, focal, middle], [0, 0, 1]])
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
    source = CameraParams(np.eye(3), np.zeros(3), K_source, PINHOLE, np.array([0.0, -1.0, 0.0]))
    center, *ends = _box_points(box_ltwh_px, draw)
    extent = math.dist(*ends)
    if not extent > 1e-6:
        raise ValueError("the box has no extent")
    focal *= image_size / extent * draw.zoom
    R = _roll_and_flip(np.eye(3).tolist(), draw)
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
    corner: tuple[int, int] = (0, 0),
    reduction: int = 1,
    interpolation: int = cv2.INTER_LINEAR,
    antialias: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """What the crop camera sees, black outside the image.

    Args:
        image: [H, W] or [H, W, 3]; the stored image, or it reduced by an integer factor in both directions, or the
            part of it that begins at the stored image's pixel `corner` (left, top) and holds `visible_window`.
        reduction: that factor.
        antialias: renders the crop this many times larger and averages.

    Returns:
        [image_size, image_size(, 3)]; `out` where given.
    """
    if antialias > 1:
        big = Crop(_scaled(crop.K, 1 / antialias), crop.R, crop.source, crop.flip)
        settings = {"corner": corner, "reduction": reduction, "interpolation": interpolation}
        large = render(image, big, image_size * antialias, **settings)
        return cv2.resize(large, (image_size, image_size), dst=out, interpolation=cv2.INTER_AREA)
    size = (image_size, image_size)
    source = crop.source
    K_image = source.K.copy()
    K_image[:2, 2] -= corner
    K_image = _scaled(K_image, reduction)
    if source.lens.is_pinhole:
        to_image = np.array(product(K_image.tolist(), crop.to_source))
        return cv2.warpPerspective(image, to_image, size, dst=out, flags=interpolation | cv2.WARP_INVERSE_MAP)
    maps = source.lens.rectifying_maps(K_image, crop.R @ source.R.T, crop.K, size)
    if _sees_fold(crop, image_size):
        _hide_folded(maps[0], crop)
    return cv2.remap(image, *maps, interpolation, dst=out)


def visible_window(crop: Crop, image_size: int) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom): the part of the stored image, unbounded, that holds all pixels that the crop shows;
    None where that cannot be told (behind the camera, or beyond where the lens polynomial folds back)."""
    source, last = crop.source, image_size - 1
    if source.lens.is_pinhole:  # straight lines stay straight
        to_image = product(source.K.tolist(), crop.to_source)
        corners = [apply(to_image, (x, y, 1)) for x in (0, last) for y in (0, last)]
        if not min(z for _, _, z in corners) > 1e-6:
            return None
        columns, rows = ([point[i] / point[2] for point in corners] for i in range(2))
        margin = 2
    else:
        rays = _border(image_size) @ np.array(crop.to_source).T
        if not rays[:, 2].min() > 1e-6 or _sees_fold(crop, image_size):
            return None
        columns, rows = distort_points(rays[:, :2] / rays[:, 2:], source.K, source.lens).T.tolist()
        margin = 4
    bounds = (min(columns) - margin, min(rows) - margin, max(columns) + margin, max(rows) + margin)
    return tuple(math.ceil(n) for n in bounds) if max(map(abs, bounds)) < 1e9 else None


def pixels_per_source_pixel(crop: Crop, box_ltwh_px: np.ndarray) -> float:
    """How many crop pixels one pixel of the stored image covers (length ratio), at the box centre."""
    center = box_ltwh_px[:2] + box_ltwh_px[2:] / 2
    if crop.source.lens.is_pinhole:
        # The determinant of the derivative of a homography at a point of homogeneous depth z is its own over z^3.
        (ray,) = _rays([center.tolist()], crop.source)
        depth = dot(crop.R[2].tolist(), apply(transposed(crop.source.R.tolist()), ray))
        focal_area = crop.source.K[0, 0] * crop.source.K[1, 1]
        return float(np.sqrt(crop.K[0, 0] * crop.K[1, 1] / focal_area / abs(depth) ** 3))
    points = crop.from_image(center + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    steps = points[1:] - points[0]
    return float(np.sqrt(abs(np.linalg.det(steps))))


def looking_rotation(direction: np.ndarray, up: np.ndarray) -> np.ndarray:
    """[3, 3] rotation world -> camera of an upright camera that looks along `direction`.

    Looking straight up or down, where upright means nothing, the x axis is the direction's product with world x.
    """
    return np.array(_looking_rotation(np.asarray(direction).tolist(), np.asarray(up).tolist()))


def _looking_rotation(direction: Vector, up: Vector) -> list[list[float]]:
    forward = _unit(direction)
    for axis in (_unit(up), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)):
        right = cross(forward, axis)
        if math.hypot(*right) > 1e-6:
            right = _unit(right)
            return [right, cross(forward, right), forward]
    raise ValueError("the viewing direction is not finite")


def _unit(v: Vector) -> list[float]:
    length = math.hypot(*v)
    return [x / length for x in v]


def _box_points(box_ltwh_px: np.ndarray, draw: GeometricDraw) -> list[tuple[float, float]]:
    """Centre of the drawn box and the mid-points of its two short sides."""
    box = np.asarray(box_ltwh_px, np.float64).tolist()
    left, top, width, height = box if draw.part is None else box_part(box, draw.part)
    side = max(width, height)
    x, y = left + width / 2 + draw.shift[0] * side, top + height / 2 + draw.shift[1] * side
    half_x, half_y = (0, height / 2) if width < height else (width / 2, 0)
    return [(x, y), (x - half_x, y - half_y), (x + half_x, y + half_y)]


def _rays(points_px: list[Vector], camera: CameraParams) -> list[Vector]:
    """Viewing rays (third coordinate 1) of pixels in their camera's frame, without lens distortion."""
    if not camera.lens.is_pinhole:
        return undistort_points(np.array(points_px), camera.K, camera.lens).tolist()
    to_ray = inverse_intrinsics(camera.K.tolist())
    return [apply(to_ray, (x, y, 1)) for x, y in points_px]


def _roll_and_flip(R: Matrix, draw: GeometricDraw) -> np.ndarray:
    c, s = math.cos(draw.roll_rad), math.sin(draw.roll_rad)
    turn = [[-c, -s, 0], [-s, c, 0], [0, 0, 1]] if draw.flip else [[c, s, 0], [-s, c, 0], [0, 0, 1]]
    return np.array(product(turn, R))


def _scaled(K: np.ndarray, factor: float) -> np.ndarray:
    """Intrinsics of an image whose pixels are `factor` times as wide and high."""
    K = K / factor
    K[:2, 2] += 0.5 / factor - 0.5
    K[2, 2] = 1
    return K


@functools.lru_cache(16)
def _border(image_size: int) -> np.ndarray:
    """[N, 3] homogeneous pixels along the border of a square image, every eighth and the corners."""
    last = image_size - 1
    line = np.append(np.arange(0, last, 8), last).astype(np.float64)
    zero, one = np.zeros_like(line), np.ones_like(line)
    sides = [(line, zero), (line, zero + last), (zero, line), (zero + last, line)]
    return np.concatenate([np.stack([x, y, one], axis=1) for x, y in sides])


def _sees_fold(crop: Crop, image_size: int) -> bool:
    """Whether the crop reaches beyond the radius where the lens polynomial folds back on itself."""
    limit = crop.source.lens.valid_radius
    if not np.isfinite(limit):
        return False
    corners = _border(image_size) @ np.array(crop.to_source).T
    return not (np.all(corners[:, 2] > 0) and np.hypot(*(corners[:, :2] / corners[:, 2:]).T).max() < limit)


def _hide_folded(map_x: np.ndarray, crop: Crop) -> None:
    """Sends crop pixels to nowhere that lie beyond the radius where the lens polynomial folds back on itself."""
    limit = crop.source.lens.valid_radius
    size = map_x.shape[0]
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    rays = np.tensordot(np.array(crop.to_source, np.float32), np.stack([x, y, np.ones_like(x)]), axes=1)
    map_x[(rays[2] <= 0) | (np.hypot(rays[0], rays[1]) > limit * rays[2])] = -1e6


def _double(camera: CameraParams) -> CameraParams:
    return CameraParams(
        R=np.asarray(camera.R, np.float64),
        optical_center_mm=np.asarray(camera.optical_center_mm, np.float64),
        K=np.asarray(camera.K, np.float64),
        lens=camera.lens,
        world_up=np.asarray(camera.world_up, np.float64),
    )
