"""What a converter yields: examples, and the file of JSON lines that keeps a work unit's examples until the end."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrabs_acae.data.lens import Lens
from metrabs_acae.data.records import CameraParams


@dataclass(frozen=True)
class Row:
    """One example of the store to be; the fields are those of `PoseStoreWriter.add`."""

    split: str
    image_key: str
    box_ltwh_px: np.ndarray
    camera: CameraParams | None
    coords: np.ndarray
    mask: dict | None = None
    sequence: str = ""
    frame: int = 0
    activity: str = ""
    person: int = 0


class RowFile:
    """Writes the examples of one work unit; the file gets its name only when complete."""

    def __init__(self, path: Path):
        self.path = path
        self._partial = path.with_suffix(".partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._partial, "w", encoding="utf-8")
        self.count = 0

    def write(self, row: Row) -> None:
        self._file.write(json.dumps(_to_json(row)) + "\n")
        self.count += 1

    def close(self, skipped: dict[str, int], notes: Iterable[str] = ()) -> None:
        summary = {"end": True, "rows": self.count, "skipped": skipped, "notes": sorted(notes)}
        self._file.write(json.dumps(summary) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._partial, self.path)

    def discard(self) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)


def read_rows(path: Path) -> Iterator[Row]:
    """The examples of a complete row file, one at a time."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            data = json.loads(line)
            if "end" in data:
                return
            yield _from_json(data)


def read_summary(path: Path) -> dict:
    """The last line of a complete row file: {"rows": count, "skipped": {reason: count}, "notes": [...]}."""
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - (1 << 16)))
        return json.loads(file.read().splitlines()[-1])


def _to_json(row: Row) -> dict:
    data = {
        "split": row.split,
        "key": row.image_key,
        "box": np.asarray(row.box_ltwh_px, np.float64).round(4).tolist(),
        "coords": np.asarray(row.coords, np.float64).round(4).tolist(),
        "meta": [row.sequence, int(row.frame), row.activity, int(row.person)],
    }
    if row.camera is not None:
        camera = row.camera
        fields = (camera.R, camera.optical_center_mm, camera.K, camera.world_up)
        data["camera"] = [np.asarray(v, np.float64).tolist() for v in fields]
        data["lens"] = camera.lens.to_json()
    if row.mask is not None:
        size = [int(v) for v in row.mask["size"]]
        data["mask"] = [size, base64.b85encode(bytes(row.mask["counts"])).decode()]
    return data


def _from_json(data: dict) -> Row:
    camera = None
    if "camera" in data:
        R, center, K, up = (np.array(v) for v in data["camera"])
        camera = CameraParams(R, center, K, Lens.from_json(data["lens"]), up)
    mask = None
    if "mask" in data:
        mask = {"size": data["mask"][0], "counts": base64.b85decode(data["mask"][1])}
    sequence, frame, activity, person = data["meta"]
    box, coords = np.array(data["box"]), np.array(data["coords"], np.float64)
    return Row(data["split"], data["key"], box, camera, coords, mask, sequence, frame, activity, person)
