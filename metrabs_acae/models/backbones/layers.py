"""Layers that the adapted backbones are made of, besides Keras's own."""

from __future__ import annotations

import keras
from keras import layers, ops

from metrabs_acae.models.backbones.record import Scaling

_register = keras.saving.register_keras_serializable(package="metrabs_acae")


@_register
class ImageScaling(layers.Layer):
    """RGB in [0, 1] -> the range and channel order that a network expects."""

    def __init__(self, scaling: Scaling | dict, **kwargs):
        super().__init__(**kwargs)
        self.scaling = scaling if isinstance(scaling, Scaling) else Scaling(**scaling)

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


@_register
class ShiftedImage(layers.Layer):
    """Moves images up and left by `shift` pixels (down and right if negative); zeros come in at the other side.

    The network behind it then looks `shift` pixels further to the right and down.
    """

    def __init__(self, shift: int, **kwargs):
        super().__init__(**kwargs)
        self.shift = shift

    def call(self, image):
        s = self.shift
        size = [n - abs(s) for n in image.shape[1:3]]
        kept = image[:, s:, s:] if s > 0 else image[:, : size[0], : size[1]]
        pads = (max(0, -s), max(0, s))
        return ops.pad(kept, [(0, 0), pads, pads, (0, 0)])

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "shift": self.shift}


@_register
class StopGradient(layers.Layer):
    """Lets nothing be learned by what comes before it."""

    def call(self, x):
        return ops.stop_gradient(x)

    def compute_output_shape(self, input_shape):
        return input_shape


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


@_register
class PaddedConv2D(_OwnPadding, layers.Conv2D):
    """Conv2D with its own zero padding."""


@_register
class PaddedDepthwiseConv2D(_OwnPadding, layers.DepthwiseConv2D):
    """DepthwiseConv2D with its own zero padding."""


@_register
class PaddedMaxPooling2D(_OwnPadding, layers.MaxPooling2D):
    """MaxPooling2D with its own zero padding."""


PADDED = {
    layers.Conv2D: PaddedConv2D,
    layers.DepthwiseConv2D: PaddedDepthwiseConv2D,
    layers.MaxPooling2D: PaddedMaxPooling2D,
}
"""Layers whose padding can be changed -> the same with own padding."""
