"""3DPW: people filmed by a hand-held camera outdoors and indoors, the 24 SMPL joints, camera per frame.

Frames without a valid camera pose or without 2D annotation of the person are left out. All official splits go to the
test split (the paper uses all of them); the activity column names the official one.
"""

from __future__ import annotations

import numpy as np

from data_processing import boxes
from data_processing.cameras import from_extrinsics, nearest_axis, project
from data_processing.converter import Converter, Unit
from data_processing.rows import Row
from metrabs_acae.errors import UserError
from metrabs_acae.safe_pickle import load_pickle

OFFICIAL_SPLITS = ("train", "validation", "test")
N_JOINTS = 24
SMPL_ORDER = (*range(1, N_JOINTS), 0)
"""Raw joints (pelvis first) in the order of the skeleton (pelvis last)."""
HEAD, LEFT_ANKLE, RIGHT_ANKLE = 15, 7, 8
BOX_FACTOR = 1.2


class ThreeDPW(Converter):
    def units(self) -> list[Unit]:
        self.require("imageFiles")
        paths = self.find(*(f"sequenceFiles/{s}/*.pkl" for s in OFFICIAL_SPLITS))
        return [Unit(f"{p.parent.name}/{p.stem}", (str(p),)) for p in paths] if self.wants("test") else []

    def convert(self, unit: Unit, output) -> None:
        official, name = unit.name.split("/")
        poses, K, extrinsics, valid = read_sequence(unit.args[0])
        upright = poses[valid][:, HEAD] - poses[valid][:, [LEFT_ANKLE, RIGHT_ANKLE]].mean(1)
        up = nearest_axis(upright.mean(0))
        for frame in np.flatnonzero(valid.any(axis=0)):
            camera = from_extrinsics(extrinsics[frame, :3, :3], extrinsics[frame, :3, 3] * 1000, K, world_up=up)
            key = f"{name}/image_{frame:05d}.jpg"
            output.copy_image(key, self.raw / "imageFiles" / key)
            for person in np.flatnonzero(valid[:, frame]):
                pose = poses[person, frame, SMPL_ORDER]
                box = boxes.box_of_points(project(camera, pose), BOX_FACTOR)
                if box is None:
                    output.skip("person behind the camera")
                    continue
                row = {"sequence": name, "frame": int(frame), "activity": official, "person": int(person)}
                output.add(Row("test", key, box, camera, pose, **row))


def read_sequence(path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Poses [people, frames, 24, 3] world mm, K, world-to-camera [frames, 4, 4] (m), [people, frames] validity."""
    data = load_pickle(path)
    try:
        poses = np.stack([np.asarray(p, np.float64).reshape(-1, N_JOINTS, 3) * 1000 for p in data["jointPositions"]])
        K = np.asarray(data["cam_intrinsics"], np.float64)
        extrinsics = np.asarray(data["cam_poses"], np.float64)
        valid = np.stack([np.asarray(v).astype(bool) for v in data["campose_valid"]])
        seen = np.stack([np.asarray(p)[:, 2].any(-1) for p in data["poses2d"]])  # [frames, 3, 18]: x, y, confidence
        n_frames = len(extrinsics)
        return poses[:, :n_frames], K, extrinsics, valid[:, :n_frames] & seen[:, :n_frames]
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise UserError(f"{path} is not a sequence file of 3DPW ({error!r}); fetch it again.") from None
