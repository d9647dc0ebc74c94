"""What an augmentation is: one object with its settings, its random draw and its application.

To add one:
1. Write a class made by `@settings` that derives from `CameraAugmentation` or `PictureAugmentation`; its settings are
   its fields, made by `setting(...)`, with a docstring behind each. Files that the command line imports must be light:
   import cv2 and the like inside the methods.
2. Name it in the list of `augmentations.Augmentations`, which makes its settings flags of the command line. Or leave
   this project alone and name it there, `--augmentation mypackage.blur:Blur`, with its defaults.

Each draws from a stream of its own, which its class's name, the seed and the example's place decide. So a new one
changes no other's draws, and a draw may take as many random numbers as it likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metrabs_acae.data.geometric_draw import GeometricDraw

if TYPE_CHECKING:
    from metrabs_acae.data.crop import Crop
    from metrabs_acae.data.records import Example
    from metrabs_acae.data.store import PoseStore


class Augmentation:
    """What both kinds have in common."""

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def is_on(self) -> bool:
        """False where the settings say that nothing will ever be drawn."""
        return True

    def load(self, image_size: int) -> None:
        """Reads what the application needs, e.g. pictures, once before the first draw. UserError where it is bad."""


class CameraAugmentation(Augmentation):
    """Changes the crop camera, and with it image, mask and joints alike."""

    def draw(self, rng: np.random.Generator, store: PoseStore) -> GeometricDraw | None:
        """What to do with the crop of an example of this store; None: nothing."""
        raise NotImplementedError


class PictureAugmentation(Augmentation):
    """Changes the picture of the crop; its joints stay where they are."""

    def draw(self, rng: np.random.Generator, store: PoseStore) -> Any:
        """A record of what to do with the picture of an example of this store, all randomness in it; None: nothing."""
        raise NotImplementedError

    def apply(self, image: np.ndarray, draw: Any, example: Example, crop: Crop) -> np.ndarray:
        """The changed picture, [S, S, 3] uint8 RGB in and out; the one given must stay as it is."""
        raise NotImplementedError

    def comes_last(self, draw: Any) -> bool:
        """Whether this draw is applied after all others instead of in the order of the list."""
        return False
