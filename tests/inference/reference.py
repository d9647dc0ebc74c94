"""The analytic crop model and the calls that the golden arrays of g6 were made with."""

from __future__ import annotations

import tensorflow as tf

from metrabs_acae.inference.multiperson import PoseEstimator
from metrabs_acae.skeletons import Skeleton
from tests.golden import golden

SIZE = 256
ARRAYS = golden("g6_multiperson")
SKELETON = Skeleton("dummy", tuple(ARRAYS["names"]), tuple(map(tuple, ARRAYS["edges"])))
SMALL = SKELETON.select(["pelv", "neck", "head", "lwri", "rwri"], "small")


def crop_model(inputs):
    """Joints that move with the mean colours of the crop's quadrants and with the focal length."""
    image, intrinsics = inputs["image"], inputs["intrinsics"]
    half = SIZE // 2
    top_left, top_right, bottom_left, bottom_right = (
        tf.reduce_mean(image[:, y : y + half, x : x + half], axis=[1, 2]) for y in (0, half) for x in (0, half)
    )
    across = top_right[:, 0] - top_left[:, 0] + bottom_right[:, 0] - bottom_left[:, 0]
    down = bottom_left[:, 1] - top_left[:, 1]
    mean = tf.reduce_mean(tf.stack([top_left, top_right, bottom_left, bottom_right]), axis=[0, 2])
    offset = 300 * tf.stack([across, down, mean], axis=-1)
    depth = 4000 * intrinsics[:, 0, 0] / (4 * SIZE)
    away = tf.stack([tf.zeros_like(depth), tf.zeros_like(depth), depth], axis=-1)
    template = tf.constant(ARRAYS["template"]) * (1 + offset[:, tf.newaxis, 2:] / 3000)
    return template + (offset + away)[:, tf.newaxis]


def estimator(**settings) -> PoseEstimator:
    settings = {"center_offset_px": 0.0, "output_skeletons": {"small": SMALL}, **settings}
    return PoseEstimator(crop_model, SKELETON, image_size=SIZE, **settings)


def boxes() -> tf.RaggedTensor:
    values = tf.concat([ARRAYS["boxes0"], ARRAYS["boxes1"]], axis=0)
    return tf.RaggedTensor.from_row_lengths(values, [2, 3])
