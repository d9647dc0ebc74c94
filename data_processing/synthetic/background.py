"""What is behind the people: rooms and open air seen by the scene's camera, or a flat backdrop."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from data_processing.synthetic import render
from data_processing.synthetic.rigs import Camera
from data_processing.synthetic.textures import (
    dead_leaves,
    fractal_noise,
    photographs,
    texture_bank,
    texture_index,
)


@dataclass(frozen=True)
class Surroundings:
    """A place, seen by any camera: the arguments of `render.draw_room`, or a picture as backdrop."""

    bounds_mm: np.ndarray
    textures: np.ndarray
    surfaces: np.ndarray
    sky: np.ndarray
    backdrop: np.ndarray | None = None

    @property
    def has_floor(self) -> bool:
        return self.backdrop is None


def sample_surroundings(rng: np.random.Generator, style: str, size_wh: tuple[int, int]) -> Surroundings:
    """A place in the style of a dataset: studio, green, dome, hall, office, outdoor, photo, or wild (any of them)."""
    if style == "wild":
        style = ["photo", "leaves", "noise", "outdoor", "outdoor", "office", "office", "hall"][rng.integers(8)]
    if style in ("photo", "leaves", "noise"):
        return Surroundings(*_EMPTY, backdrop=_backdrop(rng, style, size_wh))
    return _ROOMS[style](rng)


def draw(rng: np.random.Generator, place: Surroundings, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The view [h, w, 3] uint8 without people, and where the floor is [h, w] uint8 (0 or 255)."""
    width, height = camera.size_wh
    if place.backdrop is not None:
        return place.backdrop.copy(), np.zeros((height, width), np.uint8)
    half = (width + 1) // 2, (height + 1) // 2
    view = camera.cropped(0, 0, 0.5, half)
    image, floor = np.empty((half[1], half[0], 3), np.uint8), np.empty((half[1], half[0]), np.uint8)
    render.draw_room(
        image, floor, view.K, view.R, view.center_mm, view.distortion, place.bounds_mm, place.textures,
        place.surfaces, texture_bank(), place.sky,
    )  # fmt: skip
    # Half the resolution is enough for what is out of focus anyway.
    size = (half[0] * 2, half[1] * 2)
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)[:height, :width]
    floor = cv2.resize(floor, size, interpolation=cv2.INTER_NEAREST)[:height, :width]
    return np.ascontiguousarray(image), np.ascontiguousarray(floor)


def _backdrop(rng, style, size_wh) -> np.ndarray:
    width, height = size_wh
    if style == "leaves":
        return cv2.resize(dead_leaves(rng, 128, 128), size_wh, interpolation=cv2.INTER_CUBIC)
    if style == "noise":
        return (fractal_noise(rng, height, width) * 255).astype(np.uint8)
    photos = photographs()
    photo = photos[rng.integers(len(photos))]
    side = int(rng.uniform(0.35, 1.0) * min(photo.shape[:2]))
    top, left = rng.integers(0, photo.shape[0] - side + 1), rng.integers(0, photo.shape[1] - side + 1)
    part = photo[top : top + side, left : left + side]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    image = cv2.resize(np.ascontiguousarray(part), size_wh, interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(_shift_hue(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), rng), cv2.COLOR_HSV2RGB)


def _shift_hue(hsv: np.ndarray, rng) -> np.ndarray:
    hsv[..., 0] = (hsv[..., 0].astype(np.int32) + rng.integers(-20, 21)) % 180
    return hsv


_EMPTY = (np.zeros((3, 2)), np.zeros(3, np.int32), np.zeros((3, 5)), np.zeros((2, 3)))
_CEILING = np.full((2, 3), -1.0)


def _room(rng, *, half_mm, ceiling_mm, floor, walls, top, floor_tint, wall_tint, tile_mm, fade=2e-5, sky=_CEILING):
    """A box around the stage. floor, walls, top: texture names to choose from; tints: [3] factors."""
    sides = rng.uniform(*half_mm, 4)
    bounds = np.array([[-sides[0], sides[1]], [-sides[2], sides[3]], [0, rng.uniform(*ceiling_mm)]])
    names = [group[rng.integers(len(group))] for group in (floor, walls, top)]
    surfaces = np.empty((3, 5))
    surfaces[0, :3], surfaces[1, :3], surfaces[2, :3] = floor_tint, wall_tint, 1.0
    surfaces[:, 3] = 256 / rng.uniform(*tile_mm, 3)
    surfaces[:, 4] = fade
    return Surroundings(bounds, np.array([texture_index(n) for n in names], np.int32), surfaces, sky)


def _gray(rng, low, high, color=0.06):
    return rng.uniform(low, high) * (1 + rng.normal(0, color, 3))


def _studio(rng):
    return _room(
        rng, half_mm=(5900, 7500), ceiling_mm=(3000, 4000), floor=("carpet", "planks", "plain"),
        walls=("plain", "panels", "plain", "shelves"), top=("plain",), floor_tint=_gray(rng, 0.3, 0.8, 0.12),
        wall_tint=_gray(rng, 0.4, 1.0), tile_mm=(1500, 4000),
    )  # fmt: skip


def _green(rng):
    green = np.array([0.25, 0.75, 0.3]) * rng.uniform(0.7, 1.1)
    walls = green if rng.random() < 0.7 else _gray(rng, 0.4, 0.9)
    return _room(
        rng, half_mm=(4500, 6000), ceiling_mm=(3500, 4500), floor=("plain",), walls=("plain",), top=("panels",),
        floor_tint=green if rng.random() < 0.8 else _gray(rng, 0.3, 0.7), wall_tint=walls, tile_mm=(3000, 6000),
    )  # fmt: skip


def _dome(rng):
    return _room(
        rng, half_mm=(2900, 3300), ceiling_mm=(3100, 3600), floor=("carpet", "plain"), walls=("panels",),
        top=("panels",), floor_tint=_gray(rng, 0.35, 0.7), wall_tint=_gray(rng, 0.5, 1.0, 0.1),
        tile_mm=(900, 1800), fade=5e-5,
    )  # fmt: skip


def _white(rng):
    return _room(
        rng, half_mm=(5200, 7000), ceiling_mm=(3500, 5000), floor=("plain",), walls=("plain",), top=("plain",),
        floor_tint=_gray(rng, 0.75, 1.0, 0.03), wall_tint=_gray(rng, 0.8, 1.1, 0.03), tile_mm=(4000, 8000),
    )  # fmt: skip


def _hall(rng):
    return _room(
        rng, half_mm=(6000, 12000), ceiling_mm=(3500, 7000), floor=("planks", "tiles", "checker", "marble"),
        walls=("brick", "plain", "panels", "marble"), top=("plain", "panels"), floor_tint=_gray(rng, 0.4, 1.0, 0.2),
        wall_tint=_gray(rng, 0.4, 1.0, 0.2), tile_mm=(1200, 5000),
    )  # fmt: skip


def _office(rng):
    return _room(
        rng, half_mm=(3000, 9000), ceiling_mm=(2400, 3200), floor=("planks", "carpet", "tiles", "leaves"),
        walls=("shelves", "plain", "brick", "leaves", "planks"), top=("plain", "tiles"),
        floor_tint=_gray(rng, 0.4, 1.0, 0.2), wall_tint=_gray(rng, 0.5, 1.1, 0.2), tile_mm=(1500, 4500),
    )  # fmt: skip


def _outdoor(rng):
    haze = np.array([205, 215, 225.0]) * rng.uniform(0.8, 1.1)
    sky = np.clip([haze, haze * (0.6, 0.8, 1.05)], 0, 255)
    ground = [(0.5, 0.8, 0.35), (0.9, 0.85, 0.75), (0.75, 0.75, 0.75)][rng.integers(3)]
    return _room(
        rng, half_mm=(9000, 30000), ceiling_mm=(2500, 9000), floor=("grass", "gravel", "tiles", "plain"),
        walls=("foliage", "brick", "foliage", "hills", "facade"), top=("plain",),
        floor_tint=np.array(ground) * rng.uniform(0.7, 1.3), wall_tint=_gray(rng, 0.5, 1.1, 0.1),
        tile_mm=(1500, 6000), fade=1e-5, sky=sky,
    )  # fmt: skip


_ROOMS = {
    "studio": _studio, "green": _green, "dome": _dome, "white": _white, "hall": _hall, "office": _office,
    "outdoor": _outdoor,
}  # fmt: skip
