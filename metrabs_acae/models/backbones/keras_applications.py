"""The backbones that Keras ships.

Pooling and classifier are dropped; the last 1x1 convolution with normalization and activation stays where Keras's
headless model has it: EfficientNetV2 (1280 channels), MobileNetV3 (576 and 960). Stochastic depth is Keras's own:
block i of n is dropped with probability 0.2 i / n.
"""

from __future__ import annotations

from metrabs_acae.models.backbones.record import CAFFE, STANDARDIZED, UNIT_RANGE, Backbone, Scaling


def keras_application(constructor: str, scaling: Scaling, *, constrained: bool = False, **settings) -> Backbone:
    """The record of `keras.applications.<constructor>`, which is called with `settings`."""

    def network(image_size: int, weights: str | None = None):
        from keras import applications

        make = getattr(applications, constructor)
        return make(include_top=False, weights=weights, input_shape=(image_size, image_size, 3), **settings)

    return Backbone(
        network=network,
        scaling=scaling,
        weights={"imagenet": lambda image_size: network(image_size, "imagenet")},
        constrained=constrained,
    )


def _efficientnet(constructor: str, scaling: Scaling = UNIT_RANGE) -> Backbone:
    return keras_application(constructor, scaling, constrained=True, include_preprocessing=False)


def _mobilenet(constructor: str, **settings) -> Backbone:
    return keras_application(constructor, UNIT_RANGE, include_preprocessing=False, **settings)


BACKBONES = {
    "efficientnetv2-s": _efficientnet("EfficientNetV2S"),
    "efficientnetv2-m": _efficientnet("EfficientNetV2M"),
    "efficientnetv2-l": _efficientnet("EfficientNetV2L"),
    "efficientnetv2-b0": _efficientnet("EfficientNetV2B0", STANDARDIZED),
    "efficientnetv2-b1": _efficientnet("EfficientNetV2B1", STANDARDIZED),
    "efficientnetv2-b2": _efficientnet("EfficientNetV2B2", STANDARDIZED),
    "efficientnetv2-b3": _efficientnet("EfficientNetV2B3", STANDARDIZED),
    "mobilenetv3-small": _mobilenet("MobileNetV3Small"),
    "mobilenetv3-large": _mobilenet("MobileNetV3Large"),
    "mobilenetv3-small-mini": _mobilenet("MobileNetV3Small", minimalistic=True),
    "mobilenetv3-large-mini": _mobilenet("MobileNetV3Large", minimalistic=True),
    "resnet50": keras_application("ResNet50", CAFFE),
    "resnet101": keras_application("ResNet101", CAFFE),
    "resnet152": keras_application("ResNet152", CAFFE),
    "resnet50v2": keras_application("ResNet50V2", UNIT_RANGE),
    "resnet101v2": keras_application("ResNet101V2", UNIT_RANGE),
    "resnet152v2": keras_application("ResNet152V2", UNIT_RANGE),
}
