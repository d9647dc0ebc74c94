"""Crops rendered from full images: a homography or the full lens model, in linear light, without aliasing."""

from __future__ import annotations

import numpy as np

from . import crop_views

DISPLAY_GAMMA = 2.2
N_LEVELS = 3
OUTSIDE = -2.0
_LINEAR = (np.arange(256) / 255) ** DISPLAY_GAMMA
LINEAR_LIGHT = _LINEAR.astype(np.float32)
"""Linear intensity of each 8-bit display value."""


class Pyramid:
    """An image [H, W, 3] uint8 and, made when first asked for, its halves and quarters in linear light."""

    def __init__(self, image: np.ndarray):
        self._levels = [image]

    def sample(self, level: int, x, y):
        """Linear intensities [P, 3] at (x, y) px of a level, bilinear; black, softly, outside of it."""
        while len(self._levels) <= level:
            self._levels.append(_halve(self._levels[-1]))
        return _bilinear(self._levels[level], x, y)

    def level_of(self, scale: float, antialias_factor: int) -> int:
        """The level to sample for crops of `scale` crop px per image px."""
        if min(self._levels[0].shape[:2]) < 4:
            return 0
        return int(np.clip(np.floor(-np.log2(scale * antialias_factor)), 0, N_LEVELS - 1))


def _linear(pixels):
    return LINEAR_LIGHT[pixels] if pixels.dtype == np.uint8 else pixels


def _halve(image):
    """Means of 2x2 pixels."""
    h, w = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    return sum(_linear(image[i:h:2, j:w:2]) for i in (0, 1) for j in (0, 1)) / np.float32(4)


def _neighbours(coords, size: int):
    """The two pixels around each coordinate on one axis, clipped, and their weights, zero outside."""
    coords = np.where(np.isfinite(coords), coords, OUTSIDE)
    coords = np.clip(coords, OUTSIDE, size + 1)
    floor = np.floor(coords)
    fraction, first = (coords - floor).astype(np.float32), floor.astype(np.int64)
    weights = (
        np.where((first >= 0) & (first < size), 1 - fraction, np.float32(0)),
        np.where((first >= -1) & (first < size - 1), fraction, np.float32(0)),
    )
    return (np.clip(first, 0, size - 1), np.clip(first + 1, 0, size - 1)), weights


def _bilinear(image, x, y):
    height, width = image.shape[:2]
    flat = image.reshape(-1, 3)
    (left, right), (w_left, w_right) = _neighbours(x, width)
    (top, bottom), (w_top, w_bottom) = _neighbours(y, height)
    corners = ((top, left, w_top * w_left), (top, right, w_top * w_right))
    corners += ((bottom, left, w_bottom * w_left), (bottom, right, w_bottom * w_right))
    return sum(_linear(flat[row * width + column]) * weight[:, None] for row, column, weight in corners)


def render_crop(
    pyramid: Pyramid, intrinsics, distortion, camera: crop_views.CropCamera, *, size: int, antialias_factor: int = 1
):
    """One crop [size, size, 3] float32 in 0..1, display values to the power of the camera's gamma.

    Args:
        intrinsics, distortion: [3, 3], [12] of the image.
        antialias_factor: every crop pixel is the mean of this number squared of samples.
    """
    level = pyramid.level_of(camera.scale, antialias_factor)
    reduction = 2**level
    # A pixel of a reduced level covers `reduction` pixels; their common centre is shifted by half of the rest.
    scaled = (intrinsics[:2] - np.array([[0, 0, 1], [0, 0, 1]]) * (reduction - 1) / 2) / reduction
    to_rays = camera.rotation.T @ np.linalg.inv(camera.intrinsics)
    total = 0.0
    for i in range(antialias_factor**2):
        offsets = ((k + 0.5) / antialias_factor - 0.5 for k in (i % antialias_factor, i // antialias_factor))
        x, y = (np.arange(size) + offset for offset in offsets)
        rays = to_rays[:, 0, None, None] * x + to_rays[:, 1, None, None] * y[:, None] + to_rays[:, 2, None, None]
        is_ahead = rays[2] > 1e-9
        depth = np.where(is_ahead, rays[2], 1.0)
        with np.errstate(all="ignore"):  # the lens model has no value everywhere; there the crop is black
            u, v = crop_views.distort(rays[0] / depth, rays[1] / depth, distortion)
            columns, rows = (np.where(is_ahead, row[0] * u + row[1] * v + row[2], OUTSIDE).ravel() for row in scaled)
        total = total + pyramid.sample(level, columns, rows)
    linear = (total / antialias_factor**2).reshape(size, size, 3)
    return (linear ** (camera.gamma / DISPLAY_GAMMA)).astype(np.float32)
