"""Dropout that draws the same for an example wherever its batch is computed."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from metrabs_acae import replicas


@keras.saving.register_keras_serializable(package="metrabs_acae")
class ExampleDropout(keras.layers.Dropout):
    """Keras's Dropout. After `set_places` an example gets the draw that belongs to its place in one device's batch.

    Meant for stochastic depth, whose draw is one number per example: all examples' draws are made everywhere.
    """

    _places: np.ndarray | None = None

    def set_places(self, places: np.ndarray | None) -> None:
        """As for `GhostBatchNormalization`."""
        self._places = places

    def call(self, inputs, training=False):
        places = self._places
        if not (training and self.rate > 0) or places is None or inputs.shape[0] not in (None, places.shape[1]):
            return super().call(inputs, training=training)
        noise_shape = self.noise_shape or (None,) * len(inputs.shape)
        rest = [n or size for n, size in zip(noise_shape[1:], inputs.shape[1:], strict=True)]
        factors = keras.random.dropout(
            ops.ones((places.size, *rest), self.compute_dtype), self.rate, seed=self.seed_generator
        )
        return inputs * ops.take(factors, replicas.own(places), axis=0)
