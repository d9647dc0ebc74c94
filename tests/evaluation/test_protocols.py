"""What the protocols do with input that is not perfect, and what they print."""

import json

import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation import metrics
from metrabs_acae.evaluation.predictions import Predictions, save_predictions
from metrabs_acae.evaluation.protocols import (
    evaluate_file,
    generic,
    get_protocol,
    mpi_inf_3dhp,
    mupots,
    protocols,
)
from metrabs_acae.evaluation.truth import Truth, row_names, truth_from_store
from metrabs_acae.skeletons import get_skeleton
from metrabs_acae.tables import FORMATS
from tests import small_stores

H36M = get_skeleton("h36m_17").joint_names
MPI = get_skeleton("mpi_inf_3dhp_17").joint_names


def human36m(n=30, names=H36M, seed=0):
    """Fields of predictions and of truth of one person per frame."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 300, (n, len(names), 3)) + (0, 0, 4000)
    shared = {"joint_names": names, "sequence": [f"S{9 + 2 * (i % 2)}_x{i % 3}" for i in range(n)]}
    shared["frame"] = 64 * np.arange(n)
    activity = [("Walking", "Eating")[i % 2] for i in range(n)]
    pred = true + rng.normal(0, 50, true.shape)
    return {"poses3d_mm": pred, **shared}, {"poses3d_mm": true, "activity": activity, **shared}


def evaluate(pred, true, name="human36m", **options):
    return get_protocol(name).evaluate(Predictions(**pred), Truth(**true), **options)


def rows(fields, keep):
    """The same people, fewer or in another order."""
    per_person = {"poses3d_mm", "sequence", "frame", "activity", "person", "score"}
    return {k: np.asarray(v)[keep] if k in per_person else v for k, v in fields.items()}


def test_order_of_rows_and_joints_in_the_file_does_not_matter():
    pred, true = human36m()
    expected = evaluate(pred, true)
    shuffled = rows(pred, np.random.default_rng(1).permutation(30))
    order = np.random.default_rng(2).permutation(17)
    shuffled |= {"poses3d_mm": shuffled["poses3d_mm"][:, order], "joint_names": [H36M[j] for j in order]}
    result = evaluate(shuffled, true)
    assert result.rows[0] == pytest.approx(expected.rows[0])
    assert result.counts["joints_selected_by_name"] == 17


def test_25_joint_predictions_are_reduced_by_name():
    names = get_skeleton("h36m_25").joint_names
    pred, true = human36m(names=names)
    index = [names.index(n) for n in H36M]
    few = {**pred, "joint_names": H36M, "poses3d_mm": pred["poses3d_mm"][:, index]}
    assert evaluate(pred, true).rows == evaluate(few, true).rows


def test_missing_frames_are_refused_or_counted():
    pred, true = human36m()
    fewer = rows(pred, np.arange(30) != 4)
    with pytest.raises(UserError, match="1 of 30 labelled people have no prediction .*frame 256 of sequence 'S9_x1'"):
        evaluate(fewer, true)
    result = evaluate(fewer, true, missing="skip")
    assert result.counts["missing_skipped"] == 1 and result.rows[0]["poses"] == 29
    with pytest.raises(UserError, match="sequence names"):
        evaluate({**pred, "sequence": ["other"] * 30}, true, missing="skip")


def test_predictions_that_are_not_finite_are_refused_or_treated_as_missing():
    pred, true = human36m()
    pred["poses3d_mm"][7, 3, 1] = np.nan
    with pytest.raises(UserError, match="1 of 30 predicted people are not finite .*frame 448"):
        evaluate(pred, true)
    with pytest.raises(UserError, match="no prediction"):
        evaluate(pred, true, on_nan="drop")
    result = evaluate(pred, true, on_nan="drop", missing="skip")
    assert result.counts["not_finite_dropped"] == 1 and result.counts["poses_scored"] == 29


def test_unused_joints_may_be_nan():
    names = get_skeleton("h36m_25").joint_names
    pred, true = human36m(names=names)
    pred["poses3d_mm"][:, names.index("lthu_h36m")] = np.nan
    assert evaluate(pred, true)["mpjpe"] > 0


def test_other_frames_are_ignored_and_extra_people_settled_by_score():
    pred, true = human36m()
    expected = evaluate(pred, true)
    more = {k: np.concatenate([v, v]) if k != "joint_names" else v for k, v in pred.items()}
    more["frame"][30:45] += 7  # 15 predictions of frames that are not scored, 15 second people
    more["poses3d_mm"][30:] += 300 * np.random.default_rng(0).normal(size=(30, 17, 3))
    with pytest.raises(UserError, match="15 frames have more than one predicted person"):
        evaluate(more, true)
    for best_last in (False, True):
        score = np.r_[np.full(30, 0.9), np.full(30, 0.2)]
        order = np.arange(60)[::-1] if best_last else np.arange(60)
        result = evaluate(rows({**more, "score": score}, order), true)
        assert result.rows[0] == pytest.approx(expected.rows[0])
        assert result.counts["other_frames_ignored"] == 15 and result.counts["extra_people_ignored"] == 15


def test_unlabelled_joints_are_left_out():
    pred, true = human36m()
    true["poses3d_mm"][3:6, 5] = np.nan
    result = evaluate(pred, true)
    expected = metrics.mpjpe(pred["poses3d_mm"], true["poses3d_mm"], root=0)
    assert result["mpjpe"] == pytest.approx(expected)
    assert [r["labels"] for r in result.breakdowns["joint"]][5] == 27


def test_subjects_can_be_chosen():
    pred, true = human36m()
    result = evaluate(pred, true, subjects=("S11",))
    assert result.rows[0]["poses"] == 15
    assert {r["sequence"][:3] for r in result.breakdowns["sequence"]} == {"S11"}
    with pytest.raises(UserError, match="no sequence of subjects S5"):
        evaluate(pred, true, subjects=("S5",))


def test_options_and_fields_are_checked():
    pred, true = human36m()
    with pytest.raises(UserError, match="no option speed; it has subjects, missing, on_nan"):
        evaluate(pred, true, speed=3)
    with pytest.raises(UserError, match="missing must be one of 'refuse', 'skip', not 'ignore'"):
        evaluate(pred, true, missing="ignore")
    with pytest.raises(UserError, match="needs the truth's activity"):
        evaluate(pred, {k: v for k, v in true.items() if k != "activity"})
    with pytest.raises(UserError, match="no evaluation protocol 'h37m'; choose one of consistency, generic, human36m"):
        get_protocol("h37m")
    assert get_protocol("h36m") is get_protocol("human36m")
    with pytest.raises(UserError, match="several people in frame"):
        evaluate(pred, {**true, "frame": np.zeros(30, int)})
    with pytest.raises(UserError, match="metres"):
        Truth(**{**true, "poses3d_mm": true["poses3d_mm"] / 1000})


def test_every_protocol_says_what_it_assumes():
    for name, protocol in protocols().items():
        text = protocol.describe()
        assert name in text and protocol.title in text
        for aspect in ("joints", "root", "frames", "missing predictions"):
            assert protocol.statement.get(aspect) or aspect in ("frames",) and name == "mupots", (name, aspect)
        assert "option on_nan" in text
        assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("fmt", FORMATS)
def test_reports_print_in_every_format(fmt):
    pred, true = human36m()
    text = evaluate(pred, true).report(fmt)
    assert text.isprintable() or "\n" in text
    if fmt == "json":
        content = json.loads(text)
        assert set(content["results"][0]) >= {"mpjpe", "cps@200"}
        assert content["intervals"]["mpjpe"]["low"] < content["results"][0]["mpjpe"]
        assert len(content["breakdowns"]["activity"]) == 2 and content["statement"]["joints"].startswith("17")
    elif fmt != "csv":
        assert "PA-MPJPE" in text and "Eating" in text


def test_3dhp_scenes_follow_from_sequences():
    pred, true = human36m(names=MPI)
    sequence = [f"TS{1 + i % 6}" for i in range(30)]
    result = evaluate({**pred, "sequence": sequence}, {**true, "sequence": sequence}, "mpi_inf_3dhp")
    assert [(r["scene"], r["poses"]) for r in result.breakdowns["scene"]] == [(s, 10) for s in mpi_inf_3dhp.SCENES]
    assert [r["subset"] for r in result.rows] == ["all", "outdoor"]
    with pytest.raises(UserError, match="'TS61' is none of"):
        evaluate({**pred, "sequence": ["TS61"] * 30}, {**true, "sequence": ["TS61"] * 30}, "mpi_inf_3dhp")


def test_3dhp_universal_labels():
    pred, true = human36m(names=MPI)
    true |= {"scene": ["outdoor"] * 30}
    with pytest.raises(UserError, match="universal3d_mm"):
        evaluate(pred, true, "mpi_inf_3dhp", universal=True)
    true["universal3d_mm"] = pred["poses3d_mm"]
    assert evaluate(pred, true, "mpi_inf_3dhp", universal=True)["mpjpe"] == 0
    assert evaluate(pred, true, "mpi_inf_3dhp")["mpjpe"] > 0


def crowd():
    """Two frames of three people 200 px apart, and predictions of two of them in one frame and none in the other."""
    rng = np.random.default_rng(0)
    shape3d, shape2d = rng.normal(0, 300, (17, 3)), rng.normal(0, 60, (17, 2))
    at = np.array([0, 1, 2, 0, 1, 2])
    true = {
        "poses3d_mm": shape3d + np.stack([1000 * at, 0 * at, 0 * at + 4000], -1)[:, None],
        "poses2d_px": shape2d + np.stack([200 * at, 0 * at], -1)[:, None],
        "joint_names": MPI,
        "sequence": ["TS1"] * 3 + ["TS2"] * 3,
        "frame": [0] * 6,
    }
    keep = [2, 0]
    pred = {k: np.array(v)[keep] if k != "joint_names" else v for k, v in true.items()}
    return pred, true


def test_mupots_counts_unmatched_people():
    pred, true = crowd()
    result = evaluate(pred, true, "mupots")
    assert result["recall"] == pytest.approx(100 * 2 / 6) and result["mpjpe"] == 0
    assert result.counts["unmatched_labelled_people"] == 4 and result.counts["unmatched_predictions"] == 0
    official = result.breakdowns["official"]
    assert len(official) == 4 and {r["skeleton"] for r in official} == {"metric"}
    for row in official:  # TS1: two of three people; TS2: nobody, so no matched mean, and 0 of all
        assert row["pck_14j_matched@150"] == 100
        assert row["pck_14j_all@150"] == pytest.approx((100 * 2 / 3 + 0) / 2)


def test_mupots_prefers_the_first_label_and_the_most_joints():
    label, far = np.zeros((1, 13, 2)), np.full((1, 13, 2), 500.0)
    half = np.where(np.arange(13)[:, None] < 6, label, far)
    assert mupots.match_frame(np.concatenate([half, label, far]), np.concatenate([label, label, far])) == [
        (0, 1), (1, 0), (2, 2),
    ]  # fmt: skip
    assert mupots.match_frame(label + (39.9, -39.9), label) == [(0, 0)]
    assert mupots.match_frame(label + (40.0, 0.0), label) == []
    assert mupots.match_frame(np.zeros((0, 13, 2)), label) == []
    assert mupots.match_frame(label, np.full_like(label, np.nan)) == []


def test_mupots_without_any_match_or_prediction():
    pred, true = crowd()
    nobody = {k: v[:0] if k != "joint_names" else v for k, v in pred.items()}
    result = evaluate(nobody, true, "mupots")
    assert result["recall"] == 0 and np.isnan(result["mpjpe"])
    assert all(r["pck_14j_all@150"] == 0 for r in result.breakdowns["official"])
    with pytest.raises(UserError, match="need poses2d_px"):
        evaluate({k: v for k, v in pred.items() if k != "poses2d_px"}, true, "mupots")


def test_bone_rescaling_restores_a_resized_person_and_keeps_directions():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 300, (5, 17, 3))
    np.testing.assert_allclose(mupots.rescale_bones(true, true), true, atol=1e-9)
    smaller = 0.6 * true + (10, 20, 4000)
    pelvis = smaller[:, [14]] - true[:, [14]]
    np.testing.assert_allclose(mupots.rescale_bones(smaller, true) - pelvis, true, atol=1e-9)


def test_joints_of_a_like_convention_are_taken_for_the_protocols():
    names = get_skeleton("mpi_inf_3dhp_17").joint_names
    alike = tuple(n.replace("_3dhp", "_mupots") for n in names)
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 300, (4, 17, 3)) + (0, 0, 4000)
    about = {"joint_names": alike, "sequence": ["s1"] * 4, "frame": np.arange(4), "poses2d_px": poses[..., :2]}
    assert evaluate({**about, "poses3d_mm": poses}, {**about, "poses3d_mm": poses}, "mupots")["recall"] == 100
    truth = {**about, "poses3d_mm": poses, "activity": ["x"] * 4}
    result = evaluate({**about, "poses3d_mm": poses + 9}, truth, "mpi_inf_3dhp", scenes="none")
    assert result["a_mpjpe"] == pytest.approx(9 * 3**0.5) and "scene" not in result.breakdowns
    with pytest.raises(UserError, match="none of MPI-INF-3DHP's TS1..TS6"):
        evaluate({**about, "poses3d_mm": poses}, truth, "mpi_inf_3dhp")
    other = tuple(n.replace("_3dhp", "_h36m") for n in names)
    with pytest.raises(UserError, match="but not htop_3dhp"):
        evaluate({**about, "poses3d_mm": poses, "joint_names": other}, truth, "mupots")


def test_generic_arrays_give_the_standard_metrics_with_intervals():
    pred, true = human36m()
    result = generic.evaluate_arrays(
        pred["poses3d_mm"],
        true["poses3d_mm"],
        joint_names=H36M,
        labels={"sequence": true["sequence"], "activity": true["activity"]},
    )
    expected = metrics.standard_metrics(pred["poses3d_mm"], true["poses3d_mm"], root=0)
    assert {k: result[k] for k in expected} == pytest.approx(expected)
    assert result.intervals["mpjpe"][0] < result["mpjpe"] < result.intervals["mpjpe"][1]
    assert [r["joint"] for r in result.breakdowns["joint"]] == list(H36M)
    assert result.statement["root"] == "pelv_h36m"
    by_file = evaluate(pred, true, "generic")
    assert by_file.rows == result.rows and by_file.intervals == result.intervals


def test_generic_root_is_the_pelvis_or_the_middle_of_the_hips_or_named():
    assert generic.find_root(["lhip_x", "pelv_x", "rhip_x"]) == (1,)
    assert generic.find_root(["lhip_x", "head_x", "rhip_x"]) == (0, 2)
    with pytest.raises(UserError, match="name the root"):
        generic.find_root(["head_x"])
    pred, true = human36m()
    by_head = evaluate(pred, true, "generic", root="head_h36m", metrics=("mpjpe", "pck@100"))
    index = H36M.index("head_h36m")
    assert by_head["mpjpe"] == pytest.approx(metrics.mpjpe(pred["poses3d_mm"], true["poses3d_mm"], root=index))
    with pytest.raises(UserError, match="no joint 'nose'"):
        evaluate(pred, true, "generic", root="nose")


def test_generic_pairs_several_people_by_number():
    pred, true = human36m()
    people = {"frame": np.arange(30) // 5, "sequence": ["a"] * 30, "person": np.arange(30) % 5}
    pred, true = {**pred, **people}, {**true, **people}
    shuffled = rows(pred, np.random.default_rng(0).permutation(30))
    assert evaluate(shuffled, true, "generic").rows[0] == pytest.approx(evaluate(pred, true, "generic").rows[0])


def evaluate_file_of(truth, store, path):
    save_predictions(path, Predictions(truth.poses3d_mm, truth.joint_names, *row_names(store, "test")))
    return evaluate_file(path, store, protocol="generic")


def test_truth_from_store(tmp_path):
    from metrabs_acae.data.store import PoseStore

    store = PoseStore(small_stores.write_store(tmp_path / "store"))
    truth = truth_from_store(store, "test", with_2d=True)
    assert len(truth) == store.splits["test"] and truth.joint_names == store.skeleton.joint_names
    for i in range(len(truth)):
        example = store.row("test", i)
        camera = example.camera
        expected = (example.coords - camera.optical_center_mm) @ camera.R.T
        np.testing.assert_allclose(truth.poses3d_mm[i], expected, atol=1e-3)
        pixels = expected @ camera.K.T
        np.testing.assert_allclose(truth.poses2d_px[i], pixels[:, :2] / pixels[:, 2:], atol=1e-2)
    result = generic.evaluate(
        Predictions(truth.poses3d_mm, truth.joint_names, truth.sequence, truth.frame, truth.person), truth
    )
    assert result["a_mpjpe"] == 0
    assert evaluate_file_of(truth, store, tmp_path / "p.npz")["mpjpe"] == 0
    flat = PoseStore(small_stores.write_store(tmp_path / "flat", kind="2d"))
    with pytest.raises(UserError, match="2D labels only"):
        truth_from_store(flat, "test")
