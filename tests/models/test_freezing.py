"""Backbones of which only the last convolutions are trained."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from metrabs_acae.errors import UserError
from metrabs_acae.models.backbones import Backbone, StopGradient, build_backbone, register_backbone, registry
from metrabs_acae.models.backbones.freezing import describe_frozen
from tests.models.conformance import images, trunk_of


def residual_network(image_size):
    """Eight convolutions, with a shortcut around those in the middle and dropout on the way."""
    image = keras.Input((image_size, image_size, 3))
    x = layers.Conv2D(8, 3, 2, padding="same", name="c0")(image)
    x = shortcut = layers.BatchNormalization(name="n0")(x)
    for i in range(1, 7):
        x = layers.Conv2D(8, 3, padding="same", name=f"c{i}")(x)
        x = layers.BatchNormalization(name=f"n{i}")(x)
        x = layers.Dropout(0.5, name=f"d{i}")(x)
    x = layers.Add(name="add")([x, shortcut])
    return keras.Model(image, layers.Conv2D(8, 3, 2, padding="same", name="c7")(x), name="residual")


@pytest.fixture(autouse=True)
def residual(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    register_backbone("residual", Backbone(network=residual_network))


def frozen_and_trained(backbone):
    split = {True: set(), False: set()}
    for layer in trunk_of(backbone).layers:
        if layer.weights:
            split[bool(layer.trainable_weights)].add(layer.name)
    return split[False], split[True]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_the_last_convolutions_are_trained(n):
    frozen, trained = frozen_and_trained(build_backbone("residual", 32, trained_convolutions=n))
    assert trained == {f"c{i}" for i in range(8 - n, 8)} | {f"n{i}" for i in range(8 - n, 7)}
    assert frozen == {f"c{i}" for i in range(8 - n)} | {f"n{i}" for i in range(min(8 - n, 7))}


def test_all_or_a_number_that_leaves_something():
    assert not frozen_and_trained(build_backbone("residual", 32))[0]
    with pytest.raises(UserError, match="has 8 convolutions"):
        build_backbone("residual", 32, trained_convolutions=8)


@pytest.mark.parametrize("name", ["residual", "mobilenetv3-small"])
def test_the_function_is_that_of_the_whole_network(name):
    whole, part = build_backbone(name, 64), build_backbone(name, 64, trained_convolutions=3)
    assert [w.path for w in whole.weights] == [w.path for w in part.weights]
    part.set_weights(whole.get_weights())
    np.testing.assert_allclose(part(images(2)), whole(images(2)), atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="looks at TensorFlow's tape")
def test_training_leaves_it_alone():
    import tensorflow as tf

    backbone = build_backbone("residual", 32, trained_convolutions=2, ghost_group_size=2)
    before = {w.path: np.array(w) for w in backbone.weights}
    with tf.GradientTape() as tape:  # all variables are watched, the fixed ones too
        fixed = [w.value for w in backbone.non_trainable_weights if "kernel" in w.path]
        tape.watch(fixed)
        loss = tf.reduce_sum(backbone(images(4, 32), training=True) ** 2)
    gradients = tape.gradient(loss, fixed + [w.value for w in backbone.trainable_weights])
    assert gradients[: len(fixed)] == [None] * len(fixed)
    assert all(g is not None for g in gradients[len(fixed) :])
    changed = {w.path for w in backbone.weights if not np.array_equal(before[w.path], np.array(w))}
    assert changed == {"n6/moving_mean", "n6/moving_variance"}


def test_what_is_fixed_drops_nothing():
    backbone = build_backbone("residual", 32, trained_convolutions=0)
    x = images(2, 32)
    np.testing.assert_array_equal(backbone(x, training=True), backbone(x))
    assert isinstance(backbone.layers[-1], StopGradient)


def test_it_comes_back_from_a_file(tmp_path):
    backbone = build_backbone("residual", 32, trained_convolutions=2)
    backbone.save(tmp_path / "b.keras")
    reloaded = keras.models.load_model(tmp_path / "b.keras")
    assert frozen_and_trained(reloaded) == frozen_and_trained(backbone)
    np.testing.assert_allclose(reloaded(images(2, 32)), ops.convert_to_numpy(backbone(images(2, 32))), atol=1e-5)


def test_it_is_described():
    assert describe_frozen(build_backbone("residual", 32)) == ""
    text = describe_frozen(build_backbone("residual", 32, trained_convolutions=2))
    assert "first 6 of 8 convolutions stay fixed; trained: from c6 on" in text
