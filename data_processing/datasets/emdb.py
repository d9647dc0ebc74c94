"""EMDB: people filmed by a hand-held phone, with poses from electromagnetic sensors; the 24 SMPL joints, a benchmark.

Frames that the dataset marks as good are stored whole; the activity column says of which of its two test sets they are
("emdb1", "emdb2", "emdb1 emdb2" or neither). Joints are computed by the user's SMPL model of the person's sex and
checked against the pixels that the dataset gives for them. The box is the dataset's, or that of the joints x 1.2.

Format, after the authors' `dataset.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_processing import boxes
from data_processing.cameras import from_extrinsics, nearest_axis, project
from data_processing.converter import Converter, Unit
from data_processing.rows import Row
from data_processing.smpl.points import SMPL_24
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.safe_pickle import load_pickle

MM_PER_M = 1000
BOX_FACTOR = 1.2
MAX_ERROR_PX = 10.0
HEAD, LEFT_ANKLE, RIGHT_ANKLE = 15, 7, 8


class Emdb(Converter):
    def units(self) -> list[Unit]:
        paths = self.find("P*/*/*_data.pkl")
        for gender in {read_sequence(p).gender for p in paths}:
            self.find_body_model("smpl", gender)
        return [Unit(f"{p.parts[-3]}/{p.parts[-2]}", (str(p),)) for p in paths] if self.wants("test") else []

    def convert(self, unit: Unit, output) -> None:
        path = unit.args[0]
        sequence = read_sequence(path)
        model = self.body_model("smpl", sequence.gender)
        poses = model.joints(sequence.pose, sequence.betas, sequence.translation_m)
        up = nearest_axis((poses[:, HEAD] - poses[:, [LEFT_ANKLE, RIGHT_ANKLE]].mean(1)).mean(0))
        self._check(path, sequence, poses)
        good = np.flatnonzero(sequence.good)
        self.check(
            path,
            poses[good][:, SMPL_24],
            cameras=[sequence.camera(i) for i in good],
            pixels=sequence.points_px[good][:, SMPL_24],
            frames=good,
            tolerance_px=MAX_ERROR_PX,
            noise_px=1,
        )
        for frame in np.flatnonzero(sequence.good):
            camera, pose = sequence.camera(frame, up), poses[frame, SMPL_24]
            key = f"{unit.name}/{frame:05d}.jpg"
            output.copy_image(key, self.raw / unit.name / "images" / f"{frame:05d}.jpg")
            box = sequence.boxes.get(int(frame))
            if box is None:
                box = boxes.box_of_points(project(camera, pose), BOX_FACTOR)
            if box is None:
                output.skip("person behind the camera")
                continue
            row = {"sequence": unit.name, "frame": int(frame), "activity": sequence.sets}
            output.add(Row("test", key, box, camera, pose, **row))

    def _check(self, path, sequence: Sequence, poses) -> None:
        """UserError where the joints are not where the dataset says: another version of the body model."""
        good = np.flatnonzero(sequence.good)[:20]
        found = [np.linalg.norm(project(sequence.camera(i), poses[i]) - sequence.points_px[i], axis=-1) for i in good]
        error = np.nanmedian(found) if len(good) else 0.0
        if not error <= MAX_ERROR_PX:
            raise UserError(
                f"{path}: the joints lie {error:.0f} px beside the dataset's own; is "
                f"{self.find_body_model('smpl', sequence.gender)} the SMPL model (version 1.0 or 1.1)?"
            )


@dataclass(frozen=True)
class Sequence:
    """T frames; metres where not said otherwise.

    Attributes:
        pose: [T, 72]; betas: [10]; translation_m: [T, 3]; K: [3, 3]; extrinsics: [T, 4, 4] world to camera.
        good: [T] flags; points_px: [T, 24, 2] the joints' pixels, in SMPL's order.
        boxes: frame -> left, top, width, height, where valid.
        sets: names of the test sets that the sequence belongs to.
    """

    gender: str
    pose: np.ndarray
    betas: np.ndarray
    translation_m: np.ndarray
    K: np.ndarray
    extrinsics: np.ndarray
    good: np.ndarray
    points_px: np.ndarray
    boxes: dict[int, np.ndarray]
    sets: str

    def camera(self, frame: int, world_up=(0, 1, 0)) -> CameraParams:
        R, t = self.extrinsics[frame, :3, :3], self.extrinsics[frame, :3, 3] * MM_PER_M
        return from_extrinsics(R, t, self.K, world_up=world_up)


def read_sequence(path) -> Sequence:
    data = load_pickle(path)
    try:
        smpl, camera, given = data["smpl"], data["camera"], data["bboxes"]
        pose = np.concatenate([smpl["poses_root"], smpl["poses_body"]], axis=-1).astype(np.float64)
        n = len(pose)
        invalid = {int(i) for i in np.ravel(given["invalid_idxs"])}
        corners = np.asarray(given["bboxes"], np.float64).reshape(n, 4)
        return Sequence(
            gender=str(data["gender"]),
            pose=pose.reshape(n, 72),
            betas=np.ravel(smpl["betas"]).astype(np.float64),
            translation_m=np.asarray(smpl["trans"], np.float64).reshape(n, 3),
            K=np.asarray(camera["intrinsics"], np.float64).reshape(3, 3),
            extrinsics=np.asarray(camera["extrinsics"], np.float64).reshape(n, 4, 4),
            good=np.asarray(data["good_frames_mask"], bool).reshape(n),
            points_px=np.asarray(data["kp2d"], np.float64).reshape(n, 24, 2),
            boxes={i: np.concatenate([c[:2], c[2:] - c[:2]]) for i, c in enumerate(corners) if i not in invalid},
            sets=" ".join(name for name in ("emdb1", "emdb2") if data[name]),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path} is not a sequence of EMDB ({error!r}); fetch it again.") from None
