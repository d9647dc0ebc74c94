"""From the tables of `lite_networks` to Keras models."""

from __future__ import annotations

import keras
from keras import layers

from metrabs_acae.models.backbones.lite_networks import LiteNetwork

BATCH_NORM_EPSILON = 1e-3


def build_lite_network(network: LiteNetwork, image_size: int, name: str) -> keras.Model:
    """A trainable model: `[B, image_size, image_size, 3]` -> features of stride 32; its weights are random."""
    image = keras.Input((image_size, image_size, 3), name="image")
    x = image
    if any(network.border):
        x = layers.ZeroPadding2D((network.border, network.border), name="border")(x)
    x = _convolution(x, network, "stem", network.stem, kernel=3, stride=2)
    for number, block in enumerate(network.blocks):
        dropped = network.stochastic_depth * number / len(network.blocks)
        x = _bottleneck(x, network, f"block{number:02}", block, dropped)
    for number, part in enumerate(network.head):
        stage = f"head{number}"
        x = _depthwise(x, network, stage, 3) if part == "depthwise" else _convolution(x, network, stage, part)
    if network.coarser:
        x = layers.Concatenate(name="all_maps")([x, *_coarser(x, network)])
    if any(network.cells_cut_off):
        x = layers.Cropping2D((network.cells_cut_off, network.cells_cut_off), name="inside")(x)
    return keras.Model(image, x, name=name)


def _coarser(x, network):
    """The maps at further halvings, as fine as `x` again; all have the channels of `x`."""
    size, channels = x.shape[1], x.shape[-1]
    for level, n_blocks in enumerate(network.coarser):
        for number in range(n_blocks + 1):
            name, stride = f"coarser{level}_{number}", 1 if number else 2
            y = layers.DepthwiseConv2D(3, stride, "same", activation="relu6", name=f"{name}_depthwise")(x)
            y = layers.Conv2D(channels, 1, name=f"{name}_project")(y)
            if stride > 1:
                x = layers.MaxPooling2D(padding="same", name=f"{name}_pool")(x)
            x = layers.ReLU(6.0, name=f"{name}_relu6")(layers.Add(name=f"{name}_add")([x, y]))
        repeated = layers.UpSampling2D(2 ** (level + 1), name=f"coarser{level}_repeated")(x)
        surplus = repeated.shape[1] - size
        yield layers.Cropping2D(((0, surplus), (0, surplus)))(repeated) if surplus else repeated


def _bottleneck(x, network, name, block, dropped):
    y = x if block.expanded is None else _convolution(x, network, f"{name}_expand", block.expanded)
    y = _depthwise(y, network, f"{name}_depthwise", block.kernel, block.stride)
    y = _convolution(y, network, f"{name}_project", block.out, active=False)
    if block.stride > 1 or block.expanded is None or x.shape[-1] != block.out:
        return y
    if dropped:
        y = layers.Dropout(dropped, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(y)
    return layers.Add(name=f"{name}_add")([y, x])


def _convolution(x, network, name, channels, *, kernel=1, stride=1, active=True):
    return _spatial(x, network, name, layers.Conv2D, {"filters": channels}, kernel, stride, active)


def _depthwise(x, network, name, kernel, stride=1):
    return _spatial(x, network, name, layers.DepthwiseConv2D, {}, kernel, stride, active=True)


def _spatial(x, network, name, kind, settings, kernel, stride, active):
    """A convolution with the source's padding, then what the source has of normalization and ReLU6."""
    padding = "same"
    if stride > 1:
        before = kernel // 2 if network.symmetric else (kernel - 2) // 2
        after = kernel // 2 if network.symmetric else kernel - 2 - before
        x = layers.ZeroPadding2D(((before, after), (before, after)), name=f"{name}_pad")(x)
        padding = "valid"
    settings = {**settings, "kernel_size": kernel, "strides": stride, "padding": padding, "name": name}
    activation = "relu6" if active else None
    if network.folded:
        return kind(**settings, activation=activation)(x)
    x = kind(**settings, use_bias=False)(x)
    x = layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu6")(x) if active else x
