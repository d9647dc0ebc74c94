"""Reduced crops: store the neighbourhood of a person instead of the whole frame.

The crop is what a virtual camera without lens distortion sees that looks at the box centre. It leaves room for every
augmentation of training: rotation by 30 degrees, shift, zooming out and padding (MeTRAbs's data preparation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_processing import boxes, masks
from data_processing.cameras import make_camera
from metrabs_acae.data.crop import looking_rotation
from metrabs_acae.data.lens import undistort_points
from metrabs_acae.data.records import CameraParams

BASE_SIDE = 256
MAX_ROTATION_DEG = 30.0
PADDING = SCALE_DOWN = 1 / 0.85
SHIFT = 1.1


@dataclass(frozen=True)
class CropPlan:
    """Where a crop is taken from.

    Attributes:
        source: the camera of the frame.
        camera: the camera of the crop, at the same place.
        box_ltwh_px: the person's box in the crop.
        size_wh: the crop's size.
        scale: pixels of the crop per pixel of the turned full-size frame.
    """

    source: CameraParams
    camera: CameraParams
    box_ltwh_px: np.ndarray
    size_wh: tuple[int, int]
    scale: float


def plan_crop(
    camera: CameraParams,
    image_size_wh,
    box_ltwh_px,
    *,
    extra: float = 1.0,
    whole_field: bool = False,
) -> CropPlan:
    """The crop of a person box.

    Args:
        extra: enlarges the region further (1.8 for training on partly visible people).
        whole_field: keeps the region even where the frame does not cover it (extreme perspectives).

    Raises:
        ValueError: the box has no area or no part of its region lies in the frame.
    """
    box = np.asarray(box_ltwh_px, np.float64)
    if not np.isfinite(box).all() or boxes.area(box) <= 0:
        raise ValueError(f"the box {box.round(1).tolist()} has no area")
    center = (box[:2] + box[2:] / 2)[None]
    direction = undistort_points(center, camera.K, camera.lens)[0] @ camera.R
    turned = make_camera(
        looking_rotation(direction, camera.world_up), camera.optical_center_mm, camera.K, world_up=camera.world_up
    )
    box = _box_seen(box, camera, turned)
    if box is None or boxes.area(box) <= 0:
        raise ValueError("the box spans more than the half space in front of the camera")
    region = boxes.expand(_rotatable_square(box), PADDING * SHIFT * SCALE_DOWN * extra)
    if not whole_field:
        frame = _box_seen([-0.5, -0.5, *image_size_wh], camera, turned)
        if frame is not None:
            region = boxes.intersection(region, frame)
        if boxes.area(region) <= 0:
            raise ValueError("the box lies outside the frame")
    scale = min(1.2, 1.5 * BASE_SIDE / max(box[2:]))
    size = tuple(int(v) for v in np.maximum(1, np.round(region[2:] * scale)))
    origin = region[:2] + 0.5 / scale  # the first pixel's centre in the turned frame
    K = turned.K.copy()
    K[:2, 2] -= origin
    K[:2] *= scale
    new_camera = make_camera(turned.R, camera.optical_center_mm, K, world_up=camera.world_up)
    new_box = np.concatenate([(box[:2] - origin) * scale, box[2:] * scale])
    return CropPlan(camera, new_camera, new_box, size, scale)


def plan_unturned_crop(camera: CameraParams, image_size_wh, box_ltwh_px) -> CropPlan:
    """MuCo-3DHP's variant: a plain cut-out of the frame, reduced but not turned."""
    box = np.asarray(box_ltwh_px, np.float64)
    if not np.isfinite(box).all() or boxes.area(box) <= 0:
        raise ValueError(f"the box {box.round(1).tolist()} has no area")
    scale = min(1.0, BASE_SIDE / max(box[2:]) / 0.85)
    region = boxes.expand(_rotatable_square(box), PADDING * 1.2 * SCALE_DOWN)
    region = boxes.within_image(region, image_size_wh)
    if boxes.area(region) <= 0:
        raise ValueError("the box lies outside the frame")
    size = tuple(int(v) for v in np.maximum(1, np.round(region[2:] * scale)))
    origin = region[:2] + 0.5 / scale
    K = camera.K.copy()
    K[:2, 2] -= origin
    K[:2] *= scale
    new_camera = make_camera(camera.R, camera.optical_center_mm, K, world_up=camera.world_up)
    new_box = np.concatenate([(box[:2] - origin) * scale, box[2:] * scale])
    return CropPlan(camera, new_camera, new_box, size, scale)


def render_crop(image: np.ndarray, plan: CropPlan, *, antialias: int = 2) -> np.ndarray:
    """The crop of an RGB frame [H, W, 3] uint8, resampled in linear light; black outside the frame."""
    import cv2
    import deltacamera

    return deltacamera.reproject_image(
        image,
        plan.source.to_deltacamera(image.shape[1::-1]),
        plan.camera.to_deltacamera(plan.size_wh),
        antialias_factor=antialias,
        interp=cv2.INTER_CUBIC,
        use_linear_srgb=True,
    )


def render_mask(mask, plan: CropPlan) -> dict:
    """The crop of a mask (boolean [H, W] or encoded), run-length encoded."""
    import cv2
    import deltacamera

    array = masks.decode(mask) if isinstance(mask, dict) else np.asarray(mask, bool)
    warped = deltacamera.reproject_image(
        array.astype(np.uint8) * 255,
        plan.source.to_deltacamera(array.shape[1::-1]),
        plan.camera.to_deltacamera(plan.size_wh),
        antialias_factor=2,
        interp=cv2.INTER_LINEAR,
    )
    return masks.encode(np.asarray(warped).reshape(plan.size_wh[::-1]) > 127)


def _rotatable_square(box: np.ndarray) -> np.ndarray:
    """The square about the box's centre that holds the box rotated by up to MAX_ROTATION_DEG."""
    c, s = np.cos(np.radians(MAX_ROTATION_DEG)), np.sin(np.radians(MAX_ROTATION_DEG))
    width, height = box[2:]
    side = max(c * width + s * height, s * width + c * height)
    return np.array([*(box[:2] + box[2:] / 2 - side / 2), side, side])


def _box_seen(box, camera: CameraParams, turned: CameraParams) -> np.ndarray | None:
    """The box as the turned camera sees it, by its side midpoints; None if one of them is behind it."""
    left, top, width, height = np.asarray(box, np.float64)
    midpoints = np.array(
        [
            [left, top + height / 2],
            [left + width, top + height / 2],
            [left + width / 2, top],
            [left + width / 2, top + height],
        ]
    )
    rays = undistort_points(midpoints, camera.K, camera.lens) @ camera.R @ turned.R.T
    if (rays[:, 2] <= 1e-6).any():
        return None
    return boxes.box_of_points(rays[:, :2] / rays[:, 2:] @ turned.K[:2, :2].T + turned.K[:2, 2])
