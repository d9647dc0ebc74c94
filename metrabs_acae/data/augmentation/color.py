"""Colour augmentation of uint8 RGB images.

It works in float32 between the first and the last step (8-bit hue costs one to two grey levels) in one compiled loop,
which takes a quarter of the time of OpenCV's conversions between colour spaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrabs_acae.data.augmentation.base import PictureAugmentation
from metrabs_acae.settings import setting, settings

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


@settings
class Color(PictureAugmentation):
    """Colours."""

    color_aug: bool = setting(True)
    """Brightness, contrast, hue and saturation."""

    @property
    def is_on(self) -> bool:
        return self.color_aug

    def draw(self, rng: np.random.Generator, store) -> ColorDraw:
        return draw_color(rng)

    def apply(self, image: np.ndarray, draw: ColorDraw, example, crop) -> np.ndarray:
        return adjust_color(image, draw)


def draw_color(rng: np.random.Generator) -> ColorDraw:
    """One draw, the operations in random order."""
    brightness, contrast, hue, saturation, *ranks = rng.random(8).tolist()
    order = tuple(name for _, name in sorted(zip(ranks, OPERATIONS, strict=True)))
    return ColorDraw(0.25 * brightness - 0.125, 0.5 + contrast, 144 * hue - 72, 0.5 + saturation, order)


def adjust_color(image: np.ndarray, draw: ColorDraw) -> np.ndarray:
    """[H, W, 3] uint8 RGB -> the same, with the four operations applied in the drawn order.

    Values are clipped to 0..1 before a change to HSV and at the end, where decimals are cut off, as in MeTRAbs.
    """
    import cv2

    from metrabs_acae.data import kernels

    affine, turns, twice = _stages(draw)
    planes = [plane.ravel() for plane in cv2.split(image)]
    out = np.empty((3, *image.shape[:2]), np.uint8)
    kernels.adjust_colors(*planes, affine, turns, twice, out.reshape(3, -1))
    return cv2.merge(list(out))


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
