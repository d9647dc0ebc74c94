"""Picture formats that stores do not hold but some raw data do: PGM and PPM (binary), BMP."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from data_processing.images import read_image
from metrabs_acae.data.images import MAX_PIXELS
from metrabs_acae.errors import UserError

_SPACE = rb"\s+(?:#[^\n]*\n\s*)*"
_PNM_HEADER = re.compile(rb"(P[56])" + _SPACE + rb"(\d{1,6})" + _SPACE + rb"(\d{1,6})" + _SPACE + rb"(\d+)\s")


def read_pnm(path) -> np.ndarray:
    """A binary PGM (grey, [H, W]) or PPM (RGB, [H, W, 3]) file of 8 bits; UserError where it is missing or damaged."""
    data = _read(path)
    header = _PNM_HEADER.match(data)
    if header is None or int(header[4]) > 255:
        raise UserError(f"{path} is not a binary PGM or PPM file of 8 bits; fetch it again.")
    width, height, channels = int(header[2]), int(header[3]), 1 if header[1] == b"P5" else 3
    _check_size(path, width, height)
    pixels = data[header.end() :]
    if len(pixels) < width * height * channels:
        raise UserError(f"{path} is cut off; fetch it again.")
    image = np.frombuffer(pixels, np.uint8, width * height * channels)
    return image.reshape((height, width) if channels == 1 else (height, width, 3))


def read_any_image(path) -> np.ndarray:
    """A JPEG, PNG, BMP or PPM file, told by its ending, as RGB uint8 [H, W, 3]."""
    suffix = Path(path).suffix.lower()
    if suffix == ".ppm":
        return read_pnm(path)
    return read_bmp(path) if suffix == ".bmp" else read_image(path)


def read_bmp(path) -> np.ndarray:
    """A BMP file as RGB uint8 [H, W, 3]; UserError where it is missing or damaged."""
    import cv2

    data = _read(path)
    if data[:2] != b"BM" or len(data) < 54:
        raise UserError(f"{path} is not a BMP file or is cut off; fetch it again.")
    width, height = struct.unpack("<ii", data[18:26])
    _check_size(path, abs(width), abs(height))
    image = None
    if len(data) >= struct.unpack("<I", data[2:6])[0]:  # OpenCV makes up what is cut off
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise UserError(f"{path} is a broken image; fetch it again.")
    return image


def _read(path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the raw folder.") from None


def _check_size(path, width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise UserError(f"{path} claims to be {width} x {height} pixels; it is not read.")
