"""What a pose store holds: its columns, one example, its camera, and the checks that a row must pass.

Millimetres and pixels; camera frame x right, y down, z forward; pixel (0, 0) is the centre of the top-left pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrabs_acae.data.lens import PINHOLE, Lens
from metrabs_acae.data.vectors import cross, dot
from metrabs_acae.errors import UserError
from metrabs_acae.numpy_runtime import rules

FORMAT = "metrabs_acae pose store"
SCHEMA_VERSION = 2
"""Version 1 had no column `lens`; four coefficients meant fisheye there, any others Brown-Conrady."""
SPLITS = ("train", "valid", "test")
RAGGED_COLUMNS = {
    "image_key": "u1",
    "sequence": "u1",
    "activity": "u1",
    "mask_counts": "u1",
    "distortion": "<f4",
}


def fixed_columns(kind: str, n_joints: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Column name -> data type and shape of one row."""
    return {
        "box_ltwh_px": ("<f4", (4,)),
        "coords": ("<f4", (n_joints, 3 if kind == "3d" else 2)),
        "has_camera": ("u1", ()),
        "R": ("<f4", (3, 3)),
        "optical_center_mm": ("<f8", (3,)),
        "K": ("<f4", (3, 3)),
        "lens": ("u1", ()),  # place in `lens.MODELS`; the coefficients are the ragged column `distortion`
        "world_up": ("<f4", (3,)),
        "image_size_wh": ("<i4", (2,)),
        "mask_size_hw": ("<i4", (2,)),
        "frame": ("<i4", ()),
        "person": ("<i4", ()),
    }


@dataclass(frozen=True)
class CameraParams:
    """A calibrated camera.

    Attributes:
        R: [3, 3] rotation from world to camera axes.
        optical_center_mm: [3] camera position in the world.
        K: [3, 3] intrinsic matrix in pixels.
        lens: a `Lens`; None is a pinhole, and plain numbers are the coefficients of a Brown-Conrady lens in OpenCV's
            order, however many there are.
        world_up: [3] the world's up direction.
    """

    R: np.ndarray
    optical_center_mm: np.ndarray
    K: np.ndarray
    lens: Lens = PINHOLE
    world_up: np.ndarray = (0.0, 0.0, 1.0)

    def __post_init__(self):
        object.__setattr__(self, "lens", Lens.of(self.lens))

    def to_deltacamera(self, image_size_wh=None):
        """The same camera as a `deltacamera.Camera`, in single precision."""
        import deltacamera

        model = None
        if self.lens.model == "fisheye":
            model = deltacamera.FisheyeKannalaBrandt(np.array(self.lens.coefficients, np.float32))
        elif not self.lens.is_pinhole:
            k = self.lens.coefficients
            model = deltacamera.BrownConradyEx(np.array(k if len(k) > 4 else [*k, 0.0], np.float32))
        return deltacamera.Camera(
            optical_center=np.asarray(self.optical_center_mm, np.float32),
            rot_world_to_cam=np.asarray(self.R, np.float32),
            intrinsic_matrix=np.asarray(self.K, np.float32),
            distortion_model=model,
            world_up=np.asarray(self.world_up, np.float32),
            image_size=None if image_size_wh is None else tuple(int(v) for v in image_size_wh),
        )


@dataclass(frozen=True)
class Example:
    """One row of a pose store.

    Attributes:
        coords: [J, 3] world millimetres (3D stores) or [J, 2] pixels (2D stores); NaN = not labelled.
        box_ltwh_px: [4] the person's box: left, top, width, height.
        mask: run-length encoded mask of the person (`rlemasklib`), or None.
        image_size_wh: [2] size of the stored image.
        image_root: the folder or archive of the images.
    """

    image_key: str
    box_ltwh_px: np.ndarray
    camera: CameraParams | None
    coords: np.ndarray
    mask: dict | None
    sequence: str
    frame: int
    activity: str
    person: int
    image_size_wh: np.ndarray
    image_root: Path

    @property
    def image_path(self) -> Path:
        return self.image_root / self.image_key


def check_camera(camera: CameraParams) -> CameraParams:
    """The camera with plain float64 arrays; UserError says what is wrong with it."""
    checked = {}
    for name, shape in (("R", (3, 3)), ("optical_center_mm", (3,)), ("K", (3, 3)), ("world_up", (3,))):
        value = np.asarray(getattr(camera, name), np.float64)
        if value.shape != shape:
            raise UserError(f"the camera's {name} has shape {value.shape}, expected {shape}")
        if not math.isfinite(sum(value.ravel().tolist())):
            raise UserError(f"the camera's {name} is not finite")
        checked[name] = value
    (a, b, c), K = checked["R"].tolist(), checked["K"].tolist()
    lengths = (dot(a, a), dot(b, b), dot(c, c))
    angles = (dot(a, b), dot(b, c), dot(c, a))
    if max(abs(n - 1) for n in lengths) > 1e-3 or max(map(abs, angles)) > 1e-3 or dot(cross(a, b), c) < 0:
        raise UserError("the camera's R is not a rotation matrix")
    if K[0][0] <= 0 or K[1][1] <= 0 or K[1][0] != 0 or K[2] != [0, 0, 1]:
        raise UserError("the camera's K is not an intrinsic matrix (positive focal lengths, last row 0 0 1)")
    if not checked["world_up"].any():
        raise UserError("the camera's world_up is zero")
    return CameraParams(lens=camera.lens, **checked)


def check_view(camera: CameraParams, image_size_wh) -> None:
    """UserError unless the (checked) camera can have taken a picture of that size."""

    def require(value, condition, sentence):
        if not np.all(condition):
            raise UserError(sentence)
        return value

    width, height = image_size_wh
    rules.view(camera.K, width, height, require, "the camera's K")
    if not camera.lens.is_pinhole:
        radius = min(width, height) / 2 / camera.K[0, 0]
        seen = camera.lens.distort(np.stack([radius * np.array(rules.LENS_RADII), np.zeros(len(rules.LENS_RADII))], 1))
        rules.lens_grows(camera.lens, seen[:, 0], require, f"the camera's {camera.lens.model} coefficients")


def check_box(box_ltwh_px, image_size_wh) -> np.ndarray:
    """The box as float32 [4]; UserError where it has no area or does not touch the image."""
    box = np.asarray(box_ltwh_px, np.float32)
    if box.shape != (4,) or not math.isfinite(sum(box.tolist())):
        raise UserError(f"the box must be four finite numbers (left, top, width, height), not {box_ltwh_px}")
    left, top, width, height = box.tolist()
    if width <= 0 or height <= 0:
        raise UserError(f"the box {box.tolist()} has no area")
    image_width, image_height = image_size_wh
    if left >= image_width or top >= image_height or left + width <= 0 or top + height <= 0:
        size = f"{image_width} x {image_height}"
        raise UserError(f"the box {box.tolist()} lies outside the image of {size} pixels")
    return box


def check_coords(coords, n_joints: int, n_dims: int) -> np.ndarray:
    """The coordinates as float32 [J, n_dims], half-missing joints made wholly NaN; UserError where unusable."""
    coords = np.array(coords, np.float32)
    if coords.shape != (n_joints, n_dims):
        raise UserError(f"the coordinates have shape {coords.shape}, expected {(n_joints, n_dims)}")
    if np.isinf(coords).any():
        raise UserError("a coordinate is infinite (missing joints are NaN)")
    coords[np.isnan(coords).any(axis=1)] = np.nan
    if np.isnan(coords).all():
        raise UserError("all joints are missing (NaN)")
    return coords


def check_mask(mask: dict | None, image_size_wh) -> None:
    """UserError where a run-length encoded mask is damaged or does not have the image's size."""
    if mask is None:
        return
    if tuple(mask.get("size", ())) != (image_size_wh[1], image_size_wh[0]):
        expected = [int(image_size_wh[1]), int(image_size_wh[0])]
        raise UserError(f"the mask has size {mask.get('size')}, expected {expected} (height, width)")
    from rlemasklib import RLEMask

    try:
        RLEMask.from_dict(mask)
    except (ValueError, KeyError) as error:
        raise UserError(f"the mask is damaged ({error})") from None
