"""All settings of training-time augmentation; the defaults are the paper's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AugmentationSettings:
    """Probabilities and ranges of the random draws.

    Attributes:
        geometry: shift, zoom, rotation and flip of the crop; False gives the plain crop.
        shift: radius of the disc of box shifts, as a part of the box's larger side.
        scale_up, scale_down: the zoom is uniform in [1 - scale_down, 1 + scale_up].
        rotation_deg: the roll is uniform in [-rotation_deg, rotation_deg].
        full_rotation_prob: probability of a roll anywhere in [-180, 180] instead.
        flip_prob: probability of mirroring.
        partial_visibility_prob: probability of cropping a random part of the box.
        appearance: False switches off everything below.
        color: random brightness, contrast, hue and saturation in random order.
        background_prob: probability of a new background, where the example has a mask.
        background_prob_realistic: the same for stores with realistic rendered backgrounds.
        occlusion_prob, occlusion_prob_2d: probability of occlusion, half by objects and half by random erasing.
        occlusion_scale: factor on the size of the occluding objects.
        background_dir, occluder_dir: folders of pictures and of RGBA cut-outs; empty takes generated ones.
    """

    geometry: bool = True
    shift: float = 0.10
    scale_up: float = 0.25
    scale_down: float = 0.25
    rotation_deg: float = 20.0
    full_rotation_prob: float = 0.0
    flip_prob: float = 0.5
    partial_visibility_prob: float = 0.0
    appearance: bool = True
    color: bool = True
    background_prob: float = 0.7
    background_prob_realistic: float = 0.2
    occlusion_prob: float = 0.5
    occlusion_prob_2d: float = 0.7
    occlusion_scale: float = 1.0
    background_dir: str = ""
    occluder_dir: str = ""
