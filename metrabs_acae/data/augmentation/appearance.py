"""Appearance augmentation of one crop: colour fix, background, occlusion, colour, random erasing, in this order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrabs_acae.data.augmentation.background import (
    BackgroundDraw,
    draw_background,
    render_mask,
    replace_background,
)
from metrabs_acae.data.augmentation.color import ColorDraw, adjust_color, draw_color, fix_colors
from metrabs_acae.data.augmentation.occlusion import (
    EraseDraw,
    ObjectDraw,
    draw_erasing,
    draw_objects,
    erase,
    paste_objects,
)
from metrabs_acae.data.augmentation.pictures import load_backgrounds, load_occluders
from metrabs_acae.data.augmentation.settings import AugmentationSettings
from metrabs_acae.data.crop import Crop
from metrabs_acae.data.records import Example


@dataclass(frozen=True)
class AppearanceDraw:
    """One draw; None or empty means that the operation does not take place."""

    background: BackgroundDraw | None = None
    objects: tuple[ObjectDraw, ...] = ()
    color: ColorDraw | None = None
    erasing: EraseDraw | None = None


def draw_appearance(
    rng: np.random.Generator,
    settings: AugmentationSettings,
    *,
    is_2d: bool,
    realistic_background: bool,
    n_backgrounds: int,
    n_occluders: int,
) -> AppearanceDraw:
    """Draws everything whatever the settings, so that switching one operation off leaves the others as they were."""
    with_background, with_occlusion, by_object = rng.random(3)
    background = draw_background(rng, max(1, n_backgrounds))
    color = draw_color(rng)
    if not with_occlusion < (settings.occlusion_prob_2d if is_2d else settings.occlusion_prob):
        objects, erasing = (), None
    elif by_object < 0.5 and n_occluders:
        objects, erasing = draw_objects(rng, n_occluders), None
    else:
        objects, erasing = (), draw_erasing(rng)
    probability = settings.background_prob_realistic if realistic_background else settings.background_prob
    return AppearanceDraw(
        background=background if n_backgrounds and with_background < probability else None,
        objects=objects,
        color=color if settings.color else None,
        erasing=erasing,
    )


class AppearanceAugmenter:
    """Applies the settings' appearance augmentation to crops; holds the occluders and backgrounds (read-only)."""

    def __init__(self, settings: AugmentationSettings, image_size: int):
        self.settings = settings
        self.backgrounds = self.occluders = ()
        if max(settings.background_prob, settings.background_prob_realistic) > 0:
            self.backgrounds = load_backgrounds(settings.background_dir, image_size)
        if max(settings.occlusion_prob, settings.occlusion_prob_2d) > 0:
            self.occluders = load_occluders(settings.occluder_dir)

    def draw(self, store, rng: np.random.Generator) -> AppearanceDraw:
        return draw_appearance(
            rng,
            self.settings,
            is_2d=store.kind == "2d",
            realistic_background=store.realistic_background,
            n_backgrounds=len(self.backgrounds),
            n_occluders=len(self.occluders),
        )

    def apply(self, image: np.ndarray, draw: AppearanceDraw, example: Example, store, crop: Crop) -> np.ndarray:
        """The augmented crop; [S, S, 3] uint8 in and out."""
        image = fix_colors(image, store.color_fix, example.sequence)
        if draw.background is not None and example.mask is not None:
            mask = render_mask(example.mask, crop, image.shape[0])
            image = replace_background(image, mask, self.backgrounds[draw.background.index], draw.background)
        if draw.objects:
            image = paste_objects(image, self.occluders, draw.objects, scale=self.settings.occlusion_scale)
        if draw.color is not None:
            image = adjust_color(image, draw.color)
        if draw.erasing is not None:
            image = erase(image, draw.erasing)
        return image
