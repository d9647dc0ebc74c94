"""MPI-INF-3DHP's test set: six videos as pictures, 17 joints, two cameras whose calibration comes with the test set."""

from __future__ import annotations

import numpy as np

from data_processing import boxes
from data_processing.cameras import intrinsics, make_camera, project_camera_frame, to_world
from data_processing.converter import Converter, Unit
from data_processing.images import read_image
from data_processing.matlab import open_mat73, read_array
from data_processing.rows import Row
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

ACTIVITIES = ("Stand/Walk", "Exercise", "Sit on Chair", "Reach/Crouch", "On Floor", "Sports", "Misc.")
N_JOINTS = 17


class MpiInf3dhpTest(Converter):
    def units(self) -> list[Unit]:
        nested = "mpi_inf_3dhp_test_set/"
        paths = self.find(*(f"{nested * depth}TS[1-6]/annot_data.mat" for depth in range(3)))
        return (
            [Unit(p.parent.name, (p.parent.relative_to(self.raw).as_posix(),)) for p in paths]
            if self.wants("test")
            else []
        )

    def convert(self, unit: Unit, output) -> None:
        folder = self.raw / unit.args[0]
        camera = camera_of(int(unit.name[2:]))
        poses, pixels, frames, activities = read_labels(folder / "annot_data.mat")
        # In TS2 the 3D labels project (4.4, 4.3) px beside the 2D ones, hence the tolerance.
        pixels = None if pixels is None else pixels[frames]
        known = {"cameras": camera, "pixels": pixels, "frames": frames + 1, "tolerance_px": 10}
        self.check(folder / "annot_data.mat", to_world(camera, poses[frames]), **known)
        for i in frames:
            path = folder / "imageSequence" / f"img_{i + 1:06d}.jpg"
            key = f"{unit.name}/img_{i + 1:06d}.jpg"
            output.copy_image(key, path)
            box = boxes.box_of_points(project_camera_frame(camera, poses[i]), 1.05)
            if self.options.detector != "none":
                box = boxes.hull_with_detection(box, self.detect(read_image(path), path), by="score")
            row = {"sequence": unit.name, "frame": i + 1, "activity": ACTIVITIES[activities[i]]}
            output.add(Row("test", key, box, camera, to_world(camera, poses[i]), **row))


def read_labels(path) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray]:
    """Poses [frames, 17, 3] mm in the camera's frame, pixels [frames, 17, 2] if the file has them, the valid frames'
    indices, and activity numbers from 0."""
    with open_mat73(path) as file:
        if missing := {"annot3", "valid_frame", "activity_annotation"} - file.keys():
            raise UserError(f"{path} lacks {', '.join(sorted(missing))}; is it of MPI-INF-3DHP's test set?")
        poses = read_array(file["annot3"]).astype(np.float64)  # [3, 17, 1, frames]
        pixels = read_array(file["annot2"]).astype(np.float64) if "annot2" in file else None
        valid = read_array(file["valid_frame"]).ravel()
        activities = read_array(file["activity_annotation"]).ravel()
    poses = poses.reshape(3, N_JOINTS, -1).transpose(2, 1, 0)
    pixels = None if pixels is None else pixels.reshape(2, N_JOINTS, -1).transpose(2, 1, 0)
    return poses, pixels, np.flatnonzero(valid), activities.astype(int) - 1


def camera_of(sequence: int) -> CameraParams:
    """The camera of TS<sequence>, by the numbers in the test set's calibration files (mm, on the sensor too)."""
    if sequence <= 4:
        size_px, sensor_mm, aspect, offset_mm = (2048, 2048), (10, 10), 1.00044, (-0.0322884, 0.0929296)
        focal_mm, distortion = 7.32506, None
        center = (3427.28, 1387.86, 309.42)
        up, right = (-0.208215, 0.976233, 0.06014), (0.000575281, 0.0616098, -0.9981)
    else:
        size_px, sensor_mm, aspect, offset_mm = (1920, 1080), (10, 5.625), 0.993236423, (-0.104908645, 0.104899704)
        focal_mm = 8.770747185
        distortion = (-0.276859611, 0.131125256, -0.000360494, -0.001149441, -0.049318332)
        center = (-2104.3074, 1038.6707, -4596.6367)
        up, right = (0.025272345, 0.995038509, 0.09622737), (-0.939647257, -0.009210289, 0.342020929)
    px_per_mm = np.array(size_px) / sensor_mm
    # The aspect acts on the focal length alone: only so do the 3D labels project exactly onto the 2D ones.
    principal = (np.array(sensor_mm) / 2 + offset_mm) * px_per_mm
    K = intrinsics(*(focal_mm * px_per_mm * [1, aspect]), *principal)
    R = np.stack([right, np.negative(up), np.cross(up, right)])
    return make_camera(R, center, K, distortion=distortion, world_up=(0, 1, 0))
