"""The MeTRAbs model: backbone, heatmap heads, absolute reconstruction, and the variants of its output."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace

import keras
import numpy as np
from keras import ops

from metrabs_acae.errors import UserError
from metrabs_acae.geometry.heatmaps import CropGrid
from metrabs_acae.geometry.perspective import reconstruct_absolute
from metrabs_acae.geometry.points import combine_points
from metrabs_acae.geometry.shapes import require_shape
from metrabs_acae.layers.affine_combination import AffineCombination
from metrabs_acae.layers.blocks import Layout, layout_of
from metrabs_acae.layers.heatmap_heads import HeatmapHeads
from metrabs_acae.models.backbones.build import stride_of
from metrabs_acae.models.gates import Gates
from metrabs_acae.models.losses import PAPER_WEIGHTS, LossWeights, training_loss
from metrabs_acae.models.variants import Variant, get_variant
from metrabs_acae.skeletons import Skeleton


@keras.saving.register_keras_serializable(package="metrabs_acae")
class Metrabs(keras.Model):
    """Absolute 3D poses from crops (MeTRAbs, T-BIOM 2021; the variants: WACV 2023).

    | variant    | points of the head     | prediction          |
    |------------|------------------------|---------------------|
    | separate   | joints                 | joints              |
    | regularize | joints                 | joints              |
    | latent     | latents                | latents, decoded    |
    | hybrid     | latents, then joints   | latents, decoded    |

    Args:
        backbone: model from images [B, S, S, 3] in [0, 1] to features [B, h, w, C].
        skeleton: what the joints of the output are (its `n_joints` is used).
        variant: see the table; the name of one of `variants.VARIANTS`, or a `Variant`.
        acae: object with `encoder` [J, L] and `decoder` [L, J], and perhaps `latent_names`; kept as two frozen
            `AffineCombination` layers. (Or with such layers in their places.) Needed by all variants but separate.
        depth: cells of the volumetric heatmap along depth.
        box_size_mm: side of the volumetric heatmap's cube.
        image_size: crop side, px; taken from the backbone's input shape if that is fixed.
        stride: of the backbone; None: crop side over the side of its feature map.
        centered_stride: of the backbone.
        mix_3d_inside_fov, weak_perspective: defaults of the reconstruction at inference.
        stop_gradient_features: where the head predicts latents and joints (hybrid): keep the losses of the latents from
            reaching the backbone.
        head_dtype: dtype policy of the head's convolution; None: the one that is set.

    The computation outside the backbone and the head's convolution is float32 under any dtype policy. `save` writes all
    of it into a .keras file, which `keras.saving.load_model` reads where this class has been imported.
    """

    def __init__(
        self,
        backbone,
        skeleton,
        *,
        variant: str | Variant = "separate",
        acae=None,
        depth: int = 8,
        box_size_mm: float = 2200.0,
        image_size: int | None = None,
        stride: int | None = None,
        centered_stride: bool = True,
        mix_3d_inside_fov: float = 0.5,
        weak_perspective: bool = False,
        stop_gradient_features: bool = False,
        head_dtype=None,
        name: str | None = None,
    ):
        # Intrinsics must not be cast to half precision, so the model itself is float32 under any policy.
        super().__init__(name=name, dtype="float32")
        variant = get_variant(variant)
        if variant.needs_acae and acae is None:
            raise UserError(f"variant {variant.name!r} needs acae (an object with encoder and decoder).")
        image_size = image_size_of(backbone, image_size)
        stride = stride or stride_of(backbone, image_size)
        self.backbone = backbone
        self.skeleton = skeleton
        self.variant = variant
        self.mix_3d_inside_fov = mix_3d_inside_fov
        self.weak_perspective = weak_perspective
        self.stop_gradient_features = stop_gradient_features
        self.encoder, self.decoder = frozen_layers(acae, skeleton) if variant.needs_acae else (None, None)
        self.n_latents = self.encoder.n_out if variant.needs_acae else 0

        sizes = {"latents": self.n_latents, "joints": skeleton.n_joints}
        ends = np.cumsum([sizes[name] for name in variant.points]).tolist()
        self.parts = {name: slice(end - sizes[name], end) for name, end in zip(variant.points, ends, strict=True)}
        self.head = HeatmapHeads(
            ends[-1],
            depth=depth,
            grid=CropGrid(image_size, stride, centered_stride, box_size_mm),
            dtype=head_dtype or keras.config.dtype_policy(),
            name="head",
        )
        self.head.build(backbone.compute_output_shape((None, image_size, image_size, 3)))
        self.build()

    def build(self, input_shape=None):
        self.built = True

    @property
    def grid(self):
        """How heatmap cells lie in the crop (`CropGrid`)."""
        return self.head.grid

    def call(self, inputs, training=None):
        """{"image": [B, S, S, 3] in [0, 1], "intrinsics": [B, 3, 3]} to coords3d_mm [B, J, 3], camera frame."""
        points = self.points(inputs["image"], inputs["intrinsics"], training=training)
        return self.output_joints(points)

    def heads(self, image, training=None):
        """What the network itself says: (coords2d_px [B, P, 2], coords3d_rel_mm [B, P, 3]) of the head's points."""
        size = self.grid.image_size
        require_shape("image", image, (None, size, size, 3))
        features = self.backbone(image, training=training)
        if not (self.stop_gradient_features and len(self.parts) > 1):
            return self.head(features)
        heads = {"joints": self.head(features), "latents": self.head(ops.stop_gradient(features))}
        return tuple(
            ops.concatenate([heads[name][i][:, part] for name, part in self.parts.items()], axis=1) for i in range(2)
        )

    def reconstruct(self, coords2d_px, coords3d_rel_mm, intrinsics, *, mix=None, weak_perspective=None):
        """Absolute points [B, P, 3] mm of the head's points by name: "latents" and/or "joints".

        In the hybrid variant each of the two sets has a reference point of its own.
        """
        require_shape("intrinsics", intrinsics, (None, 3, 3))
        return {
            name: reconstruct_absolute(
                coords2d_px[:, part],
                coords3d_rel_mm[:, part],
                intrinsics,
                **self.grid.cells,
                mix_3d_inside_fov=self.mix_3d_inside_fov if mix is None else mix,
                weak_perspective=self.weak_perspective if weak_perspective is None else weak_perspective,
            )
            for name, part in self.parts.items()
        }

    def points(self, image, intrinsics, *, training=None, mix=None, weak_perspective=None):
        """Absolute points by name, from images: `heads`, then `reconstruct`.

        Args:
            mix: share of the 3D-based estimate inside the field of view; a number or [B]; None: the default.
            weak_perspective: bool or boolean scalar tensor; None: the default.
        """
        coords2d_px, coords3d_rel_mm = self.heads(image, training=training)
        return self.reconstruct(coords2d_px, coords3d_rel_mm, intrinsics, mix=mix, weak_perspective=weak_perspective)

    def output_joints(self, points):
        """The model's prediction [B, J, 3] from the absolute points, as the variant says."""
        return self.decoder(points["latents"]) if self.decodes_latents else points["joints"]

    def inference_outputs(self, inputs):
        """All that is of use after training, for one batch of `call`'s inputs.

        Returns:
            dict of
            coords3d_mm: [B, J, 3], as `call` gives it.
            entropy: [B, J] in [0, 1], how undecided the joints' volumetric heatmaps are (`heatmap_entropy`); that of a
                decoded joint is the mean over its latents, weighted by the sizes of their shares in it.
            coords2d_px, coords3d_rel_mm: [B, P, 2], [B, P, 3], the heads' points that the output is made of: the
                latents where it `decodes_latents` (by `decoder`), else the joints.
        """
        logits = self.head.conv(self.backbone(inputs["image"], training=False))
        coords2d_px, coords3d_rel_mm = self.head.decode(logits)
        entropy = self.head.entropy(logits)
        if len(self.parts) > 1:
            part = self.parts["latents" if self.decodes_latents else "joints"]
            coords2d_px, coords3d_rel_mm, entropy = coords2d_px[:, part], coords3d_rel_mm[:, part], entropy[:, part]
        if self.decodes_latents:
            shares = ops.abs(self.decoder.matrix())
            entropy = combine_points(entropy[..., None], shares / ops.sum(shares, axis=0))[..., 0]
        points = reconstruct_absolute(
            coords2d_px,
            coords3d_rel_mm,
            inputs["intrinsics"],
            **self.grid.cells,
            mix_3d_inside_fov=self.mix_3d_inside_fov,
            weak_perspective=self.weak_perspective,
        )
        return {
            "coords3d_mm": self.decoder(points) if self.decodes_latents else points,
            "entropy": entropy,
            "coords2d_px": coords2d_px,
            "coords3d_rel_mm": coords3d_rel_mm,
        }

    @property
    def decodes_latents(self) -> bool:
        """Whether the output is decoded latents, not the heads' own joints."""
        return self.variant.decodes_latents

    def compute_losses(
        self,
        batch,
        *,
        step,
        gates: Gates,
        mix=None,
        order=None,
        joint_groups_2d=None,
        weights: LossWeights = PAPER_WEIGHTS,
        training=True,
    ):
        """Forward pass and loss of one training batch.

        Args:
            batch: image [B3 + B2, S, S, 3], intrinsics [B3 + B2, 3, 3], coords3d_mm [B3, J, 3],
                valid3d [B3, J], and, unless `joint_groups_2d` is None, coords2d_px [B2, J2, 2], valid2d [B2, J2].
            step: integer, number or tensor.
            mix: [B3 + B2], uniform draws from [0, 1); None: the default of inference.
            order: [B3 + B2], where images and intrinsics of the 3D-labelled, then of the 2D-labelled examples stand;
                None: in this order.
            joint_groups_2d: [J, J2], see `losses.joint_group_matrix`.

        Returns:
            (total loss, unweighted terms by name, absolute points by name)
        """
        require_batch(batch, self.skeleton.n_joints, joint_groups_2d)
        points = self.points(
            batch["image"],
            batch["intrinsics"],
            training=training,
            mix=mix,
            weak_perspective=gates.use_weak_perspective(step),
        )
        if order is not None:
            points = {name: ops.take(p, order, axis=0) for name, p in points.items()}
            batch = {**batch, "intrinsics": ops.take(batch["intrinsics"], order, axis=0)}
        total, terms = training_loss(
            self.variant,
            points,
            batch,
            grid=self.grid,
            encoder=self.encoder.matrix() if self.encoder else None,
            decoder=self.decoder.matrix() if self.decoder else None,
            joint_groups_2d=joint_groups_2d,
            weights=weights,
            absolute_gate=gates.absolute_loss(step),
            teacher_gate=gates.teacher_loss(step),
        )
        return total, terms, points

    def initialize_from(
        self, other: Metrabs, *, joints: np.ndarray | None = None, encoded_latents: bool = False
    ) -> None:
        """Starts fine-tuning: copies the backbone of a trained model and those channels of its head that the variant
        `copies`. The others keep their random start.

        Args:
            joints: [J of other, J] weights by which the joints' channels are combined from the other's, columns that
                sum to one, or are NaN for joints that keep their random start; None: the joints are the same.
            encoded_latents: whether channels of latents start as those of the other's joints, combined as the encoder
                combines joints.
        """
        if other.variant.name not in self.variant.starts_from:
            expected = " or ".join(self.variant.starts_from)
            raise UserError(f"The initial model is of variant {other.variant.name!r}, expected {expected}.")
        both = "latents" in self.parts and "latents" in other.parts
        for name, mine, theirs in (
            ("joints", self.skeleton.n_joints, other.skeleton.n_joints if joints is None else joints.shape[1]),
            ("latents", self.n_latents, other.n_latents if both else self.n_latents),
        ):
            if mine != theirs:
                raise UserError(f"The initial model has {theirs} {name}, expected {mine}.")
        self.backbone.set_weights(other.backbone.get_weights())
        for name in self.variant.copies:
            if name in other.parts:
                part = self.parts[name]
                weights = other.head.point_weights(other.parts[name])
                if name == "joints" and joints is not None:
                    weights = self.head.combined(weights, joints, self.head.point_weights(part))
                self.head.set_point_weights(part, *weights)
        if encoded_latents and "latents" in self.parts and "latents" not in self.variant.copies:
            encoder = ops.convert_to_numpy(self.encoder.matrix())
            shares = encoder if joints is None else joints @ encoder
            same = joints is not None or other.skeleton.joint_names == self.skeleton.joint_names
            if not same or np.isnan(shares).any():
                raise UserError(
                    "The encoder needs joints that the initial model does not know: start latents at random."
                )
            part = self.parts["latents"]
            theirs, mine = other.head.point_weights(other.parts["joints"]), self.head.point_weights(part)
            self.head.set_point_weights(part, *self.head.combined(theirs, shares, mine))

    def get_config(self):
        layers = {"encoder": self.encoder, "decoder": self.decoder} if self.encoder else None
        return {
            "name": self.name,
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "skeleton": self.skeleton.to_dict(),
            "variant": self.variant.name,
            "acae": layers and {name: keras.saving.serialize_keras_object(layer) for name, layer in layers.items()},
            "depth": self.head.depth,
            **asdict(self.grid),
            "mix_3d_inside_fov": self.mix_3d_inside_fov,
            "weak_perspective": self.weak_perspective,
            "stop_gradient_features": self.stop_gradient_features,
            "head_dtype": keras.saving.serialize_keras_object(self.head.dtype_policy),
        }

    @classmethod
    def from_config(cls, config):
        config = {**config, "skeleton": Skeleton.from_dict(config["skeleton"])}
        for name in ("backbone", "head_dtype"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        if config["acae"]:
            layers = {k: keras.saving.deserialize_keras_object(layer) for k, layer in config["acae"].items()}
            config["acae"] = SimpleNamespace(**layers)
        return cls(**config)


def frozen_layers(acae, skeleton: Skeleton) -> tuple[AffineCombination, AffineCombination]:
    """Encoder and decoder of a model that outputs `skeleton`; see `Metrabs` for `acae`."""
    given = acae.encoder, acae.decoder
    if not isinstance(given[0], AffineCombination):
        encoder, decoder = (np.asarray(w, np.float64) for w in given)
        require_shape("acae.encoder", encoder, (skeleton.n_joints, None))
        require_shape("acae.decoder", decoder, (encoder.shape[1], skeleton.n_joints))
        joints, latents = _layout(skeleton.joint_names), _layout(getattr(acae, "latent_names", ()))
        given = [
            AffineCombination.from_matrix(
                matrix, layout_in=layout_in, layout_out=layout_out, frozen=True, name=f"acae_{name}"
            )
            for name, matrix, layout_in, layout_out in (
                ("encoder", encoder, joints, latents),
                ("decoder", decoder, latents, joints),
            )
        ]
    encoder, decoder = given
    for layer in given:
        if not layer.built:
            layer.build()
    return encoder, decoder


def _layout(names) -> Layout | None:
    """Which points are left, right and central by their names; None where there are no names, or unpaired ones."""
    try:
        return layout_of(names) if names else None
    except UserError:
        return None


def image_size_of(backbone, image_size: int | None) -> int:
    """Side of the crops that the backbone takes: as given, or from its input shape."""
    of_backbone = backbone.input_shape[1]
    if image_size is None and of_backbone is None:
        raise UserError("image_size is needed, because the backbone's input size is not fixed.")
    if image_size is not None and of_backbone not in (None, image_size):
        raise UserError(f"image_size is {image_size}, but the backbone was built for {of_backbone}.")
    return image_size or of_backbone


def require_batch(batch, n_joints: int, joint_groups_2d) -> None:
    """Raises UserError unless the shapes of a training batch fit the model's joints."""
    shapes = {"intrinsics": (None, 3, 3), "coords3d_mm": (None, n_joints, 3), "valid3d": (None, n_joints)}
    if joint_groups_2d is not None:
        require_shape("joint_groups_2d", joint_groups_2d, (n_joints, None))
        n_joints_2d = joint_groups_2d.shape[1]
        shapes |= {"coords2d_px": (None, n_joints_2d, 2), "valid2d": (None, n_joints_2d)}
    missing = [name for name in ("image", *shapes) if name not in batch]
    if missing:
        raise UserError(f"The training batch has no {', '.join(missing)}; it has {', '.join(batch)}.")
    for name, shape in shapes.items():
        require_shape(name, batch[name], shape)
