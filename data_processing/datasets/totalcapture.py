"""TotalCapture: eight cameras around one person, 21 joints from Vicon, mattes.

Subjects 1-3 without walking2, freestyle3 and acting3, which are test material. A frame needs six joints in the picture;
motion sampling at 100 mm. The box is the common part of the labels' box (x 1.25), the matte's box and the picture.

Of the raw files: the server's folders video, mattes and vicon, unpacked where they are. A line of
`gt_skel_gbl_pos.txt` is a video frame (60 Hz) of "x y z" in inches, separated by tabs, below a line of joint names;
`calibration.cal` has seven lines per camera (image bounds; fx fy cx cy; k1; R; t in metres, world to camera); y is up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from data_processing import boxes, masks
from data_processing.cameras import from_extrinsics, intrinsics, is_inside, project
from data_processing.converter import Converter, Unit, neighbours
from data_processing.file_cache import file_cache
from data_processing.sampling import MotionSampler
from data_processing.video import labelled_frames, read_frames, video_info
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

TRAIN_SUBJECTS = (1, 2, 3)
TEST_RECORDINGS = ("walking2", "freestyle3", "acting3")
VICON_NAMES = (
    "Hips Spine Spine1 Spine2 Spine3 Neck Head RightShoulder RightArm RightForeArm RightHand LeftShoulder LeftArm "
    "LeftForeArm LeftHand RightUpLeg RightLeg RightFoot LeftUpLeg LeftLeg LeftFoot"
).split()
"""The names of the file, in the order of the skeleton."""
MM_PER_INCH, MM_PER_M = 25.4, 1000
THRESHOLD_MM, MIN_JOINTS = 100, 6
MATTE_THRESHOLD = 127
LINES_PER_CAMERA, LINES_AT_ONCE = 7, 1000
VIDEO_NAME = re.compile(r"TC_S(\d)_([a-z]+\d)_cam(\d)")


class TotalCapture(Converter):
    def units(self) -> list[Unit]:
        self.require("calibration.cal")
        units = []
        for path in self.find("video/**/TC_S*_cam*.mp4"):
            name = VIDEO_NAME.fullmatch(path.stem)
            if name is None or int(name[1]) not in TRAIN_SUBJECTS or name[2] in TEST_RECORDINGS:
                continue
            units.append(Unit(path.stem, (path.relative_to(self.raw / "video").as_posix(),)))
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        subject, recording, camera_number = VIDEO_NAME.fullmatch(unit.name).groups()
        video = self.raw / "video" / unit.args[0]
        cameras = read_cameras(self.raw / "calibration.cal")
        if int(camera_number) > len(cameras):
            raise UserError(f"{self.raw / 'calibration.cal'} lacks camera {camera_number}; fetch it again.")
        camera = cameras[int(camera_number) - 1]
        labels = self.raw / "vicon" / f"S{subject}" / recording / "gt_skel_gbl_pos.txt"
        size = video_info(video).size_wh
        others = {str(i + 1): c for i, c in enumerate(cameras) if c is not camera}
        for first, piece in read_poses(labels):
            frames = range(first, first + len(piece))
            self.check(labels, piece, cameras=camera, size=size, frames=frames, others=others)
        poses, around = choose(labels, camera, size)
        matte = self._matte(self.raw / "mattes" / unit.args[0], poses, output)
        for i, image in labelled_frames(video, poses, output):
            box = boxes.box_of_points(project(camera, poses[i]), 1.25)
            mask = seen = None
            if matte is not None:
                mask = next((m for j, m in matte if j == i), None)
                seen = None if mask is None or mask.shape != image.shape[:2] else masks.box_of(mask)
                if seen is None:
                    output.skip("no person in the matte")
                    continue
                box = boxes.intersection(box, seen)
            self.add_crop(
                output,
                image,
                split="train",
                key=f"S{subject}/{recording}/cam{camera_number}/{i:06d}.jpg",
                camera=camera,
                coords=poses[i],
                box=boxes.within_image(box, image.shape[1::-1]),
                mask=mask,
                seen_box=seen,
                around=around[i],
                sequence=f"S{subject}_{recording}",
                frame=i,
                activity=recording.rstrip("0123456789"),
            )

    def _matte(self, path, frames, output):
        """The mattes of these frames, in step with the video; None where the file is absent."""
        if not path.is_file():
            output.skip("no matte video (frames are kept)")
            return None
        return ((i, image[..., 0] > MATTE_THRESHOLD) for i, image in read_frames(path, frames))


def choose(path, camera: CameraParams, size) -> tuple[dict[int, np.ndarray], dict[int, tuple]]:
    """The poses [21, 3] mm to keep, by frame, and those a frame earlier and later."""
    sampler = MotionSampler(THRESHOLD_MM)
    chosen, around = {}, {}
    for first, poses in read_poses(path):
        visible = is_inside(project(camera, poses), size).sum(-1) >= MIN_JOINTS
        for i in np.flatnonzero(visible).tolist():
            if sampler.keep(poses[i]):
                chosen[first + i] = poses[i].copy()
                around[first + i] = tuple(p.copy() for p in neighbours(poses, i))
    return chosen, around


def read_poses(path) -> Iterator[tuple[int, np.ndarray]]:
    """(first frame, [frames, 21, 3] mm) of a text file, a piece at a time."""
    try:
        with open(path) as file:
            header = file.readline().split()
            if sorted(header) != sorted(VICON_NAMES):
                raise ValueError(f"the first line does not name the {len(VICON_NAMES)} joints")
            order = [header.index(name) for name in VICON_NAMES]
            first = 0
            while lines := list(islice(file, LINES_AT_ONCE)):
                lines = [line for line in lines if line.strip()]
                poses = np.array(" ".join(lines).split(), np.float64).reshape(len(lines), len(order), 3)
                yield first, poses[:, order] * MM_PER_INCH
                first += len(lines)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the raw folder.") from None
    except ValueError as error:
        raise UserError(f"{path} is not a pose file of TotalCapture ({error}); fetch it again.") from None


@file_cache(4)
def read_cameras(path) -> list[CameraParams]:
    """The cameras of `calibration.cal`."""
    try:
        lines = [[float(v) for v in line.split()] for line in Path(path).read_text().splitlines() if line.strip()]
        n_cameras = int(lines[0][0])
        if len(lines) < 1 + n_cameras * LINES_PER_CAMERA:
            raise ValueError(f"fewer lines than {n_cameras} cameras need")
        cameras = []
        for i in range(n_cameras):
            _, focal_and_center, (k1,), *R, t = lines[1 + i * LINES_PER_CAMERA :][:LINES_PER_CAMERA]
            K = intrinsics(*focal_and_center)
            t_mm = np.reshape(t, 3) * MM_PER_M
            cameras.append(from_extrinsics(R, t_mm, K, distortion=(k1, 0, 0, 0, 0), world_up=(0, 1, 0)))
        return cameras
    except (OSError, ValueError, TypeError, IndexError, OverflowError, np.linalg.LinAlgError) as error:
        raise UserError(f"{path} is not the camera calibration of TotalCapture ({error}); fetch it again.") from None
