"""Lenses with names: OpenCV's numbers, stores and files that say which model is meant, and old stores that do not."""

import json
import logging
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_processing import cameras, plain_files, rows
from metrabs_acae.data.crop import crop_camera, render
from metrabs_acae.data.lens import PINHOLE, Lens, distort_points, undistort_points
from metrabs_acae.data.store import CameraParams, PoseStore, PoseStoreWriter
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.truth import truth_from_store
from tests.data.stores import skeleton, toy_row

K = np.array([[1673.7, 0, 534.5], [0, 1673.8, 963.2], [0, 0, 1]])
FOUR = (-0.047847, 0.136786, 0.000972, 0.000291)
"""k1, k2, p1, p2 of a real upright camera of 1080 x 1920 pixels, calibrated with OpenCV."""
PIXELS = np.array([[540.0, 960], [900, 1500], [1000, 1800]])
LENSES = {
    "pinhole": PINHOLE,
    "four": Lens.brown_conrady(FOUR),
    "five": Lens.brown_conrady((-0.2, 0.2, 0.001, -0.001, -0.05)),
    "eight": Lens.brown_conrady((0.1, 0.02, 0.001, 0, 0.01, 0.05, 0.01, 0)),
    "twelve": Lens.brown_conrady((0.1, 0.02, 0.001, 0, 0.01, 0.05, 0.01, 0, 0.01, -0.01, 0.02, 0.01)),
    "fourteen": Lens.brown_conrady((0.1, 0.02, 0.001, 0, 0.01, 0.05, 0.01, 0, 0.01, -0.01, 0.02, 0.01, 0.03, -0.02)),
    "fisheye": Lens.fisheye((0.1, -0.05, 0.02, 0.01)),
    "fisheye, four": Lens.fisheye(FOUR),
    "equidistant": Lens.fisheye(np.zeros(4)),
}
OLD = Path(__file__).parent / "old"


def opencv(normalized, lens: Lens) -> np.ndarray:
    """Pixels [N, 2], by OpenCV alone."""
    rays = np.concatenate([normalized, np.ones((len(normalized), 1))], axis=1)
    zero, k = np.zeros(3), np.array(lens.coefficients)
    if lens.model == "fisheye":
        return cv2.fisheye.projectPoints(rays[:, None], zero, zero, K, k)[0][:, 0]
    return cv2.projectPoints(rays, zero, zero, K, k)[0][:, 0]


@pytest.mark.parametrize("name", LENSES)
def test_points_are_where_opencv_sees_them(name):
    lens = LENSES[name]
    rays = undistort_points(PIXELS, K, lens)
    np.testing.assert_allclose(opencv(rays[:, :2], lens), PIXELS, atol=1e-5)
    np.testing.assert_allclose(distort_points(rays[:, :2], K, lens), PIXELS, atol=1e-5)
    camera = CameraParams(np.eye(3), np.zeros(3), K, lens)
    np.testing.assert_allclose(cameras.project(camera, 4000 * rays), PIXELS, atol=1e-5)
    seen = camera.to_deltacamera().world_to_image((4000 * rays).astype(np.float32))
    np.testing.assert_allclose(seen, PIXELS, atol=2e-3)  # float32 at 1800 px


def test_four_coefficients_are_two_lenses_that_differ_by_ninety_pixels():
    meant, other = LENSES["four"], LENSES["fisheye, four"]
    assert meant.coefficients == other.coefficients and meant != other
    off = np.linalg.norm(distort_points(undistort_points(PIXELS, K, meant)[:, :2], K, other) - PIXELS, axis=1)
    np.testing.assert_allclose(off[1:], [30.7, 90.8], atol=0.1)
    assert CameraParams(np.eye(3), np.zeros(3), K, FOUR).lens == meant  # plain numbers are Brown-Conrady's


def test_a_fisheye_of_zeros_is_equidistant_and_no_pinhole():
    lens = LENSES["equidistant"]
    assert not lens.is_pinhole and Lens.brown_conrady(np.zeros(5)) == PINHOLE
    x = np.tan(np.radians([10, 40, 70]))
    seen = lens.distort(np.stack([x, np.zeros(3)], axis=1))[:, 0]
    np.testing.assert_allclose(seen, np.radians([10, 40, 70]), rtol=1e-9)  # radius = angle
    assert lens.valid_radius == np.inf


@pytest.mark.parametrize("name", LENSES)
def test_a_crop_shows_a_point_where_it_says(name):
    """A dot where the lens sees a joint is where the crop camera projects it."""
    lens = LENSES[name]
    camera = CameraParams(np.eye(3), np.zeros(3), K, lens, (0, -1, 0))
    pixel = PIXELS[1]
    joint = 3000 * undistort_points(pixel[None], K, lens)[0]
    y, x = np.mgrid[:1920, :1080]
    image = (255 * np.exp(-((x - pixel[0]) ** 2 + (y - pixel[1]) ** 2) / 200)).astype(np.uint8)
    crop = crop_camera(camera, np.array([720, 1300, 300, 400.0]), 200)
    seen = crop.K @ crop.to_camera(joint)
    shown = render(image, crop, 200).astype(float)
    v, u = np.mgrid[:200, :200]
    found = [(shown * u).sum() / shown.sum(), (shown * v).sum() / shown.sum()]
    np.testing.assert_allclose(found, seen[:2] / seen[2], atol=0.25)


def write_store(path, lenses) -> PoseStore:
    row = toy_row(np.random.default_rng(0), "3d", 160, 120)
    with PoseStoreWriter(path, name="toy", skeleton=skeleton("_a"), licence="CC0") as writer:
        for i, lens in enumerate(lenses):
            camera = CameraParams(row["camera"].R, row["camera"].optical_center_mm, row["camera"].K, lens)
            writer.add("test", image_key=f"{i}.jpg", **{**row, "camera": camera})
    return PoseStore(path)


def test_round_trips(tmp_path, caplog):
    store = pickle.loads(pickle.dumps(write_store(tmp_path / "store", LENSES.values())))
    for i, lens in enumerate(LENSES.values()):
        read = store.row("test", i).camera.lens
        assert read.model == lens.model
        np.testing.assert_allclose(read.coefficients, lens.coefficients, rtol=1e-7)  # float32 in the file
        camera = CameraParams(np.eye(3), np.zeros(3), K, lens)
        data = json.loads(json.dumps(plain_files.camera_to_json(camera)))
        assert plain_files.camera_from_json(data, "x").lens == lens
        row = rows.Row("test", "a.jpg", np.ones(4), camera, np.zeros((2, 3)))
        assert rows._from_json(json.loads(json.dumps(rows._to_json(row)))).camera.lens == lens
    assert not caplog.records
    plain = {k: data[k] for k in ("K", "R", "position_mm")} | {"distortion": FOUR}
    assert plain_files.camera_from_json(plain, "x").lens == LENSES["four"]


def test_labels_are_projected_through_the_lens_that_is_named(tmp_path):
    store = write_store(tmp_path / "store", [LENSES["four"], LENSES["fisheye, four"]])
    truth = truth_from_store(store, "test", with_2d=True)
    for i in range(2):
        camera = store.row("test", i).camera
        np.testing.assert_allclose(truth.poses2d_px[i], cameras.project(camera, store.row("test", i).coords), atol=1e-3)
    assert np.abs(truth.poses2d_px[0] - truth.poses2d_px[1]).max() > 0.01


def test_stores_of_before_are_read_as_before_with_one_warning(caplog):
    """In stores that do not name the model, four coefficients were a fisheye lens and any others Brown-Conrady."""
    with caplog.at_level(logging.WARNING):
        stores = [PoseStore(OLD / "old_3d") for _ in range(3)]
        flat = PoseStore(OLD / "old_2d")
    assert [r.getMessage().count("four coefficients are taken for OpenCV's fisheye") for r in caplog.records] == [1]
    assert flat.row("train", 0).camera is None
    lenses = [stores[0].row("train", i).camera.lens for i in range(3)] + [stores[0].row("valid", 0).camera.lens]
    assert [lens.model for lens in lenses] == ["pinhole", "brown_conrady", "fisheye", "brown_conrady"]
    np.testing.assert_allclose(lenses[2].coefficients, (0.1, -0.05, 0.02, 0.01), rtol=1e-7)
    assert [len(lens.coefficients) for lens in lenses] == [0, 5, 4, 8]
    row = stores[0].row("train", 1)
    assert (row.sequence, row.frame, row.person, row.image_path.exists()) == ("walk", 1, 1, True)


@pytest.mark.parametrize(
    ("model", "coefficients", "message"),
    [
        ("brown_conrady", (1, 2), "brown_conrady lens must have 4, 5, 8, 12 or 14 finite coefficients"),
        ("brown_conrady", (1, 2, 3, np.nan), "finite coefficients"),
        ("fisheye", (1, 2, 3, 4, 5), "fisheye lens must have 4 finite"),
        ("pinhole", (1,), "pinhole lens must have 0"),
        ("division", (1,), "no lens model 'division'; use one of: pinhole, brown_conrady, fisheye"),
        ("fisheye", "abcd", "finite coefficients"),
    ],
)
def test_wrong_lenses_are_refused_in_a_sentence(model, coefficients, message):
    with pytest.raises(UserError, match=message):
        Lens(model, coefficients)
