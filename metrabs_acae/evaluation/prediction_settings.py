"""How a benchmark's images are shown to the model: boxes, camera, test-time augmentation (as in WACV 2023)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PredictionSettings:
    """What `predict_store` does with an image.

    Attributes:
        boxes: ``"store"``, the boxes of the labelled people, or ``"detector"``.
        detector_threshold, detector_nms_iou_threshold, max_detections, detector_flip_aug, suppress_implausible_poses:
            of the detector, see `PoseEstimator.detect_poses`.
        known_camera: use the intrinsics, distortion and upward direction of the image's camera; else assume a field of
            view of `fov_degrees` along the larger side, and that up is up in the image.
        num_aug: test-time augmentations averaged (the paper's scripts: 1).
        antialias_factor: supersampling of the crops.
    """

    boxes: str = "store"
    detector_threshold: float = 0.2
    detector_nms_iou_threshold: float = 0.7
    max_detections: int = -1
    detector_flip_aug: bool = True
    suppress_implausible_poses: bool = False
    known_camera: bool = True
    fov_degrees: float = 55.0
    num_aug: int = 1
    antialias_factor: int = 2
