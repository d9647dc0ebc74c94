"""Keypoint tables as people have them: one line per person and picture, columns for the joints' coordinates.

Byte order marks, semicolons or tabs, decimal commas, quoted headers, and the usual ways to name a joint's columns
(`nose_x`, `nose.x`, `nose X`, `x_nose`, `nose[x]`) are understood.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError

FIELDS = {
    "image": ("image", "image_key", "file", "filename", "file_name", "path", "picture", "frame_path"),
    "camera": ("camera", "cam", "camera_id", "camera_name", "view"),
    "person": ("person", "person_id", "id", "track", "track_id", "subject"),
    "frame": ("frame", "frame_number", "frame_id", "index"),
    "sequence": ("sequence", "seq", "recording", "video", "clip", "session"),
    "activity": ("activity", "action"),
    "split": ("split", "subset"),
    "left": ("left", "box_left", "bbox_left", "bbox_x", "box_x"),
    "top": ("top", "box_top", "bbox_top", "bbox_y", "box_y"),
    "width": ("width", "box_width", "bbox_width", "bbox_w", "box_w"),
    "height": ("height", "box_height", "bbox_height", "bbox_h", "box_h"),
}
"""What a column means by its name, in lower case; the first of a field's names that is there counts."""
_BEHIND = re.compile(r"^(?P<joint>.+?)[\s_.\-:/]*[\[(]?\s*(?P<axis>[xyzXYZ])\s*[\])]?$")
_BEFORE = re.compile(r"^(?P<axis>[xyzXYZ])[\s_.\-:/]+(?P<joint>.+)$")
_MISSING = ("", "nan", "na", "n/a", "none", "null", "-")


@dataclass(frozen=True)
class Table:
    """A keypoint table.

    Attributes:
        path: where it was read; joint_names: in the order of their columns.
        n_dims: 3 with z columns, else 2.
    """

    path: Path
    joint_names: tuple[str, ...]
    n_dims: int
    _header: tuple[str, ...]
    _lines: tuple[tuple[str, ...], ...]
    _fields: dict[str, int]
    _columns: np.ndarray

    def __len__(self) -> int:
        return len(self._lines)

    def has(self, field: str) -> bool:
        return field in self._fields

    def text(self, i: int, field: str, default: str = "") -> str:
        """What stands in a field of line `i`."""
        column = self._fields.get(field)
        return default if column is None else self._lines[i][column].strip()

    def number(self, i: int, field: str) -> float:
        return self._number(i, self._fields[field])

    def coords(self, i: int) -> np.ndarray:
        """[J, n_dims] of line `i`, NaN where nothing stands."""
        return np.array([[self._number(i, column) for column in row] for row in self._columns])

    def rows(self) -> Iterator[int]:
        return iter(range(len(self)))

    def where(self, i: int) -> str:
        """How to speak of line `i`: numbered as in the file, the header being line 1."""
        return f"{self.path}, line {i + 2}"

    def _number(self, i: int, column: int) -> float:
        text = self._lines[i][column].strip()
        if text.lower() in _MISSING:
            return np.nan
        try:
            return float(text.replace(",", "."))
        except ValueError:
            name = self._header[column]
            raise UserError(f"{self.where(i)}: column '{name}' should hold a number, not '{text}'.") from None


def read_table(path) -> Table:
    """Reads a table; UserError where it is none, or lacks pictures or joints."""
    path = Path(path)
    header, lines = _cells(path)
    lowered = [name.lower() for name in header]
    fields = {
        field: next(lowered.index(name) for name in names if name in lowered)
        for field, names in FIELDS.items()
        if any(name in lowered for name in names)
    }
    if "image" not in fields:
        raise UserError(f"{path} has no column with the pictures' names; call it 'image'. It has: {_some(header)}.")
    joints: dict[str, dict[str, int]] = {}
    for i, name in enumerate(header):
        match = _BEHIND.match(name) or _BEFORE.match(name)
        if match and i not in fields.values():
            axes = joints.setdefault(match["joint"].strip(" _.-:/"), {})
            axis = match["axis"].lower()
            if axis in axes:
                raise UserError(f"{path}: columns '{header[axes[axis]]}' and '{name}' are of the same joint and axis.")
            axes[axis] = i
    joints = {name: axes for name, axes in joints.items() if {"x", "y"} <= set(axes)}
    if not joints:
        raise UserError(
            f"{path} has no columns of joints; they are called like 'nose_x', 'nose_y'[, 'nose_z']. It has: "
            f"{_some(header)}."
        )
    with_depth = [name for name, axes in joints.items() if "z" in axes]
    if with_depth and len(with_depth) < len(joints):
        flat = next(name for name in joints if name not in with_depth)
        raise UserError(f"{path}: joint {flat} has no z column, others have one.")
    axes = "xyz" if with_depth else "xy"
    columns = np.array([[joints[name][axis] for axis in axes] for name in joints], np.int64)
    return Table(path, tuple(joints), len(axes), header, lines, fields, columns)


def _cells(path: Path) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Header and lines of a text table."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a text file in UTF-8; save it as CSV in UTF-8.") from None
    first = text.split("\n", 1)[0]
    delimiter = max(";\t,", key=first.count)
    if not first.count(delimiter):
        raise UserError(f"{path} has one column only; a table's columns are parted by commas, semicolons or tabs.")
    rows = [tuple(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]
    header = tuple(name.strip().strip("'\"") for name in rows[0])
    for i, row in enumerate(rows[1:]):
        if len(row) != len(header):
            raise UserError(f"{path}, line {i + 2}: it has {len(row)} cells, the header {len(header)}.")
    if len(rows) == 1:
        raise UserError(f"{path} has a header, but no lines.")
    return header, tuple(rows[1:])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
