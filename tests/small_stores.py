"""Tiny pose stores made of noise pictures and jittered poses: enough to run every step of the program."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metrabs_acae.data.store import CameraParams, PoseStoreWriter
from metrabs_acae.skeletons import Skeleton

POSE_MM = {
    "pelv": (0, 0, 0),
    "lhip": (-120, 20, 0),
    "rhip": (120, 20, 0),
    "lkne": (-130, 450, 30),
    "rkne": (130, 450, -30),
    "neck": (0, -500, 0),
    "lwri": (-300, -100, 150),
    "rwri": (300, -100, -150),
}
EDGES = ((0, 1), (0, 2), (1, 3), (2, 4), (0, 5), (5, 6), (5, 7))


def write_store(path: Path, convention: str = "a", *, kind: str = "3d", counts=None, seed: int = 0) -> Path:
    """A store of 96 px noise pictures; 3D joints carry the suffix `convention`, 2D joints none."""
    rng = np.random.default_rng(seed)
    names = tuple(n if kind == "2d" else f"{n}_{convention}" for n in POSE_MM)
    skeleton = Skeleton(f"toy_{convention}", names, EDGES)
    K = np.array([[300.0, 0, 47.5], [0, 300, 47.5], [0, 0, 1]])
    camera = CameraParams(np.eye(3), np.zeros(3), K, None, (0, -1, 0))
    with PoseStoreWriter(path, name=path.name, kind=kind, skeleton=skeleton, licence="CC0") as writer:
        for split, count in (counts or {"train": 12, "valid": 3, "test": 4}).items():
            for i in range(count):
                pose = np.array(list(POSE_MM.values()), float) + rng.normal(0, 40, (len(POSE_MM), 3)) + (0, 0, 4000)
                pixels = (pose / pose[:, 2:] @ K.T)[:, :2]
                low, high = pixels.min(0) - 5, pixels.max(0) + 5
                writer.add(
                    split,
                    image_key=f"{split}/{i:04d}.jpg",
                    image=rng.integers(0, 255, (96, 96, 3), dtype=np.uint8),
                    box_ltwh_px=[*low, *(high - low)],
                    camera=camera if kind == "3d" else None,
                    coords=pose if kind == "3d" else pixels,
                )
    return path
