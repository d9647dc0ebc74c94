"""MPII Human Pose: people in frames of online videos with 16 joints, read from the authors' MATLAB structure.

Kept: people of the training images. The box is the detection (score above 0.5) that matches the joints' box enlarged by
1.25 with an IoU above 0.1; without a detector the joints' box itself. MATLAB counts pixels from 1, the store from 0.
"""

from __future__ import annotations

import numpy as np
from more_itertools import chunked

from data_processing import boxes
from data_processing.converter import Converter, Unit
from data_processing.matlab import field, load_mat5
from data_processing.rows import Row
from metrabs_acae.errors import UserError

IMAGES_PER_UNIT = 500
N_JOINTS = 16
MIN_SCORE = 0.5


class Mpii(Converter):
    def units(self) -> list[Unit]:
        path = self.find("mpii_human_pose_v1_u12_*.mat", "*/mpii_human_pose_v1_u12_*.mat")[0]
        self.require("images")
        chunks = chunked(read_people(path), IMAGES_PER_UNIT)
        return [Unit(f"{i:04d}", (chunk,)) for i, chunk in enumerate(chunks)]

    def convert(self, unit: Unit, output) -> None:
        if not self.wants("train"):
            return
        for name, people in unit.args[0]:
            try:
                output.copy_image(name, self.raw / "images" / name)
            except UserError:
                output.skip("image missing or broken")
                continue
            self._add_people(output, name, people)

    def _add_people(self, output, name: str, people: list[np.ndarray]) -> None:
        from data_processing.images import read_image

        found = [boxes.box_of_points(p, 1.25) for p in people]
        if self.options.detector != "none":
            detections = self.detect(read_image(self.raw / "images" / name), self.raw / "images" / name)
            detections = detections[detections[:, 4] > MIN_SCORE]
            matched = boxes.match(found, detections, min_iou=0.1)
            found = [None if j is None else detections[j, :4] for j in matched]
        for i, (coords, box) in enumerate(zip(people, found, strict=True)):
            if box is None:
                output.skip("no detection")
            else:
                output.add(Row("train", name, box, None, coords, person=i))


def read_people(path) -> list[tuple[str, list[np.ndarray]]]:
    """(image file, joints [16, 2] px of each person, NaN = not labelled) of the training images with people."""
    release = field(load_mat5(path), "RELEASE", path)
    try:
        return _people_of(release, path)
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} does not hold the annotations of MPII ({error}); fetch it again.") from None


def _people_of(release, path) -> list[tuple[str, list[np.ndarray]]]:
    result = []
    is_training = np.atleast_1d(field(release, "img_train", path))
    for entry, training in zip(np.atleast_1d(field(release, "annolist", path)), is_training, strict=True):
        if not training:
            continue
        people = [_joints(p) for p in np.atleast_1d(getattr(entry, "annorect", []))]
        people = [p for p in people if p is not None]
        if people:
            result.append((str(entry.image.name), people))
    return result


def _joints(person) -> np.ndarray | None:
    points = getattr(getattr(person, "annopoints", None), "point", None)
    if points is None:
        return None
    coords = np.full((N_JOINTS, 2), np.nan)
    for point in np.atleast_1d(points):
        if np.size(getattr(point, "id", [])) == 1 and 0 <= int(point.id) < N_JOINTS:
            coords[int(point.id)] = float(point.x) - 1, float(point.y) - 1
    return coords if np.isfinite(coords).any() else None
