"""The rules for cameras and boxes, as the store's writer and the demo say them (the estimators' tests have theirs)."""

import json

import numpy as np
import pytest

from metrabs_acae.data.lens import Lens
from metrabs_acae.data.records import CameraParams, check_camera, check_view
from metrabs_acae.data.store import PoseStoreWriter
from metrabs_acae.errors import UserError
from metrabs_acae.inference import demo_inputs
from metrabs_acae.numpy_runtime import arguments, rules
from tests.data.stores import skeleton, toy_row

SIZE = (1920, 1080)


def intrinsics(fx=1500.0, fy=None, cx=959.5, cy=539.5):
    return np.array([[fx, 0, cx], [0, fy or fx, cy], [0, 0, 1.0]])


REAL = {
    "a webcam": (intrinsics(), None),
    "a phone, strong lens": (intrinsics(1100), (-0.35, 0.15, 0.001, -0.002, -0.03)),
    "JRDB's": (intrinsics(1213), (-0.336, 0.135, 0.0003, -0.0001, -0.027)),
    "an action camera, 120 degrees": (intrinsics(554), None),
    "a fisheye of 180 degrees": (intrinsics(611), Lens.fisheye((0.02, -0.01, 0.003, -0.001))),
    "a telephoto": (intrinsics(40000), None),
    "a part of a picture": (intrinsics(1500, cx=-2800.0), None),
}
WRONG = {
    "normalized": (intrinsics(1.2, cx=0.5, cy=0.5), None, "focal lengths in pixels"),
    "millimetres": (intrinsics(35.0), None, "focal lengths in pixels"),
    "one in millimetres": (intrinsics(1500.0, 24.0), None, "focal lengths in pixels"),
    "far off": (intrinsics(cx=9000.0), None, "principal point in or near the picture"),
    "off above": (intrinsics(cy=-5000.0), None, "principal point in or near the picture"),
    "folds back": (intrinsics(), (-4.0, 0, 0, 0), "brown_conrady coefficients must describe a lens that does not fold"),
    "fisheye folds back": (intrinsics(700), Lens.fisheye((-2.0, 0, 0, 0)), "fisheye coefficients must describe a lens"),
}


@pytest.mark.parametrize("name", REAL)
def test_real_cameras_are_plausible(name):
    K, lens = REAL[name]
    check_view(check_camera(CameraParams(np.eye(3), np.zeros(3), K, lens)), SIZE)
    demo_inputs.check_view(K, SIZE, name, "the camera")


@pytest.mark.parametrize("name", WRONG)
def test_wrong_cameras_are_refused_in_a_sentence(name):
    K, lens, message = WRONG[name]
    with pytest.raises(UserError, match=message):
        check_view(check_camera(CameraParams(np.eye(3), np.zeros(3), K, lens)), SIZE)
    if lens is None:
        with pytest.raises(UserError, match=f"walk.mp4: the camera given with --intrinsics must .*{message[-6:]}"):
            demo_inputs.check_view(K, SIZE, "walk.mp4", "the camera given with --intrinsics")


def test_the_writer_names_the_row(tmp_path):
    row = toy_row(np.random.default_rng(0), "3d", 160, 120)
    camera = CameraParams(row["camera"].R, row["camera"].optical_center_mm, intrinsics(1.2, cx=0.5, cy=0.5))
    with PoseStoreWriter(tmp_path / "store", name="toy", skeleton=skeleton("_a"), licence="CC0") as writer:
        writer.add("train", image_key="0.jpg", **row)
        with pytest.raises(UserError, match="toy, train row 1 .1.jpg.: the camera's K must have focal lengths in"):
            writer.add("train", image_key="1.jpg", **{**row, "camera": camera})


def test_boxes():
    inside = np.array([[-10.0, 5, 30, 40], [1900, 1000, 100, 100]])
    assert rules.boxes_in_picture(rules.boxes(inside, arguments.require), *SIZE, arguments.require) is inside
    outside = np.array([[2000.0, 5, 30, 40], [5, 5, 30, 40], [-40, 5, 30, 40], [5, 1080, 30, 40]])
    np.testing.assert_array_equal(demo_inputs.boxes_in_picture(outside, SIZE), outside[1:2])
    for box, message in (
        ([0.2, 0.1, 0.3, 0.8], "In the boxes of a.jpg: boxes must be at least a pixel"),
        ([1, 2, 0, 4], "positive width and height"),
        ([1, np.inf, 3, 4], "finite"),
    ):
        with pytest.raises(UserError, match=message):
            demo_inputs.parse_boxes(json.loads(json.dumps({"a.jpg": [box]})))


def test_rotations():
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert rules.rotation(turn, arguments.require, "R") is turn
    for wrong, message in ((turn * 1.01, ""), (-turn, ", without mirroring"), (turn * np.nan, "")):
        with pytest.raises(ValueError, match=f"R must be a rotation matrix .world to camera.{message}"):
            rules.rotation(wrong, arguments.require, "R")
