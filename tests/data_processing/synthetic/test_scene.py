"""Rendered examples: determinism, projection, masks, labels."""

import cv2
import numpy as np
import pytest
import rlemasklib

from data_processing.synthetic import datasets, labels, render, scene
from data_processing.synthetic.rigs import RIGS, Camera, sample_camera

SEED = 3


@pytest.fixture(scope="module", params=list(datasets.STORES))
def example(request):
    spec = datasets.STORES[request.param]
    split = spec.splits[-1]
    return spec, split, *scene.make_example(spec, split, 0, SEED)


def pixels(row):
    """The row's joints in the image by OpenCV's camera model."""
    camera = row.camera
    points = (row.coords - camera.optical_center_mm) @ camera.R.T
    distortion = np.array(camera.lens.coefficients or np.zeros(5))
    return cv2.projectPoints(points[:, None], np.zeros(3), np.zeros(3), camera.K, distortion)[0][:, 0]


def test_examples_are_a_function_of_seed_and_index(example):
    spec, split, image, rows = example
    again, rows_again = scene.make_example(spec, split, 0, SEED)
    np.testing.assert_array_equal(image, again)
    for row, other in zip(rows, rows_again, strict=True):
        np.testing.assert_array_equal(row.coords, other.coords)
        assert row.mask == other.mask
    for index, seed in ((1, SEED), (0, SEED + 1)):
        different, _ = scene.make_example(spec, split, index, seed)
        assert different.shape != image.shape or (different != image).any()


def test_labels_have_the_store_s_shape_and_units(example):
    spec, split, image, rows = example
    assert image.dtype == np.uint8 and 200 <= min(image.shape[:2]) and max(image.shape[:2]) <= 448
    for row in rows:
        assert row.coords.shape == (spec.skeleton.n_joints, 3 if spec.kind == "3d" else 2)
        if spec.kind == "2d":
            assert row.camera is None
            continue
        valid = row.coords[np.isfinite(row.coords).all(axis=1)]
        extent = np.ptp(valid, axis=0).max()
        assert 500 < extent < 2600  # millimetres
        assert valid[:, 2].min() > -60  # above the floor, but for label noise
        if split != "train":
            assert np.isfinite(row.coords).all()


def test_joints_lie_in_the_box_and_the_mask_is_the_person(example):
    spec, split, image, rows = example
    for row in rows:
        points = row.coords if spec.kind == "2d" else pixels(row)
        mask = rlemasklib.decode(row.mask)
        assert mask.shape == image.shape[:2]
        x, y, w, h = row.box_ltwh_px
        inside = mask.astype(bool)
        ys, xs = np.nonzero(inside)
        slack = 0.08 * max(w, h) + 1  # boxes of training examples are jittered
        assert xs.min() > x - slack and xs.max() < x + w + slack
        assert ys.min() > y - slack and ys.max() < y + h + slack
        points = points[np.isfinite(points).all(axis=1)]
        in_image = ((points > 2) & (points < np.array(image.shape[1::-1]) - 3)).all(axis=1)
        points = points[in_image]
        near_box = ((points > (x - slack, y - slack)) & (points < (x + w + slack, y + h + slack))).all(axis=1)
        assert near_box.mean() > 0.9
        if split == "test" and len(rows) == 1 and len(points) and inside.sum() > 0.25 * w * h:
            # Joints are inside the body, so they project onto it unless something is in front.
            dilated = cv2.dilate(inside.astype(np.uint8), np.ones((9, 9), np.uint8))
            on_mask = dilated[points[:, 1].round().astype(int), points[:, 0].round().astype(int)]
            assert on_mask.mean() > 0.6


def test_people_differ_from_the_background():
    spec = datasets.STORES["synthetic-h36m"]
    differences = []
    for index in range(5):
        image, rows = scene.make_example(spec, "valid", index, SEED)
        mask = rlemasklib.decode(rows[0].mask).astype(bool)
        ring = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool) & ~mask
        differences.append(np.abs(image[mask].mean(axis=0) - image[ring].mean(axis=0)).max())
    assert np.median(differences) > 10  # of 255


def test_left_and_right_in_the_picture():
    """Who faces the camera has the left shoulder on the picture's right, who turns the back, on its left."""
    spec = datasets.STORES["synthetic-h36m-test"]
    seen = set()
    for index in range(12):
        _, rows = scene.make_example(spec, "test", index, SEED)
        names = spec.skeleton.joint_names
        points = (rows[0].coords - rows[0].camera.optical_center_mm) @ rows[0].camera.R.T
        left, right, nose_side, neck = (points[names.index(f"{n}_h36m")] for n in ("lsho", "rsho", "head", "neck"))
        if abs(left[0] - right[0]) < 100:
            continue
        facing = nose_side[2] < neck[2] - 30  # H36M's head joint lies in front of the neck
        away = nose_side[2] > neck[2] + 30
        if facing or away:
            seen.add(facing)
            assert (left[0] > right[0]) == facing
    assert seen


def test_training_labels_are_noisy_mostly_along_the_ray():
    spec = datasets.STORES["synthetic-aist"]
    rng = np.random.default_rng(0)
    camera, _ = sample_camera(rng, spec.rig, np.array([0, 0, 900.0]))
    camera = camera.cropped(0, 0, 1.0, (1920, 1080))
    exact = np.tile(np.array([[0, 0, 900.0]]), (spec.skeleton.n_joints, 1))
    noisy = np.array([labels.noisy(rng, spec, camera, exact, np.eye(3)) for _ in range(400)])
    ray = exact[0] - camera.center_mm
    ray /= np.linalg.norm(ray)
    error = noisy - np.nanmean(noisy, axis=0)
    along = error @ ray
    assert np.nanstd(along) == pytest.approx(spec.noise.depth_mm, rel=0.1)
    across = np.linalg.norm(error - along[..., None] * ray, axis=-1) / np.sqrt(2)
    assert np.sqrt(np.nanmean(across**2)) == pytest.approx(spec.noise.plane_mm, rel=0.1)
    constant = np.nanmean(noisy, axis=0) - exact
    assert np.std(constant) == pytest.approx(spec.noise.offset_mm, rel=0.5)


def test_several_people_are_separate_rows():
    spec = datasets.STORES["synthetic-mupots-test"]
    counts = []
    for index in range(4):
        _, rows = scene.make_example(spec, "test", index, SEED)
        counts.append(len(rows))
        masks = [rlemasklib.decode(r.mask).astype(int) for r in rows]
        assert np.sum(masks, axis=0).max() <= 1  # each pixel is one person's
        assert len({r.person for r in rows}) == len(rows)
    assert max(counts) >= 2


@pytest.mark.parametrize("rig", list(RIGS))
def test_camera_projection_agrees_with_opencv(rig):
    rng = np.random.default_rng(1)
    target = np.array([200.0, -300, 1000])
    camera, _ = sample_camera(rng, rig, target)
    points = target + rng.normal(0, 300, (40, 3))
    expected = cv2.projectPoints(
        ((points - camera.center_mm) @ camera.R.T)[:, None], np.zeros(3), np.zeros(3), camera.K, camera.distortion
    )[0][:, 0]
    projected, depth = camera.project(points)
    np.testing.assert_allclose(projected, expected, atol=2e-3)  # px, float32 result
    assert (depth > 0).all()
    cropped = camera.cropped(100.5, 50, 0.25, (64, 64))
    # Pixel centres are integers: the region's corner (100.5, 50) is the corner (-0.5, -0.5) of the crop.
    np.testing.assert_allclose(cropped.project(points)[0], (expected + 0.5 - (100.5, 50)) * 0.25 - 0.5, atol=2e-3)


def test_the_nearer_surface_wins_and_back_faces_are_hidden():
    triangle = np.array([[0, 0], [0, 20], [20, 0]], np.float32)
    zbuffer = np.full((20, 20), render.FAR, np.float32)
    faces, meshes = np.zeros((20, 20), np.int32), np.full((20, 20), render.NOBODY, np.uint8)
    front, back = np.array([[0, 1, 2]], np.int32), np.array([[0, 2, 1]], np.int32)
    depth = np.full(3, 1000, np.float32)
    drawn = render.rasterize(triangle, depth, front, 0, True, zbuffer, faces, meshes)
    assert drawn == (meshes == 0).sum() > 150
    render.rasterize(triangle, depth + 500, front, 1, True, zbuffer, faces, meshes)
    assert not (meshes == 1).any()
    render.rasterize(triangle, depth - 500, back, 2, True, zbuffer, faces, meshes)
    assert not (meshes == 2).any()
    render.rasterize(triangle, depth - 500, front, 3, True, zbuffer, faces, meshes)
    assert (meshes == 3).sum() == drawn
    np.testing.assert_allclose(zbuffer[meshes == 3], 500, rtol=1e-5)


def test_cropping_a_camera_keeps_the_lens():
    camera = Camera(np.eye(3), np.zeros(3), np.array([[900.0, 0, 500], [0, 900, 400], [0, 0, 1]]), np.zeros(5), (9, 9))
    assert camera.cropped(10, 20, 2, (4, 4)).K[0, 0] == 1800
