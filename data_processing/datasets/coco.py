"""COCO keypoints: people in photographs with 17 joints, boxes and instance masks.

Kept: people who are no crowd, with at least a third of the joints visible and half of them labelled, and a box of the
joints (enlarged by 1.25) of at least 200 px. The photographs are stored as they are; train and val are for training.
"""

from __future__ import annotations

import itertools

import numpy as np
from more_itertools import chunked

from data_processing import boxes, masks
from data_processing.converter import Converter, Unit
from data_processing.rows import Row
from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json

IMAGES_PER_UNIT = 500
N_JOINTS = 17
MIN_SIDE_PX = 200
KEYPOINT_NAMES = [
    "nose",
    *(
        f"{s}_{part}"
        for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for s in ("left", "right")
    ),
]


class Coco(Converter):
    def units(self) -> list[Unit]:
        units = []
        paths = self.find("annotations/person_keypoints_*.json", "person_keypoints_*.json")
        parts = [path.stem.removeprefix("person_keypoints_") for path in paths]
        if any("2014" in p for p in parts) and any("2017" in p for p in parts):
            raise UserError(
                f"{self.raw} holds the annotations of 2014 and of 2017, which are of the same people; remove one."
            )
        for path, part in zip(paths, parts, strict=True):
            for i, chunk in enumerate(chunked(read_annotations(path), IMAGES_PER_UNIT)):
                units.append(Unit(f"{part}/{i:04d}", (part, chunk)))
        return units

    def convert(self, unit: Unit, output) -> None:
        part, chunk = unit.args
        if not self.wants("train"):
            return
        for image, everyone in chunk:
            people = []
            for annotation in everyone:
                try:
                    reason = unused_because(annotation)
                except (ValueError, TypeError):
                    reason = "labels unreadable"
                if reason:
                    output.skip(reason)
                else:
                    people.append(annotation)
            if not people:
                continue
            key = f"{part}/{image['file_name']}"
            try:
                size = output.copy_image(key, self._image_path(part, image["file_name"]))
            except UserError as error:
                output.skip("image missing or broken" if len(chunk) > 1 else str(error))
                continue
            for annotation in people:
                self._add_person(output, key, size, image, annotation, part)

    def _add_person(self, output, key: str, size, image: dict, annotation: dict, part: str) -> None:
        try:
            mask = masks.from_polygons(annotation.get("segmentation", []), (image["width"], image["height"]))
        except (ValueError, KeyError, TypeError):
            mask = None
            output.skip("mask unreadable (the person is kept)")
        if (image["width"], image["height"]) != size:
            output.skip("image of another size than labelled")
            return
        coords, _ = keypoints(annotation)
        try:
            box = np.asarray(annotation["bbox"], np.float64)
            row = {"sequence": part, "frame": int(image["id"]) % 2**31, "person": int(annotation["id"]) % 2**31}
        except (ValueError, KeyError, TypeError):
            output.skip("labels unreadable")
            return
        output.add(Row("train", key, box, None, coords, mask, **row))

    def _image_path(self, part: str, name: str):
        for folder in (part, f"images/{part}", "images", "."):
            if (self.raw / folder / name).is_file():
                return self.raw / folder / name
        raise UserError(f"{self.raw / part / name} is missing; fetch the archive {part}.zip again.")


def read_annotations(path) -> list[tuple[dict, list[dict]]]:
    """(image, its people) in the order of the file; UserError where the format is another one.

    Annotations of other categories are passed over. In files whose flags are only 0 and 1, 1 counts as visible.
    """
    try:
        data = load_json(path)
        people: dict = {image["id"]: [] for image in data["images"]}
        persons = [c for c in data["categories"] if c["name"] == "person"]
        flags = set()
        for annotation in data["annotations"]:
            if annotation.get("category_id", persons[0]["id"] if persons else None) in [c["id"] for c in persons]:
                people[annotation["image_id"]].append(annotation)
                flags.update(annotation.get("keypoints", [])[2::3])
        names = [c["keypoints"] for c in persons]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a COCO keypoint annotation file ({error!r}); fetch it again.") from None
    if names != [KEYPOINT_NAMES]:
        raise UserError(f"{path} has other keypoints than COCO's 17; is it the right file?")
    if flags <= {0, 1}:
        for annotation in itertools.chain.from_iterable(people.values()):
            table = annotation.get("keypoints", [])
            table[2::3] = [2 * flag for flag in table[2::3]]
    return [(image, people[image["id"]]) for image in data["images"]]


def keypoints(annotation: dict) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates [17, 2] px, NaN where not labelled, and visibility [17] (0 absent, 1 hidden, 2 visible)."""
    table = np.asarray(annotation["keypoints"], np.float64).reshape(N_JOINTS, 3)
    return np.where(table[:, 2:] > 0, table[:, :2], np.nan), table[:, 2]


def unused_because(annotation: dict) -> str | None:
    """Why a person is left out: too few joints, or too small; None if it is used."""
    if annotation.get("iscrowd"):
        return "a crowd"
    if len(annotation.get("keypoints", [])) != 3 * N_JOINTS:
        return "labels unreadable"
    coords, visibility = keypoints(annotation)
    if (visibility == 2).sum() < N_JOINTS / 3 or (visibility > 0).sum() < N_JOINTS / 2:
        return "too few joints are visible or labelled"
    return None if max(boxes.box_of_points(coords, 1.25)[2:]) >= MIN_SIDE_PX else "person too small"
