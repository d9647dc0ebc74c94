"""Crops rendered from full images: a homography or the full lens model, in linear light, without aliasing.

Pixels are looked up from the 8-bit image through a table of linear intensities, so no float copy of a full image is
made; only people larger than twice the crop need a half- or quarter-resolution float copy of their image.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from metrabs_acae.inference import cameras

DISPLAY_GAMMA = 2.2
N_LEVELS = 3


def _linear_light_table():
    return tf.constant((np.arange(256) / 255.0) ** DISPLAY_GAMMA, tf.float32)


def pyramid_level(crop_scale, antialias_factor):
    """Level 0, 1 or 2 of the box-filter pyramid to sample from. crop_scale: crop pixels per image pixel."""
    scale = crop_scale * tf.cast(antialias_factor, tf.float32)
    level = tf.floor(-tf.math.log(scale) / np.float32(np.log(2)))
    return tf.cast(tf.clip_by_value(level, 0, N_LEVELS - 1), tf.int32)


def _halve_uint8(image):
    """[H, W, 3] uint8 -> 2x2 means in linear light [H // 2, W // 2, 3] float32."""
    table = _linear_light_table()
    h, w = tf.shape(image)[0] // 2 * 2, tf.shape(image)[1] // 2 * 2
    even = image[:h, :w]
    quarters = [even[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return tf.add_n([tf.gather(table, tf.cast(q, tf.int32)) for q in quarters]) / 4


def _halve(image):
    h, w = tf.shape(image)[0] // 2 * 2, tf.shape(image)[1] // 2 * 2
    even = image[:h, :w]
    return (even[0::2, 0::2] + even[0::2, 1::2] + even[1::2, 0::2] + even[1::2, 1::2]) / 4


def pyramid(images, needed):
    """The reduced levels [[N, H/2, W/2, 3], [N, H/4, W/4, 3]] of images [N, H, W, 3] uint8, linear light.

    needed: [N] the highest level that each image is sampled from; levels above it are left zero.
    """
    h, w = tf.shape(images)[1], tf.shape(images)[2]

    def levels_of(args):
        image, level = args
        half = tf.cond(level > 0, lambda: _halve_uint8(image), lambda: tf.zeros([h // 2, w // 2, 3]))
        quarter = tf.cond(level > 1, lambda: _halve(half), lambda: tf.zeros([h // 4, w // 4, 3]))
        return half, quarter

    signature = tuple(tf.TensorSpec([None, None, 3], tf.float32) for _ in range(2))
    empty = lambda: (tf.zeros([tf.shape(images)[0], 0, 0, 3]),) * 2  # noqa: E731
    return tf.cond(
        tf.reduce_any(needed > 0),
        lambda: tf.map_fn(levels_of, (images, needed), fn_output_signature=signature),
        empty,
    )


def _bilinear(flat_pixels, size_hw, coords_px, lookup):
    """Samples [P, 3] from an image given as rows of pixels; outside it is black, with a soft edge of one pixel."""
    h, w = size_hw[0], size_hw[1]
    limit = tf.cast(tf.stack([w, h]), tf.float32)
    coords = tf.where(tf.math.is_finite(coords_px), coords_px, -2.0)
    coords = tf.clip_by_value(coords, -2.0, limit + 1)
    floor = tf.floor(coords)
    fraction = coords - floor
    corner = tf.cast(floor, tf.int32)
    x0, y0 = corner[:, 0], corner[:, 1]
    fx, fy = fraction[:, 0], fraction[:, 1]

    def axis(i0, f, size):
        last = size - 1
        inside = [(i0 >= 0) & (i0 < size), (i0 >= -1) & (i0 < last)]
        weights = [tf.where(inside[0], 1 - f, 0.0), tf.where(inside[1], f, 0.0)]
        return [tf.clip_by_value(i0, 0, last), tf.clip_by_value(i0 + 1, 0, last)], weights

    (xa, xb), (wxa, wxb) = axis(x0, fx, w)
    (ya, yb), (wya, wyb) = axis(y0, fy, h)
    ya, yb = ya * w, yb * w

    def sample(index, weight):
        return lookup(tf.gather(flat_pixels, index)) * weight[:, tf.newaxis]

    return (
        sample(ya + xa, wya * wxa)
        + sample(ya + xb, wya * wxb)
        + sample(yb + xa, wyb * wxa)
        + sample(yb + xb, wyb * wxb)
    )


def _image_coords(grid, homography, intrinsics, distortion):
    """Where pixels [P, 3] (homogeneous) of a crop are seen in the image: [P, 2] px; -2 px if behind the camera."""
    rays = tf.linalg.matmul(grid, homography, transpose_b=True)
    normalized = rays[:, :2] / tf.maximum(rays[:, 2:], 1e-9)
    normalized = tf.cond(
        tf.reduce_any(distortion != 0), lambda: cameras.distort(normalized, distortion), lambda: normalized
    )
    coords = tf.linalg.matmul(normalized, intrinsics[:2, :2], transpose_b=True) + intrinsics[:2, 2]
    return tf.where(rays[:, 2:] > 1e-9, coords, -2.0)


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
    half, quarter = pyramid(images, needed)
    table = _linear_light_table()
    from_8bit = lambda pixels: tf.gather(table, tf.cast(pixels, tf.int32))  # noqa: E731

    x, y = tf.meshgrid(tf.range(size, dtype=tf.float32), tf.range(size, dtype=tf.float32))
    grid = tf.reshape(tf.stack([x, y, tf.ones_like(x)], axis=-1), [-1, 3])
    factor = tf.cast(antialias_factor, tf.float32)
    homographies = tf.linalg.matmul(rotations, tf.linalg.inv(crop_intrinsics), transpose_a=True)

    def render_one(args):
        image_id, level, intrinsics, distortion, homography, gamma = args
        reduction = tf.cast(2**level, tf.float32)
        # A pixel of a reduced level covers `reduction` pixels; their common centre is shifted by half of the rest.
        scaled = (intrinsics[:2] - tf.constant([[0.0, 0, 1], [0, 0, 1]]) * (reduction - 1) / 2) / reduction

        def sample(i):
            offset = tf.cast(tf.stack([i % antialias_factor, i // antialias_factor]), tf.float32)
            offset = (offset + 0.5) / factor - 0.5
            shifted = grid + tf.concat([offset, [0.0]], axis=0)
            coords = _image_coords(shifted, homography, scaled, distortion)
            return tf.switch_case(
                level,
                [
                    lambda: _bilinear(tf.reshape(images[image_id], [-1, 3]), [h, w], coords, from_8bit),
                    lambda: _bilinear(tf.reshape(half[image_id], [-1, 3]), [h // 2, w // 2], coords, tf.identity),
                    lambda: _bilinear(tf.reshape(quarter[image_id], [-1, 3]), [h // 4, w // 4], coords, tf.identity),
                ],
            )

        n_samples = antialias_factor * antialias_factor
        _, total = tf.while_loop(
            lambda i, _: i < n_samples,
            lambda i, total: (i + 1, total + sample(i)),
            (1, sample(0)),
            parallel_iterations=1,
        )
        linear = tf.reshape(total / (factor * factor), [size, size, 3])
        return linear ** (gamma / DISPLAY_GAMMA)

    return tf.map_fn(
        render_one,
        (image_ids, levels, intrinsics, distortion, homographies, gammas),
        fn_output_signature=tf.TensorSpec([size, size, 3], tf.float32),
        parallel_iterations=4,
    )
