"""MoveNet MultiPose (Google, Apache-2.0) as a person detector: where people's middles are, and how large they are.

The network is a MobileNetV2 of width 1.5 with a feature pyramid up to stride 4 and a head for each output, as in
CenterNet ("Objects as Points", 2019). Its heads for joints are left out; so is its limit of six people. It was trained
on people in COCO and in videos of exercise. `movenet_convert` makes the file of its weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

ASSET = Path(__file__).parent / "assets" / "movenet_multipose.npz"
LONGER_SIDE_PX = 320
STRIDE = 4
MAX_CANDIDATES = 150
_MULTIPLE_PX = 32
_N_BLOCKS = 17
_STRIDED = (1, 3, 6, 13)
_LATERALS = {2: "lateral4", 5: "lateral8", 9: "lateral16"}
"""Blocks whose output goes into the pyramid -> the convolution on the way."""
_HEADS = ("center", "scale", "offset")


class MoveNet(tf.Module):
    """Images to candidates, see `detectors`."""

    def __init__(self, path: str | Path = ASSET, longer_side_px: int = LONGER_SIDE_PX):
        super().__init__(name="movenet")
        with np.load(path, allow_pickle=False) as arrays:
            self._weights = {k: tf.Variable(arrays[k].astype(np.float32), trainable=False, name=k) for k in arrays}
        self._longer_side_px = longer_side_px

    def candidates(self, images):
        """Boxes [N, K, 4] and scores [N, K] of images [N, H, W, 3] uint8."""
        height, width = (tf.cast(n, tf.float32) for n in tf.unstack(tf.shape(images)[1:3]))
        scale = self._longer_side_px / tf.maximum(height, width)
        # At least one pixel, and up to the next multiple of what the strides need: black on the right and bottom.
        size = tf.maximum(tf.cast(tf.round(tf.stack([height, width]) * scale), tf.int32), 1)
        resized = tf.image.resize(images, size, antialias=True)
        after = -size % _MULTIPLE_PX
        padded = tf.pad(resized, [(0, 0), (0, after[0]), (0, after[1]), (0, 0)])
        center, extent, offset = self(padded * (2 / 255) - 1)

        heat = tf.sigmoid(center)
        is_peak = heat >= tf.nn.max_pool2d(heat, 3, 1, "SAME")
        scores = tf.where(is_peak, heat, 0)[..., 0]
        rows, columns = tf.meshgrid(*(tf.range(tf.shape(heat)[axis]) for axis in (1, 2)), indexing="ij")
        middle = tf.cast(tf.stack([rows, columns], axis=-1), tf.float32) + offset
        extent = tf.maximum(extent, 0)
        per_cell = STRIDE / tf.cast(size, tf.float32) * tf.stack([height, width])
        top_left, extent = (middle - extent / 2) * per_cell - 0.5, extent * per_cell
        boxes = tf.concat([top_left[..., ::-1], extent[..., ::-1]], axis=-1)

        n_images = tf.shape(images)[0]
        scores = tf.reshape(scores, [n_images, -1])
        scores, best = tf.math.top_k(scores, tf.minimum(MAX_CANDIDATES, tf.shape(scores)[1]))
        return tf.gather(tf.reshape(boxes, [n_images, -1, 4]), best, batch_dims=1), scores

    def __call__(self, x):
        """Scaled images [N, H, W, 3] in [-1, 1], H and W multiples of 32, to the three heads [N, H/4, W/4, 1 or 2].

        Logits of a person's middle being there; height and width of the person, and where the middle is in the cell
        (both y, x), in cells.
        """
        x = tf.nn.relu6(self._convolution(x, "stem", stride=2))
        laterals = {}
        for i in range(_N_BLOCKS):
            block = f"block{i:02}"
            y = tf.nn.relu6(self._convolution(x, f"{block}_expand")) if i else x
            y = tf.nn.relu6(self._depthwise(y, f"{block}_depthwise", 2 if i in _STRIDED else 1))
            y = self._convolution(y, f"{block}_project")
            x = x + y if i and i not in _STRIDED and x.shape[-1] == y.shape[-1] else y
            if i in _LATERALS:
                laterals[_LATERALS[i]] = self._convolution(x, _LATERALS[i])
        x = self._convolution(tf.nn.relu6(self._convolution(x, "last")), "lateral32")
        for level in (16, 8, 4):
            x = tf.image.resize(x, 2 * tf.shape(x)[1:3]) + laterals[f"lateral{level}"]
            x = self._separable(x, f"pyramid{level}")
        return tuple(self._convolution(self._separable(x, f"{head}_hidden"), head) for head in _HEADS)

    def _convolution(self, x, name, stride=1):
        return tf.nn.conv2d(x, self._weights[f"{name}/kernel"], stride, "SAME") + self._weights[f"{name}/bias"]

    def _depthwise(self, x, name, stride=1):
        kernel = self._weights[f"{name}/kernel"]
        x = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")
        return x + self._weights[f"{name}/bias"] if f"{name}/bias" in self._weights else x

    def _separable(self, x, name):
        return tf.nn.relu(self._convolution(self._depthwise(x, f"{name}_depthwise"), name))
