"""Which estimated poses are not people, and which are the same person twice. Poses are camera frame, mm."""

from __future__ import annotations

import tensorflow as tf

MAX_POSES = 150


def has_plausible_bones(poses, edges, mean_bone_lengths_mm):
    """[P, J, 3] -> [P] bool: no bone is 0.1 times or 3 times its usual length while 300 mm off as well."""
    bones = tf.norm(tf.gather(poses, edges[:, 0], axis=1) - tf.gather(poses, edges[:, 1], axis=1), axis=-1)
    ratio = bones / mean_bone_lengths_mm
    difference = tf.abs(bones - mean_bone_lengths_mm)
    wrong = ((ratio < 0.1) | (ratio > 3)) & (difference > 300)
    return ~tf.reduce_any(wrong, axis=-1)


def equalize_sizes(poses):
    """Scales poses [..., A, J, 3] about the camera so that all A have the same root-mean-square size."""
    square_size = tf.reduce_mean(tf.square(poses), axis=(-2, -1), keepdims=True)
    mean_size = tf.sqrt(tf.reduce_mean(square_size, axis=-3, keepdims=True))
    return poses * (mean_size / tf.sqrt(square_size))


def point_spread(poses):
    """[..., A, J, 3] -> [..., J]: standard deviation of each joint over A, all axes together, mm."""
    return tf.sqrt(tf.reduce_sum(tf.math.reduce_variance(poses, axis=-3), axis=-1))


def augmentations_agree(poses):
    """[P, A, J, 3] -> [P] bool: more than a quarter of the joints vary by less than 200 mm between augmentations."""
    spread = point_spread(equalize_sizes(poses))
    n_joints = tf.shape(poses)[2]
    return tf.reduce_sum(tf.cast(spread < 200, tf.int32), axis=-1) > n_joints // 4


def fits_box(poses2d_px, boxes_ltwh_px):
    """[P, J, 2], [P, 4] -> [P] bool: the pose's bounding box covers more than half of the detected box."""
    low = tf.maximum(tf.reduce_min(poses2d_px, axis=1), boxes_ltwh_px[:, :2])
    high = tf.minimum(tf.reduce_max(poses2d_px, axis=1), boxes_ltwh_px[:, :2] + boxes_ltwh_px[:, 2:4])
    overlap = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=-1)
    return overlap > 0.5 * tf.reduce_prod(boxes_ltwh_px[:, 2:4], axis=-1)


def pose_similarity(poses):
    """[P, J, 3] -> [P, P] in 0..1: how near the joints that differ most are, up to the distance from the camera."""
    n_poses, n_joints = tf.shape(poses)[0], tf.shape(poses)[1]
    a = tf.broadcast_to(poses[:, tf.newaxis], [n_poses, n_poses, n_joints, 3])
    pairs = equalize_sizes(tf.stack([a, tf.transpose(a, [1, 0, 2, 3])], axis=2))
    distances = tf.norm(pairs[:, :, 0] - pairs[:, :, 1], axis=-1)
    largest = tf.math.top_k(distances, k=tf.maximum(n_joints // 4, 1), sorted=False).values
    return tf.reduce_mean(tf.maximum(1 - largest / 300, 0.0), axis=-1)


def pose_nms(poses, scores, is_valid):
    """Indices of the valid poses [P, J, 3] that are no double of one with a higher score, best first."""
    candidates = tf.where(is_valid)[:, 0]
    poses, scores = tf.gather(poses, candidates), tf.gather(scores, candidates)
    chosen = tf.image.non_max_suppression_overlaps(
        pose_similarity(poses), scores, max_output_size=MAX_POSES, overlap_threshold=0.4
    )
    return tf.gather(candidates, chosen)


def plausible_pose_indices(poses, poses2d_px, boxes, edges, mean_bone_lengths_mm):
    """Which detections of one image to keep.

    Args:
        poses: [P, A, J, 3] camera frame, mm, by augmentation.
        poses2d_px: [P, A, J, 2].
        boxes: [P, 5] left, top, width, height, score.
        edges, mean_bone_lengths_mm: [E, 2], [E], or None: bones are not checked.

    Returns:
        int64 indices, highest score first.
    """
    mean_poses = tf.reduce_mean(poses, axis=1)
    ok = augmentations_agree(poses) & fits_box(tf.reduce_mean(poses2d_px, axis=1), boxes)
    if mean_bone_lengths_mm is not None:
        ok &= has_plausible_bones(mean_poses, edges, mean_bone_lengths_mm)
    return pose_nms(mean_poses, boxes[:, 4], ok)
