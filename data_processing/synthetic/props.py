"""Objects made of boxes: chairs, crates, posts. Each face has one normal and one colour."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

_CORNERS = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], np.float32)
_FACES = np.array(
    [[0, 2, 3], [0, 3, 1], [4, 5, 7], [4, 7, 6], [0, 1, 5], [0, 5, 4],
     [2, 6, 7], [2, 7, 3], [0, 4, 6], [0, 6, 2], [1, 3, 7], [1, 7, 5]],
    np.int32,
)  # fmt: skip


@dataclass(frozen=True)
class Props:
    """vertices [V, 3] mm; faces [F, 3] counter-clockwise from outside; normals, colors [F, 3]."""

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    colors: np.ndarray

    def __add__(self, other: Props) -> Props:
        return Props(
            np.concatenate([self.vertices, other.vertices]),
            np.concatenate([self.faces, other.faces + len(self.vertices)]),
            np.concatenate([self.normals, other.normals]),
            np.concatenate([self.colors, other.colors]),
        )


def no_props() -> Props:
    empty = np.zeros((0, 3), np.float32)
    return Props(empty, np.zeros((0, 3), np.int32), empty, empty)


def box(rng: np.random.Generator, center_mm, half_mm, yaw: float, color=None) -> Props:
    """A box turned by `yaw` (rad) about the vertical."""
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
    vertices = (_CORNERS * np.asarray(half_mm, np.float32)) @ turn.T + np.asarray(center_mm, np.float32)
    a, b, c = (vertices[_FACES[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    color = random_color(rng) if color is None else color
    colors = np.repeat(color[None] * rng.uniform(0.85, 1.1, (6, 1)), 2, axis=0)
    return Props(vertices, _FACES, normals.astype(np.float32), colors.astype(np.float32))


def chair(rng: np.random.Generator, pelvis_mm, root_rotation) -> Props:
    """A chair, stool or crate under a seated person, facing the way the pelvis does."""
    forward = -root_rotation[:, 1]
    yaw = float(np.arctan2(forward[1], forward[0]) + np.pi / 2)  # the chair's -y points forward
    ahead = np.array([forward[0], forward[1], 0]) / max(np.hypot(forward[0], forward[1]), 1e-3)
    color = random_color(rng)
    seat_top = max(float(pelvis_mm[2]) - 95, 120)
    center = np.array([pelvis_mm[0], pelvis_mm[1], 0]) + ahead * 60
    half = rng.uniform(190, 240, 2)
    if rng.random() < 0.35:
        return box(rng, [*center[:2], seat_top / 2], [*half, seat_top / 2], yaw, color)
    thick = 25
    result = box(rng, [*center[:2], seat_top - thick], [*half, thick], yaw, color)
    side = np.array([-ahead[1], ahead[0], 0])
    legs_half = (seat_top - 2 * thick) / 2
    for u in (-1, 1):
        for v in (-1, 1):
            at = center + ahead * v * (half[1] - 20) + side * u * (half[0] - 20)
            result += box(rng, [*at[:2], legs_half], [18, 18, legs_half], yaw, color * 0.7)
    if rng.random() < 0.7:
        back = center - ahead * (half[1] + 10)
        result += box(rng, [*back[:2], seat_top + 190], [half[0], 15, 200], yaw, color)
    return result


def random_color(rng: np.random.Generator) -> np.ndarray:
    """[3] 0..255, mostly muted."""
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.7), rng.uniform(0.2, 0.95))) * 255
