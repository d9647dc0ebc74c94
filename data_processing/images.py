"""Reading and writing picture files with checks: broken ones are named, hostile sizes are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metrabs_acae.data.images import MAX_PIXELS, decode_file, image_size_wh, read_image_size_wh
from metrabs_acae.errors import UserError

JPEG_QUALITY = 95


def read_image(path) -> np.ndarray:
    """A JPEG or PNG file as RGB uint8 [H, W, 3]; UserError names the file that is missing or broken."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the raw folder.") from None
    return decode_image(data, path)


def decode_image(data: bytes, path) -> np.ndarray:
    """The bytes of a JPEG or PNG file as RGB uint8 [H, W, 3]; UserError, which names `path`, where it is broken."""
    import cv2

    try:
        width, height = image_size_wh(data)
    except ValueError:
        raise UserError(f"{path} is not a JPEG or PNG file or is cut off; fetch it again.") from None
    if width * height > MAX_PIXELS:
        raise UserError(f"{path} claims to be {width} x {height} pixels; more than {MAX_PIXELS:,} are not read.")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise UserError(f"{path} is a broken image; fetch it again.")
    return image


def read_upright(path) -> np.ndarray:
    """As `read_image`, turned as the file's orientation tag says."""
    import cv2

    read_image(path)  # refuses what is hostile or broken
    return decode_file(path, cv2.IMREAD_COLOR_RGB)


def read_size(path) -> tuple[int, int]:
    """Width and height from the file's header."""
    return read_image_size_wh(path)


def read_mask(path, threshold: int = 127) -> np.ndarray:
    """A picture file as a boolean mask [H, W]: its first channel above `threshold`."""
    return read_image(path)[..., 0] > threshold


def encode_jpeg(image: np.ndarray) -> bytes:
    """RGB uint8 [H, W, 3] as a JPEG file of quality 95, of which loaders can decode a part."""
    from metrabs_acae.data import jpeg

    return jpeg.encode(image, JPEG_QUALITY)
