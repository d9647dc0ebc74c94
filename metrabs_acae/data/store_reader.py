"""Reads pose stores: the annotations are memory-mapped; see `store` for what lies where."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

import numpy as np

from metrabs_acae.data.images import BarecatImages, FolderImages
from metrabs_acae.data.lens import MODELS, PINHOLE, Lens
from metrabs_acae.data.records import (
    FORMAT,
    RAGGED_COLUMNS,
    SCHEMA_VERSION,
    CameraParams,
    Example,
    fixed_columns,
)
from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json
from metrabs_acae.skeletons import Skeleton

log = logging.getLogger(__name__)

UNNAMED_FISHEYE_LENGTH = 4
"""In stores of schema version 1 so many coefficients are a fisheye lens."""


class Ragged:
    """A column of values of varying length; `self[i]` is the i-th as an array."""

    def __init__(self, data: np.ndarray, start: np.ndarray):
        self.data = data
        self.start = start

    def __len__(self) -> int:
        return len(self.start) - 1

    def __getitem__(self, i: int) -> np.ndarray:
        start, end = int(self.start[i]), int(self.start[i + 1])
        if not 0 <= start <= end <= len(self.data):
            raise ValueError(f"the annotation file is damaged at row {i}")
        return self.data[start:end]

    def text(self, i: int) -> str:
        """The i-th value as a string, as file names are read: bytes that are not UTF-8 have stand-ins."""
        return self[i].tobytes().decode(errors="surrogateescape")


class PoseStore:
    """Reads a pose store; opening reads only its description, rows are mapped from the file.

    Args:
        path: the store's folder; UserError says what is wrong with it.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.metadata = _read_description(self.path)
        self.name: str = self.metadata["name"]
        self.kind: str = self.metadata["kind"]
        self.skeleton = Skeleton.from_dict(self.metadata["skeleton"])
        self.splits: dict[str, int] = self.metadata["splits"]
        self.realistic_background: bool = self.metadata["realistic_background"]
        self.color_fix: dict | None = self.metadata["color_fix"]
        self.clean: bool = self.metadata["clean"]
        archive = self.path / "images.barecat"
        archived = bool(list(self.path.glob("images.barecat*")))
        self.images = BarecatImages(archive) if archived else FolderImages(self.path / "images")
        self._columns = self._map_columns()

    def column(self, split: str, name: str) -> np.ndarray | Ragged:
        """A whole column, memory-mapped; strings, masks and distortion as `Ragged`."""
        return self._split(split)[name]

    def row(self, split: str, i: int) -> Example:
        """Row `i` of a split. ValueError where the file is damaged there."""
        columns = self._split(split)
        if not 0 <= i < self.splits[split]:
            raise IndexError(f"{self.name} has {self.splits[split]} rows in split {split}, no row {i}")
        camera = None
        if columns["has_camera"][i]:
            camera = CameraParams(
                R=columns["R"][i],
                optical_center_mm=columns["optical_center_mm"][i],
                K=columns["K"][i],
                lens=_lens(columns, i),
                world_up=columns["world_up"][i],
            )
        counts = columns["mask_counts"][i]
        mask = {"size": columns["mask_size_hw"][i].tolist(), "counts": counts.tobytes()} if len(counts) else None
        key = columns["image_key"].text(i)
        return Example(
            image_key=key,
            box_ltwh_px=columns["box_ltwh_px"][i],
            camera=camera,
            coords=columns["coords"][i],
            mask=mask,
            sequence=columns["sequence"].text(i),
            frame=int(columns["frame"][i]),
            activity=columns["activity"].text(i),
            person=int(columns["person"][i]),
            image_size_wh=columns["image_size_wh"][i],
            image_root=self.images.root,
        )

    def __getstate__(self):
        return {"path": self.path}  # a process that receives the store opens it anew

    def __setstate__(self, state):
        self.__init__(state["path"])

    def _split(self, split: str) -> dict:
        if split not in self._columns:
            raise UserError(f"Pose store {self.path} has no split '{split}'; it has {', '.join(self.splits)}.")
        return self._columns[split]

    def _map_columns(self) -> dict[str, dict]:
        import h5py

        path = self.path / "annotations.h5"
        expected = fixed_columns(self.kind, self.skeleton.n_joints)
        if self.metadata["schema_version"] == 1:
            del expected["lens"]
        mapped: dict[str, dict] = {}
        try:
            buffer = np.memmap(path, np.uint8, "r").view(np.ndarray)
            with h5py.File(path, "r") as h5:
                for split, count in self.splits.items():
                    columns = {n: _map(buffer, h5[split][n], count, *spec) for n, spec in expected.items()}
                    for name, dtype in RAGGED_COLUMNS.items():
                        start = _map(buffer, h5[split][f"{name}.start"], count + 1, "<i8", ())
                        data = h5[split][f"{name}.data"]
                        columns[name] = Ragged(_map(buffer, data, data.shape[0], dtype, ()), start)
                    mapped[split] = columns
                    if "lens" not in columns and (np.diff(columns["distortion"].start) == UNNAMED_FISHEYE_LENGTH).any():
                        _warn_of_unnamed_lenses(self.path)
        except (OSError, KeyError, ValueError) as error:
            raise UserError(
                f"The annotations of pose store {self.path} cannot be read ({error}); write the store anew."
            ) from None
        return mapped


@functools.cache
def _warn_of_unnamed_lenses(path: Path) -> None:
    log.warning(
        "Pose store %s does not say which lens model its cameras have: their four coefficients are taken for OpenCV's "
        "fisheye model. If they are k1, k2, p1, p2, write the store anew.",
        path,
    )


def _lens(columns: dict, i: int) -> Lens:
    coefficients = columns["distortion"][i]
    if "lens" in columns:
        number = int(columns["lens"][i])
        if number >= len(MODELS):
            raise ValueError(f"the annotation file is damaged at row {i}")
        return Lens(MODELS[number], coefficients)
    if not len(coefficients):
        return PINHOLE
    return Lens("fisheye" if len(coefficients) == UNNAMED_FISHEYE_LENGTH else "brown_conrady", coefficients)


def _map(buffer: np.ndarray, dataset, n_rows: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """The rows of a contiguous HDF5 dataset as a view of the mapped file."""
    if dataset.shape != (n_rows, *shape) or dataset.dtype != np.dtype(dtype):
        raise ValueError(f"column {dataset.name} is {dataset.dtype} {dataset.shape}, expected {n_rows} rows")
    if dataset.size == 0:
        return np.zeros((n_rows, *shape), dtype)
    offset = dataset.id.get_offset()
    n_bytes = dataset.size * dataset.dtype.itemsize
    if offset is None or offset + n_bytes > len(buffer):
        raise ValueError(f"column {dataset.name} is not contiguous or the file is cut off")
    return buffer[offset : offset + n_bytes].view(dtype).reshape(n_rows, *shape)


def _read_description(path: Path) -> dict:
    try:
        metadata = load_json(path / "store.json")
    except FileNotFoundError:
        what = "does not exist" if not path.exists() else "is not a pose store (it has no store.json)"
        raise UserError(f"{path} {what}; make one with `python -m data_processing <dataset>`.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path / 'store.json'} cannot be read ({error}); write the store anew.") from None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise UserError(f"{path} is not a pose store: its store.json is of another program.")
    if metadata.get("schema_version") not in range(1, SCHEMA_VERSION + 1):
        raise UserError(
            f"Pose store {path} has schema version {metadata.get('schema_version')}, this program reads up to "
            f"{SCHEMA_VERSION}; write the store anew, or use a newer version of the program."
        )
    needed = {"name", "kind", "skeleton", "splits", "realistic_background", "color_fix", "clean"}
    if missing := needed - metadata.keys():
        raise UserError(f"{path / 'store.json'} lacks {', '.join(sorted(missing))}; write the store anew.")
    return metadata
