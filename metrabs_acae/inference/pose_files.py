"""Poses of a photograph or video in files, JSON and NPZ; docs/demo.md describes both.

The NPZ is a prediction file (`metrabs_acae.evaluation.predictions`) with more keys, so `--evaluate` reads it too.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metrabs_acae.data.lens import PINHOLE, Lens
from metrabs_acae.data.records import CameraParams
from metrabs_acae.files import GrowingArray, replacing, write_npz

FORMAT = "metrabs_acae poses 1"
DIGITS = 2


@dataclass(frozen=True)
class Source:
    """What is the same for all frames.

    Attributes:
        name: of the photograph or video.
        image_size_wh: px.
        intrinsic_matrix, lens: [3, 3] px, that the poses were estimated with.
        skeleton, joint_names, edges: of the poses; edges are pairs of joint numbers.
        tracked: whether a person has the same number in all frames.
        detected: whether boxes have scores.
        camera_from: in words, how the camera is known.
        refined: whether the poses are those of `refinement.refine_log`.
        up: [3] the world's upward direction in the camera frame.
        world: [3, 4] from the camera's frame to the world's, mm, where that is known.
        more: {key: array} that files of poses hold too.
    """

    name: str
    image_size_wh: tuple[int, int]
    intrinsic_matrix: npt.NDArray[np.float32]
    skeleton: str
    joint_names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    tracked: bool = False
    detected: bool = True
    lens: Lens = PINHOLE
    camera_from: str = ""
    refined: bool = False
    up: Sequence[float] = (0.0, -1.0, 0.0)
    world: npt.NDArray[np.float64] | None = None
    more: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def camera(self) -> CameraParams:
        """In its own frame."""
        K = np.asarray(self.intrinsic_matrix, np.float64)
        return CameraParams(np.eye(3), np.zeros(3), K, self.lens, np.asarray(self.up, np.float64))


@dataclass(frozen=True)
class People:
    """The people of one frame, or of all.

    Attributes:
        person: [P] int32, numbers.
        boxes: [P, 4] left, top, width, height, px. scores: [P], NaN where the boxes were given.
        poses3d: [P, J, 3] mm, camera frame: x right, y down, z forward.
        poses2d: [P, J, 2] px of the image, (0, 0) the centre of the top-left pixel.
        uncertainty: [P, J] mm, the error to expect or the spread over the augmentations, see `PoseEstimator`.
        entropy: [P, J] of the heatmaps, 0 to 1; NaN where the model has none.
    """

    person: npt.NDArray[np.int32]
    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    poses3d: npt.NDArray[np.float32]
    poses2d: npt.NDArray[np.float32]
    uncertainty: npt.NDArray[np.float32]
    entropy: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.person)


PEOPLE_FIELDS = tuple(People.__dataclass_fields__)


def nobody(n_joints: int) -> People:
    """Of a frame without people."""
    of_joints = {"poses3d": (n_joints, 3), "poses2d": (n_joints, 2), "uncertainty": (n_joints,), "entropy": (n_joints,)}
    shapes = {"boxes": (4,), "scores": ()} | of_joints
    return People(np.zeros(0, np.int32), **{name: np.zeros((0, *shape), np.float32) for name, shape in shapes.items()})


class PoseLog:
    """Collects the poses of frame after frame outside of memory; then writes them to files.

    A context manager: what was collected is gone when it ends.

    Attributes:
        raw: the log of the same people in the same frames whose poses were refined, if they were.
        more: {key: shape for a person} of float32 arrays that files of poses hold too.
    """

    def __init__(
        self, source: Source, *, raw: PoseLog | None = None, more: Mapping[str, tuple[int, ...]] | None = None
    ):
        self.source, self.raw, self.more = source, raw, dict(more or {})
        self._folder = tempfile.TemporaryDirectory(prefix="metrabs_acae.")
        n_joints = len(source.joint_names)
        kinds = {
            "frames": (np.int32, ()),
            "times_s": (np.float64, ()),
            "n_people": (np.int32, ()),
            "frame": (np.int32, ()),
            "person": (np.int32, ()),
            "boxes": (np.float32, (4,)),
            "scores": (np.float32, ()),
            "poses3d": (np.float32, (n_joints, 3)),
            "poses2d": (np.float32, (n_joints, 2)),
            "uncertainty": (np.float32, (n_joints,)),
            "entropy": (np.float32, (n_joints,)),
            **{name: (np.float32, shape) for name, shape in self.more.items()},
        }
        self._columns = {name: GrowingArray(Path(self._folder.name, name), *kind) for name, kind in kinds.items()}

    def __enter__(self) -> PoseLog:
        return self

    def __exit__(self, *exception) -> None:
        for column in self._columns.values():
            column.close()
        self._folder.cleanup()

    def add(self, frame: int, time_s: float, people: People, **more: np.ndarray) -> None:
        """Appends one frame, with or without people; `more`: [P, ...] by the keys that the log was made with."""
        values = {"frames": frame, "times_s": time_s, "n_people": len(people), "frame": np.full(len(people), frame)}
        values |= {name: getattr(people, name) for name in PEOPLE_FIELDS} | more
        for name, value in values.items():
            self._columns[name].append(value)

    @property
    def n_frames(self) -> int:
        return self._columns["frames"].n_rows

    @property
    def n_rows(self) -> int:
        """People of all frames together."""
        return self._columns["person"].n_rows

    def column(self, name: str) -> np.ndarray:
        """`frames`, `times_s`, `n_people` [F]; `frame` [P] and the fields of `People`, over all frames."""
        return self._columns[name].array()

    def frames(self) -> Iterator[tuple[int, float, People]]:
        """What `add` was given."""
        columns = {name: self.column(name) for name in self._columns}
        start = 0
        for frame, time_s, n in zip(columns["frames"], columns["times_s"], columns["n_people"], strict=True):
            rows = slice(start, start + int(n))
            yield int(frame), float(time_s), People(**{name: columns[name][rows] for name in PEOPLE_FIELDS})
            start = rows.stop


def write_json(path: str | Path, log: PoseLog) -> None:
    """The poses by frame and person. Lengths are rounded to 0.01 mm and 0.01 px."""
    source = log.source
    head = {
        "format": FORMAT,
        "source": source.name,
        "image_size_wh": list(source.image_size_wh),
        "intrinsic_matrix": np.asarray(source.intrinsic_matrix, float).tolist(),
        "lens": source.lens.to_json(),
        "camera_from": source.camera_from,
        "skeleton": source.skeleton,
        "joint_names": list(source.joint_names),
        "edges": [list(map(int, e)) for e in source.edges],
        "tracked": source.tracked,
        "refined": source.refined,
        **{name: np.asarray(value).tolist() for name, value in source.more.items()},
    }
    more = {name: log.column(name) for name in log.more}
    row = 0
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "frames": [')
        for i, (frame, time_s, people) in enumerate(log.frames()):
            found = list(map(_person, _rows(people)))
            for person in found:
                person |= {name: _plain(values[row]) for name, values in more.items()}
                row += 1
            entry = {"frame": frame, "time_s": round(time_s, 6), "people": found}
            file.write(("," if i else "") + "\n" + json.dumps(entry, allow_nan=False))
        file.write("\n]}\n")


def _rows(people: People) -> Iterator[People]:
    for i in range(len(people)):
        yield People(**{name: getattr(people, name)[i] for name in PEOPLE_FIELDS})


def _person(row: People) -> dict:
    score = {} if np.isnan(row.scores) else {"score": round(float(row.scores), 4)}
    lengths = {
        "box": row.boxes,
        "pose3d": row.poses3d,
        "pose2d": row.poses2d,
        "uncertainty": row.uncertainty,
    }
    entropy = {} if np.isnan(row.entropy).all() else {"entropy": _plain(row.entropy, 4)}
    return {"person": int(row.person)} | score | {k: _plain(v) for k, v in lengths.items()} | entropy


def _plain(array: np.ndarray, digits: int = DIGITS) -> list:
    """Nested lists of rounded numbers, null where there is none."""
    rounded = np.round(np.asarray(array, float), digits)
    if np.isfinite(rounded).all():
        return rounded.tolist()
    return np.where(np.isfinite(rounded), rounded, None).tolist()


def write_poses_npz(path: str | Path, log: PoseLog, more: Mapping[str, np.ndarray] | None = None) -> None:
    """The poses as arrays with one row per person and frame, and more arrays."""
    source = log.source
    metadata = {"format": FORMAT, "skeleton": source.skeleton, "tracked": source.tracked, "lens": source.lens.to_json()}
    metadata |= {"camera_from": source.camera_from, "refined": source.refined}
    arrays = {
        "poses3d_mm": log.column("poses3d"),
        "joint_names": np.array(source.joint_names, str),
        "sequence": np.broadcast_to(np.array(source.name), [log.n_rows]),
        "frame": log.column("frame"),
        "person": log.column("person"),
        "poses2d_px": log.column("poses2d"),
        "metadata": np.array(json.dumps(metadata)),
        "uncertainty_mm": log.column("uncertainty"),
        "boxes_ltwh_px": log.column("boxes"),
        "frames": log.column("frames"),
        "times_s": log.column("times_s"),
        "edges": np.array(source.edges, np.int32).reshape(-1, 2),
        "intrinsic_matrix": np.asarray(source.intrinsic_matrix, np.float64),
        "image_size_wh": np.array(source.image_size_wh, np.int32),
    }
    if not np.isnan(log.column("entropy")).all():
        arrays["entropy"] = log.column("entropy")
    if log.raw is not None:
        arrays |= {"raw_poses3d_mm": log.raw.column("poses3d"), "raw_poses2d_px": log.raw.column("poses2d")}
    if source.detected:
        arrays["score"] = log.column("scores")
    arrays |= {name: log.column(name) for name in log.more} | {k: np.asarray(v) for k, v in source.more.items()}
    write_npz(path, arrays | dict(more or {}))
