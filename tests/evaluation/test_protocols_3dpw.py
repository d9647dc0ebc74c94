"""3DPW: which prediction belongs to which labelled person, what is left out, filled and smoothed."""

import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predictions import Predictions
from metrabs_acae.evaluation.protocols import association, threedpw
from metrabs_acae.evaluation.truth import Truth
from tests.evaluation.test_protocols import evaluate

SMPL_2D = ("lsho", "rsho", "lelb", "relb", "lhip", "rhip", "lkne", "rkne")


def two_tracks(n_frames=12):
    """Two people who walk past one another; each has a 3D pose of its own."""
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 300, (2, 24, 3))
    outline = rng.normal(0, 40, (24, 2))
    outline[[17, 1]] = (-80, -150), (60, 100)  # right shoulder and left hip: the size that distances are measured by
    frame, person = np.repeat(np.arange(n_frames), 2), np.tile([0, 1], n_frames)
    place = np.stack([np.where(person == 0, 40 * frame, 500 - 40 * frame), 90 * person], -1)
    true3d = poses[person] + np.stack([10 * frame, 0 * frame, 0 * frame + 3000], -1)[:, None]
    points = outline + place[:, None]
    index = [threedpw.JOINTS.index(f"{j}_smpl") for j in SMPL_2D]
    true = {
        "poses3d_mm": true3d,
        "joint_names": threedpw.JOINTS,
        "sequence": ["walk"] * (2 * n_frames),
        "frame": frame,
        "person": person,
        "poses2d_px": points[:, index],
        "joint_names_2d": tuple(f"{j}_coco" for j in SMPL_2D),
        "confidence2d": np.ones((2 * n_frames, 8)),
    }
    order = rng.permutation(2 * n_frames)
    order = order[np.argsort(frame[order], kind="stable")]
    pred = {
        "poses3d_mm": true3d[order],
        "joint_names": threedpw.JOINTS,
        "sequence": ["walk"] * (2 * n_frames),
        "frame": frame[order],
        "poses2d_px": points[order],
    }
    return pred, true, order


def test_3dpw_associates_people_to_tracks():
    pred, true, order = two_tracks()
    result = evaluate(pred, true, "3dpw")
    assert result["a_mpjpe"] == pytest.approx(0, abs=1e-9)
    associated = threedpw.associate(Predictions(**pred), Truth(**true))
    np.testing.assert_array_equal(order[associated], np.arange(24))
    given = evaluate({**pred, "person": true["person"][order]}, true, "3dpw", association="given")
    assert given.rows[0] == pytest.approx(result.rows[0])


def test_3dpw_follows_the_track_where_2d_labels_are_not_confident():
    pred, true, order = two_tracks()
    true["confidence2d"][true["frame"] == 1] = 0.1  # before the people meet
    associated = threedpw.associate(Predictions(**pred), Truth(**true))
    np.testing.assert_array_equal(order[associated], np.arange(24))
    true["confidence2d"][true["frame"] == 0] = 0.1  # and nothing to follow from
    associated = threedpw.associate(Predictions(**pred), Truth(**true))
    assert (associated[:4] == -1).all() and (associated[4:] >= 0).all()


def test_3dpw_follows_predictions_without_labels_after_the_first():
    pred, true, order = two_tracks()
    true["poses2d_px"] = true["poses2d_px"].copy()
    true["poses2d_px"][np.asarray(true["frame"]) > 0] += 1e4  # wrong labels: they must not be looked at
    associated = association.follow(Predictions(**pred), Truth(**true))
    first = true["frame"] == 0
    np.testing.assert_array_equal(order[associated[first]], np.flatnonzero(first))
    # The people cross: who looks most alike in the next frame goes on, so each label keeps one prediction per frame.
    for frame in range(12):
        rows = associated[true["frame"] == frame]
        assert (rows >= 0).all() and len(set(rows.tolist())) == 2
    early = true["frame"] < 5  # before they meet
    np.testing.assert_array_equal(order[associated[early]], np.flatnonzero(early))
    true["confidence2d"][:] = 0.1
    assert (association.follow(Predictions(**pred), Truth(**true)) == -1).all()  # nothing to begin from


def test_3dpw_of_14_joints_and_of_the_test_split():
    pred, true, order = two_tracks()
    pred["poses3d_mm"] = pred["poses3d_mm"].copy()
    left_out = [j for j in range(24) if j not in threedpw.FOURTEEN]
    pred["poses3d_mm"][:, left_out] += 500
    result = evaluate(pred, true, "3dpw", joints=14)
    assert result["mpjpe"] == pytest.approx(0, abs=1e-9) and len(result.breakdowns["joint"]) == 14
    assert not any("major" in name for name in result.rows[0])
    with pytest.raises(UserError, match="needs the truth's activity"):
        evaluate(pred, true, "3dpw", subset="test")
    split = np.where(true["person"] == 0, "test", "train")
    tested = evaluate(pred, {**true, "activity": split}, "3dpw", subset="test")
    assert tested.rows[0]["poses"] == 12
    with pytest.raises(UserError, match="must say 'test', it says walking"):
        evaluate(pred, {**true, "activity": np.full(24, "walking")}, "3dpw", subset="test")


def test_3dpw_fills_gaps_from_the_track():
    pred, true, order = two_tracks()
    gone = (pred["frame"] == 5) | (pred["frame"] == 0)
    fewer = {k: np.asarray(v)[~gone] if k != "joint_names" else v for k, v in pred.items()}
    result = evaluate(fewer, true, "3dpw")
    assert result.counts["filled_from_another_frame"] == 4 and result.rows[0]["poses"] == 24
    assert result["mpjpe"] == pytest.approx(0, abs=1e-9)  # the pose is constant, only the place is late
    assert result["a_mpjpe"] == pytest.approx(4 * 10 / 24)  # frame 0 takes frame 1's, frame 5 frame 4's, 10 mm away


def test_3dpw_tracks_without_any_prediction():
    pred, true, order = two_tracks()
    only = {k: np.asarray(v)[true["person"][order] == 0] if k != "joint_names" else v for k, v in pred.items()}
    only["person"] = np.zeros(12, int)
    with pytest.raises(UserError, match="1 labelled tracks have no prediction .*walk person 1"):
        evaluate(only, true, "3dpw", association="given")
    result = evaluate(only, true, "3dpw", association="given", missing="skip")
    assert result.counts["skipped_people_of_missing_tracks"] == 12 and result.rows[0]["poses"] == 12


def test_3dpw_without_any_association():
    pred, true, _ = two_tracks()
    with pytest.raises(UserError, match="None of 24 predictions belongs to any of 24 labelled people"):
        evaluate({**pred, "sequence": ["other"] * 24}, true, "3dpw", missing="skip")


def test_3dpw_leaves_out_people_without_2d_label_and_smooths_on_request():
    pred, true, _ = two_tracks()
    true["confidence2d"][:4] = 0
    plain = evaluate(pred, true, "3dpw")
    assert plain.counts["unlabelled_people_left_out"] == 4 and plain.rows[0]["poses"] == 20
    # 10 mm per frame and symmetric padding: smoothing is exact inside, late at the ends.
    assert 0 < evaluate(pred, true, "3dpw", smoothing="acausal")["a_mpjpe"] < 10
    with pytest.raises(UserError, match="smoothing"):
        evaluate(pred, true, "3dpw", smoothing="gaussian")


def test_smoothing_keeps_constant_tracks_and_tracks_of_one_frame():
    for kind in threedpw.SMOOTHING:
        for length in (1, 2, 40):
            track = np.full((length, 24, 3), 7.0)
            np.testing.assert_allclose(threedpw.smooth(track, kind), track)
