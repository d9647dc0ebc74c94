"""Augmentation of the crop camera: shift, zoom, rotation and flip, and parts of the box."""

from __future__ import annotations

import math

import numpy as np

from metrabs_acae.data.augmentation.base import CameraAugmentation
from metrabs_acae.data.geometric_draw import GeometricDraw, Part
from metrabs_acae.settings import setting, settings

FLIP_PROBABILITY = 0.5


@settings
class Geometry(CameraAugmentation):
    """Geometry of the crop. Zooms are uniform between their ends, shifts in a disc, rotations between both signs."""

    geom_aug: bool = setting(True)
    """Rotate, zoom, shift and flip."""
    rot_aug: float = setting(20.0, at_least=0)
    """Largest rotation, degrees."""
    full_rot_aug_prob: float = setting(0.0, at_least=0, at_most=1)
    """Probability of a rotation by any angle."""
    scale_aug_up: float = setting(25.0, at_least=0)
    """Largest zoom in, percent."""
    scale_aug_down: float = setting(25.0, at_least=0, below=100)
    """Largest zoom out, percent."""
    shift_aug: float = setting(10.0, at_least=0)
    """Largest shift, percent of the box."""

    @property
    def is_on(self) -> bool:
        return self.geom_aug

    def draw(self, rng: np.random.Generator, store) -> GeometricDraw:
        """Everything is drawn whatever the settings, so that one of them leaves the others' draws as they were."""
        flip, any_angle, angle, radius, zoom, roll = rng.random(6).tolist()
        angle, radius = 2 * math.pi * angle, self.shift_aug / 100 * math.sqrt(radius)
        max_roll = math.pi if any_angle < self.full_rot_aug_prob else math.radians(self.rot_aug)
        return GeometricDraw(
            shift=(radius * math.cos(angle), radius * math.sin(angle)),
            zoom=1 - self.scale_aug_down / 100 + zoom * (self.scale_aug_up + self.scale_aug_down) / 100,
            roll_rad=(2 * roll - 1) * max_roll,
            flip=flip < FLIP_PROBABILITY,
        )


@settings
class PartialVisibility(CameraAugmentation):
    """Training on parts of people."""

    partial_visibility_prob: float = setting(0.0, at_least=0, at_most=1)
    """Probability of training on a random part of the box."""

    @property
    def is_on(self) -> bool:
        return self.partial_visibility_prob > 0

    def draw(self, rng: np.random.Generator, store) -> GeometricDraw | None:
        return GeometricDraw(part=draw_box_part(rng)) if rng.random() < self.partial_visibility_prob else None


def draw_box_part(rng: np.random.Generator) -> Part:
    """(left, top, side) of a random square with side in (0.5, 1) inside the unit square, by rejection."""
    while True:
        left = rng.uniform(0, 0.5)
        right, bottom = rng.uniform(0.5, 1, size=2)
        side = right - left
        if 0.5 < side < bottom:
            return left, bottom - side, side
