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
OPENPOSE_OF_SMPL = {16: 5, 17: 2, 18: 6, 19: 3, 20: 7, 21: 4, 1: 11, 2: 8, 4: 12, 5: 9, 7: 13, 8: 10}
"""Shoulders, elbows, wrists, hips, knees and ankles: raw joint -> place among the 18 detected points."""
MIN_CONFIDENCE, MIN_SPREAD_PX = 0.3, 20


class ThreeDPW(Converter):
    def units(self) -> list[Unit]:
        self.require("imageFiles")
        paths = self.find(*(f"sequenceFiles/{s}/*.pkl" for s in OFFICIAL_SPLITS))
        return [Unit(f"{p.parent.name}/{p.stem}", (str(p),)) for p in paths] if self.wants("test") else []

    def convert(self, unit: Unit, output) -> None:
        official, name = unit.name.split("/")
        poses, pixels, K, extrinsics, valid = read_sequence(unit.args[0])
        upright = poses[valid][:, HEAD] - poses[valid][:, [LEFT_ANKLE, RIGHT_ANKLE]].mean(1)
        up = nearest_axis(upright.mean(0))
        cameras = [from_extrinsics(e[:3, :3], e[:3, 3] * 1000, K, world_up=up) for e in extrinsics]
        for person, (labels, detected) in enumerate(zip(poses[:, :, SMPL_ORDER], pixels, strict=True)):
            known = np.flatnonzero(valid[person])
            labelled = {"pixels": detected[known][:, SMPL_ORDER], "frames": known, "successive": False}
            self.check(
                unit.args[0],
                labels[known],
                cameras=[cameras[i] for i in known],
                **labelled,
                tolerance_px=60,
                noise_px=15,
            )
        for frame in np.flatnonzero(valid.any(axis=0)):
            camera = cameras[frame]
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


def read_sequence(path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Poses [people, frames, 24, 3] world mm, detected pixels [people, frames, 24, 2] (NaN = not detected), K,
    world-to-camera [frames, 4, 4] (m), [people, frames] validity."""
    data = load_pickle(path)
    try:
        poses = np.stack([np.asarray(p, np.float64).reshape(-1, N_JOINTS, 3) * 1000 for p in data["jointPositions"]])
        K = np.asarray(data["cam_intrinsics"], np.float64)
        extrinsics = np.asarray(data["cam_poses"], np.float64)
        valid = np.stack([np.asarray(v).astype(bool) for v in data["campose_valid"]])
        detected = [np.asarray(p, np.float64) for p in data["poses2d"]]  # [frames, 3, 18]: x, y, confidence
        seen = np.stack([p[:, 2].any(-1) for p in detected])
        pixels = np.full((len(detected), len(poses[0]), N_JOINTS, 2), np.nan)
        for person, table in enumerate(detected):
            for joint, place in OPENPOSE_OF_SMPL.items():
                spread = np.ptp(table[: len(poses[0]), :2], axis=2).max(1)
                sure = (table[: len(poses[0]), 2, place] > MIN_CONFIDENCE) & (spread > MIN_SPREAD_PX)
                pixels[person, : len(sure), joint][sure] = table[: len(sure)][sure][:, :2, place]
        n_frames = len(extrinsics)
        return poses[:, :n_frames], pixels[:, :n_frames], K, extrinsics, valid[:, :n_frames] & seen[:, :n_frames]
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise UserError(f"{path} is not a sequence file of 3DPW ({error!r}); fetch it again.") from None
