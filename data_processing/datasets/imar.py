"""FIT3D, CHI3D and HumanSC3D: three studio datasets of one laboratory (IMAR) in one format.

Four cameras, 25 joints of Human3.6M's kind per person; CHI3D has two people in every sequence, the others one. Motion
sampling at 100 mm against the last 10,000 kept poses of the person in the video. The box is the detection matched to
the labels' box (x 1.2) with an IoU above 0.5, or that box itself without a detector. Only the training subjects have
labels.

Format, after the authors' tools: `joints3d_25/<action>.json` holds {"joints3d_25": [people,] frames, 25, 3} in m, one
pose for each frame of the video, z up; `camera_parameters/<camera>/<action>.json` has `extrinsics` R and T (the
camera's position, m) and `intrinsics_w_distortion` f, c, k, p. Poses of 200 Hz, four to each picture of a video, are
told by their number; every fourth is then taken. The lens model is OpenCV's (k1, k2, p1, p2, k3), as for Human3.6M; the
authors' drawing code leaves out a factor of two in one tangential term (a pixel or so in the corners).
"""

from __future__ import annotations

import numpy as np

from data_processing import boxes
from data_processing.cameras import intrinsics, make_camera, project
from data_processing.converter import Converter, Unit, neighbours
from data_processing.file_cache import file_cache
from data_processing.sampling import BufferedMotionSampler
from data_processing.video import labelled_frames, video_info
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json
from metrabs_acae.skeletons import get_skeleton

CAMERAS = ("50591643", "58860488", "60457274", "65906101")
RAW_JOINTS = (
    "pelv,lhip,lkne,lank,rhip,rkne,rank,spin,neck,head,htop,lsho,lelb,lwri,rsho,relb,rwri,lfoo,ltoe,rfoo,rtoe,lthu,"
    "lfin,rthu,rfin"
).split(",")
ORDER = [RAW_JOINTS.index(name.split("_")[0]) for name in get_skeleton("h36m").joint_names]
"""Which raw joint each joint of the skeleton is."""
MM_PER_M = 1000
THRESHOLD_MM, BUFFER = 100, 10_000
BOX_FACTOR, MIN_IOU = 1.2, 0.5
POSES_PER_PICTURE = 4
"""Where poses were taken at 200 Hz."""


class Imar(Converter):
    def units(self) -> list[Unit]:
        info = read_info(self.find(f"{self.info.name}_info.json", "info.json")[0])
        self.require("train")
        return [
            Unit(f"{subject}/{action}.{camera}", (subject, action, camera))
            for subject, actions, cameras in info
            for action in actions
            for camera in cameras
            if self.wants("train")
        ]

    def convert(self, unit: Unit, output) -> None:
        subject, action, camera_name = unit.args
        folder = self.raw / "train" / subject
        camera = read_camera(folder / "camera_parameters" / camera_name / f"{action}.json")
        people = read_poses(folder / "joints3d_25" / f"{action}.json")
        video = folder / "videos" / camera_name / f"{action}.mp4"
        if people.shape[1] > 3 * video_info(video).n_frames > 0:
            people = people[:, ::POSES_PER_PICTURE]
        for poses in people:
            self.check(folder / f"joints3d_25/{action}.json", poses, cameras=camera, size=video_info(video).size_wh)
        chosen = choose(people)
        for frame, image in labelled_frames(video, chosen, output):
            found = self._boxes(image, video, frame, [project(camera, p[frame]) for p in people])
            for person in chosen[frame]:
                if found[person] is None:
                    output.skip("no detection" if self.options.detector != "none" else "person behind the camera")
                    continue
                self.add_crop(
                    output,
                    image,
                    split="train",
                    key=f"{unit.name}/{frame:06d}_{person}.jpg",
                    camera=camera,
                    coords=people[person, frame],
                    box=found[person],
                    around=neighbours(people[person], frame),
                    sequence=unit.name,
                    frame=frame,
                    activity=action,
                    person=person,
                )

    def _boxes(self, image, video, frame: int, points: list[np.ndarray]) -> list[np.ndarray | None]:
        """The box of each person in the picture."""
        labelled = [boxes.box_of_points(p, BOX_FACTOR) for p in points]
        if self.options.detector == "none":
            return labelled
        detections = self.detect(image, video, frame)
        known = [np.zeros(4) if b is None else b for b in labelled]
        matched = boxes.match(known, detections, min_iou=MIN_IOU)
        return [None if j is None else detections[j, :4] for j in matched]


@file_cache(1)
def read_info(path) -> list[tuple[str, list[str], tuple[str, ...]]]:
    """(subject, its actions, the cameras) of the training subjects."""
    data = read_json(path)
    try:
        cameras = tuple(data.get("all_camera_names", CAMERAS))
        return [(s, list(data["subj_to_act"][s]), cameras) for s in data["train_subj_names"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} does not list subjects and actions ({error!r}); fetch it again.") from None


def read_camera(path) -> CameraParams:
    data = read_json(path)
    try:
        lens = {k: np.ravel(v) for k, v in data["intrinsics_w_distortion"].items()}
        k, p = lens["k"], lens["p"]
        return make_camera(
            data["extrinsics"]["R"],
            np.ravel(data["extrinsics"]["T"]) * MM_PER_M,
            intrinsics(*lens["f"], *lens["c"]),
            distortion=(k[0], k[1], p[0], p[1], k[2]),
            world_up=(0, 0, 1),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"{path} is not a camera of this dataset ({error!r}); unpack it again.") from None


@file_cache(1)
def read_poses(path) -> np.ndarray:
    """[people, frames, 25, 3] mm in the order of the skeleton."""
    try:
        poses = np.asarray(read_json(path)["joints3d_25"], np.float64)
        n_people = len(poses) if poses.ndim == 4 else 1
        return poses.reshape(n_people, -1, len(RAW_JOINTS), 3)[:, :, ORDER] * MM_PER_M
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} does not hold poses of {len(RAW_JOINTS)} joints ({error!r}); unpack it again."
        ) from None


def choose(people: np.ndarray) -> dict[int, list[int]]:
    """Frame -> the people [P, frames, 25, 3] to keep in it."""
    samplers = [BufferedMotionSampler(THRESHOLD_MM, BUFFER, check_validity=True) for _ in people]
    chosen: dict[int, list[int]] = {}
    for frame in range(people.shape[1]):
        kept = [p for p, sampler in enumerate(samplers) if sampler.keep(people[p, frame])]
        if kept:
            chosen[frame] = kept
    return chosen
