"""What real people are measured on: the four-camera video of the package pose2sim, and labelled photographs."""

from __future__ import annotations

import importlib.util
import json
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data_processing import cameras
from data_processing.datasets.pose2sim_demo import camera_of, read_truth
from metrabs_acae.errors import UserError
from metrabs_acae.inference.demo_inputs import intrinsics_from_fov

FRAME_STEP, FIRST_FRAME = 5, 2
HOW_TO_GET = "give the wheel (`pip download --no-deps pose2sim==0.10.49`) or a folder with cam01.mp4 to cam04.mp4"


@dataclass(frozen=True)
class View:
    """A person in a picture.

    Attributes:
        source: the camera, or the photograph.
        measured: False: only there so that a tracker sees every frame.
        first: whether the person was not seen in the picture before.
        distortion: OpenCV's k1 k2 p1 p2[ k3].
        up: [3], in the camera frame.
        joint_names: J, with or without a convention's suffix.
        coords3d_mm: [J, 3], camera frame, or None.
        coords2d_px: [J, 2], NaN where not labelled.
    """

    source: str
    image: np.ndarray
    box: np.ndarray
    intrinsics: np.ndarray
    distortion: np.ndarray
    up: np.ndarray
    joint_names: tuple[str, ...]
    coords3d_mm: np.ndarray | None
    coords2d_px: np.ndarray
    measured: bool = True
    first: bool = True


def video_views(path: Path | None) -> Iterator[View]:
    """Every frame of the four cameras; every fifth is measured."""
    truth = read_truth()
    with tempfile.TemporaryDirectory() as scratch:
        for number, video in enumerate(find_videos(path, Path(scratch))):
            camera = camera_of(truth, number)
            for frame, image in enumerate(read_video(video, len(truth["world_mm"]))):
                world_mm = truth["world_mm"][frame]
                yield View(
                    f"camera {number + 1}",
                    image,
                    truth["boxes_ltwh_px"][frame, number],
                    np.float64(camera.K),
                    np.float64(camera.lens.coefficients),
                    camera.R @ camera.world_up,
                    tuple(str(j) for j in truth["joint_names"]),
                    cameras.to_camera(camera, world_mm),
                    cameras.project(camera, world_mm),
                    measured=frame % FRAME_STEP == FIRST_FRAME,
                    first=frame == 0,
                )


def find_videos(path: Path | None, scratch: Path, *, demo: str = "Demo_SinglePerson") -> list[Path]:
    """cam01.mp4 to cam04.mp4 of one of the package's demos: in a folder, a wheel (unpacked into `scratch`) or, by None,
    the installed package."""
    if path is None:
        spec = importlib.util.find_spec("Pose2Sim")
        if spec is None:
            raise UserError(
                f"The package pose2sim, which has the videos, is not installed; {HOW_TO_GET}: --video PATH."
            )
        path = Path(spec.submodule_search_locations[0])
    folder = path
    if zipfile.is_zipfile(path):
        folder = scratch
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder, [n for n in archive.namelist() if f"{demo}/videos/" in n])
    names = [f"cam0{i}.mp4" for i in range(1, 5)]
    # the package has videos of these names of its other demos, too
    found = [sorted(folder.rglob(name), key=lambda p: demo not in p.parts) for name in names]
    if not all(found):
        raise UserError(f"{path} has not the videos {', '.join(names)}; {HOW_TO_GET}.")
    return [paths[0] for paths in found]


def read_video(path: Path, n_frames: int) -> Iterator[np.ndarray]:
    """[H, W, 3] RGB, one by one."""
    video = cv2.VideoCapture(str(path))
    for frame in range(n_frames):
        ok, image = video.read()
        if not ok:
            raise UserError(f"{path} can be read up to frame {frame} only, but {n_frames} frames are labelled.")
        yield np.ascontiguousarray(image[..., ::-1])


def photograph_views(folder: Path) -> Iterator[View]:
    """The labelled people of labels.json: [{image, people: [{box_ltwh_px, joint_names, coords2d_px, coords3d_mm?}],
    intrinsics?, distortion?}]. Without intrinsics, a field of view of 55 degrees is assumed."""
    if not (folder / "labels.json").is_file():
        raise UserError(f"{folder} has no labels.json; see benchmarks/real_views.py for the folder's layout.")
    for entry in json.loads((folder / "labels.json").read_text()):
        image = cv2.imread(str(folder / entry["image"]), cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise UserError(f"{folder / entry['image']}, which labels.json names, cannot be read.")
        K = np.float64(entry.get("intrinsics") or intrinsics_from_fov(55, image.shape[1::-1]))
        for person in entry["people"]:
            yield View(
                entry["image"],
                image,
                np.array(person["box_ltwh_px"]),
                K,
                np.float64(entry.get("distortion") or np.zeros(5)),
                np.array([0.0, -1.0, 0.0]),
                tuple(person["joint_names"]),
                np.float64(person["coords3d_mm"]) if "coords3d_mm" in person else None,
                np.array([p or (np.nan, np.nan) for p in person["coords2d_px"]], np.float64),
            )
