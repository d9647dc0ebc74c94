"""Arguments of the public inference methods, checked in the graph: one sentence says what is wrong."""

from __future__ import annotations

import tensorflow as tf

from metrabs_acae.inference import cameras

MAX_COORDINATE_PX = 1e6


def require(condition, message: str) -> None:
    """Fails with `message` (an InvalidArgumentError) unless the boolean scalar `condition` holds."""
    tf.debugging.Assert(condition, [message])


def images(value):
    """uint8 [N, H, W, 3] with at least one pixel."""
    require(tf.rank(value) == 4, "images must have shape [N, H, W, 3]; a single image goes to the unbatched method.")
    require(tf.shape(value)[3] == 3, "images must be RGB with 3 channels; convert grey or RGBA images first.")
    require(tf.reduce_min(tf.shape(value)[1:3]) > 0, "images must have at least one row and one column.")
    return tf.ensure_shape(value, [None, None, None, 3])


def image(value):
    """uint8 [H, W, 3] -> [1, H, W, 3]."""
    require(tf.rank(value) == 3, "image must have shape [H, W, 3]; many images go to the batched method.")
    require(tf.shape(value)[-1] == 3, "image must be RGB with 3 channels; convert grey or RGBA images first.")
    return tf.reshape(value, tf.concat([[1], tf.shape(value)], axis=0))


def flat_boxes(value):
    """[P, 4 or more] left, top, width, height -> [P, 4]; an empty list of any shape is no boxes."""
    empty = tf.size(value) == 0
    is_table = tf.logical_or(empty, tf.rank(value) == 2)
    require(is_table, "boxes must have shape [number of people, 4]: left, top, width, height in pixels.")
    value = tf.cond(empty, lambda: tf.zeros([0, 4]), lambda: value)
    require(tf.shape(value)[1] >= 4, "boxes must have four numbers each: left, top, width, height in pixels.")
    value = tf.ensure_shape(value[:, :4], [None, 4])
    require(tf.reduce_all(tf.math.is_finite(value)), "boxes must be finite numbers.")
    require(tf.reduce_all(value[:, 2:] > 0), "boxes must have a positive width and height (left, top, width, height).")
    require(tf.reduce_all(tf.abs(value) <= MAX_COORDINATE_PX), "boxes must lie within a million pixels of the origin.")
    return value


def _per_image(value, n_images, row_shape, message):
    """[1 or N, ...] or [...] -> [N, ...]."""
    n_dims = len(row_shape)
    value = tf.cond(tf.rank(value) == n_dims, lambda: value[tf.newaxis], lambda: value)
    require(tf.rank(value) == n_dims + 1, message)
    require(tf.reduce_all(tf.shape(value)[1:] == row_shape), message)
    value = tf.ensure_shape(value, [None, *row_shape])
    n_rows = tf.shape(value)[0]
    require((n_rows == 1) | (n_rows == n_images), message)
    return tf.cond(n_rows == 1, lambda: tf.repeat(value, n_images, axis=0), lambda: value)


def intrinsics(value, images, fov_degrees, *, center_offset_px: float):
    """Per image [N, 3, 3]; matrices of minus ones are replaced by the camera of the given field of view."""
    n_images = tf.shape(images)[0]
    message = "intrinsic_matrix must have shape [3, 3], [1, 3, 3] or [number of images, 3, 3]."
    value = _per_image(value, n_images, [3, 3], message)
    require(tf.rank(fov_degrees) == 0, "default_fov_degrees must be one number.")
    require((fov_degrees > 0) & (fov_degrees < 180), "default_fov_degrees must lie between 0 and 180.")
    unknown = tf.reduce_all(value == -1, axis=[1, 2], keepdims=True)
    default = cameras.intrinsics_from_fov(fov_degrees, tf.shape(images)[1:3], center_offset_px=center_offset_px)
    value = tf.where(unknown, default, value)
    require(tf.reduce_all(tf.math.is_finite(value)), "intrinsic_matrix must have finite entries.")
    last_row_ok = tf.reduce_all(tf.abs(value[:, 2] - [0.0, 0, 1]) < 1e-5)
    require(last_row_ok, "intrinsic_matrix must have [0, 0, 1] as its last row.")
    focal_ok = tf.reduce_all((value[:, 0, 0] > 1e-3) & (value[:, 1, 1] > 1e-3))
    require(focal_ok, "intrinsic_matrix must have positive focal lengths, in pixels.")
    regular = tf.abs(tf.linalg.det(value[:, :2, :2])) > 1e-3 * value[:, 0, 0] * value[:, 1, 1]
    require(tf.reduce_all(regular), "intrinsic_matrix must be invertible.")
    in_range = tf.reduce_all(tf.abs(value) <= MAX_COORDINATE_PX)
    require(in_range, "intrinsic_matrix must have entries below a million pixels.")
    return value


def distortion(value, n_images):
    """Per image [N, 12], padded with zeros."""
    message = "distortion_coeffs must have shape [n], [1, n] or [number of images, n], with n at most 12."
    value = tf.cond(tf.rank(value) == 1, lambda: value[tf.newaxis], lambda: value)
    require(tf.rank(value) == 2, message)
    n_coeffs = tf.shape(value)[1]
    require(n_coeffs <= 12, message)
    padded = tf.pad(tf.reshape(value, [-1, n_coeffs]), [[0, 0], [0, tf.maximum(12 - n_coeffs, 0)]])
    require(tf.reduce_all(tf.math.is_finite(padded)), "distortion_coeffs must be finite numbers.")
    return _per_image(padded, n_images, [12], message)


def extrinsics(value, n_images):
    """Per image [N, 4, 4], world to camera."""
    message = "extrinsic_matrix must have shape [4, 4], [1, 4, 4] or [number of images, 4, 4]."
    value = _per_image(value, n_images, [4, 4], message)
    rotation = value[:, :3, :3]
    gram = tf.linalg.matmul(rotation, rotation, transpose_b=True)
    require(
        tf.reduce_all(tf.abs(gram - tf.eye(3)) < 0.01) & tf.reduce_all(tf.math.is_finite(value)),
        "extrinsic_matrix must be finite and begin with a rotation matrix (world to camera, translation in mm).",
    )
    require(
        tf.reduce_all(tf.abs(value[:, 3] - [0.0, 0, 0, 1]) < 1e-5),
        "extrinsic_matrix must have [0, 0, 0, 1] as its last row.",
    )
    return value


def up_vector(value):
    """[3], of any length but zero."""
    require(tf.reduce_all(tf.shape(value) == [3]), "world_up_vector must be three numbers.")
    value = tf.ensure_shape(value, [3])
    length = tf.norm(value)
    require((length > 1e-6) & tf.math.is_finite(length), "world_up_vector must be finite and not zero.")
    return value / length


def counts(internal_batch_size, antialias_factor, num_aug):
    """The integer settings of a call."""
    require(internal_batch_size >= 0, "internal_batch_size must be 0 (everything at once) or positive.")
    require((antialias_factor >= 1) & (antialias_factor <= 64), "antialias_factor must be an integer from 1 to 64.")
    require((num_aug >= 1) & (num_aug <= 1000), "num_aug must be an integer from 1 to 1000.")
