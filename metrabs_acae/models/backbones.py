"""Backbones: the classification networks of `keras.applications`, adapted for localization by one clone mechanism.

Every backbone takes RGB images in [0, 1] (the scaling its weights expect happens inside) and gives a feature map of
stride 32. Against the network as Keras ships it:

- Padding is symmetric and does not depend on the image size (Keras's "same" pads a strided convolution of an even-sized
  map on the right and bottom only), so cell i looks at pixel 32 i.
- With the centred stride, the padding of the last strided convolution is shifted by one pixel, i.e. by 16 pixels of the
  image: cell i looks at pixel 32 i + 16, and the cells are spread symmetrically over the image.
- Batch normalization can be replaced by ghost batch normalization, and its momentum set.
- The kernels of EfficientNetV2 are constrained in norm, except those of squeeze-and-excite, as the reference does.

Pooling and classifier are dropped; the last 1x1 convolution with normalization and activation stays where Keras's
headless model has it: EfficientNetV2 (1280 channels), MobileNetV3 (576 and 960). Stochastic depth is Keras's own:
block i of n is dropped with probability 0.2 i / n.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import applications, layers, ops

from metrabs_acae.errors import UserError
from metrabs_acae.layers.dropout import ExampleDropout
from metrabs_acae.layers.ghost_batch_norm import GhostBatchNormalization
from metrabs_acae.layers.kernel_norm import KernelNormLimit

OUTPUT_STRIDE = 32


@dataclass(frozen=True)
class _Scaling:
    """What the pretrained weights expect, from RGB in [0, 1]: (scale * x - mean) / std, channels reversed if `bgr`."""

    scale: float = 2.0
    mean: tuple[float, float, float] = (1.0, 1.0, 1.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False


_UNIT_RANGE = _Scaling()  # [-1, 1]
_STANDARDIZED = _Scaling(1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CAFFE = _Scaling(255.0, (103.939, 116.779, 123.68), bgr=True)


@dataclass(frozen=True)
class _Family:
    constructor: Callable
    scaling: _Scaling
    settings: tuple[tuple[str, object], ...] = ()
    constrained: bool = False


def _efficientnet(constructor, scaling=_UNIT_RANGE):
    return _Family(constructor, scaling, (("include_preprocessing", False),), constrained=True)


def _mobilenet(constructor, **settings):
    return _Family(constructor, _UNIT_RANGE, (("include_preprocessing", False), *settings.items()))


_BACKBONES = {
    "efficientnetv2-s": _efficientnet(applications.EfficientNetV2S),
    "efficientnetv2-m": _efficientnet(applications.EfficientNetV2M),
    "efficientnetv2-l": _efficientnet(applications.EfficientNetV2L),
    "efficientnetv2-b0": _efficientnet(applications.EfficientNetV2B0, _STANDARDIZED),
    "efficientnetv2-b1": _efficientnet(applications.EfficientNetV2B1, _STANDARDIZED),
    "efficientnetv2-b2": _efficientnet(applications.EfficientNetV2B2, _STANDARDIZED),
    "efficientnetv2-b3": _efficientnet(applications.EfficientNetV2B3, _STANDARDIZED),
    "mobilenetv3-small": _mobilenet(applications.MobileNetV3Small),
    "mobilenetv3-large": _mobilenet(applications.MobileNetV3Large),
    "mobilenetv3-small-mini": _mobilenet(applications.MobileNetV3Small, minimalistic=True),
    "mobilenetv3-large-mini": _mobilenet(applications.MobileNetV3Large, minimalistic=True),
    "resnet50": _Family(applications.ResNet50, _CAFFE),
    "resnet101": _Family(applications.ResNet101, _CAFFE),
    "resnet152": _Family(applications.ResNet152, _CAFFE),
    "resnet50v2": _Family(applications.ResNet50V2, _UNIT_RANGE),
    "resnet101v2": _Family(applications.ResNet101V2, _UNIT_RANGE),
    "resnet152v2": _Family(applications.ResNet152V2, _UNIT_RANGE),
}

BACKBONE_NAMES = tuple(_BACKBONES)


def build_backbone(
    name: str,
    image_size: int,
    *,
    weights: str | os.PathLike | None = None,
    centered_stride: bool = True,
    ghost_group_size: int | list[int] | None = None,
    kernel_norm: float = 20.0,
    batch_norm_momentum: float | None = None,
) -> keras.Model:
    """A backbone: images `[B, image_size, image_size, 3]` in [0, 1] -> features `[B, image_size / 32, same, channels]`.

    Args:
        name: one of `BACKBONE_NAMES`.
        image_size: side of the square crops in pixels, a multiple of 32.
        weights: None (random), "imagenet" (downloaded by Keras), or the path of a Keras weights file of the headless
            network (`include_top=False`).
        centered_stride: whether cell i looks at pixel 32 i + 16 rather than 32 i.
        ghost_group_size: groups of `GhostBatchNormalization`; None: ordinary batch normalization, whose moving variance
            is the unbiased one too.
        kernel_norm: largest L2 norm of a convolution kernel per output channel (EfficientNetV2 only); inf: no limit.
        batch_norm_momentum: share of the moving statistics kept at each update; None: as Keras has it, EfficientNetV2
            0.9, ResNet 0.99, MobileNetV3 0.999 (meant for long trainings).

    Raises:
        UserError: unknown name, unsuitable image size, weights that cannot be loaded.
    """
    if name not in _BACKBONES:
        raise UserError(f"There is no backbone {name!r}: choose one of {', '.join(_BACKBONES)}.")
    if not isinstance(image_size, int) or image_size < OUTPUT_STRIDE or image_size % OUTPUT_STRIDE:
        raise UserError(f"The image size must be a positive multiple of {OUTPUT_STRIDE} pixels, got {image_size}.")
    family = _BACKBONES[name]
    original = _keras_application(family, name, image_size, weights)

    def clone(layer):
        if isinstance(layer, layers.BatchNormalization):
            return _clone_batch_norm(layer, ghost_group_size, batch_norm_momentum)
        if isinstance(layer, layers.Dropout):
            return ExampleDropout.from_config(layer.get_config())
        if isinstance(layer, layers.ZeroPadding2D):  # the strided layer behind it pads for itself
            return layers.Identity(name=layer.name)
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.MaxPooling2D)):
            is_last = tuple(layer.output.shape[1:3]) == tuple(original.output.shape[1:3])
            norm = kernel_norm if family.constrained and "_se_" not in layer.name else float("inf")
            return _clone_spatial(layer, shift=int(centered_stride and is_last), kernel_norm=norm)
        return layer.__class__.from_config(layer.get_config())

    trunk = keras.models.clone_model(original, clone_function=clone)
    if weights is not None:
        trunk.set_weights(original.get_weights())
    image = keras.Input((image_size, image_size, 3), name="image")
    return keras.Model(image, trunk(ImageScaling(family.scaling)(image)), name=name)


@keras.saving.register_keras_serializable(package="metrabs_acae")
class ImageScaling(layers.Layer):
    """RGB in [0, 1] -> the range and channel order that pretrained weights expect."""

    def __init__(self, scaling: _Scaling | dict, **kwargs):
        super().__init__(**kwargs)
        self.scaling = scaling if isinstance(scaling, _Scaling) else _Scaling(**scaling)

    def call(self, image):
        s = self.scaling
        if s.bgr:
            image = image[..., ::-1]
        scale = [s.scale / std for std in s.std]
        offset = [-m / std for m, std in zip(s.mean, s.std, strict=True)]
        if len(set(scale)) == len(set(offset)) == 1:  # numbers are faster than three-vectors on CPUs
            return image * scale[0] + offset[0]
        return image * ops.convert_to_tensor(scale, dtype=image.dtype) + ops.convert_to_tensor(offset, image.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "scaling": vars(self.scaling)}


class _OwnPadding:
    """Lets a strided layer pad its input with zeros itself: `(before, after)` on both axes. -1 cuts off one row."""

    def __init__(self, *, own_padding, **kwargs):
        super().__init__(**{**kwargs, "padding": "valid"})
        self.own_padding = tuple(own_padding)

    def call(self, inputs):
        before, after = self.own_padding
        cut = max(0, -before)
        pads = (max(0, before), after)
        if cut:  # not a slice of everything, whose gradient would be a copy
            inputs = inputs[:, cut:, cut:]
        return super().call(ops.pad(inputs, [(0, 0), pads, pads, (0, 0)]))

    def compute_output_shape(self, input_shape):
        height, width = (None if n is None else n + sum(self.own_padding) for n in input_shape[1:3])
        return super().compute_output_shape((input_shape[0], height, width, input_shape[3]))

    def get_config(self):
        return {**super().get_config(), "own_padding": self.own_padding}


@keras.saving.register_keras_serializable(package="metrabs_acae")
class PaddedConv2D(_OwnPadding, layers.Conv2D):
    """Conv2D with its own zero padding."""


@keras.saving.register_keras_serializable(package="metrabs_acae")
class PaddedDepthwiseConv2D(_OwnPadding, layers.DepthwiseConv2D):
    """DepthwiseConv2D with its own zero padding."""


@keras.saving.register_keras_serializable(package="metrabs_acae")
class PaddedMaxPooling2D(_OwnPadding, layers.MaxPooling2D):
    """MaxPooling2D with its own zero padding."""


_PADDED = {
    layers.Conv2D: PaddedConv2D,
    layers.DepthwiseConv2D: PaddedDepthwiseConv2D,
    layers.MaxPooling2D: PaddedMaxPooling2D,
}


def _clone_spatial(layer, *, shift, kernel_norm):
    """A convolution or pooling with symmetric padding; `shift`: rows of padding moved from top/left to bottom/right.

    Maps are even-sized before every stride of 2, so a kernel of size k reaches k - 2 rows of padding in all.
    """
    config = layer.get_config()
    if kernel_norm != float("inf"):
        if isinstance(layer, layers.DepthwiseConv2D):
            config["depthwise_constraint"] = KernelNormLimit(kernel_norm, axis=(0, 1))
        elif isinstance(layer, layers.Conv2D):
            config["kernel_constraint"] = KernelNormLimit(kernel_norm, axis=(0, 1, 2))
    kernel_size = (layer.pool_size if isinstance(layer, layers.MaxPooling2D) else layer.kernel_size)[0]
    if layer.strides[0] == 1:
        return layer.__class__.from_config({**config, "padding": "same"})
    before = (kernel_size - 1) // 2 - shift
    after = max(0, kernel_size - 2 - before)
    if before == after == 0:
        return layer.__class__.from_config({**config, "padding": "valid"})
    return _PADDED[layer.__class__].from_config({**config, "own_padding": (before, after)})


def _clone_batch_norm(layer, group_size, momentum):
    config = layer.get_config()
    for unused in ("renorm", "renorm_clipping", "renorm_momentum", "synchronized"):
        config.pop(unused, None)
    if momentum is not None:
        config["momentum"] = momentum
    return GhostBatchNormalization.from_config({**config, "group_size": group_size})


def _keras_application(family, name, image_size, weights):
    settings = dict(family.settings, include_top=False, input_shape=(image_size, image_size, 3))
    if weights is None:
        return family.constructor(weights=None, **settings)
    try:
        return family.constructor(weights=str(weights), **settings)
    except Exception as error:  # Keras raises many types here: download, file format, shapes
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"The weights {str(weights)!r} of backbone {name} could not be loaded ({reason}). Give None, 'imagenet' "
            f"(needs a connection, once) or the path of a Keras weights file of the network without its top."
        ) from error
