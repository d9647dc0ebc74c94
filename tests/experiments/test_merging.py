"""What merging joints costs, in cases that can be worked out by hand."""

import numpy as np
import pytest

from experiments.merging import SHARES, costs, offsets_mm

NAMES = ("lkne_h36m", "lkne_coco", "nose_coco")


def test_offsets_lead_to_the_weighted_mean_of_like_named_joints():
    true = np.array([[[0.0, 0, 0], [40, 0, 0], [7, 7, 7]]])
    found = offsets_mm(true, NAMES, {"lkne_h36m": 3, "lkne_coco": 1, "nose_coco": 2})
    assert found.tolist() == [[[10, 0, 0], [-30, 0, 0], [0, 0, 0]]]


def test_offsets_across_the_error_cost_little_while_it_is_large():
    """An error of length e and an offset d across it: sqrt(e^2 + d^2) - e."""
    signs = np.array([1.0, -1, 1, -1])[None, :, None]  # of joints, so that their mean is not moved
    error = 120 * signs * [1.0, 0, 0]
    offset = 30 * signs * [0, 1.0, 0]
    found = costs(error, np.zeros((1, 4, 3)), offset)
    for share, (alone, more) in zip(SHARES, found, strict=True):
        assert alone == pytest.approx(120 * share)
        assert more == pytest.approx(np.hypot(120 * share, 30) - 120 * share)
