"""UMPM: one or two people in a studio, four cameras, 15 joints (the virtual markers of the `_vm` files).

Every second motion capture frame (100 Hz) is a video frame (50 Hz). Motion sampling at 100 mm of the pose about its
mean, against the last 300 kept ones of the person. The box is the detection of IoU of at least 0.5 with the labels' box
(x 1.15), or that box without a detector. Joints at the ends of bones that are too short or too long are missing ones:
below half or above 1.25 of the person's median in the recording, and 80 mm off.

Assumed of the raw files: the points of a `_vm.c3d` are the 15 joints of the first person, then those of the second;
a line-wise calibration has K (three lines), k1 k2 p1 p2, a rotation vector and a translation in mm (world to camera);
`<recording>.json` names its calibration. Three of those JSON files are broken as released, others have a comma too
many. Videos are `Video/<recording>_<camera>.avi` (unpack the .xz), or folders of that name with `frame_<6 digits>.jpg`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.c3d import read_c3d
from data_processing.cameras import from_extrinsics, project
from data_processing.converter import Converter, Unit, neighbours
from data_processing.file_cache import file_cache
from data_processing.images import read_image
from data_processing.sampling import BufferedMotionSampler
from data_processing.video import read_frames
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

CAMERAS = "fsrl"
SIZE = (644, 484)
N_JOINTS = 15
MOCAP_STEP = 2
THRESHOLD_MM, BUFFER_SIZE = 100, 300
MIN_RATIO, MAX_RATIO, MIN_DIFFERENCE_MM = 0.5, 1.25, 80.0
CALIBRATIONS_KNOWN = {"p2_free_1": "calib_n27", "p3_circle_2": "calib_l06"}
"""Of recordings whose JSON file is broken; that of p2_free_2 is not known."""
UNUSABLE = ("p2_free_2",)


class Umpm(Converter):
    def units(self) -> list[Unit]:
        units = []
        for path in self.find("*.json"):
            if path.stem in UNUSABLE:
                continue
            calibration = read_calibration_name(path)
            units += [Unit(f"{path.stem}_{c}", (path.stem, calibration, c)) for c in CAMERAS]
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        recording, calibration, camera_name = unit.args
        camera = read_camera(self.raw / "Calib" / f"{calibration}_{camera_name}.ini")
        poses = read_poses(self.raw / "Groundtruth" / f"{recording}_vm.c3d")
        poses = without_strange_bones(poses, np.array(self.info.get_skeleton().edges))
        files = {c: self.raw / "Calib" / f"{calibration}_{c}.ini" for c in CAMERAS if c != camera_name}
        others = self.other_cameras(read_camera, files)
        for person in poses.transpose(1, 0, 2, 3):
            path = self.raw / "Groundtruth" / f"{recording}_vm.c3d"
            self.check(path, person, cameras=camera, size=SIZE, others=others)
        chosen = choose(poses)
        n_seen = 0
        for frame, image, source in self._frames(unit.name, sorted(chosen)):
            n_seen += 1
            everyone = poses[frame]
            found = self._boxes(image, source, [project(camera, p) for p in everyone])
            for person in chosen[frame]:
                if found[person] is None:
                    output.skip("no detection, or not in view")
                    continue
                self.add_crop(
                    output,
                    image,
                    split="train",
                    key=f"{unit.name}/{frame:06d}_{person}.jpg",
                    camera=camera,
                    coords=everyone[person],
                    box=found[person],
                    around=neighbours(poses[:, person], frame),
                    sequence=recording,
                    frame=frame,
                    person=person,
                )
        for _ in range(len(chosen) - n_seen):
            output.skip("no picture for a labelled frame")

    def _boxes(self, image, source: tuple, points: list[np.ndarray]) -> list[np.ndarray | None]:
        labelled = [boxes.box_of_points(p, 1.15) for p in points]
        if self.options.detector == "none":
            return labelled
        detections = self.detect(image, *source)
        matched = boxes.match([np.zeros(4) if b is None else b for b in labelled], detections, min_iou=0.5)
        return [None if j is None else detections[j, :4] for j in matched]

    def _frames(self, name: str, frames: list[int]):
        """(frame number, picture, where it is from)."""
        video, folder = self.raw / "Video" / f"{name}.avi", self.raw / "Video" / name
        if not folder.is_dir():
            if not video.is_file() and video.with_suffix(".avi.xz").is_file():
                raise UserError(f"{video}.xz is still packed; unpack it: xz --decompress {video}.xz")
            yield from ((i, image, (video, i)) for i, image in read_frames(video, frames))
            return
        for i in frames:
            path = folder / f"frame_{i:06d}.jpg"
            if path.is_file():
                yield i, read_image(path), (path,)


def choose(poses: np.ndarray) -> dict[int, list[int]]:
    """Frame -> the people to keep, of poses [frames, people, 15, 3]."""
    samplers = [BufferedMotionSampler(THRESHOLD_MM, BUFFER_SIZE, check_validity=True) for _ in range(poses.shape[1])]
    chosen: dict[int, list[int]] = {}
    for frame, people in enumerate(poses):
        for person, (pose, sampler) in enumerate(zip(people, samplers, strict=True)):
            known = np.isfinite(pose).all(-1)
            if known.any() and sampler.keep(pose - pose[known].mean(0)):
                chosen.setdefault(frame, []).append(person)
    return chosen


def without_strange_bones(poses: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Poses [frames, people, J, 3] without the joints at the ends of bones [E, 2] of unusual length."""
    poses = poses.copy()
    lengths = np.linalg.norm(poses[:, :, edges[:, 0]] - poses[:, :, edges[:, 1]], axis=-1)
    for person in range(poses.shape[1]):
        for i, edge in enumerate(edges):
            length = lengths[:, person, i]
            if not np.isfinite(length).any():
                continue
            usual = np.nanmedian(length)
            with np.errstate(invalid="ignore"):
                strange = (length < MIN_RATIO * usual) | (length > MAX_RATIO * usual)
                strange &= np.abs(length - usual) > MIN_DIFFERENCE_MM
            for joint in edge:
                poses[strange, person, joint] = np.nan
    return poses


@file_cache(1)
def read_poses(path) -> np.ndarray:
    """[video frames, people, 15, 3] mm, NaN = missing."""
    points = read_c3d(path).positions_mm[::MOCAP_STEP]
    if points.shape[1] not in (N_JOINTS, 2 * N_JOINTS):
        raise UserError(f"{path} has {points.shape[1]} points, expected {N_JOINTS} a person; is it a _vm file?")
    poses = points.reshape(len(points), -1, N_JOINTS, 3).copy()
    poses[(poses == 0).all(-1)] = np.nan
    return poses


def read_calibration_name(path: Path) -> str:
    """The calibration that a recording's JSON file names; also where the file is not quite JSON."""
    if path.stem in CALIBRATIONS_KNOWN:
        return CALIBRATIONS_KNOWN[path.stem]
    try:
        found = re.search(r'"calib"\s*:\s*"([\w\-]+)"', path.read_text(errors="replace"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the raw folder.") from None
    if found is None:
        raise UserError(f"{path} does not name its calibration; fetch it again.")
    return found[1]


@file_cache(4)
def read_camera(path) -> CameraParams:
    """The camera of a calibration file."""
    import cv2

    try:
        lines = [[float(v) for v in line.split()] for line in Path(path).read_text().splitlines() if line.strip()]
        K, distortion, rotation, translation = np.array(lines[:3]), lines[3], lines[4], lines[5]
        if K.shape != (3, 3) or [len(v) for v in (distortion, rotation, translation)] != [4, 3, 3]:
            raise ValueError("other numbers of columns than 3, 3, 3, 4, 3, 3")
        R = cv2.Rodrigues(np.array(rotation))[0]
        return from_extrinsics(R, translation, K, distortion=distortion, world_up=(0, 0, 1))
    except (OSError, ValueError, IndexError, np.linalg.LinAlgError) as error:
        raise UserError(f"{path} is not a camera calibration of UMPM ({error}); fetch it again.") from None
