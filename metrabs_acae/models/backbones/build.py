"""`build_backbone`: from a name to an adapted Keras model."""

from __future__ import annotations

import math
import os
from pathlib import Path

import keras

from metrabs_acae.errors import UserError
from metrabs_acae.models.backbones.adaptation import adapt
from metrabs_acae.models.backbones.layers import ImageScaling, ShiftedImage, StopGradient
from metrabs_acae.models.backbones.record import AS_IS, Backbone, WeightsMissing
from metrabs_acae.models.backbones.registry import find_backbone

PRETRAINED = "pretrained"


def build_backbone(
    name: str,
    image_size: int,
    *,
    weights: str | os.PathLike | None = None,
    centered_stride: bool = True,
    ghost_group_size: int | list[int] | None = None,
    kernel_norm: float = 20.0,
    batch_norm_momentum: float | None = None,
    trained_convolutions: int | None = None,
) -> keras.Model:
    """A backbone: images `[B, image_size, image_size, 3]` in [0, 1] -> features `[B, image_size / stride, same, C]`.

    Args:
        name: one of `backbone_names()`; see `registry` for how to add one.
        image_size: side of the square crops in pixels, a multiple of the record's `size_multiple`.
        weights: None (random), "pretrained", one of the names in the record's `weights` (of Keras's own networks:
            "imagenet", downloaded by Keras), or the path of a file that the record reads (of Keras's: a weights file
            with `include_top=False`).
        centered_stride: whether cell i looks at pixel stride * i + stride / 2 rather than stride * i.
        ghost_group_size: groups of `GhostBatchNormalization`; None: ordinary batch normalization, whose moving variance
            is the unbiased one too.
        kernel_norm: largest L2 norm of a convolution kernel per output channel (EfficientNetV2 only); inf: no limit.
        batch_norm_momentum: share of the moving statistics kept at each update; None: as the network has it,
            EfficientNetV2 0.9, ResNet 0.99, MobileNetV3 0.999 (meant for long trainings).
        trained_convolutions: how many of the last convolutions are trained; what stands before them stays fixed, see
            `freezing`. None: all.

    Raises:
        UserError: unknown name, unsuitable image size, weights that cannot be loaded, a network that cannot be adapted.
    """
    found = find_backbone(name)
    record = found if isinstance(found, Backbone) else _made(name, found, image_size)
    multiple = record.size_multiple
    if not isinstance(image_size, int) or image_size < multiple or image_size % multiple:
        raise UserError(f"The image size must be a positive multiple of {multiple} pixels, got {image_size}.")
    network = record.network(image_size) if weights is None else _with_weights(record, name, image_size, weights)
    trunk = adapt(
        network,
        symmetric=record.padding == "symmetric",
        centered_stride=centered_stride,
        ghost_group_size=ghost_group_size,
        batch_norm_momentum=batch_norm_momentum,
        kernel_norm=kernel_norm if record.constrained else math.inf,
        trained_convolutions=trained_convolutions,
    )
    if weights is not None or not isinstance(found, Backbone):
        trunk.set_weights(network.get_weights())
    stride = stride_of(trunk, image_size)
    image = keras.Input((image_size, image_size, 3), name="image")
    x = ImageScaling(record.scaling)(image)
    shift = 0 if record.cells_at is None else (stride // 2 if centered_stride else 0) - record.cells_at
    if shift:
        x = ShiftedImage(shift)(x)
    features = trunk(x)
    if trained_convolutions == 0:
        features = StopGradient()(features)
    return keras.Model(image, features, name=name.replace(":", "_"))


def stride_of(backbone: keras.Model, image_size: int | None = None) -> int:
    """Pixels of the image per cell of a backbone's feature map; UserError unless they are a whole number."""
    image_size = image_size or backbone.input_shape[1]
    shape = backbone.compute_output_shape((None, image_size, image_size, 3))
    if len(shape) != 4 or shape[1] != shape[2] or not shape[1] or image_size % shape[1]:
        raise UserError(
            f"The backbone {backbone.name} makes features of shape {list(shape[1:])} from crops of {image_size} px; "
            "expected a square map whose side divides that of the crop."
        )
    return image_size // shape[1]


def _made(name: str, function, image_size: int) -> Backbone:
    """The record that a user's function returns, or one around the model that it returns."""
    made = function(image_size)
    if isinstance(made, Backbone):
        return made
    if isinstance(made, keras.Model):
        return Backbone(network=lambda _: made, scaling=AS_IS)
    raise UserError(f"{name} returned {type(made).__name__}, expected a Backbone or a Keras model.")


def _with_weights(record: Backbone, name: str, image_size: int, weights: str | os.PathLike) -> keras.Model:
    """The record's network with the weights that are asked for."""
    sources = [make for key, make in record.weights.items() if str(weights) in (PRETRAINED, key)]
    missing = []
    try:
        for make in sources:
            try:
                return make(image_size)
            except WeightsMissing as error:
                missing.append(str(error))
        if missing:
            raise UserError(" ".join(missing))
        if record.read is not None and Path(weights).is_file():
            return record.read(Path(weights), image_size)
        network = record.network(image_size)
        network.load_weights(str(weights))
        return network
    except UserError:
        raise
    except Exception as error:  # Keras raises many types here: download, file format, shapes
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        names = f"one of its own ({', '.join((*record.weights, PRETRAINED))})" if record.weights else ""
        raise UserError(
            f"The weights {str(weights)!r} of backbone {name} could not be loaded ({reason}). Give none, "
            f"{names and names + ', '}or the path of a weights file of the network without its top."
        ) from error
