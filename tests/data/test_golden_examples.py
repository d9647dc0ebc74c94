"""Whole loaded examples of the public reference (golden g4_loading), reproduced by scripting its random draws.

The reference gives each part of the loading a generator of its own, and draws from it in the order followed here.
Pixels are compared in grey levels: both sides round, the reference in OpenCV 4.9.
"""

import numpy as np
import pytest

from metrabs_acae.data.augmentation.background import BackgroundDraw, replace_background
from metrabs_acae.data.augmentation.color import OPERATIONS, ColorDraw, adjust_color
from metrabs_acae.data.augmentation.geometry import draw_box_part
from metrabs_acae.data.augmentation.occlusion import ObjectDraw, draw_erasing, erase, paste_objects
from metrabs_acae.data.crop import crop_camera, render
from metrabs_acae.data.geometric_draw import GeometricDraw
from tests.data.test_crop import golden_camera, grey_levels
from tests.golden import golden

SEEDS = range(3)


@pytest.fixture(scope="module")
def g4():
    return golden("g4_loading")


def child(rng):
    return np.random.default_rng(rng.integers(0, 2**32 - 1))


def children(seed, names):
    rng = np.random.default_rng(seed)
    return {name: child(rng) for name in names}


def generators_3d(seed):
    return children(seed, ("appearance", "background", "geometry", "partial"))


def scripted_geometry(rng, part=None):
    angle, radius, zoom, roll, flip = rng.random(5)
    angle, radius = (2 * angle - 1) * np.pi, 0.1 * np.sqrt(radius)
    shift = (radius * np.cos(angle), radius * np.sin(angle))
    return GeometricDraw(part, shift, 0.75 + zoom / 2, np.deg2rad(40 * roll - 20), flip < 0.5)


def scripted_background(rng):
    rng.random()
    rng.integers(0, 1)
    zoom, angle, radius = rng.uniform(1.2, 1.5), rng.uniform(-np.pi, np.pi), 0.1 * np.sqrt(rng.random())
    return BackgroundDraw(0, zoom, (radius * np.cos(angle), radius * np.sin(angle)))


def scripted_color(rng):
    order = [0, 1, 2, 3]
    rng.shuffle(order)
    ranges = ((-0.125, 0.125), (0.5, 1.5), (-72, 72), (0.5, 1.5))
    drawn = {i: rng.uniform(*ranges[i]) for i in order}
    return ColorDraw(*(drawn[i] for i in range(4)), tuple(OPERATIONS[i] for i in order))


def scripted_objects(rng):
    return tuple(
        ObjectDraw(int(rng.integers(0, 4)), rng.uniform(0.2, 1), tuple(rng.uniform(0, 256, 2) / 256))
        for _ in range(rng.integers(1, 7))
    )


def occluders(g4):
    opacity = [np.rint(255 * g4[f"occluder{i}_mask"]).astype(np.uint8) for i in range(5)]
    return [np.dstack([g4[f"occluder{i}_im"], opacity[i]]) for i in range(5)]


def assert_same_camera(g4, name, crop):
    np.testing.assert_allclose(crop.R, g4[f"{name}_rot_to_world"].T, atol=1e-4)  # the reference's float32
    np.testing.assert_allclose(crop.K, g4[f"{name}_intrinsics"], rtol=3e-4)
    joints = crop.to_camera(g4["world_coords"].astype(np.float64))
    joints = joints[g4["mirror_mapping"]] if crop.flip else joints
    valid = g4[f"{name}_joint_validity_mask"]
    np.testing.assert_allclose(joints[valid], g4[f"{name}_coords3d_true"][valid], atol=0.2)  # 1e-4 rad at 4 m, halved


@pytest.mark.parametrize("seed", SEEDS)
def test_partial_visibility(g4, seed):
    rng = generators_3d(seed)
    rng["partial"].random()
    draw = scripted_geometry(rng["geometry"], draw_box_part(rng["partial"]))
    crop = crop_camera(golden_camera(g4, "dist5"), g4["bbox"], 256, draw)
    assert_same_camera(g4, f"train3d_pv_seed{seed}", crop)
    assert grey_levels(render(g4["image"], crop, 256), g4[f"train3d_pv_seed{seed}_image"]) < 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_background(g4, seed):
    crop = crop_camera(golden_camera(g4, "dist5"), g4["bbox"], 256)
    image, mask = (render(x, crop, 256) for x in (g4["image"], 255 * (g4["mask"] > 0).astype(np.uint8)))
    draw = scripted_background(generators_3d(seed)["background"])
    ours = replace_background(image, mask, g4["background0"], draw)
    assert_same_camera(g4, f"train3d_bg_seed{seed}", crop)
    assert grey_levels(ours, g4[f"train3d_bg_seed{seed}_image"]) < 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_everything(g4, seed):
    """Seed 0 draws a background, 1 objects, 2 a background and erasing; all draw geometry and colour."""
    name, rng = f"train3d_all_seed{seed}", generators_3d(seed)
    crop = crop_camera(golden_camera(g4, "dist5"), g4["bbox"], 256, scripted_geometry(rng["geometry"]))
    assert_same_camera(g4, name, crop)
    occlusion, color = child(rng["appearance"]), scripted_color(child(rng["appearance"]))
    occlusion.integers(0, 2)
    occlusion.random()
    image, mask = (render(x, crop, 256) for x in (g4["image"], 255 * (g4["mask"] > 0).astype(np.uint8)))
    if seed != 1:
        image = replace_background(image, mask, g4["background0"], scripted_background(rng["background"]))
    if seed == 1:
        image = paste_objects(image, occluders(g4), scripted_objects(occlusion))
    ours, compared = adjust_color(image, color), np.ones((256, 256), bool)
    if seed == 2:
        erased = erase(ours, draw_erasing(occlusion))
        compared = (erased == ours).all(axis=-1)  # the noise itself is free
        assert 0.05 < 1 - compared.mean() < 0.4
    assert grey_levels(ours[compared], g4[f"{name}_image"][compared]) < 0.5


@pytest.mark.parametrize("seed", range(2))
def test_2d_examples_with_a_camera(g4, seed):
    """They take the way of the 3D ones; the labels are pixels."""
    name = f"train2d_cam_seed{seed}"
    draw = scripted_geometry(children(seed, ("appearance", "geometry", "partial", "background"))["geometry"])
    crop = crop_camera(golden_camera(g4, "dist5"), g4["bbox"], 256, draw)
    np.testing.assert_allclose(crop.K, g4[f"{name}_intrinsics_2d"], rtol=3e-4)
    joints = crop.from_image(np.nan_to_num(g4["coords2d_in"].astype(np.float64)))
    joints = joints[g4["mirror_mapping"]] if crop.flip else joints
    valid = g4[f"{name}_joint_validity_mask_2d"]
    # Undistorted in float32 by the reference: 0.2 px as for its camera.
    np.testing.assert_allclose(joints[valid], g4[f"{name}_coords2d_true_2d"][valid], atol=0.2)
    assert grey_levels(render(g4["image"], crop, 256), g4[f"{name}_image_2d"]) < 0.5
