"""JPEG files of which only a window is decoded, exactly.

Most of the work of decoding a photograph is its entropy coding, which can be skipped where the file has restart markers
(ITU T.81, section B.2.4.4): the data between two of them stand for themselves. `encode` sets them at the borders of
tiles of about 64 x 16 px (1 % of the file's size), and `cut` puts the wanted tiles together to a smaller, ordinary
JPEG file. Of files without the markers only the rows below the window are left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import simplejpeg

from metrabs_acae.errors import UserError

TILE_WIDTH = 64
"""Tiles are about this wide (px)."""
MARGIN = 4
"""Pixels around the wanted ones that smooth colour upsampling may touch."""

_MCU = 16
"""Side of the blocks that `encode` makes (px): its colours have half resolution."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END = b"\xff\xd9"
_START_OF_SCAN, _RESTART_INTERVAL = 0xDA, 0xDD


@dataclass(frozen=True)
class Layout:
    """What the header of a JPEG file says.

    Attributes:
        width, height: size in pixels.
        channels: number of colour components.
        block_wh: size in pixels of the blocks (minimum coded units) that the data are a sequence of; None where the
            file has several scans or another coding than Huffman's sequential one, so that it cannot be cut.
        interval: blocks from one restart marker to the next; 0 without markers.
        frame: where the frame header's height stands.
        data: where the entropy-coded data begin.
    """

    width: int
    height: int
    channels: int
    block_wh: tuple[int, int] | None
    interval: int
    frame: int
    data: int


def encode(image: np.ndarray, quality: int = 95) -> bytes:
    """[H, W, 3] uint8 RGB as a JPEG file with restart markers; UserError where the image cannot be encoded."""
    import cv2

    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise UserError(f"the image must be uint8 [H, W, 3], not {image.dtype} {image.shape}")
    options = {
        cv2.IMWRITE_JPEG_QUALITY: quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        cv2.IMWRITE_JPEG_RST_INTERVAL: restart_interval(-(-image.shape[1] // _MCU)),
    }
    done, encoded = cv2.imencode(".jpg", image[..., ::-1], [n for option in options.items() for n in option])
    if not done:
        raise UserError("the image could not be encoded")
    return encoded.tobytes()


def restart_interval(n_blocks: int) -> int:
    """The divisor of a row's number of blocks that comes closest to tiles of `TILE_WIDTH`, at least three blocks
    wide, so that tiles of all rows lie below each other."""
    wanted = TILE_WIDTH / _MCU
    divisors = [n for n in range(min(3, n_blocks), n_blocks + 1) if n_blocks % n == 0]
    return min(divisors, key=lambda n: max(n / wanted, wanted / n))


def with_end(data: bytes) -> bytes:
    """The file with its end marker, which some writers leave out; ValueError where pixels are missing as well."""
    if data.rfind(_END, len(data) // 2) >= 0:
        return data
    data += _END
    try:
        simplejpeg.decode_jpeg(data, "GRAY", strict=True)
    except ValueError:
        raise ValueError("the JPEG file is cut off") from None
    return data


def read_layout(data: bytes) -> Layout:
    """The header's contents; ValueError where there is none (the file may be cut off later on)."""
    frame, interval = None, 0
    for marker, position, length in _segments(data):
        if position + 2 + length > len(data):
            break
        if marker in _FRAMES:
            frame = position
        elif marker == _RESTART_INTERVAL:
            (interval,) = struct.unpack_from(">H", data, position + 4)
        elif marker == _START_OF_SCAN:
            if frame is None:
                break
            return _layout(data, frame, interval, position, length)
    raise ValueError("the image file is broken or cut off: it has no whole JPEG header")


def read_size_wh(data: bytes) -> tuple[int, int]:
    """Width and height from the first bytes of a file, up to its frame header; ValueError where that is missing."""
    for marker, position, _ in _segments(data):
        if marker in _FRAMES and position + 9 <= len(data):
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
    raise ValueError("not a JPEG file, or one cut off in its header")


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, where it stands, length) of the header's segments, as far as there are any; the last may be cut off."""
    if data[:2] != b"\xff\xd8":
        raise ValueError("not a JPEG file")
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        if data[position + 1] == 0xFF:  # a fill byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        yield data[position + 1], position, length
        position += 2 + length


def _layout(data: bytes, frame: int, interval: int, scan: int, scan_length: int) -> Layout:
    height, width, channels = struct.unpack_from(">HHB", data, frame + 5)
    factors = [(data[p] >> 4, data[p] & 15) for p in range(frame + 11, frame + 11 + 3 * channels, 3)]
    sequential = data[frame + 1] in (0xC0, 0xC1) and data[scan + 4] == channels and height and width
    block = None
    if sequential:
        # A single component is coded block by block, whatever its factors.
        block = (8, 8) if channels == 1 else (8 * max(h for h, _ in factors), 8 * max(v for _, v in factors))
    return Layout(width, height, channels, block, interval, frame + 5, scan + 2 + scan_length)


def decode(
    data: bytes, layout: Layout, window: tuple[int, int, int, int] | None = None, reduction: int = 1
) -> tuple[np.ndarray, tuple[int, int]]:
    """Decodes at least the wanted part of a file.

    Args:
        layout: of the file (`read_layout`).
        window: (left, top, right, bottom) the wanted pixels; None for all.
        reduction: 1, 2, 4 or 8: size of the result's pixels in the file's.

    Returns:
        RGB image [h, w, 4], the fourth channel 255, and (left, top), the place of its corner in the whole image, both
        multiples of 8. Wanted pixels are the same as those of the whole decoded file. ValueError where it is broken.
    """
    corner, (width, height) = (0, 0), (layout.width, layout.height)
    if window is not None:
        data, corner, (width, height) = cut(data, layout, window)
    width, height = -(-width // reduction), -(-height // reduction)
    size = {"min_width": width, "min_height": height} if reduction > 1 else {}
    image = simplejpeg.decode_jpeg(data, "RGBA", **size, strict=False, buffer=_memory(4 * width * height))
    return image, corner


def _memory(n: int) -> np.ndarray:
    """[n] uint8 at an address that is 16 more than a multiple of 32. At multiples of 32 libjpeg-turbo would write past
    the processor's caches, and warping the image afterwards would take two to three times as long."""
    memory = np.empty(n + 32, np.uint8)
    start = (16 - memory.__array_interface__["data"][0]) % 32
    return memory[start : start + n]


def cut(
    data: bytes, layout: Layout, window: tuple[int, int, int, int]
) -> tuple[bytes | np.ndarray, tuple[int, int], tuple[int, int]]:
    """A JPEG file (bytes or [n] uint8) of at least the wanted part (left, top, right, bottom), the place of its corner
    and its size."""
    if layout.block_wh is None:
        return data, (0, 0), (layout.width, layout.height)
    left, top, right, bottom = window
    block_w, block_h = layout.block_wh
    n_rows, n_columns = -(-layout.height // block_h), -(-layout.width // block_w)
    first, last = _covering(top - MARGIN, bottom + MARGIN, block_h, n_rows)
    height = min(layout.height, last * block_h)
    if layout.interval and n_columns % layout.interval == 0:
        n_tiles, tile_w = n_columns // layout.interval, layout.interval * block_w
        first_tile, last_tile = _covering(left - MARGIN, right + MARGIN, tile_w, n_tiles)
        corner = (first_tile * tile_w, first * block_h)
        size = (min(layout.width, last_tile * tile_w) - corner[0], height - corner[1])
        tiles = _join_tiles(data, layout, n_tiles, (first, last), (first_tile, last_tile), _header(data, layout, *size))
        if tiles is not None:
            return tiles, corner, size
    if last < n_rows:
        data = _header(data, layout, layout.width, height) + data[layout.data :]
    return data, (0, 0), (layout.width, height)


def _covering(start: int, stop: int, length: int, n: int) -> tuple[int, int]:
    """Which of `n` pieces of a length cover start..stop: first and behind the last, at least one."""
    last = min(n, max(1, -(-stop // length)))
    return min(max(0, start // length), last - 1), last


def _header(data: bytes, layout: Layout, width: int, height: int) -> bytes:
    """The file's header with another size."""
    return data[: layout.frame] + struct.pack(">HH", height, width) + data[layout.frame + 4 : layout.data]


def _join_tiles(data: bytes, layout: Layout, n_tiles: int, rows, columns, header: bytes) -> np.ndarray | None:
    """The file [n] uint8 of some rows and columns (first, behind the last) of tiles; None where markers are missing."""
    from metrabs_acae.data import kernels  # imports Numba, which programs that only write files do not need

    out = np.empty(len(header) + len(data), np.uint8)
    out[: len(header)] = np.frombuffer(header, np.uint8)
    words = np.frombuffer(data, np.uint64, len(data) // 8)
    whole = np.frombuffer(data, np.uint8)
    size = kernels.join_tiles(whole, words, layout.data, n_tiles, rows, columns, out, len(header))
    return None if size < 0 else out[:size]
