"""Occlusion of crops: pasted cut-outs (Sarandi et al. 2018) and random erasing (Zhong et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metrabs_acae.data import kernels

REFERENCE_SIZE = 256
"""Sizes of pasted objects are meant for crops of this side."""


@dataclass(frozen=True)
class ObjectDraw:
    """One pasted object: which, its scale at a 256-px crop, and its centre [x, y] as fractions of the crop's side."""

    index: int
    scale: float
    center: tuple[float, float]


@dataclass(frozen=True)
class EraseDraw:
    """A rectangle in fractions of the crop's side and the seed of its noise."""

    left: float
    top: float
    width: float
    height: float
    noise_seed: int


def draw_objects(rng: np.random.Generator, n_occluders: int) -> tuple[ObjectDraw, ...]:
    """One to six objects, anywhere in the crop."""
    return tuple(
        ObjectDraw(int(rng.integers(n_occluders)), rng.uniform(0.2, 1.0), tuple(rng.uniform(0, 1, size=2)))
        for _ in range(rng.integers(1, 7))
    )


def draw_erasing(rng: np.random.Generator) -> EraseDraw:
    """A rectangle inside the crop of area up to a third and aspect 0.3 to 3.33, by rejection."""
    while True:
        area = rng.uniform(0, 1 / 3)
        aspect = rng.uniform(0.3, 1 / 0.3)
        height, width = np.sqrt(area * aspect), np.sqrt(area / aspect)
        left, top = rng.uniform(0, 1, size=2)
        if left + width < 1 and top + height < 1:
            return EraseDraw(left, top, width, height, int(rng.integers(2**63)))


def paste_objects(
    image: np.ndarray, occluders: list[np.ndarray], draws: tuple[ObjectDraw, ...], *, scale: float = 1.0
) -> np.ndarray:
    """The image [S, S, 3] with objects pasted in order.

    Args:
        occluders: cut-outs [h, w, 4] uint8: RGB and opacity.
        scale: factor on all sizes.
    """
    image = image.copy()
    side = image.shape[0]
    for draw in draws:
        cutout = resized(occluders[draw.index], draw.scale * scale * side / REFERENCE_SIZE)
        paste(image, cutout, np.asarray(draw.center) * side)
    return image


def erase(image: np.ndarray, draw: EraseDraw) -> np.ndarray:
    """The image with uniform noise in the drawn rectangle."""
    image = image.copy()
    side = image.shape[0]
    left, top = int(draw.left * side), int(draw.top * side)
    right, bottom = int((draw.left + draw.width) * side), int((draw.top + draw.height) * side)
    noise = np.random.default_rng(draw.noise_seed).bytes((bottom - top) * (right - left) * 3)
    image[top:bottom, left:right] = np.frombuffer(noise, np.uint8).reshape(bottom - top, right - left, 3)
    return image


def paste(image: np.ndarray, cutout: np.ndarray, center: np.ndarray) -> None:
    """Blends a cut-out [h, w, 4] into the image in place, its middle at `center` (x, y); parts outside are cut off."""
    size = np.array(cutout.shape[1::-1])
    start = np.rint(center).astype(int) - size // 2
    (left, top), (right, bottom) = np.maximum(start, 0), np.minimum(start + size, image.shape[1::-1])
    if left >= right or top >= bottom:
        return
    part = cutout[top - start[1] : bottom - start[1], left - start[0] : right - start[0]]
    region = image[top:bottom, left:right]
    color = cv2.cvtColor(part, cv2.COLOR_RGBA2RGB)
    opacity = cv2.cvtColor(np.ascontiguousarray(part[..., 3]), cv2.COLOR_GRAY2RGB)
    blended = np.empty_like(color)
    kernels.blend(color.ravel(), region.ravel(), opacity.ravel(), blended.ravel())
    region[...] = blended


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    """Resized by a factor: averaging when smaller, bilinear when larger."""
    size = tuple(max(1, round(n * factor)) for n in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
