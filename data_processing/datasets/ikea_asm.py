"""IKEA ASM: people who assemble furniture, seen by three cameras; 17 joints, triangulated.

All scans with 3D poses but `special_test`. Motion sampling at 100 mm, where a joint that appears counts as moved; four
joints must be in the picture. The box is the detection that overlaps most with the labels' box (x 1.2), with an IoU of
at least 0.3, or that box where nothing was detected.

Of the raw files: the poses are in a camera's own frame, in cm, joints at the origin are missing; the number in their
names is the video's frame. `Calibration/camera_parameters.pkl` has K and R by room (the fourth part of a scan's name)
and device. Where the cameras stand is not used, and up is what is up in the reference camera: (0, -1, 0).
"""

from __future__ import annotations

import numpy as np

from data_processing import boxes
from data_processing.cameras import is_inside, make_camera, project_camera_frame, to_world
from data_processing.converter import Converter, Unit
from data_processing.file_cache import file_cache
from data_processing.sampling import MotionSampler
from data_processing.video import labelled_frames, video_info
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json
from metrabs_acae.safe_pickle import load_pickle

N_JOINTS = 17
MM_PER_CM = 10
THRESHOLD_MM, MIN_JOINTS = 100, 4
EXCLUDED = "special_test"


class IkeaAsm(Converter):
    def units(self) -> list[Unit]:
        self.require("Calibration/camera_parameters.pkl")
        units = []
        for path in self.find("*/*/dev*/pose3d"):
            furniture, scan, device, _ = path.parts[-4:]
            if scan != EXCLUDED:
                units.append(Unit(f"{furniture}/{scan}/{device}", (furniture, scan, device)))
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        furniture, scan, device = unit.args
        folder = self.raw / furniture / scan / device
        camera = self._camera(scan, device)
        video = next((p for p in (folder / "images/scan_video.avi", folder / "scan_video.avi") if p.is_file()), None)
        if video is None:
            raise UserError(f"{folder / 'images/scan_video.avi'} is missing; unpack it again.")
        paths = sorted((folder / "pose3d").glob("*.json"))
        size = video_info(video).size_wh
        known = {"size": size, "frames": [p.stem for p in paths]}
        self.check(folder / "pose3d", to_world(camera, [read_pose(p) for p in paths]), cameras=camera, **known)
        poses = choose(paths, camera, size, output)
        for i, image in labelled_frames(video, poses, output):
            label_box = boxes.box_of_points(project_camera_frame(camera, poses[i]), 1.2)
            box = boxes.detection_or_label(label_box, self.detect(image, video, i), min_iou=0.3)
            if box is None:
                output.skip("no detection")
                continue
            self.add_crop(
                output,
                image,
                split="train",
                key=f"{unit.name}/{i:06d}.jpg",
                camera=camera,
                coords=to_world(camera, poses[i]),
                box=box,
                sequence=f"{furniture}/{scan}",
                frame=i,
                activity=furniture,
            )

    def _camera(self, scan: str, device: str) -> CameraParams:
        path = self.raw / "Calibration/camera_parameters.pkl"
        parts = scan.split("_")
        room = parts[3] if len(parts) > 3 else scan
        try:
            values = read_parameters(path)[room][device]
            return make_camera(
                np.asarray(values["R"], np.float64).reshape(3, 3),
                np.zeros(3),
                np.asarray(values["K"], np.float64).reshape(3, 3),
                world_up=(0, -1, 0),
            )
        except (KeyError, TypeError, IndexError, ValueError, np.linalg.LinAlgError) as error:
            raise UserError(f"{path} has no camera {device} of room {room} ({error!r}); fetch it again.") from None


@file_cache(1)
def read_parameters(path) -> dict:
    return load_pickle(path)


def choose(paths, camera: CameraParams, size, output) -> dict[int, np.ndarray]:
    """The poses [17, 3] mm in the camera's frame to keep, by frame."""
    sampler = MotionSampler(THRESHOLD_MM, check_validity=True)
    chosen = {}
    for path in paths:
        pose = read_pose(path)
        if not sampler.keep(pose):
            continue
        if is_inside(project_camera_frame(camera, pose), size).sum() < MIN_JOINTS:
            output.skip(f"fewer than {MIN_JOINTS} joints in the picture")
        else:
            chosen[int(path.stem)] = pose
    return chosen


def read_pose(path) -> np.ndarray:
    """[17, 3] mm in the camera's frame, NaN = missing."""
    try:
        if not path.stem.isdecimal():
            raise ValueError("its name is not a frame's number")
        table = np.array(read_json(path)["pose_keypoints_3d"], np.float64).reshape(N_JOINTS, 4)
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is not a pose of {N_JOINTS} joints ({error!r}); unpack it again.") from None
    return np.where((table[:, :3] == 0).all(-1, keepdims=True), np.nan, table[:, :3] * MM_PER_CM)
