"""MeTRo: metric-scale, truncation-robust relative pose from one volumetric heatmap per joint (FG 2020)."""

from __future__ import annotations

from keras import ops

from metrabs_acae.geometry.heatmaps import heatmap_to_metric
from metrabs_acae.geometry.points import combine_points, masked_mean
from metrabs_acae.models.losses import MM_PER_M
from metrabs_acae.models.volumetric import VolumetricModel


class Metro(VolumetricModel):
    """Relative 3D poses from crops; arguments as for `VolumetricModel`."""

    def call(self, inputs, training=None):
        """{"image": [B, S, S, 3] in [0, 1], ...} to coords3d_mm [B, J, 3], whose origin carries no meaning."""
        return self.to_metric(self.heads(inputs["image"], training=training))

    def to_metric(self, coords):
        return heatmap_to_metric(coords, **self.grid.cells, box_size_mm=self.grid.box_size_mm)

    def loss_3d(self, coords, batch, intrinsics):
        """L1 after centring both poses on their valid joints."""
        valid = ops.cast(batch["valid3d"], "bool")[..., None]
        pred_mm = self.to_metric(coords)
        true_mm = ops.where(valid, ops.cast(batch["coords3d_mm"], pred_mm.dtype), 0)
        pred_mm, true_mm = (p - masked_mean(p, valid, axis=1, keepdims=True) for p in (pred_mm, true_mm))
        return masked_mean(ops.abs(pred_mm - true_mm), valid) / MM_PER_M

    def loss_2d(self, coords, batch, joint_groups_2d):
        """L1 after scaling and shifting the predicted x and y to the labels' spread and mean."""
        valid = ops.cast(batch["valid2d"], "bool")[..., None]
        pred = combine_points(self.to_metric(coords)[..., :2], joint_groups_2d)
        true_px = ops.where(valid, ops.cast(batch["coords2d_px"], pred.dtype), 0)
        pred, true_centered = (p - masked_mean(p, valid, axis=1, keepdims=True) for p in (pred, true_px))
        scale = _spread(true_centered, valid) / _spread(pred, valid)
        return masked_mean(ops.abs(pred * scale - true_centered), valid) * self.grid.mm_per_px / MM_PER_M


def _spread(centered, valid):
    """Root mean square [B, 1, 1] of the valid points about their mean, floored."""
    return ops.sqrt(masked_mean(ops.square(centered), valid, axis=(1, 2), keepdims=True) + 1e-6)
