"""Crops rendered from full images: a homography or the full lens model, in linear light, without aliasing.

Pixels are looked up in the 8-bit image and then converted, so no float copy of a full image is made; only people larger
than twice the crop need a half- or quarter-resolution float copy of their image. Coordinates are kept as one array per
axis: on CPUs this is several times faster than [..., 2] arrays.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from metrabs_acae.inference import cameras

DISPLAY_GAMMA = 2.2
N_LEVELS = 3
OUTSIDE = -2.0
"""A pixel coordinate that is black in every image."""
MARGIN_PX = 8
"""Around what crops see of an image: more than the neighbours of its pixels in the most reduced level."""


def power(base, exponent):
    """base ** exponent for base >= 0, exponent > 0; on CPUs several times faster than the operator."""
    return tf.exp(exponent * tf.math.log(base))


def linear_light(pixels):
    """uint8 display values to linear intensities in 0..1."""
    return power(tf.cast(pixels, tf.float32) * (1 / 255), DISPLAY_GAMMA)


def pyramid_level(crop_scale, antialias_factor):
    """Level 0, 1 or 2 of the box-filter pyramid to sample from. crop_scale: crop pixels per image pixel."""
    scale = crop_scale * tf.cast(antialias_factor, tf.float32)
    level = tf.floor(-tf.math.log(scale) / np.float32(np.log(2)))
    return tf.cast(tf.clip_by_value(level, 0, N_LEVELS - 1), tf.int32)


def _halve(image):
    """[H, W, 3] -> means of 2x2 pixels [H // 2, W // 2, 3]."""
    return tf.nn.avg_pool2d(image[tf.newaxis], 2, 2, "VALID")[0]


def pyramid(images, needed, regions):
    """The reduced levels [[N, H/2, W/2, 3], [N, H/4, W/4, 3]] of images [N, H, W, 3] uint8, linear light.

    Args:
        needed: [N] the highest level that each image is sampled from; levels above it are left zero.
        regions: [N, 4] left, top, right, bottom px, multiples of 4 or the image's end: what is needed of each image;
            the rest is left zero.
    """
    h, w = tf.shape(images)[1], tf.shape(images)[2]

    def in_place(part, left, top, size_h, size_w):
        after_h, after_w = size_h - top - tf.shape(part)[0], size_w - left - tf.shape(part)[1]
        return tf.ensure_shape(tf.pad(part, [(top, after_h), (left, after_w), (0, 0)]), [None, None, 3])

    def levels_of(args):
        image, level, region = args
        left, top, right, bottom = tf.unstack(region)
        part = image[top:bottom, left:right]
        half = tf.cond(level > 0, lambda: _halve(linear_light(part)), lambda: tf.zeros([0, 0, 3]))
        quarter = tf.cond(level > 1, lambda: _halve(half), lambda: tf.zeros([0, 0, 3]))
        return (
            in_place(half, left // 2, top // 2, h // 2, w // 2),
            in_place(quarter, left // 4, top // 4, h // 4, w // 4),
        )

    signature = tuple(tf.TensorSpec([None, None, 3], tf.float32) for _ in range(2))
    empty = lambda: (tf.zeros([tf.shape(images)[0], 0, 0, 3]),) * 2  # noqa: E731
    return tf.cond(
        tf.reduce_any(needed > 0),
        lambda: tf.map_fn(levels_of, (images, needed, regions), fn_output_signature=signature),
        empty,
    )


def seen_regions(homographies, intrinsics, distortion, image_ids, is_reduced, images_shape, size):
    """[N, 4] left, top, right, bottom px of what crops see of each image, with `MARGIN_PX` around it.

    Lines stay lines without a lens, so a crop's corners bound it; an image seen through a lens, or from behind, counts
    whole. Arguments as in `render_crops`; is_reduced: [C], whether a crop is taken from a reduced level.
    """
    n_images, h, w = images_shape[0], images_shape[1], images_shape[2]
    ends = tf.constant([[x, y, 1.0] for x in (-0.5, size - 0.5) for y in (-0.5, size - 0.5)])
    rays = cameras.product(ends[tf.newaxis], cameras.transposed(homographies))
    is_plain = tf.reduce_all(rays[..., 2] > 1e-6, axis=1) & tf.reduce_all(distortion == 0, axis=-1)
    points = cameras.to_homogeneous(rays[..., :2] / tf.maximum(rays[..., 2:], 1e-6))
    points = cameras.product(points, cameras.transposed(intrinsics))[..., :2]
    is_plain &= tf.reduce_all(tf.math.is_finite(points), axis=(1, 2))
    whole = tf.cast(tf.stack([w, h]), tf.float32)
    choose = lambda value, other: tf.where(is_plain[:, tf.newaxis], tf.clip_by_value(value, 0, whole), other)  # noqa: E731
    low = choose(tf.reduce_min(points, axis=1) - MARGIN_PX, tf.zeros(2))
    high = choose(tf.reduce_max(points, axis=1) + MARGIN_PX, whole)
    of_reduced = tf.where(is_reduced, image_ids, n_images)  # others are left out
    low = tf.math.unsorted_segment_min(low, of_reduced, n_images + 1)[:-1]
    high = tf.math.unsorted_segment_max(high, of_reduced, n_images + 1)[:-1]
    low, high = tf.clip_by_value(low, 0, whole), tf.clip_by_value(high, 0, whole)
    low, high = tf.cast(low, tf.int32) // 4 * 4, -(-tf.cast(tf.math.ceil(high), tf.int32) // 4) * 4
    return tf.concat([low, tf.minimum(high, tf.stack([w, h]))], axis=1)


def _neighbours(coords, size):
    """The two pixels around each coordinate [P] on one axis: their indices, clipped, and weights, zero outside."""
    coords = tf.where(tf.math.is_finite(coords), coords, OUTSIDE)
    coords = tf.clip_by_value(coords, OUTSIDE, tf.cast(size, tf.float32) + 1)
    floor = tf.floor(coords)
    fraction, first, last = coords - floor, tf.cast(floor, tf.int32), size - 1
    weights = (
        tf.where((first >= 0) & (first <= last), 1 - fraction, 0.0),
        tf.where((first >= -1) & (first < last), fraction, 0.0),
    )
    return (tf.clip_by_value(first, 0, last), tf.clip_by_value(first + 1, 0, last)), weights


def _bilinear(flat_pixels, height, width, x, y, convert):
    """Samples [P, 3] at (x, y), [P] px each, of an image given as rows of pixels; black, softly, outside of it."""
    (left, right), (w_left, w_right) = _neighbours(x, width)
    (top, bottom), (w_top, w_bottom) = _neighbours(y, height)
    top, bottom = top * width, bottom * width

    def sample(index, weight):
        return convert(tf.gather(flat_pixels, index)) * weight[:, tf.newaxis]

    return (
        sample(top + left, w_top * w_left)
        + sample(top + right, w_top * w_right)
        + sample(bottom + left, w_bottom * w_left)
        + sample(bottom + right, w_bottom * w_right)
    )


def _image_coords(x, y, homography, intrinsics, distortion):
    """Where pixels of a crop are seen in the image, (x, y) px.

    Args:
        x, y: [1, W], [H, 1] coordinates in the crop.
        homography: [3, 3], from homogeneous crop pixels to rays in the camera frame.
        intrinsics, distortion: [3, 3], [12] of the camera.

    Returns:
        two arrays [H * W]; `OUTSIDE` if behind the camera.
    """
    rays = [tf.reshape(row[0] * x + (row[1] * y + row[2]), [-1]) for row in (homography[i] for i in range(3))]
    is_ahead = rays[2] > 1e-9
    inverse_depth = tf.where(is_ahead, 1 / tf.where(is_ahead, rays[2], 1.0), 0.0)
    u, v = rays[0] * inverse_depth, rays[1] * inverse_depth
    u, v = tf.cond(tf.reduce_any(distortion != 0), lambda: cameras.distort_axes(u, v, distortion), lambda: (u, v))
    return tuple(tf.where(is_ahead, row[0] * u + (row[1] * v + row[2]), OUTSIDE) for row in tf.unstack(intrinsics[:2]))


def render_crops(
    images,
    image_ids,
    intrinsics,
    distortion,
    rotations,
    crop_intrinsics,
    crop_scales,
    gammas,
    *,
    size,
    antialias_factor,
):
    """Perspective crops of images.

    Args:
        images: [N, H, W, 3] uint8, display gamma.
        image_ids: [C] which image each crop is taken from.
        intrinsics, distortion: [C, 3, 3], [C, 12] of the images, per crop.
        rotations: [C, 3, 3] from the image's camera frame to the crop's.
        crop_intrinsics: [C, 3, 3] of the crops.
        crop_scales: [C] crop pixels per image pixel; decides the pyramid level.
        gammas: [C] extra exponents on the display values.
        size: side of the crop, px.
        antialias_factor: int scalar; every crop pixel is the mean of this number squared of samples.

    Returns:
        [C, size, size, 3] float32 in 0..1.
    """
    n_images, h, w = tf.shape(images)[0], tf.shape(images)[1], tf.shape(images)[2]
    levels = pyramid_level(crop_scales, antialias_factor)
    # An image of one row or column has no reduced level.
    levels = tf.minimum(levels, tf.where(tf.minimum(h, w) >= 4, 2, 0))
    needed = tf.math.unsorted_segment_max(levels, image_ids, n_images)
    homographies = cameras.product(cameras.transposed(rotations), tf.linalg.inv(crop_intrinsics))
    seen = (homographies, intrinsics, distortion, image_ids, levels > 0)
    half, quarter = pyramid(images, needed, seen_regions(*seen, tf.shape(images), size))
    grid_x, grid_y = tf.range(size, dtype=tf.float32)[tf.newaxis], tf.range(size, dtype=tf.float32)[:, tf.newaxis]
    factor = tf.cast(antialias_factor, tf.float32)

    def render_one(args):
        image_id, level, intrinsics, distortion, homography, gamma = args
        reduction = tf.cast(2**level, tf.float32)
        # A pixel of a reduced level covers `reduction` pixels; their common centre is shifted by half of the rest.
        scaled = (intrinsics[:2] - tf.constant([[0.0, 0, 1], [0, 0, 1]]) * (reduction - 1) / 2) / reduction

        def sample(i):
            offset_x, offset_y = (
                (tf.cast(k, tf.float32) + 0.5) / factor - 0.5 for k in (i % antialias_factor, i // antialias_factor)
            )
            x, y = _image_coords(grid_x + offset_x, grid_y + offset_y, homography, scaled, distortion)
            from_full = lambda: _bilinear(tf.reshape(images[image_id], [-1, 3]), h, w, x, y, linear_light)  # noqa: E731
            from_half = lambda: _bilinear(tf.reshape(half[image_id], [-1, 3]), h // 2, w // 2, x, y, tf.identity)  # noqa: E731
            from_quarter = lambda: _bilinear(  # noqa: E731
                tf.reshape(quarter[image_id], [-1, 3]), h // 4, w // 4, x, y, tf.identity
            )
            return tf.switch_case(level, [from_full, from_half, from_quarter])

        n_samples = antialias_factor * antialias_factor
        _, total = tf.while_loop(
            lambda i, _: i < n_samples,
            lambda i, total: (i + 1, total + sample(i)),
            (1, sample(0)),
            parallel_iterations=1,
        )
        linear = tf.reshape(total / (factor * factor), [size, size, 3])
        return power(linear, gamma / DISPLAY_GAMMA)

    return tf.map_fn(
        render_one,
        (image_ids, levels, intrinsics, distortion, homographies, gammas),
        fn_output_signature=tf.TensorSpec([size, size, 3], tf.float32),
        parallel_iterations=4,
    )
