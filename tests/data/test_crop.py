"""Crop cameras and rendering against the public reference (golden g4), deltacamera and their own invariants."""

import cv2
import numpy as np
import pytest

from metrabs_acae.data.crop import (
    crop_camera,
    crop_camera_2d,
    looking_rotation,
    pixels_per_source_pixel,
    render,
    visible_window,
)
from metrabs_acae.data.geometric_draw import GeometricDraw
from metrabs_acae.data.lens import Lens, distort_points
from metrabs_acae.data.records import CameraParams
from tests.golden import golden

LENSES = ("nodist", "dist5", "dist12", "fisheye")
CENTER_DRAW = GeometricDraw(shift=(0.03, -0.05), zoom=1.2, roll_rad=0.3)


@pytest.fixture(scope="module")
def g4():
    return golden("g4_camera")


def golden_camera(arrays, lens="nodist"):
    model = {"nodist": "pinhole", "fisheye": "fisheye"}.get(lens, "brown_conrady")
    lens = Lens(model, () if lens == "nodist" else arrays[lens])
    return CameraParams(*(arrays[k].astype(np.float64) for k in "RtK"), lens, np.array([0.0, 0, 1]))


def grey_levels(a, b):
    return np.abs(a.astype(np.float64) - b).mean()


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("box", range(4))
def test_crop_cameras_match_the_reference(g4, lens, box):
    crop = crop_camera(golden_camera(g4, lens), g4["boxes"][box], 256)
    name = f"crop_{lens}_box{box}"
    # The reference computes in float32: its rotations carry up to 6e-5 rad, its undistorted points 0.1 px.
    np.testing.assert_allclose(crop.R, g4[f"{name}_R"], atol=1e-4)
    np.testing.assert_allclose(crop.K, g4[f"{name}_K"], rtol=3e-4)
    points = crop.from_image(g4["points2d"])
    near = np.abs(g4[f"{name}_points"] - 127.5).max(axis=1) < 256
    assert np.abs(points - g4[f"{name}_points"])[near].max() < (0.1 if lens == "nodist" else 0.2)


@pytest.mark.parametrize("lens", LENSES)
def test_rendered_images_match_the_reference(g4, lens):
    crop = crop_camera(golden_camera(g4, lens), g4["boxes"][0], 256)
    for name, settings in (
        ("linear", {}),
        ("nearest", {"interpolation": cv2.INTER_NEAREST}),
        ("linear_aa2", {"antialias": 2}),
        ("linear_aa4", {"antialias": 4}),
    ):
        image = render(g4["image"], crop, 256, **settings)
        assert grey_levels(image, g4[f"crop_{lens}_box0_im_{name}"]) < 0.5


@pytest.mark.parametrize("lens", LENSES)
def test_agrees_with_deltacamera(g4, lens):
    deltacamera = pytest.importorskip("deltacamera")
    params = golden_camera(g4, lens)
    source = deltacamera.Camera(
        optical_center=params.optical_center_mm,
        rot_world_to_cam=params.R,
        intrinsic_matrix=params.K,
        distortion_coeffs=np.array(params.lens.coefficients) if params.lens.coefficients else None,
        world_up=params.world_up,
    )
    crop = crop_camera(params, g4["boxes"][1], 256, CENTER_DRAW)
    target = deltacamera.Camera(
        optical_center=params.optical_center_mm, rot_world_to_cam=crop.R, intrinsic_matrix=crop.K
    )
    inside = render(np.full((480, 640), 255, np.uint8), crop, 256)
    v, u = np.argwhere(inside == 255)[::997].T
    ours = np.stack([u, v], axis=1).astype(np.float64)
    in_image = deltacamera.reproject_image_points(ours.astype(np.float32), target, source).astype(np.float64)
    # deltacamera works in float32: 3e-5 px at coordinates of 500, grown by the zoom.
    np.testing.assert_allclose(crop.from_image(in_image), ours, atol=1e-3)


@pytest.mark.parametrize("lens", LENSES)
def test_points_survive_the_way_there_and_back_in_double_precision(g4, lens):
    params = golden_camera(g4, lens)
    crop = crop_camera(params, g4["boxes"][2], 256, CENTER_DRAW)
    points = np.random.default_rng(0).uniform(-10, 266, (50, 2))
    rays = np.concatenate([points, np.ones((50, 1))], axis=1) @ np.linalg.inv(crop.K).T @ crop.R @ params.R.T
    image = distort_points(rays[:, :2] / rays[:, 2:], params.K, params.lens)
    np.testing.assert_allclose(crop.from_image(image), points, atol=1e-3)


def test_augmented_3d_examples_match_the_reference():
    """The reference's random draws, recovered from its cameras, must give its images and joints."""
    arrays = golden("g4_loading")
    camera = golden_camera(arrays, "dist5")
    for name in ("test3d", "train3d_geom_seed0", "train3d_geom_seed1", "train3d_geom_seed2"):
        R = arrays[f"{name}_rot_to_world"].T.astype(np.float64)
        draw = recover_draw(arrays, camera, R, arrays[f"{name}_intrinsics"][0, 0])
        assert np.hypot(*draw.shift) <= 0.1 and 0.75 <= draw.zoom <= 1.25 and abs(draw.roll_rad) < np.deg2rad(20)
        crop = crop_camera(camera, arrays["bbox"], 256, draw)
        np.testing.assert_allclose(crop.R, R, atol=1e-6)
        joints = crop.to_camera(arrays["world_coords"])
        joints = joints[arrays["mirror_mapping"]] if draw.flip else joints
        valid = arrays[f"{name}_joint_validity_mask"]
        np.testing.assert_allclose(joints[valid], arrays[f"{name}_coords3d_true"][valid], atol=2e-3)
        assert grey_levels(render(arrays["image"], crop, 256), arrays[f"{name}_image"]) < 0.5


def recover_draw(arrays, camera, R, focal) -> GeometricDraw:
    flip = np.linalg.det(R) < 0
    R = R * [[-1], [1], [1]] if flip else R
    ray = (camera.R @ R[2])[None]
    center = distort_points(ray[:, :2] / ray[:, 2:], camera.K, camera.lens)[0]
    box = arrays["bbox"]
    shift = (center - box[:2] - box[2:] / 2) / box[2:].max()
    turned = R @ looking_rotation(R[2], camera.world_up).T
    plain = crop_camera(camera, box, 256, GeometricDraw(shift=tuple(shift)))
    return GeometricDraw(None, tuple(shift), focal / plain.K[0, 0], np.arctan2(turned[0, 1], turned[0, 0]), flip)


@pytest.mark.parametrize(("seed", "flip"), [(0, False), (1, True)])
def test_2d_examples_without_a_camera_match_the_reference(seed, flip):
    arrays = golden("g4_loading")
    name = f"train2d_nocam_seed{seed}"
    K, target = arrays[f"{name}_intrinsics_2d"], arrays[f"{name}_coords2d_true_2d"]
    joints = arrays["coords2d_in"].astype(np.float64)
    joints = joints[arrays["mirror_mapping"]] if flip else joints
    valid = arrays[f"{name}_joint_validity_mask_2d"] & np.isfinite(joints[:, 0])
    # The reference's draw, from the similarity that it applied to the joints.
    design = np.concatenate([joints[valid], np.ones((valid.sum(), 1))], axis=1)
    similarity = np.linalg.lstsq(design, target[valid], rcond=None)[0]
    roll = np.arctan2(-similarity[0, 1], similarity[1, 1])
    center = np.linalg.solve(similarity[:2].T, 127.5 - similarity[2])
    box = arrays["bbox"]
    shift = (center - box[:2] - box[2:] / 2) / box[2:].max()
    zoom = np.sqrt(abs(np.linalg.det(similarity[:2]))) * box[2:].max() / 256
    crop = crop_camera_2d((640, 480), box, 256, GeometricDraw(None, tuple(shift), zoom, roll, flip))
    np.testing.assert_allclose(crop.K, K, atol=0.05)
    np.testing.assert_allclose(crop.from_image(joints[valid]), target[valid], atol=0.01)
    assert grey_levels(render(arrays["image"], crop, 256), arrays[f"{name}_image_2d"]) < 60  # appearance differs


@pytest.mark.parametrize("lens", LENSES)
def test_image_joints_and_mask_move_together(g4, lens):
    """A bright dot drawn at a joint's pixel lies where the crop camera projects the joint, flipped or not."""
    params = golden_camera(g4, lens)
    joint = params.R.T @ np.array([100.0, 150, 4000]) + params.optical_center_mm
    ray = (params.R @ (joint - params.optical_center_mm))[None]
    pixel = distort_points(ray[:, :2] / ray[:, 2:], params.K, params.lens)[0]
    y, x = np.mgrid[:480, :640]
    image = (255 * np.exp(-((x - pixel[0]) ** 2 + (y - pixel[1]) ** 2) / 50)).astype(np.uint8)
    for flip in (False, True):
        draw = GeometricDraw(None, (0.05, 0.02), 0.9, 0.3, flip)
        crop = crop_camera(params, np.array([pixel[0] - 90, pixel[1] - 120, 180, 240]), 200, draw)
        seen = crop.K @ crop.to_camera(joint)
        image_crop = render(image, crop, 200).astype(np.float64)
        v, u = np.mgrid[:200, :200]
        found = np.array([(image_crop * u).sum(), (image_crop * v).sum()]) / image_crop.sum()
        # The centroid of a rounded 8-bit dot is good to a tenth of a pixel.
        np.testing.assert_allclose(found, seen[:2] / seen[2], atol=0.15)
        np.testing.assert_allclose(crop.from_image(pixel[None])[0], seen[:2] / seen[2], atol=1e-3)


def test_properties_of_the_crop_camera(g4):
    params, box = golden_camera(g4), g4["boxes"][0]
    crop = crop_camera(params, box, 256)
    center = box[:2] + box[2:] / 2
    np.testing.assert_allclose(crop.from_image(center[None])[0], [127.5, 127.5], atol=1e-9)
    assert abs(crop.R[0] @ params.world_up) < 1e-12  # upright: x is horizontal
    half = crop_camera(params, box, 256, principal_point=128.0)
    np.testing.assert_allclose(half.K[:2, 2], 128)
    long_side = center + [[0, -box[3] / 2], [0, box[3] / 2]]
    np.testing.assert_allclose(np.linalg.norm(np.diff(crop.from_image(long_side), axis=0)), 256, atol=1e-6)
    zoomed = crop_camera(params, box, 256, GeometricDraw(zoom=1.2))
    np.testing.assert_allclose(zoomed.K[0, 0], 1.2 * crop.K[0, 0])
    flipped = crop_camera(params, box, 256, GeometricDraw(flip=True))
    points = g4["points2d"][:5]
    mirrored = crop.from_image(points) * [-1, 1] + [255, 0]
    np.testing.assert_allclose(flipped.from_image(points), mirrored, atol=1e-6)


def test_reduced_images_give_the_same_crop(g4):
    """A quarter-scale image gives the crop of the full one, up to the blur: pixel centres are kept."""
    y, x = np.mgrid[:480, :640]
    image = (127 + 60 * np.sin(x / 40) + 60 * np.cos(y / 30)).astype(np.uint8)
    small = cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA)
    for lens in LENSES:
        crop = crop_camera(golden_camera(g4, lens), np.array([200, 100, 200, 300.0]), 64)
        full, reduced = render(image, crop, 64), render(small, crop, 64, reduction=4)
        assert grey_levels(full[8:-8, 8:-8], reduced[8:-8, 8:-8]) < 1


def test_degenerate_cameras(g4):
    params = golden_camera(g4)
    for direction in ([0, 0, 1.0], [0, 0, -1.0]):  # straight up and down
        R = looking_rotation(np.array(direction), np.array([0, 0, 1.0]))
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose([np.linalg.det(R), *R[2]], [1, *direction])
    with pytest.raises(ValueError, match="no extent"):
        crop_camera(params, np.array([10, 10, 0, 0.0]), 64)
    wide = CameraParams(params.R, params.optical_center_mm, np.array([[1.0, 0, 320], [0, 1, 240], [0, 0, 1]]))
    crop = crop_camera(wide, np.array([0, 0, 640, 480.0]), 64)  # a lens of almost 180 degrees still works
    assert np.isfinite(crop.K).all()


def test_pixels_beyond_the_lens_polynomial_are_black():
    lens = Lens.brown_conrady([-0.4, 0, 0, 0])
    limit = lens.valid_radius
    assert abs(limit - np.sqrt(1 / 1.2)) < 0.01  # d/dr (r - 0.4 r^3) = 0
    params = CameraParams(np.eye(3), np.zeros(3), np.array([[200.0, 0, 250], [0, 200, 250], [0, 0, 1]]), lens)
    crop = crop_camera(params, np.array([200, 200, 100, 100.0]), 128, GeometricDraw(zoom=0.2))
    image = render(np.full((501, 501), 255, np.uint8), crop, 128)
    v, u = np.mgrid[:128, :128]
    radius = np.hypot(u - 63.5, v - 63.5) / crop.K[0, 0]
    assert (image[radius > limit * 1.03] == 0).all() and (image[radius < limit * 0.9] == 255).all()


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("box", [(40, 60, 60, 300), (500, 300, 130, 70)])
def test_the_scale_is_the_derivative_at_the_centre_of_the_box(g4, lens, box):
    camera = golden_camera(g4, lens)
    camera.K[0, 1], camera.K[1, 1] = 7.0, 1.2 * camera.K[1, 1]
    crop = crop_camera(camera, np.array(box, np.float64), 256, CENTER_DRAW)
    center, step = np.array([box[0] + box[2] / 2, box[1] + box[3] / 2]), 1e-3
    around = crop.from_image(center + step * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]))
    columns = (around[[0, 2]] - around[[1, 3]]) / (2 * step)
    expected = np.sqrt(abs(np.linalg.det(columns)))
    # Lenses are differenced over a whole pixel there.
    found = pixels_per_source_pixel(crop, np.array(box, np.float64))
    assert found == pytest.approx(expected, rel=1e-6 if lens == "nodist" else 5e-3)


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("box", [(40, 60, 60, 300), (500, 300, 130, 70), (-500, -900, 800, 800)])
@pytest.mark.parametrize("size", [16, 96])
def test_the_window_holds_what_the_crop_shows_and_little_more(g4, lens, box, size):
    crop = crop_camera(golden_camera(g4, lens), np.array(box, np.float64), size, CENTER_DRAW)
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3) @ np.array(crop.to_source).T
    radius = np.hypot(*(rays[:, :2] / rays[:, 2:]).T).max()
    if radius > crop.source.lens.valid_radius or rays[:, 2].min() <= 0:  # the lens folds over, or it is behind
        assert visible_window(crop, size) is None
        return
    points = distort_points(rays[:, :2] / rays[:, 2:], crop.source.K, crop.source.lens)
    left, top, right, bottom = visible_window(crop, size)
    for low, high, pixels in ((left, right, points[:, 0]), (top, bottom, points[:, 1])):
        # Each pixel's neighbours belong to it, and where borders are curved a bit more.
        assert pixels.min() - 4 <= low <= pixels.min() - 1 and pixels.max() + 1 <= high <= pixels.max() + 5


@pytest.mark.parametrize("lens", ["nodist", "dist5"])
def test_what_lies_beside_the_camera_has_no_window(g4, lens):
    crop = crop_camera(golden_camera(g4, lens), np.array([100.0, 100, 300, 300]), 64, GeometricDraw(zoom=0.005))
    assert visible_window(crop, 64) is None
