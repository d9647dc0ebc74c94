"""Pictures and procedural textures for floors, walls and backdrops."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from data_processing.synthetic.body import ASSETS

SIZE = 256
N_LEVELS = 6
NAMES = (
    "plain", "carpet", "planks", "tiles", "checker", "panels", "leaves", "clouds", "marble", "foliage",
    "brick", "gravel", "grass", "shelves", "hills", "facade",
)  # fmt: skip
_INDEX = {name: i for i, name in enumerate(NAMES)}


def texture_index(name: str) -> int:
    return _INDEX[name]


@functools.cache
def texture_bank() -> np.ndarray:
    """[T, N_LEVELS, SIZE, SIZE, 3] uint8 tiles; level l is blurred for pixels that cover 2^l texels."""
    rng = np.random.default_rng(7)
    tiles = [_tile(name, rng) for name in NAMES]
    levels = []
    for tile in tiles:
        pyramid = [tile]
        for level in range(1, N_LEVELS):
            small = cv2.resize(tile, None, fx=0.5**level, fy=0.5**level, interpolation=cv2.INTER_AREA)
            pyramid.append(cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR))
        levels.append(pyramid)
    return np.array(levels, np.uint8)


@functools.cache
def photographs() -> tuple[np.ndarray, ...]:
    """The pictures shipped as backdrops (see NOTICE), RGB."""
    return tuple(_read(name) for name in ("coffee", "rocket"))


def fractal_noise(rng: np.random.Generator, height: int, width: int, *, channels: int = 3) -> np.ndarray:
    """[height, width, channels] in 0..1: noise of all scales."""
    total = np.zeros((height, width, channels), np.float32)
    weight = 0.0
    for octave in range(1, 7):
        amplitude = 0.6**octave
        cells = 2**octave + 1
        coarse = rng.random((cells, cells, channels), np.float32)
        layer = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC if octave < 4 else cv2.INTER_LINEAR)
        total += amplitude * layer.reshape(height, width, channels)
        weight += amplitude
    return np.clip((total / weight - 0.5) * 1.8 + 0.5, 0, 1)


def dead_leaves(rng: np.random.Generator, height: int, width: int, *, n: int = 120) -> np.ndarray:
    """[height, width, 3] uint8: shapes of power-law sizes covering each other, as objects in pictures do."""
    image = np.empty((height, width, 3), np.uint8)
    image[:] = rng.integers(0, 256, 3)
    smallest, largest = 0.02, 0.4
    u = rng.random(n)
    radii = np.sort((smallest**-2 + u * (largest**-2 - smallest**-2)) ** -0.5)[::-1] * max(height, width)
    centers = rng.uniform(0, 1, (n, 2)) * (width, height)
    colors = rng.integers(0, 256, (n, 3))
    angles, aspects, kinds = rng.uniform(0, 360, n), rng.uniform(0.3, 1, n), rng.integers(0, 3, n)
    for i in range(n):
        color = tuple(int(c) for c in colors[i])
        center = (int(centers[i, 0]), int(centers[i, 1]))
        axes = (int(radii[i]) + 1, int(radii[i] * aspects[i]) + 1)
        if kinds[i] == 0:
            cv2.ellipse(image, center, axes, angles[i], 0, 360, color, -1, cv2.LINE_AA)
        else:
            corners = cv2.boxPoints((center, (axes[0] * 2, axes[1] * 2), angles[i]))[: 4 if kinds[i] == 1 else 3]
            cv2.fillConvexPoly(image, corners.astype(np.int32), color, cv2.LINE_AA)
    return image


def _read(name: str) -> np.ndarray:
    image = cv2.imread(str(ASSETS / f"{name}.jpg"), cv2.IMREAD_COLOR)
    if image is None:
        raise RuntimeError(f"the asset {name}.jpg is missing or broken; install the package anew")
    return np.ascontiguousarray(image[..., ::-1])


def _tile(name: str, rng) -> np.ndarray:
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    noise = fractal_noise(rng, SIZE, SIZE)
    gray = noise[..., :1]
    if name in ("brick", "gravel", "grass"):
        return cv2.resize(_read(name), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    if name == "leaves":
        return dead_leaves(rng, SIZE, SIZE, n=250)
    if name == "clouds":
        return (noise * 255).astype(np.uint8)
    if name == "foliage":
        return (dead_leaves(rng, SIZE, SIZE, n=400).mean(axis=2, keepdims=True) * (0.5, 0.9, 0.35)).astype(np.uint8)
    if name == "hills":
        return np.clip(noise * (0.6, 0.75, 0.45) * 150 + 50, 0, 255).astype(np.uint8)
    if name == "facade":
        window = (x % 64 > 14) & (x % 64 < 50) & (y % 64 > 12) & (y % 64 < 52)
        glass = rng.uniform(40, 150, (4, 4, 1))[y // 64, x // 64] * (0.8, 0.95, 1.1)
        return np.clip(np.where(window[..., None], glass, (205, 190, 170) * (0.8 + 0.3 * gray)), 0, 255).astype(
            np.uint8
        )
    if name == "plain":
        value = 215 + 30 * gray
    elif name == "carpet":
        value = 150 + 60 * rng.random((SIZE, SIZE, 1)) + 40 * gray
    elif name == "planks":
        board = x // 32
        shade = rng.uniform(140, 235, 8)[board]
        grain = 14 * np.sin(x * 0.9 + 6 * noise[..., 0] + y * 0.03)
        value = (shade + grain - 90 * (x % 32 < 1))[..., None]
    elif name == "tiles":
        value = (rng.uniform(190, 240, (8, 8))[y // 32, x // 32] - 110 * ((x % 32 < 2) | (y % 32 < 2)))[..., None]
    elif name == "checker":
        value = (70 + 165 * ((x // 64 + y // 64) % 2))[..., None]
    elif name == "panels":
        value = (200 - 130 * ((x % 128 < 4) | (y % 128 < 4)) - 90 * (np.hypot(x % 128 - 64, y % 128 - 64) < 9))[
            ..., None
        ]
    elif name == "marble":
        value = (160 + 80 * np.sin(0.05 * x + 9 * noise[..., 0]))[..., None]
    elif name == "shelves":
        books = rng.uniform(40, 240, (8, 32, 3))[y // 32, x // 8]
        return np.clip(np.where((y % 32 < 4)[..., None], 90, books), 0, 255).astype(np.uint8)
    else:
        raise ValueError(f"no texture {name}")
    return np.clip(np.broadcast_to(value, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
