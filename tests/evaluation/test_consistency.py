"""Consistency metrics: zero where they must be, and the numbers of constructed cases."""

import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.consistency import consistency_metrics

NAMES = ("lkne_h36m", "lank_h36m", "lkne_coco", "lank_coco", "lkne_smpl", "lank_smpl", "nose_coco")


@pytest.fixture
def truth():
    rng = np.random.default_rng(0)
    pose = np.array([[0, 0, 0], [0, 400, 0], [10, 5, 20], [0, 410, 5], [-8, 0, 3], [5, 395, 0], [0, -900, 0]], float)
    return rng.normal(0, 3, (10, 7, 3)) + pose + [0, 0, 4000]


def test_a_perfect_or_uniformly_shifted_prediction_is_consistent(truth):
    shift = np.random.default_rng(1).normal(0, 100, (len(truth), 1, 3))
    for pred in (truth, truth + shift):
        measured = consistency_metrics(pred, truth, NAMES)
        for name in ("disagreement_mm", "disagreement_depth_mm", "disagreement_plane_mm", "bone_length_spread_mm"):
            assert measured[name] == pytest.approx(0, abs=1e-9)
    assert measured["n_points"] == 2


def test_moving_one_skeleton_away_counts_in_two_of_three_pairs(truth):
    center = truth.mean(axis=1)
    ray = (center / np.linalg.norm(center, axis=-1, keepdims=True))[:, None]
    pred = truth.copy()
    pred[:, :2] += 30 * ray
    measured = consistency_metrics(pred, truth, NAMES)
    assert measured["disagreement_mm"] == pytest.approx(20)
    assert measured["disagreement_depth_mm"] == pytest.approx(20)
    assert measured["disagreement_plane_mm"] == pytest.approx(0, abs=1e-5)
    across = np.cross(ray, [0, 1, 0])
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    pred = truth.copy()
    pred[:, :2] += 30 * across
    measured = consistency_metrics(pred, truth, NAMES)
    assert measured["disagreement_plane_mm"] == pytest.approx(20)
    assert measured["disagreement_depth_mm"] == pytest.approx(0, abs=1e-9)


def test_bone_length_spread_is_the_deviation_among_skeletons(truth):
    pred = truth.copy()
    shin = truth[:, 1] - truth[:, 0]
    pred[:, 1] += 30 * shin / np.linalg.norm(shin, axis=-1, keepdims=True)
    # errors of the three shins: 30, 0, 0
    assert consistency_metrics(pred, truth, NAMES)["bone_length_spread_mm"] == pytest.approx(np.std([30, 0, 0]))


def test_joints_without_truth_do_not_count(truth):
    pred, partial = truth.copy(), truth.copy()
    pred[:, :2] += 1000
    partial[:, :2] = np.nan
    measured = consistency_metrics(pred, partial, NAMES)
    assert measured["disagreement_mm"] == pytest.approx(0, abs=1e-9)


def test_skeletons_that_share_nothing_are_refused(truth):
    with pytest.raises(UserError, match="share an anatomical point"):
        consistency_metrics(truth[:, :2], truth[:, :2], NAMES[:2])
    with pytest.raises(UserError, match="joint names"):
        consistency_metrics(truth, truth, NAMES[:3])
