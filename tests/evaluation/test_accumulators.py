"""Streaming sums give what whole arrays give; breakdowns add up; intervals cover."""

import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation import accumulators, metrics
from metrabs_acae.evaluation.accumulators import PoseMetrics, paired_difference
from metrabs_acae.evaluation.definitions import make_metrics


def poses(n=200, joints=6, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 300, (n, joints, 3))
    valid = rng.random((n, joints)) < 0.8
    return true + rng.normal(0, 80, true.shape), true, valid


def test_batches_give_what_the_whole_gives(monkeypatch):
    pred, true, valid = poses()
    expected = metrics.standard_metrics(pred, true, valid=valid, root=0)
    monkeypatch.setattr(accumulators, "CHUNK_POSES", 17)
    streamed = PoseMetrics(root=0)
    for part in np.array_split(np.arange(200), [3, 3, 50, 151]):
        streamed.update(pred[part], true[part], valid=valid[part])
    assert streamed.values() == pytest.approx(expected)
    assert streamed.n_poses == valid.any(1).sum() == 199  # of 200, one has no label at all
    assert streamed.n_joints == valid.sum()
    assert streamed.n_poses_without_root == (valid.any(1) & ~valid[:, 0]).sum()


def test_breakdowns_equal_separate_evaluations():
    pred, true, valid = poses()
    labels = {"sequence": np.arange(200) % 7, "activity": np.array(list("abc"))[np.arange(200) % 3]}
    scored = PoseMetrics(root=0, joint_names=list("uvwxyz"))
    for part in (slice(0, 90), slice(90, 200)):
        scored.update(pred[part], true[part], valid=valid[part], labels={k: v[part] for k, v in labels.items()})
    for label, column in labels.items():
        rows = scored.by(label)
        assert [r[label] for r in rows] == sorted({str(v) for v in column})
        for row in rows:
            own = column.astype(str) == row[label]
            expected = metrics.standard_metrics(pred[own], true[own], valid=valid[own], root=0)
            assert {k: row[k] for k in expected} == pytest.approx(expected)
            assert row["poses"] == (own & valid.any(1)).sum()
    assert [r["activity"] for r in scored.by("activity", order="ca")] == ["c", "a"]
    for j, row in enumerate(scored.by_joint()):
        assert row["joint"] == "uvwxyz"[j]
        assert row["mpjpe"] == pytest.approx(metrics.mpjpe(pred, true, valid=valid, root=0, joints=[j]))
        assert "cps@200" not in row
    with pytest.raises(UserError, match="no label 'camera'"):
        scored.by("camera")


def test_intervals_cover_the_mean_of_the_population():
    """Means of 30 sequences of known mean: a 90 % interval must cover about 90 of 100 times (bootstrap: a bit less)."""
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(100):
        level = rng.gamma(4.0, 25.0, 30)  # one error per sequence, mean 100
        pred, true = np.zeros((90, 2, 3)), np.zeros((90, 2, 3))
        pred[:, 1, 0] = np.repeat(level, 3)
        scored = PoseMetrics(make_metrics(["mpjpe"], joints=[1]), root=0)
        scored.update(pred, true, labels={"sequence": np.repeat(np.arange(30), 3)})
        low, high = scored.intervals(confidence=0.9, n_resamples=300, seed=trial)["mpjpe"]
        assert low < scored.values()["mpjpe"] < high
        covered += low < 100 < high
    assert 78 <= covered <= 97  # binomial(100, .88): within 3 standard deviations


def test_intervals_are_reproducible_and_honest_about_too_few_sequences():
    pred, true, _ = poses(40)
    many, single = PoseMetrics(root=0), PoseMetrics(root=0)
    many.update(pred, true, labels={"sequence": np.arange(40) // 4})
    single.update(pred, true, labels={"sequence": ["only"] * 40})
    assert many.intervals(seed=1) == many.intervals(seed=1) != many.intervals(seed=2)
    assert np.isnan(single.intervals()["mpjpe"]).all()
    assert np.isnan(PoseMetrics(root=0).intervals()["mpjpe"]).all()


def test_paired_comparison_sees_what_separate_intervals_do_not():
    """Sequences differ by 100 mm in difficulty, the models by 5 mm in each: only the paired interval is narrow."""
    rng = np.random.default_rng(0)
    difficulty = np.repeat(rng.uniform(50, 150, 20), 5)
    scored = []
    for worse in (5.0, 0.0):
        pred, true = np.zeros((100, 2, 3)), np.zeros((100, 2, 3))
        pred[:, 1, 0] = difficulty + worse + rng.normal(0, 1, 100)
        scored.append(PoseMetrics(make_metrics(["mpjpe", "pck@100"], joints=[1]), root=0))
        scored[-1].update(pred, true, labels={"sequence": np.repeat(np.arange(20), 5)})
    difference, low, high = paired_difference(*scored)["mpjpe"]
    assert 4 < low < difference < high < 6
    assert difference == pytest.approx(scored[0].values()["mpjpe"] - scored[1].values()["mpjpe"])
    separate = [s.intervals()["mpjpe"] for s in scored]
    assert separate[1][1] > separate[0][0]  # they overlap
    other = PoseMetrics(make_metrics(["mpjpe", "pck@100"], joints=[1]), root=0)
    other.update(pred[:50], true[:50], labels={"sequence": np.repeat(np.arange(10), 5)})
    with pytest.raises(UserError, match="same values of 'sequence'"):
        paired_difference(scored[0], other)


def test_inputs_that_do_not_fit_are_refused():
    pred, true, _ = poses(10)
    scored = PoseMetrics(root=0)
    scored.update(pred, true, labels={"sequence": range(10)})
    for labels in ({}, {"activity": range(10)}, {"sequence": range(9)}):
        with pytest.raises(UserError, match="Labels"):
            scored.update(pred, true, labels=labels)
    with pytest.raises(UserError, match="4 joints, expected 6"):
        scored.update(pred[:, :4], true[:, :4], labels={"sequence": range(10)})
    assert scored.n_poses == 10
