"""The networks that `--model` chooses from: MeTRAbs, and the two baselines of its paper (T-BIOM 2021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metrabs_acae.errors import UserError
from metrabs_acae.models.settings import NetworkSettings


@dataclass(frozen=True)
class Kind:
    """One kind of network.

    Attributes:
        build: (settings, backbone, skeleton, acae, bone lengths [E] mm) -> model; the last two where they are needed.
        has_variants: whether it can be fine-tuned with an autoencoder, and started from another run.
        is_absolute: whether its poses have a place in the camera's frame; if not, only their shape means something.
        needs_bones: whether it needs the mean lengths of the skeleton's bones.
    """

    build: Callable
    has_variants: bool = False
    is_absolute: bool = True
    needs_bones: bool = False


def _metrabs(settings: NetworkSettings, backbone, skeleton, acae, bone_lengths_mm):
    from metrabs_acae.models import Metrabs

    return Metrabs(
        backbone,
        skeleton,
        **_common(settings),
        variant=settings.variant,
        acae=acae,
        mix_3d_inside_fov=settings.mix_3d_inside_fov,
        weak_perspective=settings.weak_perspective,
        stop_gradient_features=settings.stop_gradient_features,
        name="metrabs",
    )


def _metro(settings: NetworkSettings, backbone, skeleton, acae, bone_lengths_mm):
    from metrabs_acae.models import Metro

    return Metro(backbone, skeleton, **_common(settings), name="metro")


def _model25d(settings: NetworkSettings, backbone, skeleton, acae, bone_lengths_mm):
    from metrabs_acae.models import Model25D

    return Model25D(backbone, skeleton, bone_lengths_mm=bone_lengths_mm, **_common(settings), name="model25d")


def _common(settings: NetworkSettings) -> dict:
    return {
        "depth": settings.depth,
        "box_size_mm": settings.box_size_mm,
        "centered_stride": settings.centered_stride,
    }


KINDS = {
    "metrabs": Kind(_metrabs, has_variants=True),
    "metro": Kind(_metro, is_absolute=False),
    "model25d": Kind(_model25d, needs_bones=True),
}


def require_absolute(kind: str, what: str) -> None:
    """Raises UserError if poses of this kind of network have no place in the camera's frame, which `what` needs."""
    if not KINDS[kind].is_absolute:
        able = " or ".join(name for name, k in KINDS.items() if k.is_absolute)
        raise UserError(f"{what} needs poses with a place in space, which --model {kind} does not give; use {able}.")
