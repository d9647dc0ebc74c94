"""Background replacement: the person's mask in front of another picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from rlemasklib import RLEMask

from metrabs_acae.data import kernels
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


def replace_background(image: np.ndarray, mask: np.ndarray, background: np.ndarray, draw: BackgroundDraw) -> np.ndarray:
    """The image [S, S, 3] where `mask` [S, S] uint8 is 255, the drawn part of `background` where it is 0, and a
    blend of both in between."""
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


def render_mask(mask: dict, crop: Crop, image_size: int) -> np.ndarray:
    """The stored mask as the crop camera sees it: [S, S] uint8 from 0 to 255, soft at the border."""
    return render(RLEMask.from_dict(mask).to_array(255, order="C"), crop, image_size)
