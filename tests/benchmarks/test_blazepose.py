"""Regions, rotations and the way to the camera's frame, by numbers worked out by hand."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from benchmarks import blazepose
from benchmarks.blazepose import LANDMARKS, Region
from metrabs_acae.errors import UserError

QUARTER = np.pi / 2


def landmarks(hips, circle) -> np.ndarray:
    points = np.zeros((39, 2))
    points[33], points[34] = hips, circle
    return points


def test_region_of_a_box():
    region = Region.of_box([100, 200, 50, 160])
    np.testing.assert_allclose(region.centre, [125, 280])
    assert (region.side, region.angle) == (200, 0)


@pytest.mark.parametrize(
    "circle, angle", [((300, 120), 0), ((380, 200), QUARTER), ((220, 200), -QUARTER), ((300, 280), np.pi)]
)
def test_region_of_landmarks(circle, angle):
    """A circle of 80 px about the hips: 1.25 times its diameter; the head to the right is a turn by 90 degrees."""
    region = Region.of_landmarks(landmarks((300, 200), circle))
    np.testing.assert_allclose(region.centre, [300, 200])
    assert region.side == pytest.approx(200)
    assert region.angle == pytest.approx(angle)


def test_crop_to_picture():
    upright = Region(np.array([300.0, 200.0]), 128)
    np.testing.assert_allclose(upright.to_picture([[128, 128], [0, 0], [256, 0]]), [[300, 200], [236, 136], [364, 136]])
    lying = Region(np.array([300.0, 200.0]), 128, QUARTER)  # up in the crop is right in the picture
    np.testing.assert_allclose(lying.to_picture([[128, 0], [256, 128]]), [[364, 200], [300, 264]], atol=1e-9)


@pytest.mark.parametrize("angle", [0, 0.5, QUARTER, -2.5])
def test_crop_shows_what_its_map_says(angle):
    image = np.zeros((400, 500, 3), np.uint8)
    image[150:153, 260:263] = 255  # around pixel (261, 151)
    region = Region(np.array([250.0, 180.0]), 200, angle)
    y, x = np.argwhere(region.crop(image)[..., 0] > 128).mean(axis=0)
    np.testing.assert_allclose(region.to_picture([x + 0.5, y + 0.5]), [261, 151], atol=0.5)


def test_look_turns_landmarks_back():
    """The network's own up is the way to the head, whichever way that is in the picture."""

    def network(crop):
        assert crop.shape == (256, 256, 3)
        points, world = np.full((39, 3), 128.0), np.zeros((39, 3))
        points[0, :2], world[0] = [128, 64], [0, -500, 40]
        return points, world, 0.9

    region = Region(np.array([300.0, 200.0]), 128, QUARTER)
    points, world, score = blazepose.look(network, np.zeros((400, 500, 3), np.uint8), region)
    np.testing.assert_allclose(points[[0, 33]], [[332, 200], [300, 200]], atol=1e-9)
    np.testing.assert_allclose(world[0], [500, 0, 40], atol=1e-9)
    assert score == 0.9


def test_landmarks_are_mediapipes():
    assert LANDMARKS["lsho"] == 11 and LANDMARKS["rsho"] == 12
    assert LANDMARKS["lwri"] == 15 and LANDMARKS["rhip"] == 24 and LANDMARKS["rank"] == 28
    assert len(LANDMARKS) == 12


def test_pose_in_the_camera():
    """A pose that is turned with the direction to its hips comes out where it was."""
    pose = np.random.default_rng(0).normal(0, 300, (12, 3))
    position, K = np.array([1500.0, -400.0, 2000.0]), np.array([[900, 0, 500], [0, 950, 400], [0, 0, 1.0]])
    true = pose @ blazepose.from_axis(position).T + position
    points = true @ K.T
    hips = position @ K.T
    found = blazepose.in_camera(pose, points[:, :2] / points[:, 2:], hips[:2] / hips[2], K, np.zeros(5))
    np.testing.assert_allclose(found, true, atol=1e-6)


def test_from_axis():
    direction = np.array([1.0, 2.0, 2.0]) / 3
    rotation = blazepose.from_axis(direction)
    np.testing.assert_allclose(rotation @ [0, 0, 1], direction)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rotation @ [2, -1, 0], [2, -1, 0], atol=1e-12)  # across both stays


def test_networks_are_found(tmp_path):
    with zipfile.ZipFile(tmp_path / "mediapipe.whl", "w") as archive:
        archive.writestr("mediapipe/pose_landmark_full.tflite", b"full")
        archive.writestr("mediapipe/face_landmark.tflite", b"face")
    assert blazepose.read_networks(tmp_path / "mediapipe.whl") == {"full": b"full"}
    (tmp_path / "pose_landmark_heavy.tflite").write_bytes(b"heavy")
    assert blazepose.read_networks(tmp_path) == {"heavy": b"heavy"}
    with pytest.raises(UserError, match="pip download"):
        blazepose.read_networks(tmp_path / "elsewhere")
