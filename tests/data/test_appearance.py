"""Appearance augmentation against the public reference's scripted and seeded draws (golden g4)."""

import cv2
import numpy as np
import pytest

from metrabs_acae.data.augmentation import pictures
from metrabs_acae.data.augmentation.background import Background, BackgroundDraw, render_mask, replace_background
from metrabs_acae.data.augmentation.color import OPERATIONS, ColorDraw, adjust_color
from metrabs_acae.data.augmentation.occlusion import ObjectDraw, draw_erasing, erase, paste_objects
from metrabs_acae.data.color_fix import adjust_gamma, fix_colors, white_balance
from metrabs_acae.data.crop import crop_camera
from metrabs_acae.errors import UserError
from tests.data.stores import toy_row
from tests.golden import golden


@pytest.fixture(scope="module")
def g4():
    return golden("g4_appearance")


def difference(a, b):
    return np.abs(a.astype(np.float64) - b)


def test_color_in_all_24_orders(g4):
    for key in (k for k in g4 if k.startswith("color_perm")):
        order = tuple(OPERATIONS[int(digit)] for digit in key.removeprefix("color_perm"))
        ours = adjust_color(g4["image"], ColorDraw(0.1, 1.4, 50, 0.7, order))
        # Both work in float32; at most the last digit rounds differently.
        assert difference(ours, g4[key]).mean() < 0.2
        assert difference(ours, g4[key]).max() <= 1


def test_neutral_color_changes_nothing_much(g4):
    image = adjust_color(g4["image"], ColorDraw(0, 1, 0, 1))
    assert difference(image, g4["image"]).max() <= 1  # cut-off decimals
    turned = adjust_color(g4["image"], ColorDraw(0, 1, 360, 1, ("hue",)))
    np.testing.assert_array_equal(turned, adjust_color(g4["image"], ColorDraw(0, 1, 0, 1, ("hue",))))


def test_fixed_corrections(g4):
    image = g4["image"]
    np.testing.assert_array_equal(adjust_gamma(image, 0.67), g4["gamma_0.67"])
    np.testing.assert_array_equal(white_balance(image, 110, 145), g4["white_balance_110_145"])
    both = {"gamma": 0.67, "white_balance": [110, 145], "sequences": ["TS1"]}
    np.testing.assert_array_equal(fix_colors(image, both, "TS1"), white_balance(g4["gamma_0.67"], 110, 145))
    assert fix_colors(image, both, "TS5") is image and fix_colors(image, None) is image


@pytest.mark.parametrize("seed", range(3))
def test_object_occlusion(g4, seed):
    loading = golden("g4_loading")
    alphas = [np.rint(255 * loading[f"occluder{i}_mask"]).astype(np.uint8) for i in range(5)]
    occluders = [np.dstack([loading[f"occluder{i}_im"], alphas[i]]) for i in range(5)]
    rng = np.random.default_rng(seed)  # the reference's draws: count, then (index, scale, centre); never the last one
    draws = tuple(
        ObjectDraw(int(rng.integers(0, 4)), rng.uniform(0.2, 1), tuple(rng.uniform(0, 256, 2) / 256))
        for _ in range(rng.integers(1, 7))
    )
    ours = paste_objects(g4["object_occlude_in"], occluders, draws)
    assert difference(ours, g4[f"object_occlude_seed{seed}"]).mean() < 0.1


@pytest.mark.parametrize("seed", range(4))
def test_random_erasing(g4, seed):
    ours = erase(g4["object_occlude_in"], draw_erasing(np.random.default_rng(seed)))
    changed = (ours != g4["object_occlude_in"]).any(axis=-1)
    expected = (g4[f"random_erase_seed{seed}"] != g4["object_occlude_in"]).any(axis=-1)
    assert (changed != expected).mean() < 1e-3  # the same rectangle; noise may equal the image by chance


def test_erased_sizes_are_distributed_like_the_reference(g4):
    draws = [draw_erasing(np.random.default_rng([5, i])) for i in range(3000)]
    ours = 256 * np.array([(d.height, d.width) for d in draws])
    np.testing.assert_allclose(ours.mean(axis=0), g4["random_erase_hw_stats"].mean(axis=0), rtol=0.05)
    np.testing.assert_allclose(ours.std(axis=0), g4["random_erase_hw_stats"].std(axis=0), rtol=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_background(seed):
    arrays = golden("g4_background")
    rng = np.random.default_rng(seed)
    rng.integers(0, 1)
    zoom, angle, radius = rng.uniform(1.2, 1.5), rng.uniform(-np.pi, np.pi), 0.1 * np.sqrt(rng.uniform(0, 1))
    draw = BackgroundDraw(0, zoom, (radius * np.cos(angle), radius * np.sin(angle)))
    ours = replace_background(arrays["image"], 255 * arrays["mask"], arrays["bg0"], draw)
    assert difference(ours, arrays[f"out_seed{seed}"]).mean() < 0.2


def test_negative_hues_turn_around(g4):
    down = adjust_color(g4["image"], ColorDraw(0, 1, -60, 1, ("hue",)))
    up = adjust_color(g4["image"], ColorDraw(0, 1, 300, 1, ("hue",)))
    np.testing.assert_array_equal(down, up)
    # Turning red by -60 degrees gives magenta.
    red = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    assert adjust_color(red, ColorDraw(0, 1, -60, 1, ("hue",)))[0, 0].tolist() == [255, 0, 255]


def test_a_new_background_keeps_the_person_and_replaces_the_rest():
    row = toy_row(np.random.default_rng(1), "3d", 160, 120)
    import rlemasklib

    mask = rlemasklib.encode(row["mask"].astype(np.uint8))
    crop = crop_camera(row["camera"], np.array(row["box_ltwh_px"]), 64)
    seen = render_mask(mask, crop, 64)
    assert seen.max() == 255 and seen.min() == 0
    image = np.full((64, 64, 3), 255, np.uint8)
    example = type("Example", (), {"mask": mask})
    draw = BackgroundDraw(0.05, 1.3, (0, 0))
    before = image.copy()
    out = Background().apply(image, draw, example, crop)
    np.testing.assert_array_equal(image, before)
    assert (out[seen == 255] == 255).all() and difference(out[seen == 0], 255).mean() > 10
    assert difference(out[seen == 0], 255).mean() > difference(out[(seen > 0) & (seen < 255)], 255).mean() > 1
    example.mask = None
    assert Background().apply(image, draw, example, crop) is image


def test_folders_of_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures.tempfile, "gettempdir", lambda: str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    folder = tmp_path / "backgrounds"
    folder.mkdir()
    with pytest.raises(UserError, match="no JPEG or PNG"):
        pictures.load_backgrounds(str(folder), 64)
    cv2.imwrite(str(folder / "a.jpg"), np.full((200, 300, 3), 50, np.uint8))
    cv2.imwrite(str(folder / "b.png"), np.full((90, 60, 3), 200, np.uint8))
    backgrounds = pictures.load_backgrounds(str(folder), 64)
    assert backgrounds.shape == (2, 96, 96, 3) and backgrounds[0].mean() == 50 and backgrounds[1].mean() == 200
    assert pictures.load_backgrounds(str(folder), 64).filename == backgrounds.filename  # prepared once

    cutouts = tmp_path / "cutouts"
    cutouts.mkdir()
    with pytest.raises(UserError, match="neither Pascal VOC"):
        pictures.load_occluders(str(cutouts))
    cv2.imwrite(str(cutouts / "a.png"), np.dstack([np.full((20, 30, 3), (1, 2, 3)), np.full((20, 30), 255)]))
    (cutout,) = pictures.load_occluders(str(cutouts))
    assert cutout[0, 0].tolist() == [3, 2, 1, 255]


def test_pascal_voc(tmp_path, g4):
    np.testing.assert_array_equal(pictures.soften_border(g4["soften_mask_in"]), g4["soften_mask"])
    for name in ("Annotations", "JPEGImages", "SegmentationObject"):
        (tmp_path / name).mkdir()
    objects = [("person", 0, 0), ("dog", 0, 0), ("cat", 1, 0), ("bus", 0, 1), ("cow", 0, 0)]
    xml = "".join(
        f"<object><name>{n}</name><difficult>{d}</difficult><truncated>{t}</truncated></object>" for n, d, t in objects
    )
    (tmp_path / "Annotations" / "x.xml").write_text(f"<annotation>{xml}</annotation>")
    cv2.imwrite(str(tmp_path / "JPEGImages" / "x.jpg"), np.full((100, 200, 3), 128, np.uint8))
    segmentation = np.zeros((100, 200, 3), np.uint8)
    # Pascal VOC's palette: object 1 is (128, 0, 0), 2 (0, 128, 0), 3 (128, 128, 0), 4 (0, 0, 128), 5 (128, 0, 128).
    palette = [(128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]
    for i, color in enumerate(palette):
        size = 20 if i == 4 else 36  # the cow is too small
        segmentation[10 : 10 + size, 40 * i : 40 * i + size] = color[::-1]
    cv2.imwrite(str(tmp_path / "SegmentationObject" / "x.png"), segmentation)
    (cutout,) = pictures.load_occluders(str(tmp_path))  # only the dog
    assert cutout.shape == (18, 18, 4)
    assert cutout[9, 9, 3] == 255 and cutout[0, 0, 3] == 191
