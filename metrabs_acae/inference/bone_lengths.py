"""Poses of a person whose bones keep their lengths, as near to given poses as their errors say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metrabs_acae.joint_names import mirror_name

N_ROUNDS = 40
CLOSE_MM = 0.05
MAX_LOG_SCALE = 0.7


def bone_vectors(poses: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """[N, E, 3] from the first to the second joint of each edge [E, 2] of poses [N, J, 3]."""
    return poses[:, edges[:, 1]] - poses[:, edges[:, 0]]


def mean_lengths(poses: np.ndarray, edges: np.ndarray, joint_names: Sequence[str]) -> np.ndarray:
    """[E] median lengths, the same on the left and on the right."""
    lengths = np.median(np.linalg.norm(bone_vectors(poses, edges), axis=-1), axis=0)
    return (lengths + lengths[mirrored_edges(edges, joint_names)]) / 2


def mirrored_edges(edges: np.ndarray, joint_names: Sequence[str]) -> np.ndarray:
    """[E] number of the edge on the other side of the body; an edge without one is its own."""
    number = {name: i for i, name in enumerate(joint_names)}
    other = [number.get(mirror_name(name), i) for i, name in enumerate(joint_names)]
    found = {frozenset(edge): i for i, edge in enumerate(edges.tolist())}
    return np.array([found.get(frozenset((other[a], other[b])), i) for i, (a, b) in enumerate(edges.tolist())], int)


def with_lengths(poses: np.ndarray, edges: np.ndarray, lengths_mm: np.ndarray, sigma_mm: np.ndarray) -> np.ndarray:
    """Poses [N, J, 3] whose edges have the lengths [E], to within `CLOSE_MM` where the edges are a tree.

    One edge after the other is corrected along itself, each end by its share of the variance, forth and back until all
    are right: projection onto the constraints in the metric of the errors (Kaczmarz; "position-based dynamics",
    Müller et al., 2007).

    Args:
        sigma_mm: [N, J] standard deviations; a joint with a small one stays where it is.
    """
    poses = np.array(poses, np.float64)
    variance = np.square(sigma_mm)[..., np.newaxis]
    order = list(range(len(edges)))
    for _ in range(N_ROUNDS):
        worst = 0.0
        for e in order:
            a, b = edges[e]
            bone = poses[:, b] - poses[:, a]
            length = np.linalg.norm(bone, axis=-1, keepdims=True)
            excess = (length - lengths_mm[e]) / np.maximum(length, 1e-6) * bone
            share = variance[:, a] / (variance[:, a] + variance[:, b])
            poses[:, a] += share * excess
            poses[:, b] -= (1 - share) * excess
            worst = max(worst, float(np.abs(length - lengths_mm[e]).max(initial=0)))
        if worst < CLOSE_MM:
            break
        order.reverse()
    return poses


def without_scale_jitter(poses: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Poses [N, J, 3] in the camera's frame, enlarged or reduced about the camera to the person's usual size.

    The picture stays the same. A pose that is too large was taken for one that is too far away.
    """
    lengths = np.maximum(np.linalg.norm(bone_vectors(poses, edges), axis=-1), 1.0)
    usual = np.nanmedian(lengths, axis=0)
    # Long bones count more: an error changes them less.
    log_ratio = np.log(lengths / usual) @ usual / max(usual.sum(), 1.0)
    return poses / np.exp(np.clip(log_ratio, -MAX_LOG_SCALE, MAX_LOG_SCALE))[:, np.newaxis, np.newaxis]
