"""Running a pose model over the crops of a pose store's split, to score it against the store's own labels.

Poses stay in the frame of each example's crop camera. It shares its centre with the real camera, so that
root-relative, aligned and absolute errors are the same as in the camera's own frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import Skeleton, corresponding_joints


@dataclass(frozen=True)
class CropPredictions:
    """Predictions and labels of N examples for the store's J joints, crop-camera frame.

    Attributes:
        pred_mm, true_mm: [N, J, 3]; true is 0 where not valid.
        valid: [N, J], for each example some.
        images: the first crops [M, S, S, 3] in [0, 1] with their `intrinsics` [M, 3, 3], to look at.
        n_broken: how many further examples could not be read.
    """

    pred_mm: np.ndarray
    true_mm: np.ndarray
    valid: np.ndarray
    images: np.ndarray
    intrinsics: np.ndarray
    n_broken: int = 0


def predict_crops(
    predict: Callable[[np.ndarray, np.ndarray], np.ndarray],
    model_skeleton: Skeleton,
    store: PoseStore,
    split: str,
    *,
    image_size: int,
    batch_size: int,
    keep_images: int = 0,
    max_examples: int | None = None,
    max_bad_fraction: float = 0.01,
    is_absolute: bool = True,
) -> CropPredictions:
    """Predicts the examples of a split in order; those that cannot be read are named and left out.

    Args:
        predict: (images [B, S, S, 3] in [0, 1], intrinsics [B, 3, 3]) -> [B, J, 3] mm, joints of `model_skeleton`
            (which may be merged).
        max_examples: look only at this many examples, spread evenly over the split.
        max_bad_fraction: how many may be unreadable; one always may in a sample of `max_examples`, which says little
            about the whole.
        is_absolute: whether predictions have a place in space; if not, they are put where the labels' mean is.

    Raises:
        UserError: no examples, none that can be read, or too many that cannot.
    """
    from metrabs_acae.data.pipeline import evaluation_dataset, user_errors

    joints = corresponding_joints(model_skeleton, store.skeleton.joint_names)
    count = store.splits.get(split, 0)
    if not count:
        raise UserError(f"{store.path} has no examples in split '{split}'; it has {store.splits}.")
    rows = sample_rows(count, max_examples)
    if max_examples is not None:
        max_bad_fraction = max(max_bad_fraction, 1.5 / len(rows))
    dataset = evaluation_dataset(
        store, split, image_size=image_size, batch_size=batch_size, rows=rows, max_bad_fraction=max_bad_fraction
    )
    preds, trues, valids, images, intrinsics = [], [], [], [], []
    with user_errors(dataset):
        for batch in dataset:
            batch = {name: np.asarray(value) for name, value in batch.items()}
            there = batch["valid3d"].any(axis=1)
            preds.append(predict(batch["image"], batch["intrinsics"])[there][:, joints])
            trues.append(batch["coords3d_mm"][there])
            valids.append(batch["valid3d"][there])
            if sum(map(len, images)) < keep_images:
                images.append(batch["image"][there])
                intrinsics.append(batch["intrinsics"][there])
    n_broken = len(rows) - sum(map(len, valids))
    if n_broken == len(rows):
        raise UserError(f"None of the {n_broken} examples of split '{split}' of {store.path} can be read.")
    if not is_absolute:
        preds = [moved_to_labels(*poses) for poses in zip(preds, trues, valids, strict=True)]
    empty = np.zeros((0, image_size, image_size, 3), np.float32), np.zeros((0, 3, 3), np.float32)
    return CropPredictions(
        np.concatenate(preds).astype(np.float64),
        np.concatenate(trues).astype(np.float64),
        np.concatenate(valids),
        np.concatenate([*images, empty[0]])[:keep_images],
        np.concatenate([*intrinsics, empty[1]])[:keep_images],
        n_broken,
    )


def moved_to_labels(pred_mm: np.ndarray, true_mm: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Poses [N, J, 3] moved so that the mean of their labelled joints is that of the labels."""
    weight = valid[..., None] / np.maximum(valid.sum(axis=1), 1)[:, None, None]
    return pred_mm + ((true_mm - pred_mm) * weight).sum(axis=1, keepdims=True)


def sample_rows(count: int, at_most: int | None) -> np.ndarray:
    """All of `count` rows, or `at_most` spread evenly over them."""
    if at_most is None or at_most >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, at_most).round().astype(np.int64)
