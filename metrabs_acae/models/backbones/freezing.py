"""Keeping the first part of a backbone fixed: its weights, its statistics; no gradient, no optimizer state."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
from keras import layers

from metrabs_acae.errors import UserError
from metrabs_acae.models.backbones.layers import StopGradient

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)


class Frozen:
    """What stands before the last `n_trained` convolutions of a network, and how a clone of it keeps that fixed.

    Convolutions count in the order in which Keras lists layers, i.e. by their distance from the end; a model inside the
    network is frozen whole or not at all. Frozen batch normalization uses its moving statistics, also in training, and
    frozen dropout drops nothing.

    Args:
        network: what is to be cloned.
        n_trained: None: all.
    """

    def __init__(self, network: keras.Model, n_trained: int | None):
        self._frozen: set[int] = set()  # ids of layers of `network`, those inside of models included
        self._clones: set[int] = set()  # ids of their clones
        self._stopped: dict[int, keras.KerasTensor] = {}
        if n_trained is None:
            return
        total = sum(map(_n_convolutions, network.layers))
        if n_trained >= total:
            raise UserError(f"The backbone has {total} convolutions: the number of trained ones must be smaller.")
        to_freeze = total - n_trained
        for layer in network.layers:
            if (to_freeze := to_freeze - _n_convolutions(layer)) < 0:
                break
            self._frozen |= {id(inner) for inner in _with_layers_inside(layer)}

    def cloning(self, clone: Callable) -> Callable:
        """A clone function that also freezes what is to be frozen."""

        def clone_frozen(layer):
            if id(layer) not in self._frozen:
                return clone(layer)
            copy = layers.Identity(name=layer.name) if isinstance(layer, layers.Dropout) else clone(layer)
            copy.trainable = False
            self._clones.add(id(copy))
            return copy

        return clone_frozen if self._frozen else clone

    @property
    def call_function(self) -> Callable | None:
        """Calls a cloned layer on its inputs, of which those that come from frozen ones pass no gradient back."""

        def call(layer, *args, **kwargs):
            if id(layer) not in self._clones:
                args, kwargs = keras.tree.map_structure(self._without_gradient, (args, kwargs))
            return layer(*args, **kwargs)

        return call if self._frozen else None

    def _without_gradient(self, tensor):
        source = getattr(tensor, "_keras_history", None)
        if source is None or id(source.operation) not in self._clones:
            return tensor
        if id(tensor) not in self._stopped:
            self._stopped[id(tensor)] = StopGradient(name=f"{source.operation.name}_fixed")(tensor)
        return self._stopped[id(tensor)]


def _with_layers_inside(layer) -> list:
    return list(layer._flatten_layers()) if isinstance(layer, layers.Layer) else [layer]


def _n_convolutions(layer) -> int:
    return sum(isinstance(inner, _CONVOLUTIONS) for inner in _with_layers_inside(layer))


def _in_order(model: keras.Model) -> list:
    return [inner for x in model.layers for inner in (_in_order(x) if isinstance(x, keras.Model) else [x])]


def describe_frozen(backbone: keras.Model) -> str:
    """What is kept fixed, in one sentence for the log; empty where everything is trained."""
    convolutions = [layer for layer in _in_order(backbone) if isinstance(layer, _CONVOLUTIONS)]
    trained = [layer.name for layer in convolutions if layer.trainable]
    if len(trained) == len(convolutions):
        return ""
    n_weights, n_trained = (
        sum(math.prod(w.shape) for w in weights) / 1e6 for weights in (backbone.weights, backbone.trainable_weights)
    )
    from_there = f"from {trained[0]} on" if trained else "none"
    return (
        f"The backbone's first {len(convolutions) - len(trained)} of {len(convolutions)} convolutions stay fixed; "
        f"trained: {from_there}, {n_trained:.2f} of {n_weights:.2f} million weights."
    )
