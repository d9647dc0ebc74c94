"""Colour augmentation and fixed colour corrections of uint8 RGB images.

The augmentation works in float32 between the first and the last step (8-bit hue costs one to two grey levels) in one
compiled loop, which takes a quarter of the time of OpenCV's conversions between colour spaces.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from metrabs_acae.data import kernels

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
    affine, turns, twice = _stages(draw)
    planes = [plane.ravel() for plane in cv2.split(image)]
    out = np.empty((3, *image.shape[:2]), np.uint8)
    kernels.adjust_colors(*planes, affine, turns, twice, out.reshape(3, -1))
    return cv2.merge(list(out))


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


def _stages(draw: ColorDraw) -> tuple[np.ndarray, np.ndarray, bool]:
    """The drawn operations as `kernels.adjust_colors` takes them; neighbours of one kind are put together."""
    affine, turns = [(1.0, 0.0)], []
    for operation in draw.order:
        if operation in ("brightness", "contrast"):
            if len(turns) == len(affine):
                affine.append((1.0, 0.0))
            scale, offset = affine[-1]
            if operation == "brightness":
                affine[-1] = (scale, offset + draw.brightness)
            else:
                affine[-1] = (scale * draw.contrast, (offset - 0.5) * draw.contrast + 0.5)
        else:
            if len(turns) < len(affine):
                turns.append((0.0, 1.0))
            sextants, saturation = turns[-1]
            if operation == "hue":
                turns[-1] = (draw.hue_deg % 360 / 60, saturation)
            else:
                turns[-1] = (sextants, draw.saturation)
    turns = turns or [(0.0, 1.0)]
    if len(affine) == len(turns):
        affine.append((1.0, 0.0))
    twice = len(turns) == 2
    if not twice:
        affine, turns = [affine[0], (1.0, 0.0), affine[1]], [*turns, (0.0, 1.0)]
    return np.array(affine, np.float32), np.array(turns, np.float32), twice
