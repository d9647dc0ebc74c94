"""Test-time augmentation: which crops of one box are shown to the network."""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from metrabs_acae.inference import cameras
from metrabs_acae.numpy_runtime.crop_views import REFERENCE_RANGES, AugmentationRanges

ROTATION_MODES = ("limited", "full", "half_full")


class CropAugmentations(NamedTuple):
    """One entry per augmentation, [A] each.

    Attributes:
        gammas: exponent applied after linear light, together with the display's 1 / 2.2.
        angles: roll of the crop camera, radians.
        scales: zoom relative to the box.
        flips: bool, mirrored crops.
    """

    gammas: tf.Tensor
    angles: tf.Tensor
    scales: tf.Tensor
    flips: tf.Tensor

    def rotations(self):
        """[A, 3, 3], from the upright crop frame to the augmented one; determinant -1 where flipped."""
        mirror = tf.where(self.flips[:, tf.newaxis], tf.constant([-1.0, 1.0, 1.0]), tf.ones(3))
        return mirror[:, :, tf.newaxis] * cameras.rotation_z(-self.angles)


def linspace(start: float, stop: float, count, *, endpoint: bool = True):
    """`count` evenly spaced numbers; the mean of the ends if `count` is one and the end belongs to the range."""
    count = tf.cast(count, tf.float32)
    if not endpoint:
        return start + (stop - start) / tf.maximum(count, 1.0) * tf.range(count)
    step = (stop - start) / tf.maximum(count - 1, 1.0)
    return tf.where(
        count == 1.0, tf.fill([tf.cast(count, tf.int32)], (start + stop) / 2), start + step * tf.range(count)
    )


def crop_augmentations(
    num_aug, *, rotation_mode: str = "limited", ranges: AugmentationRanges = REFERENCE_RANGES
) -> CropAugmentations:
    """The augmentations for `num_aug` (int scalar tensor, at least one) crops of a box.

    Args:
        rotation_mode: "limited": up to `ranges.rotation_degrees` both ways; "full": around the circle; "half_full":
            the middle half of the list is limited, the others divide the circle evenly with the upright crop.
    """
    half = num_aug // 2
    limit = math.radians(ranges.rotation_degrees)
    if rotation_mode == "limited":
        angles = linspace(-limit, limit, num_aug)
    elif rotation_mode == "full":
        end = math.pi * (1 - 1 / tf.cast(num_aug, tf.float32))
        angles = linspace(-end, end, num_aug)
    else:
        around = 2 * math.pi * tf.range(1, half + 1, dtype=tf.float32) / tf.cast(half + 1, tf.float32)
        around = tf.where(around > math.pi, around - 2 * math.pi, around)
        angles = tf.sort(tf.concat([linspace(-limit, limit, num_aug - half), around], axis=0))
    zooms = linspace(ranges.zoom_out, 1.0, half, endpoint=False), linspace(1.0, ranges.zoom_in, num_aug - half)
    return CropAugmentations(
        gammas=linspace(ranges.gamma, 1.0, num_aug),
        angles=angles,
        scales=tf.concat(zooms, axis=0),
        flips=(tf.range(num_aug) - half) % 2 == 1,
    )
