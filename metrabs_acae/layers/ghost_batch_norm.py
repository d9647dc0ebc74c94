"""Batch normalization whose training statistics come from consecutive groups of the batch."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from metrabs_acae.errors import UserError


@keras.saving.register_keras_serializable(package="metrabs_acae")
class GhostBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization over consecutive groups of the batch ("ghost" batches; method of MeTRAbs, WACV 2023).

    In training each group is normalized by its own mean and (biased) variance, and the moving statistics are updated
    once per group, in the order of the groups, with the unbiased variance (factor n / (n - 1)). All groups are computed
    together. At inference it is ordinary batch normalization, for any batch size. Statistics are float32 under mixed
    precision.

    The variables are those of `keras.layers.BatchNormalization`, in the same order, so weights can be exchanged.

    Data parallelism: under `tf.distribute` each replica groups its own share of the batch and the moving statistics of
    the replicas are averaged; under `keras.distribution` (JAX) the groups are those of the whole batch.

    Args:
        group_size: examples per group. An int: equal groups, the last one smaller where the batch is no multiple of it.
            A list of ints: the sizes of the groups in order, which must sum to the training batch size.
            None: the whole batch is one group.
        momentum: the share of the moving statistics that is kept at each group.
        Others: as in `keras.layers.BatchNormalization`, without `renorm` and `synchronized`.

    Raises:
        UserError: a group size below 1; in training, sizes that do not sum to the batch size.
    """

    def __init__(self, group_size=16, momentum=0.99, epsilon=1e-3, axis=-1, **kwargs):
        if kwargs.get("renorm") or kwargs.get("synchronized"):
            raise UserError("GhostBatchNormalization supports neither renorm nor synchronized: leave both off.")
        super().__init__(axis=axis, momentum=momentum, epsilon=epsilon, **kwargs)
        if group_size is None or isinstance(group_size, (int, np.integer)):
            self.group_size = None if group_size is None else int(group_size)
            smallest = self.group_size
        else:
            self.group_size = [int(size) for size in group_size]
            smallest = min(self.group_size, default=0)
        if smallest is not None and smallest < 1:
            raise UserError(f"Ghost batch normalization needs group sizes of at least 1, got {group_size}.")

    def add_weight(self, *args, name=None, **kwargs):
        if name in ("moving_mean", "moving_variance"):  # under tf.distribute: one value, the mean over replicas
            kwargs["aggregation"] = "mean"
        return super().add_weight(*args, name=name, **kwargs)

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        if mask is not None:
            raise UserError("GhostBatchNormalization does not support masks: call it with mask=None.")

        # Per-example moments first; examples are then pooled into groups by a small [groups, batch] matrix. So groups
        # of any sizes are one computation.
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        rank, axis = len(x.shape), self.axis % len(x.shape)
        space = [i for i in range(1, rank) if i != axis]
        n_space = _product(ops.shape(x)[i] for i in space)
        member, sizes, moving_shares = self._groups(x)
        pool = member / sizes[:, None]

        constant_x = ops.stop_gradient(x)
        example_mean = ops.mean(constant_x, axis=space, keepdims=True)
        example_var = ops.mean(ops.square(constant_x - example_mean), axis=space)
        example_mean = ops.reshape(example_mean, ops.shape(example_var))
        mean = ops.matmul(pool, example_mean)
        deviation = example_mean - ops.matmul(ops.transpose(member), mean)
        var = ops.matmul(pool, example_var + ops.square(deviation))

        n = sizes[:, None] * ops.cast(n_space, x.dtype)
        keep = 1.0 - ops.sum(moving_shares)
        shares = moving_shares[:, None]
        for moving, batch in (
            (self.moving_mean, mean),
            (self.moving_variance, var * (n / ops.maximum(n - 1.0, 1.0))),
        ):
            moving.assign(ops.cast(moving, x.dtype) * keep + ops.sum(shares * batch, axis=0))

        inverse_std = ops.rsqrt(var + self.epsilon)
        gamma = ops.cast(self.gamma, x.dtype) if self.scale else ops.ones((x.shape[axis],), x.dtype)
        beta = ops.cast(self.beta, x.dtype) if self.center else ops.zeros((x.shape[axis],), x.dtype)
        y = _normalize(x, gamma, beta, mean, inverse_std, member, pool, space)
        return ops.cast(y, self.compute_dtype)

    def _groups(self, x):
        """([G, B] membership, [G] sizes, [G] shares of the groups' statistics in the moving ones)."""
        batch = x.shape[0] if x.shape[0] is not None else ops.shape(x)[0]
        fixed = isinstance(batch, int)
        if isinstance(self.group_size, list):
            if fixed and sum(self.group_size) != batch:
                raise UserError(
                    f"The ghost batch norm groups {self.group_size} sum to {sum(self.group_size)}, but the training "
                    f"batch has {batch} examples: make them equal."
                )
            group_of = np.repeat(np.arange(len(self.group_size)), self.group_size)
            n_groups = len(self.group_size)
        else:
            size = batch if self.group_size is None else self.group_size
            xp = np if fixed else ops
            group_of = xp.arange(batch) // size
            n_groups = (batch + size - 1) // size
        xp = np if fixed or isinstance(self.group_size, list) else ops
        member = xp.equal(xp.arange(n_groups)[:, None], group_of[None, :])
        member = member.astype(np.float32) if xp is np else ops.cast(member, "float32")
        sizes = xp.sum(member, axis=1)
        later = xp.arange(n_groups)[::-1] if xp is np else ops.flip(ops.arange(n_groups))
        shares = (1.0 - self.momentum) * xp.power(self.momentum, ops.cast(later, "float32") if xp is ops else later)
        return tuple(ops.cast(a, x.dtype) for a in (member, sizes, shares))

    def get_config(self):
        config = super().get_config()
        for unused in ("renorm", "renorm_clipping", "renorm_momentum", "synchronized"):
            config.pop(unused, None)
        return {**config, "group_size": self.group_size}


def _normalize(x, gamma, beta, mean, inverse_std, member, pool, space):
    """(x - mean of its group) * inverse_std of its group * gamma + beta, with the gradient through the statistics.

    x: [B, ..., C]; gamma, beta: [C]; mean, inverse_std: [G, C]; member, pool: [G, B]. The gradient is written out
    (Ioffe and Szegedy 2015, section 3) because it then needs two sums over x and one more pass, less than half of what
    automatic differentiation does.
    """

    def spread(per_example):
        """[B, C] -> broadcastable to x."""
        return ops.expand_dims(per_example, space) if space else per_example

    @ops.custom_gradient
    def normalize(x, gamma, beta, mean, inverse_std, member, pool):
        to_examples = ops.transpose(member)
        mean_b, inverse_std_b = ops.matmul(to_examples, mean), ops.matmul(to_examples, inverse_std)
        scale = inverse_std_b * gamma
        y = x * spread(scale) + spread(beta - mean_b * scale)

        def gradient(*upstream, **_):
            dy = upstream[0][0] if isinstance(upstream[0], (tuple, list)) else upstream[0]
            sum_dy = ops.sum(dy, axis=space)
            sum_dy_x = ops.sum(dy * x, axis=space)
            sum_dy_normed = (sum_dy_x - mean_b * sum_dy) * inverse_std_b
            n_space = ops.cast(_product(ops.shape(x)[i] for i in space), x.dtype)
            mean_dy = ops.matmul(to_examples, ops.matmul(pool, sum_dy)) / n_space
            mean_dy_normed = ops.matmul(to_examples, ops.matmul(pool, sum_dy_normed)) / n_space
            slope = -scale * inverse_std_b * mean_dy_normed
            offset = -scale * mean_dy - slope * mean_b
            dx = dy * spread(scale) + (x * spread(slope) + spread(offset))
            none = [ops.zeros_like(a) for a in (mean, inverse_std, member, pool)]
            return (dx, ops.sum(sum_dy_normed, axis=0), ops.sum(sum_dy, axis=0), *none)

        return y, gradient

    return normalize(x, gamma, beta, mean, inverse_std, member, pool)


def _product(numbers):
    product = 1
    for number in numbers:
        product = product * number
    return product
