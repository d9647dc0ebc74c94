"""From heatmap logits to coordinates: soft-argmax, and the mapping of heatmap units to pixels and millimetres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from metrabs_acae.errors import UserError


@dataclass(frozen=True)
class CropGrid:
    """How the cells of the final feature map lie in the crop, and how large the crop's cube is in space.

    Attributes:
        image_size: side of the square crop, px.
        stride: output stride of the backbone, px.
        centered_stride: whether the receptive-field centres are symmetric in the crop (half a stride later).
        box_size_mm: side of the cube that the volumetric heatmap spans, mm.
    """

    image_size: int = 256
    stride: int = 32
    centered_stride: bool = True
    box_size_mm: float = 2200.0

    @property
    def mm_per_px(self) -> float:
        return self.box_size_mm / self.image_size

    @property
    def cells(self) -> dict:
        """Keyword arguments of the functions that ask where the cells lie in the crop."""
        return {"image_size": self.image_size, "stride": self.stride, "centered_stride": self.centered_stride}


def heatmap_entropy(logits, axis: int | Sequence[int]):
    """Entropy of the softmax over the named axes jointly, as a share of the greatest possible: [0, 1].

    0: all in one cell; 1: the same in every cell. With n cells it is H / log n, whatever the base of the logarithm.

    Args:
        logits, axis: as for `soft_argmax`.

    Returns:
        The shape of `logits` without the named axes.
    """
    logits = at_least_float32(logits)
    axes = [axis] if isinstance(axis, int) else list(axis)
    n_cells = math.prod(logits.shape[a] for a in axes)
    logits = logits - ops.stop_gradient(ops.max(logits, axis=axes, keepdims=True))
    unnormalized = ops.exp(logits)
    total = ops.sum(unnormalized, axis=axes)
    entropy = ops.log(total) - ops.sum(unnormalized * logits, axis=axes) / total
    return ops.clip(entropy / max(math.log(n_cells), 1e-12), 0, 1)


def soft_argmax(logits, axis: int | Sequence[int]):
    """Softmax over the named axes jointly, then the expectation of the coordinate along each of them.

    The n cells along an axis stand at n evenly spaced values from 0 to 1, both ends included.

    Args:
        logits: float tensor of any rank; half precision is computed in float32.
        axis: the axes to reduce.

    Returns:
        The shape of `logits` without the named axes, and a last axis with one coordinate in [0, 1] per named
        axis, in the order named. Example: [B, H, W, D, J] with axis (2, 1, 3) gives [B, J, 3] as (x, y, z).
    """
    logits = at_least_float32(logits)
    rank = len(logits.shape)
    axes = [a % rank for a in ([axis] if isinstance(axis, int) else axis)]
    if len(set(axes)) != len(axes):
        raise UserError(f"axis {tuple(axes)} names an axis twice.")
    first = min(axes)
    if sorted(axes) != list(range(first, first + len(axes))):
        others = [a for a in range(rank) if a not in axes]
        logits = ops.transpose(logits, [*axes, *others])
        axes, first = list(range(len(axes))), 0

    cells = tuple(logits.shape[first : first + len(axes)])
    if None in cells:
        raise UserError(f"soft_argmax needs fixed sizes along axis {tuple(axes)}, got {tuple(logits.shape)}.")
    shape = ops.shape(logits)
    before, after = shape[:first], shape[first + len(axes) :]
    logits = ops.reshape(logits, (_product(before), math.prod(cells), _product(after)))
    peak = ops.stop_gradient(ops.max(logits, axis=1, keepdims=True))
    unnormalized = ops.exp(logits - peak)
    # Whole cell indices are exact even where the hardware multiplies matrices with 10-bit mantissas (TF32).
    indices = np.indices(cells).reshape(len(cells), -1)
    weights = np.concatenate([indices[[a - first for a in axes]], np.ones_like(indices[:1])])
    moments = ops.matmul(ops.cast(weights, logits.dtype), unnormalized)  # [before, axes + 1, after]
    n_steps = np.array([max(cells[a - first] - 1, 1) for a in axes])[:, None]
    coords = moments[:, :-1] / moments[:, -1:] / ops.cast(n_steps, logits.dtype)
    return ops.reshape(ops.transpose(coords, (0, 2, 1)), (*before, *after, len(axes)))


def last_cell_px(image_size: int, stride: int) -> int:
    """Pixel position of the last cell of an uncentred feature map (224 for a 256 px crop at stride 32)."""
    return (image_size - 1) - (image_size - 1) % stride


def heatmap_to_image(coords, *, image_size: int, stride: int, centered_stride: bool):
    """Heatmap coordinates [..., 2 or more] in [0, 1] to crop pixels [..., 2] (the first two are x, y)."""
    offset = stride // 2 if centered_stride else 0
    return coords[..., :2] * last_cell_px(image_size, stride) + offset


def heatmap_to_metric(coords, *, image_size: int, stride: int, centered_stride: bool, box_size_mm: float):
    """Volumetric heatmap coordinates [..., 3] in [0, 1] to mm [..., 3] in a cube of side `box_size_mm`.

    The origin is the corner of the cube and carries no meaning: only differences between points do.
    """
    px = heatmap_to_image(coords, image_size=image_size, stride=stride, centered_stride=centered_stride)
    return ops.concatenate([px * (box_size_mm / image_size), coords[..., 2:] * box_size_mm], axis=-1)


def heatmap_to_25d(coords, *, image_size: int, stride: int, centered_stride: bool, box_size_mm: float):
    """Volumetric heatmap coordinates [..., 3] to (x px, y px, z mm) [..., 3]."""
    px = heatmap_to_image(coords, image_size=image_size, stride=stride, centered_stride=centered_stride)
    return ops.concatenate([px, coords[..., 2:] * box_size_mm], axis=-1)


def at_least_float32(x):
    """`x` as a tensor; float16 and bfloat16 become float32, float32 and float64 stay."""
    x = ops.convert_to_tensor(x)
    return x if keras.backend.standardize_dtype(x.dtype) in ("float32", "float64") else ops.cast(x, "float32")


def _product(sizes):
    """Product of sizes of which some may be unknown until run time; -1 lets reshape find out."""
    return -1 if any(not isinstance(n, int) for n in sizes) else math.prod(sizes)
