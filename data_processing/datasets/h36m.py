"""Human3.6M: four cameras, 25 of its 32 joints, boxes from its masks.

Training: subjects 1, 5, 6, 7, 8, every 5th frame, then motion sampling at 100 mm. Test: subjects 9 and 11, every 64th
frame. Subject 9 stands 200 mm beside its pictures in three activities; `h36m` corrects labels and boxes, the benchmark
`h36m-test` keeps them as released and stores whole frames.
"""

from __future__ import annotations

import xml.etree.ElementTree

import numpy as np

from data_processing.cameras import make_camera, project, to_camera, to_world
from data_processing.converter import Converter, Unit, neighbours
from data_processing.file_cache import file_cache
from data_processing.matlab import open_mat73
from data_processing.rows import Row
from data_processing.sampling import MotionSampler
from data_processing.video import labelled_frames
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

TRAIN_SUBJECTS, TEST_SUBJECTS = (1, 5, 6, 7, 8), (9, 11)
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
RAW_JOINTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 17, 18, 19, 21, 22, 25, 26, 27, 29, 30, 0)
"""Which of the 32 raw joints the 25 of the skeleton are."""
SIZE = (1000, 1000)
TRAIN_STEP, TEST_STEP = 5, 64
THRESHOLD_MM = 100
SAME_ACTIVITY = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether"}
"""Subject 1's files name three activities otherwise than those of the other subjects."""
S9_SHIFTED = ("SittingDown 1", "Waiting 1", "Greeting")
S9_SHIFT_MM = np.array([-200.0, 0, 0])


class Human36M(Converter):
    corrects_s9 = True
    whole_frames = False
    subjects = {**dict.fromkeys(TRAIN_SUBJECTS, "train"), **dict.fromkeys(TEST_SUBJECTS, "test")}

    def units(self) -> list[Unit]:
        self.require("Release-v1.2/metadata.xml")
        units = []
        for path in self.find("S*/MyPoseFeatures/D3_Positions/*.cdf"):
            subject = int(path.parts[-4].removeprefix("S"))
            split = self.subjects.get(subject)
            if split is not None and self.wants(split) and "_" not in path.stem:
                units += [Unit(f"S{subject}/{path.stem}.{c}", (subject, path.stem, c)) for c in CAMERAS]
        return units

    def convert(self, unit: Unit, output) -> None:
        subject, activity, camera_name = unit.args
        folder = self.raw / f"S{subject}"
        others = {c: read_cameras(self.raw / "Release-v1.2/metadata.xml")[c, subject] for c in CAMERAS}
        camera = others.pop(camera_name)
        labels = folder / "MyPoseFeatures/D3_Positions" / f"{activity}.cdf"
        poses = read_poses(labels)
        self.check(labels, poses, cameras=camera, size=SIZE, others=others)
        split = self.subjects[subject]
        step = TRAIN_STEP if split == "train" else TEST_STEP
        frames = range(0, len(poses), step)
        shifted = self.corrects_s9 and subject == 9 and activity in S9_SHIFTED
        if shifted:
            poses = poses + S9_SHIFT_MM
        if split == "train":
            sampler = MotionSampler(THRESHOLD_MM)
            frames = [i for i in frames if sampler.keep(poses[i])]
        boxes = read_boxes(folder / "MySegmentsMat/ground_truth_bb" / f"{activity}.{camera_name}.mat", frames)
        for i, image in labelled_frames(folder / "Videos" / f"{activity}.{camera_name}.mp4", frames, output):
            if i not in boxes:
                output.skip("no box")
                continue
            box = shifted_box(boxes[i], poses[i], camera) if shifted else boxes[i]
            key = f"{unit.name}/{i:06d}.jpg"
            name = activity.split(" ")[0]
            row = {"sequence": unit.name.replace("/", "_"), "frame": i, "activity": SAME_ACTIVITY.get(name, name)}
            if self.whole_frames:
                output.write_image(key, image)
                output.add(Row(split, key, box, camera, poses[i], **row))
            else:
                arguments = {"split": split, "key": key, "camera": camera, "coords": poses[i], "box": box}
                self.add_crop(output, image, **arguments, seen_box=box, around=neighbours(poses, i), **row)


class Human36MTest(Human36M):
    """The benchmark: labels of subject 9 as released, whole frames."""

    corrects_s9 = False
    whole_frames = True
    subjects = dict.fromkeys(TEST_SUBJECTS, "test")


@file_cache(4)
def read_cameras(path) -> dict[tuple[str, int], CameraParams]:
    """The cameras by (camera name, subject), from the vector `w0` of metadata.xml.

    w0: for each of 4 cameras and 11 subjects three Euler angles (R = Rx Ry Rz) and the camera's position, then for each
    camera f (2), c (2), radial (3) and tangential (2) distortion.
    """
    try:
        text = xml.etree.ElementTree.parse(path).getroot().find("w0").text
        numbers = np.array([float(v) for v in text.strip().strip("[]").split()])
        extrinsics = numbers[:264].reshape(4, 11, 6)
        intrinsics = numbers[264:300].reshape(4, 9)
    except (xml.etree.ElementTree.ParseError, AttributeError, ValueError, OSError) as error:
        raise UserError(f"{path} is not Human3.6M's metadata ({error}); take it from code-v1.2.zip.") from None
    cameras = {}
    for name, per_subject, (fx, fy, cx, cy, k1, k2, k3, p1, p2) in zip(CAMERAS, extrinsics, intrinsics, strict=True):
        for subject, values in enumerate(per_subject, start=1):
            K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
            R = euler_rotation(*values[:3])
            cameras[name, subject] = make_camera(R, values[3:], K, distortion=(k1, k2, p1, p2, k3))
    return cameras


def euler_rotation(x: float, y: float, z: float) -> np.ndarray:
    """Rx(x) Ry(y) Rz(z)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos([x, y, z]), np.sin([x, y, z])
    Rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    Ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    Rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return Rx @ Ry @ Rz


@file_cache(1)
def read_poses(path) -> np.ndarray:
    """[frames, 25, 3] world mm from a CDF file."""
    try:
        import cdflib
    except ImportError:
        raise UserError("Reading Human3.6M needs the extra [data]: pip install metrabs_acae[data].") from None
    try:
        raw = np.asarray(cdflib.CDF(str(path)).varget("Pose"), np.float64)
        return raw.reshape(-1, 32, 3)[:, RAW_JOINTS, :]
    except Exception as error:
        # cdflib fails in many ways on damaged files.
        raise UserError(f"{path} is not a readable CDF file with a variable Pose ({error}); unpack it again.") from None


def read_boxes(path, frames) -> dict[int, np.ndarray]:
    """The boxes of these frames, where there is one: the bounding rectangles of boolean masks in a 7.3 file."""
    boxes = {}
    with open_mat73(path) as file:
        references = file["Masks"][:].ravel()
        for i in frames:
            if i >= len(references):
                break
            mask = np.asarray(file[references[i]])  # [width, height]: MATLAB's axes are reversed
            columns, rows = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            if len(columns):
                size = [columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
                boxes[i] = np.array([columns[0], rows[0], *size], np.float64)
    return boxes


def shifted_box(box: np.ndarray, pose: np.ndarray, camera: CameraParams) -> np.ndarray:
    """The box of a person whose labels were shifted in the world: its corners move at the depth of the pelvis."""
    from metrabs_acae.data.crop import undistort_points

    corners = np.stack([box[:2], box[:2] + box[2:]])
    depth = to_camera(camera, pose[-1] - S9_SHIFT_MM)[2]
    rays = undistort_points(corners, camera.K, camera.lens)
    moved = project(camera, to_world(camera, rays * depth) + S9_SHIFT_MM)
    return np.concatenate([moved[0], moved[1] - moved[0]])
