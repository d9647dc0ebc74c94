"""Sums over sets of points against plain NumPy."""

import numpy as np
import pytest

from metrabs_acae.geometry import points

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n_points, n_sums", [(7, 3), (40, 205), (5000, 2), (4096, 3), (1, 1)])
def test_combinations_are_matrix_products_in_pieces_of_any_size(n_points, n_sums):
    poses, weights = RNG.normal(size=(2, n_points, 3)), RNG.normal(size=(n_points, n_sums))
    found = points.combine_points(poses, weights)
    np.testing.assert_allclose(found, np.einsum("bjc,jl->blc", poses, weights), atol=1e-10)


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_masked_means(axis, keepdims):
    values, mask = RNG.normal(size=(4, 6)), RNG.random((4, 6)) < 0.5
    mask[1], mask[:, 2] = False, False
    total, count = np.where(mask, values, 0).sum(axis, keepdims=keepdims), mask.sum(axis, keepdims=keepdims)
    found = points.masked_mean(values, mask, axis, keepdims)
    np.testing.assert_allclose(found, total / np.maximum(count, 1), rtol=1e-12)
    per_row = points.masked_mean(values, mask[:, :1], axis, keepdims)
    everywhere = np.broadcast_to(mask[:, :1], mask.shape)
    np.testing.assert_allclose(per_row, points.masked_mean(values, everywhere, axis, keepdims))
