"""Human3.6M: subjects 9 and 11, one person per frame, 17 joints."""

from __future__ import annotations

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.definitions import make_metrics
from metrabs_acae.evaluation.predictions import Predictions
from metrabs_acae.evaluation.protocols.base import MISSING_RULE, Protocol, pair_by_frame, score, usable, whole
from metrabs_acae.evaluation.results import Result
from metrabs_acae.evaluation.truth import Truth
from metrabs_acae.skeletons import get_skeleton

ACTIVITIES = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting", "SittingDown",
    "Smoking", "Photo", "Waiting", "Walking", "WalkDog", "WalkTogether",
)  # fmt: skip
"""In the order in which papers print them."""

STATEMENT = {
    "joints": "17 (h36m_17); 25-joint predictions are reduced to them by name",
    "root": "pelvis, subtracted from prediction and label",
    "alignment": "protocol 1: root only (MPJPE, PCK, AUC, CPS); protocol 2: Procrustes with scale over all 17 joints "
    "(PA-MPJPE)",
    "frames": "subjects S9 and S11, 15 activities x 2, 4 cameras, every 64th frame; labels as released (S9's known "
    "offset in some sequences is not corrected unless the truth is)",
    "averages": "overall = mean over all poses, not over activities",
    "people": "one per frame",
    "missing predictions": MISSING_RULE,
}


def evaluate(
    predictions: Predictions,
    truth: Truth,
    *,
    subjects: tuple[str, ...] | None = None,
    missing: str = "refuse",
    on_nan: str = "refuse",
) -> Result:
    """Scores Human3.6M.

    Args:
        predictions, truth: `sequence` names start with the subject (``"S9_..."``); the truth has `activity`.
        subjects: only these, e.g. ``("S11",)``; None: all of the truth.
        missing, on_nan: see `base.MISSING_RULE`.
    """
    truth.require("activity", benchmark="Human3.6M")
    joints = get_skeleton("h36m_17").joint_names
    truth = truth.select_joints(joints)
    if subjects is not None:
        chosen = np.array([s.partition("_")[0] in subjects for s in truth.sequence], bool)
        if not chosen.any():
            raise UserError(f"The truth has no sequence of subjects {', '.join(subjects)}; names start with 'S9_' etc.")
        truth = truth.rows(chosen)
    predictions, counts = usable(predictions, joints, on_nan)
    pred_index, truth_index, paired = pair_by_frame(predictions, truth, missing)
    truth = truth.rows(truth_index)
    scored = score(
        predictions.poses3d_mm[pred_index],
        truth.poses3d_mm,
        make_metrics(),
        root=joints.index("pelv_h36m"),
        joint_names=joints,
        labels={"activity": truth.activity, "sequence": truth.sequence},
    )
    others = sorted(set(truth.activity) - set(ACTIVITIES))
    return Result(
        protocol=PROTOCOL.name,
        statement=STATEMENT,
        options={"subjects": "all" if subjects is None else ", ".join(subjects), "missing": missing, "on_nan": on_nan},
        rows=[whole(scored)],
        intervals=scored.intervals("sequence"),
        scored=scored,
        breakdowns={
            "activity": scored.by("activity", (*ACTIVITIES, *others)),
            "sequence": scored.by("sequence"),
            "joint": scored.by_joint(),
        },
        counts={**counts, **paired, "poses_scored": scored.n_poses},
    )


PROTOCOL = Protocol("human36m", "Human3.6M", STATEMENT, evaluate, aliases=("h36m",))
