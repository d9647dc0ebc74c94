"""MuPoTS-3D: 20 sequences of up to three people, 17 joints in the camera's frame, intrinsics fitted to the labels."""

from __future__ import annotations

import numpy as np

from data_processing import boxes
from data_processing.calibration import fit_intrinsics
from data_processing.cameras import make_camera, project
from data_processing.converter import Converter, Unit
from data_processing.matlab import field, load_mat5
from data_processing.rows import Row
from metrabs_acae.errors import UserError

N_JOINTS = 17


class MuPoTS(Converter):
    def units(self) -> list[Unit]:
        paths = self.find("TS*/annot.mat", "MultiPersonTestSet/TS*/annot.mat")
        return (
            [Unit(p.parent.name, (p.parent.relative_to(self.raw).as_posix(),)) for p in paths]
            if self.wants("test")
            else []
        )

    def convert(self, unit: Unit, output) -> None:
        folder = self.raw / unit.args[0]
        poses, pixels, valid = read_labels(folder / "annot.mat")
        camera = make_camera(np.eye(3), np.zeros(3), fit_intrinsics(poses[valid], pixels[valid]), world_up=(0, -1, 0))
        for person in range(poses.shape[1]):
            known = np.flatnonzero(valid[:, person])
            labels = {"pixels": pixels[known, person], "frames": known, "tolerance_px": 15}
            self.check(folder / "annot.mat", poses[known, person], cameras=camera, **labels)
        for frame in np.flatnonzero(valid.any(axis=1)):
            key = f"{unit.name}/img_{frame:06d}.jpg"
            output.copy_image(key, folder / f"img_{frame:06d}.jpg")
            for person in np.flatnonzero(valid[frame]):
                pose = poses[frame, person]
                box = boxes.box_of_points(project(camera, pose), 1.05)
                row = {"sequence": unit.name, "frame": int(frame), "person": int(person)}
                output.add(Row("test", key, box, camera, pose, **row))


def read_labels(path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poses [frames, people, 17, 3] mm, pixels [frames, people, 17, 2], and which [frames, people] are labelled."""
    cells = np.asarray(field(load_mat5(path), "annotations", path), object)
    cells = cells.reshape(len(cells), -1) if cells.ndim else cells.reshape(1, 1)
    poses = np.full((*cells.shape, N_JOINTS, 3), np.nan)
    pixels = np.full((*cells.shape, N_JOINTS, 2), np.nan)
    valid = np.zeros(cells.shape, bool)
    for index, cell in np.ndenumerate(cells):
        if not np.any(getattr(cell, "isValidFrame", 0)):
            continue
        try:
            poses[index] = np.asarray(cell.annot3, np.float64).T
            pixels[index] = np.asarray(cell.annot2, np.float64).T
        except (AttributeError, ValueError):
            raise UserError(f"{path} does not hold {N_JOINTS} joints per person; is it of MuPoTS-3D?") from None
        valid[index] = True
    if not valid.any():
        raise UserError(f"{path} holds no valid person; fetch it again.")
    return poses, pixels, valid
