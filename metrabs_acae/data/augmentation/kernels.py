"""Loops over pixels, compiled by Numba: vectorized, without Python's lock, kept compiled on disk.

Numba compiles them at the first call on a machine (two seconds).
"""

from __future__ import annotations

import numba
import numpy as np

_OPTIONS = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",  # no checks for division by zero: they would keep loops from being vectorized
    "fastmath": {"nnan", "ninf", "nsz", "arcp", "contract"},
}
_f = numba.float32
_ZERO, _ONE, _TWO, _FOUR, _SIX = (np.float32(n) for n in (0, 1, 2, 4, 6))
_TINY = np.float32(1e-12)


@numba.njit(**_OPTIONS)
def blend(front, back, opacity, out):
    """out = front where opacity is 255, back where it is 0, rounded; all [N] uint8, `out` no other's memory."""
    for i in range(out.size):
        weight = np.uint32(opacity[i])
        total = front[i] * weight + back[i] * (np.uint32(255) - weight) + np.uint32(128)
        out[i] = np.uint8((total + (total >> np.uint32(8))) >> np.uint32(8))  # divided by 255


@numba.njit(**_OPTIONS)
def adjust_colors(red, green, blue, affine, turns, twice, out):
    """Alternates affine changes of all channels and turns of the colours, starting and ending with an affine one.

    Args:
        red, green, blue: [N] uint8, taken as 0..1.
        affine: [3, 2] float32 scales and offsets. Results are clipped to 0..1.
        turns: [2, 2] float32: by how many sextants (0..6) the hue turns, and the factor on the saturation (HSV).
        twice: False leaves out the second turn and the second affine change.
        out: [3, N] uint8; decimals are cut off.
    """
    scale = _ONE / _f(255)
    first_scale, first_offset = affine[0, 0] * scale, affine[0, 1]
    last_scale, last_offset = affine[2, 0] * _f(255), affine[2, 1] * _f(255) + _f(1e-3)
    if twice:
        for i in range(red.size):
            r, g, b = _affine(_f(red[i]), _f(green[i]), _f(blue[i]), first_scale, first_offset)
            r, g, b = _turn(r, g, b, turns[0, 0], turns[0, 1])
            r, g, b = _affine(r, g, b, affine[1, 0], affine[1, 1])
            r, g, b = _turn(r, g, b, turns[1, 0], turns[1, 1])
            out[0, i], out[1, i], out[2, i] = _levels(r, g, b, last_scale, last_offset)
    else:
        for i in range(red.size):
            r, g, b = _affine(_f(red[i]), _f(green[i]), _f(blue[i]), first_scale, first_offset)
            r, g, b = _turn(r, g, b, turns[0, 0], turns[0, 1])
            out[0, i], out[1, i], out[2, i] = _levels(r, g, b, last_scale, last_offset)


@numba.njit(**_OPTIONS)
def _affine(r, g, b, scale, offset):
    r, g, b = r * scale + offset, g * scale + offset, b * scale + offset
    return min(max(r, _ZERO), _ONE), min(max(g, _ZERO), _ONE), min(max(b, _ZERO), _ONE)


@numba.njit(**_OPTIONS)
def _levels(r, g, b, scale, offset):
    top = _f(255)
    r = min(max(r * scale + offset, _ZERO), top)
    g = min(max(g * scale + offset, _ZERO), top)
    b = min(max(b * scale + offset, _ZERO), top)
    return np.uint8(np.int32(r)), np.uint8(np.int32(g)), np.uint8(np.int32(b))


@numba.njit(**_OPTIONS)
def _turn(r, g, b, sextants, saturation):
    """RGB with the hue turned and the saturation scaled, by way of HSV without branches."""
    value = max(r, max(g, b))
    chroma = value - min(r, min(g, b))
    unit = _ONE / max(chroma, _TINY)
    hue = (r - g) * unit + _FOUR
    hue = (b - r) * unit + _TWO if value == g else hue
    hue = (g - b) * unit if value == r else hue
    hue += sextants
    chroma = min(chroma * saturation, value)
    return (
        value - chroma * _ramp(hue + _f(5)),
        value - chroma * _ramp(hue + _f(3)),
        value - chroma * _ramp(hue + _ONE),
    )


@numba.njit(**_OPTIONS)
def _ramp(k):
    """How much of the chroma a channel lacks, by the distance of its hue: a trapezoid of period 6."""
    k -= _SIX * np.floor(k * (_ONE / _SIX))
    return max(_ZERO, min(k, min(_FOUR - k, _ONE)))
