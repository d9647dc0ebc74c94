"""From the heads' outputs to poses: where the root-free pose must stand to be seen where the 2D head says.

MeTRAbs (T-BIOM 2021, section III-D). Everything float64; formulas as in the training code's geometry.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BORDER_FACTOR = 0.75  # points nearer to the crop's border than this many strides count as outside
MASK_FLOOR = 1e-4  # row weight that points outside keep in the full-perspective solve
RIDGE = 1e-2


class Grid(NamedTuple):
    """How heatmap cells lie in the crop: side of the crop (px), stride (px), whether cells lie symmetrically."""

    image_size: int
    stride: int
    centered_stride: bool


def is_within_fov(coords2d_px, grid: Grid):
    """Whether pixels [..., 2] lie in the area that the heatmap can express, shrunk by a border: bool [...]."""
    offset = 0.0 if grid.centered_stride else -grid.stride / 2
    border = grid.stride * BORDER_FACTOR
    low, high = border + offset, grid.image_size - border + offset
    return ((coords2d_px >= low) & (coords2d_px <= high)).all(-1)


def reconstruct_absolute(
    coords2d_px, coords3d_rel_mm, intrinsics, grid: Grid, *, mix_3d_inside_fov: float = 0.5, weak_perspective=False
):
    """The absolute pose that agrees with both heads.

    Args:
        coords2d_px: [B, P, 2] crop pixels. coords3d_rel_mm: [B, P, 3] with any origin.
        intrinsics: [B, 3, 3] of the crops.
        mix_3d_inside_fov: share of the 3D-based result inside the field of view.
        weak_perspective: find the translation with weak instead of full perspective.

    Returns:
        [B, P, 3] mm, the crops' camera frames.
    """
    coords2d_px, relative = np.asarray(coords2d_px, np.float64), np.asarray(coords3d_rel_mm, np.float64)
    linear = np.asarray(intrinsics, np.float64)[:, :2, :2]
    centered = coords2d_px - np.asarray(intrinsics, np.float64)[:, None, :2, 2]
    normalized = centered @ np.linalg.inv(linear).transpose(0, 2, 1)
    inside = is_within_fov(coords2d_px, grid)
    solve = translation_weak if weak_perspective else translation_full
    from_3d = relative + solve(relative, normalized, inside)[:, None]
    depth = from_3d[..., 2:]
    from_2d = np.concatenate([normalized * depth, depth], axis=-1)
    mixed = mix_3d_inside_fov * from_3d + (1 - mix_3d_inside_fov) * from_2d
    return np.where(inside[..., None], mixed, from_3d)


def translation_full(relative, normalized, inside):
    """[B, 3] mm by linear least squares over the rays: X - n_x Z = n_x r_z - r_x, and the same for y.

    Columns scaled to size one, points outside weighted down, a small ridge.
    """
    rms = lambda a: np.sqrt(np.maximum((a * a).mean((1, 2), keepdims=True), 1e-12))  # noqa: E731
    right = normalized * relative[..., 2:] - relative[..., :2]
    n_scale, right_scale = rms(normalized), rms(right)
    n, right = normalized / n_scale, right / right_scale
    weight = ((inside + MASK_FLOOR) ** 2)[..., None]
    total = weight.sum(1)
    n_mean, right_mean = (weight * n).sum(1) / total, (weight * right).sum(1) / total
    n_centered, right_centered = n - n_mean[:, None], right - right_mean[:, None]
    shrink = RIDGE * total / (total + RIDGE)
    slope = (weight * n_centered * right_centered).sum((1, 2)) + (shrink * n_mean * right_mean).sum(1)
    curvature = (weight * n_centered**2).sum((1, 2)) + (shrink * n_mean**2).sum(1)
    z = -slope[:, None] / (curvature[:, None] + RIDGE)
    xy = (right_mean + n_mean * z) * total / (total + RIDGE)
    return np.concatenate([xy, z / n_scale[:, 0]], axis=-1) * right_scale[:, 0]


def translation_weak(relative, normalized, inside):
    """[B, 3] mm under weak perspective: depth from the ratio of the spreads, then the means match."""
    mean3d, spread3d = _mean_and_spread(relative, inside)
    mean2d, spread2d = _mean_and_spread(normalized, inside)
    z = spread3d / spread2d
    return np.concatenate([mean2d * z, z], axis=-1) - mean3d


def _mean_and_spread(points, mask):
    """Masked mean [B, C] of points [B, P, C], and the masked spread [B, 1] of their first two coordinates."""
    mask = mask[..., None]
    count = np.maximum(mask.sum(1), 1)
    mean = (points * mask).sum(1) / count
    squared = ((points[..., :2] - mean[:, None, :2]) ** 2).sum(-1, keepdims=True)
    spread = np.sqrt((squared * mask).sum(1) / count + 1e-10)
    return mean, np.maximum(spread, 1e-5)


def combine(points, weights):
    """Weighted sums of points: [..., J, C] with weights [J, L] gives [..., L, C]."""
    return np.einsum("...jc,jl->...lc", points, weights)
