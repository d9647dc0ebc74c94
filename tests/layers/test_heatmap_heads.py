import keras
import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.geometry.heatmaps import CropGrid, heatmap_to_metric
from metrabs_acae.layers.heatmap_heads import HeatmapHeads, VolumetricHead
from tests.golden import golden


@pytest.fixture(scope="module")
def arrays():
    return golden("g1_head")


def heads_of(arrays, **kwargs):
    heads = HeatmapHeads(7, **kwargs)
    heads.build((None, 8, 8, 16))
    heads.conv.set_weights([arrays["kernel"], arrays["bias"]])
    return heads


def test_agrees_with_the_reference(arrays):
    coords2d, coords3d = heads_of(arrays)(arrays["features"])
    np.testing.assert_allclose(coords2d, arrays["coords2d"], atol=0.02)
    # The reference's key holds 3D coordinates in mm.
    np.testing.assert_allclose(coords3d, arrays["coords3d"], atol=0.05)


def test_copying_into_the_last_points_agrees_with_the_reference(arrays):
    heads = heads_of(arrays)
    heads.set_point_weights(slice(-4, None), arrays["last4_kernel"], arrays["last4_bias"])
    kernel, bias = heads.conv.get_weights()
    np.testing.assert_array_equal(kernel, arrays["kernel_after_set_last"])
    np.testing.assert_array_equal(bias, arrays["bias_after_set_last"])


def test_copied_points_predict_as_before(arrays):
    small = heads_of(arrays)
    large = HeatmapHeads(7 + 5)
    large.build((None, 8, 8, 16))
    large.set_point_weights(slice(5, 12), *small.point_weights(slice(0, 7)))
    for before, after in zip(small(arrays["features"]), large(arrays["features"]), strict=True):
        np.testing.assert_allclose(after[:, 5:], before, rtol=1e-5)


def test_a_peak_in_the_named_channel_moves_the_named_point():
    """Channel order: P 2D heatmaps first, then depth-major volumetric ones (P + d P + j)."""
    n_points, depth = 3, 8
    heads = HeatmapHeads(n_points, depth=depth)
    logits = np.zeros((1, 8, 8, n_points * (1 + depth)), np.float32)
    logits[0, 1, 6, 2] = 1e4  # 2D heatmap of point 2: row 1, column 6
    logits[0, 3, 4, n_points + 5 * n_points + 1] = 1e4  # depth cell 5 of point 1
    coords2d, coords3d = (np.asarray(x) for x in heads.decode(logits))
    np.testing.assert_allclose(coords2d[0, 2], [16 + 6 * 32, 16 + 32])
    mm = 2200 / 256
    np.testing.assert_allclose(coords3d[0, 1], [(16 + 4 * 32) * mm, (16 + 3 * 32) * mm, 5 / 7 * 2200], rtol=1e-6)
    np.testing.assert_allclose(coords2d[0, 0], [128, 128], rtol=1e-6)


def test_under_mixed_precision_the_coordinates_are_float32(arrays):
    heads = heads_of(arrays, dtype="mixed_bfloat16")
    outputs = heads(arrays["features"])
    assert heads.conv.compute_dtype == "bfloat16"
    full = heads_of(arrays)(arrays["features"])
    for low, high in zip(outputs, full, strict=True):
        assert keras.backend.standardize_dtype(low.dtype) == "float32"
        np.testing.assert_allclose(low, high, atol=0.02 * np.abs(high).max())  # only the logits are coarse


def test_errors_name_what_does_not_fit(arrays):
    with pytest.raises(UserError, match=r"features have shape \[None, 7, 8, 16\], expected \[\*, 8, 8, \*\]"):
        HeatmapHeads(7).build((None, 7, 8, 16))
    with pytest.raises(UserError, match="the kernel of 4 points has shape"):
        heads_of(arrays).set_point_weights(slice(3, 7), arrays["last4_kernel"][..., :-1], arrays["last4_bias"])


def test_config_rebuilds_the_layer():
    layer = HeatmapHeads(5, depth=4, grid=CropGrid(384, 16, False, 2000.0))
    again = HeatmapHeads.from_config(layer.get_config())
    assert again.grid == layer.grid and (again.n_points, again.depth) == (5, 4)


def test_heads_are_eight_cells_deep_where_nothing_else_is_said():
    assert HeatmapHeads(5).depth == VolumetricHead(5, grid=CropGrid()).depth == 8


def test_the_volumetric_half_alone_is_that_of_both(arrays):
    grid = CropGrid()
    head = VolumetricHead(7, grid=grid)
    head.build((None, 8, 8, 16))
    head.conv.set_weights([arrays["kernel"][..., 7:], arrays["bias"][7:]])
    found = heatmap_to_metric(head(arrays["features"]), **grid.cells, box_size_mm=grid.box_size_mm)
    np.testing.assert_allclose(found, heads_of(arrays)(arrays["features"])[1], atol=0.01)
