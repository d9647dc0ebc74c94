"""Weights for `lite_networks` from the files that others publish, and from the project's own half-precision ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import write_npz

N_WORLD_LANDMARKS = 39


def fill(network: keras.Model, path: str | Path) -> keras.Model:
    """Gives a network of `lite_networks` the weights of a file, which is read by its suffix; returns it.

    - .tflite: a pose landmark network of MediaPipe; its part that is the network.
    - .pth: a state dict of EfficientNet-Lite in torch's old format.
    - .pb: a frozen graph of TensorFlow 1 with a MobileNetV2.
    - .npz: what `save_npz` wrote. - Anything else: a Keras weights file.

    Raises:
        UserError: the file cannot be read, or is of another network.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        return _fill_from_keras(network, path)
    arrays = list(_READERS[path.suffix](path, network))
    wanted = [tuple(weight.shape) for weight in network.weights]
    if [array.shape for array in arrays] != wanted:
        raise UserError(f"The weights of {path} are not those of {network.name}: number or shapes of arrays differ.")
    network.set_weights(arrays)
    return network


def save_npz(network: keras.Model, path: str | Path) -> None:
    """Writes the weights in half precision; the pose landmark networks are published so, and lose nothing."""
    write_npz(path, {w.path: np.asarray(w).astype(np.float16) for w in network.weights})


def _fill_from_keras(network, path):
    try:
        network.load_weights(path)
    except Exception as error:  # Keras raises many types here
        raise UserError(f"{path} is no weights file of {network.name} ({type(error).__name__}: {error}).") from None
    return network


def _from_npz(path: Path, network: keras.Model) -> Iterator[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            yield from [arrays[weight.path].astype(np.float32) for weight in network.weights]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} holds no weights of {network.name} ({error}).") from None


def _from_tflite(path: Path, network: keras.Model) -> Iterator[np.ndarray]:
    """Up to the one convolution that is shaped as the network's last, or that follows its coarsest map."""
    from metrabs_acae.models.backbones.tflite import TfliteFile, convolution_weights

    file = TfliteFile(path)
    kernels = [w for w in network.weights if w.name == "kernel"]
    last = kernels[-1].shape
    shape = (last[-1], *last[:-1])
    if kernels[-1].path.startswith("coarser"):
        shape = (3 * N_WORLD_LANDMARKS, 2, 2, last[-1])
    ends = [o.outputs[0] for o in file.operators if o.kind == "CONV_2D" and file.shape(o.inputs[1]) == shape]
    if len(ends) != 1:
        raise UserError(f"{path} is not the file of {network.name}: it has {len(ends)} layers of shape {shape}.")
    for kernel, bias in convolution_weights(file, ends[0])[: len(network.weights) // 2]:
        yield from (kernel, bias)


def _from_torch(path: Path, _) -> Iterator[np.ndarray]:
    from metrabs_acae.models.backbones.torch_file import read_torch_weights

    for name, array in read_torch_weights(path).items():
        if array.ndim == 4:  # [out, in, h, w], and [channels, 1, h, w] where depthwise
            yield array.transpose((2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0))
        elif array.ndim == 1 and not name.startswith("_fc."):
            yield array


def _from_frozen_graph(path: Path, _) -> Iterator[np.ndarray]:
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except Exception as error:
        raise UserError(f"{path} is no frozen TensorFlow graph ({type(error).__name__}).") from None
    for node in graph.node:
        scope, _, name = node.name.rpartition("MobilenetV2/")
        if node.op == "Const" and scope and name.startswith(("Conv/", "expanded_conv", "Conv_1/")):
            array = tf.make_ndarray(node.attr["value"].tensor)
            if array.dtype == np.float32 and array.ndim in (1, 4):
                yield array


_READERS = {".npz": _from_npz, ".tflite": _from_tflite, ".pth": _from_torch, ".pb": _from_frozen_graph}
