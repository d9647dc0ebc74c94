"""The floor under people whose feet touch it now and then, seen by a tilted camera."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from metrabs_acae.motion.floor import ANKLE_HEIGHT_MM, CAMERA_UP, feet, floor_frame

NAMES = ("pelv", "lank", "rank", "ltoe", "rtoe")


def camera_view(*, tilt_deg, noise_mm=15.0, n=300, height_mm=1500.0):
    """[N, 5, 3] in the frame of a camera at that height that looks down by that angle."""
    rng = np.random.default_rng(0)
    ground = np.stack([rng.uniform(-1500, 1500, n), np.zeros(n), rng.uniform(-6000, -2500, n)], axis=1)
    lift = 120 * np.abs(np.sin(np.arange(n)))  # one foot swings while the other stands
    poses = np.repeat(ground[:, np.newaxis], 5, axis=1) + [
        [0, 900, 0],
        [90, 80, 0],
        [-90, 80, 0],
        [90, 0, 120],
        [-90, 0, 120],
    ]
    poses[:, [1, 3], 1] += lift[:, np.newaxis]
    poses += rng.normal(0, noise_mm, poses.shape) - [0, height_mm, 0]
    return poses @ Rotation.from_euler("x", tilt_deg, degrees=True).as_matrix().T @ CAMERA_UP


@pytest.mark.parametrize("tilt", [0, 10, 25])
def test_a_tilted_camera(tilt):
    poses = camera_view(tilt_deg=tilt)
    rotation, translation = floor_frame(NAMES, poses)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    up = CAMERA_UP @ Rotation.from_euler("x", tilt, degrees=True).as_matrix()[:, 1]
    assert np.degrees(np.arccos(rotation[1] @ up)) < 1.5
    placed = poses @ rotation.T + translation
    assert abs(np.median(placed[:, 4, 1])) < 40 and placed[:, 0, 1].mean() == pytest.approx(900, abs=40)
    assert translation[1] == pytest.approx(1500, abs=40)  # of the camera, over the floor
    np.testing.assert_allclose(rotation @ [0, 0, 1], [0, rotation[1, 2], -np.sqrt(1 - rotation[1, 2] ** 2)], atol=1e-9)


def test_a_known_upward_direction_is_kept():
    """Feet that are lower at one side: the heights are moved, by what half of them are lower or higher at most."""
    poses = camera_view(tilt_deg=10)
    rotation, translation = floor_frame(NAMES, poses, level=True)
    np.testing.assert_array_equal(rotation, CAMERA_UP)
    lowest = (poses @ rotation.T + translation)[:, 1:, 1].min(axis=1)
    assert translation[[0, 2]].tolist() == [0, 0] and 0.02 < (lowest < 0).mean() < 0.5


def test_somebody_in_the_air_and_a_damaged_frame_do_not_tilt_it():
    poses = camera_view(tilt_deg=10)
    ghost = poses[:80] + [-2000, -1500, 3000]
    expected, _ = floor_frame(NAMES, poses)
    lost = np.full((3, 5, 3), np.nan)
    rotation, translation = floor_frame(NAMES, np.concatenate([poses, ghost, lost]))
    assert np.degrees(np.arccos(min(1, rotation[1] @ expected[1]))) < 1.5
    assert translation[1] == pytest.approx(1500, abs=60)


def test_one_photograph_keeps_the_camera_level():
    rotation, translation = floor_frame(NAMES, camera_view(tilt_deg=0, n=1, noise_mm=0))
    np.testing.assert_allclose(rotation, CAMERA_UP, atol=1e-6)
    assert translation[1] == pytest.approx(1500, abs=1)


def test_skeletons_with_ankles_only_and_without_feet():
    assert feet(("pelv_h36m", "lank_h36m", "rank_h36m")) == ([1, 2], ANKLE_HEIGHT_MM)
    _, translation = floor_frame(NAMES[:3], camera_view(tilt_deg=0, n=1, noise_mm=0)[:, :3])
    assert translation[1] == pytest.approx(1500 - 80 + ANKLE_HEIGHT_MM, abs=1)
    assert floor_frame(("pelv", "head"), np.zeros((2, 2, 3))) is None
