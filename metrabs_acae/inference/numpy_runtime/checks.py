"""The estimator's arguments, checked: one sentence says what is wrong. Each function returns float64 or uint8."""

from __future__ import annotations

import numpy as np


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


def boxes(value):
    """[P, 4], from that, from more columns, or from an empty list."""
    boxes = np.asarray(value, np.float64)
    if boxes.ndim in (1, 2) and len(boxes) == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] < 4:
        raise ValueError("boxes must have shape [number of people, 4]: left, top, width, height in pixels.")
    boxes = boxes[:, :4]
    if not np.isfinite(boxes).all() or (np.abs(boxes) > 1e6).any():
        raise ValueError("boxes must be finite numbers within a million pixels of the origin.")
    if (boxes[:, 2:] <= 0).any():
        raise ValueError("boxes must have a positive width and height (left, top, width, height).")
    return boxes


def intrinsics(value):
    """[3, 3], or None for an unknown camera (None or all -1)."""
    if value is None:
        return None
    value = np.asarray(value, np.float64)
    value = value[0] if value.shape == (1, 3, 3) else value
    if value.shape != (3, 3):
        raise ValueError("intrinsic_matrix must have shape [3, 3].")
    if (value == -1).all():
        return None
    if not np.isfinite(value).all() or (np.abs(value) > 1e6).any():
        raise ValueError("intrinsic_matrix must have finite entries below a million pixels.")
    if (np.abs(value[2] - [0, 0, 1]) > 1e-5).any():
        raise ValueError("intrinsic_matrix must have [0, 0, 1] as its last row.")
    if value[0, 0] <= 1e-3 or value[1, 1] <= 1e-3:
        raise ValueError("intrinsic_matrix must have positive focal lengths, in pixels.")
    if abs(np.linalg.det(value[:2, :2])) <= 1e-3 * value[0, 0] * value[1, 1]:
        raise ValueError("intrinsic_matrix must be invertible.")
    return value


def distortion(value):
    """[12], padded with zeros."""
    value = np.asarray(value, np.float64)
    value = value[0] if value.ndim == 2 and len(value) == 1 else value
    if value.ndim != 1 or len(value) > 12 or not (np.abs(value) <= 1e4).all():
        raise ValueError("distortion_coeffs must be at most 12 finite numbers of at most ten thousand.")
    return np.pad(value, (0, 12 - len(value)))


def extrinsics(value):
    """[4, 4]; the identity for None."""
    value = np.eye(4) if value is None else np.asarray(value, np.float64)
    value = value[0] if value.shape == (1, 4, 4) else value
    if value.shape != (4, 4) or not np.isfinite(value).all():
        raise ValueError("extrinsic_matrix must have shape [4, 4] and finite entries.")
    if (np.abs(value[:3, :3] @ value[:3, :3].T - np.eye(3)) > 0.01).any():
        raise ValueError("extrinsic_matrix must begin with a rotation matrix (world to camera, translation in mm).")
    if (np.abs(value[:3, 3]) > 1e9).any():
        raise ValueError("extrinsic_matrix must have a translation of at most a thousand kilometres; its unit is mm.")
    if (np.abs(value[3] - [0, 0, 0, 1]) > 1e-5).any():
        raise ValueError("extrinsic_matrix must have [0, 0, 0, 1] as its last row.")
    return value


def up(value):
    """[3] of length one."""
    value = np.asarray(value, np.float64)
    if value.shape != (3,) or not np.isfinite(value).all() or np.linalg.norm(value) < 1e-6:
        raise ValueError("world_up_vector must be three finite numbers, not all zero.")
    return value / np.linalg.norm(value)
