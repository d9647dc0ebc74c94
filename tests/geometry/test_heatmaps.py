import numpy as np
import pytest
from keras import ops

from metrabs_acae.errors import UserError
from metrabs_acae.geometry.heatmaps import (
    CropGrid,
    heatmap_to_25d,
    heatmap_to_image,
    heatmap_to_metric,
    last_cell_px,
    soft_argmax,
)
from tests.golden import golden


@pytest.mark.parametrize(
    "key, axis",
    [("2d", (2, 1)), ("2d_384", (2, 1)), ("3d", (2, 1, 3)), ("3d_384", (2, 1, 3)), ("3d_nonsq", (2, 1, 3))],
)
def test_soft_argmax_agrees_with_the_reference(key, axis):
    arrays = golden("g1_softargmax")
    # Coordinates in [0, 1] in float32: a few units in the last place.
    np.testing.assert_allclose(soft_argmax(arrays[f"logits{key}"], axis), arrays[f"softargmax{key}"], atol=2e-6)


def expectation(logits, axis):
    """The definition, in plain float64 NumPy."""
    p = np.exp(logits - logits.max(axis=tuple(axis), keepdims=True))
    p /= p.sum(axis=tuple(axis), keepdims=True)
    out = []
    for a in axis:
        cells = np.linspace(0, 1, logits.shape[a]).reshape([-1 if i == a else 1 for i in range(logits.ndim)])
        out.append((p * cells).sum(axis=tuple(axis)))
    return np.stack(out, axis=-1)


@pytest.mark.parametrize(
    "axis", [(1,), (2, 1), (1, 2), (1, 2, 3), (2, 3), (3, 1), (1, 4), (4, 0, 2), (0, 1, 2, 3, 4), (-1, -3)]
)
def test_soft_argmax_over_any_axes_is_the_expectation(axis):
    logits = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6)) * 3
    axis_positive = [a % 5 for a in axis]
    np.testing.assert_allclose(soft_argmax(logits, axis), expectation(logits, axis_positive), rtol=1e-12)


def test_soft_argmax_of_a_peak_is_its_cell():
    logits = np.full((1, 8, 8, 8, 1), -1e4, np.float32)
    logits[0, 2, 5, 7, 0] = 1e4
    coords = soft_argmax(logits, (2, 1, 3))
    np.testing.assert_allclose(coords, [[[5 / 7, 2 / 7, 1]]], rtol=1e-6)
    px = heatmap_to_image(coords, image_size=256, stride=32, centered_stride=True)
    np.testing.assert_allclose(px, [[[16 + 5 * 32, 16 + 2 * 32]]], rtol=1e-6)


def test_soft_argmax_of_half_precision_logits_is_float32_and_one_cell_is_zero():
    logits = np.random.default_rng(0).normal(size=(2, 1, 4)).astype(np.float16)
    coords = ops.convert_to_numpy(soft_argmax(logits, (1, 2)))
    assert coords.dtype == np.float32
    np.testing.assert_array_equal(coords[:, 0], 0)


def test_soft_argmax_refuses_an_axis_named_twice():
    with pytest.raises(UserError, match="twice"):
        soft_argmax(np.zeros((2, 3)), (1, -1))


@pytest.mark.parametrize("side", [256, 384])
@pytest.mark.parametrize("centered", [0, 1])
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_heatmap_coordinates_agree_with_the_reference(side, centered, stride):
    arrays = golden("g1_heatmap_coords")
    grid = {"image_size": side, "stride": stride, "centered_stride": bool(centered)}
    coords = arrays["coords01"]
    suffix = f"side{side}_centered{centered}_stride{stride}"
    np.testing.assert_allclose(heatmap_to_image(coords, **grid), arrays[f"image_{suffix}"], rtol=1e-6)
    for function, key in ((heatmap_to_metric, "metric"), (heatmap_to_25d, "h25d")):
        ours = function(coords, **grid, box_size_mm=2200.0)
        np.testing.assert_allclose(ours, arrays[f"{key}_{suffix}"], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("side, stride, last", [(256, 32, 224), (384, 32, 352), (256, 4, 252), (255, 32, 224)])
def test_last_cell(side, stride, last):
    assert last_cell_px(side, stride) == last
    assert last // stride + 1 == -(-side // stride)  # as many cells as the padded strided convolution has


def test_the_grid_is_the_papers_where_nothing_else_is_said():
    """MeTRAbs: crops of 256 px, stride 32, striding centred, a cube of 2.2 m."""
    grid = CropGrid()
    assert grid.cells == {"image_size": 256, "stride": 32, "centered_stride": True}
    assert grid.mm_per_px == 2200 / 256
