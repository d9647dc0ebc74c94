"""What --demo is given: photographs, videos, webcams, people's boxes, the camera."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json
from metrabs_acae.inference.animation import is_animated
from metrabs_acae.inference.own_files import OwnFiles, of_first_person
from metrabs_acae.inference.photographs import RAW_SUFFIXES
from metrabs_acae.numpy_runtime import rules

IMAGE_SUFFIXES = RAW_SUFFIXES | {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".apng", ".bmp", ".webp", ".tif", ".tiff", ".gif"),
    *(".heic", ".heif", ".hif", ".avif", ".jp2", ".ppm", ".pgm"),
}
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".3gp", ".wmv"}
)


@dataclass(frozen=True)
class DemoInput:
    """One photograph, video or webcam.

    Attributes:
        path: file; for a webcam its number, for standard input "-".
        stem: what the names of its results begin with, its own among the inputs.
    """

    kind: Literal["image", "video", "webcam"]
    path: str
    stem: str

    @property
    def name(self) -> str:
        return printable(Path(self.path).name)


def find_inputs(items: Iterable[str], *, out_dir: Path | None = None, suffixes: Sequence[str] = ()) -> list[DemoInput]:
    """The inputs named and, sorted, the photographs and videos inside the folders named; not earlier results.

    "-" is a video through standard input; a number is a webcam, unless a file has that name. Pictures that move are
    videos.

    Args:
        out_dir: folder of the results, whose names end in one of `suffixes`. Where inputs lie in it too, results get
            names that no other file there has.
    """
    found, n_own = [], 0
    for item in map(str, items):
        path = Path(item)
        if path.is_dir():
            files = [p for p in sorted(path.iterdir()) if _kind(p) and p.is_file()]
            if not files:
                suffixes = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
                raise UserError(f"The folder {item} holds no image or video ({suffixes}).")
        elif path.exists():
            files = [path]
        elif item == "-":
            found.append(("video", item, "stdin"))
            continue
        elif item.isascii() and item.isdigit():
            found.append(("webcam", item, f"webcam-{int(item)}"))
            continue
        else:
            raise UserError(f"{item} does not exist; give image or video files, folders of them, or a webcam's number.")
        own = OwnFiles.of_folders(p.parent for p in files)
        inputs = [p for p in files if p not in own]
        n_own += len(files) - len(inputs)
        found += [(_kind(p) or "image", str(p), p.stem) for p in inputs]
    if not found:
        what = "Only results of an earlier --demo were named" if n_own else "Nothing was named"
        raise UserError(f"{what}; give image or video files, folders of them, or a webcam's number.")
    is_free = lambda stem: True  # noqa: E731
    if out_dir is not None and out_dir.resolve() in {Path(path).parent.resolve() for _, path, _ in found}:
        is_free = free_stems(out_dir, suffixes)
    stems = unique_stems([printable(stem) for _, _, stem in found], is_free=is_free)
    return [DemoInput(kind, path, stem) for (kind, path, _), stem in zip(found, stems, strict=True)]


def free_stems(folder: Path, suffixes: Sequence[str]) -> Callable[[str], bool]:
    """Whether results may begin with a stem: no file there has such a name but earlier results."""
    own = OwnFiles.of_folders([folder])
    others = {of_first_person(p.name).casefold() for p in folder.iterdir() if p not in own}
    return lambda stem: not any((stem + suffix).casefold() in others for suffix in suffixes)


def skipped_files(items: Iterable[str], inputs: Sequence[DemoInput]) -> list[str]:
    """Names of the files inside the folders named that are no inputs, but for hidden ones and earlier results."""
    folders = [p for p in map(Path, items) if p.is_dir()]
    own, used = OwnFiles.of_folders(folders), {i.path for i in inputs}
    inside = [p for folder in folders for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")]
    return [printable(p.name) for p in inside if str(p) not in used and p not in own]


def printable(name: str) -> str:
    """A file's name with the Unicode replacement character for bytes that are not UTF-8, which texts cannot hold."""
    return os.fsencode(name).decode(errors="replace")


def _kind(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "video" if is_animated(path) else "image"
    return "video" if suffix in VIDEO_SUFFIXES else None


def unique_stems(stems: Sequence[str], *, is_free: Callable[[str], bool] = lambda stem: True) -> list[str]:
    """The same names, numbered so that no two are alike (some file systems do not tell A from a) and all are free."""
    used: set[str] = set()
    result = []
    for stem in stems:
        name, n = stem, 1
        while name.casefold() in used or not is_free(name):
            n += 1
            name = f"{stem}_{n}"
        used.add(name.casefold())
        result.append(name)
    return result


def parse_boxes(boxes):
    """What --boxes says, for `boxes_for`: None, one array [P, 4] for everything, or a dict by file name.

    Args:
        boxes: "LEFT,TOP,WIDTH,HEIGHT[;...]", a list of boxes, or a JSON file or dict {file name: boxes}, where a
            video may have a list of boxes for each frame; None or "": the detector.
    """
    if boxes is None or (isinstance(boxes, str) and not boxes.strip()):
        return None
    if isinstance(boxes, str) and not boxes.lower().endswith(".json"):
        try:
            boxes = [[float(v) for v in box.split(",")] for box in boxes.split(";") if box.strip()]
        except ValueError:
            raise UserError(
                f"Boxes {boxes!r} cannot be read; expected LEFT,TOP,WIDTH,HEIGHT[;...] or a JSON file."
            ) from None
    elif isinstance(boxes, str):
        try:
            boxes = load_json(boxes)
        except (OSError, ValueError) as error:
            raise UserError(f"The boxes file {boxes} cannot be read as JSON: {error}.") from None
    if isinstance(boxes, Mapping):
        return {name: _boxes_of_file(value, name) for name, value in boxes.items()}
    return _box_array(boxes, "everything")


def _boxes_of_file(value, name: str):
    """One array, or a list of arrays by frame."""
    by_frame = isinstance(value, list) and any(isinstance(b, list) for v in value if isinstance(v, list) for b in v)
    if by_frame:
        return [_box_array(v, f"{name}, frame {i}") for i, v in enumerate(value)]
    return _box_array(value, name)


def _box_array(boxes, whose: str) -> np.ndarray:
    try:
        array = np.asarray(boxes, np.float32)
    except (TypeError, ValueError):
        array = np.zeros([0, 0, 0])
    if array.size == 0 and array.ndim <= 2:
        return np.zeros((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] < 4:
        raise UserError(f"The boxes of {whose} must be a list of [left, top, width, height] in pixels.")
    array = array[:, :4]
    return rules.boxes(array, _require(f"In the boxes of {whose}: "))


def _require(prefix: str):
    """Of `rules`: gives the value back or raises UserError with the sentence."""

    def require(value, condition, sentence: str):
        if not np.all(condition):
            raise UserError(prefix + sentence)
        return value

    return require


def boxes_for(boxes, item: DemoInput):
    """From `parse_boxes`: a function of the frame number that gives its boxes [P, 4], or None for the detector."""
    if boxes is None:
        return None
    if isinstance(boxes, dict):
        keys = [k for k in (item.path, item.name, Path(item.path).stem, item.stem) if k in boxes]
        if not keys:
            raise UserError(f"The boxes file has no entry '{item.name}'; it needs one for each photograph and video.")
        boxes = boxes[keys[0]]
    if isinstance(boxes, np.ndarray):
        return lambda frame: boxes
    return lambda frame: boxes[frame] if frame < len(boxes) else np.zeros((0, 4), np.float32)


def parse_intrinsics(intrinsics) -> np.ndarray | None:
    """[3, 3] from that, "FX,FY,CX,CY" px or four numbers; None if there are none."""
    if intrinsics is None or (isinstance(intrinsics, str) and not intrinsics.strip()):
        return None
    if np.shape(intrinsics) == (3, 3):
        return rules.intrinsics(np.asarray(intrinsics, np.float32), _require(""), "intrinsics")
    try:
        values = [float(v) for v in (intrinsics.split(",") if isinstance(intrinsics, str) else intrinsics)]
        fx, fy, cx, cy = values
    except (TypeError, ValueError):
        raise UserError(f"Intrinsics {intrinsics!r} cannot be read; expected FX,FY,CX,CY in pixels.") from None
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32)
    return rules.intrinsics(matrix, _require(""), f"the camera of intrinsics {intrinsics!r}")


def check_view(intrinsic_matrix: np.ndarray, image_size_wh: Sequence[int], name: str, camera: str) -> None:
    """UserError unless the camera can have taken a picture of that size."""
    rules.view(intrinsic_matrix, *image_size_wh, _require(f"{name}: "), camera)


def boxes_in_picture(boxes: np.ndarray, image_size_wh: Sequence[int]) -> np.ndarray:
    """Those of the boxes [P, 4] that lie in the picture, at least in part."""
    inside = []
    rules.boxes_in_picture(boxes, *image_size_wh, lambda value, condition, sentence: inside.append(condition))
    return boxes[inside[0]]


def intrinsics_from_fov(fov_degrees: float, image_size_wh: Sequence[int]) -> np.ndarray:
    """[3, 3] of a camera with this field of view along the larger side and its centre in the middle of the image."""
    width, height = image_size_wh
    focal = max(width, height) / (2 * np.tan(np.radians(fov_degrees) / 2))
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], np.float32)
