"""Rendered crops against OpenCV, the golden crops and invariants."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.inference import warping
from tests.inference import reference

EYE = np.eye(3, dtype=np.float32)


def render(image, intrinsics, crop_intrinsics, *, scale, size=64, antialias_factor=1, gamma=1.0, distortion=None):
    distortion = np.zeros(12, np.float32) if distortion is None else distortion
    one = lambda x: tf.constant(x, tf.float32)[tf.newaxis]  # noqa: E731
    return warping.render_crops(
        tf.constant(image)[tf.newaxis],
        tf.constant([0]),
        one(intrinsics),
        one(distortion),
        one(EYE),
        one(crop_intrinsics),
        one(scale),
        one(gamma),
        size=size,
        antialias_factor=tf.constant(antialias_factor),
    )[0].numpy()


def camera(focal, size):
    return np.array([[focal, 0, (size - 1) / 2], [0, focal, (size - 1) / 2], [0, 0, 1]], np.float32)


def smooth_image(size):
    y, x = np.mgrid[:size, :size] / size
    return (np.stack([x, y, (x + y) / 2], axis=-1) * 255).astype(np.uint8)


def test_full_view_at_original_size_is_the_image():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    found = render(image, camera(100, 64), camera(100, 64), scale=1.0)
    # The power law is steep at black: coordinates rounded by 1e-6 px already change it by 0.0023.
    np.testing.assert_allclose(found, image / 255, atol=4e-3)


@pytest.mark.parametrize("focal", [150.0, 77.0])
def test_homography_agrees_with_opencv(focal):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    found = render(image, camera(100, 64), camera(focal, 64), scale=1.0)
    linear = ((image / 255.0) ** 2.2).astype(np.float32)
    matrix = camera(focal, 64) @ np.linalg.inv(camera(100, 64))
    expected = cv2.warpPerspective(linear, matrix, (64, 64), flags=cv2.INTER_LINEAR)
    # OpenCV rounds coordinates to 1/32 px.
    np.testing.assert_allclose(found**2.2, expected, atol=0.03)


@pytest.mark.parametrize("scale, tolerance", [(0.5, 0.01), (0.25, 0.01), (0.1, 0.03)])
def test_reduced_levels_are_not_shifted(scale, tolerance):
    """A linear ramp keeps its values under every reduction, away from the border."""
    size = 400
    y, x = np.mgrid[:size, :size] / size
    image = (np.stack([x, y, (x + y) / 2], axis=-1) ** (1 / 2.2) * 255).round().astype(np.uint8)
    found = render(image, camera(500, size), camera(500 * scale, 32), size=32, scale=scale) ** 2.2
    grid = (np.arange(32) - 15.5) / scale + (size - 1) / 2
    inside = (grid > 20) & (grid < size - 20)
    np.testing.assert_allclose(found[:, inside, 0][10], (grid / size)[inside], atol=tolerance)
    np.testing.assert_allclose(found[inside][:, 10, 1], (grid / size)[inside], atol=tolerance)


@pytest.mark.parametrize("factor", [2, 3, 7])
def test_supersampling_keeps_smooth_images(factor):
    image = smooth_image(100)
    plain = render(image, camera(100, 100), camera(60, 64), scale=1.0)
    sampled = render(image, camera(100, 100), camera(60, 64), scale=1.0, antialias_factor=factor)
    inside = slice(8, -8)
    np.testing.assert_allclose(sampled[inside, inside], plain[inside, inside], atol=0.01)


def test_supersampling_removes_aliasing():
    """Columns of one pixel, seen at half size between the pyramid's levels, become a uniform half light."""
    image = np.zeros((128, 128, 3), np.uint8)
    image[:, ::2] = 255
    plain = render(image, camera(100, 128), camera(51, 60), size=60, scale=0.51)
    sampled = render(image, camera(100, 128), camera(51, 60), size=60, scale=0.51, antialias_factor=8)
    assert np.std(sampled[4:-4, 4:-4] ** 2.2) < 0.2 * np.std(plain[4:-4, 4:-4] ** 2.2)
    np.testing.assert_allclose(np.mean(sampled[4:-4, 4:-4] ** 2.2), 0.5, atol=0.02)


def test_lens_agrees_with_opencv():
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8), (0, 0), 2)
    lens = np.array([0.1, -0.05, 0.01, -0.02, 0.02, 0.05, -0.02, 0.01, 0.01, -0.01, 0.02, 0.01])
    found = render(image, camera(80, 96), camera(90, 64), scale=1.0, distortion=lens)
    maps = cv2.initUndistortRectifyMap(camera(80, 96), lens, EYE, camera(90, 64), (64, 64), cv2.CV_32FC1)
    linear = ((image / 255.0) ** 2.2).astype(np.float32)
    expected = cv2.remap(linear, *maps, cv2.INTER_LINEAR)
    np.testing.assert_allclose(found**2.2, expected, atol=0.01)


def test_golden_crops():
    """The reference's crops, at half resolution: one grey level is the rounding of the stored crop."""
    arrays = reference.ARRAYS
    people = [0, 0, 1, 1, 1]
    crops = warping.render_crops(
        tf.constant(arrays["images"]),
        tf.constant(people),
        tf.constant(arrays["intrinsics"][people]),
        tf.zeros([5, 12]),
        tf.constant(arrays["crops_nodist_R"][1]),
        tf.constant(arrays["crops_nodist_K"][1]),
        tf.constant(arrays["crops_nodist_box_scales"] * arrays["crops_aug_scales"][1]),
        tf.fill([5], arrays["crops_aug_gammas"][1]),
        size=reference.SIZE,
        antialias_factor=tf.constant(1),
    ).numpy()
    np.testing.assert_allclose(crops.mean((1, 2)), arrays["crops_nodist_mean"][1], atol=1e-3)


def test_behind_the_camera_is_black():
    image = np.full((32, 32, 3), 255, np.uint8)
    turned = np.diag([-1.0, 1.0, -1.0]).astype(np.float32)[np.newaxis]
    crop = warping.render_crops(
        tf.constant(image)[tf.newaxis],
        tf.constant([0]),
        tf.constant(camera(30, 32))[tf.newaxis],
        tf.zeros([1, 12]),
        tf.constant(turned),
        tf.constant(camera(30, 32))[tf.newaxis],
        tf.constant([1.0]),
        tf.constant([1.0]),
        size=32,
        antialias_factor=tf.constant(1),
    )
    assert float(tf.reduce_max(crop)) == 0


def test_only_what_is_seen_is_reduced_and_nothing_else_changes(monkeypatch):
    """Crops of several people, turned and reaching over the border, of a picture of an odd size."""
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (2, 401, 603, 3), np.uint8))
    turns = np.stack([cv2.Rodrigues(np.array(r))[0] for r in ([0.1, 0.2, 0.3], [0, -0.4, 0], [0.3, 0, 0], [0, 0.1, 0])])
    scales = np.float32([0.4, 0.2, 0.24, 1.0])
    crop_intrinsics = np.stack([camera(500 * s, 64) for s in scales])

    def crops():
        return warping.render_crops(
            images, tf.constant([1, 0, 1, 0]), np.stack([camera(500, 500)] * 4), np.zeros((4, 12), np.float32),
            turns.astype(np.float32), crop_intrinsics, scales, np.ones(4, np.float32),
            size=64, antialias_factor=tf.constant(2),
        ).numpy()  # fmt: skip

    found, regions = crops(), []
    whole = lambda *_: tf.constant([[0, 0, 603, 401]] * 2)  # noqa: E731
    of_seen = warping.seen_regions
    monkeypatch.setattr(warping, "seen_regions", lambda *a: regions.append(of_seen(*a)) or whole())
    np.testing.assert_array_equal(found, crops())
    (left, top, right, bottom) = regions[0].numpy().T
    assert ((right - left) * (bottom - top) < 0.8 * 603 * 401).any() and (right > left).all() and (bottom > top).all()
