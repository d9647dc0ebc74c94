"""From a row of a pose store and a random generator to the arrays of one training example."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import cv2
import numpy as np

from metrabs_acae.data import jpeg
from metrabs_acae.data.augmentation.augmenter import Augmenter
from metrabs_acae.data.color_fix import fix_colors
from metrabs_acae.data.crop import (
    Crop,
    crop_camera,
    crop_camera_2d,
    pixels_per_source_pixel,
    render,
    visible_window,
)
from metrabs_acae.data.generators import key_of
from metrabs_acae.data.geometric_draw import GeometricDraw
from metrabs_acae.data.images import read_picture
from metrabs_acae.data.records import Example, check_box, check_camera, check_coords, check_mask
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import BadExample, UserError

REDUCTIONS = (1, 2, 4, 8)
"""Factors by which JPEG files are reduced while they are decoded."""
LOWEST_VISIBLE_2D = 0.95
"""2D joints below this part of the image height count as not labelled: annotators guess there (MeTRAbs)."""


@dataclass(frozen=True)
class CropExample:
    """One cropped example, in the joint order of its store.

    Attributes:
        image: [S, S, 3] uint8 RGB.
        crop: the crop camera.
        coords: [J, 3] millimetres in the crop camera's frame, or [J, 2] crop pixels; 0 where not valid.
        valid: [J] bool.
    """

    image: np.ndarray
    crop: Crop
    coords: np.ndarray
    valid: np.ndarray


def load_training_example(
    store: PoseStore,
    split: str,
    row: int,
    image_size: int,
    seed: tuple[int, ...],
    augmenter: Augmenter,
) -> CropExample:
    """One augmented example; `seed` fixes its draws. Raises `BadExample` where row or image is broken."""
    key = key_of(*seed)
    draw = augmenter.draw_camera(key, store)
    example, crop, coords, valid = _read_labels(store, split, row, image_size, draw)
    image = read_crop(store, example, crop, image_size, draw)
    image = fix_colors(image, store.color_fix, example.sequence)
    image = augmenter.apply(image, augmenter.draw_picture(key, store), example, crop)
    return CropExample(image, crop, coords, valid)


def load_plain_example(
    store: PoseStore, split: str, row: int, image_size: int, *, antialias: int = 1, flip: bool = False
) -> CropExample:
    """One example without augmentation, for evaluation. Colour fixes of the store apply. Raises `BadExample`."""
    draw = GeometricDraw(flip=flip)
    example, crop, coords, valid = _read_labels(store, split, row, image_size, draw)
    image = read_crop(store, example, crop, image_size, draw, antialias=antialias)
    return CropExample(fix_colors(image, store.color_fix, example.sequence), crop, coords, valid)


@contextlib.contextmanager
def _bad_if(*errors: type[Exception]):
    """Says `BadExample` for errors that only broken data raise; all others are the program's own."""
    try:
        yield
    except errors as error:
        raise BadExample(str(error)) from error


def _read_labels(store: PoseStore, split: str, row: int, image_size: int, draw: GeometricDraw):
    """(example, crop, coords, valid) of a row; BadExample."""
    with _bad_if(ValueError, OSError):
        example = store.row(split, row)
    with _bad_if(UserError, ArithmeticError, np.linalg.LinAlgError):
        crop = make_crop(example, image_size, draw)
        return example, crop, *crop_coords(example, store, crop)


def make_crop(example: Example, image_size: int, draw: GeometricDraw, *, principal_point: float | None = None) -> Crop:
    """The example's crop camera; UserError where box, mask or camera are unusable."""
    box = check_box(example.box_ltwh_px, example.image_size_wh)
    check_mask(example.mask, example.image_size_wh)
    if example.camera is None:
        return crop_camera_2d(example.image_size_wh, box, image_size, draw, principal_point=principal_point)
    camera = check_camera(example.camera)
    return crop_camera(camera, box, image_size, draw, principal_point=principal_point)


def crop_coords(example: Example, store: PoseStore, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
    """Joints in the crop camera's frame [J, 3] mm or in the crop [J, 2] px, and which are valid."""
    n_dims = 3 if store.kind == "3d" else 2
    coords = check_coords(example.coords, store.skeleton.n_joints, n_dims).astype(np.float64)
    valid = ~np.isnan(coords[:, 0])
    if n_dims == 3:
        coords = crop.to_camera(coords)
    else:
        valid &= ~too_low(coords, example.image_size_wh[1])
        coords = crop.from_image(np.nan_to_num(coords))
    valid &= np.isfinite(coords).all(axis=1)
    coords[~valid] = 0
    if crop.flip:
        coords, valid = coords[store.skeleton.mirror], valid[store.skeleton.mirror]
    return coords.astype(np.float32), valid


def too_low(coords_px: np.ndarray, image_height: np.ndarray | int) -> np.ndarray:
    """[..., J] which joints [..., J, 2] lie in the lowest part of the image, where 2D labels do not count."""
    return coords_px[..., 1] > LOWEST_VISIBLE_2D * image_height


def share_too_low(store: PoseStore, split: str, *, at_most: int = 2000) -> float:
    """The share of a 2D store's labelled joints that are `too_low`, from rows spread evenly over the split."""
    rows = np.unique(np.linspace(0, store.splits[split] - 1, at_most).round().astype(np.int64))
    coords, height = store.column(split, "coords")[rows], store.column(split, "image_size_wh")[rows, 1]
    return float(too_low(coords, height[:, None]).sum() / max(1, np.isfinite(coords).all(-1).sum()))


def read_crop(
    store: PoseStore,
    example: Example,
    crop: Crop,
    image_size: int,
    draw: GeometricDraw = GeometricDraw(),  # noqa: B008 (frozen)
    *,
    antialias: int = 1,
) -> np.ndarray:
    """Decodes the stored image where the crop sees it, at reduced scale where it shows less detail, and renders it.

    BadExample where it is missing or broken, UserError where the machine cannot read it.
    """
    scale = pixels_per_source_pixel(crop, example.box_ltwh_px) * antialias
    reduction = max((r for r in REDUCTIONS if r * scale <= 1), default=1)
    window = visible_window(crop, image_size)
    data = read_picture(store.images, example.image_key)
    with _bad_if(ValueError, cv2.error):
        image, corner, reduction = decode_image(data, example.image_size_wh, window, reduction)
    image = render(image, crop, image_size, corner=corner, reduction=reduction, antialias=antialias)
    return cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)


def decode_image(
    data: bytes, image_size_wh, window: tuple[int, int, int, int] | None = None, reduction: int = 1
) -> tuple[np.ndarray, tuple[int, int], int]:
    """Decodes an image file, of JPEG files only what is wanted.

    Args:
        window: (left, top, right, bottom), the part of the image that must be there; None for all of it.
        reduction: wanted factor of reduction.

    Returns:
        RGB image [H, W, 4] (OpenCV warps four channels twice as fast as three; the fourth is 255), the place
        (left, top) of its corner in the whole image, and by how much it was reduced. Pixels as stored: orientation tags
        are ignored. ValueError where the file is broken, cut off or of another size than the row says.
    """
    if data[:2] == b"\xff\xd8":
        data = jpeg.with_end(data)
        layout = jpeg.read_layout(data)
        _check_size((layout.width, layout.height), image_size_wh)
        if layout.channels in (1, 3):
            return *jpeg.decode(data, layout, window, reduction), reduction
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if image is None:
        raise ValueError("the image file is broken")
    _check_size(image.shape[1::-1], image_size_wh)
    return cv2.cvtColor(image, cv2.COLOR_RGB2RGBA), (0, 0), 1


def _check_size(found, expected) -> None:
    if tuple(found) != tuple(expected):
        found, expected = (" x ".join(str(n) for n in size) for size in (found, expected))
        raise ValueError(f"the image has {found} pixels, expected {expected}")
