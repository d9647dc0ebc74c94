"""Background replacement: the person's mask in front of another picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from rlemasklib import RLEMask

from metrabs_acae.data.augmentation.occlusion import blend
from metrabs_acae.data.crop import Crop, render


@dataclass(frozen=True)
class BackgroundDraw:
    """Which picture, how much larger than needed to cover the crop, and its shift in fractions of the crop's side."""

    index: int
    zoom: float
    shift: tuple[float, float]


def draw_background(rng: np.random.Generator, n_backgrounds: int) -> BackgroundDraw:
    index = int(rng.integers(n_backgrounds))
    zoom = rng.uniform(1.2, 1.5)
    angle, radius = rng.uniform(-np.pi, np.pi), 0.1 * np.sqrt(rng.uniform(0, 1))
    return BackgroundDraw(index, zoom, (radius * np.cos(angle), radius * np.sin(angle)))


def replace_background(
    image: np.ndarray, alpha: np.ndarray, background: np.ndarray, draw: BackgroundDraw
) -> np.ndarray:
    """The image [S, S, 3] where `alpha` [S, S] (float32, 0..1) is 1, the drawn part of `background` where it is 0."""
    side = image.shape[0]
    height, width = background.shape[:2]
    scale = side / min(height, width) * draw.zoom
    center = np.array([width - 1, height - 1]) / 2
    offset = (side - 1) / 2 + np.asarray(draw.shift) * side - scale * center
    to_crop = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    return blend(image, cv2.warpAffine(background, to_crop, (side, side), flags=cv2.INTER_LINEAR), alpha)


def render_mask(mask: dict, crop: Crop, image_size: int) -> np.ndarray:
    """The stored mask as the crop camera sees it: [S, S] float32 in 0..1, soft at the border."""
    dense = RLEMask.from_dict(mask).to_array(255, order="C")
    return render(dense, crop, image_size).astype(np.float32) * np.float32(1 / 255)
