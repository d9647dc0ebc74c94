"""Camera rigs: where cameras stand and what lenses they have, one rig per imitated recording set-up.

World: millimetres, z up, floor z = 0, the stage's centre at the origin. Camera axes: x right, y down, z forward.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numba import njit


@dataclass(frozen=True)
class Camera:
    """A camera: point_camera = R (point_world - center_mm); K [3, 3] px; OpenCV's five distortion coefficients."""

    R: np.ndarray
    center_mm: np.ndarray
    K: np.ndarray
    distortion: np.ndarray
    size_wh: tuple[int, int]

    def project(self, points_mm) -> tuple[np.ndarray, np.ndarray]:
        """World points [N, 3] mm -> pixels [N, 2] and depth [N] mm, float32."""
        return _project(np.asarray(points_mm), self.R, self.center_mm, self.K, self.distortion)

    def cropped(self, left: float, top: float, scale: float, size_wh: tuple[int, int]) -> Camera:
        """The camera of the image region that starts at (left, top) px (its corner), magnified by `scale`."""
        K = self.K.copy()
        K[:2] *= scale
        K[0, 2] = (self.K[0, 2] + 0.5 - left) * scale - 0.5
        K[1, 2] = (self.K[1, 2] + 0.5 - top) * scale - 0.5
        return Camera(self.R, self.center_mm, K, self.distortion, size_wh)


@dataclass(frozen=True)
class Rig:
    """A distribution of cameras. `n_fixed` cameras stand in a ring around the stage; 0: one anew for every image.

    Attributes:
        distance_mm, height_mm: ranges of the distance from the stage's centre (ring) or from the person, and of
            the height above the floor.
        fov_deg: range of the horizontal field of view; size_wh: sensor, px.
        roll_deg: standard deviation; aim_mm: height looked at.
        stage_mm: radius of the disc in which the person stands (fixed rigs).
        distortion: standard deviation of k1; the others follow it.
        principal_px: standard deviation of the principal point from the centre.
    """

    distance_mm: tuple[float, float]
    height_mm: tuple[float, float]
    fov_deg: tuple[float, float]
    size_wh: tuple[int, int] = (1000, 1000)
    n_fixed: int = 0
    roll_deg: float = 0.5
    aim_mm: float = 950.0
    stage_mm: float = 1200.0
    distortion: float = 0.0
    principal_px: float = 0.0


RIGS = {
    "studio4": Rig((4600, 5600), (1350, 1700), (46, 48), n_fixed=4, distortion=0.2, principal_px=12),
    "studio14": Rig((3000, 4200), (500, 3000), (62, 80), (2048, 2048), n_fixed=14, principal_px=20),
    "dome": Rig((2500, 2800), (400, 2900), (66, 74), (1920, 1080), n_fixed=31, distortion=0.22, stage_mm=700),
    "circle9": Rig((4000, 5000), (1400, 1800), (60, 66), (1920, 1080), n_fixed=9, distortion=0.05, principal_px=6),
    "ring107": Rig((2200, 2600), (600, 2600), (70, 76), (1920, 1080), n_fixed=107, stage_mm=400, aim_mm=1000),
    "lab2": Rig((4200, 5200), (1000, 1500), (52, 60), (800, 600), n_fixed=2, distortion=0.15, principal_px=8),
    "low5": Rig((3500, 5500), (300, 1900), (60, 68), (1920, 1080), n_fixed=5, distortion=0.1, principal_px=15),
    "anywhere": Rig((2600, 7500), (300, 3500), (28, 60), (640, 480), roll_deg=3),
    "handheld": Rig((2200, 6000), (1250, 1850), (40, 58), (1080, 1920), roll_deg=2.5, principal_px=5),
    "outdoor": Rig((2800, 6500), (1000, 2200), (45, 70), (1920, 1080), roll_deg=1.5, principal_px=10),
    "all": Rig((1600, 9000), (200, 4200), (22, 80), (640, 480), roll_deg=5, distortion=0.08, principal_px=8),
    "photo": Rig((1800, 9000), (600, 2400), (20, 75), (640, 480), roll_deg=5),
}


def stage_position(rng: np.random.Generator, rig: Rig) -> np.ndarray:
    """[2] mm where on the floor the person stands."""
    radius, angle = rig.stage_mm * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    return radius * np.array([np.cos(angle), np.sin(angle)])


def sample_camera(rng: np.random.Generator, name: str, target_mm) -> tuple[Camera, int]:
    """A camera of the rig that sees the person at `target_mm` [3], and its number (0 for moving cameras)."""
    rig = RIGS[name]
    if rig.n_fixed:
        number = int(rng.integers(rig.n_fixed))
        return _fixed_cameras(name)[number], number
    angle = rng.uniform(0, 2 * np.pi)
    distance = rng.uniform(*rig.distance_mm)
    center = np.array(
        [
            target_mm[0] + distance * np.cos(angle),
            target_mm[1] + distance * np.sin(angle),
            rng.uniform(*rig.height_mm),
        ]
    )
    aim = np.asarray(target_mm, float) + rng.normal(0, (0.05, 0.05, 0.04)) * distance
    return _build(rng, rig, center, aim), 0


@functools.cache
def _fixed_cameras(name: str) -> tuple[Camera, ...]:
    rig = RIGS[name]
    rng = np.random.default_rng([*name.encode()])
    cameras = []
    for i in range(rig.n_fixed):
        angle = 2 * np.pi * (i + 0.5) / rig.n_fixed + rng.normal(0, 0.06)
        distance = rng.uniform(*rig.distance_mm)
        center = np.array([distance * np.cos(angle), distance * np.sin(angle), rng.uniform(*rig.height_mm)])
        cameras.append(_build(rng, rig, center, np.array([*rng.normal(0, 100, 2), rig.aim_mm])))
    return tuple(cameras)


def _build(rng, rig: Rig, center, aim) -> Camera:
    forward = (aim - center) / np.linalg.norm(aim - center)
    right = np.cross(forward, (0, 0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    roll = np.deg2rad(rng.normal(0, rig.roll_deg))
    R = np.stack([np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right, forward])
    width, height = rig.size_wh
    focal = width / 2 / np.tan(np.deg2rad(rng.uniform(*rig.fov_deg)) / 2)
    K = np.array([[focal, 0, (width - 1) / 2], [0, focal * rng.uniform(0.998, 1.002), (height - 1) / 2], [0, 0, 1.0]])
    K[:2, 2] += rng.normal(0, 1, 2) * rig.principal_px
    k1 = -abs(rng.normal(0, 1)) * rig.distortion
    # The higher terms pull the other way, as those of calibrated lenses do.
    distortion = np.array([k1, -0.9 * k1, rng.normal(0, 5e-3) * k1, rng.normal(0, 5e-3) * k1, 0.0])
    # Calibrations are kept as float32 on disk.
    return Camera(
        R.astype(np.float32).astype(float),
        center,
        K.astype(np.float32).astype(float),
        distortion.astype(np.float32).astype(float),
        rig.size_wh,
    )


@njit(cache=True)
def _project(points_mm, R, center_mm, K, distortion):
    pixels = np.empty((len(points_mm), 2), np.float32)
    depth = np.empty(len(points_mm), np.float32)
    k1, k2, p1, p2, k3 = distortion[0], distortion[1], distortion[2], distortion[3], distortion[4]
    for i in range(len(points_mm)):
        px, py, pz = points_mm[i, 0] - center_mm[0], points_mm[i, 1] - center_mm[1], points_mm[i, 2] - center_mm[2]
        z = R[2, 0] * px + R[2, 1] * py + R[2, 2] * pz
        depth[i] = z
        inverse = 1 / max(z, 1.0)
        x = (R[0, 0] * px + R[0, 1] * py + R[0, 2] * pz) * inverse
        y = (R[1, 0] * px + R[1, 1] * py + R[1, 2] * pz) * inverse
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        pixels[i, 0] = K[0, 0] * u + K[0, 1] * v + K[0, 2]
        pixels[i, 1] = K[1, 1] * v + K[1, 2]
    return pixels, depth
