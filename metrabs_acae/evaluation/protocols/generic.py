"""Any labelled data, for instance the synthetic stores: poses of one skeleton, paired by sequence, frame and person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metrabs_acae.evaluation.definitions import STANDARD, make_metrics
from metrabs_acae.evaluation.predictions import Predictions
from metrabs_acae.evaluation.protocols.base import Protocol, pair_by_frame, score, usable, whole
from metrabs_acae.evaluation.results import Result
from metrabs_acae.evaluation.root import Root, find_root, in_words
from metrabs_acae.evaluation.truth import Truth

STATEMENT = {
    "joints": "all joints of the truth that are labelled (finite), by name",
    "root": "the pelvis if the skeleton has one, else the middle of the hips; option root=JOINT, or root=mean: the "
    "mean of the labelled joints",
    "alignment": "root-relative (MPJPE, PCK, AUC, CPS), Procrustes with scale (PA-MPJPE), none (A-MPJPE, APCK, A-AUC)",
    "frames": "all labelled people, pooled: every labelled joint has the same weight",
    "people": "paired by sequence, frame and person number",
    "missing predictions": "refused (option missing='skip': left out and counted); not finite: refused (option "
    "on_nan='drop': treated as missing); predictions of other people and frames are ignored and counted",
    "intervals": "95 % percentile bootstrap, sequences drawn with replacement",
}


def evaluate_arrays(
    pred_mm,
    true_mm,
    *,
    joint_names: Sequence[str],
    root: Root | None = None,
    valid=None,
    labels: Mapping[str, Sequence] | None = None,
    metrics: Sequence[str] = STANDARD,
    counts: Mapping[str, int] | None = None,
    options: Mapping[str, object] | None = None,
) -> Result:
    """Scores poses that stand side by side.

    Args:
        pred_mm, true_mm: [N, J, 3] mm.
        joint_names: [J].
        root: None: found by name, see `find_root`.
        valid: [N, J] bool; None: joints whose truth is finite.
        labels: ``"sequence"``, ``"activity"``, ... -> [N]; each becomes a breakdown, and ``"sequence"`` is what the
            confidence intervals resample.
        metrics: names, see `definitions.make_metric`.
        counts, options: further facts for the result.

    Raises:
        UserError: arrays that do not fit together, an unknown metric, no root, predictions that are not finite.
    """
    root = find_root(joint_names) if root is None else root
    labels = {k: np.asarray(v).astype(str) for k, v in (labels or {}).items()}
    scored = score(
        pred_mm, true_mm, make_metrics(metrics), root=root, joint_names=joint_names, labels=labels, valid=valid
    )
    breakdowns = {name: scored.by(name) for name in labels if len(np.unique(labels[name])) > 1}
    counts = {
        **(counts or {}),
        "poses_scored": scored.n_poses,
        "joints_scored": scored.n_joints,
        "poses_without_labelled_root": scored.n_poses_without_root,
    }
    return Result(
        protocol=PROTOCOL.name,
        statement={**STATEMENT, "root": in_words(root, joint_names), "joints": f"{len(joint_names)}, where labelled"},
        options=options or {},
        rows=[whole(scored)],
        intervals=scored.intervals("sequence"),
        scored=scored,
        breakdowns={**breakdowns, "joint": scored.by_joint()},
        counts=counts,
    )


def evaluate(
    predictions: Predictions,
    truth: Truth,
    *,
    root: str | None = None,
    metrics: Sequence[str] = STANDARD,
    missing: str = "refuse",
    on_nan: str = "refuse",
) -> Result:
    """Scores predictions of any benchmark by the plain rules of `STATEMENT`.

    Args:
        root: see `find_root`.
        metrics: names, see `definitions.make_metric`.
        missing: ``"refuse"`` or ``"skip"`` labelled people that have no prediction.
        on_nan: ``"refuse"`` or ``"drop"`` predictions that are not finite.
    """
    predictions, counts = usable(predictions, truth.joint_names, on_nan)
    pred_index, truth_index, paired = pair_by_frame(predictions, truth, missing, by_person=True)
    truth = truth.rows(truth_index)
    labels = {"sequence": truth.sequence, "activity": truth.activity, "scene": truth.scene}
    return evaluate_arrays(
        predictions.poses3d_mm[pred_index],
        truth.poses3d_mm,
        joint_names=truth.joint_names,
        root=find_root(truth.joint_names, root or ""),
        labels={k: v for k, v in labels.items() if v is not None},
        metrics=metrics,
        counts={**counts, **paired},
        options={"missing": missing, "on_nan": on_nan},
    )


PROTOCOL = Protocol("generic", "any labelled poses", STATEMENT, evaluate)
