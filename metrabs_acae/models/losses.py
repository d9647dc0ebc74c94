"""Losses of absolute poses, in metres (L1 throughout).

Means run over all supervised joints of the batch together, so that a densely annotated dataset weighs more than a
sparse one. A mean over nothing is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from keras import ops

from metrabs_acae.errors import UserError
from metrabs_acae.geometry.heatmaps import CropGrid
from metrabs_acae.geometry.perspective import NEAR_FOV_BORDER_FACTOR, is_within_fov, project
from metrabs_acae.geometry.points import combine_points, masked_mean
from metrabs_acae.geometry.shapes import require_shape
from metrabs_acae.models.settings import LossWeights
from metrabs_acae.models.variants import Variant, get_variant

MM_PER_M = 1000.0
MIN_TRUE_DEPTH_MM = 300.0  # nearer joints give no absolute and no projection loss
FAR_DEPTH_MM = 10_000.0  # beyond, depth errors count in proportion to it


PAPER_WEIGHTS = LossWeights()


def pose_terms_3d(pred_mm, true_mm, intrinsics, valid, *, grid: CropGrid) -> dict:
    """The three terms of the 3D pose loss, unweighted.

    Args:
        pred_mm, true_mm: [B, J, 3] absolute, camera frame. Invalid joints of `true_mm` may hold anything.
        intrinsics: [B, 3, 3].
        valid: bool [B, J].
        grid: crop size and stride, for the field of view and the scale of pixels.

    Returns:
        Scalars in metres: "relative" (both poses centred on the mean of the valid joints), "projection" (pixel
        error at the scale of the crop's cube, over joints that both project into view), "absolute".
    """
    n_joints = pred_mm.shape[1]
    for name, value, shape in (
        ("pred_mm", pred_mm, (None, n_joints, 3)),
        ("true_mm", true_mm, (None, n_joints, 3)),
        ("intrinsics", intrinsics, (None, 3, 3)),
        ("valid", valid, (None, n_joints)),
    ):
        require_shape(name, value, shape)
    valid = ops.cast(valid, "bool")[..., None]
    true_mm = ops.where(valid, ops.cast(true_mm, pred_mm.dtype), 0)

    centered = [p - masked_mean(p, valid, axis=1, keepdims=True) for p in (pred_mm, true_mm)]
    relative = masked_mean(ops.abs(centered[0] - centered[1]), valid)

    true_depth = true_mm[..., 2:]
    in_front = ops.logical_and(valid, true_depth > MIN_TRUE_DEPTH_MM)
    pred_px, true_px = project(pred_mm, intrinsics), project(true_mm, intrinsics)
    in_view = ops.logical_and(_in_view(pred_px, true_px, grid), pred_mm[..., 2:] > 1)
    projection = masked_mean(ops.abs(pred_px - true_px), ops.logical_and(in_front, in_view))

    error = ops.abs(pred_mm - true_mm)
    depth_factor = FAR_DEPTH_MM / ops.maximum(ops.abs(true_depth), FAR_DEPTH_MM)
    absolute = masked_mean(ops.concatenate([error[..., :2], error[..., 2:] * depth_factor], axis=-1), in_front)
    return {
        "relative": relative / MM_PER_M,
        "projection": projection * grid.mm_per_px / MM_PER_M,
        "absolute": absolute / MM_PER_M,
    }


def pose_loss_3d(pred_mm, true_mm, intrinsics, valid, *, grid: CropGrid, projection_weight=1.0, absolute_weight=0.1):
    """relative + projection_weight * projection + absolute_weight * absolute: see `pose_terms_3d`.

    The weights may be scalar tensors, so that a compiled step can switch a term on.
    """
    terms = pose_terms_3d(pred_mm, true_mm, intrinsics, valid, grid=grid)
    return terms["relative"] + projection_weight * terms["projection"] + absolute_weight * terms["absolute"]


def pose_loss_2d(pred_mm, true_px, intrinsics, valid, *, joint_groups, grid: CropGrid):
    """Pixel error of the projected pose against 2D labels, in metres at the scale of the crop's cube.

    Args:
        pred_mm: [B, J, 3] absolute, camera frame.
        true_px: [B, J2, 2]. Invalid joints may hold anything.
        intrinsics: [B, 3, 3].
        valid: bool [B, J2].
        joint_groups: [J, J2] from `joint_group_matrix`: which 3D joints stand for a 2D joint.
    """
    n_joints, n_joints_2d = joint_groups.shape
    for name, value, shape in (
        ("pred_mm", pred_mm, (None, n_joints, 3)),
        ("true_px", true_px, (None, n_joints_2d, 2)),
        ("intrinsics", intrinsics, (None, 3, 3)),
        ("valid", valid, (None, n_joints_2d)),
    ):
        require_shape(name, value, shape)
    valid = ops.cast(valid, "bool")[..., None]
    true_px = ops.where(valid, ops.cast(true_px, pred_mm.dtype), 0)
    pred_px = combine_points(project(pred_mm, intrinsics), joint_groups)
    mask = ops.logical_and(valid, _in_view(pred_px, true_px, grid))
    return masked_mean(ops.abs(pred_px - true_px), mask) * grid.mm_per_px / MM_PER_M


def manifold_loss(points_mm, reconstructed_mm):
    """Mean absolute distance, per coordinate, between points [B, J, 3] and their auto-encoded selves, in metres."""
    return masked_mean(ops.abs(points_mm - reconstructed_mm), True) / MM_PER_M


def joint_group_matrix(groups: Sequence[Sequence[int]], n_joints: int, names: Sequence[str] = ()) -> np.ndarray:
    """Averaging matrix [J, J2] float32 from, for each 2D joint, the indices of the 3D joints that stand for it.

    Raises:
        UserError: when a 2D joint has none (`names` are used in the message).
    """
    matrix = np.zeros((n_joints, len(groups)), np.float32)
    for i, group in enumerate(groups):
        if len(group) == 0:
            name = names[i] if i < len(names) else f"number {i}"
            raise UserError(f"No 3D joint has a name that starts with 2D joint {name}; leave this joint out.")
        matrix[np.asarray(group), i] = 1 / len(group)
    return matrix


LABELS = {"3d": ("coords3d_mm", "valid3d"), "2d": ("coords2d_px", "valid2d")}
"""What the examples of the two halves of a batch are labelled with."""


@dataclass
class Half:
    """What a loss term sees of a training batch: the examples labelled in one way.

    Attributes:
        name: "3d" or "2d".
        points: absolute predictions in mm, "joints" [B, J, 3] and/or "latents" [B, L, 3].
        intrinsics: [B, 3, 3].
        labels: "coords3d_mm" [B, J, 3] and "valid3d" [B, J], or "coords2d_px" [B, J2, 2] and "valid2d" [B, J2].
        weights: of the loss.
        supervise: joints [B, J, 3] mm -> their pose loss against the labels.
        compare: (points, target, valid) [B, P, 3] mm, bool [B, P] -> their 3D pose loss against other points.
        encode, decode: joints to latents and back, by the frozen autoencoder.
    """

    name: str
    points: dict
    intrinsics: object
    labels: dict
    weights: LossWeights
    supervise: Callable
    compare: Callable
    encode: Callable
    decode: Callable

    @cached_property
    def reconstructed(self):
        """The joints, encoded and decoded."""
        return self.decode(self.encode(self.points["joints"]))


def _teacher(half: Half):
    joints = half.points["joints"]
    teacher = half.encode(ops.stop_gradient(joints) if half.weights.stop_gradient_teacher else joints)
    return half.compare(half.points["latents"], teacher, ops.ones_like(teacher[..., 0], dtype="bool"))


LOSS_TERMS: dict[str, Callable[[Half], object]] = {
    "pose": lambda half: half.supervise(half.points["joints"]),
    "decoded": lambda half: half.supervise(half.decode(half.points["latents"])),
    "manifold": lambda half: manifold_loss(half.points["joints"], half.reconstructed),
    "autoencoded": lambda half: half.supervise(half.reconstructed),
    "teacher": _teacher,
}
"""The terms that a variant's loss may have: functions of a half of the batch, in metres, unweighted.

| term        | compares                                    | with                          |
|-------------|---------------------------------------------|-------------------------------|
| pose        | joints                                      | labels                        |
| decoded     | latents, decoded                            | labels                        |
| manifold    | joints                                      | joints, encoded and decoded   |
| autoencoded | joints, encoded and decoded                 | labels                        |
| teacher     | latents                                     | joints, encoded (the teacher) |
"""

LATE_TERMS = {"teacher"}
"""Terms that count only after the step `Gates.teacher_loss_after`."""


def register_loss_term(name: str, term: Callable[[Half], object], *, late: bool = False) -> None:
    """Adds a loss term (to `LATE_TERMS` too if `late`), for variants to give it a weight; UserError if its name is
    taken."""
    if LOSS_TERMS.setdefault(name, term) is not term:
        raise UserError(f"There is another loss term {name!r} already: choose another name.")
    if late:
        LATE_TERMS.add(name)


def term_weights(variant: str | Variant, weights: LossWeights = PAPER_WEIGHTS, *, half: str) -> dict[str, float]:
    """Which terms the loss of a variant has on one half of the batch ("3d" or "2d"), and their weights within it."""
    found = get_variant(variant).losses(weights, half)
    unknown = sorted(set(found) - set(LOSS_TERMS))
    if unknown:
        raise UserError(f"There is no loss term {', '.join(unknown)}; there are {', '.join(LOSS_TERMS)}.")
    return found


def training_loss(
    variant: str | Variant,
    points: dict,
    batch: dict,
    *,
    grid: CropGrid,
    encoder=None,
    decoder=None,
    joint_groups_2d=None,
    weights: LossWeights = PAPER_WEIGHTS,
    absolute_gate=1.0,
    teacher_gate=1.0,
):
    """The whole training loss of one variant (WACV 2023, section 3).

    Args:
        variant: of `Metrabs`.
        points: absolute predictions in mm for the whole batch: "joints" [B, J, 3] and/or "latents" [B, L, 3], by what
            the variant's head predicts.
        batch: intrinsics [B, 3, 3]; coords3d_mm [B3, J, 3], valid3d [B3, J] for the first B3 examples;
            coords2d_px [B2, J2, 2], valid2d [B2, J2] for the rest.
        encoder, decoder: [J, L] and [L, J] of the frozen autoencoder (all but separate).
        joint_groups_2d: [J, J2] from `joint_group_matrix`; None leaves the 2D-labelled part out.
        absolute_gate, teacher_gate: factors 0 or 1, of the absolute loss and of `LATE_TERMS`; numbers or scalar
            tensors.

    Returns:
        (total, terms): a scalar, and its unweighted terms, each scalar, named as in `term_weights` with "_3d" or
        "_2d" appended.
    """
    n_3d = ops.shape(batch["coords3d_mm"])[0]
    pose_settings = {
        "projection_weight": weights.projection,
        "absolute_weight": weights.absolute * absolute_gate,
        "grid": grid,
    }

    def half_of(name: str, part: slice) -> Half:
        intrinsics = batch["intrinsics"][part]

        def compare(pred_mm, target_mm, valid):
            return pose_loss_3d(pred_mm, target_mm, intrinsics, valid, **pose_settings)

        def supervise_2d(pred_mm):
            labels = batch["coords2d_px"], intrinsics, batch["valid2d"]
            return pose_loss_2d(pred_mm, *labels, joint_groups=joint_groups_2d, grid=grid)

        return Half(
            name,
            {key: p[part] for key, p in points.items()},
            intrinsics,
            {key: batch[key] for key in LABELS[name]},
            weights,
            supervise_2d if name == "2d" else lambda pred: compare(pred, batch["coords3d_mm"], batch["valid3d"]),
            compare,
            encode=lambda joints: combine_points(joints, encoder),
            decode=lambda latents: combine_points(latents, decoder),
        )

    halves = [(half_of("3d", slice(None, n_3d)), 1.0)]
    if joint_groups_2d is not None:
        halves.append((half_of("2d", slice(n_3d, None)), weights.weak_2d))
    total, terms = 0.0, {}
    for half, half_weight in halves:
        for name, weight in term_weights(variant, weights, half=half.name).items():
            value = LOSS_TERMS[name](half)
            gate = teacher_gate if name in LATE_TERMS else 1.0
            total = total + half_weight * weight * gate * value
            terms[f"{name}_{half.name}"] = value
    return total, terms


def _in_view(pred_px, true_px, grid: CropGrid):
    """Whether the prediction lies in view and the truth at least near it: bool [B, J, 1]."""
    near = is_within_fov(true_px, **grid.cells, border_factor=NEAR_FOV_BORDER_FACTOR)
    return ops.logical_and(is_within_fov(pred_px, **grid.cells), near)[..., None]
