"""The estimator's arguments, checked: one sentence says what is wrong. Each function returns float64 or uint8."""

from __future__ import annotations

import numpy as np

from . import rules


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
