"""A stick person who walks about, turns and swings its limbs: motion smooth enough to judge labels over time."""

from __future__ import annotations

import numpy as np

from .people import CENTRAL, SIDED, pose


def moving(names, n_frames: int, *, fps: float = 50.0, seed: int = 0, radius_mm: float = 1200.0) -> np.ndarray:
    """[frames, J, 3] mm, z up, about the origin; speeds of 1 m/s and limb swings of 300 mm."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_frames) / fps
    phases = rng.uniform(0, 2 * np.pi, 4)
    x = radius_mm * np.sin(0.9 * t + phases[0])
    y = 0.7 * radius_mm * np.sin(0.63 * t + phases[1])
    yaw = 1.5 * np.sin(0.5 * t + phases[2])
    base = pose(names)
    swing = np.zeros((n_frames, len(names), 3))
    for j, name in enumerate(names):
        plain, side = name.split("_")[0], name[0]
        part = plain if plain in CENTRAL else plain[1:]
        if part in SIDED and part not in ("hip", "sho", "cla", "eye", "ear"):
            sign = (1 if side == "l" else -1) * (-1 if part in ("kne", "ank", "foo", "toe", "hee") else 1)
            reach = {"elb": 150, "kne": 120}.get(part, 300)
            swing[:, j, 1] = sign * reach * np.sin(5 * t + phases[3])
    body = base[None] + swing
    c, s = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    turned = np.stack([c * body[..., 0] - s * body[..., 1], s * body[..., 0] + c * body[..., 1], body[..., 2]], axis=-1)
    turned[..., 0] += x[:, None]
    turned[..., 1] += y[:, None]
    return turned
