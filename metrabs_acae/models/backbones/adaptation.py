"""How a classification network becomes a trunk for localization: one clone that changes layer by layer.

- Padding "symmetric" does not depend on the image size (Keras's "same" pads a strided convolution of an even-sized map
  on the right and bottom only), so cell i looks at pixel stride * i. With the centred stride, the padding of the last
  strided layers is shifted by one row, i.e. by half a stride of the image: cell i looks at stride * i + stride / 2.
- Batch normalization becomes ghost batch normalization, dropout draws the same on any number of devices.
- Kernels are constrained in norm, except those of squeeze-and-excite, where the reference does.
- Layers that are kept fixed are not trainable, do not drop anything, and pass no gradient on.

What cannot be changed so is refused, not passed over.
"""

from __future__ import annotations

import math

import keras
from keras import layers

from metrabs_acae.errors import UserError
from metrabs_acae.layers.dropout import ExampleDropout
from metrabs_acae.layers.ghost_batch_norm import GhostBatchNormalization
from metrabs_acae.layers.kernel_norm import KernelNormLimit
from metrabs_acae.models.backbones.freezing import Frozen
from metrabs_acae.models.backbones.layers import PADDED

_CHANGES_NO_POSITIONS = (
    layers.ZeroPadding2D,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.Reshape,
    keras.Model,  # its layers are looked at one by one
)


def adapt(
    network: keras.Model,
    *,
    symmetric: bool,
    centered_stride: bool,
    ghost_group_size: int | list[int] | None,
    batch_norm_momentum: float | None,
    kernel_norm: float,
    trained_convolutions: int | None,
) -> keras.Model:
    """A changed copy of `network` with weights of its own, in the same order; see this module and `build_backbone`.

    Raises:
        UserError: a layer that shrinks the map in a way that is unknown here; no last stride to shift; batch
            normalization that could not be replaced.
    """
    if isinstance(network, keras.Sequential):
        network = keras.Model(network.inputs, network.outputs[0], name=network.name)
    if not getattr(network, "inputs", None):  # a subclass of keras.Model with a call of its own
        raise UserError(f"The backbone {network.name} must be a functional or sequential Keras model, to be adapted.")
    frozen = Frozen(network, trained_convolutions)
    last_map = tuple(network.output.shape[1:3])
    n_shifted = 0

    def clone(layer):
        nonlocal n_shifted
        if isinstance(layer, layers.BatchNormalization):
            return _ghost_batch_norm(layer, ghost_group_size, batch_norm_momentum)
        if isinstance(layer, layers.Dropout):
            return ExampleDropout.from_config(layer.get_config())
        if not isinstance(layer, layers.Layer):  # an operation of keras.ops
            return layer.__class__.from_config(layer.get_config())
        config = layer.get_config()
        if kernel_norm != math.inf and "_se_" not in layer.name:
            config |= _norm_constraint(layer, kernel_norm)
        if not symmetric:
            return layer.__class__.from_config(config)
        if isinstance(layer, layers.ZeroPadding2D):  # the strided layer behind it pads for itself
            return layers.Identity(name=layer.name)
        if layer.__class__ not in PADDED:
            _require_no_stride(layer)
            return layer.__class__.from_config(config)
        shift = int(centered_stride and layer.strides[0] > 1 and tuple(layer.output.shape[1:3]) == last_map)
        n_shifted += shift
        return _symmetric(layer, config, shift)

    trunk = keras.models.clone_model(
        network, clone_function=frozen.cloning(clone), call_function=frozen.call_function, recursive=True
    )
    if symmetric and centered_stride and not n_shifted:
        raise UserError(
            f"The backbone {network.name} has no strided layer that makes its last map, so that its stride cannot be "
            "centred: turn the centred stride off, or describe it with padding 'own'."
        )
    if tuple(trunk.output.shape) != tuple(network.output.shape):
        raise UserError(
            f"With symmetric padding the map of {network.name} has shape {trunk.output.shape[1:]} instead of "
            f"{network.output.shape[1:]}: describe it with padding 'own'."
        )
    _require_ghosts_only(trunk)
    return trunk


def _require_ghosts_only(trunk) -> None:
    """UserError if any batch normalization is left that is not ghost batch normalization, of whatever class."""
    replaced = set()
    for layer in trunk._flatten_layers():
        if isinstance(layer, GhostBatchNormalization):
            replaced |= {id(weight) for weight in layer.weights}
    left = [w.path for w in trunk.weights if w.name.startswith(("moving_", "running_")) and id(w) not in replaced]
    if left:
        raise UserError(
            f"The backbone {trunk.name} keeps the statistics {left[0]} in a layer that is no "
            "keras.layers.BatchNormalization, so that ghost batch normalization cannot replace it: use that class, in "
            "functional or sequential models only."
        )


def _symmetric(layer, config: dict, shift: int):
    """A convolution or pooling with symmetric padding; `shift`: rows of padding moved from top/left to bottom/right.

    Maps are even-sized before every stride of 2, so a kernel of size k reaches k - 2 rows of padding in all.
    """
    kernel_size = (layer.pool_size if isinstance(layer, layers.MaxPooling2D) else layer.kernel_size)[0]
    if layer.strides[0] == 1:
        return layer.__class__.from_config({**config, "padding": "same"})
    before = (kernel_size - 1) // 2 - shift
    after = max(0, kernel_size - 2 - before)
    if before == after == 0:
        return layer.__class__.from_config({**config, "padding": "valid"})
    return PADDED[layer.__class__].from_config({**config, "own_padding": (before, after)})


def _norm_constraint(layer, kernel_norm: float) -> dict:
    if isinstance(layer, layers.DepthwiseConv2D):
        return {"depthwise_constraint": KernelNormLimit(kernel_norm, axis=(0, 1))}
    if isinstance(layer, layers.Conv2D):
        return {"kernel_constraint": KernelNormLimit(kernel_norm, axis=(0, 1, 2))}
    return {}


def _require_no_stride(layer) -> None:
    """UserError if a layer that is unknown here changes the size of a map."""
    before, after = getattr(layer, "input", None), getattr(layer, "output", None)
    if isinstance(layer, _CHANGES_NO_POSITIONS) or isinstance(before, list) or isinstance(after, list):
        return
    maps = [t.shape[1:3] for t in (before, after) if t is not None and len(t.shape) == 4]
    if len(maps) == 2 and tuple(maps[0]) != tuple(maps[1]):
        known = ", ".join(c.__name__ for c in PADDED)
        raise UserError(
            f"The layer {layer.name} ({type(layer).__name__}) changes the size of the map, but only {known} can be "
            "padded symmetrically: describe the backbone with padding 'own'."
        )


def _ghost_batch_norm(layer, group_size, momentum) -> GhostBatchNormalization:
    known = set(GhostBatchNormalization().get_config())
    config = {name: value for name, value in layer.get_config().items() if name in known}
    if momentum is not None:
        config["momentum"] = momentum
    return GhostBatchNormalization.from_config({**config, "group_size": group_size})
