"""Files of poses to convert: .npz, .npy, .csv and .json of one's own, and the .npz and .json that --demo writes."""

from __future__ import annotations

import contextlib
import csv
import json
import math
from collections.abc import Callable, Container, Mapping
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import map_npz_array, read_json, replacing, write_npz

KEPT = (
    *("sequence", "frame", "person", "score", "frames", "times_s"),
    *("boxes_ltwh_px", "intrinsic_matrix", "image_size_wh", "metadata"),
)
"""What of a prediction file, and the demo's is one, is true of the people in any skeleton."""


SUFFIXES = (".npz", ".npy", ".csv", ".json")
LABELS = ("sequence", "frame", "frame_id", "time", "time_s", "timestamp", "person", "id", "index")
"""Columns of a CSV file, lists of a .json and arrays of an .npz that say which pose is which; kept as they are."""


def read_pose_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """`poses` [..., J, D] and as many of `LABELS` [N], or `poses3d_mm` [P, J, 3] and as many of `KEPT` as there are;
    `joint_names` if known, or the `headings` of a table, which may be names of other programs.

    .npy holds nothing but poses; .json a list of them, MediaPipe's landmarks ({"x":, "y":, "z":}) or OpenPose's
    people. A row of numbers may stand for a pose, see `known_joints`.

    Raises:
        UserError: no file, or none with poses.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no file {path}; expected an .npz with an array 'poses' [N, J, 3].")
    read = {".json": _read_json, ".csv": _read_csv, ".npy": _read_npy}.get(path.suffix.lower(), _read_npz)
    arrays = read(path)
    poses = next(iter(arrays.values()))
    if poses.dtype.kind not in "fiu" or poses.ndim < 2 or not (poses.size or "metadata" in arrays):
        raise UserError(
            f"{path} holds {poses.dtype} {list(poses.shape)}; expected numbers [N, J, 3], one pose or more."
        )
    return arrays


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            key = "poses" if "poses" in stored.files or "poses3d_mm" not in stored.files else "poses3d_mm"
            wanted = ("joint_names", *(KEPT if key == "poses3d_mm" else ()))
            arrays = {name: stored[name] for name in wanted if name in stored.files}
            arrays |= _labels(stored.__getitem__, stored.files) if key == "poses" else {}
        return {key: map_npz_array(path, key), **arrays}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise UserError(
            f"{path} must be an .npz file with an array 'poses' [N, J, 3], or an .npz or .json file of --demo."
        ) from error


def _read_npy(path: Path) -> dict[str, np.ndarray]:
    try:
        return {"poses": np.load(path, allow_pickle=False, mmap_mode="r")}
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read as an .npy file of numbers.") from error


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    """Rows of 3 J or 4 J columns, or J rows of one pose; cells that are empty are missing joints."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        lines = csv.reader(text.splitlines(), delimiter=delimiter)
        rows = [row for row in ([cell.strip() for cell in line] for line in lines) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise UserError(f"{path} is not readable text.") from None
    width = len(rows[0]) if rows else 0
    columns, named = range(width), {}
    if rows and not all(_is_number(cell) for cell in rows[0]):
        headings = rows.pop(0)
        labels = {name.lower(): i for i, name in enumerate(headings) if name.lower() in LABELS}
        columns = [i for i, name in enumerate(headings) if name and name.lower() not in LABELS]
        named = _named([headings[i] for i in columns])
        named |= {name: _column(name, [row[i] if i < len(row) else "" for row in rows]) for name, i in labels.items()}
    if any(any(row[width:]) for row in rows):  # as R writes them: numbers of the rows, but no heading for these
        raise UserError(f"{path} has lines with more cells than the first; all need as many (is a heading missing?).")
    try:
        values = [[float(row[i]) if row[i] else np.nan for i in columns] for row in rows]
    except (ValueError, IndexError):
        raise UserError(f"{path} must be a table of numbers, below at most one line of headings.") from None
    return {"poses": np.array(values, np.float64), **named}


def _column(name: str, cells: list[str]) -> np.ndarray:
    """Whole numbers, times as numbers, else the texts as they are (a person called 007)."""
    try:
        if all(str(int(cell)) == cell for cell in cells):
            return np.array(cells, np.int64)
    except (ValueError, OverflowError):
        pass
    if name.startswith("time") and all(_is_number(cell) and math.isfinite(float(cell or "nan")) for cell in cells):
        return np.array(cells, np.float64)
    return np.array(cells, str)


def _labels(read: Callable[[str], object], there: Container[str]) -> dict[str, np.ndarray]:
    """Those of `LABELS` that are there and are arrays or lists of equal length."""
    found = {}
    for name in LABELS:
        if name in there:
            with contextlib.suppress(ValueError):
                found[name] = np.asarray(read(name))
    return found


def _named(headings: list[str]) -> dict[str, np.ndarray]:
    """The joints of headings such as lhip_smpl_x, lhip_smpl_y, lhip_smpl_z, ...; none for others."""
    names = [heading[:-2] for heading in headings[::3]]
    return {"headings": np.array(names)} if headings == [f"{name}_{axis}" for name in names for axis in "xyz"] else {}


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def known_joints(poses: np.ndarray, n_joints: int) -> np.ndarray:
    """Poses [..., J, D] as programs write them -> the same, with NaN for joints that are not known.

    A pose may be a row of 3 J or 4 J numbers. A fourth coordinate is a confidence; where it is not above zero, the
    joint is missing. So are joints that stand at zero, but for a single one that always does, the root.
    """
    if poses.ndim == 2 and poses.shape[1] in (3 * n_joints, 4 * n_joints):
        poses = poses.reshape(len(poses), n_joints, -1)
    if poses.ndim < 2 or poses.shape[-2] != n_joints or poses.shape[-1] not in (3, 4):
        return poses
    missing = np.zeros(poses.shape[:-1], bool) if poses.shape[-1] == 3 else ~(poses[..., 3] > 0)
    poses = poses[..., :3]
    at_zero = ~np.any(poses, axis=-1)
    root = at_zero.all(axis=tuple(range(at_zero.ndim - 1)))
    missing |= at_zero & ~root if root.sum() == 1 else at_zero
    return np.where(missing[..., None], np.nan, poses) if missing.any() else poses


def with_labels_of(arrays: Mapping[str, np.ndarray], n_poses: int) -> dict[str, np.ndarray]:
    """The arrays, without labels that are not a number or text for each pose, such as those of a single pose's rows."""
    return {
        name: a
        for name, a in arrays.items()
        if name not in LABELS or (a.shape == (n_poses,) and a.dtype.kind in "biufU")
    }


def require_writable(path: str | Path) -> None:
    """UserError unless `write_pose_arrays` knows the kind of file."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UserError(f"Poses are written to files that end with {', '.join(SUFFIXES)}; got the name {path}.")


def write_pose_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """The arrays of `read_pose_arrays` by the name's ending; all as .npz, the poses alone as .npy.

    .csv has a row per pose, with columns `lhip_smpl_x`; .json the names of the joints and the poses; both have the
    `LABELS`, too.
    """
    path, key = Path(path), next(iter(arrays))
    suffix = path.suffix.lower()
    if suffix == ".npz":
        write_npz(path, dict(arrays))
        return
    poses = arrays[key]
    more = {name: _without_nan(arrays[name].tolist()) for name in LABELS if name in arrays}
    with replacing(path) as temporary:
        if suffix == ".npy":
            np.save(temporary, poses)
        elif suffix == ".csv":
            header = [*more, *(f"{name}_{axis}" for name in arrays["joint_names"] for axis in "xyz"[: poses.shape[-1]])]
            table = poses.reshape(-1, len(header) - len(more))
            rows = [["" if np.isnan(v) else f"{v:.7g}" for v in row] for row in table]
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(header)
                writer.writerows([*kept, *row] for *kept, row in zip(*more.values(), rows, strict=True))
        else:
            plain = np.where(np.isnan(poses), None, poses.astype(np.float64).round(6)).tolist()
            names = arrays["joint_names"].tolist()
            temporary.write_text(json.dumps({"joint_names": names, **more, key: plain}, allow_nan=False) + "\n")


def _without_nan(values: list) -> list:
    return [None if isinstance(v, float) and not math.isfinite(v) else v for v in values]


def skeleton_of(arrays: dict[str, np.ndarray]) -> str:
    """The name of the skeleton that a demo's file is of; "" where the file does not say."""
    try:
        return str(json.loads(str(arrays["metadata"]))["skeleton"])
    except (KeyError, ValueError, TypeError):
        return ""


def _read_json(path: Path) -> dict[str, np.ndarray]:
    data = read_json(path)
    if isinstance(data, dict) and not {"poses", "poses3d_mm", "people"} & set(data):
        return _demo_arrays(path, data)
    try:
        if isinstance(data, list):
            return {"poses": np.array(_numbers(data), np.float64)}
        if "people" in data:
            return {"poses": np.array([person["pose_keypoints_3d"] for person in data["people"]], np.float64)}
        key = "poses" if "poses" in data else "poses3d_mm"
        named = {"joint_names": np.array(data["joint_names"], str)} if "joint_names" in data else {}
        return {key: np.array(_numbers(data[key]), np.float64), **named, **_labels(data.__getitem__, data)}
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a file of poses, lists of equal length of numbers ({error!r}).") from None


def _numbers(data):
    """Nested lists; landmarks such as {"x": 1, "y": 2, "z": 3, "visibility": 1} become lists."""
    if isinstance(data, dict):
        return [data[key] for key in ("x", "y", "z", "visibility") if key in data or key != "visibility"]
    return [_numbers(item) for item in data] if isinstance(data, list) else data


def _demo_arrays(path: Path, data: dict) -> dict[str, np.ndarray]:
    try:
        rows = [(frame, person) for frame in data["frames"] for person in frame["people"]]
        poses = np.array([person["pose3d"] for _, person in rows], np.float32)
        metadata = {
            key: data[key] for key in ("format", "skeleton", "tracked", "refined", "lens", "camera_from") if key in data
        }
        arrays = {
            "poses3d_mm": poses.reshape(-1, len(data["joint_names"]), 3),
            "joint_names": np.array(data["joint_names"], str),
            "sequence": np.array([data["source"]] * len(rows), str),
            "frame": np.array([frame["frame"] for frame, _ in rows], np.int64),
            "person": np.array([person["person"] for _, person in rows], np.int64),
            "frames": np.array([frame["frame"] for frame in data["frames"]], np.int64),
            "times_s": np.array([frame["time_s"] for frame in data["frames"]], np.float64),
            "boxes_ltwh_px": np.array([person["box"] for _, person in rows], np.float32).reshape(-1, 4),
            "intrinsic_matrix": np.array(data["intrinsic_matrix"], np.float64),
            "image_size_wh": np.array(data["image_size_wh"], np.int64),
            "metadata": np.array(json.dumps(metadata)),
        }
        if rows and all("score" in person for _, person in rows):
            arrays["score"] = np.array([person["score"] for _, person in rows], np.float32)
        return arrays
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a file of poses as --demo writes them ({error!r}).") from None
