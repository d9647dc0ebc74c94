"""JTA (Joint Track Auto): pedestrians of a video game, 22 joints, one camera.

Train and val are for training (the activity column says which). A person needs five joints that are in the picture and
not hidden behind something; motion sampling at 100 mm per person. The box is the detection matched to the box of these
joints with an IoU above 0.1 and at most twice its area, or that box itself without a detector; its larger side must be
over 100 px. The camera's up direction is that in which the people of the frame stand. The focal length is the game's,
1158 px (50 degrees up and down), or what the file's own 2D and 3D joints say where they say otherwise.

Of the raw files: a row of a JSON file is frame (from 1), person, joint, x, y in px, x, y, z in m in the camera's frame
(y down), occluded by something else, occluded by oneself.
"""

from __future__ import annotations

import numpy as np

from data_processing import boxes
from data_processing.cameras import intrinsics, is_inside, make_camera, project_camera_frame
from data_processing.converter import Converter, Unit
from data_processing.sampling import MotionSampler
from data_processing.video import labelled_frames
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json

SIZE = (1920, 1080)
FOCAL_PX = 540 / np.tan(np.radians(25))
CENTER = (960, 540)
K = intrinsics(FOCAL_PX, FOCAL_PX, *CENTER)
MAX_FOCAL_DIFFERENCE, MAX_RESIDUAL_PX = 0.002, 2.0
"""Fitted focal lengths closer than this to the game's are the game's: 2D joints are rounded."""
N_JOINTS, N_COLUMNS, N_POSE_COLUMNS = 22, 10, 6
NECK, RIGHT_ANKLE, LEFT_ANKLE = 2, 18, 21
MM_PER_M = 1000
THRESHOLD_MM, MIN_JOINTS, MIN_SIDE_PX = 100, 5, 100
MAX_AREA_RATIO = 2
PARTS = ("train", "val")
N_CHECKED = 10
UP = (0.0, -1.0, 0.0)


class Jta(Converter):
    def units(self) -> list[Unit]:
        units = []
        for path in self.find(*(f"annotations/{part}/*.json" for part in PARTS)):
            units.append(Unit(f"{path.parent.name}/{path.stem}", (path.parent.name, path.stem)))
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        part, sequence = unit.args
        path = self.raw / "annotations" / part / f"{sequence}.json"
        frames = read_people(path)
        K = fitted_intrinsics(frames)
        if K[0, 0] != FOCAL_PX:
            output.note(f"{unit.name}: the focal length is {K[0, 0]:.1f} px by the file's own 2D and 3D joints")
        self._check(path, frames, K)
        chosen = choose(frames, K)
        video = self.raw / "videos" / part / f"{sequence}.mp4"
        for i, image in labelled_frames(video, chosen, output):
            found = self._boxes(image, video, i, {p: visible_box(pose, K) for p, pose in frames[i].items()})
            up = up_direction([pose[:, :3] for pose in frames[i].values()])
            camera = make_camera(np.eye(3), np.zeros(3), K, world_up=up)
            for person in chosen[i]:
                if found[person] is None or max(found[person][2:]) <= MIN_SIDE_PX:
                    output.skip("no detection, or a small one")
                    continue
                self.add_crop(
                    output,
                    image,
                    split="train",
                    key=f"{unit.name}/{i:06d}_{person:03d}.jpg",
                    camera=camera,
                    coords=frames[i][person][:, :3],
                    box=found[person],
                    sequence=sequence,
                    frame=i,
                    activity=part,
                    person=person,
                )

    def _check(self, path, frames: dict[int, dict[int, np.ndarray]], K: np.ndarray) -> None:
        """Holds the 3D joints of those who are seen longest against the file's 2D ones."""
        tracks: dict[int, list[int]] = {}
        for frame in sorted(frames):
            for person in frames[frame]:
                tracks.setdefault(person, []).append(frame)
        camera = make_camera(np.eye(3), np.zeros(3), K, world_up=UP)
        for person in sorted(tracks, key=lambda p: -len(tracks[p]))[:N_CHECKED]:
            rows = np.stack([frames[f][person] for f in tracks[person]])
            poses, pixels = rows[..., :3], rows[..., 4:]
            pixels = np.where(
                is_inside(pixels, SIZE)[..., None], pixels, np.nan
            )  # elsewhere they may be cut to the frame
            self.check(path, poses, cameras=camera, pixels=pixels, frames=tracks[person], noise_px=0.6)

    def _boxes(self, image, video, frame: int, labelled: dict) -> dict[int, np.ndarray | None]:
        if self.options.detector == "none":
            return labelled
        detections = self.detect(image, video, frame)
        known = {p: b for p, b in labelled.items() if b is not None and boxes.area(b) > 0}
        matched = boxes.match(list(known.values()), detections, min_iou=0.1, max_area_ratio=MAX_AREA_RATIO)
        found = {p: None if j is None else detections[j, :4] for p, j in zip(known, matched, strict=True)}
        return dict.fromkeys(labelled) | found


def choose(frames: dict[int, dict[int, np.ndarray]], K: np.ndarray) -> dict[int, list[int]]:
    """Frame -> the people to keep."""
    samplers: dict[int, MotionSampler] = {}
    chosen: dict[int, list[int]] = {}
    for frame in sorted(frames):
        for person, pose in frames[frame].items():
            sampler = samplers.setdefault(person, MotionSampler(THRESHOLD_MM))
            if is_visible(pose, K).sum() >= MIN_JOINTS and sampler.keep(pose[:, :3]):
                chosen.setdefault(frame, []).append(person)
    return chosen


def is_visible(pose: np.ndarray, K: np.ndarray) -> np.ndarray:
    """[22] which joints of a pose (as `read_people` gives them) are in the picture and not behind something."""
    return is_inside(_pixels(pose, K), SIZE) & (pose[:, 3] == 0)


def visible_box(pose: np.ndarray, K: np.ndarray) -> np.ndarray | None:
    """The box around the visible joints."""
    return boxes.box_of_points(_pixels(pose, K)[is_visible(pose, K)])


def _pixels(pose: np.ndarray, K: np.ndarray) -> np.ndarray:
    return project_camera_frame(make_camera(np.eye(3), np.zeros(3), K, world_up=UP), pose[:, :3])


def fitted_intrinsics(frames: dict[int, dict[int, np.ndarray]]) -> np.ndarray:
    """K with the focal length that takes the 3D joints to the 2D ones; the game's where it is that or none fits."""
    people = [pose for frame in frames.values() for pose in frame.values()]
    joints = np.concatenate(people[:: 1 + len(people) // 2000] or [np.zeros((0, N_POSE_COLUMNS))])
    joints = joints[np.isfinite(joints).all(1) & (joints[:, 2] > MM_PER_M)]
    rays = joints[:, :2] / joints[:, 2:3]
    offsets = joints[:, 4:] - CENTER
    away = np.linalg.norm(rays, axis=1) > 0.05  # near the middle, any focal length fits
    if away.sum() < 100:
        return K
    along, length = (rays[away] * offsets[away]).sum(1), (rays[away] ** 2).sum(1)
    ratios = along / length
    agreeing = np.abs(ratios / np.median(ratios) - 1) < 0.1
    focal = float(along[agreeing].sum() / length[agreeing].sum())
    residual = float(np.median(np.abs(offsets - focal * rays)))
    if focal <= 0 or residual > MAX_RESIDUAL_PX or abs(focal / FOCAL_PX - 1) < MAX_FOCAL_DIFFERENCE:
        return K
    return intrinsics(focal, focal, *CENTER)


def up_direction(poses: list[np.ndarray]) -> np.ndarray:
    """The geometric median of the people's directions from the middle of the ankles to the neck."""
    poses = np.asarray(poses)
    directions = poses[:, NECK] - (poses[:, RIGHT_ANKLE] + poses[:, LEFT_ANKLE]) / 2
    lengths = np.linalg.norm(directions, axis=-1, keepdims=True)
    directions = directions[(np.isfinite(lengths) & (lengths > 0))[:, 0]]
    if not len(directions):
        return np.array(UP)
    directions = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    middle = directions.mean(0)
    for _ in range(30):  # Weiszfeld's iteration
        weight = 1 / np.maximum(np.linalg.norm(directions - middle, axis=-1), 1e-3)
        middle = weight @ directions / weight.sum()
    length = np.linalg.norm(middle)
    return middle / length if length > 1e-3 else np.array(UP)


def read_people(path) -> dict[int, dict[int, np.ndarray]]:
    """Frame (from 0) -> person -> [22, 6] mm in the camera's frame, whether occluded, px; NaN = not labelled."""
    data = read_json(path)
    try:
        rows = np.array(data, np.float64).reshape(-1, N_COLUMNS)
        if len(rows) and not (np.isfinite(rows[:, :3]).all() and (np.abs(rows[:, :3]) < 2**31).all()):
            raise ValueError("a number of a frame, person or joint is none")
        joints = rows[:, 2].astype(int)
        if not ((joints >= 0) & (joints < N_JOINTS)).all():
            raise ValueError(f"a joint outside 0..{N_JOINTS - 1}")
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is not an annotation file of JTA ({error}); fetch it again.") from None
    frames: dict[int, dict[int, np.ndarray]] = {}
    for (frame, person), joint, row in zip(rows[:, :2].astype(int).tolist(), joints.tolist(), rows, strict=True):
        people = frames.setdefault(frame - 1, {})
        if person not in people:
            people[person] = np.full((N_JOINTS, N_POSE_COLUMNS), np.nan)
        people[person][joint] = [*row[5:8] * MM_PER_M, row[8], *row[3:5]]
    return frames
