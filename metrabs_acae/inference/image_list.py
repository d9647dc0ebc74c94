"""Images of different sizes in one call: lists in, lists out, with any model that `--export` wrote.

    model = tf.saved_model.load("runs/default-1/model")
    results = detect_poses_list(model, images)  # one dict of arrays for each image

A batch of the model holds images of one size; here equally large images are put into batches together, and the results
come back in the order of the list. TensorFlow casts any NumPy array that the model's own methods get to uint8; these
functions refuse images of other types.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.numpy_runtime import Estimator as NumpyEstimator

PER_IMAGE_ROW_RANKS = {"intrinsic_matrix": 2, "distortion_coeffs": 1, "extrinsic_matrix": 2}


def estimate_poses_list(
    model, images: Sequence, boxes: Sequence, *, batch_size: int = 8, **settings
) -> list[dict[str, np.ndarray]]:
    """Poses of the people in given boxes of each image.

    Args:
        model: a loaded SavedModel or a `PoseEstimator`, also one of `numpy_runtime`.
        images: [H, W, 3] uint8 RGB each, of any sizes.
        boxes: for each image [P, 4] left, top, width, height.
        batch_size: most images per call of the model.
        settings: those of `estimate_poses_batched`. `intrinsic_matrix`, `distortion_coeffs` and `extrinsic_matrix` may
            be a list with one for each image, where None is an unknown camera, no lens or the identity.

    Returns:
        for each image poses3d [P, J, 3], poses2d [P, J, 2], uncertainty [P, J] and, if the model has it, entropy.
    """
    boxes = [np.asarray(b, np.float32) for b in boxes]
    boxes = [np.zeros((0, 4), np.float32) if b.ndim in (1, 2) and len(b) == 0 else b for b in boxes]
    if len(boxes) != len(images):
        raise UserError(f"There are {len(images)} images, but boxes for {len(boxes)}; give one array for each image.")
    for i, b in enumerate(boxes):
        if b.ndim != 2 or b.shape[1] < 4:
            raise UserError(f"The boxes of image {i} have shape {list(b.shape)}, expected [number of people, 4].")

    def call(indices, batch, arguments):
        rows = [boxes[i][:, :4] for i in indices]
        if isinstance(model, NumpyEstimator):
            pairs = enumerate(zip(batch, rows, strict=True))
            return [model.estimate_poses(image, of_it, **_of_image(arguments, i)) for i, (image, of_it) in pairs]
        import tensorflow as tf

        ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(rows), [len(r) for r in rows])
        return _rows(model.estimate_poses_batched(batch, ragged, **arguments))

    return _by_size(call, images, batch_size, settings)


def detect_poses_list(model, images: Sequence, *, batch_size: int = 8, **settings) -> list[dict[str, np.ndarray]]:
    """Poses of the people that the model's detector finds in each image.

    Arguments as for `estimate_poses_list` and `detect_poses_batched`; the results have boxes [P, 5] too, with scores.
    """
    if not has_detector(model):
        raise UserError("This model was exported without a detector; give boxes to estimate_poses_list.")

    def call(indices, batch, arguments):
        if isinstance(model, NumpyEstimator):
            return [model.detect_poses(image, **_of_image(arguments, i)) for i, image in enumerate(batch)]
        return _rows(model.detect_poses_batched(batch, **arguments))

    return _by_size(call, images, batch_size, settings)


def has_detector(model) -> bool:
    """Whether the model finds people by itself."""
    if isinstance(model, NumpyEstimator):
        return model.detector is not None
    return hasattr(model, "detect_poses_batched")


def _rows(found) -> list[dict[str, np.ndarray]]:
    """Ragged tensors by name as one dict of arrays for each image."""
    values = {name: np.split(v.values.numpy(), v.row_splits.numpy()[1:-1]) for name, v in found.items()}
    return [dict(zip(values, of_image, strict=True)) for of_image in zip(*values.values(), strict=True)]


def _of_image(arguments: dict, number: int) -> dict:
    return {name: value[number] if name in PER_IMAGE_ROW_RANKS else value for name, value in arguments.items()}


def _by_size(call, images, batch_size: int, settings: dict) -> list[dict[str, np.ndarray]]:
    """`call(indices, batch, settings)` for batches of equally large images; its results in the images' order."""
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; it must be at least 1.")
    images = [checked_image(image, f"Image {i}") for i, image in enumerate(images)]
    per_image = {
        name: _per_image(name, settings[name], len(images)) for name in PER_IMAGE_ROW_RANKS if name in settings
    }
    common = {name: value for name, value in settings.items() if name not in per_image}
    of_size: dict[tuple, list[int]] = {}
    for i, image in enumerate(images):
        of_size.setdefault(image.shape, []).append(i)
    results: list = [None] * len(images)
    for same_size in of_size.values():
        for start in range(0, len(same_size), batch_size):
            indices = same_size[start : start + batch_size]
            arguments = {name: values[indices] for name, values in per_image.items()}
            found = call(indices, np.stack([images[i] for i in indices]), {**common, **arguments})
            for i, result in zip(indices, found, strict=True):
                results[i] = result
    return results


def checked_image(image, name: str) -> np.ndarray:
    """[H, W, 3] uint8; UserError about `name` for anything else."""
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise UserError(f"{name} is {image.dtype}; images must be uint8 with values from 0 to 255.")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UserError(f"{name} has shape {list(image.shape)}; images must be RGB, [H, W, 3] with at least one pixel.")
    return image


def _per_image(name: str, value, n_images: int) -> np.ndarray:
    """[N, ...] float32, from one for all images, an array of them or a list with None for the default."""
    unknown = {
        "intrinsic_matrix": -np.ones((3, 3), np.float32),
        "distortion_coeffs": np.zeros(12, np.float32),
        "extrinsic_matrix": np.eye(4, dtype=np.float32),
    }[name]
    is_list = isinstance(value, list | tuple) and any(v is None for v in value)
    try:
        if is_list:
            rows = [unknown if v is None else np.asarray(v, np.float32) for v in value]
            if name == "distortion_coeffs":
                rows = [np.pad(r, (0, max(0, len(unknown) - len(r)))) for r in rows]
            value = np.stack(rows)
        value = np.asarray(value, np.float32)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name} cannot be read as one array for each image: {error}.") from None
    if value.ndim == PER_IMAGE_ROW_RANKS[name]:
        value = value[np.newaxis]
    if value.ndim != PER_IMAGE_ROW_RANKS[name] + 1 or len(value) not in (1, n_images):
        raise UserError(
            f"{name} has shape {list(value.shape)}, expected {list(unknown.shape)} or one such for each of the "
            f"{n_images} images."
        )
    return np.repeat(value, n_images, axis=0) if len(value) == 1 else value
