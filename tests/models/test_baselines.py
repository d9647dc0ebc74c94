"""MeTRo and the 2.5D model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.models.metro import Metro
from metrabs_acae.models.model25d import Model25D
from metrabs_acae.skeletons import Skeleton
from tests.models.tiny import GROUPS, NAMES, SIZE, STRIDE, tiny_batch

EDGES = ((0, 2), (1, 3), (4, 0), (4, 1), (5, 6))
SKELETON = Skeleton("tiny", NAMES, EDGES)
BONES = [400.0, 400, 120, 120, 240]


def build(model_class, **kwargs):
    image = keras.Input((SIZE, SIZE, 3))
    backbone = keras.Model(image, keras.layers.Conv2D(6, STRIDE, STRIDE)(image))
    if model_class is Model25D:
        kwargs = {"bone_lengths_mm": BONES} | kwargs
    return model_class(backbone, SKELETON, stride=STRIDE, **kwargs)


def truth_as_heatmap(model, batch):
    """Heatmap coordinates that a perfect MeTRo or 2.5D network would give for the 3D-labelled examples."""
    true, k = batch["coords3d_mm"], batch["intrinsics"][:4]
    if isinstance(model, Metro):
        xyz = true - true.mean(axis=1, keepdims=True) + 1100
        xy = (xyz[..., :2] * SIZE / 2200 - STRIDE // 2) / (SIZE - STRIDE)
        return np.concatenate([xy, xyz[..., 2:] / 2200], axis=-1)
    px = np.einsum("bij,bkj->bki", k, true / true[..., 2:])[..., :2]
    depth = true[..., 2:] - true[..., 2:].mean(axis=1, keepdims=True) + 1100
    return np.concatenate([(px - STRIDE // 2) / (SIZE - STRIDE), depth / 2200], axis=-1)


@pytest.mark.parametrize("model_class", [Metro, Model25D])
def test_loss_is_zero_at_the_truth_and_gradients_reach_all_weights(model_class):
    model, batch = build(model_class), tiny_batch()
    perfect = tf.constant(truth_as_heatmap(model, batch), tf.float32)
    assert float(model.loss_3d(perfect, batch, batch["intrinsics"][:4])) < 1e-5
    with tf.GradientTape() as tape:
        total, terms, _ = model.compute_losses(batch, joint_groups_2d=GROUPS)
    np.testing.assert_allclose(total, terms["pose_3d"] + 0.2 * terms["pose_2d"], rtol=1e-6)
    for gradient in tape.gradient(total, model.trainable_weights):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


@pytest.mark.parametrize("model_class", [Metro, Model25D])
def test_nothing_valid_gives_zero_loss(model_class):
    model, batch = build(model_class), tiny_batch()
    batch |= {k: np.zeros_like(batch[k]) for k in ("valid3d", "valid2d")}
    with tf.GradientTape() as tape:
        total, *_ = model.compute_losses(batch, joint_groups_2d=GROUPS)
    assert float(total) == 0
    assert all(np.isfinite(g).all() for g in tape.gradient(total, model.trainable_weights))


def test_metros_2d_loss_ignores_scale_and_position():
    model = build(Metro)
    coords = np.random.default_rng(0).uniform(size=(3, 7, 3)).astype(np.float32)
    px = np.einsum("bjc,jk->bkc", coords[..., :2], GROUPS) * 17 + 30
    batch = {"coords2d_px": px, "valid2d": np.ones((3, 3), bool)}
    assert float(model.loss_2d(tf.constant(coords), batch, GROUPS)) < 1e-5


def test_25d_pixel_error_counts_two_thirds():
    model, batch = build(Model25D), tiny_batch()
    batch["valid3d"] = np.ones_like(batch["valid3d"])
    batch["coords3d_mm"][..., :2] *= 0.5  # all in the crop
    perfect = truth_as_heatmap(model, batch)
    shifted = tf.constant(perfect + [2 / (SIZE - STRIDE), 0, 0], tf.float32)
    loss = model.loss_3d(shifted, batch, batch["intrinsics"][:4])
    np.testing.assert_allclose(loss, 2 / 3 * (2 / 2) * 2200 / SIZE / 1000, rtol=1e-3)


def test_25d_predictions_lie_on_the_rays_with_the_right_bones():
    model, batch = build(Model25D), tiny_batch()
    inputs = {k: batch[k] for k in ("image", "intrinsics")}
    poses = np.asarray(model(inputs))
    px = np.asarray(model.to_25d(model.heads(batch["image"])))[..., :2]
    k = batch["intrinsics"]
    projected = np.einsum("bij,bkj->bki", k, poses / poses[..., 2:])[..., :2]
    np.testing.assert_allclose(projected, px, atol=0.01)
    ends = np.array(EDGES)
    lengths = np.linalg.norm(poses[:, ends[:, 0]] - poses[:, ends[:, 1]], axis=-1)
    for factor in (0.9, 1.1):  # a stationary point: other depths fit the bones no better
        shift = (factor - 1) * poses[..., 2].mean(axis=1)
        moved = poses * ((poses[..., 2] + shift[:, None]) / poses[..., 2])[..., None]
        other = np.linalg.norm(moved[:, ends[:, 0]] - moved[:, ends[:, 1]], axis=-1)
        assert ((other - BONES) ** 2).sum() >= ((lengths - BONES) ** 2).sum()


def test_metro_predicts_within_its_cube():
    pred = np.asarray(build(Metro)({"image": tiny_batch()["image"]}))
    assert pred.shape == (7, 7, 3) and pred.min() >= 0 and pred.max() <= 2200


def test_bad_settings_are_named():
    with pytest.raises(UserError, match=r"bone_lengths_mm has shape \[4\], expected \[5\]"):
        build(Model25D, bone_lengths_mm=BONES[:4])
    with pytest.raises(UserError, match="image_size is 128, but the backbone was built for 64"):
        build(Metro, image_size=SIZE * 2)
