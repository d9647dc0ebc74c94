"""SPEC-SYN: rendered crowds seen by cameras of strong perspective, 24 SMPL joints of each person.

The labels give a person's pose and shape without its place. That is found: SMPL's joints are fitted to the person's
OpenPose-like pixels with the known lens, then scaled about the camera until they are as large as the labelled joints
`S`. The box is that of the joints x 1.15, or the detection matched to it with IoU of at least 0.3; with a detector,
people without detection are left out, as are boxes under 100 px. Crops keep their whole field of view.

Format, as the paper's tools read it: `annotations/{train,test}.npz` has, for each person, `imgname` (path below the raw
folder), `pose` [72], `shape` [10], `S` [., 3 or 4] (m; the first 12 are the limbs in the order of LSP), `openpose_gt`
[25, 3] (px and confidence), `cam_rotmat` [3, 3] world to camera and `cam_int` [3, 3].
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.calibration import fit_pose, reprojection_error
from data_processing.cameras import make_camera, project, to_camera, to_world
from data_processing.converter import Converter, Unit
from data_processing.file_cache import file_cache
from data_processing.images import read_image
from data_processing.plain_files import read_arrays
from data_processing.smpl.model import BodyModel
from data_processing.smpl.points import SMPL_24
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

ARRAYS = ("pose", "shape", "S", "openpose_gt", "cam_rotmat", "cam_int")
OPENPOSE = "nose,neck,rsho,relb,rwri,lsho,lelb,lwri,pelv,rhip,rkne,rank,lhip,lkne,lank".split(",")
"""The first of the 25 points; the nose and all beyond are no joints of SMPL."""
LIMBS = "rank,rkne,rhip,lhip,lkne,lank,rwri,relb,rsho,lsho,lelb,lwri".split(",")
NAMES = [n.removesuffix("_smpl") for n in get_skeleton("smpl").joint_names]
FITTED_2D = range(1, len(OPENPOSE))
FITTED_3D = [NAMES.index(OPENPOSE[i]) for i in FITTED_2D]
SIZED = [NAMES.index(n) for n in LIMBS]
MM_PER_M = 1000
BOX_FACTOR, MIN_IOU, MIN_SIDE_PX = 1.15, 0.3, 100
PICTURES_PER_UNIT = 200
MAX_ERROR_PX = 30
"""Of the median joint, by the camera that fits best."""


class SpecSyn(Converter):
    def units(self) -> list[Unit]:
        units = []
        for split in ("train", "test"):
            path = f"annotations/{split}.npz"
            if self.wants(split) and (split == "train" or (self.raw / path).exists()):
                n = len(read_people(self.require(path)).pictures)
                units += [
                    Unit(f"{split}/{i // PICTURES_PER_UNIT:05d}", (split, i)) for i in range(0, n, PICTURES_PER_UNIT)
                ]
        self.find_body_model("smpl", "neutral")
        return units

    def convert(self, unit: Unit, output) -> None:
        split, start = unit.args
        people = read_people(self.raw / f"annotations/{split}.npz")
        model = self.body_model("smpl", "neutral")
        names = sorted(people.pictures)[start : start + PICTURES_PER_UNIT]
        for number, name in enumerate(names, start=start):
            placed = [(i, *p) for i in people.pictures[name] if (p := place(people.arrays, i, model)) is not None]
            for _ in range(len(people.pictures[name]) - len(placed)):
                output.skip("labels of pixels and pose do not fit together")
            if not placed:
                continue
            path = self._picture(name)
            image = read_image(path)
            labelled = [boxes.box_of_points(project(camera, pose), BOX_FACTOR) for _, camera, pose in placed]
            for (i, camera, pose), box in zip(placed, self._boxes(image, path, labelled), strict=True):
                if box is None or min(box[2:]) < MIN_SIDE_PX:
                    output.skip("no detection" if box is None else "person too small")
                    continue
                self.add_crop(
                    output,
                    image,
                    split=split,
                    key=f"{split}/{Path(name).stem}_{i:06d}.jpg",
                    camera=camera,
                    coords=pose,
                    box=box,
                    whole_field=True,
                    sequence=str(Path(name).parent),
                    frame=number,
                    person=i,
                )

    def _boxes(self, image, path, labelled) -> list[np.ndarray | None]:
        if self.options.detector == "none":
            return labelled
        detections = self.detect(image, path)
        matched = boxes.match([np.zeros(4) if b is None else b for b in labelled], detections, min_iou=MIN_IOU)
        return [None if j is None else detections[j, :4] for j in matched]

    def _picture(self, name: str) -> Path:
        path = self.raw / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise UserError(f"The labels name a picture outside of the raw folder: {name}.")
        return path


class People:
    """The labels of a file: arrays over people, and picture -> its people."""

    def __init__(self, names: list[str], arrays: dict[str, np.ndarray]):
        self.arrays = arrays
        self.pictures: dict[str, list[int]] = {}
        for i, name in enumerate(names):
            self.pictures.setdefault(name, []).append(i)


@file_cache(1)
def read_people(path) -> People:
    arrays = read_arrays(path, ARRAYS)
    try:
        names = read_names(path)
        n = len(names)
        shapes = {"pose": (n, 72), "cam_rotmat": (n, 3, 3), "cam_int": (n, 3, 3)}
        arrays |= {name: arrays[name].reshape(shape) for name, shape in shapes.items()}
        arrays |= {name: arrays[name].reshape(n, -1, arrays[name].shape[-1]) for name in ("S", "openpose_gt")}
        arrays["shape"] = arrays["shape"].reshape(n, -1)[:, :10]
        if arrays["S"].shape[1] < len(LIMBS) or arrays["openpose_gt"].shape[1] < len(OPENPOSE):
            raise ValueError("too few joints")
    except (KeyError, ValueError, IndexError, OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a file of labels of SPEC-SYN ({error}); fetch it again.") from None
    return People(names, arrays)


def read_names(path, array: str = "imgname") -> list[str]:
    """An array of texts."""
    with np.load(path, allow_pickle=False) as data:
        names = data[array].ravel()
    if names.dtype.kind not in "SU":
        raise ValueError(f"'{array}' is no array of texts")
    return [n.decode() if isinstance(n, bytes) else str(n) for n in names]


def place(arrays: dict[str, np.ndarray], i: int, model: BodyModel):
    """(camera, pose [24, 3] mm) of person i; None where no place fits."""
    pose = model.joints(arrays["pose"][i], arrays["shape"][i])[0, SMPL_24]
    K = arrays["cam_int"][i].astype(np.float64)
    pixels = arrays["openpose_gt"][i].astype(np.float64)
    if pixels.shape[1] > 2:
        pixels = np.where(pixels[:, 2:3] > 0, pixels[:, :2], np.nan)
    try:
        fitted = fit_pose(pose[FITTED_3D], pixels[FITTED_2D, :2], K)
        errors = reprojection_error(fitted, pose[FITTED_3D], pixels[FITTED_2D, :2])
        if not np.median(errors[np.isfinite(errors)]) < MAX_ERROR_PX:
            return None
    except ValueError:
        return None
    in_camera = to_camera(fitted, pose)
    scale = size_of(arrays["S"][i, : len(LIMBS), :3] * MM_PER_M) / size_of(pose[SIZED])
    if not (np.isfinite(in_camera).all() and np.isfinite(scale) and scale > 0 and (in_camera[:, 2] > 0).any()):
        return None
    camera = make_camera(arrays["cam_rotmat"][i], np.zeros(3), K, world_up=(0, -1, 0))
    return camera, to_world(camera, in_camera * scale)


def size_of(points) -> float:
    """Root mean square distance of coordinates from their mean."""
    points = np.asarray(points, np.float64)
    return float(np.sqrt(np.mean((points - points.mean(0)) ** 2)))
