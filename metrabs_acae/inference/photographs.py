"""Photographs as people have them: files of still pictures as upright RGB, with the focal length that they tell of."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrabs_acae.data import jpeg
from metrabs_acae.data.images import MAX_PIXELS
from metrabs_acae.errors import UserError
from metrabs_acae.inference.exif import Focal, focal_length

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
RAW_SUFFIXES = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf", ".pef"})
PILLOW_FORMATS = ("HEIF", "AVIF", "GIF", "WEBP")
"""Formats that Pillow turns upright, or blends, and OpenCV does not."""
BIT_DEPTHS = (8, 10, 12, 14, 16)
"""Cameras write values of these ranges into 16 bits."""


@dataclass(frozen=True)
class Photograph:
    """A still picture.

    Attributes:
        image: [H, W, 3] uint8 RGB, turned upright.
        focal: what its EXIF data say about the camera, or None.
        remark: what was done to its values; "" for nothing.
    """

    image: np.ndarray
    focal: Focal | None = None
    remark: str = ""


def read_photograph(path: str | Path) -> Photograph:
    """Any still picture; of one with several the first. UserError where it cannot be read."""
    if Path(path).suffix.lower() in RAW_SUFFIXES:
        raise UserError(f"{path} holds a sensor's raw data; develop it to JPEG or PNG first.")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from None
    if not data:
        raise UserError(f"{path} is empty.")
    if data[:2] == b"\xff\xd8":
        try:
            data = jpeg.with_end(data)
        except ValueError:
            raise UserError(f"{path} is a JPEG file that is cut off.") from None
    picture = open_picture(data, path)
    if picture is not None and picture.width * picture.height > MAX_PIXELS:
        raise UserError(f"{path} claims to be of more than {MAX_PIXELS:,} pixels; it is not read.")
    values = None
    if picture is None or picture.format not in PILLOW_FORMATS:
        values = _with_opencv(data)
    if values is None and picture is not None:
        values = _with_pillow(picture)
    if values is None:
        raise UserError(f"{path} cannot be read as an image; it may be damaged or of an unknown format.")
    image, remark = to_8_bits(values)
    return Photograph(image, focal_length(picture, image.shape[1::-1]) if picture is not None else None, remark)


def open_picture(data: bytes, path):
    """Pillow's picture, of which the header has been read, or None; UserError where a package is missing for it."""
    from PIL import Image

    if data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS:
        try:
            import pillow_heif
        except ImportError:
            raise UserError(
                f"{path} is a HEIC picture; to read it: pip install 'metrabs_acae[heif]', or save it as JPEG."
            ) from None
        pillow_heif.register_heif_opener()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes are looked at above
        try:
            return Image.open(io.BytesIO(data))
        except Exception:  # decoders of damaged files fail in many ways
            return None


def _with_opencv(data: bytes) -> np.ndarray | None:
    import cv2

    try:  # not IMREAD_COLOR_RGB: OpenCV 5.0 then spoils TIFF files of 16 bits
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        return None
    return None if image is None else np.ascontiguousarray(image[..., ::-1])


def _with_pillow(picture) -> np.ndarray | None:
    from PIL import ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
        except Exception:  # as above
            return None


def to_8_bits(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Values of any type as uint8, and a remark on how.

    Those of 16 bits may be of fewer: the range is the smallest of `BIT_DEPTHS` that holds them. Those of floating
    point lie in 0..1, or else in one of these ranges.
    """
    if values.dtype == np.uint8:
        return values, ""
    is_float = values.dtype.kind == "f"
    if is_float:
        values = np.nan_to_num(values, posinf=0, neginf=0)
    brightest = float(values.max())
    if is_float and brightest <= 1:
        top, remark = 1, "values 0..1"
    else:
        bits = next((bits for bits in BIT_DEPTHS if brightest < 1 << bits), None)
        top, remark = ((1 << bits) - 1, f"{bits}-bit values") if bits else (brightest, f"values up to {brightest:g}")
    return np.clip(np.rint(values * (255.0 / top)), 0, 255).astype(np.uint8), remark
