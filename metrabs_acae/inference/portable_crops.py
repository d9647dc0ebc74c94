"""Crops rendered from one picture as a graph: what `warping.render_crops` does, with one sample a crop pixel.

Of the picture only the part that is seen is made smaller.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from metrabs_acae.inference.graph import Graph, Value
from metrabs_acae.numpy_runtime import lens
from metrabs_acae.numpy_runtime.resampling import DISPLAY_GAMMA, N_LEVELS, OUTSIDE

MARGIN_PX = 8
"""By which the part that is made smaller is larger than what is seen: two pixels of the smallest level."""
_COARSEST = 2 ** (N_LEVELS - 1)


class Crops(NamedTuple):
    """How the crops are taken: N people, A crops each.

    Attributes:
        rotation: 3 rows of 3 entries [N, A]: from the picture's camera frame to the crop's.
        scale: [N, A] crop px per px of the picture.
        gammas, mirrored: [A] exponents of the display values; bool.
    """

    rotation: list[list[Value]]
    scale: Value
    gammas: Value
    mirrored: Value


def render_crops(g: Graph, image: Value, size, intrinsics, distortion, crops: Crops, side: int, offset: float) -> Value:
    """The crops [C, S, S, 3], as of `warping.render_crops`."""
    width, height = size
    scale = crops.scale.reshape(-1)
    levels = (-scale.unary("Log") / math.log(2)).unary("Floor")
    levels = g.minimum(g.maximum(levels, 0.0), N_LEVELS - 1.0)
    levels = g.where(g.minimum(width, height) < 4, levels * 0.0, levels).cast("int32")[:, None]

    x, y = _image_coords(g, intrinsics, distortion, crops, side, offset)
    full = _bilinear(g, image.reshape(-1, 3), *(s.cast("int32") for s in size), x, y, None, lambda p: _linear(p))
    reduced = _from_reduced(g, image, size, x, y, levels)
    linear = g.where(levels[:, :, None].equals(0), full, reduced).reshape(-1, side, side, 3)
    gammas = (crops.scale * 0.0 + crops.gammas).reshape(-1)[:, None, None, None]
    return _power(linear, gammas / DISPLAY_GAMMA)


def _power(base: Value, exponent) -> Value:
    return (base.unary("Log") * exponent).unary("Exp")


def _linear(pixels: Value) -> Value:
    """uint8 display values to linear intensities in 0..1."""
    return _power(pixels.cast("float32") / 255.0, DISPLAY_GAMMA)


def _image_coords(g: Graph, intrinsics, distortion, crops: Crops, side: int, offset: float) -> tuple[Value, Value]:
    """Where the crops' pixels are in the picture, px: [C, P] each; `OUTSIDE` if behind the camera."""
    center = side / 2 + offset
    a, b, c, d = inverse_2x2(intrinsics)
    a, b, c, d = (entry / crops.scale for entry in (a, b, c, d))
    shift_x, shift_y = -(a + b) * center, -(c + d) * center
    pixels = np.arange(side, dtype=np.float32)
    rays = []
    for i in range(3):
        r0, r1, r2 = (row[i] for row in crops.rotation)
        entries = (r0 * a + r1 * c, r0 * b + r1 * d, r0 * shift_x + r1 * shift_y + r2)
        of_x, of_y, rest = (e.reshape(-1, 1, 1) for e in entries)
        rays.append(of_x * pixels + (of_y * pixels[:, np.newaxis] + rest))
    is_ahead = rays[2] > 1e-9
    inverse_depth = g.where(is_ahead, 1.0 / g.where(is_ahead, rays[2], 1.0), 0.0)
    u, v = lens.distort(rays[0] * inverse_depth, rays[1] * inverse_depth, [distortion[i] for i in range(12)])
    found = (intrinsics[i, 0] * u + (intrinsics[i, 1] * v + intrinsics[i, 2]) for i in range(2))
    x, y = (g.where(is_ahead & (abs(f) < float("inf")), f, OUTSIDE).reshape(-1, side * side) for f in found)
    return x, y


def _from_reduced(g: Graph, image: Value, size, x: Value, y: Value, levels: Value) -> Value:
    """Samples [C, P, 3] at (x, y) px of the picture for the crops whose level [C, 1] is above zero."""
    is_reduced = levels > 0
    left, right = _range_seen(g, g.where(is_reduced, x, 0.0), size[0])
    top, bottom = _range_seen(g, g.where(is_reduced, y, 0.0), size[1])
    rows = image.reshape(image.shape[0], -1)[top:bottom, left * 3 : right * 3]  # whole rows are copied faster
    full_size = bottom - top, right - left
    half = _halve(g, _linear(_even(g, rows, full_size)), full_size)
    half_size = [(n + 1) // 2 for n in full_size]
    height, width = even = [_floor_to_even(g, n) for n in half_size]
    quarter = _halve(g, _even(g, half[0:height, 0 : width * 3], even), even)
    quarter_size = [(n + 1) // 2 for n in even]
    # For the crops of level 0 a picture of one black pixel.
    flat = g.concat([np.zeros((1, 3), np.float32), half.reshape(-1, 3), quarter.reshape(-1, 3)], 0)
    one = g.constant(1, "int64")
    heights, widths = (g.stack([one, *sizes]).cast("int32") for sizes in zip(half_size, quarter_size, strict=True))
    firsts = g.stack([0, 1, heights[1] * widths[1] + 1])
    height, width, first, reduction = (
        g.gather(of_level, levels) for of_level in (heights, widths, firsts, g.constant([1.0, 2.0, 4.0]))
    )
    x, y = ((c - (start.cast("float32") + (reduction - 1.0) / 2)) / reduction for c, start in ((x, left), (y, top)))
    return _bilinear(g, flat, width, height, x, y, first, lambda p: p)


def _range_seen(g: Graph, coords: Value, size: Value) -> tuple[Value, Value]:
    """First pixel and end, on an axis of `size` px, of what is seen at `coords`, in whole pixels of all levels.

    At the far edge of the picture perhaps of the first two only.
    """
    coords = g.minimum(g.maximum(coords, 0.0), (size - 1).cast("float32"))
    first = g.maximum(coords.reduce("Min").cast("int64") - MARGIN_PX, 0) // _COARSEST * _COARSEST
    end = (coords.reduce("Max").cast("int64") + (MARGIN_PX + _COARSEST)) // _COARSEST * _COARSEST
    # At least one pixel of the smallest level, should all that is seen lie in the last rows.
    last = g.maximum(size // _COARSEST * _COARSEST - _COARSEST, 0)
    return g.minimum(first, last), g.minimum(end, _floor_to_even(g, size))


def _floor_to_even(g: Graph, size: Value) -> Value:
    """At least 1."""
    return g.maximum(size // 2 * 2, 1)


def _even(g: Graph, rows: Value, size) -> Value:
    """Pixels [H, W * 3], a single row or column twice; H, W: even or 1."""
    height, width = size
    return g.op("Tile", rows, g.vector([height % 2 + 1, width % 2 + 1]), rank=2)


def _halve(g: Graph, rows: Value, size) -> Value:
    """Means of 2x2 pixels of what `_even` gives for a size."""
    means = g.op("MatMul", rows.reshape(-1, 6), np.tile(np.eye(3, dtype=np.float32) / 4, (2, 1)), rank=2)
    pairs = means.reshape(-1, 2, (size[1] + 1) // 2 * 3)
    return pairs[:, 0] + pairs[:, 1]


def _bilinear(g: Graph, flat: Value, width, height, x: Value, y: Value, first: Value | None, convert) -> Value:
    """Samples [C, P, 3] at (x, y), [C, P] px each, of pictures whose pixels begin in row `first` of [M, 3].

    width, height, first: int32, scalars or [C, 1]. Black, softly, outside.
    """
    (left, right), across = _neighbours(g, x, width)
    (top, bottom), down = _neighbours(g, y, height)
    tops, bottoms = (t * width if first is None else t * width + first for t in (top, bottom))
    corners = ((tops, left, down[0] * across[0]), (tops, right, down[0] * across[1]))
    corners += ((bottoms, left, down[1] * across[0]), (bottoms, right, down[1] * across[1]))
    samples = [convert(g.gather(flat, row + column)) * weight[:, :, None] for row, column, weight in corners]
    return samples[0] + samples[1] + samples[2] + samples[3]


def _neighbours(g: Graph, coords: Value, size: Value):
    """As `resampling._neighbours`: the two pixels around each coordinate on an axis, clipped, and their weights."""
    coords = g.minimum(g.maximum(coords, OUTSIDE), size.cast("float32") + 1.0)
    floor = coords.unary("Floor")
    fraction, first, last = coords - floor, floor.cast("int32"), size - 1
    weights = (
        g.where((first >= 0) & (first <= last), 1.0 - fraction, 0.0),
        g.where((first >= -1) & (first < last), fraction, 0.0),
    )
    return tuple(g.minimum(g.maximum(i, 0), last) for i in (first, first + 1)), weights


def inverse_2x2(m: Value):
    """Entries of the inverse of a matrix's upper left, row by row."""
    a, b, c, d = m[0, 0], m[0, 1], m[1, 0], m[1, 1]
    determinant = a * d - b * c
    return d / determinant, -b / determinant, -c / determinant, a / determinant
