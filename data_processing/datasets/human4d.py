"""HUMAN4D: one person in a studio, four colour cameras that stand on their side, 32 joints.

Motion sampling at 100 mm against the last 100 poses kept. The box is the detection that overlaps most with the labels'
box (x 1.2), with an IoU of at least 0.5, or that box where nothing was detected; its larger side must be 30 px.
Detectors see the pictures upright; a file of detections has its boxes in the pictures as they are.

Of the raw files: `gposes3d/<n>.npy` is [1, 33, 3] in mm, of which the 16th repeats the neck; picture f of a take shows
pose f - offset + 1, the offset being the take's first number in `offsets.txt`; the first three lines of
`pose/<camera>.extrinsics` are the rotation from camera to world, the fourth the camera's place in mm; K is that of
1280 x 720 of the device of that name. Assumed, because nothing says so: z is up. Takes of two people are left out.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.cameras import make_camera, project
from data_processing.converter import Converter, Unit
from data_processing.file_cache import file_cache
from data_processing.images import read_image
from data_processing.sampling import BufferedMotionSampler
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json

SUBJECTS = ("S1", "S2", "S3", "S4")
N_RAW_JOINTS, REPEATED_JOINT = 33, 15
JOINTS = [i for i in range(N_RAW_JOINTS) if i != REPEATED_JOINT]
THRESHOLD_MM, BUFFER_SIZE = 100, 100
MIN_SIDE_PX = 30
RESOLUTION = "1280x720"
UP = (0, 0, 1)
PICTURE_NAME = re.compile(r"(\d+)_([A-Za-z0-9]+)_color_.*")


class Human4D(Converter):
    def units(self) -> list[Unit]:
        units = []
        for folder in self.find("S*/*/Dump/color"):
            subject, take = folder.parts[-4], folder.parts[-3]
            if subject in SUBJECTS:
                cameras = sorted(p.stem for p in (self.raw / subject / "pose").glob("*.extrinsics"))
                if not cameras:
                    raise UserError(f"{self.raw / subject / 'pose'} holds no *.extrinsics; fetch the calibration.")
                units += [Unit(f"{subject}/{take}/{camera}", (subject, take, camera)) for camera in cameras]
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        subject, take, camera_name = unit.args
        camera = self._camera(subject, camera_name)
        offset = read_offsets(self.raw / subject / "offsets.txt").get(take)
        if offset is None:
            raise UserError(f"{self.raw / subject / 'offsets.txt'} lacks the take {take}; fetch it again.")
        sampler = BufferedMotionSampler(THRESHOLD_MM, BUFFER_SIZE, check_validity=True)
        folder = self.raw / subject / take / "Dump"
        listed = pictures(folder / "color", camera_name)
        self._check(folder / "gposes3d", listed, offset, camera)
        for frame, path in listed:
            pose = read_pose(folder / "gposes3d" / f"{frame - offset + 1}.npy") if frame >= offset - 1 else None
            if pose is None:
                output.skip("no pose of one person for a picture")
                continue
            if not sampler.keep(pose):
                continue
            image = read_image(path)
            label_box = boxes.box_of_points(project(camera, pose), 1.2)
            if label_box is None:
                output.skip("behind the camera")
                continue
            box = boxes.detection_or_label(label_box, self._detect_upright(image, path, camera), min_iou=0.5)
            if box is None or max(box[2:]) < MIN_SIDE_PX:
                output.skip("no detection, or a small one")
                continue
            self.add_crop(
                output,
                image,
                split="train",
                key=f"{unit.name}/{frame:06d}.jpg",
                camera=camera,
                coords=pose,
                box=box,
                sequence=f"{subject}/{take}",
                frame=frame,
            )

    def _check(self, folder: Path, listed, offset: int, camera: CameraParams) -> None:
        frames = [frame for frame, _ in listed if frame >= offset - 1]
        labelled = [(f, p) for f in frames if (p := read_pose(folder / f"{f - offset + 1}.npy")) is not None]
        if labelled:
            size = tuple(int(v) for v in RESOLUTION.split("x"))
            poses = np.stack([p for _, p in labelled])
            self.check(folder, poses, cameras=camera, size=size, frames=[f for f, _ in labelled])

    def _detect_upright(self, image, path, camera: CameraParams) -> np.ndarray:
        if self.options.detector == "none" or self.options.detector.startswith("json:"):
            return self.detect(image, path)
        turns = quarter_turns(camera)
        found = np.array(self.detect(np.ascontiguousarray(np.rot90(image, turns)), path), np.float64).reshape(-1, 5)
        found[:, :4] = [turn_back(box, turns, image.shape[1::-1]) for box in found[:, :4]] or found[:, :4]
        return found

    def _camera(self, subject: str, name: str) -> CameraParams:
        repository = self.raw / subject / "device_repository.json"
        repository = repository if repository.is_file() else self.raw / "device_repository.json"
        K = read_intrinsics(repository).get(name)
        if K is None:
            raise UserError(f"{repository} lacks the device {name} at {RESOLUTION}; fetch it again.")
        R, position = read_extrinsics(self.raw / subject / "pose" / f"{name}.extrinsics")
        return make_camera(R, position, K, world_up=UP)


def pictures(folder: Path, camera: str) -> list[tuple[int, Path]]:
    """(frame, file) of a camera's pictures, in order."""
    named = ((PICTURE_NAME.fullmatch(p.stem), p) for p in folder.glob(f"*_{camera}_color_*.png"))
    return sorted((int(name[1]), p) for name, p in named if name)


def read_pose(path) -> np.ndarray | None:
    """[32, 3] mm; None where there is no such file, or several people; UserError where it is damaged."""
    try:
        with open(path, "rb") as file:
            raw = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, MemoryError, SyntaxError) as error:
        raise UserError(f"{path} is not a readable array ({error}); fetch it again.") from None
    if raw.shape[-2:] != (N_RAW_JOINTS, 3) or raw.dtype.kind not in "fiu":
        raise UserError(f"{path} holds {raw.dtype} of shape {raw.shape}, expected (1, {N_RAW_JOINTS}, 3) numbers.")
    if raw.size != N_RAW_JOINTS * 3:
        return None
    return raw.reshape(N_RAW_JOINTS, 3)[JOINTS].astype(np.float64)


@file_cache(4)
def read_offsets(path) -> dict[str, int]:
    """Take -> how many pictures there are before the first pose."""
    try:
        lines = [line.split() for line in Path(path).read_text().splitlines() if line.strip()]
        return {line[0]: int(line[1]) for line in lines}
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path} is not a list of takes and offsets ({error}); fetch it again.") from None


@file_cache(4)
def read_intrinsics(path) -> dict[str, np.ndarray]:
    """Device -> K [3, 3] of its colour pictures."""
    devices = read_json(path)
    try:
        return {d["Device"]: np.array(d["Color Intrinsics"][0][RESOLUTION], np.float64).reshape(3, 3) for d in devices}
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(f"{path} is not a list of devices with their intrinsics ({error!r}); fetch it again.") from None


@file_cache(4)
def read_extrinsics(path) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [3, 3] from world to camera and the camera's place [3] mm."""
    try:
        matrix = np.array(Path(path).read_text().split(), np.float64).reshape(4, 3)
        if not np.isfinite(matrix).all():
            raise ValueError("a number is not finite")
        return matrix[:3].T, matrix[3]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a camera's place of four lines ({error}); fetch it again.") from None


def quarter_turns(camera: CameraParams) -> int:
    """How often a picture must be turned by 90 degrees counterclockwise for people to stand upright in it."""
    x, y, _ = camera.R @ np.asarray(camera.world_up, np.float64)
    return int(np.round(np.degrees(np.arctan2(-x, -y)) / -90)) % 4


def turn_back(box, turns: int, image_size_wh) -> np.ndarray:
    """A box of the picture turned by `np.rot90(image, turns)` in the picture itself, of this size."""
    left, top, width, height = box
    image_width, image_height = image_size_wh
    if turns == 0:
        return np.array([left, top, width, height])
    if turns == 2:
        return np.array([image_width - 1 - left - width, image_height - 1 - top - height, width, height])
    if turns == 1:  # the turned picture's y counts the picture's x from the right
        return np.array([image_width - 1 - top - height, left, height, width])
    return np.array([top, image_height - 1 - left - width, height, width])
