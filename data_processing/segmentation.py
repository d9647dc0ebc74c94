"""Person segmentation of pictures: a network, mask files, or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_processing import images
from data_processing.onnx_or_savedmodel import PictureModel, check_model
from metrabs_acae.errors import UserError

PASCAL_PERSON = 15


def open_segmenter(spec: str):
    """A function (RGB picture [H, W, 3] uint8, key) -> boolean mask [H, W], or None where there is none.

    Args:
        spec: "none"; "masks:FOLDER" (picture files `<key without ending>.png`, people above 127); "onnx:FILE" or
            "savedmodel:FOLDER" of a network such as DeepLabv3 that gives class numbers [H, W] or scores [H, W, C] (or
            [C, H, W]) in the classes of Pascal VOC (15 = person), or a single channel (people above 0.5).
    """
    kind, _, location = spec.partition(":")
    if kind == "none":
        return lambda image, key: None
    if kind == "masks":
        return MaskFiles(location)
    return SegmentationModel(spec)


def check_segmenter(spec: str) -> None:
    """UserError for a segmenter that `open_segmenter` would refuse by its name, before any work is done."""
    kind, _, location = spec.partition(":")
    if kind == "masks" and not Path(location).is_dir():
        raise UserError(f"The folder of masks {location} does not exist.")
    if kind not in ("none", "masks"):
        check_model(spec)


class MaskFiles:
    """Masks computed elsewhere."""

    def __init__(self, folder: str):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(f"The folder of masks {folder} does not exist.")

    def __call__(self, image: np.ndarray, key: str) -> np.ndarray | None:
        path = self.folder / Path(key).with_suffix(".png")
        if not path.exists():
            return None
        mask = images.read_mask(path)
        if mask.shape != image.shape[:2]:
            raise UserError(f"The mask {path} is {mask.shape[::-1]} pixels, its picture {image.shape[1::-1]}.")
        return mask


class SegmentationModel:
    """A semantic segmentation network."""

    def __init__(self, spec: str):
        self.model = PictureModel(spec)

    def __call__(self, image: np.ndarray, key: str) -> np.ndarray:
        import cv2

        labels = person_mask(next(iter(self.model(image).values())))
        if labels.shape != image.shape[:2]:
            labels = cv2.resize(labels.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
        return labels


def person_mask(output: np.ndarray) -> np.ndarray:
    """The people in a network's output: class numbers, scores per class, or one channel."""
    if output.ndim == 2:
        if np.issubdtype(output.dtype, np.floating) and output.max(initial=0) <= 1:
            return output > 0.5
        return np.round(output).astype(int) == PASCAL_PERSON
    if output.ndim != 3:
        raise UserError(f"The segmenter gives an array of shape {output.shape}; expected [H, W] or [H, W, classes].")
    axis = 0 if output.shape[0] < output.shape[2] else 2
    if output.shape[axis] == 1:
        return np.squeeze(output, axis) > 0.5
    return output.argmax(axis) == PASCAL_PERSON
