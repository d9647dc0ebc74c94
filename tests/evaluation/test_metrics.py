"""Metrics against plain loops, SciPy and integrals, and their invariances."""

import time

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.transform import Rotation

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation import definitions, metrics
from metrabs_acae.evaluation.definitions import STANDARD, make_metric

EXACT = 1e-9  # float64 on both sides, a few hundred terms of some hundred mm


def poses(n=60, joints=9, seed=0, noise=90.0):
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 300, (n, joints, 3)) + (0, 0, 4000)
    return true + rng.normal(0, noise, true.shape), true


def mask(n=60, joints=9, seed=1):
    valid = np.random.default_rng(seed).random((n, joints)) < 0.7
    valid[:, 0] = True
    return valid


def test_against_plain_loops_with_a_mask():
    pred, true = poses()
    valid = mask()
    errors, worst = [], []
    for p, t, v in zip(pred, true, valid, strict=True):
        own = [np.linalg.norm((p[j] - p[0]) - (t[j] - t[0])) for j in range(9) if v[j]]
        errors += own
        worst.append(max(own))
    errors, worst = np.array(errors), np.array(worst)
    settings = {"valid": valid, "root": 0}
    assert metrics.mpjpe(pred, true, **settings) == pytest.approx(errors.mean(), abs=EXACT)
    assert metrics.pck(pred, true, **settings, threshold_mm=150) == pytest.approx(100 * (errors < 150).mean())
    assert metrics.cps(pred, true, **settings, threshold_mm=250) == pytest.approx(100 * (worst < 250).mean())
    area = quad(lambda t: (errors < t).mean(), 0, 150, limit=2000, epsabs=1e-4)[0] / 150
    assert metrics.auc(pred, true, **settings, threshold_mm=150) == pytest.approx(100 * area, abs=0.02)
    area = quad(lambda t: (worst < t).mean(), 0, 300, limit=2000, epsabs=1e-4)[0] / 300
    assert metrics.auc_cps(pred, true, **settings, threshold_mm=300) == pytest.approx(100 * area, abs=0.02)


def test_three_definitions_of_auc_from_their_thresholds():
    pred, true = poses()
    errors = np.linalg.norm(pred - true, axis=-1)
    steps = np.mean([(errors < t).mean() for t in np.linspace(0, 150, 31)])
    thresholds = np.linspace(0, 199, 51)
    trapezoid = np.trapezoid([(errors < t).mean() for t in thresholds], thresholds) / 199
    assert metrics.auc(pred, true, definition="31") == pytest.approx(100 * steps)
    assert metrics.auc(pred, true, definition="51", threshold_mm=199) == pytest.approx(100 * trapezoid)
    assert metrics.auc(pred, true) == pytest.approx(100 * np.clip(1 - errors / 150, 0, None).mean())


@pytest.mark.parametrize("distance, passes", [(149.999, True), (150.0, False), (150.001, False)])
def test_thresholds_are_strict_except_for_ncps(distance, passes):
    true = np.zeros((1, 1, 3))
    pred = true + (distance, 0, 0)
    assert metrics.pck(pred, true) == (100.0 if passes else 0.0)
    assert metrics.cps(pred, true, threshold_mm=150) == (100.0 if passes else 0.0)
    assert definitions.at_most(np.array(150.0), 150) == 100.0


def test_pa_mpjpe_against_scipy():
    pred, true = poses(n=20)
    expected = []
    for p, t in zip(pred, true, strict=True):
        target, aligned, _ = scipy_procrustes(t, p)
        scale = np.linalg.norm(t - t.mean(0))
        expected.append(np.linalg.norm(target - aligned, axis=1).mean() * scale)
    # SciPy allows reflections; with noise this small none is ever chosen.
    assert metrics.pa_mpjpe(pred, true) == pytest.approx(np.mean(expected), abs=1e-8)


def test_procrustes_aligned_metrics_ignore_similarity_transforms_of_the_prediction():
    pred, true = poses()
    moved = 1.7 * pred @ Rotation.random(random_state=3).as_matrix().T + (100, -20, 3000)
    for name in ("pa_mpjpe", "pa_pck@50", "ncps@125", "auc_ncps@300", "pa_auc31@150"):
        metric = make_metric(name)
        before, after = (metrics.evaluate_metric(metric, p, true, valid=mask()) for p in (pred, moved))
        assert after == pytest.approx(before, abs=1e-7)
    mirrored = true * (-1, 1, 1)
    assert metrics.pa_mpjpe(mirrored, true) > 50  # a reflection is no similarity


def test_all_metrics_ignore_a_common_rotation_and_translation_of_the_world():
    pred, true = poses()
    rotation = Rotation.random(random_state=5).as_matrix().T
    before = metrics.standard_metrics(pred, true, valid=mask(), root=2)
    after = metrics.standard_metrics(pred @ rotation + (5, 6, 7), true @ rotation + (5, 6, 7), valid=mask(), root=2)
    assert after == pytest.approx(before, abs=1e-7)


def test_root_relative_metrics_ignore_translations_of_the_prediction():
    pred, true = poses()
    shifted = pred + np.random.default_rng(0).normal(0, 1000, (len(pred), 1, 3))
    for name in ("mpjpe", "pck@150", "auc@150", "cps@200"):
        before, after = (metrics.standard_metrics(p, true, root=0)[name] for p in (pred, shifted))
        assert after == pytest.approx(before, abs=1e-8)
    assert metrics.mpjpe(shifted, true) > metrics.mpjpe(pred, true)


def test_order_of_poses_and_joints_does_not_matter():
    pred, true = poses()
    rng = np.random.default_rng(4)
    rows, joints = rng.permutation(len(pred)), rng.permutation(9)
    valid = mask()
    before = metrics.standard_metrics(pred, true, valid=valid, root=3)
    after = metrics.standard_metrics(
        pred[rows][:, joints], true[rows][:, joints], valid=valid[rows][:, joints], root=int(np.argmax(joints == 3))
    )
    assert after == pytest.approx(before, abs=1e-8)


def test_mask_equals_nan_equals_leaving_the_joints_out():
    pred, true = poses()
    keep = [0, 1, 2, 5, 7]
    valid = np.zeros((60, 9), bool)
    valid[:, keep] = True
    unlabelled = np.where(valid[..., None], true, np.nan)
    junk = np.where(valid[..., None], pred, np.nan)
    by_mask = metrics.standard_metrics(junk, true, valid=valid, root=1)
    assert metrics.standard_metrics(pred, unlabelled, root=1) == pytest.approx(by_mask)
    assert metrics.standard_metrics(pred[:, keep], true[:, keep], root=1) == pytest.approx(by_mask)


def test_joint_subset_is_scored_but_the_alignment_sees_all_joints():
    pred, true = poses()
    relative = np.linalg.norm((pred - pred[:, :1]) - (true - true[:, :1]), axis=-1)
    assert metrics.mpjpe(pred, true, root=0, joints=[4, 5]) == pytest.approx(relative[:, 4:6].mean())
    assert metrics.pa_mpjpe(pred, true, joints=[4, 5]) != pytest.approx(metrics.pa_mpjpe(pred[:, 4:6], true[:, 4:6]))


def test_several_roots_mean_their_centre():
    pred, true = poses()
    with_middle = [np.concatenate([x, x[:, 1:3].mean(1, keepdims=True)], 1) for x in (pred, true)]
    expected = metrics.mpjpe(*with_middle, root=9, joints=range(9))
    assert metrics.mpjpe(pred, true, root=(1, 2)) == pytest.approx(expected)


def test_functions_agree_with_standard_metrics():
    pred, true = poses(n=40)
    values = metrics.standard_metrics(pred, true, root=0)
    assert tuple(values) == STANDARD
    assert values["mpjpe"] == pytest.approx(metrics.mpjpe(pred, true, root=0))
    assert values["pa_mpjpe"] == pytest.approx(metrics.pa_mpjpe(pred, true, root=0))
    assert values["a_mpjpe"] == pytest.approx(metrics.mpjpe(pred, true))
    assert values["auc@100"] == pytest.approx(metrics.auc(pred, true, root=0, threshold_mm=100))
    assert values["apck@300"] == pytest.approx(metrics.pck(pred, true, threshold_mm=300))
    ncps = metrics.ncps(pred, true, threshold_mm=200)
    assert ncps == pytest.approx(metrics.evaluate_metric(make_metric("ncps@200"), pred, true))


def test_perfect_and_useless_predictions():
    _, true = poses()
    perfect = metrics.standard_metrics(true, true, root=0)
    assert all(v == pytest.approx(0 if "mpjpe" in k else 100, abs=1e-9) for k, v in perfect.items())
    far = metrics.standard_metrics(true * 50, true, root=0)
    assert far["auc@150"] < 15 and far["cps@200"] == 0


def test_nothing_to_score_is_nan():
    pred, true = poses(n=3)
    values = metrics.standard_metrics(pred, np.full_like(true, np.nan), root=0)
    assert all(np.isnan(v) for v in values.values())
    assert all(np.isnan(v) for v in metrics.standard_metrics(pred[:0], true[:0], root=0).values())
    two_joints = np.zeros((3, 9), bool)
    two_joints[:, :2] = True
    assert np.isnan(metrics.pa_mpjpe(pred, true, valid=two_joints))  # a rotation needs three points


def test_pose_without_labelled_root_has_no_root_relative_error():
    pred, true = poses(n=10)
    true[4:, 0] = np.nan
    assert metrics.mpjpe(pred, true, root=0) == pytest.approx(metrics.mpjpe(pred[:4], true[:4], root=0))
    assert not np.isnan(metrics.mpjpe(pred[4:], true[4:]))


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda p, t: (p[:, :4], t, {}), "must both be"),
        (lambda p, t: (p, t, {"valid": np.ones(3, bool)}), "joint mask has shape"),
        (lambda p, t: (p, t, {"root": 9}), "root joint within 0..8"),
        (lambda p, t: (np.where(p > 4200, np.nan, p), t, {}), "not finite where the truth is valid"),
        (lambda p, t: (p, t * np.nan, {"valid": np.ones((60, 9), bool)}), "marked valid"),
    ],
)
def test_bad_input_is_named(change, sentence):
    pred, true, settings = change(*poses())
    with pytest.raises(UserError, match=sentence):
        metrics.mpjpe(pred, true, **{"root": 0, **settings})


@pytest.mark.parametrize("name", ["pck", "mpjpe@3", "pck@x", "pck@-1", "pck@nan", "pcp@50", ""])
def test_unknown_metrics_are_refused(name):
    with pytest.raises(UserError):
        make_metric(name)
    with pytest.raises(UserError, match="AUC definition"):
        metrics.auc(*poses(), definition="30")


def test_best_constant_pose_is_the_optimum_over_constant_poses():
    _, true = poses(n=80, joints=4)
    true *= np.array([1, 2, 3])
    valid = mask(80, 4)
    found = metrics.best_constant_pose_mpjpe(true, valid, 0)

    def error(pose):
        pred = np.broadcast_to(pose.reshape(1, 4, 3), true.shape)
        return metrics.mpjpe(pred - pred[:, :1], true, valid=valid, root=0)

    start = (true - true[:, :1]).mean(0).ravel()
    best = minimize(error, start, method="Powell", options={"xtol": 1e-6, "ftol": 1e-12, "maxiter": 20})
    assert found == pytest.approx(best.fun, abs=1e-3)
    assert found < error(start)


def test_geometric_median_with_ties_on_data_points():
    points = np.array([[0.0, 0], [0, 0], [0, 0], [10, 0], [0, 10]])
    np.testing.assert_allclose(metrics.geometric_median(points), 0, atol=1e-6)
    line = np.array([[0.0], [1], [5], [100], [200]])
    np.testing.assert_allclose(metrics.geometric_median(line), 5, atol=1e-3)
    np.testing.assert_allclose(metrics.geometric_median(np.full((7, 3), 2.0)), 2)


def test_100k_poses_take_seconds():
    """The promise is 10 s for 100k poses of 24 joints on a core; a tenth of it here, with room for a busy machine."""
    pred, true = poses(n=10_000, joints=24)
    start = time.process_time()
    metrics.standard_metrics(pred, true, root=0)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    "metric, threshold_mm", [("pck", 150), ("auc", 150), ("cps", 200), ("auc_cps", 200), ("ncps", 125)]
)
def test_thresholds_where_none_is_given(metric, threshold_mm):
    rng = np.random.default_rng(0)
    true = rng.normal(0, 300, (3000, 8, 3))  # so many that some errors lie within a millimetre of the threshold
    pred = true + rng.normal(0, 1, true.shape) * rng.uniform(20, 250, (3000, 1, 1))
    found, given = (getattr(metrics, metric)(pred, true, **more) for more in ({}, {"threshold_mm": threshold_mm}))
    assert found == given
