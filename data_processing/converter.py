"""What every dataset's converter is made of: work units, and the output that a unit writes to."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_processing import efficient_crop, guards, images, masks, smpl
from data_processing.dataset_info import DatasetInfo, KnownFault
from data_processing.detection import open_detector
from data_processing.guards import BoxRecord
from data_processing.options import Options
from data_processing.rows import Row, RowFile
from data_processing.segmentation import open_segmenter
from metrabs_acae.data.images import check_key, image_size_wh
from metrabs_acae.data.records import CameraParams, check_box, check_camera, check_coords, check_view
from metrabs_acae.errors import UserError

MAX_MASK_SHARE = 0.99
MIN_FAULTY, MAX_FAULTY_SHARE = 20, 0.2
"""A unit with so many impossible masks, of all, is faulty as a whole."""


def neighbours(poses: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    """The poses of the frames before and after frame i of a sequence."""
    return poses[max(0, i - 1)], poses[min(i + 1, len(poses) - 1)]


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
        self.seen_boxes = BoxRecord()
        self.n_masks = self.n_refused_masks = 0
        self._size: tuple[str, tuple[int, int]] = ("", (0, 0))

    def write_image(self, key: str, image: np.ndarray | bytes) -> None:
        """Stores a picture: RGB uint8 array (as JPEG) or the bytes of a JPEG or PNG file."""
        path = self.image_folder / check_key(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image if isinstance(image, bytes) else images.encode_jpeg(image))
        size = image_size_wh(image) if isinstance(image, bytes) else image.shape[1::-1]
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
                check_view(check_camera(row.camera), self._size[1])
        except UserError as error:
            self.skip(re.sub(r" ?\[.*?\]", "", str(error)))
            return
        self.rows.write(row)

    def skip(self, reason: str) -> None:
        """Counts a frame or person that is left out."""
        self.skipped[reason] += 1

    def usable_mask(self, mask: dict) -> dict | None:
        """The mask of a picture of the store; None if it covers nearly all of it, which no person does."""
        self.n_masks += 1
        height, width = mask["size"]
        if masks.area(mask) <= MAX_MASK_SHARE * height * width:
            return mask
        self.n_refused_masks += 1
        self.skip("the mask covers the whole crop (the example is kept without it)")
        return None

    def check(self, unit: str, skeleton) -> None:
        """LabelFault where what the whole unit holds cannot be right."""
        if self.n_refused_masks >= MIN_FAULTY and self.n_refused_masks > MAX_FAULTY_SHARE * self.n_masks:
            raise guards.LabelFault(
                f"{unit}: {self.n_refused_masks} of {self.n_masks} masks cover their whole crop. Likely cause: "
                f"the background of the masks is another colour than expected. {guards.ADVICE}"
            )
        unseen = sum(n for reason, n in self.skipped.items() if reason.startswith("no detection"))
        if unseen >= MIN_FAULTY and unseen > 0.8 * (unseen + self.rows.count):
            raise guards.LabelFault(
                f"{unit}: {unseen} of {unseen + self.rows.count} labelled people were not detected where their "
                "joints are. Likely cause: the calibration of another camera, pictures of another recording, or a "
                f"detector that does not work on them. {guards.ADVICE}"
            )
        guards.check_boxes(unit, skeleton, self.seen_boxes)

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
    checked: bool = True
    """Whether labels are held against each other (see `guards`)."""

    def units(self) -> list[Unit]:
        raise NotImplementedError

    def convert(self, unit: Unit, output: UnitOutput) -> None:
        raise NotImplementedError

    def wants(self, split: str) -> bool:
        return self.options.split in ("", split)

    def faults(self, kind: str, name: str) -> list[KnownFault]:
        """The known faults of a unit or sequence that are to be mended; none with the option `as_published`."""
        return [] if self.options.as_published else self.info.faults_of(kind, name)

    def check(
        self,
        source,
        poses_mm: np.ndarray,
        *,
        cameras=None,
        size=None,
        pixels: np.ndarray | None = None,
        frames: Sequence[int] | None = None,
        successive: bool = True,
        others: Mapping[str, CameraParams] | None = None,
        tolerance_px: float = 5.0,
        noise_px: float = 0.5,
        sides: bool = True,
    ) -> None:
        """Holds the labels of one person against each other before any picture is read: see `guards`.

        Args:
            source: the file of the labels.
            poses_mm: [F, J, 3] world, NaN = missing.
            cameras: one, or one per frame; with `size` of one camera's pictures, people must be in view; with `pixels`
                [F, J, 2], the 2D labels of the same joints, the poses must project there.
            sides: left and right are judged too.
        """
        if not self.checked:
            return
        name = str(Path(source).relative_to(self.raw)) if Path(source).is_relative_to(self.raw) else str(source)
        skeleton = self.info.get_skeleton()
        guards.check_poses(name, skeleton, poses_mm, frames=frames, successive=successive and sides)
        if pixels is not None:
            guards.check_projection(
                name,
                skeleton,
                poses_mm,
                pixels,
                cameras,
                frames=frames,
                successive=successive,
                others=others,
                tolerance_px=tolerance_px,
                noise_px=noise_px,
            )
        elif size is not None:
            guards.check_view(name, skeleton, poses_mm, cameras, size, others=others)

    @staticmethod
    def other_cameras(read: Callable, files: Mapping[str, Path]) -> dict[str, CameraParams]:
        """Those of the recording's other cameras whose files can be read, by name."""
        cameras = {}
        for name, path in files.items():
            with contextlib.suppress(UserError):
                cameras[name] = read(path)
        return cameras

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
        seen_box=None,
        around=(None, None),
        **row,
    ) -> bool:
        """Stores the reduced crop of one person (section "reduced crops" of `efficient_crop`); False if unusable.

        Args:
            seen_box: where the person is by something else than the 3D labels; `box` itself where a detector is used.
            around: the person's poses a frame earlier and later, where they are known.
        """
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
        if seen_box is None and self.options.detector != "none":
            seen_box = box
        if seen_box is not None:
            output.seen_boxes.add(row.get("frame", 0), camera, coords, seen_box, *around)
        crop = efficient_crop.render_crop(image, plan, antialias=2 if turned else 4)
        if mask is not None:
            mask = output.usable_mask(efficient_crop.render_mask(mask, plan))
        else:
            people = self.segment(crop, key)
            if people is not None and people.any():
                mask = masks.encode(people)
        output.write_image(key, crop)
        output.add(Row(split, key, plan.box_ltwh_px, plan.camera, coords, mask, **row))
        return True
