"""A list of augmentations at work on examples."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from metrabs_acae.data.augmentation.base import Augmentation, CameraAugmentation, PictureAugmentation
from metrabs_acae.data.crop import Crop
from metrabs_acae.data.generators import generator, key_of_text
from metrabs_acae.data.geometric_draw import GeometricDraw
from metrabs_acae.data.records import Example
from metrabs_acae.errors import UserError


class Augmenter:
    """Draws and applies augmentations in order.

    The draws of each are a function of its name and of an example's `key`, which decides all its randomness
    (`generators.key_of`): whatever other augmentations there are, and whether they are on.

    Raises:
        UserError: two of one name; pictures that an augmentation needs and that cannot be read.
    """

    def __init__(self, augmentations: Sequence[Augmentation], image_size: int):
        names = [a.name for a in augmentations]
        if twice := {name for name in names if names.count(name) > 1}:
            raise UserError(f"There are two augmentations of the name {twice.pop()}: give one of them another name.")
        used = [(a, key_of_text(a.name)) for a in augmentations if a.is_on]
        for augmentation, _ in used:
            augmentation.load(image_size)
        self._of_camera = [(a, key) for a, key in used if isinstance(a, CameraAugmentation)]
        self._of_picture = [(a, key) for a, key in used if isinstance(a, PictureAugmentation)]

    def draw_camera(self, key: int, store) -> GeometricDraw:
        """What happens to the crop camera of the example."""
        draws = [a.draw(generator(key, own), store) for a, own in self._of_camera]
        return functools.reduce(GeometricDraw.then, filter(None, draws)) if any(draws) else GeometricDraw()

    def draw_picture(self, key: int, store) -> list[tuple[PictureAugmentation, Any]]:
        """What happens to the picture of the example, and by which augmentation, in the order of application."""
        drawn, last = [], []
        for augmentation, own in self._of_picture:
            draw = augmentation.draw(generator(key, own), store)
            if draw is not None:
                (last if augmentation.comes_last(draw) else drawn).append((augmentation, draw))
        return drawn + last

    @staticmethod
    def apply(image: np.ndarray, draws: Sequence[tuple[PictureAugmentation, Any]], example: Example, crop: Crop):
        """The picture [S, S, 3] uint8 after the drawn changes; the one given stays as it is."""
        for augmentation, draw in draws:
            image = augmentation.apply(image, draw, example, crop)
        return image
