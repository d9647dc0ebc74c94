"""Person segmentation of pictures: a network, mask files, or none."""

from __future__ import annotations

import importlib.util
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
            [C, H, W]) in the classes of Pascal VOC (15 = person), or a single channel (people above 0.5);
            "mediapipe", the segmenter of people that the PyPI package mediapipe 0.10 holds; "tflite:FILE", such a
            network from a file.
    """
    kind, _, location = spec.partition(":")
    if kind == "none":
        return lambda image, key: None
    if kind == "masks":
        return MaskFiles(location)
    if kind in ("mediapipe", "tflite"):
        return TfliteSegmenter(tflite_file(spec))
    return SegmentationModel(spec)


def check_segmenter(spec: str) -> None:
    """UserError for a segmenter that `open_segmenter` would refuse by its name, before any work is done."""
    kind, _, location = spec.partition(":")
    if kind == "masks" and not Path(location).is_dir():
        raise UserError(f"The folder of masks {location} does not exist.")
    if kind in ("mediapipe", "tflite"):
        tflite_file(spec)
    elif kind not in ("none", "masks"):
        check_model(spec)


def tflite_file(spec: str) -> Path:
    """The file that "tflite:FILE" or "mediapipe" names; UserError where it is not there."""
    kind, _, location = spec.partition(":")
    if kind == "tflite":
        path = Path(location)
        if not path.is_file():
            raise UserError(f"The segmenter {path} does not exist.")
        return path
    package = importlib.util.find_spec("mediapipe")
    folders = list(package.submodule_search_locations) if package else []
    found = [p for f in folders if (p := Path(f) / "modules/selfie_segmentation/selfie_segmentation.tflite").is_file()]
    if not found:
        raise UserError(
            "MediaPipe's segmenter of people is not installed. The package mediapipe holds it up to version 0.10 (pip "
            "download --no-deps mediapipe==0.10.21; the wheel is a zip archive): unpack selfie_segmentation.tflite "
            "from it and say --segmenter tflite:FILE."
        )
    return found[0]


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


class TfliteSegmenter:
    """A network from a TFLite file: a picture in 0..1 of a fixed size in, people's share of each pixel (above 0.5), or
    scores of several classes of which the first is no person, out. MediaPipe's are such; they expect one person."""

    def __init__(self, path: Path):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise UserError("TFLite models need the extra [export]: pip install metrabs_acae[export].") from None
        try:
            self._network = Interpreter(str(path), num_threads=1)
            self._network.allocate_tensors()
            self._in, self._out = self._network.get_input_details()[0], self._network.get_output_details()[0]
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{path} is not a readable TFLite file ({str(error).splitlines()[0]}).") from None
        shapes = [tuple(v["shape"]) for v in (self._in, self._out)]
        if [len(s) for s in shapes] != [4, 4] or shapes[0][3] != 3:
            raise UserError(f"{path} takes {shapes[0]} and gives {shapes[1]}; expected [1, H, W, 3] and [1, H, W, C].")

    def __call__(self, image: np.ndarray, key: str) -> np.ndarray:
        import cv2

        height, width = self._in["shape"][1:3]
        scaled = cv2.resize(image, (int(width), int(height)), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        self._network.set_tensor(self._in["index"], scaled[None])
        self._network.invoke()
        scores = self._network.get_tensor(self._out["index"])[0]
        people = scores[..., 0] if scores.shape[2] == 1 else 1 - _softmax(scores)[..., 0]
        return cv2.resize(people, image.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.5


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


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
