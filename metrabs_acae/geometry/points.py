"""Sums over sets of points: masked means and fixed affine combinations."""

from __future__ import annotations

from keras import ops

from metrabs_acae import replicas


def masked_mean(values, mask, axis=None, keepdims=False):
    """Mean of the values where `mask` (broadcast against them) holds; 0, with zero gradients, where none does.

    Without `axis` it runs over the whole batch. Where replicas share the batch, each gets its part of that mean times
    their number, so that the mean over replicas is the mean over the batch.
    """
    mask = ops.broadcast_to(mask, ops.shape(values))
    total = ops.sum(ops.where(mask, values, 0), axis=axis, keepdims=keepdims)
    count = ops.sum(ops.cast(mask, values.dtype), axis=axis, keepdims=keepdims)
    if axis is None and (n_replicas := replicas.count()) > 1:
        return total / ops.maximum(replicas.total(count), 1) * n_replicas
    return total / ops.maximum(count, 1)


_WEIGHTS_AT_ONCE = 4096


def combine_points(points, weights):
    """Weighted sums of points: [B, J, C] with weights [J, L] gives [B, L, C].

    Written as products and sums instead of a matrix product, which on GPUs may round float32 to 10 mantissa bits
    (TF32): two millimetres at four metres. The products of some of the L sums are held at once, not all [B, L, J, C].
    """
    weights = ops.transpose(ops.cast(weights, points.dtype))
    n_sums, n_points = weights.shape
    at_once = max(1, _WEIGHTS_AT_ONCE // n_points)
    parts = [weights[start : start + at_once] for start in range(0, n_sums, at_once)]
    sums = [ops.sum(part[None, :, :, None] * points[:, None], axis=2) for part in parts]
    return sums[0] if len(sums) == 1 else ops.concatenate(sums, axis=1)
