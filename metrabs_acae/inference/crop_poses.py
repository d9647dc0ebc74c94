"""From boxes in images to poses in the cameras' frames: crop cameras, crops, the network, and back."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from metrabs_acae.inference import cameras, warping
from metrabs_acae.inference.crop_model import CropModel


class CropPoses:
    """Poses of boxes by way of the crops of a network.

    Args:
        mirror: [J] the mirror map of the network's joints.
        joint_transform: [J, J'] applied to them, or None.
        center_offset_px: principal points of crops are at size / 2 + this.
    """

    def __init__(
        self,
        crop_model: CropModel,
        mirror: np.ndarray,
        *,
        image_size: int,
        joint_transform: np.ndarray | None,
        center_offset_px: float,
    ):
        self._crop_model, self._mirror, self._joint_transform = crop_model, mirror, joint_transform
        self._image_size, self._center_offset_px = image_size, center_offset_px
        self._n_joints = len(mirror) if joint_transform is None else joint_transform.shape[1]

    def predict(self, images, image_ids, boxes, intrinsics, distortion, up, tta, internal_batch_size, antialias_factor):
        """Of all boxes, in chunks of at most `internal_batch_size` crops.

        Args:
            images: [N, H, W, 3]. image_ids, boxes, intrinsics, distortion, up: of each person, [P, ...].
            tta: `augmentation.CropAugmentations`.

        Returns:
            camera-frame poses [P, A, J', 3], entropies [P, A, J'].
        """
        n_people, num_aug = tf.shape(boxes)[0], tf.shape(tta.gammas)[0]
        chunk = tf.where(internal_batch_size == 0, n_people, tf.maximum(internal_batch_size // num_aug, 1))
        n_chunks = tf.where(n_people == 0, 0, -(-n_people // tf.maximum(chunk, 1)))

        def predict_chunk(i):
            part = slice(i * chunk, (i + 1) * chunk)
            of_people = (x[part] for x in (image_ids, boxes, intrinsics, distortion, up))
            return self._predict_chunk(images, *of_people, tta, antialias_factor)

        def several():
            result = tf.TensorArray(
                tf.float32, n_chunks, infer_shape=False, element_shape=[None, None, self._n_joints, 4]
            )
            _, result = tf.while_loop(
                lambda i, _: i < n_chunks,
                lambda i, result: (i + 1, result.write(i, predict_chunk(i))),
                (0, result),
                parallel_iterations=1,
            )
            return result.concat()

        values = tf.cond(n_chunks > 0, several, lambda: tf.zeros([0, num_aug, self._n_joints, 4]))
        values = tf.ensure_shape(values, [None, None, self._n_joints, 4])
        return values[..., :3], values[..., 3]

    def _predict_chunk(self, images, image_ids, boxes, intrinsics, distortion, up, tta, antialias_factor):
        """[P, A, J', 4]: x, y, z, entropy."""
        n_people, num_aug = tf.shape(boxes)[0], tf.shape(tta.gammas)[0]
        crop_rotations, crop_intrinsics, scales = self.crop_cameras(boxes, intrinsics, distortion, up, tta)

        per_crop = lambda x: tf.reshape(x, tf.concat([[-1], tf.shape(x)[2:]], axis=0))  # noqa: E731
        repeat = lambda x: tf.repeat(x, num_aug, axis=0)  # noqa: E731
        crop_intrinsics = tf.ensure_shape(per_crop(crop_intrinsics), [None, 3, 3])
        crops = warping.render_crops(
            images,
            repeat(image_ids),
            repeat(intrinsics),
            repeat(distortion),
            per_crop(crop_rotations),
            crop_intrinsics,
            tf.reshape(scales, [-1]),
            tf.tile(tta.gammas, [n_people]),
            size=self._image_size,
            antialias_factor=antialias_factor,
        )
        poses, entropy = self._crop_model.forward(crops, crop_intrinsics)
        values = tf.concat([poses, entropy[..., tf.newaxis]], axis=-1)
        values = tf.reshape(values, [n_people, num_aug, poses.shape[1], 4])
        mirrored = tf.gather(values, tf.constant(self._mirror), axis=2)
        values = tf.where(tta.flips[:, tf.newaxis, tf.newaxis], mirrored, values)
        poses, entropy = cameras.product(values[..., :3], crop_rotations), values[..., 3:]
        if self._joint_transform is not None:
            shares = np.abs(self._joint_transform) / np.abs(self._joint_transform).sum(0)
            poses, entropy = _combine(poses, self._joint_transform), _combine(entropy, shares)
        return tf.concat([poses, entropy], axis=-1)

    def crop_cameras(self, boxes, intrinsics, distortion, up, tta):
        """Rotations [P, A, 3, 3] into the crops' frames, their intrinsics [P, A, 3, 3], crop px per image px [P, A]."""
        x, y, w, h = tf.unstack(boxes, axis=-1)
        cx, cy = x + w / 2, y + h / 2
        points = [(cx, cy), (cx, y), (cx, y + h), (x, cy), (x + w, cy)]
        points = tf.stack([tf.stack(p, axis=-1) for p in points], axis=1)
        normalized = cameras.normalize(points, intrinsics)
        rays = cameras.to_homogeneous(cameras.undistort(normalized, distortion[:, tf.newaxis]))
        rotation = cameras.look_at_rotation(rays[:, 0], up)
        sides = cameras.product(rays[:, 1:], cameras.transposed(rotation))
        sides = sides[..., :2] / tf.maximum(sides[..., 2:], 1e-6)
        sides = cameras.product(sides, cameras.transposed(intrinsics[:, :2, :2]))
        vertical, horizontal = sides[:, 0] - sides[:, 1], sides[:, 2] - sides[:, 3]
        size = tf.maximum(tf.norm(vertical, axis=-1), tf.norm(horizontal, axis=-1))

        scales = tta.scales * (self._image_size / tf.maximum(size, 1e-3))[:, tf.newaxis]
        linear = scales[:, :, tf.newaxis, tf.newaxis] * intrinsics[:, tf.newaxis, :2, :2]
        center = tf.fill(tf.concat([tf.shape(scales), [2, 1]], axis=0), self._image_size / 2 + self._center_offset_px)
        last = tf.broadcast_to(tf.constant([[0.0, 0.0, 1.0]]), tf.concat([tf.shape(scales), [1, 3]], axis=0))
        crop_intrinsics = tf.concat([tf.concat([linear, center], axis=-1), last], axis=-2)
        return cameras.product(tta.rotations(), rotation[:, tf.newaxis]), crop_intrinsics, scales


def _combine(points, weights):
    """Weighted sums [P, A, J', C] of points [P, A, J, C] with weights [J, J'].

    In double precision, for which there are no matrix units of less.
    """
    sums = tf.einsum("bajc,jk->bakc", tf.cast(points, tf.float64), tf.constant(weights, tf.float64))
    return tf.cast(sums, tf.float32)
