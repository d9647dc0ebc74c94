"""ASPset-510: sports outdoors, three cameras, 17 joints, in C3D files.

Clips of the splits train and val are training data: motion sampling at 100 mm. Clips of the split test have one camera
and are taken whole, as the split test. The box is the dataset's own (corners) x 1.1. `splits.csv` has a line
"subject, clip, split, camera" for each clip, the camera being `all` for all three. Lengths are in mm, y down.
"""

from __future__ import annotations

import csv

import numpy as np

from data_processing import boxes
from data_processing.c3d import read_c3d
from data_processing.cameras import from_extrinsics
from data_processing.converter import Converter, Unit, neighbours
from data_processing.file_cache import file_cache
from data_processing.sampling import MotionSampler
from data_processing.video import labelled_frames
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json

CAMERAS = ("left", "mid", "right")
SPLITS = {"train": ("trainval", "train"), "val": ("trainval", "train"), "test": ("test", "test")}
"""The dataset's split -> its folder, and the split of the store."""
SIZE = (3840, 2160)
N_JOINTS = 17
THRESHOLD_MM = 100
BOX_FACTOR = 1.1


class AspSet(Converter):
    def units(self) -> list[Unit]:
        table = self.find("splits.csv", "ASPset-510/splits.csv")[0]
        return [
            Unit(
                f"{subject}-{clip}-{camera}", (str(table.parent.relative_to(self.raw)), official, subject, clip, camera)
            )
            for subject, clip, official, cameras in read_splits(table)
            for camera in cameras
            if self.wants(SPLITS[official][1])
        ]

    def convert(self, unit: Unit, output) -> None:
        root, official, subject, clip, camera_name = unit.args
        folder, split = SPLITS[official]
        folder = self.raw / root / folder
        camera = read_camera(folder / "cameras" / subject / f"{subject}-{camera_name}.json")
        poses = read_poses(folder / "joints_3d" / subject / f"{subject}-{clip}.c3d")
        labelled = read_boxes(folder / "boxes" / subject / f"{unit.name}.csv")
        n_frames = min(len(poses), len(labelled))
        self.check(folder / f"joints_3d/{subject}/{subject}-{clip}.c3d", poses, cameras=camera, size=SIZE)
        sampler = MotionSampler(THRESHOLD_MM)
        frames = [i for i in range(n_frames) if split == "test" or sampler.keep(poses[i])]
        for i, image in labelled_frames(folder / "videos" / subject / f"{unit.name}.mkv", frames, output):
            self.add_crop(
                output,
                image,
                split=split,
                key=f"{subject}/{unit.name}/{i:06d}.jpg",
                camera=camera,
                coords=poses[i],
                box=boxes.within_image(boxes.expand(labelled[i], BOX_FACTOR), image.shape[1::-1]),
                seen_box=labelled[i],
                around=neighbours(poses, i),
                sequence=unit.name,
                frame=i,
            )


def read_splits(path) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """(subject, clip, official split, cameras) of the clips; a header line is passed over."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [r for r in csv.reader(file) if len(r) >= 3 and r[2] in SPLITS]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}); unpack aspset510_v1_common-splits.tar.gz again.") from None
    if not rows:
        raise UserError(f"{path} names no clip; unpack aspset510_v1_common-splits.tar.gz again.")
    return [(r[0], r[1], r[2], CAMERAS if len(r) < 4 or r[3] == "all" else (r[3],)) for r in rows]


def read_camera(path) -> CameraParams:
    data = read_json(path)
    try:
        extrinsics = np.array(data["extrinsic_matrix"], np.float64).reshape(4, 4)
        K = np.array(data["intrinsic_matrix"], np.float64).reshape(3, 4)[:, :3]
        return from_extrinsics(extrinsics[:3, :3], extrinsics[:3, 3], K, world_up=(0, -1, 0))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a camera of ASPset-510 ({error!r}); unpack it again.") from None


@file_cache(1)
def read_poses(path) -> np.ndarray:
    """[frames, 17, 3] mm."""
    poses = read_c3d(path).positions_mm
    if poses.shape[1] != N_JOINTS:
        raise UserError(f"{path} holds {poses.shape[1]} points; expected {N_JOINTS} joints.")
    return poses


def read_boxes(path) -> np.ndarray:
    """[frames, 4] left, top, width, height, from the corners in the file below its header."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            corners = np.array([[float(v) for v in row] for row in list(csv.reader(file))[1:]]).reshape(-1, 4)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} is not a table of boxes ({error}); unpack it again.") from None
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
