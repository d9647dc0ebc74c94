"""How a model begins to predict joints that the one it starts from does not have.

The heatmaps of a joint are channels of one linear layer, and a heatmap of Gaussian shape whose logits are a convex
combination of others' lies at about the same combination of their places. So a new joint starts from the convex
combination of the nearest of the initial model's joints that fits its labels best, and is roughly right before any
training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metrabs_acae.data.store import PoseStore
from metrabs_acae.evaluation.crops import sample_rows
from metrabs_acae.skeletons import Skeleton, corresponding_joints

EXAMPLES = 256
"""Of each store, to fit the new joints on."""
CANDIDATES = 5
"""How many of the initial model's joints, the nearest, a new one is combined from: with more, few labels fit noise."""


def combinations(predict, theirs: Skeleton, mine: Skeleton, stores: Sequence[PoseStore], *, image_size: int):
    """([J of theirs, J of mine] weights, lines for the log).

    Columns sum to one. A joint of both skeletons is the one of its name; one that is labelled nowhere has a column of
    NaN.

    Args:
        predict: of the initial model, (images, intrinsics) -> poses of `theirs`.
        stores: 3D stores whose training examples show where the new joints are.
    """
    weights = np.full((theirs.n_joints, mine.n_joints), np.nan)
    known = {name: i for i, name in enumerate(theirs.joint_names)}
    for j, name in enumerate(mine.joint_names):
        if name in known:
            weights[:, j] = np.eye(theirs.n_joints)[known[name]]
    copied, errors = int(np.isfinite(weights[0]).sum()), []
    for store in stores:
        joints = corresponding_joints(mine, store.skeleton.joint_names)
        columns = np.flatnonzero(np.isnan(weights[0, joints]))
        if len(columns):
            pred_mm, true_mm, valid = examples(predict, store, image_size)
            fitted, distances = fit(pred_mm, true_mm[:, columns], valid[:, columns])
            weights[:, joints[columns]] = fitted
            errors.append(distances)
    new = np.isfinite(weights[0]) & ~np.isin(mine.joint_names, theirs.joint_names)
    said = [f"{copied} of the {mine.n_joints} joints have the weights of the initial model's joint of their name."]
    if new.any():
        nearest = ", ".join(_in_words(weights[:, j], theirs, mine.joint_names[j]) for j in np.flatnonzero(new)[:3])
        mean = np.nanmean(np.concatenate(errors))
        said.append(
            f"{int(new.sum())} start as combinations of its joints ({nearest}{', ...' if new.sum() > 3 else ''}); in "
            f"the labelled pictures these combinations of its predictions are {mean:.0f} mm off on average."
        )
    if unknown := [n for n, w in zip(mine.joint_names, weights[0], strict=True) if np.isnan(w)]:
        said.append(f"Without any label in the training stores, so with random weights: {', '.join(unknown)}.")
    return weights, said


def _in_words(weights: np.ndarray, theirs: Skeleton, name: str) -> str:
    largest = np.argsort(-weights)[:2]
    return f"{name}: " + " + ".join(f"{weights[i]:.2f} {theirs.joint_names[i]}" for i in largest if weights[i] >= 0.05)


def examples(predict, store: PoseStore, image_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(predictions [N, J, 3], labels [N, J of the store, 3], which of them are there) of some training examples."""
    from metrabs_acae.data.pipeline import evaluation_dataset, user_errors

    rows = sample_rows(store.splits["train"], EXAMPLES)
    dataset = evaluation_dataset(store, "train", image_size=image_size, batch_size=32, rows=rows)
    found = []
    with user_errors(dataset):
        for batch in dataset:
            batch = {name: np.asarray(value) for name, value in batch.items()}
            found.append((predict(batch["image"], batch["intrinsics"]), batch["coords3d_mm"], batch["valid3d"]))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def fit(points_mm: np.ndarray, targets_mm: np.ndarray, valid: np.ndarray, *, rounds: int = 4):
    """Convex combinations of near points that come closest to targets, but for a shift of each pose along its viewing
    ray: models err in the distance of a person above all else.

    Args:
        points_mm: [N, J, 3] in the frame of a camera.
        targets_mm: [N, K, 3], where `valid` [N, K].

    Returns:
        weights [J, K] (NaN for targets that are valid nowhere), mean distances [K] left, mm.
    """
    from scipy.optimize import nnls

    points_mm, targets_mm = points_mm.astype(np.float64), np.where(valid[..., None], targets_mm, 0).astype(np.float64)
    counts = np.maximum(valid.sum(1), 1)[:, None]
    rays = points_mm.mean(1) / np.linalg.norm(points_mm.mean(1), axis=-1, keepdims=True)
    combined = np.repeat(points_mm.mean(1, keepdims=True), valid.shape[1], axis=1)
    weights = np.full((points_mm.shape[1], valid.shape[1]), np.nan)
    for _ in range(rounds):
        gap = ((targets_mm - combined) * valid[..., None]).sum(1) / counts
        shifted = targets_mm - ((gap * rays).sum(-1, keepdims=True) * rays)[:, None]
        for k in np.flatnonzero(valid.any(0)):
            rows = valid[:, k]
            offsets = points_mm[rows] - shifted[rows, k, None]
            nearest = np.argsort(np.linalg.norm(offsets, axis=-1).mean(0), kind="stable")[:CANDIDATES]
            matrix = offsets[:, nearest].transpose(0, 2, 1).reshape(-1, len(nearest))
            one = 1e3 * np.sqrt(len(matrix))  # mm: a sum of weights that is 1 % off costs as much as 10 mm everywhere
            found, _ = nnls(np.vstack([matrix, np.full(len(nearest), one)]), np.append(np.zeros(len(matrix)), one))
            weights[:, k] = 0
            weights[nearest, k] = found / found.sum()
        combined = np.einsum("njd,jk->nkd", points_mm, np.nan_to_num(weights))
    distances = np.where(valid, np.linalg.norm(combined - shifted, axis=-1), 0)
    return weights, np.where(valid.any(0), distances.sum(0) / np.maximum(valid.sum(0), 1), np.nan)
