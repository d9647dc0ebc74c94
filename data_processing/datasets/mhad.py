"""Berkeley MHAD: 12 people, 11 actions, 5 repetitions, seen by 12 cameras in 4 clusters and 2 Kinects; 43 markers.

Motion sampling at 100 mm against all poses kept of the recording. The box is that of the markers (x 1.05).

Of the raw files: line i of a correspondence file is of picture i, its third number the motion capture frame, counted
from 0; the world is that of the calibrations, into which the C3D files' points come by (x, y, z) -> (-x, z, y), y up; a
camera is the cluster's place in the world (RwTw_*.txt, mm) followed by its own place in the cluster (PosRel of
camcfg_*.yml: translation and rotation vector). The cluster cameras' PGM files hold a Bayer mosaic whose first rows are
green-red-green... and blue-green-blue...; pictures converted to `.jpg` or `.png` beforehand are taken as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.c3d import read_c3d
from data_processing.cameras import from_extrinsics, project
from data_processing.converter import Converter, Unit
from data_processing.file_cache import file_cache
from data_processing.images import read_image
from data_processing.raw_images import read_pnm
from data_processing.sampling import BufferedMotionSampler
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

SIZE = (640, 480)
N_MARKERS = 43
THRESHOLD_MM = 100
TO_WORLD = np.array([[-1, 0, 0], [0, 0, 1], [0, 1, 0]], np.float64)
MOCAP_COLUMN = 2
CLUSTER_FOLDERS = "Camera/Cluster[0-9][0-9]/Cam[0-9][0-9]/S[0-9][0-9]/A[0-9][0-9]/R[0-9][0-9]"
KINECT_FOLDERS = "Kinect/Kin[0-9][0-9]/S[0-9][0-9]/A[0-9][0-9]/R[0-9][0-9]"


class BerkeleyMhad(Converter):
    def units(self) -> list[Unit]:
        folders = [p.relative_to(self.raw) for p in self.find(CLUSTER_FOLDERS, KINECT_FOLDERS)]
        units = [Unit(p.as_posix(), (p.as_posix(),)) for p in folders]
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        folder = self.raw / unit.args[0]
        view = View(folder)
        cameras = read_cameras(self.raw / "Calibration", view.cluster)
        if view.camera >= len(cameras):
            raise UserError(f"camcfg_{view.cluster}.yml lacks camera {view.camera + 1}; unpack the calibration again.")
        camera = cameras[view.camera]
        others = {str(i + 1): c for i, c in enumerate(cameras) if i != view.camera}
        path = self.raw / "Mocap" / "OpticalData" / f"moc_{view.recording}.c3d"
        poses = read_poses(path)
        self.check(path, poses, cameras=camera, size=SIZE, others=others)
        indices = read_correspondences(self.raw / view.correspondences)
        sampler = BufferedMotionSampler(THRESHOLD_MM, max(1, len(indices)), check_validity=True)
        for i, mocap_frame in enumerate(indices):
            if not 0 <= mocap_frame < len(poses):
                output.skip("no motion capture for a picture")
                continue
            pose = poses[mocap_frame]
            if not sampler.keep(pose):
                continue
            path = view.picture(i)
            if path is None:
                output.skip("no picture for a labelled frame")
                continue
            box = boxes.box_of_points(project(camera, pose), 1.05)
            if box is None:
                output.skip("behind the camera")
                continue
            image = read_bayer(path) if path.suffix == ".pgm" else view.read(path)
            self.add_crop(
                output,
                image,
                split="train",
                key=f"{unit.name}/{i:05d}.jpg",
                camera=camera,
                coords=pose,
                box=box,
                sequence=view.recording,
                frame=i,
                activity=view.recording.split("_")[1],
            )


class View:
    """What the name of a folder of pictures says.

    Attributes:
        cluster: "l01" to "l04" and "k01", "k02" (Kinects), as in the names of the calibrations.
        camera: number in the cluster, from 0.
        recording: "s01_a01_r01".
        correspondences: the file that says which motion capture frame a picture is of.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.recording = "_".join(p.lower() for p in folder.parts[-3:])
        if folder.parts[-4].startswith("Kin"):
            number, self.camera = folder.parts[-4][-2:], 0
            self.cluster = f"k{number}"
            self.stem = f"kin_k{number}_{self.recording}_color"
            self.correspondences = f"Kinect/Correspondences/corr_moc_kin{number}_{self.recording}.txt"
        else:
            number, camera = folder.parts[-5][-2:], folder.parts[-4][-2:]
            self.camera = int(camera) - 1
            self.cluster = f"l{number}"
            self.stem = f"img_l{number}_c{camera}_{self.recording}"
            self.correspondences = f"Camera/Correspondences/corr_moc_img_{self.recording}.txt"

    def picture(self, i: int) -> Path | None:
        paths = (self.folder / f"{self.stem}_{i:05d}{suffix}" for suffix in (".jpg", ".png", ".ppm", ".pgm"))
        return next((p for p in paths if p.is_file()), None)

    def read(self, path: Path) -> np.ndarray:
        return read_pnm(path) if path.suffix == ".ppm" else read_image(path)


def read_bayer(path) -> np.ndarray:
    """A PGM file with a green-red, blue-green mosaic as RGB [H, W, 3]."""
    import cv2

    mosaic = read_pnm(path)
    return mosaic if mosaic.ndim == 3 else cv2.cvtColor(mosaic, cv2.COLOR_BayerGRBG2RGB)


@file_cache(1)
def read_poses(path) -> np.ndarray:
    """[motion capture frames, 43, 3] mm in the world of the calibrations, NaN = lost."""
    points = read_c3d(path).positions_mm
    if points.shape[1] != N_MARKERS:
        raise UserError(f"{path} has {points.shape[1]} points, expected {N_MARKERS}; fetch it again.")
    poses = points @ TO_WORLD.T
    poses[(poses == 0).all(-1)] = np.nan
    return poses


def read_correspondences(path) -> np.ndarray:
    """[pictures] the motion capture frame of each."""
    try:
        lines = [line.split() for line in Path(path).read_text().splitlines() if line.strip()]
        return np.array([int(float(line[MOCAP_COLUMN])) for line in lines], np.int64)
    except (OSError, ValueError, IndexError, OverflowError) as error:
        raise UserError(f"{path} is not a list of picture and motion capture frames ({error}).") from None


def read_cameras(folder, cluster: str) -> list[CameraParams]:
    """The cameras of a cluster, in order."""
    R, t = read_place(folder / f"RwTw_{cluster}.txt")
    cameras = []
    for K, distortion, R_in_cluster, t_in_cluster in read_cluster(folder / f"camcfg_{cluster}.yml"):
        R_camera, t_camera = R_in_cluster @ R, R_in_cluster @ t + t_in_cluster
        cameras.append(from_extrinsics(R_camera, t_camera, K, distortion=distortion, world_up=(0, 1, 0)))
    return cameras


@file_cache(8)
def read_place(path) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [3, 3] and translation [3] mm from the world to a cluster, from lines `Rw=...` and `Tw=...`."""
    try:
        text = Path(path).read_text()
        numbers = {
            name: np.array(re.search(rf"{name}\s*=([^=A-Za-z]+(?:[eE][^=A-Za-z]+)*)", text)[1].split(), np.float64)
            for name in ("Rw", "Tw")
        }
        R, t = numbers["Rw"].reshape(3, 3), numbers["Tw"].reshape(3)
        if not (np.isfinite(R).all() and np.isfinite(t).all()):
            raise ValueError("a number is not finite")
        return R, t
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a cluster's place in the world ({error}); unpack it again.") from None


@file_cache(8)
def read_cluster(path) -> list[tuple[np.ndarray, ...]]:
    """K [3, 3], distortion k1 k2 p1 p2, and rotation and translation from the cluster to each of its cameras.

    The file is OpenCV's YAML: a block `Camera_<n>:` for each camera, with matrices K, Dist and PosRel.
    """
    import cv2

    try:
        blocks = re.split(r"(?m)^\s*Camera_(\d+):", Path(path).read_text())[1:]
        if not blocks or [int(n) for n in blocks[::2]] != list(range(1, len(blocks) // 2 + 1)):
            raise ValueError("it has no cameras 1, 2, ...")
        cameras = []
        for block in blocks[1::2]:
            t, rotation = np.split(_matrix(block, "PosRel", 6), 2)
            K, distortion = _matrix(block, "K", 9).reshape(3, 3), _matrix(block, "Dist", 4)
            cameras.append((K, distortion, cv2.Rodrigues(rotation)[0], t))
        return cameras
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a camera configuration of Berkeley MHAD ({error}).") from None


def _matrix(block: str, name: str, size: int) -> np.ndarray:
    """The numbers of a matrix in a block of OpenCV's YAML."""
    found = re.search(rf"(?ms)^\s*{name}:\s*!!opencv-matrix[^\[]*?data:\s*\[([^\]]*)\]", block)
    numbers = np.array(found[1].replace(",", " ").split() if found else [], np.float64)
    if len(numbers) < size or not np.isfinite(numbers).all():
        raise ValueError(f"a camera lacks {name} with {size} finite numbers")
    return numbers[:size]
