"""Arguments of the public inference methods, checked in the graph: one sentence says what is wrong.

Every function returns the value that was checked. Only what is computed from that is sure to run after the check.
"""

from __future__ import annotations

import tensorflow as tf

from metrabs_acae.inference import cameras
from metrabs_acae.numpy_runtime import rules

PLAUSIBLE_FOV_DEGREES = 55.0


def require(value, condition, message: str):
    """`value`; whatever uses it fails with `message` (InvalidArgumentError) unless the boolean scalar holds."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(value)


def _known_shape(value, shape):
    """`value` with the static shape that the checks have made sure of.

    Not `tf.ensure_shape`: TensorFlow's constant folding concludes from that op that the checks before it must hold,
    and removes them.
    """
    value.set_shape(shape)
    return value


def _require_all(value, conditions, message: str):
    return require(value, tf.reduce_all(conditions), message)


def images(value):
    """uint8 [N, H, W, 3] with at least one pixel."""
    message = "images must have shape [N, H, W, 3]; a single image goes to the unbatched method."
    value = require(value, tf.rank(value) == 4, message)
    return _rgb(value)


def image(value):
    """uint8 [H, W, 3] -> [1, H, W, 3]."""
    message = "image must have shape [H, W, 3]; many images go to the batched method."
    value = require(value, tf.rank(value) == 3, message)
    return _rgb(value[tf.newaxis])


def _rgb(value):
    shape = tf.shape(value)
    value = require(value, shape[3] == 3, "images must be RGB with 3 channels; convert grey or RGBA images first.")
    value = _require_all(value, shape[1:3] > 0, "images must have at least one row and one column.")
    return _known_shape(value, [None, None, None, 3])


def not_of_unit_range(images, n_people):
    """uint8 images; an error if people are to be seen in them, but the brightest pixel value is 1.

    TensorFlow itself casts NumPy arrays of any type to uint8 before a function sees them (tensors of another type are
    refused): of a float image in 0..1 only the ones in its saturated pixels are left.
    """
    message = (
        "images must be uint8 with values from 0 to 255, but the largest value is 1: a float image in 0..1 may have "
        "been given; multiply it by 255 and convert it to uint8."
    )
    return require(images, (n_people == 0) | (tf.reduce_max(images) != 1), message)


def flat_boxes(value, images):
    """[P, 4 or more] left, top, width, height -> [P, 4]; an empty list is no boxes."""
    n_rows = tf.concat([tf.shape(value), [1]], axis=0)[0]
    value = tf.cond(n_rows == 0, lambda: tf.zeros([0, 4]), lambda: value)
    message = "boxes must have shape [number of people, 4]: left, top, width, height in pixels."
    value = require(value, tf.rank(value) == 2, message)
    message = "boxes must have four numbers each: left, top, width, height in pixels."
    value = require(value, tf.shape(value)[1] >= 4, message)
    value = rules.boxes(_known_shape(value[:, :4], [None, 4]), _require_all)
    return rules.boxes_in_picture(value, *_size_wh(images), _require_all)


def _size_wh(images):
    """Width and height of [N, H, W, 3] as floats."""
    shape = tf.cast(tf.shape(images), tf.float32)
    return shape[2], shape[1]


def _per_image(value, n_images, row_shape, message):
    """[1 or N, ...] or [...] -> [N, ...]."""
    n_dims = len(row_shape)
    value = tf.cond(tf.rank(value) == n_dims, lambda: value[tf.newaxis], lambda: value)
    value = require(value, tf.rank(value) == n_dims + 1, message)
    value = _require_all(value, tf.shape(value)[1:] == row_shape, message)
    value = _known_shape(value, [None, *row_shape])
    n_rows = tf.shape(value)[0]
    value = require(value, (n_rows == 1) | (n_rows == n_images), message)
    return tf.cond(n_rows == 1, lambda: tf.repeat(value, n_images, axis=0), lambda: value)


def intrinsics(value, images, fov_degrees, *, center_offset_px: float):
    """Per image [N, 3, 3]; matrices of minus ones are replaced by the camera of the given field of view."""
    message = "intrinsic_matrix must have shape [3, 3], [1, 3, 3] or [number of images, 3, 3]."
    value = _per_image(value, tf.shape(images)[0], [3, 3], message)
    message = "default_fov_degrees must lie between 0 and 180."
    fov_degrees = require(fov_degrees, (fov_degrees > 0) & (fov_degrees < 180), message)
    unknown = tf.reduce_all(value == -1, axis=[1, 2], keepdims=True)
    usual, default = (
        cameras.intrinsics_from_fov(fov, tf.shape(images)[1:3], center_offset_px=center_offset_px)
        for fov in (PLAUSIBLE_FOV_DEGREES, fov_degrees)
    )
    given = rules.intrinsics(tf.where(unknown, usual, value), _require_all)
    given = rules.view(given, *_size_wh(images), _require_all)
    message = "default_fov_degrees gives a camera whose entries are not below a million pixels."
    default = _require_all(default, tf.abs(default) <= rules.MAX_COORDINATE_PX, message)
    return tf.where(unknown, default, given)


def distortion(value, intrinsics, images):
    """Per image [N, 12], padded with zeros."""
    message = "distortion_coeffs must have shape [n], [1, n] or [number of images, n], with n at most 12."
    value = tf.cond(tf.rank(value) == 1, lambda: value[tf.newaxis], lambda: value)
    value = require(value, tf.rank(value) == 2, message)
    value = require(value, tf.shape(value)[1] <= 12, message)
    value = tf.pad(value, [[0, 0], [0, 12 - tf.shape(value)[1]]])
    value = _per_image(value, tf.shape(images)[0], [12], message)
    return rules.distortion(value, intrinsics, tf.minimum(*_size_wh(images)), _require_all)


def extrinsics(value, n_images):
    """Per image [N, 4, 4], world to camera."""
    message = "extrinsic_matrix must have shape [4, 4], [1, 4, 4] or [number of images, 4, 4]."
    return rules.extrinsics(_per_image(value, n_images, [4, 4], message), _require_all)


def up_vector(value):
    """[3] of length one, from one of any length but zero."""
    is_triple = tf.logical_and(tf.rank(value) == 1, tf.size(value) == 3)
    value = _known_shape(require(value, is_triple, "world_up_vector must be three numbers."), [3])
    length = tf.norm(value)
    message = "world_up_vector must be finite and not zero."
    return require(value, (length > 1e-6) & tf.math.is_finite(length), message) / length


def counts(internal_batch_size, antialias_factor, num_aug):
    """The integer settings of a call, in the order given."""
    message = "internal_batch_size must be 0 (everything at once) or positive."
    internal_batch_size = require(internal_batch_size, internal_batch_size >= 0, message)
    message = "antialias_factor must be an integer from 1 to 64."
    antialias_factor = require(antialias_factor, (antialias_factor >= 1) & (antialias_factor <= 64), message)
    message = "num_aug must be an integer from 1 to 1000."
    return internal_batch_size, antialias_factor, require(num_aug, (num_aug >= 1) & (num_aug <= 1000), message)
