"""Pose stores of people's own tables and annotation files; missing boxes, splits and person numbers are filled in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.images import read_size
from metrabs_acae.data.camera_files import SAME_SIZE
from metrabs_acae.data.records import CameraParams
from metrabs_acae.data.store import PoseStoreWriter
from metrabs_acae.data.store_checks import project, sides_in_words
from metrabs_acae.errors import UserError
from metrabs_acae.joint_names import base_and_convention
from metrabs_acae.progress import Progress
from metrabs_acae.skeletons import Skeleton, make_skeleton

BOX_FACTOR = 1.25
"""Boxes around joints are enlarged by this: a head reaches beyond the nose, a hand beyond the wrist."""


@dataclass(frozen=True)
class OwnRow:
    """One person in one picture.

    Attributes:
        where: file and line, for messages.
        picture: path of the picture; key: its name in the store.
        coords: [J, 3] world mm or [J, 2] px, NaN where not labelled.
        box_ltwh_px: [4]; None: around the joints.
        person: a name or number; empty: the people of a picture are numbered.
        split: train, valid or test; empty: chosen by the recording.
        picture_size_wh: px, of the picture that the labels and the camera are of, where they say that.
    """

    where: str
    picture: Path
    key: str
    coords: np.ndarray
    camera: CameraParams | None = None
    box_ltwh_px: np.ndarray | None = None
    mask: dict | np.ndarray | None = None
    sequence: str = ""
    activity: str = ""
    frame: float = 0
    person: str = ""
    split: str = ""
    picture_size_wh: tuple[int, int] | None = None


def own_skeleton(
    store_name: str, joint_names: Sequence[str], *, kind: str, convention: str = "", edges: str = "", mirror=()
) -> Skeleton:
    """The skeleton of own joints. 3D ones end with a convention: the given one, else their own, else the store's name.

    Args:
        mirror: texts A=B, see `Skeleton.mirror_pairs`.
    """
    pairs = []
    for text in mirror:
        a, equals, b = text.partition("=")
        if not equals:
            raise UserError(f"'{text}' is no pair of joints; write it as A=B.")
        pairs.append((a.strip(), b.strip()))
    if unknown := [n for pair in pairs for n in pair if n not in joint_names]:
        raise UserError(f"There is no joint {', '.join(unknown)}; there are {', '.join(joint_names)}.")
    ending = convention
    if kind == "3d" and not ending and not any(base_and_convention(n)[1] for n in joint_names):
        ending = "".join(c for c in store_name.lower() if c.isalnum()) or "own"
    names = [n.replace(" ", "_") for n in joint_names]
    pairs = [tuple(n.replace(" ", "_") for n in pair) for pair in pairs]
    return make_skeleton(store_name, names, edges.replace(" ", "_"), ending if kind == "3d" else "", mirror=pairs)


def write_own_store(
    out: Path,
    rows: Iterable[OwnRow],
    skeleton: Skeleton,
    *,
    kind: str,
    licence: str,
    source: str,
    valid_fraction: float = 0.1,
    allow_suspicious: bool = False,
    n_rows: int | None = None,
) -> None:
    """Writes the store and says what is in it.

    Raises:
        UserError: names the line; or the store's labels cannot be right.
    """
    progress = Progress(f"{skeleton.name}: examples", n_rows)
    people = _People()
    writer = PoseStoreWriter(
        out,
        name=skeleton.name,
        kind=kind,
        skeleton=skeleton,
        licence=licence,
        provenance={"source": source},
        allow_suspicious=allow_suspicious,
    )
    with writer:
        for row in rows:
            try:
                if row.picture_size_wh and not allow_suspicious:
                    _check_size(row)
                box = _box_around(row) if row.box_ltwh_px is None else row.box_ltwh_px
                writer.add(
                    row.split or _split(row, valid_fraction),
                    image_key=row.key,
                    image=_bytes(row.picture),
                    box_ltwh_px=box,
                    camera=row.camera,
                    coords=row.coords,
                    mask=row.mask,
                    sequence=row.sequence,
                    frame=row.frame,
                    activity=row.activity,
                    person=people.number(row),
                )
            except UserError as error:
                raise UserError(f"{row.where}: {error}") from None
            progress.step()
    counts = ", ".join(f"{n} {split}" for split, n in writer.counts.items())
    print(f"Wrote {out}: {counts}; {skeleton.n_joints} joints: {sides_in_words(skeleton)}.")
    for text in writer.warnings:
        print(f"Warning: {text}.")
    print(f"Look at it: python -m metrabs_acae.main --show-batches 1 --dataset{kind} {out}")


class _People:
    """Numbers of people: those given, else in order within their picture."""

    def __init__(self):
        self._of_name: dict[str, int] = {}
        self._in_picture: dict[str, int] = {}

    def number(self, row: OwnRow) -> int:
        if row.person.lstrip("-").isdigit():
            return int(row.person)
        if row.person:
            return self._of_name.setdefault(row.person, len(self._of_name))
        self._in_picture[row.key] = self._in_picture.get(row.key, -1) + 1
        return self._in_picture[row.key]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"the picture {path} cannot be read ({error.strerror})") from None


def _box_around(row: OwnRow) -> np.ndarray:
    points = row.coords if row.camera is None else project(row.camera, row.coords)
    box = boxes.box_of_points(points, BOX_FACTOR)
    if box is None:
        raise UserError("no joint is before the camera, so that there is no box; give one")
    inside = boxes.within_image(box, _size(row.picture))
    return inside if boxes.area(inside) else box


def _size(path: Path) -> tuple[int, int]:
    try:
        return read_size(path)
    except (OSError, ValueError):
        raise UserError(f"the picture {path} is not a readable JPEG or PNG file") from None


def _check_size(row: OwnRow) -> None:
    """UserError where labels or camera are of a larger or smaller picture, or of one that was turned upright."""
    found = _size(row.picture)
    if np.abs(np.divide(found, row.picture_size_wh) - 1).max() > SAME_SIZE:
        sizes = [f"{width} x {height}" for width, height in (found, row.picture_size_wh)]
        turned = ", turned upright" if found == row.picture_size_wh[::-1] else ""
        raise UserError(
            f"the picture {row.picture} has {sizes[0]} pixels, its labels or camera are of one with {sizes[1]}: give "
            f"the pictures that were labelled and calibrated{turned}"
        )


def _split(row: OwnRow, valid_fraction: float) -> str:
    """All of a recording (or picture) go to the same split."""
    digest = hashlib.blake2b(os.fsencode(row.sequence or row.key), digest_size=8).digest()
    return "valid" if int.from_bytes(digest, "big") / 2**64 < valid_fraction else "train"
