"""The limit on kernels' norms."""

import keras
import numpy as np

from metrabs_acae.layers.kernel_norm import KernelNormLimit


def test_long_kernels_come_to_the_limit_and_short_ones_stay_bit_identical():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 16, 4)).astype(np.float32)
    kernel *= np.array([0.08, 5.0, 19.999, 70.0], np.float32) / np.sqrt((kernel**2).sum(axis=(0, 1, 2)))
    limit = KernelNormLimit(20, axis=(0, 1, 2))
    once = np.asarray(limit(kernel))
    np.testing.assert_array_equal(once[..., :3], kernel[..., :3])
    np.testing.assert_allclose(np.sqrt((once[..., 3] ** 2).sum()), 20, rtol=1e-6)
    np.testing.assert_allclose(once[..., 3] / kernel[..., 3], 20 / 70, rtol=1e-6)
    again = once
    for _ in range(100):
        again = np.asarray(limit(again))
    np.testing.assert_allclose(again, once, rtol=1e-6)


def test_it_is_saved_with_its_layer():
    layer = keras.layers.Conv2D(4, 3, kernel_constraint=KernelNormLimit(20, axis=(0, 1, 2)))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.kernel_constraint.get_config() == layer.kernel_constraint.get_config()
