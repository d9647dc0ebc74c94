"""The estimator's arguments, checked: one sentence says what is wrong. Each function returns float64 or uint8."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import crop_views, rules


class Camera(NamedTuple):
    """intrinsics [3, 3], distortion [12], extrinsics [4, 4] (world to camera), and what is up, [3] in its frame."""

    intrinsics: np.ndarray
    distortion: np.ndarray
    extrinsics: np.ndarray
    up: np.ndarray

    def to_world(self, poses, *, absolute: bool = True):
        """Points [..., 3] of the camera frame; not `absolute`: directions."""
        inverse = np.linalg.inv(self.extrinsics)
        return poses @ inverse[:3, :3].T + (inverse[:3, 3] if absolute else 0)


def require(value, condition, message: str):
    """`value`; ValueError with `message` unless the condition holds everywhere."""
    if not np.all(condition):
        raise ValueError(message)
    return value


def image(value):
    """[H, W, 3] uint8."""
    image = np.asarray(value)
    if image.dtype != np.uint8:
        raise ValueError(f"image must be uint8 with values from 0 to 255, not {image.dtype}.")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError("image must have shape [H, W, 3], RGB; convert grey or RGBA images first.")
    if 0 in image.shape:
        raise ValueError("images must have at least one row and one column.")
    return np.ascontiguousarray(image)


def boxes(value, image_size_wh):
    """[P, 4], from that, from more columns, or from an empty list."""
    boxes = np.asarray(value, np.float64)
    if boxes.ndim in (1, 2) and len(boxes) == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] < 4:
        raise ValueError("boxes must have shape [number of people, 4]: left, top, width, height in pixels.")
    return rules.boxes_in_picture(rules.boxes(boxes[:, :4], require), *image_size_wh, require)


def camera(image_size_wh, intrinsic_matrix, distortion_coeffs, extrinsic_matrix, world_up_vector, fov_degrees, offset):
    """`Camera` of what `PoseEstimator.estimate_poses` is given; offset: principal points are at size / 2 + this."""
    given = intrinsics(intrinsic_matrix, image_size_wh)
    if not 0 < fov_degrees < 180:
        raise ValueError("default_fov_degrees must lie between 0 and 180.")
    if given is None:
        given = crop_views.intrinsics_from_fov(fov_degrees, *image_size_wh[::-1], center_offset_px=offset)
    lens = distortion(distortion_coeffs, given, image_size_wh)
    world_to_camera = extrinsics(extrinsic_matrix)
    return Camera(given, lens, world_to_camera, world_to_camera[:3, :3] @ up(world_up_vector))


def count(name: str, value, most: int):
    """An integer from 1 to `most`."""
    if not 1 <= value <= most or int(value) != value:
        raise ValueError(f"{name} must be an integer from 1 to {most}.")
    return int(value)


def intrinsics(value, image_size_wh):
    """[3, 3], or None for an unknown camera (None or all -1)."""
    if value is None:
        return None
    value = np.asarray(value, np.float64)
    value = value[0] if value.shape == (1, 3, 3) else value
    if value.shape != (3, 3):
        raise ValueError("intrinsic_matrix must have shape [3, 3].")
    if (value == -1).all():
        return None
    return rules.view(rules.intrinsics(value, require), *image_size_wh, require)


def distortion(value, intrinsics, image_size_wh):
    """[12], padded with zeros."""
    value = np.asarray(value, np.float64)
    value = value[0] if value.ndim == 2 and len(value) == 1 else value
    if value.ndim != 1 or len(value) > 12:
        raise ValueError("distortion_coeffs must be at most 12 numbers.")
    value = np.pad(value, (0, 12 - len(value)))
    with np.errstate(all="ignore"):
        return rules.distortion(value, intrinsics, min(image_size_wh), require)


def extrinsics(value):
    """[4, 4]; the identity for None."""
    value = np.eye(4) if value is None else np.asarray(value, np.float64)
    value = value[0] if value.shape == (1, 4, 4) else value
    if value.shape != (4, 4):
        raise ValueError("extrinsic_matrix must have shape [4, 4].")
    return rules.extrinsics(value, require)


def up(value):
    """[3] of length one."""
    value = np.asarray(value, np.float64)
    if value.shape != (3,) or not np.isfinite(value).all() or np.linalg.norm(value) < 1e-6:
        raise ValueError("world_up_vector must be three finite numbers, not all zero.")
    return value / np.linalg.norm(value)
