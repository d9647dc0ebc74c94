"""Background replacement: the person's mask in front of another picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metrabs_acae.data.augmentation.base import PictureAugmentation
from metrabs_acae.settings import setting, settings

LARGEST_REALISTIC = 0.2
"""Probability at which rendered datasets with realistic backgrounds get another one, or --background-aug-prob."""


@dataclass(frozen=True)
class BackgroundDraw:
    """Which picture (0..1: its place in the row of all), how much larger than needed to cover the crop, and its shift
    in fractions of the crop's side."""

    choice: float
    zoom: float
    shift: tuple[float, float]


@settings
class Background(PictureAugmentation):
    """Other backgrounds, for examples with a mask."""

    background_aug_prob: float = setting(0.7, at_least=0, at_most=1)
    """Probability of another background, for examples with a mask."""
    background_dir: str = setting("")
    """Folder of background pictures, e.g. INRIA Holidays; empty: generated ones."""

    @property
    def is_on(self) -> bool:
        return self.background_aug_prob > 0

    def load(self, image_size: int) -> None:
        self._pictures(image_size)

    def _pictures(self, image_size: int):
        from metrabs_acae.data.augmentation.pictures import load_backgrounds

        return load_backgrounds(self.background_dir, image_size)

    def draw(self, rng: np.random.Generator, store) -> BackgroundDraw | None:
        probability = self.background_aug_prob
        if store.realistic_background:
            probability = min(LARGEST_REALISTIC, probability)
        return draw_background(rng) if rng.random() < probability else None

    def apply(self, image: np.ndarray, draw: BackgroundDraw, example, crop) -> np.ndarray:
        if example.mask is None:
            return image
        side = image.shape[0]
        pictures = self._pictures(side)
        picture = pictures[int(draw.choice * len(pictures))]
        return replace_background(image, render_mask(example.mask, crop, side), picture, draw)


def draw_background(rng: np.random.Generator) -> BackgroundDraw:
    choice, zoom, angle, radius = rng.random(4).tolist()
    angle, radius = 2 * math.pi * angle, 0.1 * math.sqrt(radius)
    return BackgroundDraw(choice, 1.2 + 0.3 * zoom, (radius * math.cos(angle), radius * math.sin(angle)))


def replace_background(image: np.ndarray, mask: np.ndarray, background: np.ndarray, draw: BackgroundDraw) -> np.ndarray:
    """The image [S, S, 3] where `mask` [S, S] uint8 is 255, the drawn part of `background` where it is 0, and a
    blend of both in between."""
    import cv2

    from metrabs_acae.data import kernels

    side = image.shape[0]
    height, width = background.shape[:2]
    scale = side / min(height, width) * draw.zoom
    center = np.array([width - 1, height - 1]) / 2
    offset = (side - 1) / 2 + np.asarray(draw.shift) * side - scale * center
    to_crop = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    four = cv2.cvtColor(background, cv2.COLOR_RGB2RGBA)  # OpenCV warps four channels twice as fast as three
    moved = cv2.warpAffine(four, to_crop, (side, side), flags=cv2.INTER_LINEAR)
    back = cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)
    result = np.empty_like(back)
    opacity = cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB)
    kernels.blend(image.ravel(), back.ravel(), opacity.ravel(), result.ravel())
    return result


def render_mask(mask: dict, crop, image_size: int) -> np.ndarray:
    """The stored mask as the crop camera sees it: [S, S] uint8 from 0 to 255, soft at the border."""
    from rlemasklib import RLEMask

    from metrabs_acae.data.crop import render

    return render(RLEMask.from_dict(mask).to_array(255, order="C"), crop, image_size)
