"""3DPW: several people with identities, 24 SMPL joints; predictions are associated to the labelled tracks."""

from __future__ import annotations

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.definitions import Metric, make_metric, make_metrics
from metrabs_acae.evaluation.prediction_settings import PredictionSettings
from metrabs_acae.evaluation.predictions import Predictions, row_codes
from metrabs_acae.evaluation.protocols.association import associate, follow, given_identities
from metrabs_acae.evaluation.protocols.base import Protocol, choose, natural_order, score, usable, whole
from metrabs_acae.evaluation.results import Result
from metrabs_acae.evaluation.truth import Truth

JOINTS = tuple(
    f"{j}_smpl"
    for j in (
        "pelv,lhip,rhip,bell,lkne,rkne,spin,lank,rank,thor,ltoe,rtoe,neck,lcla,rcla,head,lsho,rsho,lelb,relb,lwri,rwri,"
        "lhan,rhan"
    ).split(",")
)
"""SMPL's own order, pelvis first."""
MAJOR_JOINTS = (1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21)
"""Hips, knees, ankles, shoulders, elbows, wrists."""
MINOR_JOINTS = tuple(j for j in range(24) if j not in MAJOR_JOINTS)
NCPS_THRESHOLDS_MM = (50, 75, 100, 125, 150)

FOURTEEN = (*MAJOR_JOINTS, 12, 15)
"""The major joints, neck and head: the places, in SMPL's definition, of the 14 joints of LSP."""
ASSOCIATIONS = {"2d": associate, "tracks": follow, "given": given_identities}

SMOOTHING = {
    # kernel over frames t - before .. t + after
    "acausal": (2.0 ** -np.abs(np.arange(-5, 6)) / np.sum(2.0 ** -np.abs(np.arange(-5, 6))), 5, 5),
    "causal": (np.array([1, 2, 2, 4, 12]) / 21, 3, 1),
}

STATEMENT = {
    "joints": "24 SMPL joints for MPJPE, PA-MPJPE and the paper's block; 'major' metrics score the 12 major ones "
    "(hips, knees, ankles, shoulders, elbows, wrists), 'minor' PCK@50 the other 12",
    "14 joints": "option joints=14: the 12 major joints, neck and head of SMPL, relative to the middle of the hips, "
    "with Procrustes over these 14; no challenge metrics. Papers with 14 joints regress those of LSP or Human3.6M from "
    "the body surface, which 24 joints do not determine: compare within one definition only",
    "root": "pelvis (joint 0), subtracted from prediction and label",
    "alignment": "root only; Procrustes with scale over all 24 joints (PA-MPJPE, NCPS); none (A-MPJPE, APCK)",
    "AUC": "auc@t: exact integral; auc51_major@199: the challenge's, trapezoid over 51 thresholds from 0 to 199 mm",
    "NCPS": "share of poses whose worst major joint is within the threshold (inclusive) after Procrustes alignment",
    "frames": "labelled people with finite 3D joints and, where 2D confidences are given, any 2D label; of all "
    "sequences (option subset='test': of the official test split only, which the truth's activity column names)",
    "association": "'2d': per frame, Hungarian on the mean of max(0, 1 - distance / size) over shoulders, elbows, hips "
    "and knees with 2D confidence of at least 0.2, size = right shoulder to left hip of the prediction; with fewer "
    "than 5 such joints, comparison is with the track's previous associated prediction instead; similarity 0 is no "
    "match. 'tracks': so only in the first frame in which a track's label is matched; from then on the track takes the "
    "prediction that resembles its last one most, without labels (the reference follows segmentation masks instead). "
    "'given': by the person numbers",
    "missing predictions": "the last associated pose of the track (before the first: the first); a track without any "
    "is refused (option missing='skip': left out and counted); unassociated predictions are ignored and counted; a "
    "prediction that is not finite is refused (option on_nan='drop': treated as missing)",
    "smoothing": "none by default; 'acausal': weights 2^-|k|, |k| <= 5; 'causal': (1, 2, 2, 4, 12) / 21 over frames "
    "t-3 .. t+1 (it looks one frame ahead); both over a track's scored frames, symmetric padding",
}


def evaluate(
    predictions: Predictions,
    truth: Truth,
    *,
    association: str = "2d",
    joints: int = 24,
    subset: str = "all",
    smoothing: str = "none",
    missing: str = "refuse",
    on_nan: str = "refuse",
) -> Result:
    """Scores 3DPW.

    Args:
        predictions: with `poses2d_px`, except for association ``"given"``.
        truth: `person` is the identity within the sequence; except for ``"given"`` with `poses2d_px` of the shoulders,
            elbows, hips and knees (`joint_names_2d`, any suffix), and `confidence2d` unless all are confident.
        association: ``"2d"``, ``"tracks"`` or ``"given"``.
        joints: 24, or 14 of them.
        subset: ``"all"``, or ``"test"`` for the sequences whose activity is ``"test"``.
        smoothing: ``"none"``, ``"causal"`` or ``"acausal"``.
        missing, on_nan: see `STATEMENT`.
    """
    choose("association", association, tuple(ASSOCIATIONS))
    choose("joints", joints, (24, 14))
    choose("subset", subset, ("all", "test"))
    choose("smoothing", smoothing, ("none", *SMOOTHING))
    choose("missing", missing, ("refuse", "skip"))
    if association != "given":
        truth.require("poses2d_px", benchmark="3DPW's association in 2D")
    if subset == "test":
        truth = official_test_split(truth)
    truth = truth.select_joints(JOINTS)
    labelled = np.isfinite(truth.poses3d_mm).all((1, 2))
    if truth.confidence2d is not None:
        labelled &= (truth.confidence2d > 0).any(1)
    unlabelled, truth = int((~labelled).sum()), truth.rows(labelled)
    predictions, counts = usable(predictions, JOINTS, on_nan, needs_2d=association != "given")
    associated = ASSOCIATIONS[association](predictions, truth)
    used = associated[associated >= 0]
    counts |= {
        "unlabelled_people_left_out": unlabelled,
        "labelled_people": len(truth),
        "predictions_not_associated": len(predictions) - len(used),
    }
    filled, never = fill_tracks(associated, truth)
    if not (filled >= 0).any():
        raise UserError(
            f"None of {len(predictions)} predictions belongs to any of {len(truth)} labelled people; are the sequence "
            "names, the frame numbers and the association right?"
        )
    if never and missing == "refuse":
        raise UserError(
            f"{len(never)} labelled tracks have no prediction in any frame (first: {', '.join(never[:3])}); predict "
            "them, or pass missing='skip' to leave them out."
        )
    counts |= {"filled_from_another_frame": int(((associated < 0) & (filled >= 0)).sum())}
    counts |= {"skipped_people_of_missing_tracks": int((filled < 0).sum())}
    truth, pred = truth.rows(filled >= 0), predictions.poses3d_mm[filled[filled >= 0]]
    if smoothing != "none":
        pred = smooth_tracks(pred, truth, smoothing)
    scored_joints = list(range(24) if joints == 24 else FOURTEEN)
    scored = score(
        pred[:, scored_joints],
        truth.poses3d_mm[:, scored_joints],
        (*make_metrics(), *(challenge_metrics() if joints == 24 else ())),
        root=0 if joints == 24 else (0, 1),  # the pelvis, or both hips
        joint_names=[JOINTS[j] for j in scored_joints],
        labels={"sequence": truth.sequence},
    )
    return Result(
        protocol=PROTOCOL.name,
        statement=STATEMENT,
        options={
            "association": association,
            "joints": joints,
            "subset": subset,
            "smoothing": smoothing,
            "missing": missing,
            "on_nan": on_nan,
        },
        rows=[whole(scored)],
        intervals=scored.intervals("sequence"),
        scored=scored,
        breakdowns={
            "sequence": scored.by("sequence", natural_order(truth.sequence)),
            "joint": scored.by_joint(),
        },
        counts={**counts, "poses_scored": scored.n_poses},
    )


def official_test_split(truth: Truth) -> Truth:
    """The rows whose activity is ``"test"``: a store of 3DPW names the official split there."""
    truth.require("activity", benchmark="3DPW's official test split")
    chosen = truth.activity == "test"
    if not chosen.any():
        raise UserError(
            "No labelled person is of the official test split: the activity column must say 'test', it says "
            f"{', '.join(sorted(set(truth.activity))[:5])}."
        )
    return truth.rows(chosen)


def challenge_metrics() -> tuple[Metric, ...]:
    """The metrics of the 3DPW challenge beyond MPJPE and PA-MPJPE."""
    major = ("pck@50", "auc51@199", "apck@150", *(f"ncps@{t}" for t in NCPS_THRESHOLDS_MM), "auc_ncps@300")

    def renamed(name, joints, word):
        family, _, threshold = name.partition("@")
        return make_metric(name, joints=joints, rename=f"{family}_{word}@{threshold}")

    return (*(renamed(n, MAJOR_JOINTS, "major") for n in major), renamed("pck@50", MINOR_JOINTS, "minor"))


def tracks(truth: Truth) -> list[np.ndarray]:
    """Rows of each person of each sequence, by frame."""
    codes = row_codes(truth.sequence, truth.person)
    order = np.lexsort((truth.frame, codes))
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else []


def fill_tracks(associated: np.ndarray, truth: Truth) -> tuple[np.ndarray, list[str]]:
    """Gives people without a prediction the last one of their track (before the first: the first).

    Returns:
        [P] rows of predictions (-1 only in tracks that have none), and the names of those tracks.
    """
    filled, never = associated.copy(), []
    for rows in tracks(truth):
        values = associated[rows]
        present = np.flatnonzero(values >= 0)
        if not len(present):
            never.append(f"{truth.sequence[rows[0]]} person {truth.person[rows[0]]}")
            continue
        last = np.maximum.accumulate(np.where(values >= 0, np.arange(len(rows)), -1))
        filled[rows] = values[np.where(last >= 0, last, present[0])]
    return filled, never


def smooth(poses: np.ndarray, kind: str) -> np.ndarray:
    """Temporal smoothing of one track [T, ...]; `kind` as in `SMOOTHING`."""
    weights, before, after = SMOOTHING[kind]
    padded = np.pad(poses, [(before, after)] + [(0, 0)] * (poses.ndim - 1), mode="symmetric")
    return sum(w * padded[k : k + len(poses)] for k, w in enumerate(weights))


def smooth_tracks(pred_mm: np.ndarray, truth: Truth, kind: str) -> np.ndarray:
    """Predictions [P, 24, 3], one per labelled person, smoothed along every track."""
    smoothed = np.empty_like(pred_mm)
    for rows in tracks(truth):
        smoothed[rows] = smooth(pred_mm[rows], kind)
    return smoothed


PROTOCOL = Protocol(
    "3dpw",
    "3DPW",
    STATEMENT,
    evaluate,
    prediction=PredictionSettings(boxes="detector", suppress_implausible_poses=True, known_camera=False),
    needs_2d=lambda options: options["association"] != "given",
)
