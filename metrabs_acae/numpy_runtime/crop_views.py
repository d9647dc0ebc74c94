"""Cameras: field of view, OpenCV lens distortion, upright crops of boxes, projection.

Camera frame x right, y down, z forward, mm; pixel (0, 0) is the centre of the top-left pixel; points are row vectors.
`distortion` is always [12] in OpenCV's order k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from . import lens

MIN_DEPTH_MM = 1.0


class AugmentationRanges(NamedTuple):
    """How far test-time augmentation goes; the defaults are those of the public MeTRAbs models.

    Attributes:
        rotation_degrees: largest turn, where turns are limited.
        zoom_out, zoom_in: smallest and largest zoom relative to the box.
        gamma: smallest exponent of the brightness; the largest is 1.
    """

    rotation_degrees: float = 25.0
    zoom_out: float = 0.8
    zoom_in: float = 1.1
    gamma: float = 0.6


REFERENCE_RANGES = AugmentationRanges()


class CropCamera(NamedTuple):
    """How one crop is taken.

    Attributes:
        rotation: [3, 3] from the image's camera frame to the crop's; determinant -1 where mirrored.
        intrinsics: [3, 3] of the crop.
        scale: crop px per image px.
        gamma: exponent on the display values.
        is_mirrored: whether left and right are swapped in the crop.
    """

    rotation: np.ndarray
    intrinsics: np.ndarray
    scale: float
    gamma: float
    is_mirrored: bool


def intrinsics_from_fov(fov_degrees: float, height: int, width: int, *, center_offset_px: float = -0.5):
    """[3, 3] of a camera whose larger side spans `fov_degrees`; principal point size / 2 + `center_offset_px`."""
    focal = max(height, width) / 2 / math.tan(math.radians(fov_degrees) / 2)
    return np.array([[focal, 0, width / 2 + center_offset_px], [0, focal, height / 2 + center_offset_px], [0, 0, 1.0]])


def distort(x, y, distortion):
    """Applies the lens to normalized coordinates, one array per axis."""
    return lens.distort(x, y, distortion) if np.any(distortion) else (x, y)


def undistort(points, distortion):
    """Inverts `distort` on [P, 2]; points where the iteration diverges are returned as they came."""
    x, y = points[:, 0], points[:, 1]
    with np.errstate(all="ignore"):
        found = lens.undistort(x, y, distortion)
        converged = lens.is_inverse(*lens.distort(*found, distortion), x, y)
    return np.where(converged[:, None], np.stack(found, axis=-1), points)


def normalize(points_px, intrinsics):
    """Pixels [..., 2] to normalized coordinates [..., 2], as if without a lens."""
    return (points_px - intrinsics[:2, 2]) @ np.linalg.inv(intrinsics[:2, :2]).T


def project(coords3d_mm, intrinsics, distortion):
    """Camera-frame points [..., 3] mm to pixels [..., 2]."""
    normalized = coords3d_mm[..., :2] / np.maximum(coords3d_mm[..., 2:], MIN_DEPTH_MM)
    with np.errstate(all="ignore"):
        distorted = np.stack(distort(normalized[..., 0], normalized[..., 1], distortion), axis=-1)
    # So far outside the view that the lens model has no value there, points are projected without it.
    distorted = np.where(np.isfinite(distorted), distorted, normalized)
    return distorted @ intrinsics[:2, :2].T + intrinsics[:2, 2]


def look_at_rotation(forward, up):
    """Rotation [3, 3] (rows x, y, z) whose z axis is `forward` and whose -y axis is near `up`, [3] each."""
    z = forward / np.linalg.norm(forward)
    x = np.cross(z, up / np.linalg.norm(up))
    if np.linalg.norm(x) <= 1e-4:
        x = np.cross(z, [0.0, -1.0, 0.0])
        if np.linalg.norm(x) <= 1e-3:
            x = np.cross(z, [0.0, -z[2], z[1]])
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def rotation_z(angle: float):
    """[3, 3], turning x towards y."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def linspace(start: float, stop: float, count: int, *, endpoint: bool = True):
    """As `numpy.linspace`, but one number is the mean of the ends if the end belongs to the range."""
    if count == 1 and endpoint:
        return np.array([(start + stop) / 2])
    return np.linspace(start, stop, count, endpoint=endpoint)


def augmentations(num_aug: int, rotation_mode: str = "limited", ranges: AugmentationRanges = REFERENCE_RANGES):
    """Of the test-time augmentations: gammas, angles (radians), scales, flips, [num_aug] each."""
    half = num_aug // 2
    limit = math.radians(ranges.rotation_degrees)
    if rotation_mode == "limited":
        angles = linspace(-limit, limit, num_aug)
    elif rotation_mode == "full":
        end = math.pi * (1 - 1 / num_aug)
        angles = linspace(-end, end, num_aug)
    else:
        around = 2 * math.pi * np.arange(1, half + 1) / (half + 1)
        around = np.where(around > math.pi, around - 2 * math.pi, around)
        angles = np.sort(np.concatenate([linspace(-limit, limit, num_aug - half), around]))
    zooms = linspace(ranges.zoom_out, 1.0, half, endpoint=False), linspace(1.0, ranges.zoom_in, num_aug - half)
    scales = np.concatenate(zooms)
    return linspace(ranges.gamma, 1.0, num_aug), angles, scales, (np.arange(num_aug) - half) % 2 == 1


def crop_cameras(
    box,
    intrinsics,
    distortion,
    up,
    *,
    size: int,
    num_aug: int,
    rotation_mode: str = "limited",
    ranges: AugmentationRanges = REFERENCE_RANGES,
    center_offset_px: float = -0.5,
) -> list[CropCamera]:
    """The crops of one box [4] (left, top, width, height): upright, centred on it and as large as its longer side.

    Args:
        intrinsics, distortion: [3, 3], [12] of the image.
        up: [3], in the image's camera frame.
        size: side of the crops, px.
        num_aug, rotation_mode, ranges: see `augmentations`.
    """
    x, y, w, h = box
    center = (x + w / 2, y + h / 2)
    points = np.array([center, (center[0], y), (center[0], y + h), (x, center[1]), (x + w, center[1])])
    rays = undistort(normalize(points, intrinsics), distortion)
    rays = np.concatenate([rays, np.ones((5, 1))], axis=1)
    upright = look_at_rotation(rays[0], up)
    sides = rays[1:] @ upright.T
    sides = sides[:, :2] / np.maximum(sides[:, 2:], 1e-6) @ intrinsics[:2, :2].T
    side = max(np.linalg.norm(sides[0] - sides[1]), np.linalg.norm(sides[2] - sides[3]))

    found = []
    for gamma, angle, zoom, flip in zip(*augmentations(num_aug, rotation_mode, ranges), strict=True):
        scale = zoom * size / max(side, 1e-3)
        crop = np.eye(3)
        crop[:2, :2] = scale * intrinsics[:2, :2]
        crop[:2, 2] = size / 2 + center_offset_px
        mirror = np.diag([-1.0 if flip else 1.0, 1.0, 1.0])
        found.append(CropCamera(mirror @ rotation_z(-angle) @ upright, crop, scale, gamma, bool(flip)))
    return found
