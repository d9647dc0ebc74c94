"""How well an autoencoder reconstructs poses, how sparse and how symmetric it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrabs_acae.acae import poses_io
from metrabs_acae.acae.autoencoder import Acae
from metrabs_acae.layers import blocks

_SMALL_WEIGHT = 1e-3


@dataclass(frozen=True)
class Errors:
    """Mean reconstruction errors.

    Attributes:
        joint_3d_mm: [J] Euclidean distance.
        joint_2d_mm: [J] distance in the image plane at the pose's mean depth; NaN if poses are not all in front of the
            camera.
        image_loss: mean absolute image-plane error per coordinate, metres (the main loss of the image fit).
        space_loss: mean absolute error per coordinate, metres.
    """

    joint_3d_mm: np.ndarray
    joint_2d_mm: np.ndarray
    image_loss: float
    space_loss: float


def reconstruction_errors(acae: Acae, poses_mm: np.ndarray) -> Errors:
    """Errors of decode(encode(poses)) over [K, J, 3] poses, read in pieces."""
    sums = {name: np.zeros(acae.n_joints) for name in ("3d", "2d", "image", "space")}
    for _, chunk in poses_io.chunks(poses_mm):
        true = chunk.astype(np.float64)
        difference = acae.reconstruct(true) - true
        sums["3d"] += np.linalg.norm(difference, axis=-1).sum(axis=0)
        sums["space"] += np.abs(difference).sum(axis=(0, 2)) / 3
        in_front = (true[..., 2] > poses_io.NEAREST_MM).all()
        depth = true[..., 2].mean(axis=1)[:, None, None]
        pred = true + difference
        plane = (pred[..., :2] / pred[..., 2:] - true[..., :2] / true[..., 2:]) * depth if in_front else np.nan
        sums["2d"] += np.linalg.norm(plane, axis=-1).sum(axis=0) if in_front else np.nan
        sums["image"] += np.abs(plane).sum(axis=(0, 2)) / 2 if in_front else np.nan
    means = {name: total / len(poses_mm) for name, total in sums.items()}
    return Errors(means["3d"], means["2d"], float(means["image"].mean()) / 1000, float(means["space"].mean()) / 1000)


def losses(acae: Acae, errors: Errors, *, sparsity: float, loss_space: str = "image") -> dict[str, float]:
    """The terms of the fit's loss, metres: reconstruction, regularizer, total, and total less its constant floor.

    The floor, sparsity (1/J + 1/L), is what the regularizer leaves at best, because columns sum to 1.
    """
    main = errors.image_loss if loss_space == "image" else errors.space_loss
    regularizer = float(np.abs(acae.encoder).mean() + np.abs(acae.decoder).mean())
    floor = sparsity * (1 / acae.n_joints + 1 / acae.n_latents)
    total = main + sparsity * regularizer
    return {"main": main, "regularizer": regularizer, "total": total, "excess": total - floor}


def weight_statistics(weights: np.ndarray) -> dict[str, float]:
    """Shares of small (< 1e-3) and of negative weights, and the mean number of others per column."""
    size = np.abs(weights)
    return {
        "small_fraction": float((size < _SMALL_WEIGHT).mean()),
        "negative_fraction": float((weights < -_SMALL_WEIGHT).mean()),
        "used_per_point": float((size >= _SMALL_WEIGHT).sum(axis=0).mean()),
        "largest": float(size.max()),
    }


def asymmetry_mm(acae: Acae, poses_mm: np.ndarray) -> float:
    """Largest distance between the latents of mirrored poses and the mirrored latents of the poses; 0 if chiral."""
    joints, latents = blocks.layout_of(acae.joint_names), blocks.layout_of(acae.latent_names)
    poses = np.asarray(poses_mm, np.float64)
    flip = np.array([-1.0, 1, 1])
    mirrored = acae.encode(poses[:, joints.mirror] * flip)
    expected = acae.encode(poses)[:, latents.mirror] * flip
    return float(np.linalg.norm(mirrored - expected, axis=-1).max())
