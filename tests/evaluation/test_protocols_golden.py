"""Every number of the reference's evaluation scripts, from the same arrays.

Both sides compute in float64 from the same inputs, so the project's tolerance of 1e-3 mm or points is loose; only the
smoothed tracks were stored by a float32 computation.
"""

import itertools

import numpy as np
import pytest

from metrabs_acae.evaluation.definitions import STANDARD
from metrabs_acae.evaluation.metrics import pa_mpjpe
from metrabs_acae.evaluation.predictions import Predictions
from metrabs_acae.evaluation.protocols import get_protocol, human36m, mpi_inf_3dhp, mupots, threedpw
from metrabs_acae.evaluation.truth import Truth
from metrabs_acae.geometry.alignment import procrustes
from metrabs_acae.skeletons import get_skeleton
from tests.golden import golden

TOLERANCE = 1e-3


def pair(arrays, joint_names, *, sequence="S9_a", **fields):
    """Predictions and truth of the golden poses, one per frame."""
    n = len(arrays["true"])
    frame, sequence = np.arange(n), np.full(n, sequence) if isinstance(sequence, str) else np.array(sequence)
    return Predictions(arrays["pred"], joint_names, sequence, frame), Truth(
        arrays["true"], joint_names, sequence, frame, **fields
    )


def close(got, expected, tolerance=TOLERANCE):
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


def test_aligned_errors():
    z = golden("g3_align")
    close(pa_mpjpe(z["pred"], z["true"]), z["mpjpe_pa"])
    rigid = procrustes(z["pred"], z["true"], allow_scaling=False)
    close(np.linalg.norm(rigid - z["true"], axis=-1).mean(), z["mpjpe_rigid"])


@pytest.mark.parametrize("root_last", [0, 1])
def test_human36m(root_last):
    """The golden array's root stands first or last; joints are found by name either way."""
    z = golden("g3_h36m")
    names = list(get_skeleton("h36m_17").joint_names)
    if root_last:
        names = [*names[1:], names[0]]
    predictions, truth = pair(z, names, activity=z["activity"])
    result = get_protocol("human36m").evaluate(predictions, truth)
    close([result[m] for m in STANDARD], z[f"wacv23_rootlast{root_last}"])
    rows = result.breakdowns["activity"]
    assert [r["activity"] for r in rows] == list(human36m.ACTIVITIES)
    for metric, key in (("mpjpe", "procrustes0"), ("pa_mpjpe", "procrustes1")):
        close([*(r[metric] for r in rows), result[metric]], z[f"evaluate_rootlast{root_last}_{key}"])


def test_mpi_inf_3dhp():
    z = golden("g3_3dhp")
    names = get_skeleton("mpi_inf_3dhp_17").joint_names
    predictions, truth = pair(z, names, activity=z["activity"], scene=z["scene"])
    result = get_protocol("mpi_inf_3dhp").evaluate(predictions, truth)
    every, outdoor = result.rows
    groups = (STANDARD[:3], STANDARD[3:9], STANDARD[9:15], STANDARD[15:])
    close([row[m] for group in groups for row in (every, outdoor) for m in group], z["wacv23"])
    activities, scenes = result.breakdowns["activity"], result.breakdowns["scene"]
    assert [r["activity"] for r in activities] == list(mpi_inf_3dhp.ACTIVITIES)
    for procrustes_aligned, prefix in ((0, ""), (1, "pa_")):
        pck = [r[f"{prefix}pck_14j@150"] for r in (*activities, *scenes, every)]
        expected = z[f"evaluate_procrustes{procrustes_aligned}"]
        close([*pck, every[f"{prefix}auc31_14j@150"], every[f"{prefix}mpjpe"]], expected)


def test_threedpw_metrics():
    z = golden("g3_3dpw")
    predictions, truth = pair(z, threedpw.JOINTS)
    result = get_protocol("3dpw").evaluate(predictions, truth, association="given")
    close([result[m] for m in STANDARD], z["wacv23"])
    main = (
        "mpjpe", "pa_mpjpe", "pck_major@50", "auc51_major@199", "ncps_major@125", "auc_ncps_major@300",
        "apck_major@150", "a_mpjpe", "pck_minor@50",
    )  # fmt: skip
    close([result[m] for m in main], z["main9"])
    close([result[f"ncps_major@{t}"] for t in threedpw.NCPS_THRESHOLDS_MM], z["ncps5"])


@pytest.mark.parametrize("kind", ["causal", "acausal"])
def test_threedpw_smoothing(kind):
    z = golden("g3_3dpw")
    close([threedpw.smooth(track, kind) for track in z["tracks"]], z[kind])


def mupots_arrays():
    z = golden("g3_mupots")
    names = get_skeleton("mpi_inf_3dhp_17").joint_names

    def sequences(indices):
        return np.array([f"TS{i + 1}" for i in indices])

    predictions = Predictions(z["pr_pred3d"], names, sequences(z["pr_seq"]), z["pr_frame"], poses2d_px=z["pr_pred2d"])
    truth = Truth(
        z["gt_true3d"],
        names,
        sequences(z["gt_seq"]),
        z["gt_frame"],
        universal3d_mm=z["gt_univ3d"],
        poses2d_px=z["gt_true2d"],
    )
    return z, predictions, truth


def test_mupots_matching_and_bone_rescaling():
    z, predictions, truth = mupots_arrays()
    assert mupots.match_frame(z["match_pred2d"], z["match_true2d"]) == [tuple(p) for p in z["match_pairs"]]
    pred_index, truth_index, counts = mupots.match(predictions, truth)
    close(predictions.poses3d_mm[pred_index], z["matched_pred"])
    close(truth.poses3d_mm[truth_index], z["matched_true"])
    close(truth.universal3d_mm[truth_index], z["matched_true_univ"])
    close(mupots.rescale_bones(z["matched_pred"], z["matched_true"]), z["rescaled_pred"])
    assert counts["matched_people"] == z["n_matched"].sum()
    assert counts["labelled_people"] == z["n_annotated"].sum()


def test_mupots_tables():
    z, predictions, truth = mupots_arrays()
    result = get_protocol("mupots").evaluate(predictions, truth)
    close([result[m] for m in STANDARD], z["wacv23"])
    close(result["recall"] / 100, z["recall"])
    keys = {
        "mpjpe14": "mpjpe_14j", "mpjpe16": "mpjpe_16j", "mpjpe17": "mpjpe_17j",
        "pck_matched": "pck_14j_matched@150", "auc_matched": "auc31_14j_matched@150",
        "pck_all_anno": "pck_14j_all@150", "auc_all_anno": "auc31_14j_all@150",
    }  # fmt: skip
    skeletons = {"univ": "universal", "nonuniv": "metric"}
    alignments = {"rootrel": "root-relative", "nonrootrel": "absolute"}
    bones = {"rescale": "rescaled", "norescale": "as predicted"}
    for s, a, b in itertools.product(skeletons, alignments, bones):
        variant = {"skeleton": skeletons[s], "alignment": alignments[a], "bones": bones[b]}
        rows = [r for r in result.breakdowns["official_sequences"] if variant.items() <= r.items()]
        mean = next(r for r in result.breakdowns["official"] if variant.items() <= r.items())
        assert [r["matched"] for r in rows] == z["n_matched"].tolist()
        assert [r["people"] for r in rows] == z["n_annotated"].tolist()
        for theirs, ours in keys.items():
            close([*(r[ours] for r in rows), mean[ours]], z[f"eval_{s}_{a}_{b}_{theirs}"])


def test_every_golden_number_is_used():
    """A key added to the golden files must find its way into a test."""
    used = {
        "g3_h36m": {"true", "pred", "activity"}
        | {f"{k}_rootlast{r}{p}" for r in "01" for k, p in (
            ("wacv23", ""), ("evaluate", "_procrustes0"), ("evaluate", "_procrustes1"))},
        "g3_3dhp": {"true", "pred", "activity", "scene", "wacv23", "evaluate_procrustes0", "evaluate_procrustes1"},
        "g3_3dpw": {"true", "pred", "main9", "ncps5", "wacv23", "tracks", "causal", "acausal"},
    }  # fmt: skip
    for name, keys in used.items():
        assert set(golden(name)) == keys
