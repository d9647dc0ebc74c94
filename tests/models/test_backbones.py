"""Backbones: what all must do, three small ones checked; weights, constraints, and what cannot be adapted."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

from metrabs_acae.errors import UserError
from metrabs_acae.models.backbones import Backbone, PaddedConv2D, build_backbone, register_backbone, registry
from metrabs_acae.models.backbones.registry import find_backbone
from tests.models import conformance
from tests.models.conformance import trunk_of

SLOW = pytest.mark.slow


@pytest.mark.parametrize("check", conformance.CHECKS)
@pytest.mark.parametrize("name", ["mobilenetv3-small", "efficientnetv2-b0", "resnet50v2", "blazepose-full-multiscale"])
def test_conformance(name, check):
    check(name)


def as_keras_has_it(cells_at: int) -> Backbone:
    """MobileNetV3-small with its own padding, and a claim about where that makes it look."""
    return Backbone(network=find_backbone("mobilenetv3-small").network, padding="own", cells_at=cells_at)


def test_cells_are_looked_for(monkeypatch):
    """Keras's own network looks 31 px further to the right and down: the picture is shifted by what the record says."""
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    register_backbone("right", as_keras_has_it(31))
    register_backbone("wrong", as_keras_has_it(0))
    conformance.cells_look_where_heatmaps_say("right")
    with pytest.raises(AssertionError, match="centered_stride"):
        conformance.cells_look_where_heatmaps_say("wrong")


@pytest.mark.parametrize("name", ["mobilenetv3-small", "resnet50v2"])
def test_weights_file_is_loaded(name, tmp_path):
    original = find_backbone(name).network(64)
    rng = np.random.default_rng(0)
    for weight in original.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    original.save_weights(tmp_path / "headless.weights.h5")
    backbone = build_backbone(name, 64, weights=tmp_path / "headless.weights.h5", ghost_group_size=4)
    for mine, theirs in zip(trunk_of(backbone).weights, original.weights, strict=True):
        assert mine.name == theirs.name
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("own_padding", [(1, 0), (3, 2), (0, 1)])
def test_padded_convolution_equals_padding_by_hand(own_padding):
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    padded = np.pad(x, [(0, 0), own_padding, own_padding, (0, 0)])
    layer = PaddedConv2D(own_padding=own_padding, filters=4, kernel_size=sum(own_padding) + 2, strides=2)
    layer.build(x.shape)
    expected = ops.conv(padded, layer.kernel, strides=2, padding="valid")
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == layer(x).shape == (2, 4, 4, 4)


def test_padded_convolution_can_cut_a_row_off():
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    layer = PaddedConv2D(own_padding=(-1, 0), filters=3, kernel_size=1, strides=2, use_bias=False)
    layer.build(x.shape)
    layer.kernel.assign(np.eye(3)[None, None])
    np.testing.assert_allclose(layer(x), x[:, 1::2, 1::2], atol=1e-6)


@pytest.mark.parametrize(("name", "channels"), [("mobilenetv3-small", 576), ("efficientnetv2-b0", 1280)])
def test_channels_and_constraints(name, channels):
    backbone = build_backbone(name, 64)
    assert backbone.output_shape == (None, 2, 2, channels)
    for layer in trunk_of(backbone).layers:
        is_depthwise = isinstance(layer, layers.DepthwiseConv2D)
        if is_depthwise or isinstance(layer, layers.Conv2D):
            constraint = layer.depthwise_constraint if is_depthwise else layer.kernel_constraint
            expect_constraint = name.startswith("efficientnet") and "_se_" not in layer.name
            assert (constraint is not None) == expect_constraint, layer.name
            if expect_constraint:
                assert constraint.limit == 20
                assert tuple(constraint.axis) == ((0, 1) if is_depthwise else (0, 1, 2))


def test_stochastic_depth_drops_block_i_of_n_with_probability_fifth_of_its_share():
    trunk = trunk_of(build_backbone("efficientnetv2-b0", 32))
    repeats = [1, 2, 2, 3, 5, 8]
    n_blocks = sum(repeats)
    rates = {layer.name: layer.rate for layer in trunk.layers if isinstance(layer, layers.Dropout)}
    # only blocks that keep shape have a residual to drop; the first of each stage does not, save for stage 1 (16 != 32)
    expected, index = {}, 0
    for stage, n in enumerate(repeats, start=1):
        for letter in "abcdefgh"[:n]:
            if letter != "a":
                expected[f"block{stage}{letter}_drop"] = 0.2 * index / n_blocks
            index += 1
    assert rates == pytest.approx(expected)
    assert all(layer.noise_shape == (None, 1, 1, 1) for layer in trunk.layers if isinstance(layer, layers.Dropout))


def test_kernel_norm_can_be_off_and_momentum_stays_that_of_keras():
    trunk = trunk_of(build_backbone("efficientnetv2-b0", 32, kernel_norm=float("inf")))
    assert all(getattr(layer, "kernel_constraint", None) is None for layer in trunk.layers)
    assert {n.momentum for n in trunk.layers if isinstance(n, layers.BatchNormalization)} == {0.9}


def training_gradients(weights=None, *, compiled=False):
    """(weights, loss, gradients) of a training step of a small backbone with ghost batch norm, seeded."""
    backbone = build_backbone("mobilenetv3-small", 64, ghost_group_size=4, batch_norm_momentum=0.9)
    if weights is None:
        rng = np.random.default_rng(0)
        weights = [ops.convert_to_numpy(w) + rng.normal(0, 0.02, w.shape) for w in backbone.trainable_weights]
    for variable, value in zip(backbone.trainable_weights, weights, strict=True):
        variable.assign(value)
    rng = np.random.default_rng(1)
    images = rng.uniform(size=(8, 64, 64, 3)).astype(np.float32)
    cotangent = rng.normal(size=(8, 2, 2, 576)).astype(np.float32)
    if keras.backend.backend() == "jax":
        import jax

        others = [v.value for v in backbone.non_trainable_variables]

        def loss_of(trainable):
            return (backbone.stateless_call(trainable, others, images, training=True)[0] * cotangent).sum()

        loss, gradients = jax.jit(jax.value_and_grad(loss_of))([v.value for v in backbone.trainable_variables])
    else:
        import tensorflow as tf

        @tf.function(jit_compile=compiled)
        def step(images):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(backbone(images, training=True) * cotangent)
            return loss, tape.gradient(loss, [v.value for v in backbone.trainable_variables])

        loss, gradients = step(tf.constant(images))
    return weights, float(loss), [ops.convert_to_numpy(g) for g in gradients]


def assert_same_step(found, expected):
    assert found[1] == pytest.approx(expected[1], rel=1e-4)
    error, size = (
        np.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in gradients))
        for gradients in ([f - e for f, e in zip(found[2], expected[2], strict=True)], expected[2])
    )
    assert error < 1e-4 * size


@SLOW
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compares with TensorFlow")
def test_training_step_is_the_same_under_xla_and_on_jax(tmp_path):
    expected = training_gradients()
    assert_same_step(training_gradients(expected[0], compiled=True), expected)
    np.savez(tmp_path / "weights.npz", *expected[0])
    subprocess.run(
        [sys.executable, "-m", __name__, str(tmp_path / "weights.npz"), str(tmp_path / "jax.npz")],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        check=True,
    )
    with np.load(tmp_path / "jax.npz") as arrays:
        loss, *gradients = (arrays[name] for name in arrays.files)
    assert_same_step((None, float(loss), gradients), expected)


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(UserError, match="efficientnetv2-s, .*resnet152v2"):
        build_backbone("resnet18", 256)
    with pytest.raises(UserError, match="multiple of 32"):
        build_backbone("resnet50", 250)
    with pytest.raises(UserError, match="no_such_file"):
        build_backbone("mobilenetv3-small", 64, weights=tmp_path / "no_such_file.weights.h5")
    (tmp_path / "broken.weights.h5").write_bytes(b"nothing")
    with pytest.raises(UserError, match="could not be loaded"):
        build_backbone("mobilenetv3-small", 64, weights=tmp_path / "broken.weights.h5")


if __name__ == "__main__":
    with np.load(sys.argv[1]) as stored:
        _, jax_loss, jax_gradients = training_gradients([stored[name] for name in stored.files])
    np.savez(sys.argv[2], np.array(jax_loss), *jax_gradients)
