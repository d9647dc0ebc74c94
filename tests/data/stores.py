"""Pose stores for the data tests: smooth random pictures, people-sized joint clouds, cameras with and without lens."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from metrabs_acae.data.store import CameraParams, PoseStore, PoseStoreWriter
from metrabs_acae.skeletons import Skeleton

JOINTS = ("pelv", "lhip", "rhip", "lkne", "rkne", "lank", "rank", "neck", "lsho", "rsho", "lwri", "rwri")
LEVEL_CAMERA = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def skeleton(suffix: str = "") -> Skeleton:
    return Skeleton(f"toy{suffix}", tuple(n + suffix for n in JOINTS), ((0, 1), (0, 2), (1, 3), (2, 4)))


def picture(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    small = rng.integers(0, 255, (height // 10, width // 10, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def toy_row(rng: np.random.Generator, kind: str, width: int, height: int, distortion=None) -> dict:
    """Arguments of `PoseStoreWriter.add` for one random example."""
    K = np.array([[1.5 * width, 0, width / 2], [0, 1.5 * width, height / 2], [0, 0, 1.0]])
    camera = CameraParams(LEVEL_CAMERA, np.array([0.0, -5000, 1000]), K, distortion)
    world = rng.normal(0, 1, (len(JOINTS), 3)) * (250, 200, 400) + (0, 0, 1000)
    pixels = (world - camera.optical_center_mm) @ camera.R.T @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    low = np.clip(pixels.min(0), 0, (width - 20, height - 20))
    high = np.clip(pixels.max(0), low + 10, (width, height))
    mask = np.zeros((height, width), bool)
    mask[int(low[1]) : int(high[1]), int(low[0]) : int(high[0])] = True
    return {
        "image": picture(rng, width, height),
        "box_ltwh_px": [*low, *(high - low)],
        "camera": camera if kind == "3d" else None,
        "coords": world if kind == "3d" else pixels,
        "mask": mask,
    }


def write_toy_store(
    path: Path, *, kind="3d", suffix="_a", n=20, seed=0, size=(160, 120), distortion=None, **settings
) -> PoseStore:
    """A store of `n` train, 5 valid examples."""
    rng = np.random.default_rng(seed)
    skel = skeleton("" if kind == "2d" else suffix)
    settings = {"allow_suspicious": True, **settings}  # random clouds of joints have no left and right
    with PoseStoreWriter(path, name=path.name, kind=kind, skeleton=skel, licence="CC0", **settings) as writer:
        for split, count in (("train", n), ("valid", 5)):
            for i in range(count):
                row = toy_row(rng, kind, *size, distortion)
                writer.add(split, image_key=f"{split}/{i}.jpg", sequence=f"s{i % 2}", frame=i, **row)
    return PoseStore(path)
