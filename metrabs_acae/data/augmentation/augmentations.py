"""The list of augmentations, which is their settings too; those of other packages by name."""

from __future__ import annotations

import dataclasses

from metrabs_acae.data.augmentation.background import Background
from metrabs_acae.data.augmentation.base import Augmentation
from metrabs_acae.data.augmentation.color import Color
from metrabs_acae.data.augmentation.geometry import Geometry, PartialVisibility
from metrabs_acae.data.augmentation.occlusion import Occlusion
from metrabs_acae.errors import UserError
from metrabs_acae.settings import section, setting, settings

_REGISTERED: dict[str, Augmentation] = {}


@settings
class Augmentations:
    """Random changes to the training examples, in this order."""

    geometry: Geometry = section(Geometry)
    partial_visibility: PartialVisibility = section(PartialVisibility)
    background: Background = section(Background)
    occlusion: Occlusion = section(Occlusion)
    color: Color = section(Color)
    others: tuple[str, ...] = setting((), flag="augmentation")
    """Further augmentations, from outside this project, as MODULE:CLASS: see data/augmentation/base.py."""

    def in_order(self) -> tuple[Augmentation, ...]:
        """All of them as a list; UserError for others that are not registered."""
        own = [getattr(self, field.name) for field in dataclasses.fields(self)]
        return (*(a for a in own if isinstance(a, Augmentation)), *map(_find, self.others))


def register_augmentation(name: str, augmentation: Augmentation) -> None:
    """Makes an augmentation known by the name that `--augmentation` is given; UserError for what is none."""
    if isinstance(augmentation, type) and issubclass(augmentation, Augmentation):
        augmentation = augmentation()
    if not isinstance(augmentation, Augmentation):
        raise UserError(f"--augmentation {name} is no CameraAugmentation or PictureAugmentation, but {augmentation!r}.")
    _REGISTERED[name] = augmentation


def _find(name: str) -> Augmentation:
    if name not in _REGISTERED:
        raise UserError(
            f"The augmentation {name} is code outside this project, which runs only when the command names it: give "
            f"--augmentation {name} if you trust that module."
        )
    return _REGISTERED[name]
