"""Where occluders and backgrounds come from: the user's folders, or generated ones."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from metrabs_acae.data.augmentation import procedural
from metrabs_acae.data.images import decode_file
from metrabs_acae.errors import UserError
from metrabs_acae.files import replacing

N_GENERATED = 48
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_BACKGROUND_ZOOM = 1.5


@functools.lru_cache(4)
def load_backgrounds(folder: str, image_size: int) -> Sequence[np.ndarray]:
    """Background pictures [side, side, 3] uint8, just large enough for crops of `image_size`.

    A folder's pictures are reduced once and kept as one memory-mapped array in the system's folder for temporary
    files, so that the workers share it. What is read is kept: loaders ask for every example.
    """
    side = round(image_size * MAX_BACKGROUND_ZOOM)
    if not folder:
        return [procedural.background(side, seed) for seed in range(N_GENERATED)]
    paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise UserError(f"The background folder {folder} has no JPEG or PNG file.")
    stamp = repr([(str(p.resolve()), p.stat().st_mtime_ns, p.stat().st_size) for p in paths])
    name = hashlib.sha256(f"{side} {stamp}".encode()).hexdigest()[:20]
    prepared = Path(tempfile.gettempdir()) / f"metrabs_acae-backgrounds-{os.getuid()}" / f"{name}.npy"
    if not prepared.exists():
        _prepare_backgrounds(paths, side, prepared)
    return np.load(prepared, mmap_mode="r")


@functools.lru_cache(4)
def load_occluders(folder: str) -> list[np.ndarray]:
    """Cut-outs [h, w, 4] uint8 (RGB and opacity) from a folder of Pascal VOC 2012 (with
    `Annotations`, `JPEGImages`, `SegmentationObject`), or of RGBA PNG files, or generated."""
    if not folder:
        return [procedural.occluder(seed) for seed in range(N_GENERATED)]
    root = Path(folder)
    if (root / "SegmentationObject").is_dir():
        occluders = [o for path in sorted((root / "SegmentationObject").glob("*.png")) for o in _voc(root, path)]
    else:
        pictures = [decode_file(p, cv2.IMREAD_UNCHANGED) for p in sorted(root.glob("*.png"))]
        pictures = [p for p in pictures if p is not None and p.ndim == 3 and p.shape[2] == 4]
        occluders = [cv2.cvtColor(p, cv2.COLOR_BGRA2RGBA) for p in pictures]
    if not occluders:
        raise UserError(f"The occluder folder {folder} is neither Pascal VOC 2012 nor has RGBA PNG files.")
    return occluders


def soften_border(mask: np.ndarray) -> np.ndarray:
    """[h, w] of 0 and 1 -> opacity float32: 0.75 in the outer 8 pixels of the object, 1 further inside."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (8, 8))
    eroded = cv2.erode(mask, kernel)
    return np.where(mask > eroded, np.float32(0.75), mask.astype(np.float32))


def _voc(root: Path, segmentation_path: Path) -> list[np.ndarray]:
    """The whole, easy objects other than people of one segmented image, at half size."""
    objects = ElementTree.parse(root / "Annotations" / f"{segmentation_path.stem}.xml").findall("object")
    segmentation = decode_file(segmentation_path, cv2.IMREAD_COLOR)
    picture = root / "JPEGImages" / f"{segmentation_path.stem}.jpg"
    image = decode_file(picture, cv2.IMREAD_COLOR) if picture.exists() else None
    if segmentation is None or image is None:
        return []
    found = []
    for number, annotation in enumerate(objects, start=1):
        if annotation.findtext("name") == "person":
            continue
        if annotation.findtext("difficult") == "1" or annotation.findtext("truncated") == "1":
            continue
        mask = np.all(segmentation == _voc_color(number), axis=-1).astype(np.uint8)
        if mask.sum() < 500:
            continue
        x, y, width, height = cv2.boundingRect(mask)
        part = (slice(y, y + height), slice(x, x + width))
        alpha = np.rint(255 * soften_border(mask)[part]).astype(np.uint8)
        cutout = np.dstack([image[part][..., ::-1], alpha])
        half = (max(1, width // 2), max(1, height // 2))
        found.append(cv2.resize(cutout, half, interpolation=cv2.INTER_AREA))
    return found


def _voc_color(number: int) -> np.ndarray:
    """Pascal VOC's colour of an object number, as BGR: the number's bits spread over the channels from the top."""
    rgb = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            rgb[channel] |= ((number >> (3 * bit + channel)) & 1) << (7 - bit)
    return np.array(rgb[::-1], np.uint8)


def _prepare_backgrounds(paths: list[Path], side: int, target: Path) -> None:
    pictures = []
    for path in paths:
        image = decode_file(path, cv2.IMREAD_COLOR_RGB)
        if image is None:
            continue
        height, width = image.shape[:2]
        small = min(height, width)
        top, left = (height - small) // 2, (width - small) // 2
        square = image[top : top + small, left : left + small]
        shrinks = small > side
        pictures.append(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
    if not pictures:
        raise UserError(f"None of the pictures in {paths[0].parent} can be read as a background.")
    target.parent.mkdir(exist_ok=True, mode=0o700)
    with replacing(target) as temporary:
        np.save(temporary, np.stack(pictures))
