"""MPI-INF-3DHP: 8 subjects, 2 sequences each, 14 cameras, 28 joints, chroma-key masks.

Motion sampling at 100 mm in the camera's frame; a frame needs a third of the joints in the picture. The box is the
hull of the labels' box (x 1.05) and the detection of best score, if that is similar. Two faults of the data are mended
unless told otherwise: left and right are swapped in a part of S4/Seq2, and two sequences' masks are unfit.
"""

from __future__ import annotations

import numpy as np

from data_processing import boxes, guards, masks
from data_processing.cameras import is_inside, project_camera_frame, to_world
from data_processing.converter import Converter, Unit, neighbours
from data_processing.datasets.skeletool import read_cameras
from data_processing.file_cache import file_cache
from data_processing.matlab import field, load_mat5
from data_processing.sampling import MotionSampler
from data_processing.video import read_frames
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

N_FRAMES = {
    **{(1, 1): 6416, (1, 2): 12430, (2, 1): 6502, (2, 2): 6081, (3, 1): 12488, (3, 2): 12283, (4, 1): 6171},
    **{(4, 2): 6675, (5, 1): 12820, (5, 2): 12312, (6, 1): 6188, (6, 2): 6145, (7, 1): 6239, (7, 2): 6320},
    **{(8, 1): 6468, (8, 2): 6054},
}
"""Labelled frames by (subject, sequence), as the authors state."""
SHORT_VIDEO = {(6, 2, 2): 3911}
N_JOINTS = 28
THRESHOLD_MM = 100
MASK_THRESHOLD = 32


class MpiInf3dhp(Converter):
    def units(self) -> list[Unit]:
        units = []
        for path in self.find("S*/Seq*/annot.mat"):
            subject, sequence = int(path.parts[-3][1:]), int(path.parts[-2][3:])
            n_cameras = len(read_cameras(path.with_name("camera.calibration")))
            name = f"S{subject}/Seq{sequence}"
            units += [Unit(f"{name}/video_{c}", (subject, sequence, c)) for c in range(n_cameras)]
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        subject, sequence, camera_index = unit.args
        folder = self.raw / f"S{subject}/Seq{sequence}"
        camera = read_cameras(folder / "camera.calibration")[camera_index]
        name = f"S{subject}/Seq{sequence}"
        poses = read_poses(folder / "annot.mat")[camera_index]
        mended = self.faults("sides", name)
        check_labels(self, folder, camera_index, mended)
        poses = mend_sides(poses, mended)
        world = to_world(camera, poses)
        poses = poses[: N_FRAMES.get((subject, sequence), len(poses))]
        poses = poses[: SHORT_VIDEO.get(unit.args, len(poses))]
        sampler = MotionSampler(THRESHOLD_MM)
        frames = [i for i, pose in enumerate(poses) if sampler.keep(pose)]
        if unfit := self.faults("mask", name):
            output.note(f"{name}: masks not used: {unfit[0].what}")
        path = folder / f"FGmasks/video_{camera_index}.avi"
        people = None if unfit else self._masks(path, frames, output)
        video = folder / f"imageSequence/video_{camera_index}.avi"
        for i, image in read_frames(video, frames):
            foreground = next((m for j, m in people if j == i), None) if people else None
            pixels = project_camera_frame(camera, poses[i])
            if is_inside(pixels, image.shape[1::-1]).sum() < N_JOINTS / 3:
                output.skip("fewer than a third of the joints visible")
                continue
            key = f"{unit.name}/{i:06d}.jpg"
            label_box = boxes.box_of_points(pixels, 1.05)
            box = boxes.hull_with_detection(label_box, self.detect(image, video, i), by="score")
            person = None if foreground is None else masks.component_of_box(foreground, box)
            self.add_crop(
                output,
                image,
                split="train",
                key=key,
                camera=camera,
                coords=world[i],
                box=box,
                mask=person,
                seen_box=None if person is None else masks.box_of(person),
                around=neighbours(world, i),
                sequence=name,
                frame=i,
            )

    def _masks(self, path, frames, output):
        """The chroma-key foregrounds of these frames, in step with the video; nothing where the file is absent."""
        if not path.is_file():
            output.skip("no mask video (frames are kept)")
            return None
        return ((i, image[..., 0] > MASK_THRESHOLD) for i, image in read_frames(path, frames))


def check_labels(converter: Converter, folder, camera_index: int, side_faults) -> None:
    """Holds the poses of a camera against the file's own 2D joints, and left and right against the poses."""
    path = folder / "annot.mat"
    cameras = read_cameras(folder / "camera.calibration")
    poses = read_poses(path)[camera_index]
    pixels = read_pixels(path)
    world = to_world(cameras[camera_index], mend_sides(poses, side_faults))
    known = converter.info.faults_of("sides", f"{folder.parent.name}/{folder.name}")
    others = {str(i): c for i, c in enumerate(cameras) if i != camera_index}
    converter.check(
        path,
        world,
        cameras=cameras[camera_index],
        pixels=None if pixels is None else mend_sides(pixels[camera_index], side_faults)[: len(world)],
        others=others,
        sides=bool(side_faults) or not known,
        noise_px=0.3,
    )
    if len(cameras) > 1 and converter.checked:
        near = (camera_index + 1) % len(cameras)
        there = to_world(cameras[near], mend_sides(read_poses(path)[near], side_faults))
        name = f"{folder.parent.name}/{folder.name}/annot.mat"
        guards.check_worlds(name, {str(camera_index): world, str(near): there})


def mend_sides(poses: np.ndarray, faults) -> np.ndarray:
    """Poses [frames, 28, ...] with left and right swapped back where they are known to be swapped."""
    mirror = get_skeleton("3dhp").mirror
    for fault in faults:
        first, last = fault.frames
        poses = poses.copy()
        poses[first : last + 1] = poses[first : last + 1, mirror]
    return poses


@file_cache(1)
def read_poses(path) -> list[np.ndarray]:
    """For each camera [frames, 28, 3] mm in the camera's frame."""
    return read_labels(path, "annot3", 3)


@file_cache(1)
def read_pixels(path) -> list[np.ndarray] | None:
    """For each camera [frames, 28, 2] px; None where the file has no 2D joints."""
    return read_labels(path, "annot2", 2) if "annot2" in load_mat5(path, ["annot2"]) else None


def read_labels(path, name: str, n_dims: int) -> list[np.ndarray]:
    """For each camera [frames, 28, n_dims]: annot3 and univ_annot3 (mm, the camera's frame), annot2 (px)."""
    cells = np.asarray(field(load_mat5(path, [name]), name, path))
    cells = cells if cells.dtype == object else cells[None]  # a single camera's cell comes unpacked
    try:
        return [np.asarray(c, np.float64).reshape(-1, N_JOINTS, n_dims) for c in cells]
    except ValueError:
        raise UserError(f"{path} does not hold poses of {N_JOINTS} joints per camera; fetch it again.") from None
