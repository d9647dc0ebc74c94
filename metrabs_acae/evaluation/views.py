"""People seen through a lens that the estimator does not know, each in a picture of a camera without a lens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metrabs_acae.data.crop import crop_camera, pixels_per_source_pixel, render
from metrabs_acae.data.lens import distort_points
from metrabs_acae.data.records import CameraParams

MARGIN = 1.8
"""Side of the view by the person's extent: room for the turns and zooms of test-time augmentation."""
MIN_DEPTH_MM = 1.0
MAX_ANTIALIAS = 4


@dataclass(frozen=True)
class View:
    """A square picture [S, S, 3] uint8 without lens distortion, its camera, and the person's box in it."""

    image: np.ndarray
    camera: CameraParams
    box_ltwh_px: np.ndarray


def person_view(image: np.ndarray, camera: CameraParams, box_ltwh_px, side: int) -> View:
    """What a camera sees that looks at the middle of a person's box; the person spans `side` / `MARGIN` pixels.

    Raises:
        ValueError: the box cannot be turned to.
    """
    box = np.asarray(box_ltwh_px, np.float64)
    middle = (side - 1) / 2
    crop = crop_camera(camera, box, side / MARGIN, principal_point=middle)
    antialias = math.ceil(1 / pixels_per_source_pixel(crop, box))
    (left, top), (width, height) = box[:2], box[2:]
    x, y = left + width / 2, top + height / 2
    ends = np.array([[left, y], [left + width, y], [x, top], [x, top + height]])
    ends = crop.from_image(ends)
    size = np.linalg.norm(ends[[1, 3]] - ends[[0, 2]], axis=1)
    return View(
        render(image, crop, side, antialias=min(antialias, MAX_ANTIALIAS)),
        CameraParams(crop.R, camera.optical_center_mm, crop.K, world_up=camera.world_up),
        np.concatenate([middle - size / 2, size]),
    )


def project(poses_mm: np.ndarray, camera: CameraParams) -> np.ndarray:
    """Points [..., 3] of the camera's frame -> pixels [..., 2]; depths below 1 mm count as 1 mm."""
    poses_mm = np.asarray(poses_mm, np.float64)
    normalized = poses_mm[..., :2] / np.maximum(poses_mm[..., 2:], MIN_DEPTH_MM)
    K = np.asarray(camera.K, np.float64)
    return distort_points(normalized.reshape(-1, 2), K, camera.lens).reshape(normalized.shape)
