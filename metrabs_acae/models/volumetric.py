"""What the two baselines with one volumetric heatmap per joint share: network and the form of their training."""

from __future__ import annotations

import keras
from keras import ops

from metrabs_acae.geometry.heatmaps import CropGrid
from metrabs_acae.geometry.shapes import require_shape
from metrabs_acae.layers.heatmap_heads import VolumetricHead
from metrabs_acae.models.backbones.build import stride_of
from metrabs_acae.models.losses import PAPER_WEIGHTS, LossWeights
from metrabs_acae.models.metrabs import image_size_of, require_batch
from metrabs_acae.models.variants import VARIANTS


class VolumetricModel(keras.Model):
    """Backbone and volumetric head. A subclass says how the head's coordinates become poses and losses.

    Args:
        backbone, skeleton, depth, box_size_mm, image_size, stride, centered_stride: as for `Metrabs`.
    """

    variant = VARIANTS["separate"]  # one point per joint, like Metrabs's

    def __init__(
        self,
        backbone,
        skeleton,
        *,
        depth: int = 8,
        box_size_mm: float = 2200.0,
        image_size: int | None = None,
        stride: int | None = None,
        centered_stride: bool = True,
        name: str | None = None,
    ):
        super().__init__(name=name, dtype="float32")
        self.backbone = backbone
        self.skeleton = skeleton
        size = image_size_of(backbone, image_size)
        self.grid = CropGrid(size, stride or stride_of(backbone, size), centered_stride, box_size_mm)
        self.head = VolumetricHead(
            skeleton.n_joints, depth=depth, grid=self.grid, dtype=keras.config.dtype_policy(), name="head"
        )
        self.head.build(backbone.compute_output_shape((None, size, size, 3)))
        self.build()

    def build(self, input_shape=None):
        self.built = True

    def heads(self, image, training=None):
        """Heatmap coordinates [B, J, 3] in [0, 1]."""
        require_shape("image", image, (None, self.grid.image_size, self.grid.image_size, 3))
        return self.head(self.backbone(image, training=training))

    def loss_3d(self, coords, batch, intrinsics):
        """Loss in metres of the 3D-labelled examples, from their heatmap coordinates."""
        raise NotImplementedError

    def loss_2d(self, coords, batch, joint_groups_2d):
        """Loss in metres of the 2D-labelled examples, from their heatmap coordinates."""
        raise NotImplementedError

    def compute_losses(
        self,
        batch,
        *,
        step=None,
        gates=None,
        mix=None,
        order=None,
        joint_groups_2d=None,
        weights: LossWeights = PAPER_WEIGHTS,
        training=True,
    ):
        """As `Metrabs.compute_losses`; `step`, `gates` and `mix` play no role. Third result: the coordinates."""
        require_batch(batch, self.skeleton.n_joints, joint_groups_2d)
        coords = self.heads(batch["image"], training=training)
        if order is not None:
            coords = ops.take(coords, order, axis=0)
            batch = {**batch, "intrinsics": ops.take(batch["intrinsics"], order, axis=0)}
        n_3d = ops.shape(batch["coords3d_mm"])[0]
        terms = {"pose_3d": self.loss_3d(coords[:n_3d], batch, batch["intrinsics"][:n_3d])}
        total = terms["pose_3d"]
        if joint_groups_2d is not None:
            terms["pose_2d"] = self.loss_2d(coords[n_3d:], batch, joint_groups_2d)
            total = total + weights.weak_2d * terms["pose_2d"]
        return total, terms, {"heatmap": coords}
