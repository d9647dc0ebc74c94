"""BEHAVE: people handle objects in front of four Kinects; 24 SMPL joints of the body fits and 25 OpenPose joints.

Frames are kept by motion (100 mm against the last 100 kept poses of the sequence), for all four cameras alike. The box
is that of the joints x 1.05, or the detection where their IoU is above 0.5. The fits are of SMPL-H; their shape and the
rotations of the body's joints are also those of SMPL, whose file is used, because SMPL-H has no joint in the hand.

Format, after the authors' description: `sequences/` holds what the archives Date*.zip unpack to; masks are PNG files,
or JPEG where there is none; `info.json` names the folders of the calibrations relative to itself; `config.json` has the
pose of the camera in the world (m), `calibration.json` the colour camera's lens. A joint in
`person_J3d.json` (25 x (x, y, z in m, confidence), flat) of confidence 0 is taken for missing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_processing import boxes, masks
from data_processing.cameras import intrinsics, make_camera, project
from data_processing.converter import Converter, Unit
from data_processing.file_cache import file_cache
from data_processing.images import read_image, read_mask
from data_processing.sampling import BufferedMotionSampler
from data_processing.smpl.points import order_of, smpl_24
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json
from metrabs_acae.safe_pickle import load_pickle

OPENPOSE = (
    "nose,neck,rsho,relb,rwri,lsho,lelb,lwri,pelv,rhip,rkne,rank,lhip,lkne,lank,reye,leye,rear,lear,lfoo,ltoe,lhee,"
    "rfoo,rtoe,rhee"
).split(",")
ORDER = order_of(OPENPOSE, "coco")
DISTORTION = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
MM_PER_M = 1000
KINECTS = (0, 1, 2)
"""Of a sequence whose `info.json` does not name them."""
THRESHOLD_MM, BUFFER = 100, 100
BOX_FACTOR, MIN_IOU = 1.05, 0.5


class Behave(Converter):
    def units(self) -> list[Unit]:
        split = read_json(self.require("split.json"), dict)
        listed = {name: s for s in ("train", "test") for name in split.get(s, ())}
        folders = [p.parent for p in self.find("sequences/*/info.json", "Date*/info.json")]
        for gender in sorted({read_info(p / "info.json")["gender"] for p in folders}):
            self.find_body_model("smpl", gender)
        wanted = [p for p in folders if p.name in listed and self.wants(listed[p.name])]
        return [Unit(p.name, (listed[p.name], p.relative_to(self.raw).as_posix())) for p in wanted]

    def convert(self, unit: Unit, output) -> None:
        folder = self.raw / unit.args[1]
        info = read_info(folder / "info.json")
        places = {key: self._calibrations(folder, info[key]) for key in ("config", "intrinsic")}
        cameras = {k: read_camera(places["config"], places["intrinsic"], k) for k in info["kinects"]}
        sampler = BufferedMotionSampler(THRESHOLD_MM, BUFFER, check_validity=True)
        for number, snapshot in enumerate(sorted(p for p in folder.glob("t*") if p.is_dir())):
            try:
                pose = self._pose(snapshot, info["gender"])
            except FileNotFoundError:
                output.skip("frame without a fit of the person")
                continue
            if not sampler.keep(pose):
                continue
            for kinect, camera in cameras.items():
                self._add(output, unit, snapshot, number, kinect, camera, pose)

    def _calibrations(self, folder: Path, relative: str) -> Path:
        """A folder that `info.json` names; the same below the raw folder's `calibs` where the sequence was moved."""
        there = folder / relative
        return there if there.is_dir() else self.raw / "calibs" / relative.rpartition("calibs/")[2]

    def _pose(self, snapshot: Path, gender: str) -> np.ndarray:
        """[49, 3] mm; FileNotFoundError where the frame has no labels."""
        fit_path, points_path = (snapshot / "person" / n for n in ("fit02/person_fit.pkl", "person_J3d.json"))
        if not fit_path.exists():
            raise FileNotFoundError(fit_path)
        fit = load_pickle(fit_path)
        model = self.body_model("smpl", gender)
        try:
            joints = smpl_24(model, np.ravel(fit["pose"]), np.ravel(fit["betas"])[:10])[0]
            joints = joints + np.ravel(fit["trans"]).reshape(3) * MM_PER_M
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"{fit_path} is not a fit of BEHAVE ({error!r}); unpack it again.") from None
        points = np.full((len(OPENPOSE), 3), np.nan)
        if points_path.exists():
            try:
                table = np.array(read_json(points_path, dict)["body_joints3d"], np.float64).reshape(len(OPENPOSE), 4)
            except (KeyError, ValueError, TypeError) as error:
                raise UserError(f"{points_path} does not hold 25 joints ({error!r}); unpack it again.") from None
            points = np.where(table[:, 3:] > 0, table[:, :3] * MM_PER_M, np.nan)
        return np.concatenate([joints, points[ORDER]])

    def _add(self, output, unit: Unit, snapshot: Path, number: int, kinect: int, camera, pose: np.ndarray) -> None:
        path = snapshot / f"k{kinect}.color.jpg"
        if not path.exists():
            output.skip("picture missing")
            return
        image = read_image(path)
        box = boxes.box_of_points(project(camera, pose), BOX_FACTOR)
        if box is None:
            output.skip("person behind the camera")
            return
        found = boxes.best_detection(box, self.detect(image, path), min_iou=MIN_IOU)
        named = (snapshot / f"k{kinect}.person_mask.{suffix}" for suffix in ("png", "jpg"))
        mask_path = next((p for p in named if p.exists()), None)
        mask = None if mask_path is None else read_mask(mask_path)
        self.add_crop(
            output,
            image,
            split=unit.args[0],
            key=f"{unit.name}/{snapshot.name}/k{kinect}.jpg",
            camera=camera,
            coords=pose,
            box=boxes.within_image(box if found is None else found, image.shape[1::-1]),
            mask=mask,
            seen_box=None if mask is None else masks.box_of(mask),
            sequence=unit.name,
            frame=number,
        )


@file_cache(400)
def read_info(path) -> dict:
    """What `info.json` says: gender, the numbers of the Kinects, the folders of intrinsics and camera poses."""
    info = read_json(path, dict)
    try:
        kinects = [int(k) for k in info.get("kinects", KINECTS)]
        return {"gender": str(info["gender"]), "kinects": kinects, **{k: str(info[k]) for k in ("intrinsic", "config")}}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} does not describe a sequence of BEHAVE ({error!r}); unpack it again.") from None


def read_camera(places: Path, lenses: Path, kinect: int) -> CameraParams:
    place_path = places / str(kinect) / "config.json"
    lens_path = lenses / str(kinect) / "calibration.json"
    place, lens = read_json(place_path, dict), read_json(lens_path, dict)
    try:
        lens = lens["color"]
        R = np.array(place["rotation"], np.float64).reshape(3, 3).T
        center = np.array(place["translation"], np.float64).reshape(3) * MM_PER_M
        K = intrinsics(*(float(lens[k]) for k in ("fx", "fy", "cx", "cy")))
        return make_camera(R, center, K, distortion=[float(lens[k]) for k in DISTORTION], world_up=(0, -1, 0))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{place_path} or {lens_path} is not a calibration of BEHAVE ({error!r}).") from None
