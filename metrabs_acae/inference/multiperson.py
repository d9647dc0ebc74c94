"""`PoseEstimator`: 3D poses of all people in full images, the interface of the exported SavedModel.

Crop geometry, test-time augmentation and filters follow the packaged multi-person models of MeTRAbs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.inference import augmentation, cameras, checks, plausibility
from metrabs_acae.inference.crop_model import CropModel, edge_variable, string_variable
from metrabs_acae.inference.crop_poses import CropPoses
from metrabs_acae.inference.error_map import ErrorMap
from metrabs_acae.numpy_runtime.crop_views import REFERENCE_RANGES, AugmentationRanges
from metrabs_acae.skeletons import Skeleton, shown

UNKNOWN_INTRINSICS = ((-1.0,) * 3,) * 3
IDENTITY_EXTRINSICS = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))

_FLOAT = tf.TensorSpec(None, tf.float32)
_SCALAR = tf.TensorSpec([], tf.float32)
_INT = tf.TensorSpec([], tf.int32)
_BOOL = tf.TensorSpec([], tf.bool)
_STRING = tf.TensorSpec([], tf.string)
_IMAGE = tf.TensorSpec(None, tf.uint8)
_RAGGED_BOXES = tf.RaggedTensorSpec([None, None, None], tf.float32, ragged_rank=1)
# intrinsics, distortion, extrinsics, up, fov, internal batch, antialias, num_aug, average_aug, skeleton
_COMMON = [_FLOAT, _FLOAT, _FLOAT, _FLOAT, _SCALAR, _INT, _INT, _INT, _BOOL, _STRING]
# threshold, NMS IoU, max_detections, flip_aug, suppress_implausible_poses
_DETECTION = [_SCALAR, _SCALAR, _INT, _BOOL, _BOOL]


class PoseEstimator(tf.Module):
    """Absolute 3D poses of people in images.

    All methods take uint8 RGB images and give a dict: `poses3d` (mm, world frame), `poses2d` (px in the given image),
    `uncertainty` (mm per joint: with an `error_map` the error to expect; else the spread over the augmentations, all
    axes together; zero for one augmentation),
    `entropy` (if the network tells: how undecided each joint's heatmap is, from 0, all in one cell, to 1, the same in
    every cell; the mean over the augmentations, and with one augmentation the measure of uncertainty),
    for the detect methods also `boxes` (left, top, width, height, score). Batched methods give
    ragged tensors with one row per image. With `average_aug=False` the poses have an axis of augmentations more.

    Args:
        network: see `CropModel`.
        skeleton: joints of the network's output.
        image_size: crop side, px.
        output_skeletons: what the `skeleton` argument offers by name, subsets of the output; "" (all joints) is added.
        detector: see `detectors`; without one, the detect methods do not exist.
        joint_transform: [J, J'] applied to the network's joints; then `transformed_skeleton` names the J' joints.
        mean_bone_lengths_mm: [E] one for each edge of the output, NaN = unknown; None: bones are not checked.
        rotation_mode, augmentation_ranges: of the test-time augmentation, see `augmentation.crop_augmentations`.
        error_map: of the network's joints, for `uncertainty`.
        center_offset_px: principal points of crops and of unknown cameras are at size / 2 + this.

    Attributes:
        crop_model: `CropModel`; joint_names, joint_edges: of it.
        per_skeleton_joint_names, per_skeleton_joint_edges, per_skeleton_indices: dicts of variables by skeleton name;
            names as of `skeletons.shown`, indices into the names of "".
    """

    def __init__(
        self,
        network: Callable,
        skeleton: Skeleton,
        *,
        image_size: int,
        output_skeletons: Mapping[str, Skeleton] | None = None,
        detector: tf.Module | None = None,
        joint_transform: np.ndarray | None = None,
        transformed_skeleton: Skeleton | None = None,
        mean_bone_lengths_mm: np.ndarray | None = None,
        rotation_mode: str = "limited",
        augmentation_ranges: AugmentationRanges = REFERENCE_RANGES,
        error_map: ErrorMap | None = None,
        center_offset_px: float = -0.5,
    ):
        super().__init__(name="pose_estimator")
        if rotation_mode not in augmentation.ROTATION_MODES:
            raise UserError(f"rotation_mode is {rotation_mode!r}, expected one of {augmentation.ROTATION_MODES}.")
        if (joint_transform is None) != (transformed_skeleton is None):
            raise UserError("joint_transform and transformed_skeleton go together: give both or neither.")
        if error_map is not None and (joint_transform is not None or error_map.joint_names != skeleton.joint_names):
            raise UserError("error_map is of other joints than the output's.")
        self.crop_model = CropModel(network, skeleton, image_size)
        self.joint_names, self.joint_edges = self.crop_model.joint_names, self.crop_model.joint_edges
        self._error_map = error_map
        self.detector = detector
        self._center_offset_px = center_offset_px
        self._augmentation = {"rotation_mode": rotation_mode, "ranges": augmentation_ranges}
        self._crop_poses = CropPoses(
            self.crop_model,
            skeleton.mirror,
            image_size=image_size,
            joint_transform=joint_transform,
            center_offset_px=center_offset_px,
        )
        self._results = ("poses3d", "poses2d", "uncertainty", *(["entropy"] if self.crop_model.has_entropy else []))
        output = transformed_skeleton or skeleton
        self._bones = _known_bones(output, mean_bone_lengths_mm)

        skeletons = {"": output, **(output_skeletons or {})}
        self._names = list(skeletons)
        indices = [output.indices(s.joint_names) for s in skeletons.values()]
        self._indices = np.concatenate(indices).astype(np.int32)
        self._index_starts = np.cumsum([0] + [len(i) for i in indices]).astype(np.int32)
        as_shown = {n: shown(n, s) for n, s in skeletons.items()}
        self.per_skeleton_joint_names = {n: string_variable(s.joint_names) for n, s in as_shown.items()}
        self.per_skeleton_joint_edges = {n: edge_variable(s.edges) for n, s in as_shown.items()}
        self.per_skeleton_indices = {
            n: tf.Variable(i.astype(np.int32), trainable=False) for n, i in zip(skeletons, indices, strict=True)
        }
        if detector is not None:
            self.detect_poses = tf.function(self._detect_poses, input_signature=[_IMAGE, *_COMMON, *_DETECTION])
            self.detect_poses_batched = tf.function(
                self._detect_poses_batched, input_signature=[_IMAGE, *_COMMON, *_DETECTION]
            )

    @tf.function(input_signature=[_IMAGE, _FLOAT, *_COMMON])
    def estimate_poses(
        self,
        image,
        boxes,
        intrinsic_matrix=UNKNOWN_INTRINSICS,
        distortion_coeffs=(0.0,) * 5,
        extrinsic_matrix=IDENTITY_EXTRINSICS,
        world_up_vector=(0.0, -1.0, 0.0),
        default_fov_degrees=55.0,
        internal_batch_size=64,
        antialias_factor=1,
        num_aug=5,
        average_aug=True,
        skeleton="",
    ):
        """Poses of the people in `boxes` [P, 4] (left, top, width, height) of one image [H, W, 3]."""
        camera = (intrinsic_matrix, distortion_coeffs, extrinsic_matrix, world_up_vector, default_fov_degrees)
        settings = (internal_batch_size, antialias_factor, num_aug, average_aug, skeleton)
        image = checks.image(image)
        boxes = checks.flat_boxes(boxes, image)
        result = self._estimate(image, boxes, tf.shape(boxes)[:1], camera, settings)
        return {name: result[name] for name in self._results}

    @tf.function(input_signature=[_IMAGE, _RAGGED_BOXES, *_COMMON])
    def estimate_poses_batched(
        self,
        images,
        boxes,
        intrinsic_matrix=UNKNOWN_INTRINSICS,
        distortion_coeffs=(0.0,) * 5,
        extrinsic_matrix=IDENTITY_EXTRINSICS,
        world_up_vector=(0.0, -1.0, 0.0),
        default_fov_degrees=55.0,
        internal_batch_size=64,
        antialias_factor=1,
        num_aug=5,
        average_aug=True,
        skeleton="",
    ):
        """Poses of the people in the ragged `boxes` [N, (P), 4] of images [N, H, W, 3]."""
        camera = (intrinsic_matrix, distortion_coeffs, extrinsic_matrix, world_up_vector, default_fov_degrees)
        settings = (internal_batch_size, antialias_factor, num_aug, average_aug, skeleton)
        images = checks.images(images)
        n_people = tf.cast(boxes.row_lengths(), tf.int32)
        one_row_each = tf.size(n_people) == tf.shape(images)[0]
        n_people = checks.require(n_people, one_row_each, "boxes must have one row for each image.")
        result = self._estimate(images, checks.flat_boxes(boxes.values, images), n_people, camera, settings)
        return _as_ragged(result, self._results)

    def _detect_poses(
        self,
        image,
        intrinsic_matrix=UNKNOWN_INTRINSICS,
        distortion_coeffs=(0.0,) * 5,
        extrinsic_matrix=IDENTITY_EXTRINSICS,
        world_up_vector=(0.0, -1.0, 0.0),
        default_fov_degrees=55.0,
        internal_batch_size=64,
        antialias_factor=1,
        num_aug=5,
        average_aug=True,
        skeleton="",
        detector_threshold=0.3,
        detector_nms_iou_threshold=0.7,
        max_detections=-1,
        detector_flip_aug=False,
        suppress_implausible_poses=True,
    ):
        """Poses and boxes of the people that the detector finds in one image [H, W, 3]."""
        camera = (intrinsic_matrix, distortion_coeffs, extrinsic_matrix, world_up_vector, default_fov_degrees)
        settings = (internal_batch_size, antialias_factor, num_aug, average_aug, skeleton)
        detection = (detector_threshold, detector_nms_iou_threshold, max_detections, detector_flip_aug)
        result = self._detect(checks.image(image), detection, suppress_implausible_poses, camera, settings)
        return {name: result[name] for name in ("boxes", *self._results)}

    def _detect_poses_batched(
        self,
        images,
        intrinsic_matrix=UNKNOWN_INTRINSICS,
        distortion_coeffs=(0.0,) * 5,
        extrinsic_matrix=IDENTITY_EXTRINSICS,
        world_up_vector=(0.0, -1.0, 0.0),
        default_fov_degrees=55.0,
        internal_batch_size=64,
        antialias_factor=1,
        num_aug=5,
        average_aug=True,
        skeleton="",
        detector_threshold=0.3,
        detector_nms_iou_threshold=0.7,
        max_detections=-1,
        detector_flip_aug=False,
        suppress_implausible_poses=True,
    ):
        """Poses and boxes of the people that the detector finds in images [N, H, W, 3]."""
        camera = (intrinsic_matrix, distortion_coeffs, extrinsic_matrix, world_up_vector, default_fov_degrees)
        settings = (internal_batch_size, antialias_factor, num_aug, average_aug, skeleton)
        detection = (detector_threshold, detector_nms_iou_threshold, max_detections, detector_flip_aug)
        result = self._detect(checks.images(images), detection, suppress_implausible_poses, camera, settings)
        return _as_ragged(result, ("boxes", *self._results))

    def _detect(self, images, detection, suppress, camera, settings):
        boxes = self.detector.detect(images, *detection)
        n_people = tf.cast(boxes.row_lengths(), tf.int32)
        boxes = tf.ensure_shape(boxes.values, [None, 5])
        return self._estimate(images, boxes, n_people, camera, settings, suppress=suppress)

    def _estimate(self, images, boxes, n_people, camera, settings, *, suppress=None):
        """All methods end here.

        Args:
            images: [N, H, W, 3]. boxes: [P, 4 or 5] of all images. n_people: [N], sums to P.
            suppress: bool scalar or None: remove implausible poses (needs scores in the boxes).

        Returns:
            dict of poses3d [P, (A,) J, 3], poses2d, uncertainty [P, J], entropy [P, J], boxes, n_people.
        """
        internal_batch_size, antialias_factor, num_aug, average_aug, skeleton = settings
        internal_batch_size, antialias_factor, num_aug = checks.counts(internal_batch_size, antialias_factor, num_aug)
        intrinsics, distortion, extrinsics, up, fov_degrees = camera
        n_images = tf.shape(images)[0]
        image_ids = tf.repeat(tf.range(n_images), n_people)
        of_people = lambda per_image: tf.gather(per_image, image_ids)  # noqa: E731
        intrinsics = checks.intrinsics(intrinsics, images, fov_degrees, center_offset_px=self._center_offset_px)
        distortion = of_people(checks.distortion(distortion, intrinsics, images))
        intrinsics = of_people(intrinsics)
        extrinsics = of_people(checks.extrinsics(extrinsics, n_images))
        joints = self._joints_of(skeleton)
        if suppress is None:  # The caller says where people are, so the images are not black.
            images = checks.not_of_unit_range(images, tf.shape(boxes)[0])

        up = tf.reduce_sum(extrinsics[:, :3, :3] * checks.up_vector(up), axis=-1)
        tta = augmentation.crop_augmentations(num_aug, **self._augmentation)
        poses3d, entropy = self._crop_poses.predict(
            images, image_ids, boxes[:, :4], intrinsics, distortion, up, tta, internal_batch_size, antialias_factor
        )
        poses2d = cameras.project(poses3d, intrinsics[:, tf.newaxis], distortion[:, tf.newaxis])
        if suppress is not None:
            keep = tf.cond(
                suppress,
                lambda: self._plausible_poses(poses3d, poses2d, boxes, image_ids, n_images),
                lambda: tf.range(tf.shape(boxes)[0], dtype=tf.int64),
            )
            poses3d, poses2d, entropy, boxes, image_ids, extrinsics = (
                tf.gather(x, keep) for x in (poses3d, poses2d, entropy, boxes, image_ids, extrinsics)
            )
            n_people = tf.math.bincount(image_ids, minlength=n_images, maxlength=n_images)

        poses3d, poses2d, entropy = (tf.gather(x, joints, axis=2) for x in (poses3d, poses2d, entropy))
        uncertainty = self._expected_errors(tf.reduce_mean(entropy, axis=1), joints)
        if uncertainty is None:
            uncertainty = plausibility.point_spread(poses3d)
        # Row vectors: p_world = (p_camera - t) R, exactly inverse even if R is only nearly a rotation.
        to_world = tf.linalg.inv(extrinsics)[:, tf.newaxis]
        poses3d = cameras.product(poses3d, cameras.transposed(to_world[..., :3, :3]))
        poses3d += to_world[..., tf.newaxis, :3, 3]
        mean = lambda x: tf.cond(average_aug, lambda: tf.reduce_mean(x, axis=1), lambda: x)  # noqa: E731
        return {
            "boxes": boxes,
            "poses3d": mean(poses3d),
            "poses2d": mean(poses2d),
            "uncertainty": uncertainty,
            "entropy": tf.reduce_mean(entropy, axis=1),
            "n_people": n_people,
        }

    def _expected_errors(self, entropy, joints):
        """[P, J] mm by the error map, of the joints with these indices; None without one."""
        if self._error_map is None:
            return None
        of_joints = lambda x: tf.gather(tf.constant(x, tf.float32), joints)  # noqa: E731
        levels, slopes, centers = map(
            of_joints, (self._error_map.levels_mm, self._error_map.slopes, self._error_map.centers)
        )
        return levels * tf.exp(slopes * (entropy - centers))

    def _joints_of(self, skeleton):
        """Indices of the joints of a skeleton's name (string scalar)."""
        matches = tf.constant(self._names) == skeleton
        known = ", ".join(n for n in self._names if n)
        matches = checks.require(
            matches, tf.reduce_any(matches), f"skeleton must be '' (all joints) or one of: {known}."
        )
        number = tf.argmax(matches, output_type=tf.int32)
        starts = tf.constant(self._index_starts)
        return tf.constant(self._indices)[starts[number] : starts[number + 1]]

    def _plausible_poses(self, poses3d, poses2d, boxes, image_ids, n_images):
        """Indices into all people, in the order of the images, best score first within each."""
        edges, lengths = self._bones if self._bones is not None else (None, None)

        def keep_of_image(image_id):
            people = tf.where(image_ids == image_id)[:, 0]
            kept = plausibility.plausible_pose_indices(
                tf.gather(poses3d, people), tf.gather(poses2d, people), tf.gather(boxes, people), edges, lengths
            )
            return tf.gather(people, kept)

        indices = tf.TensorArray(tf.int64, n_images, infer_shape=False, element_shape=[None])
        _, indices = tf.while_loop(
            lambda i, _: i < n_images,
            lambda i, indices: (i + 1, indices.write(i, keep_of_image(i))),
            (0, indices),
        )
        return tf.cond(n_images > 0, indices.concat, lambda: tf.zeros([0], tf.int64))


def _known_bones(skeleton: Skeleton, lengths_mm):
    """(edges [E, 2], lengths [E]) of the bones whose mean length is known, or None."""
    if lengths_mm is None or not skeleton.edges:
        return None
    lengths_mm = np.asarray(lengths_mm, np.float32)
    if lengths_mm.shape != (len(skeleton.edges),):
        raise UserError(
            f"mean_bone_lengths_mm has shape {lengths_mm.shape}, expected one length for each of the "
            f"{len(skeleton.edges)} edges of the output skeleton."
        )
    known = np.isfinite(lengths_mm) & (lengths_mm > 0)
    return np.array(skeleton.edges, np.int32)[known], lengths_mm[known]


def _as_ragged(result, names):
    return {n: tf.RaggedTensor.from_row_lengths(result[n], result["n_people"], validate=False) for n in names}
