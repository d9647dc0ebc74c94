"""BML-MoVi: actors with 67 surface markers and 20 joints, motion capture at 120 Hz, two calibrated cameras, two phones.

Rounds F (all markers) and S1, S2 (a subset). A marker at the origin is a lost one. Frames are kept when some marker has
moved by 100 mm against each of the last 500 kept poses. The cameras PG1 and PG2 come with a calibration and run in
step; the phones CP1 and CP2 are used where the command `movi-phones` has calibrated them in `Calib/phones.json`:
{"F_CP1_12": {"time_offset_s": ..., "cameras": {"0": {"R": 3x3, "t_mm": [3]}, ...}}}, a camera holding from its frame
on ("0" alone for one that stands still).
"""

from __future__ import annotations

import bisect
import re
from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.cameras import from_extrinsics, intrinsics, project, roll_degrees
from data_processing.converter import Converter, Unit, neighbours
from data_processing.file_cache import file_cache
from data_processing.matlab import field, load_mat5
from data_processing.plain_files import read_arrays
from data_processing.sampling import BufferedMotionSampler
from data_processing.video import read_frames, video_info
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json

VIDEO = re.compile(r"(?P<round>F|S1|S2)_(?P<camera>(CP|PG)[12])_Subject_(?P<subject>\d+)(_L)?\.(mp4|avi)")
MOCAP_HZ = 120
N_MARKERS = 87
S_ROUND_MARKERS = (5, 6, 12, 13, 20, 36, 37, 43, 44, 51, 67, 71, 77, 79, 85)
S_ROUND_RAW = tuple(i for i in range(17) if i not in (5, 11))
"""In S1 and S2, which of the raw 17 points are which of the 87."""
PHONE_K = intrinsics(1508.7021, 1508.7021, 960, 540)
MAX_ROLL_DEG = 7
THRESHOLD_MM, BUFFER = 100, 500


class BmlMovi(Converter):
    def units(self) -> list[Unit]:
        phones = read_phones(self.raw / "Calib/phones.json")
        units = []
        for path in self.find("*.avi", "*.mp4", "*/*.avi", "*/*.mp4"):
            match = VIDEO.fullmatch(path.name)
            if match is None or not self.wants("train"):
                continue
            phone = f"{match['round']}_{match['camera']}_{match['subject']}"
            if match["camera"].startswith("PG") or phone in phones:
                units.append(Unit(path.stem, (str(path), match["round"], match["camera"], int(match["subject"]))))
        return units

    def convert(self, unit: Unit, output) -> None:
        path, round_, camera_name, subject = unit.args
        camera_at, offset_s = self._camera(round_, camera_name, subject)
        markers = read_markers(find_markers(self.raw, round_, subject), round_, subject)
        n_frames = int((offset_s + (len(markers) - 1) / MOCAP_HZ) * video_info(path).fps)
        poses = interpolate(markers, n_frames, video_info(path).fps, offset_s)
        calibrated = camera_name.startswith("PG")
        size = video_info(path).size_wh if calibrated else None
        self.check(path, poses, cameras=camera_at(0) if calibrated else None, size=size)
        sampler = BufferedMotionSampler(THRESHOLD_MM, BUFFER, check_validity=True)
        cameras = [camera_at(i) for i in range(n_frames)]
        usable = [c is not None and roll_degrees(c) <= MAX_ROLL_DEG for c in cameras]
        frames = [i for i in range(n_frames) if usable[i] and sampler.keep(poses[i])]
        for i, image in read_frames(path, frames):
            key = f"{unit.name}/{i:06d}.jpg"
            box = boxes.box_of_points(project(cameras[i], poses[i]), 1.05)
            if box is None:
                output.skip("person behind the camera")
                continue
            if self.options.detector != "none":
                found = boxes.best_detection(box, self.detect(image, path, i))
                box = box if found is None else found
            row = {"sequence": unit.name, "frame": i, "activity": round_}
            arguments = {"split": "train", "key": key, "camera": cameras[i], "coords": poses[i], "box": box}
            self.add_crop(output, image, **arguments, around=neighbours(poses, i), **row)

    def _camera(self, round_: str, name: str, subject: int):
        """A function frame -> camera or None, and the video's time offset in seconds."""
        if name.startswith("PG"):
            camera = read_camera(self.require("Calib"), name)
            return (lambda frame: camera), 0.0
        phone = read_phones(self.raw / "Calib/phones.json")[f"{round_}_{name}_{subject}"]
        starts = sorted(int(frame) for frame in phone["cameras"])
        cameras = {
            start: c and from_extrinsics(c["R"], c["t_mm"], PHONE_K)
            for start in starts
            for c in [phone["cameras"][str(start)]]
        }

        def camera_at(frame: int) -> CameraParams | None:
            position = bisect.bisect_right(starts, frame)
            return cameras[starts[position - 1]] if position else None

        return camera_at, float(phone["time_offset_s"])


def find_markers(raw: Path, round_: str, subject: int) -> Path:
    """The motion capture file of a subject; UserError where it is missing."""
    name = f"{round_[0]}_v3d_Subject_{subject}.mat"
    found = sorted([*raw.glob(name), *raw.glob(f"*/{name}")])
    if not found:
        raise UserError(f"{name} is nowhere in {raw}; unpack F_Subjects_*.tar and S.tar there.")
    return found[0]


def read_camera(folder, name: str) -> CameraParams:
    """PG1 or PG2 from MATLAB's calibration: matrices are transposed (row vectors), pixels are counted from 1."""
    try:
        lens = read_arrays(folder / f"cameraParams_{name}.npz", ["IntrinsicMatrix", "RadialDistortion"])
        place = read_arrays(folder / f"Extrinsics_{name}.npz", ["rotationMatrix", "translationVector"])
        k1, k2, k3 = np.pad(np.ravel(lens["RadialDistortion"]), (0, 1))[:3]
        R, t = place["rotationMatrix"].T, place["translationVector"]
        K = np.array(lens["IntrinsicMatrix"].T, np.float64)
        K[:2, 2] -= 1
        return from_extrinsics(R, t, K, distortion=(k1, k2, 0, 0, k3))
    except (ValueError, np.linalg.LinAlgError) as error:
        raise UserError(f"{folder} lacks a readable calibration of {name} ({error}); fetch Calib.tar again.") from None


def read_markers(path, round_: str, subject: int) -> np.ndarray:
    """[mocap frames, 87, 3] mm, NaN where lost or not worn."""
    move = field(field(load_mat5(path), f"Subject_{subject}_{round_[0]}", path), "move", path)
    if round_ != "F":
        moves = np.atleast_1d(move)
        if len(moves) < int(round_[1]):
            raise UserError(f"{path} has no round {round_}; fetch it again.")
        move = moves[int(round_[1]) - 1]
    elif np.ndim(move):
        move = np.ravel(move)[0]
    raw = np.asarray(field(move, "markerLocation", path), np.float64)
    markers = raw
    if round_ != "F":
        markers = np.full((len(raw), N_MARKERS, 3), np.nan)
        markers[:, S_ROUND_MARKERS] = raw[:, S_ROUND_RAW]
    if markers.shape[1:] != (N_MARKERS, 3):
        raise UserError(f"{path} holds markers of shape {raw.shape}; expected {N_MARKERS} points per frame.")
    lost = (np.abs(markers) < 1e-3).all(-1)
    return np.where(lost[..., None], np.nan, markers)


def interpolate(markers: np.ndarray, n_frames: int, fps: float, offset_s: float) -> np.ndarray:
    """The markers at the times of the video's frames (linear), NaN before the capture begins."""
    times = (np.arange(n_frames) / fps - offset_s) * MOCAP_HZ
    poses = np.full((n_frames, *markers.shape[1:]), np.nan)
    inside = (times >= 0) & (times <= len(markers) - 1)
    low = np.minimum(times[inside].astype(int), len(markers) - 2)
    share = (times[inside] - low)[:, None, None]
    first, second = markers[low], markers[low + 1]
    blended = first * (1 - share) + second * share
    poses[inside] = np.where(share == 0, first, np.where(share == 1, second, blended))
    return poses


@file_cache(2)
def read_phones(path) -> dict:
    """The phones' calibrations by "<round>_<camera>_<subject>"; empty without the file."""
    try:
        return load_json(path)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path} is not readable JSON ({error}).") from None
