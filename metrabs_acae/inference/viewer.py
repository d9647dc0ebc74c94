"""An interactive 3D view of poses: one HTML file that needs neither a network nor this package to be looked at."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metrabs_acae.files import replacing
from metrabs_acae.inference.pose_files import PoseLog
from metrabs_acae.visualization.overlay import N_COLORS, pose_colors

TEMPLATE = Path(__file__).with_name("viewer.html")
FLOOR_WITHOUT_PEOPLE_MM = 1500.0
_COLUMNS = {"times_s": "<f8", "n_people": "<i4", "person": "<i4", "poses3d": "<f4"}
_CHUNK_ROWS = 4096


def write_viewer(path: str | Path, log: PoseLog, *, picture: str = "") -> None:
    """Writes the page for the poses of a photograph or video.

    Args:
        log: the poses, written piece by piece.
        picture: name of an image or MP4 file beside the page, shown with it while it is there.
    """
    source = log.source
    meta = {
        "source": source.name,
        "skeleton": source.skeleton,
        "joint_names": list(source.joint_names),
        "edges": [list(map(int, e)) for e in source.edges],
        "image_size_wh": list(source.image_size_wh),
        "intrinsic_matrix": np.asarray(source.intrinsic_matrix, float).tolist(),
        "tracked": source.tracked,
        "floor_mm": floor_mm(log.column("poses3d"), source.up),
        "level": level(source.up).tolist(),
        "colors": ["#{:02x}{:02x}{:02x}".format(*c) for c in pose_colors(N_COLORS)],
        "picture": picture,
        "picture_kind": "video" if picture.lower().endswith(".mp4") else "image",
    }
    texts = {
        "title": html.escape(f"{source.name}: 3D poses"),
        "meta": json.dumps(meta).replace("<", "\\u003c"),  # a name must not end the script element
    }
    parts = re.split(r"\{\{(\w+)\}\}", TEMPLATE.read_text(encoding="utf-8"))
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for literal, name in zip(parts[::2], [*parts[1::2], None], strict=True):
            file.write(literal)
            if name in texts:
                file.write(texts[name])
            elif name is not None:
                file.writelines(_base64(log.column(name), _COLUMNS[name]))


def level(up) -> np.ndarray:
    """[3, 3], the rotation that turns the upward direction [3] in the camera's frame to -y, by the shortest way."""
    from scipy.spatial.transform import Rotation

    return Rotation.align_vectors([[0.0, -1.0, 0.0]], [up])[0].as_matrix()


def floor_mm(poses3d: np.ndarray, up=(0.0, -1.0, 0.0)) -> float:
    """How far (mm) below the camera a horizontal floor under the people is: their lowest joints' 95th percentile.

    Args:
        poses3d: [P, J, 3] of all frames, may be mapped from a file.
        up: [3] the upward direction in the camera's frame; by default the camera is taken to be level.
    """
    down = -np.asarray(up, np.float64) / np.linalg.norm(up)
    lowest = [(poses3d[i : i + _CHUNK_ROWS] @ down).max(axis=1) for i in range(0, len(poses3d), _CHUNK_ROWS)]
    lowest = np.concatenate([*lowest, np.zeros(0)])
    lowest = lowest[np.isfinite(lowest)]
    return float(np.percentile(lowest, 95)) if len(lowest) else FLOOR_WITHOUT_PEOPLE_MM


def _base64(array: np.ndarray, dtype: str) -> Iterator[str]:
    """In pieces of a multiple of three rows, hence of three bytes: base64 without padding, so the pieces join."""
    n_rows = 3 * _CHUNK_ROWS
    for i in range(0, len(array), n_rows):
        yield base64.b64encode(array[i : i + n_rows].astype(dtype).tobytes()).decode("ascii")
