"""Colour augmentation and fixed colour corrections of uint8 RGB images.

The first and the last step are tables or saturating conversions; between colour spaces values stay float32, because
8-bit hue costs one to two grey levels and saves little (0.6 against 0.8 CPU-ms a 256-px crop).
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
    brightness, contrast, hue, saturation, *ranks = rng.random(8).tolist()
    order = tuple(name for _, name in sorted(zip(ranks, OPERATIONS, strict=True)))
    return ColorDraw(0.25 * brightness - 0.125, 0.5 + contrast, 144 * hue - 72, 0.5 + saturation, order)


def adjust_color(image: np.ndarray, draw: ColorDraw) -> np.ndarray:
    """[H, W, 3] uint8 RGB -> the same, with the four operations applied in the drawn order.

    Values are clipped to 0..1 before a change to HSV and at the end, where decimals are cut off, as in MeTRAbs.
    """
    for space, operations in _steps(draw.order):
        image = (_adjust_hsv if space == "hsv" else _adjust_rgb)(image, draw, operations)
    # OpenCV rounds; half a level less cuts off (a whole 255 survives).
    return cv2.addWeighted(image, 255, image, 0, -0.499, dtype=cv2.CV_8U)


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


def _steps(order: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    """The operations in runs of one colour space."""
    steps: list[tuple[str, list[str]]] = []
    for operation in order:
        space = "rgb" if operation in ("brightness", "contrast") else "hsv"
        if not steps or steps[-1][0] != space:
            steps.append((space, []))
        steps[-1][1].append(operation)
    return steps


def _adjust_rgb(image: np.ndarray, draw: ColorDraw, operations: list[str]) -> np.ndarray:
    """Brightness and contrast; uint8 or float32 in, float32 in 0..1 out."""
    scale, offset = 1.0, 0.0
    for operation in operations:
        if operation == "brightness":
            offset += draw.brightness
        else:
            scale, offset = scale * draw.contrast, (offset - 0.5) * draw.contrast + 0.5
    if image.dtype == np.uint8:
        return cv2.LUT(image, np.clip(_LEVELS * scale + offset, 0, 1).astype(np.float32))
    image = cv2.addWeighted(image, scale, image, 0, offset)
    return np.clip(image, 0, 1, out=image)


def _adjust_hsv(image: np.ndarray, draw: ColorDraw, operations: list[str]) -> np.ndarray:
    """Hue and saturation; uint8 or float32 in 0..1 in, float32 in 0..1 out."""
    if image.dtype == np.uint8:
        image = cv2.LUT(image, _LEVELS.astype(np.float32))
    image = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    # Whole rows at a time: NumPy is several times faster on long rows than on pixels of three values.
    width = image.shape[1]
    rows = image.reshape(-1, 3 * width)
    if "hue" in operations:  # OpenCV turns hues above 360 back, but not negative ones
        rows += np.tile(np.array([draw.hue_deg % 360, 0, 0], np.float32), width)
    if "saturation" in operations:
        rows *= np.tile(np.array([1, draw.saturation, 1], np.float32), width)
        np.minimum(rows, np.tile(np.array([np.inf, 1, np.inf], np.float32), width), out=rows)
    return cv2.cvtColor(image, cv2.COLOR_HSV2RGB)
