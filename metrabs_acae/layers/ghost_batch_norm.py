"""Batch normalization whose training statistics come from consecutive groups of the batch."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from metrabs_acae import replicas
from metrabs_acae.dealing import deal_groups
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
    the replicas are averaged; under `keras.distribution` (JAX) the groups are those of the whole batch. `set_places`
    makes them the groups of one device's batch, moving statistics included, however its examples are dealt out.

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
        self._dealt = None

    def set_places(self, places: np.ndarray | None) -> None:
        """Says which place of one device's batch each training example has.

        Args:
            places: as `Dealing.places` has them; None: the examples stand as they come.

        Raises:
            UserError: replicas that hold parts of groups, or groups of other sizes than each other.
        """
        self._dealt = None if places is None else _Dealt(self.group_size, np.atleast_2d(places))

    def add_weight(self, *args, name=None, **kwargs):
        if name in ("moving_mean", "moving_variance"):  # under tf.distribute: one value, the mean over replicas
            kwargs["aggregation"] = "mean"
        return super().add_weight(*args, name=name, **kwargs)

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        if mask is not None:
            raise UserError("GhostBatchNormalization does not support masks: call it with mask=None.")

        # Per-example moments first, then examples are pooled into groups. So groups of any sizes are one computation.
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        rank, axis = len(x.shape), self.axis % len(x.shape)
        space = [i for i in range(1, rank) if i != axis]
        n_space = _product(ops.shape(x)[i] for i in space)
        groups, shares, keep = self._groups(x)

        constant_x = ops.stop_gradient(x)
        example_mean = ops.mean(constant_x, axis=space, keepdims=True)
        example_var = ops.mean(ops.square(constant_x - example_mean), axis=space)
        example_mean = ops.reshape(example_mean, ops.shape(example_var))
        mean = groups.mean(example_mean)
        deviation = example_mean - groups.spread(mean)
        var = groups.mean(example_var + ops.square(deviation))

        n = groups.sizes[:, None] * ops.cast(n_space, x.dtype)
        shares = shares[:, None]
        for moving, batch in (
            (self.moving_mean, mean),
            (self.moving_variance, var * (n / ops.maximum(n - 1.0, 1.0))),
        ):
            moving.assign(ops.cast(moving, x.dtype) * keep + ops.sum(shares * batch, axis=0))

        inverse_std = ops.rsqrt(var + self.epsilon)
        gamma = ops.cast(self.gamma, x.dtype) if self.scale else ops.ones((x.shape[axis],), x.dtype)
        beta = ops.cast(self.beta, x.dtype) if self.center else ops.zeros((x.shape[axis],), x.dtype)
        y = _normalize(x, gamma, beta, mean, inverse_std, groups, space)
        return ops.cast(y, self.compute_dtype)

    def _groups(self, x):
        """(groups, [G] shares of their statistics in the moving ones, what is kept of the moving ones)."""
        batch = x.shape[0] if x.shape[0] is not None else ops.shape(x)[0]
        fixed = isinstance(batch, int)
        if self._dealt is not None and (not fixed or batch == self._dealt.n_examples):
            return self._dealt.groups(x.dtype), *self._dealt.moving_shares(self.momentum, x.dtype)
        if isinstance(self.group_size, list):
            if fixed and sum(self.group_size) != batch:
                raise UserError(
                    f"The ghost batch norm groups {self.group_size} sum to {sum(self.group_size)}, but the training "
                    f"batch has {batch} examples: make them equal."
                )
            n_groups, groups = len(self.group_size), _Groups.of_sizes(self.group_size, x.dtype)
        else:
            size = batch if self.group_size is None else self.group_size
            n_groups = (batch + size - 1) // size
            if fixed and batch % size == 0:
                groups = _EqualGroups(n_groups, size, x.dtype)
            elif fixed:
                groups = _Groups.of_sizes([size] * (n_groups - 1) + [batch - size * (n_groups - 1)], x.dtype)
            else:
                member = ops.equal(ops.arange(n_groups)[:, None], ops.arange(batch)[None, :] // size)
                groups = _Groups(ops.cast(member, x.dtype))
        later = np.arange(n_groups)[::-1] if isinstance(n_groups, int) else ops.flip(ops.arange(n_groups))
        shares = (1.0 - self.momentum) * ops.power(self.momentum, ops.cast(later, x.dtype))
        return groups, shares, 1.0 - ops.sum(shares)

    def get_config(self):
        config = super().get_config()
        for unused in ("renorm", "renorm_clipping", "renorm_momentum", "synchronized"):
            config.pop(unused, None)
        return {**config, "group_size": self.group_size}


class _Groups:
    """Groups of examples given by a [G, B] membership matrix.

    `mean`: [B, C] -> [G, C], `spread`: [G, C] -> [B, C]. `tensors` are what a custom gradient must take as arguments.
    """

    def __init__(self, member, sizes=None):
        self.sizes = ops.sum(member, axis=1) if sizes is None else sizes
        self.tensors = (member, member / self.sizes[:, None])

    @classmethod
    def of_sizes(cls, sizes, dtype):
        group_of = np.repeat(np.arange(len(sizes)), sizes)
        member = np.equal(np.arange(len(sizes))[:, None], group_of[None, :])
        return cls(ops.cast(member, dtype))

    def mean(self, values, tensors=None):
        return ops.matmul((tensors or self.tensors)[1], values)

    def spread(self, values, tensors=None):
        return ops.matmul(ops.transpose((tensors or self.tensors)[0]), values)


class _EqualGroups:
    """As `_Groups`, but consecutive and of one size.

    No matrix product, which GPUs may round to 10 mantissa bits (TF32), and nothing for devices that share a batch to
    exchange where each has whole groups.
    """

    tensors = ()

    def __init__(self, n_groups: int, size: int, dtype):
        self.n_groups, self.size = n_groups, size
        self.sizes = ops.cast(np.full(n_groups, size), dtype)

    def mean(self, values, tensors=None):
        return ops.mean(ops.reshape(values, (self.n_groups, self.size, -1)), axis=1)

    def spread(self, values, tensors=None):
        return ops.repeat(values, self.size, axis=0)


class _Dealt:
    """The groups of one device's batch whose examples are dealt out: what each computation needs of them."""

    def __init__(self, group_size, places: np.ndarray):
        self.n_examples = places.shape[1]
        self.dealt = deal_groups(group_size, places)

    def groups(self, dtype):
        local, size, n_groups = self.dealt.local, int(self.dealt.sizes[0]), len(self.dealt.sizes)
        if np.array_equal(local, np.repeat(np.arange(n_groups), size)):
            return _EqualGroups(n_groups, size, dtype)
        return _Groups(ops.cast(np.equal(np.arange(n_groups)[:, None], local[None, :]), dtype))

    def moving_shares(self, momentum: float, dtype):
        """(shares, keep) as of `GhostBatchNormalization._groups`, such that the mean over replicas is that of one."""
        later = self.dealt.later
        shares = (1.0 - momentum) * momentum ** later.astype(np.float64)
        keep = ops.cast(1.0 - shares.sum(), dtype)
        return ops.cast(replicas.own(len(later) * shares), dtype), keep


def _normalize(x, gamma, beta, mean, inverse_std, groups, space):
    """(x - mean of its group) * inverse_std of its group * gamma + beta, with the gradient through the statistics.

    x: [B, ..., C]; gamma, beta: [C]; mean, inverse_std: [G, C]. The gradient is written out (Ioffe and Szegedy 2015,
    section 3) because it then needs two sums over x and one more pass, less than half of what automatic
    differentiation does.
    """

    def broadcast(per_example):
        """[B, C] -> broadcastable to x."""
        return ops.expand_dims(per_example, space) if space else per_example

    @ops.custom_gradient
    def normalize(x, gamma, beta, mean, inverse_std, *tensors):
        mean_b, inverse_std_b = groups.spread(mean, tensors), groups.spread(inverse_std, tensors)
        scale = inverse_std_b * gamma
        y = x * broadcast(scale) + broadcast(beta - mean_b * scale)

        def gradient(*upstream, **_):
            dy = upstream[0][0] if isinstance(upstream[0], (tuple, list)) else upstream[0]
            sum_dy = ops.sum(dy, axis=space)
            sum_dy_x = ops.sum(dy * x, axis=space)
            sum_dy_normed = (sum_dy_x - mean_b * sum_dy) * inverse_std_b
            n_space = ops.cast(_product(ops.shape(x)[i] for i in space), x.dtype)
            mean_dy = groups.spread(groups.mean(sum_dy, tensors), tensors) / n_space
            mean_dy_normed = groups.spread(groups.mean(sum_dy_normed, tensors), tensors) / n_space
            slope = -scale * inverse_std_b * mean_dy_normed
            offset = -scale * mean_dy - slope * mean_b
            dx = dy * broadcast(scale) + (x * broadcast(slope) + broadcast(offset))
            none = [ops.zeros_like(a) for a in (mean, inverse_std, *tensors)]
            return (dx, ops.sum(sum_dy_normed, axis=0), ops.sum(sum_dy, axis=0), *none)

        return y, gradient

    return normalize(x, gamma, beta, mean, inverse_std, *groups.tensors)


def _product(numbers):
    product = 1
    for number in numbers:
        product = product * number
    return product
