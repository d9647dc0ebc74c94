"""Occlusion of crops: pasted cut-outs (Sarandi et al. 2018) and random erasing (Zhong et al. 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metrabs_acae.data.augmentation.base import PictureAugmentation
from metrabs_acae.data.generators import generator
from metrabs_acae.settings import setting, settings

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


@settings
class Occlusion(PictureAugmentation):
    """Half by objects, on which other augmentations work too, half by rectangles of noise, which come last."""

    occlude_aug_prob: float = setting(0.5, at_least=0, at_most=1)
    """Probability of an occluder or an erased rectangle."""
    occlude_aug_prob_2d: float = setting(0.7, at_least=0, at_most=1)
    """The same for 2D-labelled examples."""
    occluder_dir: str = setting("")
    """Folder of RGBA cut-outs of objects, e.g. from Pascal VOC; empty: generated ones."""

    @property
    def is_on(self) -> bool:
        return max(self.occlude_aug_prob, self.occlude_aug_prob_2d) > 0

    def load(self, image_size: int) -> None:
        self._cutouts()

    def _cutouts(self):
        from metrabs_acae.data.augmentation.pictures import load_occluders

        return load_occluders(self.occluder_dir)

    def draw(self, rng: np.random.Generator, store) -> tuple[ObjectDraw, ...] | EraseDraw | None:
        occluded, by_objects = rng.random(2).tolist()
        if not occluded < (self.occlude_aug_prob_2d if store.kind == "2d" else self.occlude_aug_prob):
            return None
        return draw_objects(rng, len(self._cutouts())) if by_objects < 0.5 else draw_erasing(rng)

    def apply(self, image: np.ndarray, draw: tuple[ObjectDraw, ...] | EraseDraw, example, crop) -> np.ndarray:
        return erase(image, draw) if isinstance(draw, EraseDraw) else paste_objects(image, self._cutouts(), draw)

    def comes_last(self, draw: tuple[ObjectDraw, ...] | EraseDraw) -> bool:
        return isinstance(draw, EraseDraw)


def draw_objects(rng: np.random.Generator, n_occluders: int) -> tuple[ObjectDraw, ...]:
    """One to six objects, anywhere in the crop."""
    n = 1 + int(6 * rng.random())
    drawn = rng.random((n, 4)).tolist()
    return tuple(ObjectDraw(int(which * n_occluders), 0.2 + 0.8 * scale, (x, y)) for which, scale, x, y in drawn)


def draw_erasing(rng: np.random.Generator) -> EraseDraw:
    """A rectangle inside the crop of area up to a third and aspect 0.3 to 3.33, by rejection."""
    while True:
        area, aspect, left, top = rng.random(4).tolist()
        area, aspect = area / 3, 0.3 + (1 / 0.3 - 0.3) * aspect
        height, width = math.sqrt(area * aspect), math.sqrt(area / aspect)
        if left + width < 1 and top + height < 1:
            return EraseDraw(left, top, width, height, int(2**53 * rng.random()))


def paste_objects(image: np.ndarray, occluders: list[np.ndarray], draws: tuple[ObjectDraw, ...]) -> np.ndarray:
    """The image [S, S, 3] with objects pasted in order; `occluders`: cut-outs [h, w, 4] uint8, RGB and opacity."""
    image = image.copy()
    side = image.shape[0]
    for draw in draws:
        cutout = resized(occluders[draw.index], draw.scale * side / REFERENCE_SIZE)
        paste(image, cutout, np.asarray(draw.center) * side)
    return image


def erase(image: np.ndarray, draw: EraseDraw) -> np.ndarray:
    """The image with uniform noise in the drawn rectangle."""
    image = image.copy()
    side = image.shape[0]
    left, top = int(draw.left * side), int(draw.top * side)
    right, bottom = int((draw.left + draw.width) * side), int((draw.top + draw.height) * side)
    noise = generator(draw.noise_seed).bytes((bottom - top) * (right - left) * 3)
    image[top:bottom, left:right] = np.frombuffer(noise, np.uint8).reshape(bottom - top, right - left, 3)
    return image


def paste(image: np.ndarray, cutout: np.ndarray, center: np.ndarray) -> None:
    """Blends a cut-out [h, w, 4] into the image in place, its middle at `center` (x, y); parts outside are cut off."""
    import cv2

    from metrabs_acae.data import kernels

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
    import cv2

    size = tuple(max(1, round(n * factor)) for n in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
