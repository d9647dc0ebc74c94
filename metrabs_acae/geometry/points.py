"""Sums over sets of points: masked means and fixed affine combinations."""

from __future__ import annotations

from keras import ops


def masked_mean(values, mask, axis=None, keepdims=False):
    """Mean of the values where `mask` (broadcast against them) holds; 0, with zero gradients, where none does."""
    mask = ops.broadcast_to(mask, ops.shape(values))
    total = ops.sum(ops.where(mask, values, 0), axis=axis, keepdims=keepdims)
    count = ops.sum(ops.cast(mask, values.dtype), axis=axis, keepdims=keepdims)
    return total / ops.maximum(count, 1)


def combine_points(points, weights):
    """Weighted sums of points: [B, J, C] with weights [J, L] gives [B, L, C].

    Written as products and sums instead of a matrix product, which on GPUs may round float32 to 10 mantissa bits
    (TF32): two millimetres at four metres.
    """
    weights = ops.transpose(ops.cast(weights, points.dtype))
    return ops.sum(weights[None, :, :, None] * points[:, None], axis=2)
