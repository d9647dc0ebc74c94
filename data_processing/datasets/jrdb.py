"""JRDB-Pose: people around a robot, seen by its five cameras; 17 joints, followed over time.

A person is kept when a joint has moved by a tenth of the box's larger side, or has appeared, since the person was kept
last. The box is the detection matched to the joints' box (x 1.15) with an IoU of at least 0.1, or that box without a
detector. Frames are stored as they are, with their camera, whose lens distorts strongly.

Of the raw files: the labels lag behind the pictures by two frames (label 000000 belongs to picture 000002). A joint is
labelled where its third number is above 0. `cameras.yaml` has K, D (k1 k2 p1 p2 k3), R and T (mm) by sensor: image_0,
image_2, ..., image_8 are of sensor_0 to sensor_4, which look 72 degrees apart; sensors 5 to 9 are a second ring. Up is
(0, -1, 0). Where a camera stands plays no part for 2D joints.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.cameras import from_extrinsics
from data_processing.converter import Unit
from data_processing.file_cache import file_cache
from data_processing.tracks_2d import Picture, TrackedPerson, Tracks2DConverter
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json

N_JOINTS = 17
LAG = 2
MOVED_PER_SIDE = 0.1
BOX_FACTOR = 1.15
N_PICTURE_FOLDERS = 5


class Jrdb(Tracks2DConverter):
    def units(self) -> list[Unit]:
        self.require("train_dataset/calibration/cameras.yaml")
        units = [Unit(p.stem, (p.name,)) for p in self.find("train_dataset/labels/labels_2d_pose_coco/*.json")]
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        folder = self.raw / "train_dataset"
        cameras = read_cameras(folder / "calibration" / "cameras.yaml")
        pictures = []
        for name, people in read_people(folder / "labels" / "labels_2d_pose_coco" / unit.args[0]):
            camera = camera_of(cameras, name)
            if camera is None:
                output.skip("picture of an unknown camera")
            else:
                pictures.append(Picture(name, folder / "images" / name, people, camera))
        self.add_pictures(output, pictures, split="train", sequence=unit.name)


def read_people(path) -> list[tuple[str, list[TrackedPerson]]]:
    """(picture below `images`, its people with the boxes of their joints, enlarged) in order of time."""
    data = read_json(path)
    try:
        pictures = {image["id"]: (picture_of(image["file_name"]), []) for image in data["images"]}
        for annotation in data["annotations"]:
            table = np.array(annotation["keypoints"], np.float64).reshape(N_JOINTS, 3)
            coords = np.where(table[:, 2:] > 0, table[:, :2], np.nan)
            box = boxes.box_of_points(coords, BOX_FACTOR)
            if box is not None:
                threshold = MOVED_PER_SIDE * float(max(box[2:]))
                person = TrackedPerson(coords, box, int(annotation["track_id"]), threshold)
                pictures[annotation["image_id"]][1].append(person)
        return sorted((p for p in pictures.values() if p[1]), key=lambda p: p[0])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not an annotation file of JRDB-Pose ({error!r}); fetch it again.") from None


def picture_of(label_name: str) -> str:
    """The picture to which the labels of `image_0/<sequence>/000000.jpg` belong."""
    folder, _, frame = label_name.rpartition("/")
    return f"{folder}/{int(frame.split('.')[0]) + LAG:06d}.jpg"


def camera_of(cameras: dict[int, CameraParams], picture: str) -> CameraParams | None:
    """The camera of `image_<2n>/...`: sensor n."""
    name = re.search(r"image_?(\d+)/", picture)
    if name is None:
        return None
    number, half = divmod(int(name[1]), 2)
    return cameras.get(number) if half == 0 and number < N_PICTURE_FOLDERS else None


@file_cache(1)
def read_cameras(path) -> dict[int, CameraParams]:
    """Number of a sensor -> camera, from `cameras.yaml`, of which only numbers below `sensor_<n>` are read."""
    try:
        blocks = re.split(r"(?m)^\s*sensor_(\d+):", Path(path).read_text())[1:]
        cameras = {}
        for number, block in zip(blocks[::2], blocks[1::2], strict=True):
            values = {n: _numbers(block, n, shape) for n, shape in (("K", (3, 3)), ("D", 5), ("R", (3, 3)), ("T", 3))}
            cameras[int(number)] = from_extrinsics(
                values["R"], values["T"], values["K"], distortion=values["D"], world_up=(0, -1, 0)
            )
        if not cameras:
            raise ValueError("it names no sensor")
        return cameras
    except (OSError, ValueError, np.linalg.LinAlgError) as error:
        raise UserError(f"{path} is not the camera calibration of JRDB ({error}); fetch it again.") from None


def _numbers(block: str, name: str, shape) -> np.ndarray:
    """The numbers behind `name:` in a block of YAML, on the same line or on those that follow."""
    found = re.search(rf"(?m)^\s*{name}:\s*(?:[>|][-+]?)?((?:[\s\[\],]*[-+]?[\d.]+(?:[eE][-+]?\d+)?)+)", block)
    if found is None:
        raise ValueError(f"a sensor lacks {name}")
    return np.array(re.findall(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", found[1]), np.float64).reshape(shape)
