"""A real person on a treadmill, filmed by four calibrated cameras: the single-person demo of the package `pose2sim`.

The videos come from the package (BSD-3); the 12 joints, cameras and boxes are this project's own, in
`assets/pose2sim_demo_truth.npz`: landmarks of a 2D network triangulated over the four views and smoothed over time.
They err by some 15 mm (reprojection 8.5 to 12 px at 20 mm), so they rank models that err by 60 mm and more. It is a
benchmark only: what is trained on these frames is not measured by them any more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_processing.converter import Converter, Unit
from data_processing.rows import Row
from data_processing.video import labelled_frames
from metrabs_acae.data.lens import Lens
from metrabs_acae.data.records import CameraParams

TRUTH = Path(__file__).parents[1] / "assets" / "pose2sim_demo_truth.npz"


class Pose2SimDemo(Converter):
    def units(self) -> list[Unit]:
        return [Unit(p.stem, (str(p), int(p.stem[3:]) - 1)) for p in self.find("videos/cam0[1-4].mp4", "cam0[1-4].mp4")]

    def convert(self, unit: Unit, output) -> None:
        path, number = unit.args
        truth = read_truth()
        camera = camera_of(truth, number)
        for frame, image in labelled_frames(path, range(len(truth["world_mm"])), output):
            key = f"{unit.name}/{frame:03d}.jpg"
            output.write_image(key, image)
            box = truth["boxes_ltwh_px"][frame, number]
            row = {"sequence": unit.name, "frame": frame, "activity": "run"}
            output.add(Row("test", key, box, camera, truth["world_mm"][frame], **row))


def read_truth() -> dict[str, np.ndarray]:
    """`world_mm` [F, 12, 3], `joint_names`, `boxes_ltwh_px` [F, 4, 4] and the cameras' K, distortion, R and t_mm."""
    with np.load(TRUTH, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def camera_of(truth: dict[str, np.ndarray], number: int) -> CameraParams:
    """Camera 0 to 3; x_camera = R x_world + t."""
    R, t = truth["R"][number].astype(np.float64), truth["t_mm"][number]
    return CameraParams(R, -R.T @ t, truth["K"][number], Lens.brown_conrady(truth["distortion"][number]))
