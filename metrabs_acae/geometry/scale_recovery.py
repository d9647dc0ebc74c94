"""Absolute depth of a 2.5D pose from known bone lengths (the 2.5D baseline of MeTRAbs, T-BIOM 2021)."""

from __future__ import annotations

import numpy as np
from keras import ops

from metrabs_acae.geometry.heatmaps import at_least_float32
from metrabs_acae.geometry.perspective import back_project

TYPICAL_SIZE_MM = 1500.0
OUTSIDE_WEIGHT = 1e-8  # of bones with an end out of view
N_ITERATIONS = 10


def depth_from_bone_lengths(coords2d_normalized, depth_rel_mm, inside, *, edges, bone_lengths_mm):
    """The depth offset Z that makes the bones of `back_project(n, depth_rel + Z)` as long as they should be.

    Levenberg-Marquardt on the one unknown, from the depth at which 1.5 m would be projected as large as the pose
    is. A bone's end points differ by Z a + c, so residual and derivative are closed forms.

    Args:
        coords2d_normalized: [B, J, 2].
        depth_rel_mm: [B, J], with any origin.
        inside: bool [B, J], which joints are in view.
        edges: pairs of joint indices, E of them.
        bone_lengths_mm: [E].

    Returns:
        Z: [B] mm.
    """
    n, depth = at_least_float32(coords2d_normalized), at_least_float32(depth_rel_mm)
    ends = np.asarray(edges, np.int32).reshape(-1, 2)
    at_zero, per_mm = back_project(n, depth), ops.concatenate([n, ops.ones_like(n[..., :1])], axis=-1)
    c, a = (ops.take(p, ends[:, 0], axis=1) - ops.take(p, ends[:, 1], axis=1) for p in (at_zero, per_mm))
    aa, ac, cc = (ops.sum(p * q, axis=-1) for p, q in ((a, a), (a, c), (c, c)))  # [B, E] each
    both_inside = ops.logical_and(ops.take(inside, ends[:, 0], axis=1), ops.take(inside, ends[:, 1], axis=1))
    weight = ops.where(both_inside, ops.ones_like(aa), OUTSIDE_WEIGHT)
    target = ops.convert_to_tensor(bone_lengths_mm, dtype=n.dtype)

    def evaluate(z):
        length = ops.sqrt(ops.maximum(z * z * aa + 2 * z * ac + cc, 1e-6))
        return length - target, (z * aa + ac) / length

    def cost(residual):
        return ops.sum(weight * residual * residual, axis=1, keepdims=True)

    extent = ops.max(n, axis=1) - ops.min(n, axis=1)
    z = TYPICAL_SIZE_MM / ops.maximum(ops.max(extent, axis=-1, keepdims=True), 1e-3)
    z = z - ops.mean(depth, axis=1, keepdims=True)
    damping = ops.full_like(z, 1e-2)
    residual, derivative = evaluate(z)
    for _ in range(N_ITERATIONS):
        gradient = ops.sum(weight * residual * derivative, axis=1, keepdims=True)
        curvature = ops.sum(weight * derivative * derivative, axis=1, keepdims=True)
        proposal = z - gradient / (curvature * (1 + damping) + 1e-20)
        new_residual, new_derivative = evaluate(proposal)
        better = cost(new_residual) < cost(residual)
        z = ops.where(better, proposal, z)
        residual = ops.where(better, new_residual, residual)
        derivative = ops.where(better, new_derivative, derivative)
        damping = ops.where(better, damping / 10, damping * 10)
    return z[:, 0]
