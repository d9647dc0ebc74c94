"""Writes pose stores: validated row by row, in constant memory, visible only when complete."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import numpy as np

from metrabs_acae.data import jpeg, store_checks
from metrabs_acae.data.images import check_key, read_image_size_wh
from metrabs_acae.data.lens import MODELS
from metrabs_acae.data.records import (
    FORMAT,
    RAGGED_COLUMNS,
    SCHEMA_VERSION,
    SPLITS,
    CameraParams,
    check_box,
    check_camera,
    check_coords,
    check_mask,
    check_view,
    fixed_columns,
)
from metrabs_acae.data.store_reader import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.files import GrowingArray, writing_hdf5
from metrabs_acae.skeletons import Skeleton


class PoseStoreWriter:
    """Writes a pose store row by row in constant memory.

    The store is built in a hidden sibling folder and renamed on `close`, so `path` never holds half a store. As a
    context manager it closes on success and discards everything on an exception.

    Args:
        path: the folder to create; UserError if it exists.
        kind: "3d" (world coordinates in mm, a camera for every row) or "2d" (pixels, camera optional).
        skeleton: the joints, in the order of the rows' coordinates.
        realistic_background: True makes background replacement rarer (rendered datasets).
        color_fix: {"gamma": g} and/or {"white_balance": [a, b]} applied to crops, {"sequences": [...]} limits it.
        clean: True if the labels are good enough to draw pseudo-labels from.
        allow_suspicious: write the store although the checks of `store_checks` say that it cannot be right. Otherwise
            such a store is refused on `close`, and left beside `path` with the ending ".refused" to be looked at.

    Attributes:
        warnings: what asks for a look, after `close`.
    """

    def __init__(
        self,
        path,
        *,
        name: str,
        kind: str = "3d",
        skeleton: Skeleton,
        licence: str,
        realistic_background: bool = False,
        color_fix: dict | None = None,
        clean: bool = False,
        provenance: dict | None = None,
        allow_suspicious: bool = False,
    ):
        self.path = Path(path)
        if kind not in ("3d", "2d"):
            raise UserError(f"A pose store is of kind '3d' or '2d', not '{kind}'.")
        if self.path.exists():
            raise UserError(f"{self.path} exists already; remove it or choose another folder for the pose store.")
        self.name = name
        self.kind = kind
        self.skeleton = skeleton
        self.allow_suspicious = allow_suspicious
        self.warnings: tuple[str, ...] = ()
        self.counts: dict[str, int] = {}
        self._metadata = {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "kind": kind,
            "licence": licence,
            "skeleton": {**skeleton.to_dict(), "mirror": skeleton.mirror.tolist()},
            "realistic_background": bool(realistic_background),
            "color_fix": color_fix,
            "clean": bool(clean),
            "provenance": provenance or {},
        }
        self._columns = fixed_columns(kind, skeleton.n_joints)
        self._arrays: dict[str, GrowingArray] = {}
        self._sizes = (None, None)
        self._folder = self.path.parent / f".{self.path.name}.partial"
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / "images").mkdir(parents=True)
        (self._folder / "columns").mkdir()

    def image_path(self, image_key: str) -> Path:
        """Where the image file belongs; its folder is made. The caller may write the file there before `add`."""
        path = self._folder / "images" / check_key(image_key)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def add(
        self,
        split: str,
        *,
        image_key: str,
        image=None,
        box_ltwh_px,
        camera: CameraParams | None,
        coords,
        mask=None,
        sequence: str = "",
        frame: int = 0,
        activity: str = "",
        person: int = 0,
    ) -> None:
        """Appends one example; UserError names the row and says what is wrong with it.

        Args:
            split: "train", "valid" or "test".
            image: [H, W, 3] uint8 RGB (stored as JPEG of quality 95) or the bytes of a JPEG or PNG file; None where
                the file is in place already (several people in one image, files written by other processes).
            box_ltwh_px: [4] person box.
            coords: [J, 3] world mm or [J, 2] px, NaN where a joint is not labelled.
            mask: [H, W] boolean, or a run-length encoding by `rlemasklib.encode`.
        """
        if split not in SPLITS:
            raise UserError(f"'{split}' is not a split of a pose store; use {', '.join(SPLITS)}.")
        try:
            size = self._store_image(image_key, image)
            row = {
                "box_ltwh_px": check_box(box_ltwh_px, size),
                "coords": check_coords(coords, self.skeleton.n_joints, 3 if self.kind == "3d" else 2),
                "image_size_wh": size,
                "frame": _whole("frame", frame),
                "person": _whole("person", person),
                "image_key": _text("image_key", image_key),
                "sequence": _text("sequence", sequence),
                "activity": _text("activity", activity),
                **self._camera_columns(camera, size),
                **_mask_columns(mask, size),
            }
        except UserError as error:
            number = self.counts.get(split, 0)
            raise UserError(f"{self.name}, {split} row {number} ({image_key}): {str(error).rstrip('.')}.") from None
        for column, kind in self._columns.items():
            self._array(f"{split}/{column}", *kind).append(row[column])
        for column, dtype in RAGGED_COLUMNS.items():
            value = row[column]
            data = self._array(f"{split}/{column}.data", dtype)
            data.append(np.frombuffer(value, dtype) if isinstance(value, bytes) else value)
            start = self._array(f"{split}/{column}.start", "<i8")
            start.append(data.n_rows if start.n_rows else [0, data.n_rows])
        self.counts[split] = self.counts.get(split, 0) + 1

    def close(self) -> None:
        """Assembles the annotation file, checks what it says and moves the store to its place.

        Raises:
            UserError: no example, or labels that cannot be right; see `allow_suspicious`.
        """
        if not self.counts:
            self.discard()
            raise UserError(f"The pose store {self.path} has no example.")
        self._close_files()
        self._assemble()
        shutil.rmtree(self._folder / "columns")
        (self._folder / "store.json").write_text(json.dumps({**self._metadata, "splits": self.counts}, indent=1))
        findings = store_checks.check_store(PoseStore(self._folder))
        self.warnings = (*findings.warnings, *(findings.errors if self.allow_suspicious else ()))
        if findings.errors and not self.allow_suspicious:
            refused = self.path.with_name(f"{self.path.name}.refused")
            shutil.rmtree(refused, ignore_errors=True)
            os.rename(self._folder, refused)
            hint = (
                f"The store was not made; what was written lies in {refused}, and `python -m data_processing verify` "
                "draws it. If all is as it should be, write it with allow_suspicious."
            )
            store_checks.refuse(findings, f"The labels of {self.path}", hint=hint)
        os.rename(self._folder, self.path)

    def discard(self) -> None:
        """Drops everything written so far."""
        for array in self._arrays.values():
            with contextlib.suppress(OSError):  # what it still holds does not fit on the disk
                array.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> PoseStoreWriter:
        return self

    def __exit__(self, exc_type, exc, traceback) -> None:
        try:
            if exc_type is None:
                self.close()
        finally:
            self.discard()

    def _store_image(self, image_key: str, image) -> tuple[int, int]:
        if self._sizes[0] == image_key and image is None:
            return self._sizes[1]
        path = self.image_path(image_key)
        if image is not None:
            data = image if isinstance(image, bytes) else jpeg.encode(image)
            if path.exists() and path.read_bytes() != data:
                raise UserError("another picture has been stored under that key; give each picture a key of its own")
            path.write_bytes(data)
        try:
            size = read_image_size_wh(path)
        except OSError:
            raise UserError("no image was given and there is none under that key") from None
        except ValueError as error:
            raise UserError(f"the image is {error}") from None
        self._sizes = (image_key, size)
        return size

    def _camera_columns(self, camera: CameraParams | None, image_size_wh) -> dict:
        if camera is None:
            if self.kind == "3d":
                raise UserError("a 3D example needs a camera")
            nan = np.full((3, 3), np.nan)
            absent = {"R": nan, "K": nan, "optical_center_mm": nan[0], "world_up": nan[0]}
            return {**absent, "has_camera": 0, "lens": 0, "distortion": b""}
        camera = check_camera(camera)
        check_view(camera, image_size_wh)
        names = ("R", "K", "optical_center_mm", "world_up")
        lens = {"lens": MODELS.index(camera.lens.model), "distortion": camera.lens.coefficients}
        return {**{n: getattr(camera, n) for n in names}, "has_camera": 1, **lens}

    def _array(self, name: str, dtype, row_shape: tuple[int, ...] = ()) -> GrowingArray:
        if name not in self._arrays:
            self._arrays[name] = GrowingArray(self._folder / "columns" / name.replace("/", "."), dtype, row_shape)
        return self._arrays[name]

    def _close_files(self) -> None:
        for array in self._arrays.values():
            array.flush()
            array.close()

    def _assemble(self) -> None:
        with writing_hdf5(self._folder / "annotations.h5") as h5:
            for name, growing in self._arrays.items():
                rows = growing.array()
                dataset = h5.create_dataset(name, rows.shape, rows.dtype)
                n_block = max(1, (1 << 24) // max(1, rows[:1].nbytes))
                for start in range(0, len(rows), n_block):
                    dataset[start : start + n_block] = rows[start : start + n_block]


def _whole(name: str, value) -> int:
    """The whole number that a value is."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, str) or number != value or abs(number) >= 2**31:
        raise UserError(f"{name} must be a whole number of up to 31 bits, not {value!r}")
    return number


def _text(name: str, value) -> bytes:
    if not isinstance(value, str):
        raise UserError(f"{name} must be a text, not {value!r}")
    return value.encode(errors="surrogateescape")


def _mask_columns(mask, size_wh: tuple[int, int]) -> dict:
    if mask is None:
        return {"mask_counts": b"", "mask_size_hw": (0, 0)}
    if not isinstance(mask, dict):
        import rlemasklib

        mask = rlemasklib.encode(np.asarray(mask, bool).astype(np.uint8))
    check_mask(mask, size_wh)
    return {"mask_counts": bytes(mask["counts"]), "mask_size_hw": mask["size"]}
