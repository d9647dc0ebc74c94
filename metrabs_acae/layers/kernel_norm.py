"""An upper limit on the norm of convolution kernels."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="metrabs_acae")
class KernelNormLimit(keras.constraints.Constraint):
    """Scales what is longer than the limit down to it, and leaves the rest as it is, bit by bit.

    (`keras.constraints.MaxNorm` divides by norm + 1e-7 each time: of a kernel of norm 0.08 it leaves 0.62 after 400,000
    steps.)

    Args:
        limit: largest L2 norm.
        axis: axes over which it is taken.
    """

    def __init__(self, limit: float, axis: Sequence[int]):
        self.limit = float(limit)
        self.axis = tuple(axis)

    def __call__(self, w):
        norm = ops.sqrt(ops.sum(ops.square(w), axis=self.axis, keepdims=True))
        return w * (self.limit / ops.maximum(norm, self.limit))

    def get_config(self):
        return {"limit": self.limit, "axis": self.axis}
