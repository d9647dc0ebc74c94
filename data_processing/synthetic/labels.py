"""Labels of a rendered person: box, mask, camera, and joints with the errors of the imitated dataset."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import rlemasklib

from data_processing.synthetic import appearance, body, joints
from data_processing.synthetic.datasets import SOURCES_2D, StoreSpec
from metrabs_acae.data.store import CameraParams


@dataclass(frozen=True)
class Row:
    """The labels of one person, as `PoseStoreWriter.add` takes them."""

    box_ltwh_px: np.ndarray
    camera: CameraParams | None
    coords: np.ndarray
    mask: dict
    sequence: str
    activity: str
    person: int


@dataclass(frozen=True)
class Actor:
    """A posed person: everything in world coordinates, mm."""

    vertices: np.ndarray
    normals: np.ndarray
    joints: np.ndarray
    look: appearance.Look
    subject: int
    activity: str
    root_rotation: np.ndarray

    @property
    def staged_joints(self) -> np.ndarray:
        """Those that place the camera and the shadows."""
        return self.joints[: joints.n_staged()]


@functools.cache
def joint_index(name: str) -> int:
    """Position of a joint among all joints."""
    return int(joints.all_joints().skeleton.indices([name])[0])


def label(rng, spec: StoreSpec, exact, camera, camera_number, actor: Actor, number: int, owner) -> Row | None:
    """The person's row; None where too little of the person is seen."""
    width, height = camera.size_wh
    points, depth = camera.project(actor.vertices)
    if depth.min() < 300:
        return None
    whole_low, whole_high = body.bounds(points)
    low = np.maximum(whole_low, -0.5)
    high = np.minimum(whole_high, (width - 0.5, height - 0.5))
    mask = owner == number
    whole_area = np.prod(whole_high - whole_low)
    if (high - low).min() < 12 or mask.sum() < 0.08 * whole_area:
        return None
    box_ltwh = np.concatenate([low, high - low])
    if not exact:
        box_ltwh += rng.normal(0, 0.015, 4) * box_ltwh[[2, 3, 2, 3]]
    truth = actor.joints
    if spec.kind == "2d":
        coords, camera_params = _labels_2d(rng, spec, camera, truth, np.prod(box_ltwh[2:])), None
        if np.isfinite(coords).all(axis=1).sum() < 7:
            return None
    else:
        coords = truth[_store_joints(spec.skeleton)].astype(np.float64)
        if not exact:
            coords = noisy(rng, spec, camera, coords, actor.root_rotation)
        camera_params = CameraParams(camera.R, camera.center_mm, camera.K, camera.distortion, np.array([0, 0, 1.0]))
        if np.isnan(coords).all():
            return None
    return Row(
        box_ltwh.astype(np.float32),
        camera_params,
        coords,
        rlemasklib.encode(mask.astype(np.uint8)),
        f"s{actor.subject:03d}-cam{camera_number:02d}",
        actor.activity,
        number,
    )


@functools.cache
def _store_joints(skeleton) -> np.ndarray:
    """Indices of a store's joints among all joints."""
    return joints.all_joints().skeleton.indices(skeleton.joint_names)


def _labels_2d(rng, spec: StoreSpec, camera, truth, box_area) -> np.ndarray:
    """[J, 2] px as annotators click them; NaN outside the image and now and then elsewhere."""
    names = [SOURCES_2D[spec.skeleton.name][n] for n in spec.skeleton.joint_names]
    coords, _ = camera.project(truth[[joint_index(n) for n in names]])
    coords = coords + rng.normal(0, 0.012, coords.shape) * np.sqrt(box_area)
    inside = ((coords > -0.5) & (coords < np.array(camera.size_wh) - 0.5)).all(axis=1)
    return np.where((inside & (rng.random(len(coords)) > 0.04))[:, None], coords, np.nan)


@functools.cache
def _constant_offsets(name: str, n_joints: int, offset_mm: float) -> np.ndarray:
    return np.random.default_rng([*name.encode()]).normal(0, offset_mm, (n_joints, 3))


def noisy(rng, spec: StoreSpec, camera, coords, root_rotation) -> np.ndarray:
    """[J, 3] world mm with the errors of the dataset's label noise."""
    noise = spec.noise
    offsets = _constant_offsets(spec.name, len(coords), noise.offset_mm)
    rays = coords - camera.center_mm
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    jitter = rng.normal(0, noise.plane_mm, coords.shape)
    jitter += rays * (rng.normal(0, noise.depth_mm, len(coords)) - (jitter * rays).sum(axis=1))[:, None]
    coords = coords + offsets @ root_rotation.T + jitter
    points, _ = camera.project(coords)
    outside = ((points < -0.5) | (points > np.array(camera.size_wh) - 0.5)).any(axis=1)
    draw = rng.random(len(coords))
    missing = (draw < noise.missing) | (outside & (draw < noise.missing * 6))
    return np.where(missing[:, None], np.nan, coords)
