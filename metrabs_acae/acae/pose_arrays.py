"""The arrays of a file of poses to convert: an .npz of one's own, or the .npz or .json that --demo writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import map_npz_array, read_json

KEPT = (
    *("sequence", "frame", "person", "score", "frames", "times_s"),
    *("boxes_ltwh_px", "intrinsic_matrix", "image_size_wh", "metadata"),
)
"""What of a prediction file, and the demo's is one, is true of the people in any skeleton."""


def read_pose_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """`poses` [..., J, D], or `poses3d_mm` [P, J, 3] and as many of `KEPT` as there are; `joint_names` if known.

    Raises:
        UserError: no file, or none with poses.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no file {path}; expected an .npz with an array 'poses' [N, J, 3].")
    if path.suffix.lower() == ".json":
        return _read_demo_json(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            key = "poses" if "poses" in stored.files or "poses3d_mm" not in stored.files else "poses3d_mm"
            wanted = ("joint_names", *(KEPT if key == "poses3d_mm" else ()))
            arrays = {name: stored[name] for name in wanted if name in stored.files}
        return {key: map_npz_array(path, key), **arrays}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise UserError(
            f"{path} must be an .npz file with an array 'poses' [N, J, 3], or an .npz or .json file of --demo."
        ) from error


def skeleton_of(arrays: dict[str, np.ndarray]) -> str:
    """The name of the skeleton that a demo's file is of; "" where the file does not say."""
    try:
        return str(json.loads(str(arrays["metadata"]))["skeleton"])
    except (KeyError, ValueError, TypeError):
        return ""


def _read_demo_json(path: Path) -> dict[str, np.ndarray]:
    data = read_json(path, dict)
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
