"""What every dataset's converter is made of: work units, and the output that a unit writes to."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_processing import efficient_crop, images, masks, smpl
from data_processing.dataset_info import DatasetInfo, KnownFault
from data_processing.detection import open_detector
from data_processing.options import Options
from data_processing.rows import Row, RowFile
from data_processing.segmentation import open_segmenter
from metrabs_acae.data.images import check_key, image_size_wh
from metrabs_acae.data.records import CameraParams, check_box, check_camera, check_coords
from metrabs_acae.errors import UserError


@dataclass(frozen=True)
class Unit:
    """A piece of work that one process does in one go, e.g. one video.

    Attributes:
        name: unique in the dataset, readable, e.g. "S1/Directions 1.54138969".
        args: what the converter needs to find its files.
    """

    name: str
    args: tuple = ()


class UnitOutput:
    """Takes the examples and pictures of one unit while it is being converted."""

    def __init__(self, image_folder: Path, row_path: Path):
        self.image_folder = image_folder
        self.rows = RowFile(row_path)
        self.skipped: Counter = Counter()
        self.notes: set[str] = set()
        self._size: tuple[str, tuple[int, int]] = ("", (0, 0))

    def write_image(self, key: str, image: np.ndarray | bytes) -> None:
        """Stores a picture: RGB uint8 array (as JPEG) or the bytes of a JPEG or PNG file."""
        path = self.image_folder / check_key(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image if isinstance(image, bytes) else images.encode_jpeg(image))
        size = image_size_wh(image[: 1 << 18]) if isinstance(image, bytes) else image.shape[1::-1]
        self._size = (key, size)

    def copy_image(self, key: str, source: Path) -> tuple[int, int]:
        """Stores an existing picture file as it is, after decoding it once; returns its width and height."""
        image = images.read_image(source)
        self.write_image(key, Path(source).read_bytes())
        return image.shape[1], image.shape[0]

    def add(self, row: Row) -> None:
        """Takes an example, whose picture must have been written just before; one that no store admits is counted."""
        if self._size[0] != row.image_key:
            self._size = (row.image_key, images.read_size(self.image_folder / row.image_key))
        try:
            check_box(row.box_ltwh_px, self._size[1])
            check_coords(row.coords, *np.shape(row.coords))
            if row.camera is not None:
                check_camera(row.camera)
        except UserError as error:
            self.skip(re.sub(r" ?\[.*?\]", "", str(error)))
            return
        self.rows.write(row)

    def skip(self, reason: str) -> None:
        """Counts a frame or person that is left out."""
        self.skipped[reason] += 1

    def note(self, text: str) -> None:
        """Says, in the store's provenance, how the data were read where that was for the converter to decide."""
        self.notes.add(text)


@dataclass(frozen=True)
class Converter:
    """Base of the converters. Instances travel to worker processes, so they hold settings only.

    A subclass gives `units` (called once; checks the raw folder's layout) and `convert` (called in a worker for each
    unit; streams through its input and calls `output.add` for every example).
    """

    info: DatasetInfo
    raw: Path
    options: Options = Options()
    _tools: dict = field(default_factory=dict, compare=False, repr=False)

    def units(self) -> list[Unit]:
        raise NotImplementedError

    def convert(self, unit: Unit, output: UnitOutput) -> None:
        raise NotImplementedError

    def wants(self, split: str) -> bool:
        return self.options.split in ("", split)

    def faults(self, kind: str, name: str) -> list[KnownFault]:
        """The known faults of a unit or sequence that are to be mended; none with the option `as_published`."""
        return [] if self.options.as_published else self.info.faults_of(kind, name)

    def detect(self, image: np.ndarray, source, frame: int | None = None) -> np.ndarray:
        """[N, 5] detected people: left, top, width, height, score.

        A file of detections knows them by the source file's path below the raw folder, for videos with the frame's
        number behind it; the command `detect` writes such a file.
        """
        key = Path(source).relative_to(self.raw).as_posix() + ("" if frame is None else f"/{frame:06d}")
        if "detector" not in self._tools:
            self._tools["detector"] = open_detector(self.options.detector)
        return self._tools["detector"](image, key)

    def segment(self, image: np.ndarray, key: str) -> np.ndarray | None:
        """[H, W] people in a picture of the store, or None without a segmenter."""
        if "segmenter" not in self._tools:
            self._tools["segmenter"] = open_segmenter(self.options.segmenter)
        return self._tools["segmenter"](image, key)

    def find_body_model(self, kind: str, gender: str) -> Path:
        """The user's model file; UserError says what is missing. `units` calls it too, so that this comes early."""
        return smpl.find_model(self.options.body_models or self.raw / "body_models", kind, gender)

    def body_model(self, kind: str, gender: str) -> smpl.BodyModel:
        """The body model; read once per process."""
        return smpl.load_model(self.find_body_model(kind, gender))

    def require(self, relative: str) -> Path:
        """A file or folder of the raw data; UserError says that it is missing and what the folder should look like."""
        path = self.raw / relative
        if not path.exists():
            raise UserError(
                f"{path} is missing. Expected in the raw folder: {'; '.join(self.info.layout.split(chr(10)))}."
            )
        return path

    def find(self, *patterns: str) -> list[Path]:
        """Files of the raw folder by glob patterns, sorted; UserError if there are none."""
        found = sorted({p for pattern in patterns for p in self.raw.glob(pattern)})
        if not found:
            raise UserError(f"There is no {' or '.join(patterns)} in {self.raw}. Expected there: {self._layout()}.")
        return found

    def _layout(self) -> str:
        return "; ".join(self.info.layout.splitlines())

    def add_crop(
        self,
        output: UnitOutput,
        image: np.ndarray,
        *,
        split: str,
        key: str,
        camera: CameraParams,
        coords: np.ndarray,
        box,
        mask=None,
        extra: float = 1.0,
        whole_field: bool = False,
        turned: bool = True,
        **row,
    ) -> bool:
        """Stores the reduced crop of one person (section "reduced crops" of `efficient_crop`); False if unusable."""
        size = image.shape[1::-1]
        try:
            check_camera(camera)
            if turned:
                plan = efficient_crop.plan_crop(camera, size, box, extra=extra, whole_field=whole_field)
            else:
                plan = efficient_crop.plan_unturned_crop(camera, size, box)
        except ValueError as error:
            output.skip(str(error).split(" [")[0])
            return False
        crop = efficient_crop.render_crop(image, plan, antialias=2 if turned else 4)
        if mask is not None:
            mask = efficient_crop.render_mask(mask, plan)
        else:
            people = self.segment(crop, key)
            if people is not None and people.any():
                mask = masks.encode(people)
        output.write_image(key, crop)
        output.add(Row(split, key, plan.box_ltwh_px, plan.camera, coords, mask, **row))
        return True
