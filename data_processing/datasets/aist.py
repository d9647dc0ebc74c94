"""AIST++: dancers seen by nine cameras, COCO's 17 joints, neck and pelvis (means of left and right).

Sequences of the official pose splits train and val are training data, but those of the ignore list; motion sampling at
100 mm per video. The labels' box x 1.15 is the person's box. The joints are the authors' smoothed triangulations
(`keypoints3d_optim`, cm, y up) at 60 frames per second; of videos of another rate the frame shown at that time is
taken. Only videos that are there are converted: a part of them will do. Where `keypoints2d` is
there, the joints are held against it.
"""

from __future__ import annotations

import re

import numpy as np

from data_processing import boxes
from data_processing.cameras import from_extrinsics, project
from data_processing.converter import Converter, Unit, neighbours
from data_processing.file_cache import file_cache
from data_processing.sampling import MotionSampler
from data_processing.video import labelled_frames, video_info
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json
from metrabs_acae.safe_pickle import load_pickle

SPLITS = ("pose_train", "pose_val")
RAW_JOINTS = (
    "nose,leye,reye,lear,rear,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank,neck,pelv"  # + two means
).split(",")
N_RAW = 17
FPS = 60
MM_PER_CM = 10
THRESHOLD_MM = 100
BOX_FACTOR, EXTRA = 1.15, 0.8
MIN_CONFIDENCE = 0.3


class Aist(Converter):
    def units(self) -> list[Unit]:
        annotations = self.find("annotations/keypoints3d", "aist_plusplus_final/keypoints3d", "keypoints3d")[0].parent
        wanted = {name for split in SPLITS for name in read_names(annotations / "splits" / f"{split}.txt")}
        wanted -= set(read_names(annotations / "ignore_list.txt"))
        units = []
        for video in self.find("videos/*.mp4"):
            sequence = re.sub(r"_c\d\d_", "_cAll_", video.stem)
            if sequence in wanted:
                units.append(Unit(video.stem, (str(annotations.relative_to(self.raw)), sequence)))
        if not units:
            raise UserError(f"No video in {self.raw / 'videos'} belongs to the pose splits of AIST++.")
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        folder, sequence = unit.args
        folder = self.raw / folder
        setting = read_mapping(folder / "cameras" / "mapping.txt").get(sequence)
        cameras = read_cameras(folder / "cameras" / f"{setting}.json")
        name = re.search(r"_(c\d\d)_", unit.name).group(1)
        if name not in cameras:
            raise UserError(f"{folder / 'cameras' / f'{setting}.json'} has no camera {name}; fetch it again.")
        camera = cameras[name]
        video = self.raw / "videos" / f"{unit.name}.mp4"
        path = folder / "keypoints3d" / f"{sequence}.pkl"
        joint_names = self.info.get_skeleton().joint_names
        poses = read_poses(path, joint_names)
        others = {n: c for n, c in cameras.items() if n != name}
        pixels = read_pixels(folder / "keypoints2d" / f"{sequence}.pkl", int(name[1:]) - 1, joint_names)
        if pixels is not None and len(pixels) != len(poses):
            output.note("keypoints2d of another number of frames: not held against")
            pixels = None
        known = {"cameras": camera, "pixels": pixels, "others": others, "tolerance_px": 40, "noise_px": 8}
        self.check(path, poses, size=video_info(video).size_wh, **known)
        sampler = MotionSampler(THRESHOLD_MM)
        kept = [i for i, pose in enumerate(poses) if sampler.keep(pose)]
        rate = video_info(video).fps
        poses_of: dict[int, list[int]] = {}
        for i in kept:
            poses_of.setdefault(int(i * rate / FPS + 1e-6), []).append(i)
        for position, image in labelled_frames(video, poses_of, output):
            for i in poses_of[position]:
                box = boxes.box_of_points(project(camera, poses[i]), BOX_FACTOR)
                if box is None:
                    output.skip("person behind the camera")
                    continue
                self.add_crop(
                    output,
                    image,
                    split="train",
                    key=f"{unit.name}/{i:06d}.jpg",
                    camera=camera,
                    coords=poses[i],
                    box=box,
                    extra=EXTRA,
                    around=neighbours(poses, i),
                    sequence=unit.name,
                    frame=i,
                    activity=sequence.split("_")[0],
                )


def read_pixels(path, camera: int, joint_names) -> np.ndarray | None:
    """[frames, 19, 2] px of a network's keypoints in a camera's video, NaN where unsure; None without the file."""
    if not path.is_file():
        return None
    try:
        table = np.asarray(load_pickle(path)["keypoints2d"], np.float64)[camera].reshape(-1, N_RAW, 3)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path} does not hold keypoints of {N_RAW} joints ({error!r}); fetch it again.") from None
    sure = np.where(table[..., 2:] > MIN_CONFIDENCE, table[..., :2], np.nan)
    pixels = np.full((len(table), len(joint_names), 2), np.nan)
    for i, base in enumerate(n.split("_")[0] for n in joint_names):
        if base in RAW_JOINTS[:N_RAW]:
            pixels[:, i] = sure[:, RAW_JOINTS.index(base)]
    return pixels


def read_names(path) -> list[str]:
    try:
        return path.read_text().split()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); unpack fullset.zip again.") from None


@file_cache(1)
def read_mapping(path) -> dict[str, str]:
    """Sequence -> camera setting."""
    words = read_names(path)
    return dict(zip(words[::2], words[1::2], strict=False))


@file_cache(2)
def read_cameras(path) -> dict[str, CameraParams]:
    """Name ("c01") -> camera, of one setting."""
    import cv2

    data = read_json(path)
    try:
        return {
            c["name"]: from_extrinsics(
                cv2.Rodrigues(np.array(c["rotation"], np.float64))[0],
                np.array(c["translation"], np.float64) * MM_PER_CM,
                c["matrix"],
                distortion=c["distortions"],
                world_up=(0, 1, 0),
            )
            for c in data
        }
    except (KeyError, TypeError, ValueError, cv2.error) as error:
        raise UserError(f"{path} does not hold cameras of AIST++ ({error!r}); fetch it again.") from None


def read_poses(path, joint_names) -> np.ndarray:
    """[frames, 19, 3] mm in the order of `joint_names`."""
    try:
        raw = np.asarray(load_pickle(path)["keypoints3d_optim"], np.float64).reshape(-1, N_RAW, 3) * MM_PER_CM
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} does not hold poses of {N_RAW} joints ({error!r}); fetch it again.") from None
    middles = [
        (raw[:, RAW_JOINTS.index(f"l{part}")] + raw[:, RAW_JOINTS.index(f"r{part}")]) / 2 for part in ("sho", "hip")
    ]
    raw = np.concatenate([raw, np.stack(middles, axis=1)], axis=1)
    return raw[:, [RAW_JOINTS.index(name.split("_")[0]) for name in joint_names]]
