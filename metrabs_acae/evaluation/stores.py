"""Running a pose model over a pose store's split and scoring it against the store's own labels.

Poses stay in the frame of each example's crop camera. It shares its centre with the real camera, so that
root-relative, aligned and absolute errors are the same as in the camera's own frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation import metrics
from metrabs_acae.evaluation.protocols.generic import find_root
from metrabs_acae.skeletons import Skeleton, corresponding_joints


@dataclass(frozen=True)
class StorePredictions:
    """Predictions and labels of N examples for the store's J joints, crop-camera frame.

    Attributes:
        pred_mm, true_mm: [N, J, 3]; true is 0 where not valid.
        valid: [N, J].
        images: the first crops [M, S, S, 3] in [0, 1] with their `intrinsics` [M, 3, 3], to look at.
    """

    pred_mm: np.ndarray
    true_mm: np.ndarray
    valid: np.ndarray
    images: np.ndarray
    intrinsics: np.ndarray


def predict_store(
    predict: Callable[[np.ndarray, np.ndarray], np.ndarray],
    model_skeleton: Skeleton,
    store: PoseStore,
    split: str,
    *,
    image_size: int,
    batch_size: int,
    keep_images: int = 0,
    max_examples: int | None = None,
    is_absolute: bool = True,
) -> StorePredictions:
    """Predicts the examples of a split in order.

    Args:
        predict: (images [B, S, S, 3] in [0, 1], intrinsics [B, 3, 3]) -> [B, J, 3] mm, joints of `model_skeleton`
            (which may be merged).
        max_examples: look only at this many examples, spread evenly over the split.
        is_absolute: whether predictions have a place in space; if not, they are put where the labels' mean is.
    """
    from metrabs_acae.data.pipeline import evaluation_dataset

    joints = corresponding_joints(model_skeleton, store.skeleton.joint_names)
    count = store.splits.get(split, 0)
    if not count:
        raise UserError(f"{store.path} has no examples in split '{split}'; it has {store.splits}.")
    rows = None
    if max_examples is not None and max_examples < count:
        rows = np.linspace(0, count - 1, max_examples).round().astype(np.int64)
    preds, trues, valids, images, intrinsics = [], [], [], [], []
    for batch in evaluation_dataset(store, split, image_size=image_size, batch_size=batch_size, rows=rows):
        batch = {name: np.asarray(value) for name, value in batch.items()}
        preds.append(predict(batch["image"], batch["intrinsics"])[:, joints])
        trues.append(batch["coords3d_mm"])
        valids.append(batch["valid3d"])
        if sum(map(len, images)) < keep_images:
            images.append(batch["image"])
            intrinsics.append(batch["intrinsics"])
    if not is_absolute:
        preds = [moved_to_labels(*poses) for poses in zip(preds, trues, valids, strict=True)]
    empty = np.zeros((0, image_size, image_size, 3), np.float32), np.zeros((0, 3, 3), np.float32)
    return StorePredictions(
        np.concatenate(preds).astype(np.float64),
        np.concatenate(trues).astype(np.float64),
        np.concatenate(valids),
        np.concatenate([*images, empty[0]])[:keep_images],
        np.concatenate([*intrinsics, empty[1]])[:keep_images],
    )


def moved_to_labels(pred_mm: np.ndarray, true_mm: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Poses [N, J, 3] moved so that the mean of their labelled joints is that of the labels."""
    weight = valid[..., None] / np.maximum(valid.sum(axis=1), 1)[:, None, None]
    return pred_mm + ((true_mm - pred_mm) * weight).sum(axis=1, keepdims=True)


def score(predictions: StorePredictions, skeleton: Skeleton) -> dict[str, float]:
    """The standard metrics of one store, and the error of the best constant pose beside them.

    Poses are aligned at the pelvis, or at the middle of the hips where the skeleton has no pelvis.
    """
    pred, true, valid = predictions.pred_mm, predictions.true_mm, predictions.valid
    root = find_root(skeleton.joint_names)
    if not valid[:, list(root)].all(axis=1).any():
        raise UserError(f"No example of skeleton '{skeleton.name}' has a labelled root joint.")
    results = metrics.standard_metrics(pred, true, valid=valid, root=root)
    results["constant_pose_mpjpe"] = metrics.best_constant_pose_mpjpe(true, valid=valid, root=root)
    results["n_poses"] = len(pred)
    return results
