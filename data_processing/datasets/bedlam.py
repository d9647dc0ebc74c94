"""BEDLAM: rendered clothed people with the motions of SMPL-X, 42 joints of its body.

Frames are those of the label files (6 or 30 a second); a person is kept when some joint has moved by 100 mm against the
last 100 kept poses. The box is that of the joints x 1.1, or the detection matched to it with an IoU of at least 0.3, of
at least 100 px. The stored mask is that of all people: what the picture of the environment's mask leaves.

Format, after the authors' training and preparation code: `<scene>.npz` has for each person in a picture `imgname`
(`seq_<n>/seq_<n>_<frame>.png`), `pose_cam` [165] (neutral SMPL-X with flat hands, in the camera's frame), `shape`,
`trans_cam` [3] and the last column of `cam_ext` [4, 4], whose sum is the translation (m), `cam_int` [3, 3], and `gtkps`
[127, 2 or 3] px, against which the joints are held. The rotation of `cam_ext` is that of the camera in a world whose y
points down. Pictures of close-ups are stored lying on their side; they are turned by 90 degrees clockwise, as their
labels are. In `<scene>/masks/...<frame>_env.png` the environment is white.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.cameras import make_camera, project, to_world
from data_processing.converter import Converter, Unit
from data_processing.datasets.spec_syn import read_names
from data_processing.file_cache import file_cache
from data_processing.images import read_image
from data_processing.plain_files import read_arrays
from data_processing.sampling import BufferedMotionSampler
from data_processing.smpl.points import SMPLX_42, smplx_42
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

ARRAYS = ("pose_cam", "shape", "trans_cam", "cam_ext", "cam_int", "gtkps")
PARTS = {
    **{"global_orient": slice(0, 3), "body_pose": slice(3, 66), "jaw_pose": slice(66, 69)},
    **{"leye_pose": slice(69, 72), "reye_pose": slice(72, 75)},
}
HANDS = slice(75, 165)
N_POINTS = 127
PICTURE = re.compile(r"(?P<sequence>[\w-]+)/(?P=sequence)_(?P<frame>\d+)\.png")
SEQUENCES_PER_UNIT = 20
THRESHOLD_MM, BUFFER = 100, 100
BOX_FACTOR, MIN_IOU, MIN_SIDE_PX = 1.1, 0.3, 100
MM_PER_M = 1000


class Bedlam(Converter):
    def units(self) -> list[Unit]:
        units = []
        for path in self.find("labels/*.npz", "labels/*/*.npz", "*.npz"):
            sequences = sorted(read_labels(path).sequences)
            relative = path.relative_to(self.raw).as_posix()
            units += [
                Unit(f"{path.stem}/{start:05d}", (relative, tuple(sequences[start : start + SEQUENCES_PER_UNIT])))
                for start in range(0, len(sequences), SEQUENCES_PER_UNIT)
            ]
        self.find_body_model("smplx", "neutral")
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        path, sequences = self.raw / unit.args[0], unit.args[1]
        labels = read_labels(path)
        for sequence in sequences:
            people = labels.sequences[sequence]
            order = np.array(sorted(people, key=lambda i: labels.frames[i]))
            cameras = [labels.camera(i) for i in order]
            poses = self._poses(path, labels, order, cameras)
            frames = [labels.frames[i] for i in order]
            pixels = labels.points_px[order][:, SMPLX_42]
            known = {"cameras": cameras, "pixels": pixels, "frames": frames, "successive": False, "noise_px": 1}
            self.check(path, poses, **known)
            self._add_sequence(output, path.stem, sequence, frames, order, labels, cameras, poses)

    def _poses(self, path, labels: Labels, order, cameras: list[CameraParams]) -> np.ndarray:
        """[N, 42, 3] world mm; the world is at the camera, upright."""
        model = self.body_model("smplx", "neutral")
        fits = []
        for i in order:
            pose = labels.pose[i]
            fit = {name: pose[part] for name, part in PARTS.items()}
            left, right = np.split(pose[HANDS], 2)
            fit |= {"left_hand_pose": left, "right_hand_pose": right, "betas": labels.shape[i]}
            fits.append(fit | {"transl": labels.translation_m[i]})
        try:
            found = smplx_42(model, fits, flat_hands=True)
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: the poses are not those of BEDLAM ({error}); fetch it again.") from None
        return np.stack([to_world(camera, points) for camera, points in zip(cameras, found, strict=True)])

    def _add_sequence(self, output, scene: str, sequence: str, frames, order, labels, cameras, poses) -> None:
        samplers: dict[str, BufferedMotionSampler] = {}
        kept: dict[int, list[int]] = {}
        for position, (frame, i) in enumerate(zip(frames, order, strict=True)):
            person = labels.person(i)
            sampler = samplers.setdefault(person, BufferedMotionSampler(THRESHOLD_MM, BUFFER, check_validity=True))
            if sampler.keep(poses[position]):
                kept.setdefault(frame, []).append(position)
        for frame, positions in kept.items():
            name = labels.names[order[positions[0]]]
            path = self._picture(scene, name)
            lying = labels.size_wh(order[positions[0]])
            image = upright(read_image(path), lying)
            mask = self._people(scene, name, lying)
            seen = self._boxes(image, path, [project(cameras[p], poses[p]) for p in positions])
            for position, box in zip(positions, seen, strict=True):
                box = None if box is None else boxes.within_image(box, image.shape[1::-1])
                if box is None or min(box[2:]) < MIN_SIDE_PX:
                    output.skip("no detection" if box is None else "person too small")
                    continue
                self.add_crop(
                    output,
                    image,
                    split="train",
                    key=f"{scene}/{sequence}/{frame:04d}_{order[position]:06d}.jpg",
                    camera=cameras[position],
                    coords=poses[position],
                    box=box,
                    mask=mask,
                    sequence=f"{scene}/{sequence}",
                    frame=frame,
                    person=int(order[position]),
                )

    def _boxes(self, image, path, points) -> list[np.ndarray | None]:
        labelled = [boxes.box_of_points(p, BOX_FACTOR) for p in points]
        if self.options.detector == "none":
            return labelled
        detections = self.detect(image, path)
        matched = boxes.match([np.zeros(4) if b is None else b for b in labelled], detections, min_iou=MIN_IOU)
        return [None if j is None else detections[j, :4] for j in matched]

    def _picture(self, scene: str, name: str) -> Path:
        candidates = [self.raw / top / scene / "png" / name for top in ("", "images", "training_images")]
        return next((p for p in candidates if p.exists()), candidates[0])

    def _people(self, scene: str, name: str, size_wh) -> np.ndarray | None:
        """[H, W] all people in a picture; None where its mask is not there."""
        scene = re.sub(r"_\d+fps$", "", scene)
        name = name.replace(".png", "_env.png")
        candidates = (self.raw / top / scene / "masks" / name for top in ("", "masks"))
        path = next((p for p in candidates if p.exists()), None)
        return None if path is None else upright(read_image(path), size_wh)[..., 0] <= 127


def upright(image: np.ndarray, size_wh) -> np.ndarray:
    """The picture, turned by 90 degrees clockwise if it lies on its side."""
    height, width = image.shape[:2]
    lies = (height, width) == tuple(size_wh) and height != width
    return np.ascontiguousarray(np.rot90(image, -1)) if lies else image


class Labels:
    """The labels of a scene: one person in one picture per row."""

    def __init__(self, names: list[str], arrays: dict[str, np.ndarray], people: list[str] | None):
        n = len(names)
        matches = [PICTURE.fullmatch(name) for name in names]
        if None in matches:
            raise ValueError(f"'{names[matches.index(None)]}' is not seq_<n>/seq_<n>_<frame>.png")
        self.names, self._people = names, people
        self.frames = [int(m["frame"]) for m in matches]
        self.sequences: dict[str, list[int]] = {}
        for i, match in enumerate(matches):
            self.sequences.setdefault(match["sequence"], []).append(i)
        self.pose = arrays["pose_cam"].reshape(n, HANDS.stop)
        self.shape = arrays["shape"].reshape(n, -1)
        extrinsics = arrays["cam_ext"].reshape(n, 4, 4)
        self.rotation = extrinsics[:, :3, :3]
        self.translation_m = arrays["trans_cam"].reshape(n, 3) + extrinsics[:, :3, 3]
        self.K = arrays["cam_int"].reshape(n, 3, 3).astype(np.float64)
        self.points_px = arrays["gtkps"].reshape(n, -1, arrays["gtkps"].shape[-1])[:, :N_POINTS, :2].astype(np.float64)
        if self.points_px.shape[1] < N_POINTS:
            raise ValueError(f"fewer than {N_POINTS} points per person")

    def camera(self, i: int) -> CameraParams:
        return make_camera(self.rotation[i], np.zeros(3), self.K[i], world_up=(0, -1, 0))

    def size_wh(self, i: int) -> tuple[int, int]:
        """Of the upright picture: its principal point is in the middle."""
        return round(2 * self.K[i, 0, 2]), round(2 * self.K[i, 1, 2])

    def person(self, i: int) -> str:
        """Who it is, by name where the file says so, else by the shape, which is constant."""
        return self._people[i] if self._people else np.array2string(self.shape[i], precision=4)


@file_cache(2)
def read_labels(path) -> Labels:
    arrays = read_arrays(path, ARRAYS)
    try:
        names = read_names(path)
        people = read_names(path, "sub") if "sub" in np.load(path, allow_pickle=False).files else None
        return Labels(names, arrays, people)
    except (KeyError, ValueError, IndexError, OSError) as error:
        raise UserError(f"{path} is not a label file of BEDLAM ({error}); fetch it again.") from None
