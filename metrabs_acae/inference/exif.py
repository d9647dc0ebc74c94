"""The focal length in pixels that a photograph's EXIF data tell of."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

FILM_DIAGONAL_MM = math.hypot(36, 24)
"""Focal lengths "as on 35 mm film" compare diagonals (CIPA DCG-001)."""
FOCAL_LENGTH, FOCAL_LENGTH_35, ZOOM = 0x920A, 0xA405, 0xA404
PIXEL_WIDTH, PIXEL_HEIGHT = 0xA002, 0xA003
PLANE_RESOLUTION, PLANE_UNIT = 0xA20E, 0xA210
EXIF_FIELDS, MODEL = 0x8769, 0x0110
MM_PER_PLANE_UNIT = {2: 25.4, 3: 10.0, 4: 1.0}
SENSOR_WIDTHS_MM = {
    "CANON EOS 5D": 36.0,
    "CANON EOS 6D": 35.8,
    "CANON EOS R5": 36.0,
    "CANON EOS R6": 35.9,
    "CANON EOS 70D": 22.5,
    "CANON EOS 80D": 22.5,
    "NIKON D750": 35.9,
    "NIKON D850": 35.9,
    "NIKON Z 6": 35.9,
    "ILCE-7": 35.6,
    "ILCE-6": 23.5,
    "X-T": 23.5,
    "DSC-RX100": 13.2,
    "FC3170": 6.4,
}
"""Of cameras whose model's name begins so, along the longer side."""
SAME_SHAPE = 0.02
FOV_RANGE_DEGREES = (3.0, 150.0)


@dataclass(frozen=True)
class Focal:
    """A focal length in pixels of the picture, and in words where it comes from."""

    length_px: float
    origin: str


def focal_length(picture, image_size_wh: Sequence[int]) -> Focal | None:
    """From the EXIF data of a Pillow picture; None where they say nothing usable.

    A picture that has been cut out of the one that the camera took says nothing: which part it is, is not known.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif = picture.getexif()
            found = _focal(exif.get_ifd(EXIF_FIELDS), str(exif.get(MODEL, "")).upper(), image_size_wh)
    except Exception:  # damaged EXIF data are none; readers of them fail in many ways
        return None
    if found is None or not math.isfinite(found.length_px) or found.length_px <= 0:
        return None
    fov = math.degrees(2 * math.atan(max(image_size_wh) / 2 / found.length_px))
    return found if FOV_RANGE_DEGREES[0] < fov < FOV_RANGE_DEGREES[1] else None


def _focal(fields, model: str, image_size_wh: Sequence[int]) -> Focal | None:
    long, short = max(image_size_wh), min(image_size_wh)
    taken = sorted((_number(fields, PIXEL_WIDTH), _number(fields, PIXEL_HEIGHT)))
    if taken[0] and abs(taken[1] / taken[0] / (long / short) - 1) > SAME_SHAPE:
        return None
    film_mm = _number(fields, FOCAL_LENGTH_35)
    if film_mm:
        return Focal(film_mm / FILM_DIAGONAL_MM * math.hypot(long, short), f"EXIF, {film_mm:g} mm as on 35 mm film")
    length_mm = _number(fields, FOCAL_LENGTH) * (_number(fields, ZOOM) or 1)
    if not length_mm:
        return None
    per_unit = _number(fields, PLANE_RESOLUTION)
    unit_mm = MM_PER_PLANE_UNIT.get(int(_number(fields, PLANE_UNIT) or 2))
    if per_unit and unit_mm and taken[1]:
        sensor_mm = taken[1] / per_unit * unit_mm
        return Focal(length_mm / sensor_mm * long, f"EXIF, {length_mm:g} mm, {sensor_mm:.1f} mm sensor")
    sensor_mm = next((width for name, width in SENSOR_WIDTHS_MM.items() if model.startswith(name)), None)
    if sensor_mm is None:
        return None
    return Focal(length_mm / sensor_mm * long, f"EXIF, {length_mm:g} mm, {sensor_mm:.1f} mm sensor of {model}")


def _number(fields, tag: int) -> float:
    value = float(fields.get(tag) or 0)
    return value if math.isfinite(value) and value > 0 else 0.0
