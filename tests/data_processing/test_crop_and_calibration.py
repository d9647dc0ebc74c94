from dataclasses import replace

import numpy as np
import pytest

from data_processing import calibration, cameras, efficient_crop, masks
from metrabs_acae.data.crop import looking_rotation
from metrabs_acae.data.lens import Lens

SIZE = (640, 480)
K = cameras.intrinsics(600, 590, 318, 243)
DISTORTION = (-0.2, 0.2, 0.001, -0.001, -0.05)


FISHEYE = (0.1, -0.05, 0.02, 0.01)


def camera_at(center=(300.0, -4000, 1500), distortion=None):
    R = looking_rotation(np.array([100.0, 0, 900]) - center, np.array([0, 0, 1.0]))
    camera = cameras.make_camera(R, center, K, distortion=distortion)
    return replace(camera, lens=Lens.fisheye(FISHEYE)) if distortion == FISHEYE else camera


def people(n=30, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3)) * [300, 300, 500] + [100, 0, 900]


@pytest.mark.parametrize("distortion", [None, DISTORTION, FISHEYE])
def test_project_agrees_with_deltacamera(distortion):
    camera, points = camera_at(distortion=distortion), people()
    expected = camera.to_deltacamera().world_to_image(points.astype(np.float32))
    # deltacamera computes in float32: 1e-7 of 4000 mm and 600 px
    np.testing.assert_allclose(cameras.project(camera, points), expected, atol=5e-3)


def test_four_coefficients_of_raw_data_are_not_taken_for_a_fisheye_lens():
    lens = cameras.make_camera(np.eye(3), np.zeros(3), K, distortion=DISTORTION[:4]).lens
    assert lens == Lens.brown_conrady([*DISTORTION[:4], 0])


def test_points_behind_the_camera_and_missing_ones_are_nan():
    camera = camera_at()
    points = np.array([[100.0, 0, 900], [100, -9000, 900], [np.nan, 0, 0]])
    assert np.isfinite(cameras.project(camera, points)).all(-1).tolist() == [True, False, False]


@pytest.mark.parametrize("distortion", [None, DISTORTION, FISHEYE])
def test_the_crop_shows_the_same_world(distortion):
    camera = camera_at(distortion=distortion)
    # a picture with a bright blob where a point is seen
    point = np.array([[150.0, 0, 1000]])
    x, y = cameras.project(camera, point)[0]
    yy, xx = np.mgrid[: SIZE[1], : SIZE[0]]
    blob = np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / 18)
    image = np.repeat((255 * blob)[..., None], 3, 2).astype(np.uint8)
    plan = efficient_crop.plan_crop(camera, SIZE, [x - 40, y - 90, 80, 180])
    crop = efficient_crop.render_crop(image, plan)
    assert crop.shape[:2] == plan.size_wh[::-1] and crop.dtype == np.uint8
    expected = cameras.project(plan.camera, point)[0]
    weight = (crop[..., 0].astype(float) / 255) ** 2
    found = [(weight * g).sum() / weight.sum() for g in np.mgrid[: crop.shape[0], : crop.shape[1]][::-1]]
    np.testing.assert_allclose(found, expected, atol=0.15)  # 8 bits and resampling of a blob of 3 px
    seen_box = plan.box_ltwh_px
    np.testing.assert_allclose(seen_box[:2] + seen_box[2:] / 2, expected, atol=2)


def test_the_person_becomes_at_most_384_px_and_small_ones_grow_by_a_fifth():
    camera = cameras.make_camera(np.eye(3), np.zeros(3), K, world_up=(0, -1, 0))
    large = efficient_crop.plan_crop(camera, (4000, 3000), [300, 200, 500, 900])
    assert max(large.box_ltwh_px[2:]) == pytest.approx(384, abs=0.1)
    small = efficient_crop.plan_crop(camera, SIZE, [318 - 20, 243 - 40, 40, 80])
    assert small.scale == pytest.approx(1.2)


def test_the_crop_leaves_room_for_every_augmentation():
    camera = cameras.make_camera(
        np.eye(3), np.zeros(3), cameras.intrinsics(9000, 9000, 2000, 2000), world_up=(0, -1, 0)
    )
    plan = efficient_crop.plan_crop(camera, (4000, 4000), [1900, 1800, 200, 400])
    side = np.cos(np.pi / 6) * 400 + np.sin(np.pi / 6) * 200
    expected = side * 1.1 / 0.85**2 * plan.scale
    np.testing.assert_allclose(plan.size_wh, expected, atol=2)
    partial = efficient_crop.plan_crop(camera, (4000, 4000), [1900, 1800, 200, 400], extra=1.8)
    np.testing.assert_allclose(partial.size_wh, 1.8 * expected, rtol=0.01)


def test_the_crop_ends_where_the_frame_ends_unless_told_otherwise():
    camera = cameras.make_camera(np.eye(3), np.zeros(3), K, world_up=(0, -1, 0))
    box = [0, 100, 100, 300]
    inside = efficient_crop.plan_crop(camera, SIZE, box)
    everything = efficient_crop.plan_crop(camera, SIZE, box, whole_field=True)
    assert inside.size_wh[0] < everything.size_wh[0]


def test_unusable_boxes_raise():
    camera = camera_at()
    for box in ([10, 10, 0, 50], [np.nan, 0, 5, 5], [5000, 5000, 10, 10]):
        with pytest.raises(ValueError):
            efficient_crop.plan_crop(camera, SIZE, box)
            efficient_crop.plan_unturned_crop(camera, SIZE, box)


def test_the_plain_cut_out_keeps_the_direction():
    camera = camera_at()
    points = people()
    plan = efficient_crop.plan_unturned_crop(camera, SIZE, [280, 100, 100, 250])
    np.testing.assert_allclose(plan.camera.R, camera.R, atol=1e-12)
    before, after = cameras.project(camera, points), cameras.project(plan.camera, points)
    np.testing.assert_allclose(after - after[0], (before - before[0]) * plan.scale, atol=1e-6)
    assert plan.scale == 1.0


def test_a_mask_follows_its_picture():
    camera = camera_at()
    mask = np.zeros(SIZE[::-1], bool)
    mask[150:330, 280:360] = True
    plan = efficient_crop.plan_crop(camera, SIZE, [280, 150, 80, 180])
    for form in (mask, masks.encode(mask)):
        crop = masks.decode(efficient_crop.render_mask(form, plan))
        np.testing.assert_allclose(masks.box_of(crop), plan.box_ltwh_px, atol=3)


def test_intrinsics_from_pairs_are_exact():
    points = cameras.to_camera(camera_at(), people())
    pixels = cameras.project(camera_at(), people())
    np.testing.assert_allclose(calibration.fit_intrinsics(points, pixels), K, atol=1e-6)


def test_lens_from_pairs():
    camera = camera_at(distortion=DISTORTION)
    world = people(300) * [3, 1, 1]
    K_found, distortion = calibration.fit_lens(cameras.to_camera(camera, world), cameras.project(camera, world), SIZE)
    found = cameras.make_camera(camera.R, camera.optical_center_mm, K_found, distortion=distortion)
    assert calibration.reprojection_error(found, world, cameras.project(camera, world)).max() < 0.01


def test_pose_from_pairs_and_from_pairs_of_which_some_are_wrong():
    camera, world = camera_at(), people(40)
    pixels = cameras.project(camera, world)
    exact = calibration.fit_pose(world, pixels, K)
    np.testing.assert_allclose(exact.optical_center_mm, camera.optical_center_mm, atol=1e-3)
    rng = np.random.default_rng(0)
    pixels[:8] += rng.normal(size=(8, 2)) * 200
    robust = calibration.fit_pose_robust(world, pixels, K, rng=rng)
    np.testing.assert_allclose(robust.optical_center_mm, camera.optical_center_mm, atol=1e-2)
    assert calibration.fit_pose_robust(world[:5], pixels[:5], K, rng=rng) is None
    with pytest.raises(ValueError, match="fewer than 6"):
        calibration.fit_pose(world[:5], pixels[:5], K)


def test_field_of_view_from_pairs():
    focal = 640 / 2 / np.tan(np.radians(52) / 2)
    camera = cameras.make_camera(
        camera_at().R, camera_at().optical_center_mm, cameras.intrinsics(focal, focal, 320, 240)
    )
    found = calibration.fit_field_of_view(people(), cameras.project(camera, people()), SIZE)
    assert found.K[0, 0] == pytest.approx(focal, rel=1e-3)
