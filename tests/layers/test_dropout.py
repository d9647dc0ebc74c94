"""ExampleDropout: an example gets the draw of its place in one device's batch."""

import keras
import numpy as np
import pytest

from metrabs_acae.layers.dropout import ExampleDropout

X = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32) + 10


@pytest.mark.parametrize("noise_shape", [None, (None, 1, 1), (None, 5, 1)])
def test_draws_belong_to_places(noise_shape):
    def dropped(x, places):
        layer = ExampleDropout(0.5, noise_shape=noise_shape, seed=3)
        layer.set_places(places)
        return np.asarray(layer(x, training=True))

    places = np.array([[2, 0, 3, 1]])
    whole = np.asarray(keras.layers.Dropout(0.5, noise_shape=noise_shape, seed=3)(X, training=True))
    assert 0 < (whole == 0).mean() < 1
    np.testing.assert_allclose(dropped(X[places[0]], places), whole[places[0]], rtol=1e-6)
    np.testing.assert_array_equal(dropped(X, None), whole)
    np.testing.assert_array_equal(dropped(X[:2], places), dropped(X[:2], None))  # another batch, as in a last one


def test_without_training_or_rate_nothing_is_dropped():
    for layer, training in ((ExampleDropout(0.5), False), (ExampleDropout(0.0), True)):
        layer.set_places(np.arange(4)[None])
        np.testing.assert_array_equal(layer(X, training=training), X)
