"""What a random draw does to a crop camera, and so to image, mask and joints alike. `crop` carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Part = tuple[float, float, float]


@dataclass(frozen=True)
class GeometricDraw:
    """One draw; the defaults leave the crop as it is.

    Attributes:
        part: (left, top, side) of a square part of the box made square, as fractions of its side, or None.
        shift: [2] shift of the centre of the box (or its part) as a fraction of its larger side.
        zoom: factor on the crop's scale.
        roll_rad: rotation of the crop camera about its optical axis.
        flip: True mirrors the crop.
    """

    part: Part | None = None
    shift: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    roll_rad: float = 0.0
    flip: bool = False

    def then(self, other: GeometricDraw) -> GeometricDraw:
        """Both together: shifts and turns add up, zooms multiply, and two flips are none."""
        return GeometricDraw(
            part=_part_of_part(self.part, other.part),
            shift=(self.shift[0] + other.shift[0], self.shift[1] + other.shift[1]),
            zoom=self.zoom * other.zoom,
            roll_rad=self.roll_rad + other.roll_rad,
            flip=self.flip != other.flip,
        )


def box_part(box_ltwh_px: Sequence[float], part: Part) -> list[float]:
    """A square part of a box that is first made square about its centre."""
    left, top, width, height = box_ltwh_px
    side = max(width, height)
    part_left, part_top, part_side = part
    return [
        left + width / 2 - side / 2 + part_left * side,
        top + height / 2 - side / 2 + part_top * side,
        part_side * side,
        part_side * side,
    ]


def _part_of_part(outer: Part | None, inner: Part | None) -> Part | None:
    if outer is None or inner is None:
        return outer or inner
    left, top, side = outer
    return left + inner[0] * side, top + inner[1] * side, inner[2] * side
