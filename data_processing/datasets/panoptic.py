"""CMU Panoptic Studio: groups of people seen by the dome's 31 HD cameras, 19 joints.

Joints of confidence 0.1 or less are missing; a person needs six others, six of them in the picture. People are followed
through the sequence, and one is kept when at least three joints have moved by 100 mm. The box is the detection matched
to the labels' box (x 1.25), or that box itself without a detector.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.cameras import from_extrinsics, is_inside, project
from data_processing.converter import Converter, Unit
from data_processing.file_cache import file_cache
from data_processing.images import read_image
from data_processing.sampling import MotionSampler
from data_processing.video import read_frames
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json

RAW_ORDER = (0, 1, *range(3, 19), 2)
"""Raw joints in the skeleton's order: the body centre comes last."""
MIN_CONFIDENCE = 0.1
MIN_JOINTS = 6
THRESHOLD_MM, MIN_MOVED = 100, 3
MAX_STEP_MM = 500
"""A person farther than this from everyone in the frame before is a new one."""
MM_PER_CM = 10
MAY_LACK = "00_20"
"""A camera that the authors' servers do not have of four sequences."""


class Panoptic(Converter):
    def units(self) -> list[Unit]:
        units = []
        for path in self.find("*/calibration_*.json"):
            sequence = path.parent.name
            if next(self._labels(sequence).rglob("body3DScene_*.json"), None) is None:
                raise UserError(f"{path.parent} holds no body3DScene_*.json: unpack hdPose3d_stage1_coco19.tar there.")
            for camera in read_cameras(path):
                if camera != MAY_LACK or self._video(sequence, camera) is not None:
                    units.append(Unit(f"{sequence}/{camera}", (sequence, camera)))
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        sequence, camera_name = unit.args
        folder = self.raw / sequence
        camera, size = read_cameras(folder / f"calibration_{sequence}.json")[camera_name]
        people = read_people(self._labels(sequence))
        cameras = read_cameras(folder / f"calibration_{sequence}.json")
        others = {name: c for name, (c, _) in cameras.items() if name != camera_name}
        for frames, poses in tracks_of(people):
            self.check(self._labels(sequence), poses, cameras=camera, size=size, frames=frames, others=others)
        chosen = choose(people, camera, size)
        video = self._video(sequence, camera_name)
        if video is None:
            raise UserError(f"{folder / 'hdVideos' / f'hd_{camera_name}.mp4'} is missing; fetch it again.")
        seen = 0
        for frame, image, source in self._frames(video, camera_name, sorted(chosen)):
            seen += 1
            poses = people[frame]
            found = self._boxes(image, source, [project(camera, p) for _, p in poses])
            for person in chosen[frame]:
                if found[person] is None:
                    output.skip("no detection")
                    continue
                self.add_crop(
                    output,
                    image,
                    split="train",
                    key=f"{sequence}/{camera_name}/{frame:08d}_{person}.jpg",
                    camera=camera,
                    coords=poses[person][1],
                    box=found[person],
                    sequence=sequence,
                    frame=frame,
                    person=poses[person][0],
                )
        for _ in range(len(chosen) - seen):
            output.skip("no picture for a labelled frame")

    def _boxes(self, image, source: tuple, points: list[np.ndarray]) -> list[np.ndarray | None]:
        labelled = [boxes.box_of_points(p, 1.25) for p in points]
        if self.options.detector == "none":
            return labelled
        detections = self.detect(image, *source)
        known = [np.zeros(4) if b is None else b for b in labelled]
        matched = boxes.match(known, detections, min_iou=0.1, max_area_ratio=2)
        return [None if j is None else detections[j, :4] for j in matched]

    def _labels(self, sequence: str) -> Path:
        folder = self.raw / sequence / "hdPose3d_stage1_coco19"
        return folder if folder.is_dir() else folder.parent

    def _video(self, sequence: str, camera: str) -> Path | None:
        candidates = (f"hdVideos/hd_{camera}.mp4", f"hdImgs/{camera}")
        return next((p for c in candidates if (p := self.raw / sequence / c).exists()), None)

    def _frames(self, path: Path, camera: str, frames: list[int]):
        """(frame number, picture, where it is from)."""
        if path.is_file():
            yield from ((frame, image, (path, frame)) for frame, image in read_frames(path, frames))
            return
        for frame in frames:
            picture = path / f"{camera}_{frame:08d}.jpg"
            if picture.exists():
                yield frame, read_image(picture), (picture,)


@file_cache(4)
def read_cameras(path) -> dict[str, tuple[CameraParams, tuple[int, int]]]:
    """Name ("00_05") -> camera and picture size of the HD cameras, from calibration_<sequence>.json (cm)."""
    try:
        cameras = [c for c in load_json(path)["cameras"] if c["type"] == "hd"]
        return {
            c["name"]: (
                from_extrinsics(
                    c["R"],
                    np.array(c["t"], np.float64).ravel() * MM_PER_CM,
                    c["K"],
                    distortion=c["distCoef"],
                    world_up=(0, -1, 0),
                ),
                tuple(c["resolution"]),
            )
            for c in cameras
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a calibration of the Panoptic Studio ({error!r}); fetch it again.") from None


@file_cache(1)
def read_people(folder) -> dict[int, list[tuple[int, np.ndarray]]]:
    """Frame -> (person number, pose [19, 3] mm, NaN where unsure) of the people with enough joints."""
    frames = {}
    for path in sorted(Path(folder).rglob("body3DScene_*.json")):
        try:
            bodies = load_json(path)["bodies"]
            people = [(int(b["id"]), _pose(b["joints19"])) for b in bodies]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not a pose file of the Panoptic Studio ({error!r}); unpack it again.") from None
        people = [p for p in people if np.isfinite(p[1]).all(-1).sum() >= MIN_JOINTS]
        if people:
            frames[int(re.search(r"(\d+)", path.stem.removeprefix("body3DScene_")).group())] = people
    return frames


def _pose(numbers) -> np.ndarray:
    table = np.asarray(numbers, np.float64).reshape(19, 4)[list(RAW_ORDER)]
    return np.where(table[:, 3:] > MIN_CONFIDENCE, table[:, :3] * MM_PER_CM, np.nan)


def tracks_of(people, most: int = 4):
    """(frames, poses [F, 19, 3]) of those who are labelled in most frames, by the dataset's own numbers of people."""
    tracks: dict[int, list[tuple[int, np.ndarray]]] = {}
    for frame in sorted(people):
        for number, pose in people[frame]:
            tracks.setdefault(number, []).append((frame, pose))
    for track in sorted(tracks.values(), key=len, reverse=True)[:most]:
        yield [frame for frame, _ in track], np.stack([pose for _, pose in track])


def choose(people, camera: CameraParams, size) -> dict[int, list[int]]:
    """Frame -> the positions in its list of the people to keep."""
    tracks: list[tuple[np.ndarray, MotionSampler]] = []
    chosen: dict[int, list[int]] = {}
    for frame in sorted(people):
        poses = [pose for _, pose in people[frame]]
        tracks, assigned = follow(tracks, poses)
        for i, (pose, track) in enumerate(zip(poses, assigned, strict=True)):
            visible = is_inside(project(camera, pose), size).sum() >= MIN_JOINTS
            if visible and tracks[track][1].keep(pose):
                chosen.setdefault(frame, []).append(i)
    return chosen


def follow(tracks, poses: list[np.ndarray]):
    """Gives every pose a track: one to one with the smallest sum of mean joint distances, new ones for the rest."""
    from scipy.optimize import linear_sum_assignment

    tracks, assigned = list(tracks), [-1] * len(poses)
    if tracks:
        cost = np.full((len(poses), len(tracks)), 1e9)
        for i, pose in enumerate(poses):
            for j, (last, _) in enumerate(tracks):
                distance = np.linalg.norm(pose - last, axis=-1)
                if np.isfinite(distance).any():
                    cost[i, j] = np.nanmean(distance)
        for i, j in zip(*linear_sum_assignment(cost), strict=True):
            if cost[i, j] <= MAX_STEP_MM:
                assigned[i] = int(j)
                tracks[j] = (poses[i], tracks[j][1])
    for i, pose in enumerate(poses):
        if assigned[i] < 0:
            assigned[i] = len(tracks)
            tracks.append((pose, MotionSampler(THRESHOLD_MM, min_joints=MIN_MOVED)))
    return tracks, assigned
