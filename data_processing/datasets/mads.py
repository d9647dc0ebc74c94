"""MADS (Martial Arts, Dancing and Sports): multi-view videos of one person, 15 or 19 joints.

Motion sampling at 100 mm, where a joint that appears counts as moved. The box is the detection that overlaps most with
the labels' box (x 1.2), or that box without one. Recordings of 15 joints lack hands and toes.

Assumed of the raw files: `GTpose2` of `*_GT.mat` is a cell per video frame with [15 or 19, 3] mm; `Calib_Cam<i>.mat`
lies beside the videos and holds what the Caltech calibration toolbox writes (KK, kc, and om_ext, T_ext in mm: from the
world to the camera); y is up.
"""

from __future__ import annotations

import re

import numpy as np

from data_processing import boxes
from data_processing.cameras import from_extrinsics, project
from data_processing.converter import Converter, Unit, neighbours
from data_processing.file_cache import file_cache
from data_processing.matlab import field, load_mat5
from data_processing.sampling import MotionSampler
from data_processing.video import labelled_frames, video_info
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

N_JOINTS = 19
JOINTS_OF_15 = (0, 1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 18)
"""Where the 15 joints (neck, pelvis, left leg, right leg, left arm, right arm, head) stand among the 19."""
THRESHOLD_MM = 100


class Mads(Converter):
    def units(self) -> list[Unit]:
        units = []
        for path in self.find("multi_view_data/*/*_C[0-9].avi", "*/*_C[0-9].avi"):
            relative = path.relative_to(self.raw).with_suffix("").as_posix()
            units.append(Unit(relative.removeprefix("multi_view_data/"), (relative,)))
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        video = self.raw / f"{unit.args[0]}.avi"
        recording, camera_number = re.fullmatch(r"(.*)_C(\d)", video.stem).groups()
        camera = read_camera(video.with_name(f"Calib_Cam{camera_number}.mat"))
        poses = read_poses(video.with_name(f"{recording}_GT.mat"))
        files = {p.stem[-1]: p for p in video.parent.glob("Calib_Cam?.mat") if p.stem[-1] != camera_number}
        others = self.other_cameras(read_camera, files)
        size = video_info(video).size_wh
        self.check(video.with_name(f"{recording}_GT.mat"), poses, cameras=camera, size=size, others=others)
        sampler = MotionSampler(THRESHOLD_MM, check_validity=True)
        frames = [i for i, pose in enumerate(poses) if sampler.keep(pose)]
        for i, image in labelled_frames(video, frames, output):
            label_box = boxes.box_of_points(project(camera, poses[i]), 1.2)
            if label_box is None:
                output.skip("behind the camera")
                continue
            self.add_crop(
                output,
                image,
                split="train",
                key=f"{unit.name}/{i:06d}.jpg",
                camera=camera,
                coords=poses[i],
                box=boxes.detection_or_label(label_box, self.detect(image, video, i)),
                around=neighbours(poses, i),
                sequence=recording,
                frame=i,
                activity=video.parent.name,
            )


@file_cache(4)
def read_camera(path) -> CameraParams:
    """The camera of a calibration file."""
    import cv2

    names = ("om_ext", "T_ext", "KK", "kc")
    contents = load_mat5(path)
    values = [np.asarray(field(contents, n, path)) for n in names]
    try:
        rotation, translation, K, distortion = (np.asarray(v, np.float64) for v in values)
        R = cv2.Rodrigues(rotation.reshape(3))[0]
        camera = from_extrinsics(R, translation.reshape(3), K.reshape(3, 3), distortion=distortion, world_up=(0, 1, 0))
    except (ValueError, TypeError, np.linalg.LinAlgError) as error:
        raise UserError(f"{path} is not a camera calibration of MADS ({error}); unpack it again.") from None
    return camera


@file_cache(1)
def read_poses(path) -> np.ndarray:
    """[frames, 19, 3] mm, NaN = missing."""
    cells = np.asarray(field(load_mat5(path, ["GTpose2"]), "GTpose2", path))
    cells = cells.ravel() if cells.dtype == object else [cells]  # a single frame comes unpacked
    poses = np.full((len(cells), N_JOINTS, 3), np.nan)
    for i, cell in enumerate(cells):
        try:
            pose = np.asarray(cell, np.float64)
        except (ValueError, TypeError):
            pose = np.zeros(0)
        if pose.shape == (N_JOINTS, 3):
            poses[i] = pose
        elif pose.shape == (len(JOINTS_OF_15), 3):
            poses[i, JOINTS_OF_15] = pose
        elif np.isfinite(pose).any() or pose.dtype == object:
            raise UserError(f"{path}: frame {i} has shape {pose.shape}, expected (15, 3) or (19, 3); unpack it again.")
    poses[np.isnan(poses).any(-1)] = np.nan
    return poses
