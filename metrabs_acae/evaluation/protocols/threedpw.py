"""3DPW: several people with identities, 24 SMPL joints; predictions are associated to the labelled tracks."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.definitions import Metric, make_metric, make_metrics
from metrabs_acae.evaluation.predictions import Predictions, joint_positions, row_codes
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

ASSOCIATION_JOINTS = ("lsho", "rsho", "lelb", "relb", "lhip", "rhip", "lkne", "rkne")
MIN_CONFIDENCE = 0.2
MIN_ASSOCIATION_JOINTS = 5

SMOOTHING = {
    # kernel over frames t - before .. t + after
    "acausal": (2.0 ** -np.abs(np.arange(-5, 6)) / np.sum(2.0 ** -np.abs(np.arange(-5, 6))), 5, 5),
    "causal": (np.array([1, 2, 2, 4, 12]) / 21, 3, 1),
}

STATEMENT = {
    "joints": "24 SMPL joints for MPJPE, PA-MPJPE and the paper's block; 'major' metrics score the 12 major ones "
    "(hips, knees, ankles, shoulders, elbows, wrists), 'minor' PCK@50 the other 12",
    "root": "pelvis (joint 0), subtracted from prediction and label",
    "alignment": "root only; Procrustes with scale over all 24 joints (PA-MPJPE, NCPS); none (A-MPJPE, APCK)",
    "AUC": "auc@t: exact integral; auc51_major@199: the challenge's, trapezoid over 51 thresholds from 0 to 199 mm",
    "NCPS": "share of poses whose worst major joint is within the threshold (inclusive) after Procrustes alignment",
    "frames": "labelled people with finite 3D joints and, where 2D confidences are given, any 2D label",
    "association": "'2d': per frame, Hungarian on the mean of max(0, 1 - distance / size) over shoulders, elbows, hips "
    "and knees with 2D confidence of at least 0.2, size = right shoulder to left hip of the prediction; with fewer "
    "than 5 such joints, comparison is with the track's previous associated prediction instead; similarity 0 is no "
    "match. 'given': by the person numbers",
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
    smoothing: str = "none",
    missing: str = "refuse",
    on_nan: str = "refuse",
) -> Result:
    """Scores 3DPW.

    Args:
        predictions: for association ``"2d"`` with `poses2d_px`.
        truth: `person` is the identity within the sequence; for ``"2d"`` with `poses2d_px` of the shoulders,
            elbows, hips and knees (`joint_names_2d`, any suffix), and `confidence2d` unless all are confident.
        association: ``"2d"`` or ``"given"``.
        smoothing: ``"none"``, ``"causal"`` or ``"acausal"``.
        missing, on_nan: see `STATEMENT`.
    """
    choose("association", association, ("2d", "given"))
    choose("smoothing", smoothing, ("none", *SMOOTHING))
    choose("missing", missing, ("refuse", "skip"))
    if association == "2d":
        truth.require("poses2d_px", benchmark="3DPW's association in 2D")
    truth = truth.select_joints(JOINTS)
    labelled = np.isfinite(truth.poses3d_mm).all((1, 2))
    if truth.confidence2d is not None:
        labelled &= (truth.confidence2d > 0).any(1)
    unlabelled, truth = int((~labelled).sum()), truth.rows(labelled)
    predictions, counts = usable(predictions, JOINTS, on_nan, needs_2d=association == "2d")
    associated = associate(predictions, truth) if association == "2d" else given_identities(predictions, truth)
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
    scored = score(
        pred,
        truth.poses3d_mm,
        (*make_metrics(), *challenge_metrics()),
        root=0,
        joint_names=JOINTS,
        labels={"sequence": truth.sequence},
    )
    return Result(
        protocol=PROTOCOL.name,
        statement=STATEMENT,
        options={"association": association, "smoothing": smoothing, "missing": missing, "on_nan": on_nan},
        rows=[whole(scored)],
        intervals=scored.intervals("sequence"),
        breakdowns={
            "sequence": scored.by("sequence", natural_order(truth.sequence)),
            "joint": scored.by_joint(),
        },
        counts={**counts, "poses_scored": scored.n_poses},
    )


def challenge_metrics() -> tuple[Metric, ...]:
    """The metrics of the 3DPW challenge beyond MPJPE and PA-MPJPE."""
    major = ("pck@50", "auc51@199", "apck@150", *(f"ncps@{t}" for t in NCPS_THRESHOLDS_MM), "auc_ncps@300")

    def renamed(name, joints, word):
        family, _, threshold = name.partition("@")
        return make_metric(name, joints=joints, rename=f"{family}_{word}@{threshold}")

    return (*(renamed(n, MAJOR_JOINTS, "major") for n in major), renamed("pck@50", MINOR_JOINTS, "minor"))


def associate(predictions: Predictions, truth: Truth) -> np.ndarray:
    """[P] for each labelled person the row of the prediction, or -1; both with 2D joints."""
    wanted = [f"{j}_smpl" for j in ASSOCIATION_JOINTS]
    pred2d = predictions.poses2d_px[:, joint_positions(predictions.joint_names, wanted, "The predictions have")]
    bare = [n.partition("_")[0] for n in truth.joint_names_2d]
    index = joint_positions(bare, ASSOCIATION_JOINTS, "The 2D labels have")
    true2d = np.nan_to_num(truth.poses2d_px[:, index])
    confident = np.isfinite(truth.poses2d_px[:, index]).all(-1)
    if truth.confidence2d is not None:
        confident &= truth.confidence2d[:, index] >= MIN_CONFIDENCE
    size = np.linalg.norm(pred2d[:, 1] - pred2d[:, 4], axis=-1)  # right shoulder, left hip

    codes = row_codes(*(np.concatenate([getattr(truth, c), getattr(predictions, c)]) for c in ("sequence", "frame")))
    truth_codes, pred_codes = codes[: len(truth)], codes[len(truth) :]
    candidates: dict[int, list[int]] = {}
    for i, code in enumerate(pred_codes):
        candidates.setdefault(int(code), []).append(i)
    rows_of_frame: dict[int, list[int]] = {}
    for i in np.lexsort((truth.person, truth.frame, truth.sequence)):
        rows_of_frame.setdefault(int(truth_codes[i]), []).append(int(i))

    associated = np.full(len(truth), -1, np.int64)
    previous: dict[tuple[str, int], int] = {}
    for code, rows in rows_of_frame.items():
        found = np.array(candidates.get(code, []), np.int64)
        if not len(found):
            continue
        similarity = np.zeros((len(rows), len(found)))
        for k, row in enumerate(rows):
            reference, usable_joints = true2d[row], confident[row]
            if usable_joints.sum() < MIN_ASSOCIATION_JOINTS:
                last = previous.get((truth.sequence[row], int(truth.person[row])))
                if last is None:
                    continue
                reference, usable_joints = pred2d[last], np.ones(len(ASSOCIATION_JOINTS), bool)
            distance = np.linalg.norm(pred2d[found][:, usable_joints] - reference[usable_joints], axis=-1)
            closeness = 1.0 - distance / np.maximum(size[found], 1e-9)[:, None]
            similarity[k] = np.maximum(0.0, closeness).mean(-1)
        for k, j in zip(*linear_sum_assignment(similarity, maximize=True), strict=True):
            if similarity[k, j] > 0:
                associated[rows[k]] = found[j]
                previous[truth.sequence[rows[k]], int(truth.person[rows[k]])] = int(found[j])
    return associated


def given_identities(predictions: Predictions, truth: Truth) -> np.ndarray:
    """[P] the row of the prediction with the same sequence, frame and person, or -1."""
    columns = ("sequence", "frame", "person")
    codes = row_codes(*(np.concatenate([getattr(truth, c), getattr(predictions, c)]) for c in columns))
    row = {int(code): i for i, code in enumerate(codes[len(truth) :])}
    return np.array([row.get(int(code), -1) for code in codes[: len(truth)]], np.int64)


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


PROTOCOL = Protocol("3dpw", "3DPW", STATEMENT, evaluate)
