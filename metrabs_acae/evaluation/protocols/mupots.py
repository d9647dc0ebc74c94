"""MuPoTS-3D: 20 sequences with several people, 17 joints; predictions are matched to labels in the image."""

from __future__ import annotations

import itertools

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.accumulators import PoseMetrics
from metrabs_acae.evaluation.definitions import RECALL, Metric, make_metric, make_metrics
from metrabs_acae.evaluation.prediction_settings import PredictionSettings
from metrabs_acae.evaluation.predictions import Predictions, row_codes
from metrabs_acae.evaluation.protocols.base import (
    Protocol,
    choose,
    natural_order,
    score,
    under_protocol_names,
    usable,
    whole,
)
from metrabs_acae.evaluation.results import Result
from metrabs_acae.evaluation.truth import Truth
from metrabs_acae.skeletons import get_skeleton

MATCHED_JOINTS = slice(1, 14)
"""Neck, arms and legs decide whom a prediction belongs to."""
MATCH_RADIUS_PX = 40.0
PELVIS = 14
OFFICIAL_JOINTS = tuple(range(14))
BONES = (
    (15, 14), (1, 15), (0, 1), (16, 1), (2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 6), (8, 14), (9, 8), (10, 9),
    (11, 14), (12, 11), (13, 12),
)  # fmt: skip
"""(child, parent), parents first, from the pelvis outwards."""

STATEMENT = {
    "joints": "17 (mpi_inf_3dhp_17) for the paper's block; the benchmark's own PCK and AUC score the first 14",
    "matching": "per frame, labelled people in order: the yet unmatched prediction with most of joints 1-13 (neck, "
    "arms, legs) within 40 px in both x and y of the labelled 2D joint, if any is",
    "root": "pelvis (joint 14), subtracted from prediction and label, in the root-relative numbers",
    "main block": "matched people only, metric skeleton, no bone rescaling, pooled over all people of all sequences",
    "official table": "PCK@150 and AUC (31 thresholds); mean per sequence, then over the sequences; 'matched': over "
    "matched people (a sequence without a match is left out); 'all': times the share of people matched; universal or "
    "metric labels, root-relative or absolute, predicted bones rescaled to the labelled lengths or not",
    "missing predictions": "an unmatched labelled person counts in recall and as wrong in the 'all' columns, and is "
    "left out elsewhere; unmatched predictions cost nothing and are counted; predictions of other frames are ignored "
    "and counted; a prediction that is not finite is refused (option on_nan='drop': as if it had not been predicted)",
}


def evaluate(predictions: Predictions, truth: Truth, *, on_nan: str = "refuse", skeleton: str = "metric") -> Result:
    """Scores MuPoTS-3D.

    Args:
        predictions: with `poses2d_px` of the same joints.
        truth: with `poses2d_px`; with `universal3d_mm` the universal half of the official table is made, too.
        on_nan: ``"refuse"`` or ``"drop"`` predictions that are not finite.
        skeleton: the main block against ``"metric"`` (the paper's) or ``"universal"`` labels.

    Returns:
        rows: the main block. Breakdown ``official``: one row per variant; ``official_sequences``: by sequence.
    """
    choose("skeleton", skeleton, ("metric", "universal"))
    truth.require("poses2d_px", *(["universal3d_mm"] if skeleton == "universal" else []), benchmark="MuPoTS-3D")
    joints = get_skeleton("mpi_inf_3dhp_17").joint_names
    truth = under_protocol_names(truth, joints).select_joints(joints)
    if truth.joint_names_2d != joints:
        raise UserError("The 2D labels of MuPoTS-3D must be of the same joints as the 3D labels.")
    predictions, counts = usable(predictions, joints, on_nan, needs_2d=True)
    pred_index, truth_index, paired = match(predictions, truth)
    sequences = natural_order(truth.sequence)
    annotated = {s: int((truth.sequence == s).sum()) for s in sequences}
    matched, pred = truth.rows(truth_index), predictions.poses3d_mm[pred_index]
    scored = score(
        pred,
        matched.poses3d_mm if skeleton == "metric" else matched.universal3d_mm,
        make_metrics(),
        root=PELVIS,
        joint_names=joints,
        labels={"sequence": matched.sequence},
    )
    official, by_sequence = official_table(pred, matched, annotated)
    return Result(
        protocol=PROTOCOL.name,
        statement=STATEMENT,
        options={"skeleton": skeleton, "on_nan": on_nan},
        rows=[{**whole(scored), "recall": 100.0 * len(matched) / max(len(truth), 1)}],
        intervals=scored.intervals("sequence"),
        scored=scored,
        numbers=(RECALL, *official_metrics(True), *OF_ALL_PEOPLE),
        breakdowns={
            "official": official,
            "official_sequences": by_sequence,
            "sequence": [
                {**row, "recall": 100.0 * row["poses"] / annotated[row["sequence"]]}
                for row in scored.by("sequence", sequences)
            ],
            "joint": scored.by_joint(),
        },
        counts={**counts, **paired},
    )


def match(predictions: Predictions, truth: Truth) -> tuple[np.ndarray, np.ndarray, dict]:
    """Who is whom, frame by frame: indices into predictions, indices into truth (in its order), and counts."""
    codes = row_codes(*(np.concatenate([getattr(truth, c), getattr(predictions, c)]) for c in ("sequence", "frame")))
    truth_codes, pred_codes = codes[: len(truth)], codes[len(truth) :]
    by_frame: dict[int, list[int]] = {}
    for i, code in enumerate(pred_codes):
        by_frame.setdefault(int(code), []).append(i)
    pairs = []
    for code in np.unique(truth_codes):
        truth_rows, pred_rows = np.flatnonzero(truth_codes == code), np.array(by_frame.get(int(code), []), np.int64)
        found = match_frame(
            predictions.poses2d_px[pred_rows][:, MATCHED_JOINTS], truth.poses2d_px[truth_rows][:, MATCHED_JOINTS]
        )
        pairs += [(truth_rows[t], pred_rows[p]) for t, p in found]
    pairs = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    in_labelled_frames = np.isin(pred_codes, truth_codes)
    counts = {
        "labelled_people": len(truth),
        "matched_people": len(pairs),
        "unmatched_labelled_people": len(truth) - len(pairs),
        "unmatched_predictions": int(in_labelled_frames.sum()) - len(pairs),
        "other_frames_ignored": int((~in_labelled_frames).sum()),
    }
    return pairs[:, 1], pairs[:, 0], counts


def match_frame(pred2d_px, true2d_px, radius_px=MATCH_RADIUS_PX) -> list[tuple[int, int]]:
    """Greedy matching within one frame.

    Args:
        pred2d_px: [M, J, 2]. true2d_px: [N, J, 2]; a NaN label matches nothing.

    Returns:
        pairs (index of the label, index of the prediction), in the labels' order.
    """
    offset = np.abs(np.asarray(true2d_px)[:, None] - np.asarray(pred2d_px)[None]).max(-1)
    hits = (offset < radius_px).sum(-1)
    pairs = []
    for i in range(hits.shape[0]):
        if hits.shape[1] and hits[i].max() > 0:
            j = int(hits[i].argmax())
            pairs.append((i, j))
            hits[:, j] = 0
    return pairs


def rescale_bones(pred_mm, true_mm) -> np.ndarray:
    """Predictions [N, 17, 3] whose bones keep their direction and take the labels' lengths, walking from the pelvis."""
    pred, true = np.asarray(pred_mm, np.float64), np.asarray(true_mm, np.float64)
    result = pred.copy()
    for child, parent in BONES:
        bone = pred[:, child] - pred[:, parent]
        length = np.linalg.norm(bone, axis=-1, keepdims=True)
        wanted = np.linalg.norm(true[:, child] - true[:, parent], axis=-1, keepdims=True)
        wanted = np.where(np.isfinite(wanted), wanted, length)
        result[:, child] = result[:, parent] + bone * (wanted / np.where(length > 0, length, 1.0))
    return result


def official_table(pred_mm, matched: Truth, annotated: dict[str, int]) -> tuple[list[dict], list[dict]]:
    """The benchmark's own numbers in all variants: mean over sequences, and per sequence.

    Args:
        pred_mm: [K, 17, 3] predictions of the matched people.
        matched: their labels.
        annotated: sequence -> number of labelled people, matched or not; its order is the table's.
    """
    labels = {"universal": matched.universal3d_mm, "metric": matched.poses3d_mm}
    means, rows = [], []
    for skeleton, relative, rescaled in itertools.product(labels, (True, False), (True, False)):
        true = labels[skeleton]
        if true is None:
            continue
        variant = {
            "skeleton": skeleton,
            "alignment": "root-relative" if relative else "absolute",
            "bones": "rescaled" if rescaled else "as predicted",
        }
        scored = PoseMetrics(official_metrics(relative), root=PELVIS)
        scored.update(
            rescale_bones(pred_mm, true) if rescaled else pred_mm, true, labels={"sequence": matched.sequence}
        )
        by_sequence = {row["sequence"]: row for row in scored.by("sequence")}
        listed = [_official_row(s, by_sequence.get(s), n) for s, n in annotated.items()]
        rows += [{**variant, **row} for row in listed]
        means.append({**variant, **{k: _mean(row[k] for row in listed) for k in OFFICIAL_NAMES}})
    return means, rows


OF_ALL_PEOPLE = (Metric("pck_14j_all@150"), Metric("auc31_14j_all@150"))
"""The percentages of matched people times the share of people who are matched."""
OFFICIAL_NAMES = (
    "mpjpe_14j", "mpjpe_16j", "mpjpe_17j", "pck_14j_matched@150", "auc31_14j_matched@150", "pck_14j_all@150",
    "auc31_14j_all@150",
)  # fmt: skip


def official_metrics(relative: bool):
    """14 scored joints; 16: without the pelvis; 17: with it."""
    names = ("mpjpe", "pck@150", "auc31@150") if relative else ("a_mpjpe", "apck@150", "a_auc31@150")
    without_pelvis = [j for j in range(17) if j != PELVIS]
    return (
        make_metric(names[0], joints=OFFICIAL_JOINTS, rename="mpjpe_14j"),
        make_metric(names[0], joints=without_pelvis, rename="mpjpe_16j"),
        make_metric(names[0], rename="mpjpe_17j"),
        make_metric(names[1], joints=OFFICIAL_JOINTS, rename="pck_14j_matched@150"),
        make_metric(names[2], joints=OFFICIAL_JOINTS, rename="auc31_14j_matched@150"),
    )


def _official_row(sequence: str, row: dict | None, annotated: int) -> dict:
    values = {k: float("nan") if row is None else row.get(k, float("nan")) for k in OFFICIAL_NAMES}
    matched = 0 if row is None else row["poses"]
    for name in ("pck_14j", "auc31_14j"):
        share = matched / annotated
        values[f"{name}_all@150"] = values[f"{name}_matched@150"] * share if matched else 0.0
    return {"sequence": sequence, "people": annotated, "matched": matched, **values}


def _mean(values) -> float:
    present = [v for v in values if not np.isnan(v)]
    return float(np.mean(present)) if present else float("nan")


PROTOCOL = Protocol(
    "mupots",
    "MuPoTS-3D",
    STATEMENT,
    evaluate,
    prediction=PredictionSettings(boxes="detector"),
    needs_2d=lambda options: True,
)
