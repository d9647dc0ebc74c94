"""The mixture and single stores as `tf.data` datasets."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from metrabs_acae.data.augmentation.augmentations import Augmentations
from metrabs_acae.data.augmentation.base import Augmentation
from metrabs_acae.data.loading import BatchLoader
from metrabs_acae.data.mixture import Mixture
from metrabs_acae.data.plain_loading import EvaluationLoader
from metrabs_acae.data.store import PoseStore
from metrabs_acae.dealing import Dealing
from metrabs_acae.skeletons import Skeleton


def training_dataset(
    mixture: Mixture,
    *,
    image_size: int,
    start_step: int = 0,
    augmentations: Sequence[Augmentation] = Augmentations().in_order(),  # noqa: B008 (frozen)
    workers: int | None = None,
    max_bad_fraction: float = 0.02,
    dealing: Dealing = Dealing(),  # noqa: B008 (frozen)
) -> tf.data.Dataset:
    """Endless training batches, a pure function of the mixture's seed and the step, whatever `workers` is.

    Each element is a dict: image [B, S, S, 3] in [0, 1], intrinsics [B, 3, 3], coords3d_mm [B3, J, 3],
    valid3d [B3, J], coords2d_px [B2, J2, 2], valid2d [B2, J2]; the 3D-labelled examples first.

    Args:
        start_step: the first batch is that of this step (exact resume).
        augmentations: in the order in which they are applied; () leaves the examples plain.
        workers: number of loading threads; None takes the usable CPU cores.
        max_bad_fraction: loading stops where more of the examples than this are broken.
        dealing: which of the examples are loaded here and in how many elements, the micro-batches and replicas one
            after the other; the dealings of all hosts together have every example of the batch once and the same.

    Returns:
        a dataset whose attribute `health` (`DataHealth`) counts broken examples; wrap its consumer in `user_errors`.
        Its attribute `meter` (`InputMeter`) measures how long steps wait, if it is told when they begin.
    """
    loader = BatchLoader(
        mixture,
        image_size=image_size,
        augmentations=augmentations,
        workers=workers,
        max_bad_fraction=max_bad_fraction,
        dealing=dealing,
    )
    signature = {name: tf.TensorSpec(array.shape, array.dtype, name) for name, array in loader.empty_batch().items()}
    dataset = tf.data.Dataset.from_generator(lambda: loader.batches(start_step), output_signature=signature)
    dataset = _without_tuning(dataset.map(_float_image, num_parallel_calls=1, deterministic=True).prefetch(1))
    dataset.health, dataset.meter = loader.health, loader.meter
    return dataset


def evaluation_dataset(
    store: PoseStore,
    split: str,
    *,
    image_size: int,
    batch_size: int,
    skeleton: Skeleton | None = None,
    mirror: bool = False,
    antialias: int = 1,
    rows: Sequence[int] | None = None,
    workers: int | None = None,
    max_bad_fraction: float = 1.0,
) -> tf.data.Dataset:
    """Every example of a split once, in order, without augmentation; the last batch may be smaller.

    Each element is a dict: image [B, S, S, 3] in [0, 1]; intrinsics [B, 3, 3]; coords3d_mm [B, J, 3] in the crop
    camera's frame; valid3d [B, J]; rotation_to_world [B, 3, 3] and camera_position_mm [B, 3], so that
    `coords @ rotation_to_world^T + camera_position_mm` are world coordinates; rotation_to_camera [B, 3, 3], the same
    for the original camera's frame (without translation); index [B], the row; broken [B], whether it
    could not be read: such an example keeps its place, all its joints not valid.

    Args:
        skeleton: joints of the result, a superset or subset of the store's by name; None takes the store's.
        mirror: True mirrors the crops; coordinates and joints are mirrored with them.
        rows: only these rows of the split, in this order.
        max_bad_fraction: loading stops where more than this fraction of them is broken; wrap the dataset's consumer in
            `user_errors`.
    """
    loader = EvaluationLoader(
        store,
        split,
        image_size=image_size,
        skeleton=skeleton,
        mirror=mirror,
        antialias=antialias,
        rows=rows,
        workers=workers,
        max_bad_fraction=max_bad_fraction,
    )
    signature = {
        name: tf.TensorSpec((None, *array.shape[1:]), array.dtype, name)
        for name, array in loader.empty_batch(1).items()
    }
    dataset = tf.data.Dataset.from_generator(lambda: loader.batches(batch_size), output_signature=signature)
    n_batches = -(-len(loader.rows) // batch_size)
    dataset = dataset.map(_float_image, num_parallel_calls=1, deterministic=True)
    dataset = _without_tuning(dataset.apply(tf.data.experimental.assert_cardinality(n_batches)).prefetch(1))
    dataset.health = loader.health
    return dataset


def _without_tuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Nothing here is for TensorFlow to tune, and the end of a program may wait for its tuning thread, which sleeps
    for up to a minute."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


@contextlib.contextmanager
def user_errors(dataset: tf.data.Dataset):
    """Turns TensorFlow's report of a stopped loader back into the loader's own UserError."""
    try:
        yield
    except tf.errors.OpError:
        health = getattr(dataset, "health", None)
        if health is not None and health.error is not None:
            raise health.error from None
        raise


def _float_image(batch: dict) -> dict:
    return {**batch, "image": tf.cast(batch["image"], tf.float32) * np.float32(1 / 255)}
