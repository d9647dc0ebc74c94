"""Backbones: geometry of the feature map measured by gradient, input scaling, faithfulness to keras.applications."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import applications, layers, ops

from metrabs_acae.errors import UserError
from metrabs_acae.geometry.heatmaps import heatmap_to_image
from metrabs_acae.layers import GhostBatchNormalization
from metrabs_acae.models.backbones import ImageScaling, PaddedConv2D, build_backbone

SLOW = pytest.mark.slow


def trunk_of(backbone):
    return next(layer for layer in backbone.layers if isinstance(layer, keras.Model))


def make_linear(model):
    """Every output becomes a positive average of the pixels in its receptive field: equal weights, no side effects."""
    for layer in model.layers:
        if isinstance(layer, layers.MaxPooling2D):
            layer.pool_mode = "average"  # ties would be given to the top left pixel
        for weight in layer.weights:
            if weight.name in ("kernel", "depthwise_kernel"):
                fan_in = np.prod(weight.shape[:2] if "depthwise" in weight.name else weight.shape[:3])
                is_gate = "_se_" in layer.name or "squeeze_excite" in layer.name  # reaches over the whole image
                weight.assign(np.full(weight.shape, 0 if is_gate else 1 / fan_in))
            else:
                weight.assign(np.full(weight.shape, float(weight.name in ("gamma", "moving_variance"))))


def receptive_field_center(backbone, cell, size):
    """Centroid (x, y) in px of the gradient of one feature cell (row, column) with respect to the image."""
    image = np.full((1, size, size, 3), 1.0, np.float32)
    selector = np.zeros(backbone.output_shape[1:], np.float32)
    selector[cell] = 1
    if keras.backend.backend() == "jax":
        import jax

        gradient = jax.grad(lambda x: ops.sum(backbone(x) * selector))(image)
    else:
        import tensorflow as tf

        x = tf.constant(image)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(backbone(x) * selector)
        gradient = tape.gradient(loss, x)
    weights = np.abs(ops.convert_to_numpy(gradient)).sum(axis=(0, 3), dtype=np.float64)
    pixels = np.arange(size)
    return weights.sum(axis=0) @ pixels / weights.sum(), weights.sum(axis=1) @ pixels / weights.sum()


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv3-small",
        "efficientnetv2-b0",
        "blazepose-full",
        "efficientnet-lite0",
        pytest.param("blazepose-heavy", marks=SLOW),
        pytest.param("mobilenetv2", marks=SLOW),
        pytest.param("resnet50v2", marks=SLOW),
        pytest.param("mobilenetv3-large", marks=SLOW),
        pytest.param("mobilenetv3-small-mini", marks=SLOW),
        pytest.param("efficientnetv2-s", marks=SLOW),
        pytest.param("resnet50", marks=SLOW),
        pytest.param("resnet101v2", marks=SLOW),
    ],
)
def test_cells_look_where_heatmaps_say(name, centered):
    size = 768  # at 256 the border cuts the receptive field
    backbone = build_backbone(name, size, centered_stride=centered)
    make_linear(trunk_of(backbone))
    n_cells = size // 32
    row, column = 12, 11
    found = receptive_field_center(backbone, (row, column), size)
    coords01 = np.array([[column, row]], np.float32) / (n_cells - 1)
    expected = heatmap_to_image(coords01, image_size=size, stride=32, centered_stride=centered)
    # nonlinear activations vary a little near the border of the image
    np.testing.assert_allclose(found, np.asarray(expected)[0], atol=0.5)


def test_without_adaptation_the_field_is_off():
    """The test above can fail: Keras's own network looks 31 px further to the right and down."""
    size = 768
    original = applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(size, size, 3), include_preprocessing=False
    )
    make_linear(original)
    x, y = receptive_field_center(original, (12, 12), size)
    assert x == pytest.approx(12 * 32 + 31, abs=1) and y == pytest.approx(x, abs=0.1)


KERAS_TWINS = {
    "mobilenetv3-small": (applications.MobileNetV3Small, lambda x: x / 127.5 - 1, {"include_preprocessing": False}),
    "efficientnetv2-b0": (applications.EfficientNetV2B0, lambda x: x, {}),
    "resnet50": (applications.ResNet50, applications.resnet.preprocess_input, {}),
    "resnet50v2": (applications.ResNet50V2, applications.resnet_v2.preprocess_input, {}),
}


@pytest.mark.parametrize("name", KERAS_TWINS)
def test_input_scaling_is_that_of_keras(name):
    _, preprocess, _ = KERAS_TWINS[name]
    pixels = np.random.default_rng(0).integers(0, 256, size=(1, 32, 32, 3)).astype(np.float32)
    scaled = next(layer for layer in build_backbone(name, 32).layers if isinstance(layer, ImageScaling))(pixels / 255)
    if name == "efficientnetv2-b0":  # inside the network
        twin = applications.EfficientNetV2B0(include_top=False, weights=None, input_shape=(32, 32, 3))
        first = [layer for layer in twin.layers if isinstance(layer, (layers.Rescaling, layers.Normalization))]
        expected = pixels
        for layer in first:
            expected = layer(expected)
    else:
        expected = preprocess(pixels.copy())
    np.testing.assert_allclose(scaled, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["mobilenetv3-small", "resnet50v2"])
def test_weights_file_is_loaded(name, tmp_path):
    constructor, _, settings = KERAS_TWINS[name]
    original = constructor(include_top=False, weights=None, input_shape=(64, 64, 3), **settings)
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


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("mobilenetv3-small", 576),
        ("efficientnetv2-b0", 1280),
        pytest.param("mobilenetv3-large", 960, marks=SLOW),
        pytest.param("efficientnetv2-s", 1280, marks=SLOW),
        pytest.param("efficientnetv2-m", 1280, marks=SLOW),
        pytest.param("resnet50", 2048, marks=SLOW),
        pytest.param("resnet101", 2048, marks=SLOW),
        pytest.param("resnet152", 2048, marks=SLOW),
        pytest.param("resnet101v2", 2048, marks=SLOW),
        pytest.param("resnet152v2", 2048, marks=SLOW),
        pytest.param("efficientnetv2-l", 1280, marks=SLOW),
    ],
)
def test_shapes_norms_and_constraints(name, channels):
    backbone = build_backbone(name, 64, ghost_group_size=4, batch_norm_momentum=0.9)
    assert backbone.input_shape == (None, 64, 64, 3)
    assert backbone.output_shape == (None, 2, 2, channels)
    trunk = trunk_of(backbone)
    norms = [layer for layer in trunk.layers if isinstance(layer, layers.BatchNormalization)]
    assert norms and all(isinstance(n, GhostBatchNormalization) for n in norms)
    assert all(n.group_size == 4 and n.momentum == 0.9 for n in norms)
    for layer in trunk.layers:
        is_depthwise = isinstance(layer, layers.DepthwiseConv2D)
        if is_depthwise or isinstance(layer, layers.Conv2D):
            constraint = layer.depthwise_constraint if is_depthwise else layer.kernel_constraint
            expect_constraint = name.startswith("efficientnet") and "_se_" not in layer.name
            assert (constraint is not None) == expect_constraint, layer.name
            if expect_constraint:
                assert constraint.max_value == 20
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


def test_save_and_reload(tmp_path):
    backbone = build_backbone("mobilenetv3-small", 64, ghost_group_size=[2, 3])
    backbone.save(tmp_path / "backbone.keras")
    reloaded = keras.models.load_model(tmp_path / "backbone.keras")
    images = np.random.default_rng(0).uniform(size=(2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_allclose(reloaded(images), backbone(images), atol=1e-6)


@pytest.mark.parametrize("name", ["mobilenetv3-small", "efficientnetv2-b0"])
def test_mixed_precision(name):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        backbone = build_backbone(name, 64, ghost_group_size=2)
    finally:
        keras.config.set_dtype_policy("float32")
    features = backbone(np.random.default_rng(0).uniform(size=(4, 64, 64, 3)), training=True)
    assert keras.backend.standardize_dtype(features.dtype) == "float16"
    assert np.isfinite(ops.convert_to_numpy(ops.cast(features, "float32"))).all()
    assert all(w.dtype == "float32" for w in backbone.weights if w.dtype.startswith("float"))


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
