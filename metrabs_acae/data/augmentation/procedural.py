"""Generated occluders and backgrounds, for those who have neither Pascal VOC nor INRIA Holidays."""

from __future__ import annotations

import cv2
import numpy as np


def background(side: int, seed: int) -> np.ndarray:
    """A cluttered picture [side, side, 3] uint8: overlapping textured shapes of all sizes ("dead leaves"), which have
    the edge statistics of photographs, over a colour gradient."""
    rng = np.random.default_rng([1, seed])
    top, bottom = rng.uniform(0, 255, (2, 3))
    ramp = np.linspace(0, 1, side)[:, None, None]
    image = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (side, side, 3)).astype(np.uint8).copy()
    texture = _noise(rng, (side, side), octaves=5)
    n_shapes = int(rng.integers(5, 150))
    for _ in range(n_shapes):
        radius = side * 0.02 / max(0.03, rng.random()) ** 0.8
        points = _blob(rng, rng.uniform(-0.1, 1.1, 2) * side, radius, squareness=rng.random())
        color = np.clip(rng.uniform(0, 255) + rng.normal(0, 40, 3), 0, 255)
        cv2.fillPoly(image, [points], color.tolist(), cv2.LINE_AA)
    shaded = image * (1 + rng.uniform(0.1, 0.5) * texture[..., None]) + rng.normal(0, 4, image.shape)
    shaded = cv2.GaussianBlur(shaded, (0, 0), rng.uniform(0.4, 1.2))
    return np.clip(shaded, 0, 255).astype(np.uint8)


def occluder(seed: int) -> np.ndarray:
    """A cut-out of 40 to 160 px, as Pascal VOC's objects at half size; [h, w, 4] uint8: RGB, opacity."""
    rng = np.random.default_rng([2, seed])
    width, height = rng.integers(40, 160, 2)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(1, 5)):
        center = rng.uniform(0.3, 0.7, 2) * (width, height)
        points = _blob(rng, center, 0.5 * min(width, height) * rng.uniform(0.5, 1), squareness=rng.random())
        stretch = np.array([width, height]) / min(width, height)
        points = ((points - center) * stretch + center).astype(np.int32)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA)
    color = rng.uniform(0, 255, 3)
    light = 0.7 + 0.3 * np.linspace(rng.uniform(-1, 1), rng.uniform(-1, 1), width)[None, :, None]
    texture = 1 + rng.uniform(0.1, 0.6) * _noise(rng, (height, width), octaves=4)[..., None]
    image = np.clip(color * light * texture, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(0, 12)):  # details: stripes and patches
        points = _blob(rng, rng.uniform(0, 1, 2) * (width, height), rng.uniform(3, 25), squareness=rng.random())
        cv2.fillPoly(image, [points], rng.uniform(0, 255, 3).tolist(), cv2.LINE_AA)
    return np.dstack([image, mask])


def _blob(rng: np.random.Generator, center: np.ndarray, radius: float, squareness: float) -> np.ndarray:
    """A closed outline [N, 2] int32 between an ellipse and a box, turned and bent at random."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    power = 2 / (2 + 8 * squareness)
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * rng.uniform(0.3, 1)
    bend = 1 + (1 - squareness) * 0.25 * np.sin(rng.integers(2, 6) * angle + rng.uniform(0, 6.3))
    turn = rng.uniform(0, 2 * np.pi)
    points = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)
    return (center + radius * bend[:, None] * points).astype(np.int32)


def _noise(rng: np.random.Generator, shape: tuple[int, int], octaves: int) -> np.ndarray:
    """[H, W] sum of smooth noise over scales, about -1 to 1."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cells = 3 * 2**octave
        grid = rng.normal(0, 0.5**octave, (cells, cells)).astype(np.float32)
        total += cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(total / 1.5, -1, 1)
