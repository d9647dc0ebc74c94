"""MPI-INF-3DHP: test sequences TS1-TS6, one person per frame, 17 joints."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.definitions import STANDARD, make_metric, make_metrics
from metrabs_acae.evaluation.prediction_settings import PredictionSettings
from metrabs_acae.evaluation.predictions import Predictions
from metrabs_acae.evaluation.protocols.base import (
    MISSING_RULE,
    Protocol,
    choose,
    natural_order,
    pair_by_frame,
    score,
    under_protocol_names,
    usable,
    whole,
)
from metrabs_acae.evaluation.results import Result
from metrabs_acae.evaluation.truth import Truth
from metrabs_acae.skeletons import get_skeleton

ACTIVITIES = ("Stand/Walk", "Exercise", "Sit on Chair", "Reach/Crouch", "On Floor", "Sports", "Misc.")
SCENES = ("green-screen", "no-green-screen", "outdoor")
OFFICIAL_JOINTS = tuple(range(14))
"""Head top, neck, arms and legs: what the benchmark's own PCK and AUC score; not pelvis, spine, head."""

STATEMENT = {
    "joints": "17 (mpi_inf_3dhp_17) for the paper's block; the benchmark's own PCK and AUC score the first 14",
    "root": "pelvis (joint 14), subtracted from prediction and label",
    "alignment": "root only; Procrustes with scale over all 17 joints where the name says PA",
    "labels": "metric (annot3); option universal=True: rescaled to the universal skeleton (univ_annot3)",
    "AUC": "auc@t: exact integral; auc31@150: the benchmark's own, mean PCK at 31 thresholds from 0 to 150 mm",
    "frames": "valid frames of TS1-TS6; scenes: green screen (TS1-2), no green screen (TS3-4), outdoor (TS5-6); option "
    "scenes='none' for other data",
    "people": "one per frame (the detection of highest score)",
    "missing predictions": MISSING_RULE,
}


def evaluate(
    predictions: Predictions,
    truth: Truth,
    *,
    universal: bool = False,
    scenes: str = "official",
    missing: str = "refuse",
    on_nan: str = "refuse",
) -> Result:
    """Scores MPI-INF-3DHP.

    Args:
        truth: with `activity` (as `ACTIVITIES`) and `scene` (as `SCENES`; absent: from sequence names "TS1".."TS6").
        universal: score against `universal3d_mm`.
        scenes: ``"official"``, or ``"none"`` for data that are not of TS1-TS6: no scenes and no outdoor column.
        missing, on_nan: see `base.MISSING_RULE`.

    Returns:
        rows: all scenes, and outdoor only. ``activity`` and ``scene`` breakdowns hold the benchmark's own metrics:
        ``pck_14j@150``, ``auc31_14j@150``, ``mpjpe`` and their Procrustes-aligned versions.
    """
    choose("scenes", scenes, ("official", "none"))
    truth = with_scene(truth) if scenes == "official" else replace(truth, scene=np.full(len(truth), ""))
    truth.require("activity", *(["universal3d_mm"] if universal else []), benchmark="MPI-INF-3DHP")
    joints = get_skeleton("mpi_inf_3dhp_17").joint_names
    truth = under_protocol_names(truth, joints).select_joints(joints)
    predictions, counts = usable(predictions, joints, on_nan)
    pred_index, truth_index, paired = pair_by_frame(predictions, truth, missing)
    truth = truth.rows(truth_index)
    scored = score(
        predictions.poses3d_mm[pred_index],
        truth.universal3d_mm if universal else truth.poses3d_mm,
        (*make_metrics(), *official_metrics()),
        root=joints.index("pelv_3dhp"),
        joint_names=joints,
        labels={"activity": truth.activity, "scene": truth.scene, "sequence": truth.sequence},
    )
    official = ("mpjpe", "pa_mpjpe", *(m.name for m in official_metrics()))
    outdoor = [{"subset": "outdoor", **_only(row, (*STANDARD, *official))} for row in scored.by("scene", ("outdoor",))]

    def breakdown(label, order):
        return [{label: row[label], **_only(row, official)} for row in scored.by(label, order)]

    return Result(
        protocol=PROTOCOL.name,
        statement=STATEMENT,
        options={"universal": universal, "scenes": scenes, "missing": missing, "on_nan": on_nan},
        rows=[whole(scored), *outdoor],
        intervals=scored.intervals("sequence"),
        scored=scored,
        breakdowns={
            "activity": breakdown("activity", (*ACTIVITIES, *sorted(set(truth.activity) - set(ACTIVITIES)))),
            **(
                {"scene": breakdown("scene", (*SCENES, *sorted(set(truth.scene) - set(SCENES))))}
                if (truth.scene != "").any()
                else {}
            ),
            "sequence": scored.by("sequence", natural_order(truth.sequence)),
            "joint": scored.by_joint(),
        },
        counts={**counts, **paired, "poses_scored": scored.n_poses},
    )


def with_scene(truth: Truth) -> Truth:
    """The truth with its scenes, which follow from the number of the test sequence."""
    if truth.scene is not None:
        return truth
    numbers = [re.match(r"TS([1-6])(?!\d)", s) for s in truth.sequence]
    if not all(numbers):
        unknown = truth.sequence[numbers.index(None)]
        raise UserError(
            f"Sequence '{unknown}' is none of MPI-INF-3DHP's TS1..TS6; name it so, or give each row a scene."
        )
    return replace(truth, scene=np.array([SCENES[(int(m[1]) - 1) // 2] for m in numbers], str))


def official_metrics():
    """The benchmark's own PCK and AUC, and both after Procrustes alignment."""
    names = {"pck@150": "pck_14j@150", "auc31@150": "auc31_14j@150", "pa_pck@150": "pa_pck_14j@150"}
    names |= {"pa_auc31@150": "pa_auc31_14j@150"}
    return tuple(make_metric(n, joints=OFFICIAL_JOINTS, rename=r) for n, r in names.items())


def _only(row, names):
    return {"poses": row["poses"], **{n: row[n] for n in dict.fromkeys(names)}}


PROTOCOL = Protocol(
    "mpi_inf_3dhp",
    "MPI-INF-3DHP",
    STATEMENT,
    evaluate,
    prediction=PredictionSettings(boxes="detector", detector_threshold=0.0, max_detections=1),
)
