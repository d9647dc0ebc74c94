"""The random draw of a crop's geometry. What the draw does to image, mask and joints is `crop`'s business."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metrabs_acae.data.augmentation.settings import AugmentationSettings


@dataclass(frozen=True)
class GeometricDraw:
    """One draw; the defaults leave the crop as it is.

    Attributes:
        part: (left, top, side) of a square part of the box made square, as fractions of its side, or None.
        shift: [2] shift of the box centre as a fraction of the box's larger side.
        zoom: factor on the crop's scale.
        roll_rad: rotation of the crop camera about its optical axis.
        flip: True mirrors the crop.
    """

    part: tuple[float, float, float] | None = None
    shift: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    roll_rad: float = 0.0
    flip: bool = False


def draw_geometry(rng: np.random.Generator, settings: AugmentationSettings) -> GeometricDraw:
    """Draws the geometry of one crop. Every draw takes place whatever the settings, so that switching one
    augmentation off leaves the others as they were."""
    has_part, flips, is_full, angle, radius, zoom, roll, part_seed = rng.random(8).tolist()
    part = None
    if has_part < settings.partial_visibility_prob:  # draws of its own: their number is random
        part = draw_box_part(np.random.default_rng(int(part_seed * 2**53)))
    if not settings.geometry:
        return GeometricDraw(part=part)
    angle, radius = 2 * math.pi * angle, settings.shift * math.sqrt(radius)
    max_roll = math.pi if is_full < settings.full_rotation_prob else math.radians(settings.rotation_deg)
    return GeometricDraw(
        part=part,
        shift=(radius * math.cos(angle), radius * math.sin(angle)),
        zoom=1 - settings.scale_down + zoom * (settings.scale_up + settings.scale_down),
        roll_rad=(2 * roll - 1) * max_roll,
        flip=flips < settings.flip_prob,
    )


def draw_box_part(rng: np.random.Generator) -> tuple[float, float, float]:
    """(left, top, side) of a random square with side in (0.5, 1) inside the unit square, by rejection."""
    while True:
        left = rng.uniform(0, 0.5)
        right, bottom = rng.uniform(0.5, 1, size=2)
        side = right - left
        if 0.5 < side < bottom:
            return left, bottom - side, side


def box_part(box_ltwh_px: np.ndarray, part: tuple[float, float, float]) -> np.ndarray:
    """The square part (`draw_box_part`) of a box that is first made square about its centre."""
    side = max(box_ltwh_px[2:])
    corner = box_ltwh_px[:2] + box_ltwh_px[2:] / 2 - side / 2
    left, top, part_side = part
    return np.array([corner[0] + left * side, corner[1] + top * side, part_side * side, part_side * side])
