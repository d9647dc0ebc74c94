"""Cameras in the TensorFlow graph: field of view, OpenCV's Brown-Conrady lens, upright rotations, projection.

Conventions: camera frame x right, y down, z forward; pixel (0, 0) is the centre of the top-left pixel; poses are row
vectors. `distortion` is always [..., 12] in OpenCV's order k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4. Matrix products are
written out: matrix units that round float32 to TF32 would cost millimetres.
"""

from __future__ import annotations

import math

import tensorflow as tf

from metrabs_acae.numpy_runtime import lens

MIN_DEPTH_MM = 1.0
"""Points nearer than this are projected as if they were this far away."""


def intrinsics_from_fov(fov_degrees, image_size_hw, *, center_offset_px: float = -0.5):
    """[3, 3] intrinsics of an image [H, W] whose larger side spans `fov_degrees`.

    The principal point is size / 2 + `center_offset_px`; -0.5 is the middle of the image.
    """
    h, w = (tf.cast(image_size_hw[i], tf.float32) for i in (0, 1))
    focal = tf.maximum(h, w) / 2 / tf.tan(fov_degrees * (math.pi / 360))
    zero, one = tf.zeros_like(focal), tf.ones_like(focal)
    rows = [[focal, zero, w / 2 + center_offset_px], [zero, focal, h / 2 + center_offset_px], [zero, zero, one]]
    return tf.stack([tf.stack(row) for row in rows])


def product(a, b):
    """The matrix product of [..., N, K] and [..., K, M], for a small K, as a sum of K products in full float32."""
    return sum(a[..., k : k + 1] * b[..., k : k + 1, :] for k in range(a.shape[-1]))


def transposed(matrix):
    return tf.linalg.matrix_transpose(matrix)


def distort_axes(x, y, distortion):
    """Applies the lens to normalized points given as one array per axis; distortion broadcastable to [..., 12]."""
    return lens.distort(x, y, tf.unstack(distortion, axis=-1))


def distort(points, distortion):
    """Applies the lens: normalized points [..., 2], distortion broadcastable to [..., 12] -> [..., 2]."""
    return tf.stack(distort_axes(*tf.unstack(points, axis=-1), distortion), axis=-1)


def undistort(points, distortion):
    """Inverts `distort`; points where the iteration diverges are returned as they came."""
    coefficients = tf.unstack(distortion, axis=-1)
    x, y = tf.unstack(points, axis=-1)
    found = lens.undistort(x, y, coefficients)
    converged = lens.is_inverse(*lens.distort(*found, coefficients), x, y)
    return tf.where(converged[..., tf.newaxis], tf.stack(found, axis=-1), points)


def to_homogeneous(points):
    """[..., 2] -> [..., 3] with a last coordinate of one."""
    return tf.concat([points, tf.ones_like(points[..., :1])], axis=-1)


def normalize(points_px, intrinsics):
    """Pixels [..., P, 2] to undistorted normalized coordinates of cameras [..., 3, 3]."""
    centered = points_px - intrinsics[..., tf.newaxis, :2, 2]
    return product(centered, transposed(tf.linalg.inv(intrinsics[..., :2, :2])))


def project(coords3d_mm, intrinsics, distortion):
    """Camera-frame points [..., J, 3] mm to pixels [..., J, 2] of cameras [..., 3, 3], [..., 12].

    Points so far outside the view that the lens model has no value there are projected without it.
    """
    normalized = coords3d_mm[..., :2] / tf.maximum(coords3d_mm[..., 2:], MIN_DEPTH_MM)
    distorted = tf.cond(
        tf.reduce_any(distortion != 0),
        lambda: distort(normalized, distortion[..., tf.newaxis, :]),
        lambda: normalized,
    )
    distorted = tf.where(tf.math.is_finite(distorted), distorted, normalized)
    return product(distorted, transposed(intrinsics[..., :2, :2])) + intrinsics[..., tf.newaxis, :2, 2]


def look_at_rotation(forward, up):
    """Rotations [B, 3, 3] (rows x, y, z) whose z axis is `forward` [B, 3] and whose -y axis is near `up` [B, 3].

    Where `forward` is parallel to `up`, any perpendicular x axis is as good: one is chosen from the camera's axes.
    """
    z = tf.linalg.l2_normalize(forward, axis=-1)
    x = tf.linalg.cross(z, tf.linalg.l2_normalize(up, axis=-1))
    fallback = tf.linalg.cross(z, tf.stack([tf.zeros_like(z[:, 0]), -z[:, 2], z[:, 1]], axis=-1))
    other = tf.linalg.cross(z, tf.broadcast_to(tf.constant([0.0, -1.0, 0.0]), tf.shape(z)))
    fallback = tf.where(tf.norm(other, axis=-1, keepdims=True) > 1e-3, other, fallback)
    x = tf.where(tf.norm(x, axis=-1, keepdims=True) > 1e-4, x, fallback)
    x = tf.linalg.l2_normalize(x, axis=-1)
    return tf.stack([x, tf.linalg.cross(z, x), z], axis=1)


def rotation_z(angle):
    """[...] radians -> [..., 3, 3], turning x towards y."""
    c, s, zero, one = tf.cos(angle), tf.sin(angle), tf.zeros_like(angle), tf.ones_like(angle)
    rows = [[c, -s, zero], [s, c, zero], [zero, zero, one]]
    return tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)
