"""Pinhole projection, and the absolute pose from a 2D and a root-free 3D estimate (MeTRAbs, T-BIOM 2021).

Camera frame: x right, y down, z forward, in mm. Pixel (0, 0) is the centre of the top-left pixel. Intrinsics are
[B, 3, 3] with bottom row (0, 0, 1). The 3x3 products are written out: matrix units that round float32 to TF32
would cost millimetres at these magnitudes.
"""

from __future__ import annotations

from keras import ops

from metrabs_acae.geometry.heatmaps import at_least_float32
from metrabs_acae.geometry.points import masked_mean

MIN_DEPTH_MM = 1.0
BORDER_FACTOR = 0.75  # points nearer to the crop's border than this many strides count as outside
NEAR_FOV_BORDER_FACTOR = -20.0  # outside by up to 20 strides still counts as near
_MASK_FLOOR = 1e-4  # row weight that joints outside keep in the full-perspective solve
RIDGE = 1e-2  # of the full-perspective solve, in the scaled system


def project(coords3d_mm, intrinsics):
    """Pinhole projection of [B, J, 3] mm to pixels [B, J, 2]. Depths below 1 mm count as 1 mm."""
    coords3d_mm = at_least_float32(coords3d_mm)
    x, y, z = _components(coords3d_mm / ops.maximum(coords3d_mm[..., 2:], MIN_DEPTH_MM))
    k = _entries(intrinsics, coords3d_mm.dtype)
    return ops.stack([k[0, 0] * x + k[0, 1] * y + k[0, 2] * z, k[1, 0] * x + k[1, 1] * y + k[1, 2] * z], axis=-1)


def normalize(coords2d_px, intrinsics):
    """Pixels [B, J, 2] to coordinates on the plane at depth one [B, J, 2]: the inverse of the intrinsics."""
    coords2d_px = at_least_float32(coords2d_px)
    k = _entries(intrinsics, coords2d_px.dtype)
    u = coords2d_px[..., 0] - k[0, 2]
    v = coords2d_px[..., 1] - k[1, 2]
    determinant = k[0, 0] * k[1, 1] - k[0, 1] * k[1, 0]
    return ops.stack([(k[1, 1] * u - k[0, 1] * v) / determinant, (k[0, 0] * v - k[1, 0] * u) / determinant], axis=-1)


def back_project(coords2d_normalized, depth_mm):
    """Points [B, J, 3] mm on the rays through normalized coordinates [B, J, 2] at depths [B, J] mm."""
    return ops.concatenate([coords2d_normalized * depth_mm[..., None], depth_mm[..., None]], axis=-1)


def is_within_fov(
    coords2d_px,
    *,
    image_size: int,
    stride: int,
    centered_stride: bool,
    border_factor: float = BORDER_FACTOR,
):
    """Whether pixels [B, J, 2] lie in the area that the heatmap can express, shrunk by a border: bool [B, J].

    The border is `border_factor` strides wide; a negative factor widens the area instead.
    """
    offset = 0.0 if centered_stride else -stride / 2
    low = stride * border_factor + offset
    high = image_size - stride * border_factor + offset
    return ops.all(ops.logical_and(coords2d_px >= low, coords2d_px <= high), axis=-1)


def reconstruct_absolute(
    coords2d_px,
    coords3d_rel_mm,
    intrinsics,
    *,
    image_size: int,
    stride: int,
    centered_stride: bool,
    mix_3d_inside_fov=0.5,
    weak_perspective=False,
    ridge: float = RIDGE,
):
    """The absolute pose that agrees with both heads (T-BIOM 2021, section III-D).

    Finds the translation R that brings the relative pose onto the 2D pose. Joints outside the field of view are
    `relative + R`; those inside are a mix of that and of the 2D joint back-projected at the depth found.

    Args:
        coords2d_px: [B, J, 2] from the 2D head.
        coords3d_rel_mm: [B, J, 3] from the 3D head, with any origin.
        intrinsics: [B, 3, 3].
        mix_3d_inside_fov: share of the 3D-based result inside the field of view; a number or [B].
        weak_perspective: bool or boolean scalar tensor: find R with weak instead of full perspective.
        ridge: regularisation of the full-perspective solve. It keeps the solve finite for any input, at the price
            that the origin of the relative pose matters slightly; with 0 it does not matter at all.

    Returns:
        [B, J, 3] mm in the camera frame. Finite, with finite gradients, whatever the (finite) input.
    """
    coords2d_px, coords3d_rel_mm = at_least_float32(coords2d_px), at_least_float32(coords3d_rel_mm)
    normalized = normalize(coords2d_px, intrinsics)
    inside = is_within_fov(coords2d_px, image_size=image_size, stride=stride, centered_stride=centered_stride)
    if isinstance(weak_perspective, bool) and weak_perspective:
        reference = reference_point_weak(coords3d_rel_mm, normalized, inside)
    else:
        reference = reference_point_full(coords3d_rel_mm, normalized, inside, ridge=ridge)
    if not isinstance(weak_perspective, bool):
        reference = ops.where(weak_perspective, reference_point_weak(coords3d_rel_mm, normalized, inside), reference)
    from_3d = coords3d_rel_mm + reference[:, None]
    from_2d = back_project(normalized, from_3d[..., 2])
    mix = ops.convert_to_tensor(mix_3d_inside_fov, dtype=from_3d.dtype)
    mix = ops.reshape(mix, (-1, 1, 1))
    return ops.where(inside[..., None], mix * from_3d + (1 - mix) * from_2d, from_3d)


def reference_point_full(coords3d_rel_mm, coords2d_normalized, inside, *, ridge: float = RIDGE):
    """Translation [B, 3] mm by linear least squares over the rays, two equations per joint.

    X - n_x Z = n_x r_z - r_x and Y - n_y Z = n_y r_z - r_y, with the column of Z and the right side divided by
    their root mean squares over the example, joints outside weighted down, and a small ridge. X and Y are
    eliminated from the 3x3 normal equations, in centred sums, so that nothing cancels in float32.
    """
    n, r = coords2d_normalized, coords3d_rel_mm
    rhs = n * r[..., 2:] - r[..., :2]
    n_scale, rhs_scale = _rms(n), _rms(rhs)  # [B, 1, 1]
    n, rhs = n / n_scale, rhs / rhs_scale
    weight = ops.square(ops.cast(inside, r.dtype) + _MASK_FLOOR)[..., None]  # multiplies both sides, so squared
    total = ops.sum(weight, axis=1)  # [B, 1]
    n_mean = ops.sum(weight * n, axis=1) / total
    rhs_mean = ops.sum(weight * rhs, axis=1) / total
    n_centered, rhs_centered = n - n_mean[:, None], rhs - rhs_mean[:, None]
    shrink = ridge * total / (total + ridge)
    slope = ops.sum(weight * n_centered * rhs_centered, axis=(1, 2)) + ops.sum(shrink * n_mean * rhs_mean, axis=1)
    curvature = ops.sum(weight * ops.square(n_centered), axis=(1, 2)) + ops.sum(shrink * ops.square(n_mean), axis=1)
    z = -slope[:, None] / (curvature[:, None] + ridge)  # [B, 1]
    xy = (rhs_mean + n_mean * z) * total / (total + ridge)
    return ops.concatenate([xy, z / n_scale[:, 0]], axis=-1) * rhs_scale[:, 0]


def reference_point_weak(coords3d_rel_mm, coords2d_normalized, inside):
    """Translation [B, 3] mm under weak perspective: depth from the ratio of the spreads, then the means match."""
    mean3d, spread3d = _mean_and_spread(coords3d_rel_mm, inside)
    mean2d, spread2d = _mean_and_spread(coords2d_normalized, inside)
    z = spread3d / spread2d
    return ops.concatenate([mean2d * z, z], axis=-1) - mean3d


def _mean_and_spread(points, mask):
    """Masked mean [B, C] of points [B, J, C], and the masked spread [B, 1] of their first two coordinates."""
    mask = mask[..., None]
    mean = masked_mean(points, mask, axis=1)
    squared = ops.sum(ops.square(points[..., :2] - mean[:, None, :2]), axis=-1, keepdims=True)
    spread = ops.sqrt(masked_mean(squared, mask, axis=1) + 1e-10)
    return mean, ops.maximum(spread, 1e-5)


def _rms(x):
    """Root mean square over the joints and coordinates of each example: [B, 1, 1], floored."""
    return ops.sqrt(ops.maximum(ops.mean(ops.square(x), axis=(1, 2), keepdims=True), 1e-12))


def _components(x):
    return x[..., 0], x[..., 1], x[..., 2]


def _entries(intrinsics, dtype):
    """Entries of [B, 3, 3] by (row, column), each [B, 1] to broadcast over joints."""
    intrinsics = ops.cast(intrinsics, dtype)
    return {(i, j): intrinsics[:, i, j, None] for i in range(2) for j in range(3)}
