"""MediaPipe's BlazePose from its own .tflite files: the network that the benchmark of real people compares with.

The network looks at a square around a person, turned so that they stand upright, and gives 33 landmarks, two more that
say where to look next (the middle of the hips, and a point on the circle around the person), and the landmarks in
metres about the hips. As MediaPipe's tracker does it, the square of the next frame is 1.25 times the diameter of that
circle; where the network sees nobody, the given box is taken again. Left out: smoothing over time and the refinement of
2D landmarks by heat maps.
"""

from __future__ import annotations

import tarfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from metrabs_acae.errors import UserError

SIZE_PX = 256
SCALE = 1.25
LOWEST_SCORE = 0.5
HIP_CENTRE, ON_CIRCLE = 33, 34
VARIANTS = ("lite", "full", "heavy")
LANDMARKS = {
    side + joint: number + (side == "r")
    for side in "lr"
    for joint, number in {"sho": 11, "elb": 13, "wri": 15, "hip": 23, "kne": 25, "ank": 27}.items()
}
"""Limb joint -> number of its landmark."""


@dataclass(frozen=True)
class Region:
    """A square of the picture: centre and side in px, turned clockwise (as seen) by `angle` radians."""

    centre: np.ndarray
    side: float
    angle: float = 0.0

    @classmethod
    def of_box(cls, box_ltwh) -> Region:
        left, top, width, height = np.asarray(box_ltwh, np.float64)
        return cls(np.array([left + width / 2, top + height / 2]), SCALE * max(width, height))

    @classmethod
    def of_landmarks(cls, landmarks_px) -> Region:
        """The next frame's region: the person upright in it, their circle and a quarter more."""
        hips, circle = landmarks_px[HIP_CENTRE, :2], landmarks_px[ON_CIRCLE, :2]
        x, y = circle - hips
        return cls(hips, 2 * SCALE * float(np.hypot(x, y)), float(np.arctan2(x, -y)))

    @property
    def rotation(self) -> np.ndarray:
        """[2, 2], from directions in the crop to directions in the picture (column vectors)."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.array([[c, -s], [s, c]])

    def to_picture(self, points) -> np.ndarray:
        """[..., 2] in the crop (0 to `SIZE_PX` from edge to edge) -> px of the picture."""
        return self.centre + self.side * (np.asarray(points) / SIZE_PX - 0.5) @ self.rotation.T

    def crop(self, image) -> np.ndarray:
        """[SIZE_PX, SIZE_PX, 3]; what lies outside the picture repeats its edge, as in MediaPipe."""
        origin = self.to_picture([0.5, 0.5])  # the centre of the crop's first pixel
        matrix = np.column_stack([self.side / SIZE_PX * self.rotation, origin])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, matrix, (SIZE_PX, SIZE_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE)


class BlazePose:
    """One of the landmark networks, run by TensorFlow's interpreter."""

    def __init__(self, content: bytes, threads: int):
        import tensorflow as tf

        with warnings.catch_warnings(action="ignore"):
            self._interpreter = tf.lite.Interpreter(model_content=content, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        index = {int(np.prod(d["shape"])): d["index"] for d in self._interpreter.get_output_details()}
        self._outputs = [index[size] for size in (39 * 5, 39 * 3, 1)]

    def __call__(self, crop) -> tuple[np.ndarray, np.ndarray, float]:
        """([39, 3] landmarks in px of the crop, [39, 3] mm about the hips, score) of a crop [256, 256, 3] RGB."""
        self._interpreter.set_tensor(self._input, crop[np.newaxis].astype(np.float32) / 255)
        self._interpreter.invoke()
        landmarks, world, score = (self._interpreter.get_tensor(i) for i in self._outputs)
        return landmarks.reshape(39, 5)[:, :3], 1000 * world.reshape(39, 3), float(score.item())


def look(network, image, region: Region) -> tuple[np.ndarray, np.ndarray, float]:
    """([39, 2] px of the picture, [39, 3] mm about the hips, turned as the picture is, score)"""
    landmarks, world, score = network(region.crop(image))
    turned = np.column_stack([world[:, :2] @ region.rotation.T, world[:, 2]])
    return region.to_picture(landmarks[:, :2]), turned, score


def in_camera(world_mm, points_px, hips_px, intrinsics, distortion) -> np.ndarray:
    """Landmarks [J, 3] about the hips in the camera's frame, mm.

    The network sees each person as from straight ahead, so the pose is turned from the camera's axis to the direction
    of the hips; then it is moved to where it fits its landmarks [J, 2] px best (least squares, linear in the position).
    """

    def rays(points):
        normalized = cv2.undistortPoints(np.float64(points).reshape(-1, 1, 2), intrinsics, distortion)[:, 0]
        return np.column_stack([normalized, np.ones(len(normalized))])

    turned = world_mm @ from_axis(rays(hips_px)[0]).T
    x, y, _ = rays(points_px).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    equations = np.concatenate([np.column_stack([one, zero, -x]), np.column_stack([zero, one, -y])])
    right = np.concatenate([x * turned[:, 2] - turned[:, 0], y * turned[:, 2] - turned[:, 1]])
    return turned + np.linalg.lstsq(equations, right, rcond=None)[0]


def from_axis(direction) -> np.ndarray:
    """[3, 3], the smallest rotation that takes the z axis to a direction."""
    x, y, z = direction / np.linalg.norm(direction)
    return np.array(
        [[1 - x * x / (1 + z), -x * y / (1 + z), x], [-x * y / (1 + z), 1 - y * y / (1 + z), y], [-x, -y, z]]
    )


def read_networks(path: Path) -> dict[str, bytes]:
    """The landmark networks in a folder, a wheel or an npm package (.tgz): variant -> contents of its file."""
    wanted = {f"pose_landmark_{name}.tflite": name for name in VARIANTS}
    found = {}
    if path.is_dir():
        found = {wanted[p.name]: p.read_bytes() for p in path.rglob("*.tflite") if p.name in wanted}
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            found = {wanted[n]: archive.read(i) for i in archive.namelist() if (n := Path(i).name) in wanted}
    elif path.is_file() and tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            members = [m for m in archive if m.isfile() and Path(m.name).name in wanted]
            found = {wanted[Path(m.name).name]: archive.extractfile(m).read() for m in members}
    if not found:
        raise UserError(
            f"{path} has no {', '.join(wanted)}; give a folder with one of them, the wheel of mediapipe 0.10.21 "
            "(`pip download --no-deps mediapipe==0.10.21`) or the npm package @mediapipe/pose."
        )
    return {name: found[name] for name in VARIANTS if name in found}
