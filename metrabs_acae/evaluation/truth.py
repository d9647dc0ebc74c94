"""What a protocol scores predictions against: labelled people of a benchmark's test frames, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predictions import (
    count_within_groups,
    first_duplicate,
    integers,
    joint_positions,
    numbers,
    texts,
)
from metrabs_acae.geometry.body_size import require_mm
from metrabs_acae.joint_names import read_names

if TYPE_CHECKING:
    from metrabs_acae.data.store import PoseStore


@dataclass(frozen=True)
class Truth:
    """Labelled people of P rows; optional fields are asked for by the protocols that need them.

    Attributes:
        poses3d_mm: [P, J, 3] camera frame, mm; NaN = not labelled.
        joint_names: [J].
        sequence, frame, person: [P] which frame it is, and who in it (default: counted within the frame).
        activity, scene: [P] text, for breakdowns.
        universal3d_mm: [P, J, 3] the labels of 3DHP and MuPoTS rescaled to one body size.
        poses2d_px: [P, J2, 2] image positions of `joint_names_2d` (default: `joint_names`).
        confidence2d: [P, J2] of the 2D labels; 0 = not labelled.
    """

    poses3d_mm: np.ndarray
    joint_names: tuple[str, ...]
    sequence: np.ndarray
    frame: np.ndarray
    person: np.ndarray | None = None
    activity: np.ndarray | None = None
    scene: np.ndarray | None = None
    universal3d_mm: np.ndarray | None = None
    poses2d_px: np.ndarray | None = None
    joint_names_2d: tuple[str, ...] | None = None
    confidence2d: np.ndarray | None = None

    def __post_init__(self):
        poses = numbers("the truth's poses3d_mm", self.poses3d_mm, (None, None, 3))
        n, n_joints = poses.shape[:2]
        names = read_names(texts("the truth's joint_names", self.joint_names, n_joints))
        names2d = read_names(self.joint_names_2d) if self.joint_names_2d is not None else names
        require_mm("the truth's poses3d_mm", poses, names)
        values = {
            "poses3d_mm": poses,
            "joint_names": names,
            "joint_names_2d": names2d,
            "sequence": texts("the truth's sequence", self.sequence, n),
            "frame": integers("the truth's frame", self.frame, n),
        }
        values["person"] = (
            count_within_groups(values["sequence"], values["frame"])
            if self.person is None
            else integers("the truth's person", self.person, n)
        )
        shapes = {"universal3d_mm": poses.shape, "poses2d_px": (n, len(names2d), 2), "confidence2d": (n, len(names2d))}
        for key, shape in shapes.items():
            if getattr(self, key) is not None:
                values[key] = numbers(f"the truth's {key}", getattr(self, key), shape)
        for key in ("activity", "scene"):
            if getattr(self, key) is not None:
                values[key] = texts(f"the truth's {key}", getattr(self, key), n)
        twice = first_duplicate(values["sequence"], values["frame"], values["person"])
        if twice is not None:
            raise UserError(
                f"The truth names person {values['person'][twice]} of frame {values['frame'][twice]} of sequence "
                f"'{values['sequence'][twice]}' twice."
            )
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, index) -> Truth:
        """The people at `index` (integers or a mask)."""
        fixed = ("joint_names", "joint_names_2d")
        arrays = [f.name for f in fields(self) if f.name not in fixed and getattr(self, f.name) is not None]
        return replace(self, **{k: getattr(self, k)[index] for k in arrays})

    def select_joints(self, names: Sequence[str]) -> Truth:
        """The same people with the joints `names`, in that order; 2D labels of the same joints follow."""
        index = joint_positions(self.joint_names, names, "The truth has")
        changed = {"poses3d_mm": self.poses3d_mm[:, index], "joint_names": tuple(names)}
        if self.universal3d_mm is not None:
            changed["universal3d_mm"] = self.universal3d_mm[:, index]
        if self.joint_names_2d == self.joint_names:
            changed["joint_names_2d"] = tuple(names)
            for key in ("poses2d_px", "confidence2d"):
                if getattr(self, key) is not None:
                    changed[key] = getattr(self, key)[:, index]
        return replace(self, **changed)

    def require(self, *names: str, benchmark: str) -> None:
        """UserError if an optional field that the benchmark needs is absent."""
        absent = [n for n in names if getattr(self, n) is None]
        if absent:
            raise UserError(f"{benchmark} needs the truth's {', '.join(absent)}.")


def row_names(store: PoseStore, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sequence, frame and person [N] of a split's rows: the names by which predictions are paired with them.

    In a store whose rows name no sequence, every picture is a sequence of its own. All people of a picture are in the
    sequence of its first row (the embedded data name sequences after the person). Where two people of a picture have
    the same number, that picture's people are numbered in the order of the rows.

    Raises:
        UserError: two pictures have the same sequence and frame, and in them the same person.
    """
    column = "sequence" if len(store.column(split, "sequence").data) else "image_key"
    first: dict[str, str] = {}
    keys, names = store.column(split, "image_key"), store.column(split, column)
    for i in range(store.splits[split]):
        first.setdefault(keys.text(i), names.text(i))
    image = np.array([keys.text(i) for i in range(store.splits[split])], str)
    sequence = np.array([first[key] for key in image.tolist()], str)
    frame, person = (np.asarray(store.column(split, c), np.int64) for c in ("frame", "person"))
    twice = np.isin(image, image[count_within_groups(image, person) > 0])
    person = np.where(twice, count_within_groups(image), person)
    again = first_duplicate(sequence, frame, person)
    if again is not None:
        same = (sequence == sequence[again]) & (frame == frame[again]) & (person == person[again])
        raise UserError(
            f"The pictures {' and '.join(image[same][:2])} of {store.path} are both frame {frame[again]} of sequence "
            f"'{sequence[again]}' and show the same person; name the camera in the sequence, or number the frames."
        )
    return sequence, frame, person


def truth_from_store(store: PoseStore, split: str = "test", *, with_2d: bool = False) -> Truth:
    """The labels of a pose store's split, in the frames of the real cameras.

    Args:
        split: its rows become the truth's, named by `row_names`.
        with_2d: project the joints into the images, too (the labels of MuPoTS-3D and 3DPW come from 3D in any case).

    Raises:
        UserError: a store of 2D labels, a row without a camera, or people that cannot be told apart because the
            sequence's name leaves out the camera.
    """
    if store.kind != "3d":
        raise UserError(f"Pose store {store.path} has 2D labels only; 3D evaluation needs a store of kind '3d'.")
    world, cameras = np.asarray(store.column(split, "coords"), np.float64), store.column(split, "has_camera")
    if not np.all(cameras):
        raise UserError(f"Row {int(np.argmin(cameras))} of split '{split}' of pose store {store.path} has no camera.")
    rotation, center = store.column(split, "R"), store.column(split, "optical_center_mm")
    poses = np.einsum("nij,npj->npi", np.asarray(rotation, np.float64), world - np.asarray(center)[:, None])
    rows = range(len(world))
    sequence, frame, person = row_names(store, split)
    activity = np.array([store.column(split, "activity").text(i) for i in rows], str)
    return Truth(
        poses3d_mm=poses,
        joint_names=store.skeleton.joint_names,
        sequence=sequence,
        frame=frame,
        person=person,
        activity=activity if (activity != "").any() else None,
        poses2d_px=np.stack([_project(store.row(split, i)) for i in rows]) if with_2d and len(world) else None,
    )


def _project(example) -> np.ndarray:
    """[J, 2] image positions of an example's joints; NaN where a joint is not labelled."""
    labelled = np.isfinite(example.coords).all(-1)
    pixels = np.full((len(example.coords), 2), np.nan)
    pixels[labelled] = example.camera.to_deltacamera().world_to_image(np.asarray(example.coords, np.float32)[labelled])
    return pixels
