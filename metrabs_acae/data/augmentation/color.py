"""Colour augmentation and fixed colour corrections of uint8 RGB images, by tables.

The reference works in float32; tables on uint8 differ from it by half a grey level on average and cost half as much.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

OPERATIONS = ("brightness", "contrast", "hue", "saturation")


@dataclass(frozen=True)
class ColorDraw:
    """One draw: `brightness` is added (values 0..1), `contrast` scales about 0.5, `hue_deg` turns, `saturation` scales;
    `order` is the sequence of the four operations."""

    brightness: float
    contrast: float
    hue_deg: float
    saturation: float
    order: tuple[str, ...] = OPERATIONS


def draw_color(rng: np.random.Generator) -> ColorDraw:
    order = tuple(OPERATIONS[i] for i in rng.permutation(len(OPERATIONS)))
    brightness, contrast, hue, saturation = rng.uniform([-0.125, 0.5, -72, 0.5], [0.125, 1.5, 72, 1.5])
    return ColorDraw(brightness, contrast, hue, saturation, order)


def adjust_color(image: np.ndarray, draw: ColorDraw) -> np.ndarray:
    """[H, W, 3] uint8 RGB -> the same, with the four operations applied in the drawn order.

    Operations next to each other in the same colour space become one table; between spaces values are clipped.
    """
    steps: list[tuple[str, list[str]]] = []
    for operation in draw.order:
        space = "rgb" if operation in ("brightness", "contrast") else "hsv"
        if not steps or steps[-1][0] != space:
            steps.append((space, []))
        steps[-1][1].append(operation)
    for space, operations in steps:
        if space == "rgb":
            value = _LEVELS
            for operation in operations:
                value = value + draw.brightness if operation == "brightness" else (value - 0.5) * draw.contrast + 0.5
            image = cv2.LUT(image, _to_table(value))
        else:
            image = _adjust_hue_saturation(image, draw, operations)
    return image


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


def _to_table(value: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(value, 0, 1) * 255).astype(np.uint8)


@functools.lru_cache(16)
def _gamma_table(gamma: float) -> np.ndarray:
    return (_LEVELS**gamma * 255).astype(np.uint8)


def _adjust_hue_saturation(image: np.ndarray, draw: ColorDraw, operations: list[str]) -> np.ndarray:
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL))
    if "hue" in operations:
        hue = hue + np.uint8(round(draw.hue_deg * 256 / 360) % 256)  # uint8 arithmetic wraps around like the angle
    if "saturation" in operations:
        saturation = cv2.LUT(saturation, _to_table(_LEVELS * draw.saturation))
    return cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2RGB_FULL)
