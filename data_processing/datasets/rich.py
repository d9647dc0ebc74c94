"""RICH: people in real places seen by six to eight fixed cameras, 42 joints of SMPL-X fits.

Training and validation sequences are used for training. Frames are kept by motion (100 mm against the last 100 kept
poses of the person). The box is that of the joints x 1.05, or the detection where their IoU is above 0.5, within the
picture and at least 100 px wide and high. Cameras without a calibration (moving ones) are left out. The world's axes
are those of the first camera. Which way is up follows from `multicam2world/<scene>_multicam2world.json`, the way from
these axes (row vectors) to those of the scan, one of which is vertical; without that file, each camera's own up
direction is taken.

Format, after the authors' toolkit: `<frame>/<subject>.pkl` has SMPL-X parameters (hands as 12 principal components),
`<camera>.xml` the matrices CameraMatrix (3 x 4, world to camera, m) and Intrinsics, and Distortion in OpenCV's order.
"""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree
from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.cameras import from_extrinsics, nearest_axis, nearest_rotation, project
from data_processing.converter import Converter, Unit
from data_processing.file_cache import file_cache
from data_processing.raw_images import read_any_image
from data_processing.sampling import BufferedMotionSampler
from data_processing.smpl.points import smplx_42
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json
from metrabs_acae.safe_pickle import load_pickle

PARTS = ("train", "val")
FEMALE = (9, 10, 12, 13, 16, 17, 18, 19, 21)
"""Subjects; the other ones of 0 to 21 are male."""
N_SUBJECTS = 22
SUFFIXES = ("jpg", "jpeg", "png", "bmp")
MM_PER_M = 1000
THRESHOLD_MM, BUFFER = 100, 100
BOX_FACTOR, MIN_IOU, MIN_SIDE_PX = 1.05, 0.5, 100


class Rich(Converter):
    def units(self) -> list[Unit]:
        found = self.find(*(f"{top}{part}/*/cam_*" for part in PARTS for top in ("", "images/")))
        units = []
        for path in found:
            part, sequence, camera = path.parts[-3:]
            calibration = self._calibration(sequence, camera)
            if calibration.exists():
                self._bodies(part, sequence)
                units.append(Unit(f"{part}/{sequence}/{camera}", (str(path),)))
            elif not calibration.parent.exists():
                self.require(str(calibration.parent.relative_to(self.raw)))
        for gender in sorted({gender_of(s) for u in units for s in subjects_of(u.name.split("/")[1])}):
            self.find_body_model("smplx", gender)
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        folder = Path(unit.args[0])
        part, sequence, camera_name = unit.name.split("/")
        camera = read_camera(self._calibration(sequence, camera_name))
        to_scan = self.raw / "multicam2world" / f"{sequence.split('_')[0]}_multicam2world.json"
        if to_scan.exists():
            camera = dataclasses.replace(camera, world_up=true_up(to_scan, camera))
        else:
            output.note("without multicam2world/ up is taken from each camera")
        pictures = {int(p.name.split("_")[0]): p for s in SUFFIXES for p in folder.glob(f"[0-9]*_*.{s}")}
        chosen: dict[int, list[tuple[int, np.ndarray]]] = {}
        for subject in subjects_of(sequence):
            for frame, pose in self._kept(self._bodies(part, sequence), subject, sorted(pictures), camera):
                chosen.setdefault(frame, []).append((subject, pose))
        for frame in sorted(chosen):
            image = read_any_image(pictures[frame])
            detections = self.detect(image, pictures[frame])
            for subject, pose in chosen[frame]:
                box = person_box(camera, pose, detections, image.shape[1::-1])
                if box is None:
                    output.skip("person too small or not in the picture")
                    continue
                row = {"sequence": sequence, "frame": frame, "activity": part, "person": subject}
                key = f"{unit.name}/{frame:05d}_{subject:03d}.jpg"
                self.add_crop(output, image, split="train", key=key, camera=camera, coords=pose, box=box, **row)

    def _kept(self, bodies: Path, subject: int, frames: list[int], camera: CameraParams):
        """(frame, pose [42, 3] mm) of a person's frames that are kept; read in batches."""
        model = self.body_model("smplx", gender_of(subject))
        sampler = BufferedMotionSampler(THRESHOLD_MM, BUFFER, check_validity=True)
        for start in range(0, len(frames), 256):
            part = [(f, fit) for f in frames[start : start + 256] if (fit := read_fit(bodies, f, subject)) is not None]
            if not part:
                continue
            try:
                poses = smplx_42(model, [fit for _, fit in part])
            except (ValueError, TypeError) as error:
                raise UserError(f"{bodies}: the fits of person {subject} are not those of RICH ({error}).") from None
            self.check(bodies, poses, cameras=camera, frames=[f for f, _ in part])
            yield from ((frame, pose) for (frame, _), pose in zip(part, poses, strict=True) if sampler.keep(pose))

    def _calibration(self, sequence: str, camera: str) -> Path:
        place, number = sequence.split("_")[0], int(camera.removeprefix("cam_"))
        return self.raw / "scan_calibration" / place / "calibration" / f"{number:03d}.xml"

    def _bodies(self, part: str, sequence: str) -> Path:
        candidates = (self.raw / "bodies" / part / sequence, self.raw / f"{part}_body" / sequence)
        found = next((p for p in candidates if p.is_dir()), None)
        return found or self.require(f"bodies/{part}/{sequence}")


def subjects_of(sequence: str) -> list[int]:
    """The numbers of the people, from e.g. "ParkingLot1_004_005_greetingchattingeating1"."""
    try:
        return [int(s) for s in sequence.split("_")[1:-1]]
    except ValueError:
        raise UserError(
            f"'{sequence}' is not the name of a sequence of RICH (<place>_<person>[_...]_<name>)."
        ) from None


def gender_of(subject: int) -> str:
    if not 0 <= subject < N_SUBJECTS:
        raise UserError(f"RICH has no person {subject}; known are 0 to {N_SUBJECTS - 1}.")
    return "female" if subject in FEMALE else "male"


def read_fit(bodies: Path, frame: int, subject: int) -> dict | None:
    path = bodies / f"{frame:05d}" / f"{subject:03d}.pkl"
    if not path.exists():
        return None
    fit = load_pickle(path)
    if not isinstance(fit, dict) or "body_pose" not in fit:
        raise UserError(f"{path} is not a fit of RICH; unpack it again.")
    return fit


def person_box(camera: CameraParams, pose: np.ndarray, detections, image_size_wh) -> np.ndarray | None:
    """Left, top, width, height, or None where too little of the person is in the picture."""
    box = boxes.box_of_points(project(camera, pose), BOX_FACTOR)
    if box is None:
        return None
    found = boxes.best_detection(box, detections, min_iou=MIN_IOU)
    box = boxes.within_image(box if found is None else found, image_size_wh)
    return box if min(box[2:]) >= MIN_SIDE_PX else None


def true_up(path, camera: CameraParams) -> np.ndarray:
    """The scan's vertical axis in the world of the cameras: the one that is nearest to the camera's own up."""
    try:
        to_scan = nearest_rotation(read_json(path, dict)["R"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} does not hold a rotation R of RICH ({error!r}); fetch it again.") from None
    return to_scan @ nearest_axis(-camera.R[1] @ to_scan)


@file_cache(8)
def read_camera(path) -> CameraParams:
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
        matrix, K, distortion = (
            np.array(root.find(name).find("data").text.split(), np.float64)
            for name in ("CameraMatrix", "Intrinsics", "Distortion")
        )
        matrix = matrix.reshape(3, 4)
        return from_extrinsics(
            matrix[:, :3],
            matrix[:, 3] * MM_PER_M,
            K.reshape(3, 3),
            distortion=distortion,
            world_up=-matrix[1, :3],
        )
    except (xml.etree.ElementTree.ParseError, AttributeError, ValueError, OSError, np.linalg.LinAlgError) as error:
        raise UserError(f"{path} is not a calibration of RICH ({error}); unpack it again.") from None
