"""Procrustes alignment of poses (NumPy)."""

from __future__ import annotations

import numpy as np

from metrabs_acae.geometry.shapes import require_shape


def procrustes(pred, true, *, valid=None, allow_scaling: bool = True, allow_reflection: bool = False) -> np.ndarray:
    """Aligns each predicted pose to its true pose by the least-squares rotation, translation and scale.

    Kabsch's solution by singular value decomposition, all poses at once.

    Args:
        pred, true: [..., J, D] (D = 2 or 3), any unit.
        valid: bool [..., J]; only these joints decide the alignment, all joints are moved. Joints left out may be
            NaN. A pose without any valid joint is returned unmoved.
        allow_scaling: also fit the scale (PA-MPJPE does).
        allow_reflection: also allow improper rotations.

    Returns:
        [..., J, D] float64 (float32 inputs included): the moved `pred`.
    """
    pred, true = np.asarray(pred, np.float64), np.asarray(true, np.float64)
    require_shape("true", true, pred.shape)
    valid = np.ones(pred.shape[:-1], bool) if valid is None else np.asarray(valid, bool)
    require_shape("valid", valid, pred.shape[:-1])

    weight = valid[..., None]
    count = np.maximum(weight.sum(axis=-2, keepdims=True), 1)
    source, target = np.where(weight, pred, 0), np.where(weight, true, 0)
    source_mean = source.sum(axis=-2, keepdims=True) / count
    target_mean = target.sum(axis=-2, keepdims=True) / count
    source = np.where(weight, source - source_mean, 0)
    target = np.where(weight, target - target_mean, 0)

    u, singular, vt = np.linalg.svd(np.swapaxes(source, -1, -2) @ target)
    if not allow_reflection:
        sign = np.sign(np.linalg.det(u @ vt))[..., None]
        u = np.concatenate([u[..., :-1], u[..., -1:] * sign[..., None]], axis=-1)
        singular = np.concatenate([singular[..., :-1], singular[..., -1:] * sign], axis=-1)
    rotation = u @ vt  # acts on row vectors
    scale = np.ones((*pred.shape[:-2], 1, 1))
    if allow_scaling:
        spread = np.sum(source**2, axis=(-1, -2), keepdims=True)
        np.divide(singular.sum(axis=-1)[..., None, None], spread, out=scale, where=spread > 0)
    return scale * (pred - source_mean) @ rotation + target_mean
