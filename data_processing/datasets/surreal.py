"""SURREAL: rendered people of SMPL over photographs, one per clip, 24 joints.

SURREAL's world is left-handed; pictures and masks are mirrored and with them the x axis of the camera, which makes it
right-handed and moves the principal point to (159, 120). Joints are computed by the user's SMPL model of the person's
sex and put where the released pelvis is; the paper's tools took the mean person's pelvis for everyone's and so moved
people by what their shape moves it. Frames are kept by motion (100 mm per clip) and stored whole; box and mask are the
segmentation.

Format, after the authors' page: `<clip>_info.mat` has `pose` [72, T], `shape` [10, T], `zrot` [T] (rad, about the
vertical), `joints3D` [3, 24, T] (m), `camLoc` [3] (m), `gender` [T] (0 female, 1 male); `<clip>_segm.mat` has
`segm_<frame, from 1>` [240, 320], the body part of each pixel, 0 for none.
"""

from __future__ import annotations

import numpy as np

from data_processing import masks
from data_processing.cameras import intrinsics, make_camera
from data_processing.converter import Converter, Unit
from data_processing.matlab import field, load_mat5
from data_processing.rows import Row
from data_processing.sampling import MotionSampler
from data_processing.smpl.model import rotation_matrices, rotation_vector
from data_processing.smpl.points import SMPL_24
from data_processing.video import labelled_frames
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

SPLITS = {"train": "train", "val": "train", "test": "test"}
WIDTH = 320
K = intrinsics(600, 600, 159, 120)
R = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0.0]])
"""World (y down) to camera, of the mirrored pictures: all cameras look along -x."""
STANDING = rotation_matrices([np.pi / 2, 0, 0])
"""From the motion capture's axes (z up) to those of the world."""
THRESHOLD_MM = 100
MM_PER_M = 1000


class Surreal(Converter):
    def units(self) -> list[Unit]:
        wanted = [s for s, split in SPLITS.items() if self.wants(split)]
        folders = [p for p in self.find(*(f"cmu/{s}/run*/*" for s in wanted)) if p.is_dir()]
        for gender in "fm":
            self.find_body_model("smpl", gender)
        return [Unit(p.relative_to(self.raw / "cmu").as_posix(), (str(p),)) for p in folders]

    def convert(self, unit: Unit, output) -> None:
        part = unit.name.split("/")[0]
        folder = self.raw / "cmu" / unit.name
        for path in sorted(folder.glob("*_info.mat")):
            clip = path.name.removesuffix("_info.mat")
            camera, poses, pixels = self.read_clip(path)
            self.check(path, poses, cameras=camera, pixels=pixels, noise_px=0.2)
            sampler = MotionSampler(THRESHOLD_MM)
            frames = [i for i, pose in enumerate(poses) if sampler.keep(pose)]
            people = read_masks(folder / f"{clip}_segm.mat", frames)
            for i, image in labelled_frames(folder / f"{clip}.mp4", frames, output):
                box = masks.box_of(people[i])
                if box is None:
                    output.skip("nobody in the picture")
                    continue
                key = f"{unit.name}/{clip}/frame_{i:06d}.jpg"
                output.write_image(key, np.ascontiguousarray(image[:, ::-1]))
                row = {"sequence": f"{unit.name}/{clip}", "frame": i, "activity": part}
                output.add(Row(SPLITS[part], key, box, camera, poses[i], masks.encode(people[i]), **row))

    def read_clip(self, path) -> tuple[CameraParams, np.ndarray, np.ndarray]:
        """The camera, the poses [frames, 24, 3] (world mm) and their pixels [frames, 24, 2], mirrored."""
        data = load_mat5(path)
        try:
            pose = np.array(field(data, "pose", path), np.float64).reshape(72, -1).T
            shape = np.array(field(data, "shape", path), np.float64).reshape(10, -1).T
            pelvis = np.array(field(data, "joints3D", path), np.float64).reshape(3, 24, -1)[:, 0].T
            pixels = np.array(field(data, "joints2D", path), np.float64).reshape(2, 24, -1).transpose(2, 1, 0)
            zrot = np.ravel(field(data, "zrot", path)).astype(np.float64)
            center = np.ravel(field(data, "camLoc", path)).astype(np.float64).reshape(3)
            gender = "f" if int(np.ravel(field(data, "gender", path))[0]) == 0 else "m"
            turn = rotation_matrices(np.stack([0 * zrot, 0 * zrot, zrot], axis=-1))
            pose[:, :3] = rotation_vector(STANDING @ turn @ rotation_matrices(pose[:, :3]))
            joints = self.body_model("smpl", gender).joints(pose, shape)
            world = joints + (pelvis * MM_PER_M - joints[:, 0])[:, None]
        except UserError:
            raise
        except (ValueError, IndexError, TypeError) as error:
            raise UserError(f"{path} is not a clip's information of SURREAL ({error}); unpack it again.") from None
        pixels = np.array([WIDTH - 1, 0]) + pixels * [-1, 1]
        return make_camera(R, center * MM_PER_M, K, world_up=(0, -1, 0)), world[:, SMPL_24], pixels[:, SMPL_24]


def read_masks(path, frames: list[int]) -> dict[int, np.ndarray]:
    """Frame -> [240, 320] person's pixels, mirrored."""
    names = [f"segm_{i + 1}" for i in frames]
    data = load_mat5(path, names)
    missing = [n for n in names if n not in data]
    if missing:
        raise UserError(f"{path} has no '{missing[0]}' although its clip has that frame; unpack it again.")
    pictures = [np.asarray(data[n]) for n in names]
    if any(p.ndim != 2 or p.dtype.kind not in "buif" for p in pictures):
        raise UserError(f"{path} holds no segmentation of numbers by row and column; unpack it again.")
    return {i: p[:, ::-1] > 0 for i, p in zip(frames, pictures, strict=True)}
