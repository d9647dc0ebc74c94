"""HUMBI: hundreds of people in snapshots of 107 cameras; of its labels the 25 OpenPose joints, as in the paper.

No motion sampling. The box is that of the joints x 1.05, or its hull with the best detection where their IoU is above
0.5, within the picture. About 600 pictures of the release are cut off; they are counted and left out.

Format, after the authors' description: `body/extrinsic.txt` has three lines of header, then for each camera its number,
its centre (m) and its rotation; `body/intrinsic.txt` likewise number and matrix; `reconstruction/keypoints.txt` has 25
lines x y z (m, y down). A line of zeros or of no numbers is taken for a missing joint.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.cameras import make_camera, project
from data_processing.converter import Converter, Unit
from data_processing.images import read_image
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

RAW_JOINTS = (
    "nose,neck,rsho,relb,rwri,lsho,lelb,lwri,pelv,rhip,rkne,rank,lhip,lkne,lank,reye,leye,rear,lear,lfoo,ltoe,lhee,"
    "rfoo,rtoe,rhee"
).split(",")
ORDER = [RAW_JOINTS.index(name.split("_")[0]) for name in get_skeleton("coco").joint_names]
SIZE = (1920, 1080)
MM_PER_M = 1000
BOX_FACTOR, MIN_IOU = 1.05, 0.5
N_HEADER_LINES = 3


class Humbi(Converter):
    def units(self) -> list[Unit]:
        subjects = [path.parts[-3] for path in self.find("subject_*/body/extrinsic.txt")]
        return [Unit(subject, (subject,)) for subject in subjects] if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        body = self.raw / unit.args[0] / "body"
        cameras = read_cameras(body)
        self._check(body, cameras)
        for snapshot in sorted(p for p in body.iterdir() if p.name.isdigit()):
            try:
                pose = read_pose(snapshot / "reconstruction/keypoints.txt")
            except UserError:
                output.skip("snapshot without readable joints")
                continue
            for path in sorted(snapshot.glob("image/image*.jpg")):
                camera = cameras.get(int(re.sub(r"\D", "", path.stem)))
                if camera is None:
                    output.skip("camera without calibration")
                    continue
                self._add(output, path, camera, pose, unit.name, int(snapshot.name))

    def _check(self, body: Path, cameras: dict[int, CameraParams]) -> None:
        """Holds the snapshots' joints against the views of three of the cameras."""
        poses = []
        for path in sorted(body.glob("*/reconstruction/keypoints.txt")):
            with contextlib.suppress(UserError):
                poses.append(read_pose(path))
        for n in sorted(cameras)[:: max(1, len(cameras) // 3)] if poses else ():
            others = {str(m): c for m, c in cameras.items() if m != n}
            self.check(body, np.stack(poses), cameras=cameras[n], size=SIZE, successive=False, others=others)

    def _add(self, output, path: Path, camera: CameraParams, pose: np.ndarray, subject: str, frame: int) -> None:
        if is_cut_off(path):
            output.skip("picture cut off")
            return
        try:
            image = read_image(path)
        except UserError:
            output.skip("broken picture")
            return
        box = boxes.box_of_points(project(camera, pose), BOX_FACTOR)
        if box is None:
            output.skip("person behind the camera")
            return
        found = boxes.best_detection(box, self.detect(image, path), min_iou=MIN_IOU)
        box = boxes.within_image(box if found is None else boxes.hull(box, found), image.shape[1::-1])
        self.add_crop(
            output,
            image,
            split="train",
            key=f"{subject}/{frame:08d}/{path.name}",
            camera=camera,
            coords=pose,
            box=box,
            sequence=subject,
            frame=frame,
        )


def is_cut_off(path: Path) -> bool:
    """Whether a JPEG file lacks its end mark; decoders fill the rest of such pictures with grey."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 1024))
        return b"\xff\xd9" not in file.read()


def read_cameras(body) -> dict[int, CameraParams]:
    """Number -> camera of one subject; cameras that only one of the two files has are left out."""
    places = {n: table for n, table in _blocks(body / "extrinsic.txt", n_lines=4)}
    lenses = {n: table for n, table in _blocks(body / "intrinsic.txt", n_lines=3)}
    return {
        n: make_camera(places[n][1:], places[n][0] * MM_PER_M, lenses[n], world_up=(0, -1, 0))
        for n in places.keys() & lenses.keys()
    }


def _blocks(path, n_lines: int):
    """(camera's number, [n_lines, 3]) below the header: a line with the number at its second place, then the table."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()[N_HEADER_LINES:] if line.strip()]
        for i in range(0, len(lines), n_lines + 1):
            table = np.array(lines[i + 1 : i + 1 + n_lines], np.float64).reshape(n_lines, 3)
            yield int(float(lines[i][1])), table
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path} is not a calibration of HUMBI ({error}); unpack it again.") from None


def read_pose(path) -> np.ndarray:
    """[25, 3] mm in the order of the skeleton."""
    try:
        rows = [[_number(v) for v in line.split()[:3]] for line in Path(path).read_text().splitlines() if line.strip()]
        raw = np.array(rows, np.float64).reshape(len(RAW_JOINTS), 3)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} does not hold {len(RAW_JOINTS)} joints ({error}); unpack it again.") from None
    raw[(raw == 0).all(1)] = np.nan
    raw[np.isnan(raw).any(1)] = np.nan
    return raw[ORDER] * MM_PER_M


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
