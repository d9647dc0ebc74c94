"""What all estimators of this package have in common: skeletons, and people that a detector finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import arguments
from .networks import RUNTIMES, load_network

DETECTORS = {"onnx": "detector.onnx", "litert": "detector.tflite"}
"""By runtime, the file of `portable/` that finds people."""


class Detector:
    """A detector's file as a function: an image [H, W, 3] uint8 -> boxes [P, 5], best first.

    Boxes are left, top, width, height in px and the score.
    """

    def __init__(self, path, *, threads: int | None = None):
        self._network = load_network(path, RUNTIMES.get(Path(path).suffix, ""), threads=threads)

    def __call__(self, image, threshold: float, nms_iou_threshold: float):
        for value in (threshold, nms_iou_threshold):
            message = "detector_threshold and detector_nms_iou_threshold must lie between 0 and 1."
            arguments.require(value, 0 <= value <= 1, message)
        given = {"detector_threshold": threshold, "detector_nms_iou_threshold": nms_iou_threshold}
        found = self._network({"image": image, **given})
        return np.concatenate([found["boxes"], found["scores"][:, None]], axis=1)


class Estimator:
    """Boxes to poses, and with a detector pictures to poses.

    Attributes:
        joint_names: of all joints. skeletons: {name: {"joint_names", "edges", "indices"}}.
        image_size: side of the network's crops, px.
        detector: `Detector`, or None.
    """

    joint_names: list[str]
    skeletons: dict[str, dict[str, Any]]
    image_size: int
    detector: Detector | None = None

    def estimate_poses(self, image, boxes, **settings) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def detect_poses(
        self,
        image,
        *,  # SavedModels have other arguments in these places
        detector_threshold: float = 0.3,
        detector_nms_iou_threshold: float = 0.7,
        suppress_implausible_poses: bool = False,
        **settings,
    ) -> dict[str, np.ndarray]:
        """As `estimate_poses`, of the people that the detector finds; also `boxes` [P, 5], the last is the score.

        All that are found are given: there is no filter of implausible poses, which only SavedModels have.
        """
        if suppress_implausible_poses:
            raise ValueError("Only SavedModels can suppress implausible poses; leave suppress_implausible_poses out.")
        if self.detector is None:
            raise ValueError("This model has no detector; give boxes to estimate_poses.")
        image = arguments.image(image)
        boxes = self.detector(image, detector_threshold, detector_nms_iou_threshold)
        left, top, width, height = boxes[:, :4].T
        is_seen = (left < image.shape[1]) & (top < image.shape[0]) & (left + width > 0) & (top + height > 0)
        boxes = boxes[is_seen & (width >= 1) & (height >= 1)]
        return {"boxes": boxes, **self.estimate_poses(image, boxes[:, :4], **settings)}

    def places_of(self, skeleton: str) -> np.ndarray:
        """Where a skeleton's joints are among all; ValueError if there is none of this name."""
        if skeleton not in self.skeletons:
            known = ", ".join(n for n in self.skeletons if n)
            raise ValueError(f"skeleton must be '' (all joints) or one of: {known}.")
        return np.array(self.skeletons[skeleton]["indices"], int)
