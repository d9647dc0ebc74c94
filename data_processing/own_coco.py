"""People in an annotation file in COCO's keypoint format, with whatever keypoints its categories define."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_processing import masks
from data_processing.own_store import OwnRow
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json


@dataclass(frozen=True)
class Annotations:
    """What was found: joints, edges as paths of names, people, and how many were left out, by reason."""

    joint_names: tuple[str, ...]
    edges: str
    rows: list[OwnRow]
    left_out: Counter


def read_coco(path, images, category: str = "") -> Annotations:
    """The people of a category; UserError where the file is of another format or has none.

    A keypoint counts where its third number, the visibility, is above zero (1 or 2; some tools write 0 and 1 only).
    """
    data = read_json(Path(path), dict)
    try:
        chosen = _category(data["categories"], category, path)
        pictures = {image["id"]: image for image in data["images"]}
        names = tuple(str(n) for n in chosen["keypoints"])
        links = [(names[a - 1], names[b - 1]) for a, b in chosen.get("skeleton") or ()]
        people = [a for a in data["annotations"] if a.get("category_id", chosen.get("id")) == chosen.get("id")]
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path} is not a COCO keypoint annotation file ({error!r}).") from None
    left_out, rows = Counter(), []
    for number, person in enumerate(people):
        where = f"{path}, annotation {person.get('id', number)}"
        try:
            table = np.asarray(person["keypoints"], np.float64).reshape(len(names), 3)
            picture = pictures[person["image_id"]]
            file_name = str(picture["file_name"]).replace("\\", "/")
        except (KeyError, TypeError, ValueError):
            left_out["without readable keypoints or picture"] += 1
            continue
        if person.get("iscrowd"):
            left_out["crowds"] += 1
            continue
        coords = np.where((table[:, 2:] > 0) & np.isfinite(table[:, :2]).all(1, keepdims=True), table[:, :2], np.nan)
        if np.isnan(coords).all():
            left_out["without a visible keypoint"] += 1
            continue
        box = np.asarray(person.get("bbox", ()), np.float64)
        rows.append(
            OwnRow(
                where,
                Path(images) / file_name,
                file_name,
                coords,
                box_ltwh_px=box if box.shape == (4,) and (box[2:] > 0).all() else None,
                mask=_mask(person, picture, left_out),
                sequence=Path(file_name).parent.as_posix().strip("."),
                person=str(person.get("id", "")),
                picture_size_wh=_size(picture),
            )
        )
    if not rows:
        reasons = ", ".join(f"{n} {reason}" for reason, n in left_out.items()) or "it has no annotations"
        raise UserError(f"{path} has no people with keypoints ({reasons}).")
    return Annotations(names, ",".join(f"{a}-{b}" for a, b in links), rows, left_out)


def _category(categories, wanted: str, path) -> dict:
    with_keypoints = {c["name"]: c for c in categories if c.get("keypoints")}
    name = wanted or ("person" if "person" in with_keypoints else next(iter(with_keypoints), ""))
    if name not in with_keypoints or (not wanted and name != "person" and len(with_keypoints) > 1):
        known = ", ".join(with_keypoints) or "none"
        raise UserError(f"{path}: which category? Those with keypoints: {known}; give --category.")
    return with_keypoints[name]


def _size(picture: dict) -> tuple[int, int] | None:
    """What the file says of a picture's width and height; None where it says nothing."""
    size = picture.get("width"), picture.get("height")
    return size if all(isinstance(n, int) and n > 0 for n in size) else None


def _mask(person: dict, picture: dict, left_out: Counter):
    polygons = person.get("segmentation")
    if not isinstance(polygons, list) or not polygons:
        return None
    try:
        return masks.from_polygons(polygons, (picture["width"], picture["height"]))
    except (KeyError, TypeError, ValueError):
        left_out["masks that cannot be read (the person is kept)"] += 1
        return None
