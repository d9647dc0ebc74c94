"""Loops over pixels and bytes, compiled by Numba: vectorized, without Python's lock, kept compiled on disk.

Numba compiles them at the first call on a machine (a few seconds).
"""

from __future__ import annotations

import numba
import numpy as np

from metrabs_acae.machine import find_numba_cache

_OPTIONS = {
    "nogil": True,
    "cache": find_numba_cache(),
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


@numba.njit(**_OPTIONS)
def join_tiles(data, words, begin, n_tiles, rows, columns, out, size):
    """Copies some of the tiles of a JPEG file's entropy-coded data, which restart markers separate, and an end marker.

    Args:
        data: [N] uint8, the file.
        words: [N // 8] uint64, the same memory.
        begin: where the first tile begins.
        n_tiles: tiles in a row.
        rows, columns: (first, behind the last) of the wanted tiles.
        out: uint8 array that gets the copy from its place `size` on.

    Returns:
        where the copy ends in `out`; -1 where the markers are not those that tiles would have.
    """
    ones, tops = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
    tile, n_copied, place = 0, 0, begin
    while place < data.size - 1:
        if place % 8 == 0 and place + 8 <= data.size:
            word = words[place // 8]
            if not (~word - ones) & word & tops:  # none of the eight bytes is 255
                place += 8
                continue
        code = data[place + 1]
        if data[place] != 255 or code == 0 or code == 255:
            place += 1
            continue
        if code != 0xD0 + tile % 8 and code != 0xD9:
            return -1
        row, column = tile // n_tiles, tile % n_tiles
        if rows[0] <= row and columns[0] <= column < columns[1]:
            if n_copied:
                out[size], out[size + 1] = 255, 0xD0 + (n_copied - 1) % 8
                size += 2
            out[size : size + place - begin] = data[begin:place]
            size += place - begin
            n_copied += 1
        tile += 1
        if tile == rows[1] * n_tiles:
            out[size], out[size + 1] = 255, 0xD9
            return size + 2
        if code == 0xD9:
            return -1
        place += 2
        begin = place
    return -1
