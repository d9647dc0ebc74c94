"""The 2.5D baseline: heatmaps in pixels and relative depth, and the scale from known bone lengths."""

from __future__ import annotations

import numpy as np
from keras import ops

from metrabs_acae.errors import UserError
from metrabs_acae.geometry.heatmaps import heatmap_to_25d
from metrabs_acae.geometry.perspective import back_project, is_within_fov, normalize, project
from metrabs_acae.geometry.points import combine_points, masked_mean
from metrabs_acae.geometry.scale_recovery import depth_from_bone_lengths
from metrabs_acae.geometry.shapes import require_shape
from metrabs_acae.models.losses import MIN_TRUE_DEPTH_MM, MM_PER_M
from metrabs_acae.models.volumetric import VolumetricModel


class Model25D(VolumetricModel):
    """Absolute 3D poses from crops, from x and y in pixels and depth in mm relative to the pose.

    Args:
        bone_lengths_mm: [number of edges of the skeleton], their means over the training set; NaN where not known.
        others: as for `VolumetricModel`.
    """

    def __init__(self, backbone, skeleton, *, bone_lengths_mm, **kwargs):
        super().__init__(backbone, skeleton, **kwargs)
        require_shape("bone_lengths_mm", np.asarray(bone_lengths_mm), (len(skeleton.edges),))
        known = [(edge, float(x)) for edge, x in zip(skeleton.edges, bone_lengths_mm, strict=True) if np.isfinite(x)]
        if not known:
            raise UserError(
                "The 2.5D model needs the length of at least one bone: give stores whose skeletons have edges."
            )
        self.bones, self.bone_lengths_mm = zip(*known, strict=True)

    def call(self, inputs, training=None):
        """{"image": [B, S, S, 3] in [0, 1], "intrinsics": [B, 3, 3]} to coords3d_mm [B, J, 3], camera frame."""
        require_shape("intrinsics", inputs["intrinsics"], (None, 3, 3))
        pose = self.to_25d(self.heads(inputs["image"], training=training))
        normalized = normalize(pose[..., :2], inputs["intrinsics"])
        depth = depth_from_bone_lengths(
            normalized,
            pose[..., 2],
            is_within_fov(pose[..., :2], **self.grid.cells),
            edges=self.bones,
            bone_lengths_mm=self.bone_lengths_mm,
        )
        return back_project(normalized, pose[..., 2] + depth[:, None])

    def to_25d(self, coords):
        """Heatmap coordinates to (x px, y px, z mm): [B, J, 3]."""
        return heatmap_to_25d(coords, **self.grid.cells, box_size_mm=self.grid.box_size_mm)

    def loss_3d(self, coords, batch, intrinsics):
        """2/3 of the pixel error of joints whose truth is in the crop, 1/3 of the mean-relative depth error."""
        pose = self.to_25d(coords)
        valid = ops.cast(batch["valid3d"], "bool")[..., None]
        true_mm = ops.where(valid, ops.cast(batch["coords3d_mm"], pose.dtype), 0)
        true_px = project(true_mm, intrinsics)
        in_front = ops.logical_and(valid, true_mm[..., 2:] > MIN_TRUE_DEPTH_MM)
        depths = [p - masked_mean(p, valid, axis=1, keepdims=True) for p in (pose[..., 2:], true_mm[..., 2:])]
        depth_loss = masked_mean(ops.abs(depths[0] - depths[1]), valid) / MM_PER_M
        return (2 * self._pixel_loss(pose[..., :2], true_px, in_front) + depth_loss) / 3

    def loss_2d(self, coords, batch, joint_groups_2d):
        """The pixel error of the labelled joints in the crop."""
        valid = ops.cast(batch["valid2d"], "bool")[..., None]
        pred_px = combine_points(self.to_25d(coords)[..., :2], joint_groups_2d)
        true_px = ops.where(valid, ops.cast(batch["coords2d_px"], pred_px.dtype), 0)
        return self._pixel_loss(pred_px, true_px, valid)

    def _pixel_loss(self, pred_px, true_px, valid):
        """L1 in metres at the crop's scale over joints that lie in the crop: a heatmap cannot point outside."""
        in_crop = is_within_fov(true_px, **self.grid.cells, border_factor=0.0)[..., None]
        error = masked_mean(ops.abs(pred_px - true_px), ops.logical_and(valid, in_crop))
        return error * self.grid.mm_per_px / MM_PER_M
