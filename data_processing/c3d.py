"""Reads C3D files of motion capture (https://www.c3d.org): points over time."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError

MAX_BYTES = 2 << 30
PROCESSOR_PC = 84
MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "m": 1000.0}


@dataclass(frozen=True)
class Points:
    """The points of one C3D file.

    Attributes:
        names: labels, in the order of the file.
        positions_mm: [frames, points, 3], NaN where the system lost a point.
        rate_hz: frames per second.
    """

    names: tuple[str, ...]
    positions_mm: np.ndarray
    rate_hz: float


def read_c3d(path) -> Points:
    """The points of a C3D file; UserError where it is missing or damaged. A file that names no unit is in mm."""
    path = Path(path)
    try:
        import ezc3d
    except ImportError:
        raise UserError("Reading C3D files needs the extra [data]: pip install metrabs_acae[data].") from None
    if not path.is_file():
        raise UserError(f"{path} is missing; check the raw folder.")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} is larger than {MAX_BYTES >> 30} GiB and is not read.")
    try:
        file = ezc3d.c3d(str(path))
        parameters = file["parameters"]["POINT"]
        points = np.asarray(file["data"]["points"], np.float64)  # [x y z 1, points, frames]
        positions = points[:3].transpose(2, 1, 0).copy()
        lost = np.asarray(file["data"]["meta_points"]["residuals"])[0].T < 0
        unit = (parameters.get("UNITS", {}).get("value") or ["mm"])[0].strip().lower()
        names = tuple(str(n).strip() for n in parameters["LABELS"]["value"])[: points.shape[1]]
        rate = float(file["header"]["points"]["frame_rate"])
    except Exception as error:
        # The reader fails in many ways on damaged files.
        raise UserError(f"{path} is not a readable C3D file ({error}); fetch it again.") from None
    if len(positions) < _frames_claimed(path):
        raise UserError(f"{path} is cut off after {len(positions)} frames; fetch it again.")
    positions[lost] = np.nan
    return Points(names, positions * MM_PER_UNIT.get(unit, 1.0), rate)


def _frames_claimed(path: Path) -> int:
    """How many frames the header says there are; 0 where that is not told in the byte order of PCs."""
    with open(path, "rb") as file:
        header = file.read(512)
        file.seek((max(1, header[0]) - 1) * 512 + 3)
        processor = file.read(1)
    first, last = struct.unpack("<HH", header[6:10])
    return last - first + 1 if processor == bytes([PROCESSOR_PC]) else 0
