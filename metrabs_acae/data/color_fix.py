"""Fixed colour corrections: a property of a store whose pictures have wrong colours, no augmentation."""

from __future__ import annotations

import functools

import cv2
import numpy as np


def fix_colors(image: np.ndarray, color_fix: dict | None, sequence: str = "") -> np.ndarray:
    """Applies a store's fixed correction: {"gamma": g, "white_balance": [a, b], "sequences": [...]}, each optional.

    With "sequences", images of other sequences stay as they are.
    """
    if not color_fix or ("sequences" in color_fix and sequence not in color_fix["sequences"]):
        return image
    if "gamma" in color_fix:
        image = adjust_gamma(image, color_fix["gamma"])
    if "white_balance" in color_fix:
        image = white_balance(image, *color_fix["white_balance"])
    return image


def adjust_gamma(image: np.ndarray, gamma: float) -> np.ndarray:
    """Raises the values (0..1) to the power `gamma`."""
    return cv2.LUT(image, _gamma_table(gamma))


def white_balance(image: np.ndarray, a: float, b: float) -> np.ndarray:
    """Shifts the Lab colour (a, b), given on the 8-bit scale, to neutral grey, in proportion to the lightness."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    weight = lab[..., :1] * (1.1 / 255)
    lab[..., 1:] -= weight * (np.array([a, b], np.float32) - 128)
    return cv2.cvtColor(np.clip(lab, 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)


_LEVELS = np.arange(256) / 255


@functools.lru_cache(16)
def _gamma_table(gamma: float) -> np.ndarray:
    return (_LEVELS**gamma * 255).astype(np.uint8)
